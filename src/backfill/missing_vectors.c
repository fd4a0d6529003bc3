/* missing_vectors.c — one stored video gets the vectors that it lacks. */
#include <errno.h>

#include "backfill.h"

/* ---- the insert, on the writer's thread ---- */

typedef struct insertion {
    vx_collection *collection;
    const vx_video *video; /* as it was when its file was read */
    float *const *vectors; /* of extract */
    int64_t *added;        /* [n models, n_clips] clip rows put into each index */
    size_t n_added[VX_MODELS_MAX];
} insertion;

static int apply(void *ctx, vx_err *err) {
    insertion *in = ctx;
    return vx_collection_add_vectors(in->collection, in->video, in->vectors, in->added, in->n_added,
                                     err);
}

static void undo(void *ctx) {
    const insertion *in = ctx;
    vx_collection_remove_vectors(in->collection, in->video, in->added, in->n_added);
}

static int insert(const vx_missing_vectors *want, float *const *vectors, vx_err *err) {
    size_t n = want->video->n_clips, n_models = (size_t)want->collection->models->n;
    VX_AUTO_FREE int64_t *added = vx_new_array(n_models * n, sizeof *added);
    if (!added)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", n);
    insertion in = {
        .collection = want->collection, .video = want->video, .vectors = vectors, .added = added};
    return vx_writer_run(want->writer, apply, undo, &in, err);
}

/* ---- all of it ---- */

static vx_outcome extract(const vx_missing_vectors *want, vx_extract *ret_extract, vx_err *err) {
    size_t n = want->video->n_clips;
    VX_AUTO_FREE vx_span *spans = vx_new_array(n, sizeof *spans);
    if (!spans) {
        VX_FAIL(err, -ENOMEM, "no memory for %zu clips", n);
        return VX_OUTCOME_BUSY;
    }
    for (size_t i = 0; i < n; i++)
        spans[i] = (vx_span){want->video->clips[i].start_s, want->video->clips[i].end_s};
    vx_extract_params params = {
        .path = want->path,
        .table_path = want->table_path,
        .spans = spans,
        .n_spans = n,
        .models = want->models,
        .frames = want->video->frames,
        .decode_threads = want->decode_threads,
        .watch = want->watch,
    };
    return vx_extract_run(want->extractor, &params, ret_extract, err);
}

vx_outcome vx_missing_vectors_make(const vx_missing_vectors *want, vx_err *err) {
    const vx_models *models = want->collection->models;
    vx_extract found = {0};
    vx_outcome outcome = extract(want, &found, err);
    if (outcome)
        return outcome;
    int rc = insert(want, found.vectors, err);
    outcome = rc == VX_CATALOG_NOT_FOUND ? VX_OUTCOME_NOT_FOUND : vx_outcome_of_error(rc, err);
    for (int m = 0; m < models->n && !outcome; m++) {
        if (!(want->models >> m & 1) || found.vectors[m])
            continue;
        VX_FAIL(err, -EIO, "the model %s failed on it", models->items[m].info->name);
        outcome = VX_OUTCOME_INTERNAL;
    }
    vx_extract_clear(&found);
    return outcome;
}
