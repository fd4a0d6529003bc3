/* views.c — what the folders are, for people. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "folders_internal.h"

const char *vx_folder_health_name(vx_folder_health health) {
    static const char *const names[] = {"ready", "starting", "away", "empty", "unused"};
    return names[health];
}

const char *vx_folder_state_name(vx_folder_state state) {
    static const char *const names[] = {"indexed", "waiting", "failed", "forgotten", "missing"};
    return names[state];
}

/* ---- views ---- */

void vx_folder_views_free(vx_folder_view *views, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(views[i].row.path);
    free(views);
}

static void view_given_locked(const vx_folder *folder, vx_folder_view *ret) VX_NO_LOCK_ANALYSIS {
    ret->health = folder->health;
    snprintf(ret->problem, sizeof ret->problem, "%s", folder->problem);
    ret->walking = folder->walking;
    ret->walked_dirs = folder->walked_dirs;
    ret->walked_files = folder->walked_files;
    ret->unreadable = folder->unreadable;
    ret->links = folder->links;
    ret->watches = folder->watches;
    ret->limited = folder->limited;
    ret->reading = folder->reading;
    double busy_s =
        folder->busy_since_us ? (double)(vx_clock_monotonic_us() - folder->busy_since_us) / 1e6 : 0;
    if (busy_s > 0 && folder->bytes_read)
        ret->bytes_per_s = (double)folder->bytes_read / busy_s;
}

static int count(const vx_folders *folders, vx_folder_view *view, vx_err *err) {
    int rc = vx_catalog_count_folder_files(folders->params.catalog, view->row.name, view->files,
                                           view->bytes, err);
    if (view->files[VX_FOLDER_WAITING])
        view->eta_s = (double)view->bytes[VX_FOLDER_WAITING] / view->bytes_per_s;
    else
        view->bytes_per_s = NAN;
    return rc;
}

static int by_use_and_name(const void *a, const void *b) {
    const vx_folder_view *x = a, *y = b;
    bool x_unused = x->health == VX_FOLDER_UNUSED, y_unused = y->health == VX_FOLDER_UNUSED;
    return x_unused != y_unused ? x_unused - y_unused : strcmp(x->row.name, y->row.name);
}

/* Without what is counted. */
static int list_folders(vx_folders *folders, vx_folder_view **ret_views, size_t *ret_n,
                        vx_err *err) {
    VX_AUTO_FREE vx_folder_row *rows = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_folders(folders->params.catalog, &rows, &n, err);
    if (rc)
        return rc;
    vx_folder_view *views = vx_new_array(n, sizeof *views);
    vx_mutex_lock(&folders->mu);
    for (size_t i = 0; i < n; i++) {
        if (!views) {
            free(rows[i].path);
            continue;
        }
        views[i] = (vx_folder_view){
            .row = rows[i], .health = VX_FOLDER_UNUSED, .bytes_per_s = NAN, .eta_s = NAN};
        for (size_t k = 0; k < folders->n; k++)
            if (!strcmp(folders->items[k].row.name, rows[i].name))
                view_given_locked(&folders->items[k], &views[i]);
    }
    vx_mutex_unlock(&folders->mu);
    if (!views)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of folders");
    qsort(views, n, sizeof *views, by_use_and_name);
    *ret_views = views;
    *ret_n = n;
    return 0;
}

/* Keeps the one of that name, or none. Gives how many. */
static size_t keep_one(vx_folder_view *views, size_t n, const char *name) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (strcmp(views[i].row.name, name) != 0)
            free(views[i].row.path);
        else
            views[kept++] = views[i];
    return kept;
}

int vx_folders_list(vx_folders *folders, const char *name, vx_folder_view **ret_views,
                    size_t *ret_n, vx_err *err) {
    vx_folder_view *views;
    size_t n;
    int rc = list_folders(folders, &views, &n, err);
    if (rc)
        return rc;
    if (name)
        n = keep_one(views, n, name);
    for (size_t i = 0; i < n && !rc; i++)
        rc = count(folders, &views[i], err);
    if (rc) {
        vx_folder_views_free(views, n);
        return rc;
    }
    *ret_views = views;
    *ret_n = n;
    return 0;
}

int vx_folders_find(vx_folders *folders, const char *name_or_index,
                    char ret_name[VX_FOLDER_NAME_CHARS + 1], vx_err *err) {
    vx_folder_view *views;
    size_t n, i = 0;
    int rc = list_folders(folders, &views, &n, err);
    if (rc)
        return rc;
    bool is_index = isdigit((unsigned char)*name_or_index) && strlen(name_or_index) < 6 &&
                    !name_or_index[strspn(name_or_index, "0123456789")];
    if (is_index)
        i = strtoul(name_or_index, NULL, 10);
    else
        while (i < n && strcmp(views[i].row.name, name_or_index) != 0)
            i++;
    if (i < n)
        strcpy(ret_name, views[i].row.name);
    else
        rc = VX_FAIL(err, VX_FOLDERS_NOT_FOUND, "there is no folder %.64s", name_or_index);
    vx_folder_views_free(views, n);
    return rc;
}
