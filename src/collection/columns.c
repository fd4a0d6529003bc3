/* columns.c — the columns of filters, kept equal to what is committed.
 *
 * The catalog tells after each commit which videos it changed, before anybody is told of the commit, and
 * they are read again: so a client that has its reply finds its change, and nothing that can be undone
 * gets into the columns. Every way to change a video counts, by one video or a thousand at once.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "collection.h"
#include "columns.h"

static void lose_columns(vx_collection *collection, const vx_err *err) {
    if (!atomic_exchange(&collection->lost_columns.are_lost, true))
        vx_log_failed(
            VX_LOG_ERROR, "filter", err,
            "hint=\"the columns of filters miss a change: filters are slow until they are "
            "read again\"");
}

bool vx_collection_has_lost_columns(const vx_collection *collection) {
    return atomic_load(&collection->lost_columns.are_lost);
}

static int load(void *ctx, const vx_video *video, vx_err *err) {
    return vx_filter_columns_put(((vx_collection *)ctx)->columns, video, err);
}

static int put(void *ctx, int64_t row, const vx_video *video, vx_err *err) {
    vx_filter_columns *columns = ((vx_collection *)ctx)->columns;
    if (!video) {
        vx_filter_columns_remove(columns, row);
        return 0;
    }
    int rc = vx_filter_columns_put(columns, video, err);
    return rc ? rc : vx_filter_columns_put_clips(columns, row, video->clips, video->n_clips, err);
}

/* While columns are being healed, what lies ahead is read then. Under the lock. */
static int put_if_known(void *ctx, int64_t row, const vx_video *video,
                        vx_err *err) VX_NO_LOCK_ANALYSIS {
    const vx_lost_columns *lost = &((vx_collection *)ctx)->lost_columns;
    return atomic_load(&lost->are_lost) && row > lost->known_to ? 0 : put(ctx, row, video, err);
}

static void on_changed(void *ctx, const int64_t *rows, size_t n) {
    vx_collection *collection = ctx;
    vx_lost_columns *lost = &collection->lost_columns;
    vx_err err;
    vx_mutex_lock(&lost->mu);
    if (vx_catalog_read_videos(collection->catalog, rows, n, put_if_known, collection, &err)) {
        lose_columns(collection, &err);
        lost->known_to = 0;
        lost->again = true;
    }
    vx_mutex_unlock(&lost->mu);
    atomic_fetch_add(&collection->changes, 1);
}

/* ---- healing ---- */

/* The next videos; *ret_done: the columns have all there are. */
static int heal_some(vx_collection *collection, bool *ret_done, vx_err *err) {
    vx_lost_columns *lost = &collection->lost_columns;
    int64_t rows[64];
    size_t n = 0;
    vx_mutex_lock(&lost->mu);
    int rc = lost->again ? VX_FAIL(err, -EIO, "another change was missed meanwhile") : 0;
    if (!rc)
        rc = vx_catalog_find_videos(collection->catalog, lost->known_to, VX_LEN(rows), rows, &n,
                                    err);
    if (!rc)
        rc = vx_catalog_read_videos(collection->catalog, rows, n, put, collection, err);
    if (!rc && n)
        lost->known_to = rows[n - 1];
    *ret_done = !rc && n < VX_LEN(rows);
    if (*ret_done) {
        atomic_store(&lost->are_lost, false);
        lost->told = false;
    }
    vx_mutex_unlock(&lost->mu);
    return rc;
}

/* Of several failures behind each other the first is told. */
static void tell_failure(vx_lost_columns *lost, const vx_err *err) {
    vx_mutex_lock(&lost->mu);
    if (!lost->told)
        vx_log_failed(VX_LOG_WARN, "filter", err,
                      "hint=\"the columns of filters could not be read again; to be tried again\"");
    lost->told = true;
    vx_mutex_unlock(&lost->mu);
}

void vx_collection_heal_columns(vx_collection *collection, const atomic_bool *stop) {
    vx_lost_columns *lost = &collection->lost_columns;
    if (!atomic_load(&lost->are_lost))
        return;
    int64_t start_us = vx_clock_monotonic_us();
    vx_mutex_lock(&lost->mu);
    vx_filter_columns_clear(collection->columns);
    lost->known_to = 0;
    lost->again = false;
    vx_mutex_unlock(&lost->mu);
    vx_err err;
    bool done = false;
    while (!done && !atomic_load(stop))
        if (heal_some(collection, &done, &err)) {
            tell_failure(lost, &err);
            return;
        }
    if (done)
        vx_log(VX_LOG_INFO, "filter", "columns=rebuilt ms=%.1f bytes=%zu",
               (double)(vx_clock_monotonic_us() - start_us) / 1e3,
               vx_filter_columns_memory_bytes(collection->columns));
}

/* ---- declared fields ---- */

