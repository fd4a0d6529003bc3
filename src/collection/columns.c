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
    if (!atomic_exchange(&collection->columns_lost, true))
        vx_log_failed(VX_LOG_ERROR, "filter", err,
                      "hint=\"filters are refused until a restart, since a video is not known\"");
}

static int load(void *ctx, const vx_video *video, vx_err *err) {
    return vx_filter_columns_put(((vx_collection *)ctx)->columns, video, err);
}

static int read_again(vx_collection *collection, int64_t row, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    int rc = vx_catalog_get_video_alone(collection->catalog, row, &video, err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        vx_filter_columns_remove(collection->columns, row);
        return 0;
    }
    return rc ? rc : vx_filter_columns_put(collection->columns, video, err);
}

static void on_changed(void *ctx, const int64_t *rows, size_t n) {
    vx_collection *collection = ctx;
    for (size_t i = 0; i < n; i++) {
        vx_err err;
        if (read_again(collection, rows[i], &err))
            lose_columns(collection, &err);
    }
    atomic_fetch_add(&collection->changes, 1);
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

int vx_collection_open_columns(vx_collection *collection, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_filter_columns_new(&collection->columns, err);
    if (!rc)
        rc = vx_collection_read_indexes(collection, err);
    if (!rc)
        rc = vx_catalog_scan_videos(collection->catalog, load, collection, err);
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

int vx_collection_select(vx_collection *collection, const vx_filter *filter, int64_t below_row,
                         size_t max, int64_t **ret_rows, size_t *ret_n, vx_err *err) {
    if (atomic_load(&collection->columns_lost))
        return VX_FAIL(err, -EIO, "a change of a video is missing from the columns of filters");
    const vx_filter_selection selection = {.filter = filter,
                                           .below_row = below_row,
                                           .max = max,
                                           .read_metadata = read_metadata,
                                           .ctx = collection->catalog};
    size_t n_read;
    return vx_filter_columns_select(collection->columns, &selection, ret_rows, ret_n, &n_read, err);
}

int vx_collection_select_set(vx_collection *collection, const vx_filter *filter, vx_idset **ret_set,
                             vx_err *err) {
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n;
    int rc = vx_collection_select(collection, filter, 0, 0, &rows, &n, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n / 2; i++) { /* rising */
        int64_t swapped = rows[i];
        rows[i] = rows[n - 1 - i];
        rows[n - 1 - i] = swapped;
    }
    VX_AUTO(vx_idset) set = vx_new(vx_idset);
    if (!set)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu videos", n);
    *set = (vx_idset){.ids = vx_take(rows), .n = n, .capacity = n};
    *ret_set = vx_take(set);
    return 0;
}
