/* fill.c — see the header. */
#include "fill.h"

#include <errno.h>

#include "writer/writer.h"
#include "verdict/verdict.h"

/* ---- the insert, on the committer's thread ---- */

typedef struct insertion {
    const vx_video *video; /* as it was when its file was read */
    float *const *vectors; /* of extract */
    int64_t *added;        /* [n_models, n_clips] clip rows put into each index */
    size_t n_added[VX_MODELS_MAX];
} insertion;

static int add_clip(insertion *in, vx_server *server, int m, size_t i, vx_err *err) {
    const vx_model *model = &server->models[m];
    int64_t clip = in->video->clips[i].row;
    const float *vector = in->vectors[m] + i * (size_t)model->info->dim;
    if (vx_index_has(model->index, clip))
        return 0;
    int rc = vx_catalog_insert_vector(server->catalog, model->space, clip, vector, model->info->dim,
                                      err);
    if (!rc)
        rc = vx_index_add(model->index, &clip, vector, 1, err);
    if (!rc)
        in->added[(size_t)m * in->video->n_clips + in->n_added[m]++] = clip;
    return rc;
}

/* VX_CATALOG_NOT_FOUND: deleted meanwhile. */
static int apply(void *ctx, vx_server *server, vx_err *err) {
    insertion *in = ctx;
    VX_AUTO(vx_video) stored = NULL;
    int rc = vx_catalog_get_video_by_row(server->catalog, in->video->row, &stored, err);
    for (int m = 0; m < server->n_models; m++)
        for (size_t i = 0; in->vectors[m] && i < in->video->n_clips && !rc; i++)
            rc = add_clip(in, server, m, i, err);
    if (!rc)
        vx_verdict_note(server, in->video->row);
    return rc;
}

static int insert(vx_server *server, const vx_video *video, float *const *vectors, vx_err *err) {
    size_t n = video->n_clips;
    VX_AUTO_FREE int64_t *added = vx_new_array((size_t)server->n_models * n, sizeof *added);
    if (!added)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", n);
    insertion in = {.video = video, .vectors = vectors, .added = added};
    int rc = vx_commit_run(server, apply, &in, err);
    for (int m = 0; rc && m < server->n_models; m++) /* the transaction is undone, so is this */
        vx_index_remove(server->models[m].index, added + (size_t)m * n, in.n_added[m], NULL);
    return rc;
}

/* ---- all of it ---- */

static vx_outcome extract(vx_server *server, const vx_fill *fill, vx_extract *ret_extract,
                          vx_err *err) {
    size_t n = fill->video->n_clips;
    VX_AUTO_FREE vx_span *spans = vx_new_array(n, sizeof *spans);
    if (!spans) {
        VX_FAIL(err, -ENOMEM, "no memory for %zu clips", n);
        return VX_OUTCOME_INTERNAL;
    }
    for (size_t i = 0; i < n; i++)
        spans[i] = (vx_span){fill->video->clips[i].start_s, fill->video->clips[i].end_s};
    vx_extract_params params = {
        .path = fill->path,
        .spans = spans,
        .n_spans = n,
        .models = fill->models,
        .decode_threads = fill->decode_threads,
        .watch = fill->watch,
    };
    return vx_extract_run(server, &params, ret_extract, err);
}

static vx_outcome outcome_of_insert(int rc) {
    switch (rc) {
    case 0:
        return VX_OUTCOME_OK;
    case VX_CATALOG_NOT_FOUND:
        return VX_OUTCOME_NOT_FOUND;
    case -ENOSPC:
        return VX_OUTCOME_NO_SPACE;
    case -ESHUTDOWN:
        return VX_OUTCOME_STOPPING;
    default:
        return VX_OUTCOME_INTERNAL;
    }
}

vx_outcome vx_fill_video(vx_server *server, const vx_fill *fill, vx_err *err) {
    vx_extract found = {0};
    vx_outcome outcome = extract(server, fill, &found, err);
    if (outcome)
        return outcome;
    outcome = outcome_of_insert(insert(server, fill->video, found.vectors, err));
    for (int m = 0; m < server->n_models && !outcome; m++) {
        if (!(fill->models >> m & 1) || found.vectors[m])
            continue;
        VX_FAIL(err, -EIO, "the model %s failed on it", server->models[m].info->name);
        outcome = VX_OUTCOME_INTERNAL;
    }
    vx_extract_clear(&found);
    return outcome;
}