/* A video that was deleted meanwhile passes no filter. */
static int read_metadata(void *ctx, int64_t row, char **ret_metadata, vx_err *err) {
    int rc = vx_catalog_get_metadata(ctx, row, ret_metadata, err);
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

typedef struct field_list {
    char *fields[VX_FILTER_MAX_DECLARED]; /* [n]; owned */
    size_t n;
} field_list;

static void field_list_done(field_list *list) {
    for (size_t i = 0; i < list->n; i++)
        free(list->fields[i]);
}

static int add_field(void *ctx, const char *field, vx_err *err) {
    field_list *list = ctx;
    if (list->n == VX_FILTER_MAX_DECLARED)
        return VX_FAIL(err, -EIO, "more than %d declared fields", VX_FILTER_MAX_DECLARED);
    if (!(list->fields[list->n] = strdup(field)))
        return VX_FAIL(err, -ENOMEM, "no memory for a declared field");
    list->n++;
    return 0;
}

int vx_collection_read_indexes(vx_collection *collection, vx_err *err) {
    __attribute__((cleanup(field_list_done))) field_list list = {.n = 0};
    int rc = vx_catalog_list_indexes(collection->catalog, add_field, &list, err);
    return rc ? rc
              : vx_filter_columns_declare(collection->columns, (const char *const *)list.fields,
                                          list.n, err);
}

int vx_collection_fill_columns(vx_collection *collection, const atomic_bool *stop, vx_err *err) {
    int64_t rows[256] = {0}, above = 0;
    size_t n;
    do {
        n = vx_filter_columns_find_unfilled(collection->columns, above, VX_LEN(rows), rows);
        for (size_t i = 0; i < n && !atomic_load(stop); i++) {
            VX_AUTO_FREE char *metadata = NULL;
            int rc = read_metadata(collection->catalog, rows[i], &metadata, err);
            if (!rc && metadata)
                rc = vx_filter_columns_fill(collection->columns, rows[i], metadata, err);
            if (rc)
                return rc;
        }
        above = n ? rows[n - 1] : above;
    } while (n && !atomic_load(stop));
    return 0;
}

/* ---- open and close ---- */

/* The clips of one video after the other. */
typedef struct clip_loader {
    vx_collection *collection;
    int64_t video;
    vx_clip *clips; /* [n]; owned */
    size_t n, capacity;
} clip_loader;

static int put_clips(clip_loader *loader, vx_err *err) {
    int rc = vx_filter_columns_put_clips(loader->collection->columns, loader->video, loader->clips,
                                         loader->n, err);
    loader->n = 0;
    return rc;
}

static int load_clip(void *ctx, int64_t video, const vx_clip *clip, vx_err *err) {
    clip_loader *loader = ctx;
    int rc = loader->n && loader->video != video ? put_clips(loader, err) : 0;
    if (!rc && !vx_make_room(loader->clips, loader->n, loader->capacity))
        rc = VX_FAIL(err, -ENOMEM, "no memory for the clips of a video");
    if (rc)
        return rc;
    loader->video = video;
    loader->clips[loader->n++] = *clip;
    return 0;
}

static int load_clips(vx_collection *collection, vx_err *err) {
    clip_loader loader = {.collection = collection};
    int rc = vx_catalog_scan_clips(collection->catalog, load_clip, &loader, err);
    if (!rc && loader.n)
        rc = put_clips(&loader, err);
    free(loader.clips);
    return rc;
}

int vx_collection_open_columns(vx_collection *collection, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_filter_columns_new(&collection->columns, err);
    if (!rc)
        rc = vx_collection_read_indexes(collection, err);
    if (!rc)
        rc = vx_catalog_scan_videos(collection->catalog, load, collection, err);
    if (!rc)
        rc = load_clips(collection, err);
    if (rc == -EIO) { /* a damaged catalog is served as far as it can be read */
        lose_columns(collection, err);
        rc = 0;
    }
    if (rc)
        return VX_WRAP(err, "reading the columns of filters"), rc;
    vx_catalog_set_listener(collection->catalog, on_changed, collection);
    vx_log(VX_LOG_INFO, "filter", "columns_ms=%.1f bytes=%zu",
           (double)(vx_clock_monotonic_us() - start_us) / 1e3,
           vx_filter_columns_memory_bytes(collection->columns));
    return 0;
}

void vx_collection_close_columns(vx_collection *collection) {
    if (collection->columns)
        vx_catalog_set_listener(collection->catalog, NULL, NULL);
    vx_filter_columns_free(collection->columns);
}

/* ---- filters ---- */

/* What passes, oldest first: videos, or clips. */
typedef struct catalog_selection {
    vx_collection *collection;
    const vx_filter_selection *asked;
    bool clips;    /* of a filter of clips: their rows */
    int64_t *rows; /* [n]; owned */
    size_t n, capacity;
} catalog_selection;

static int add_selected(catalog_selection *s, int64_t row, vx_err *err) {
    if (!vx_make_room(s->rows, s->n, s->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu videos", s->n);
    s->rows[s->n++] = row;
    return 0;
}

static int match_clips(catalog_selection *s, int64_t row, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    bool any = false;
    int rc = vx_catalog_get_video_by_row(s->collection->catalog, row, &video, err);
    if (rc)
        return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
    VX_AUTO_FREE bool *passes = vx_new_array(video->n_clips + 1, sizeof *passes);
    if (!passes)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    rc = vx_filter_match(s->asked->filter, video, &any, passes, err);
    if (!rc && any && !s->clips)
        return add_selected(s, row, err);
    for (size_t i = 0; s->clips && i < video->n_clips && !rc; i++)
        if (passes[i])
            rc = add_selected(s, video->clips[i].row, err);
    return rc;
}

static int match_video(void *ctx, const vx_video *video, vx_err *err) {
    catalog_selection *s = ctx;
    bool passes = false;
    if (s->asked->below_row > 0 && video->row >= s->asked->below_row)
        return 0;
    if (vx_filter_is_of_clips(s->asked->filter))
        return match_clips(s, video->row, err);
    int rc = vx_filter_match(s->asked->filter, video, &passes, NULL, err);
    return !rc && passes ? add_selected(s, video->row, err) : rc;
}

static int by_row(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Every video is read, while the columns cannot be trusted. What passes, rising: a video that was read again has
 * clips that are newer than those of later videos. */
static int select_in_catalog(catalog_selection *s, vx_err *err) {
    int rc = vx_catalog_scan_videos(s->collection->catalog, match_video, s, err);
    if (!rc && s->n)
        qsort(s->rows, s->n, sizeof *s->rows, by_row);
    return rc;
}

static int list_in_catalog(vx_collection *collection, const vx_filter_selection *asked,
                           int64_t **ret_rows, size_t *ret_n, vx_err *err) {
    catalog_selection s = {.collection = collection, .asked = asked};
    int rc = select_in_catalog(&s, err);
    size_t n = asked->max && s.n > asked->max ? asked->max : s.n;
    int64_t *newest = rc ? NULL : vx_new_array(n + 1, sizeof *newest);
    if (!rc && !newest)
        rc = VX_FAIL(err, -ENOMEM, "no memory to select videos");
    for (size_t i = 0; newest && i < n; i++)
        newest[i] = s.rows[s.n - 1 - i];
    free(s.rows);
    *ret_rows = newest;
    *ret_n = n;
    return rc;
}

static int set_in_catalog(vx_collection *collection, const vx_filter_selection *asked, bool clips,
                          vx_idset **ret_set, vx_err *err) {
    catalog_selection s = {.collection = collection, .asked = asked, .clips = clips};
    int rc = select_in_catalog(&s, err);
    vx_idset *set = rc ? NULL : vx_idset_new(s.rows, s.n);
    free(s.rows);
    *ret_set = set;
    return rc || set ? rc : VX_FAIL(err, -ENOMEM, "no memory for %zu rows", s.n);
}

int vx_collection_select(vx_collection *collection, const vx_filter *filter, int64_t below_row,
                         size_t max, int64_t **ret_rows, size_t *ret_n, vx_err *err) {
    const vx_filter_selection asked = {.filter = filter,
                                       .below_row = below_row,
                                       .max = max,
                                       .read_metadata = read_metadata,
                                       .ctx = collection->catalog};
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n = 0, n_read;
    int rc = 0;
    bool lost = vx_collection_has_lost_columns(collection); /* they may be healed meanwhile */
    if (!lost)
        rc = vx_filter_columns_select(collection->columns, &asked, &rows, &n, &n_read, err);
    if (lost || vx_collection_has_lost_columns(collection)) /* perhaps only now */
        return list_in_catalog(collection, &asked, ret_rows, ret_n, err);
    if (rc)
        return rc;
    *ret_rows = vx_take(rows);
    *ret_n = n;
    return 0;
}

static int select_set(vx_collection *collection, const vx_filter *filter, bool clips,
                      vx_idset **ret_set, vx_err *err) {
    const vx_filter_selection asked = {
        .filter = filter, .read_metadata = read_metadata, .ctx = collection->catalog};
    VX_AUTO(vx_idset) set = NULL;
    size_t n_read;
    int rc = 0;
    bool lost = vx_collection_has_lost_columns(collection);
    if (!lost)
        rc = vx_filter_columns_select_set(collection->columns, &asked, clips, &set, &n_read, err);
    if (lost || vx_collection_has_lost_columns(collection))
        return set_in_catalog(collection, &asked, clips, ret_set, err);
    if (!rc)
        *ret_set = vx_take(set);
    return rc;
}

int vx_collection_select_set(vx_collection *collection, const vx_filter *filter, vx_idset **ret_set,
                             vx_err *err) {
    return select_set(collection, filter, vx_filter_is_of_clips(filter), ret_set, err);
}

int vx_collection_select_lazily(vx_collection *collection, const vx_filter *filter,
                                vx_idset **ret_set, vx_err *err) {
    *ret_set = NULL;
    if (vx_collection_has_lost_columns(
            collection)) /* clearing them makes sets unsound that are made meanwhile */
        return 0;
    return vx_filter_columns_select_lazily(collection->columns, filter,
                                           vx_filter_is_of_clips(filter), ret_set, err);
}

int vx_collection_select_videos(vx_collection *collection, const vx_filter *filter,
                                vx_idset **ret_set, vx_err *err) {
    return select_set(collection, filter, false, ret_set, err);
}
