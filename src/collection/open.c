/* open.c — fills the indexes in memory from the catalog. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "collection.h"
#include "columns.h"
#include "fingerprint/fingerprint.h"

static int load_fingerprint(void *ctx, int64_t video_row, const void *blob, size_t bytes,
                            vx_err *err) {
    VX_AUTO_FREE vx_fp_frame *frames = NULL;
    size_t n;
    int rc = vx_fp_unpack(blob, bytes, &frames, &n, err);
    return rc ? rc
              : vx_fp_index_add(((vx_collection *)ctx)->fingerprints, video_row, frames, n, err);
}

static int load_fingerprints(vx_collection *collection, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_fp_index_new(&collection->fingerprints, err);
    if (!rc)
        rc = vx_catalog_scan_fingerprints(collection->catalog, load_fingerprint, collection, err);
    if (rc)
        return VX_WRAP(err, "rebuilding the index of fingerprints"), rc;
    vx_log(VX_LOG_INFO, "index", "fingerprints_ms=%.1f",
           (double)(vx_clock_monotonic_us() - start_us) / 1e3);
    return 0;
}

/* What one thread loads beside the vectors: both wait for the disk and for fresh memory at times. */
typedef struct loading {
    vx_collection *collection;
    int rc;
    vx_err err;
} loading;

static void *load_all_else(void *ctx) {
    loading *l = ctx;
    l->rc = load_fingerprints(l->collection, &l->err);
    if (!l->rc)
        l->rc = vx_collection_open_columns(l->collection, &l->err);
    return NULL;
}

int vx_collection_open(vx_catalog *catalog, vx_models *models, int index_threads, bool index_on_gpu,
                       vx_collection **ret_collection, vx_err *err) {
    VX_AUTO(vx_collection) collection = vx_new(vx_collection);
    if (!collection)
        return VX_FAIL(err, -ENOMEM, "no memory for the collection");
    collection->catalog = catalog;
    collection->models = models;
    vx_mutex_init(&collection->missing_files.mu);
    vx_mutex_init(&collection->lost_columns.mu);
    loading beside = {.collection = collection};
    pthread_t thread;
    int rc = vx_thread_start(&thread, "vx-load", load_all_else, &beside, err);
    if (rc)
        return rc;
    rc = vx_models_load_vectors(models, catalog, index_threads, index_on_gpu, err);
    pthread_join(thread, NULL);
    if (!rc && beside.rc) {
        *err = beside.err;
        rc = beside.rc;
    }
    if (rc)
        return rc;
    *ret_collection = vx_take(collection);
    return 0;
}

vx_collection *vx_collection_close(vx_collection *collection) {
    if (!collection)
        return NULL;
    vx_collection_close_columns(collection);
    vx_fp_index_free(collection->fingerprints);
    vx_collection_set_missing_files(collection, NULL, 0);
    vx_mutex_done(&collection->missing_files.mu);
    vx_mutex_done(&collection->lost_columns.mu);
    free(collection);
    return NULL;
}
