/* run.c — the folders as a part of the server: opened, started, changed and stopped. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "folders_internal.h"

/* ---- open, start, stop ---- */

/* As vx_store_open_in_place has it. */
static int open_in_place(void *ctx, const uint8_t sha256[32], int *ret_fd, vx_err *err) {
    const vx_folders *folders = ctx;
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_video_id_of(sha256, id);
    VX_AUTO_FREE vx_folder_row *rows = vx_new_array(folders->n, sizeof *rows);
    if (!rows)
        return VX_FAIL(err, -ENOMEM, "no memory for the folders");
    for (size_t i = 0; i < folders->n; i++)
        rows[i] = folders->items[i].row;
    return vx_folders_open_file(folders->params.catalog, rows, folders->n, id, ret_fd, err);
}

/* In a transaction of its own, before there is a writer. */
static int note_folders(const vx_folders *folders, vx_err *err) {
    vx_catalog *catalog = folders->params.catalog;
    int rc = vx_catalog_begin(catalog, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < folders->n && !rc; i++)
        rc = vx_catalog_set_folder(catalog, &folders->items[i].row, err);
    if (!rc)
        return vx_catalog_commit(catalog, err);
    vx_catalog_rollback(catalog);
    return rc;
}

VX_NO_LOCK_ANALYSIS int vx_folders_open(const vx_folders_params *params, vx_folders **ret_folders,
                                        vx_err *err) {
    struct stat facts;
    vx_folders *folders = vx_new(vx_folders);
    if (!folders)
        return VX_FAIL(err, -ENOMEM, "no memory for the folders");
    folders->params = *params;
    folders->inotify_fd = -1;
    folders->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    vx_mutex_init(&folders->mu);
    vx_cond_init(&folders->fed);
    int rc = folders->wake_fd < 0 ? VX_FAIL_ERRNO(err, "making an eventfd") : 0;
    if (!rc)
        rc = vx_folder_items_parse(params->folders, params->data_dir, &folders->items, &folders->n,
                                   err);
    if (!rc && folders->n)
        rc = note_folders(folders, err);
    if (rc) {
        vx_folders_free(folders);
        return rc;
    }
    folders->has_data_dir = !stat(params->data_dir, &facts);
    folders->data_device = facts.st_dev;
    folders->data_inode = facts.st_ino;
    for (size_t i = 0; i < folders->n; i++)
        folders->items[i].health = VX_FOLDER_STARTING;
    vx_store_set_in_place(params->store, open_in_place, folders);
    *ret_folders = folders;
    return 0;
}

int vx_folders_start(vx_folders *folders, const vx_folders_work *work, vx_err *err) {
    folders->work = *work;
    int rc =
        vx_thread_start(&folders->feeder, "vx-folder-read", vx_folders_run_feeder, folders, err);
    if (rc)
        return rc;
    rc = vx_thread_start(&folders->watcher, "vx-folder-walk", vx_folders_run_watcher, folders, err);
    if (rc) {
        vx_folders_begin_stop(folders);
        pthread_join(folders->feeder, NULL);
        return rc;
    }
    folders->started = true;
    return 0;
}

void vx_folders_begin_stop(vx_folders *folders) {
    atomic_store(&folders->stopping, true);
    vx_folders_wake(folders);
}

void vx_folders_stop(vx_folders *folders) {
    if (!folders || !folders->started)
        return;
    vx_folders_begin_stop(folders);
    pthread_join(folders->watcher, NULL);
    pthread_join(folders->feeder, NULL);
    folders->started = false;
}

VX_NO_LOCK_ANALYSIS vx_folders *vx_folders_free(vx_folders *folders) {
    if (!folders)
        return NULL;
    vx_folder_items_free(folders->items, folders->n);
    vx_readings_free(folders->ended);
    if (folders->wake_fd >= 0)
        close(folders->wake_fd);
    vx_cond_done(&folders->fed);
    vx_mutex_done(&folders->mu);
    free(folders);
    return NULL;
}

bool vx_folders_is_given(const vx_folders *folders, const char *name) {
    bool is_given = false;
    for (size_t i = 0; i < folders->n; i++)
        is_given |= !strcmp(folders->items[i].row.name, name);
    return is_given;
}

/* ---- changes that clients ask for ---- */

typedef struct folder_write {
    vx_write write;
    vx_folders *folders;
    char *name; /* owned */
    vx_folders_done done;
    void *ctx;
} folder_write;

static int apply_forget(vx_write *write, vx_err *err) {
    const folder_write *w = VX_CONTAINER_OF(write, folder_write, write);
    return vx_catalog_delete_folder(w->folders->params.catalog, w->name, err);
}

static int apply_remember(vx_write *write, vx_err *err) {
    const folder_write *w = VX_CONTAINER_OF(write, folder_write, write);
    return vx_catalog_delete_forgotten(w->folders->params.catalog, w->name, err);
}

static void finish(vx_write *write, int rc, const vx_err *err) {
    folder_write *w = VX_CONTAINER_OF(write, folder_write, write);
    if (!rc) {
        atomic_store(&w->folders->tidy_asked, true);
        vx_folders_wake(w->folders);
    }
    w->done(w->ctx, rc, err);
    free(w->name);
    free(w);
}

static vx_outcome submit(vx_folders *folders, const char *name,
                         int (*apply)(vx_write *write, vx_err *err), vx_folders_done done,
                         void *ctx) {
    folder_write *w = vx_new(folder_write);
    if (w)
        *w = (folder_write){{.apply = apply, .done = finish}, folders, strdup(name), done, ctx};
    vx_outcome refused = w && w->name
                             ? vx_writer_submit(folders->work.writer, &w->write, VX_WRITER_REFUSE)
                             : VX_OUTCOME_INTERNAL;
    if (refused && w) {
        free(w->name);
        free(w);
    }
    return refused;
}

vx_outcome vx_folders_forget(vx_folders *folders, const char *name, vx_folders_done done,
                             void *ctx) {
    return submit(folders, name, apply_forget, done, ctx);
}

vx_outcome vx_folders_remember(vx_folders *folders, const char *video_id, vx_folders_done done,
                               void *ctx) {
    return submit(folders, video_id, apply_remember, done, ctx);
}

int vx_folders_walk(vx_folders *folders, const char *name, bool accept_empty, vx_err *err) {
    for (size_t i = 0; i < folders->n; i++) {
        vx_folder *folder = &folders->items[i];
        if (strcmp(folder->row.name, name) != 0)
            continue;
        vx_mutex_lock(&folders->mu);
        folder->walk_asked = true;
        folder->accept_empty |= accept_empty;
        vx_mutex_unlock(&folders->mu);
        vx_folders_wake(folders);
        return 0;
    }
    return VX_FAIL(err, VX_FOLDERS_NOT_FOUND, "the folder %s was not given with --folder", name);
}
