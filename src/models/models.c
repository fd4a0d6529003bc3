/* server_models.c — the models of a server: loaded together, each with its space and index. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "model_choice.h"
#include "server/server.h"

/* A whole segment at once: FAISS then copies at memory speed. */
#define SCAN_CHUNK_BYTES (64 << 20)

/* ---- loading ---- */

static int open_space(vx_server *server, vx_model *model, vx_err *err) {
    const vx_model_info *info = model->info;
    int rc = vx_catalog_begin(server->catalog, err);
    if (!rc)
        rc = vx_catalog_space(server->catalog, info->name, info->digest, info->dim, &model->space,
                              err);
    if (!rc)
        rc = vx_catalog_commit(server->catalog, err);
    vx_catalog_rollback(server->catalog); /* after a commit there is nothing left to undo */
    return rc;
}

static int open_model(vx_server *server, const char *name, vx_err *err) {
    const vx_server_params *p = &server->params;
    for (int i = 0; i < server->n_models; i++)
        if (!strcmp(server->models[i].info->name, name))
            return VX_FAIL(err, -EINVAL, "model %s is named twice", name);
    if (server->n_models == VX_MODELS_MAX)
        return VX_FAIL(err, -EINVAL, "more than %d models at once", VX_MODELS_MAX);
    vx_model *model = &server->models[server->n_models];
    vx_embedder_params params = {.models_dir = p->models_dir, .name = name, .device = p->device};
    int rc = vx_embedder_open(&params, &model->embedder, err);
    if (rc)
        return rc;
    server->n_models++; /* from here on it is closed with the server */
    model->info = vx_embedder_info(model->embedder);
    return open_space(server, model, err);
}

/* ---- --model auto ---- */

/* ret_why_not: when it is not present, the reason. */
static int look_at(vx_server *server, size_t i, vx_model_candidate *ret, vx_err *ret_why_not,
                   vx_err *err) {
    const vx_server_params *p = &server->params;
    const char *name = vx_model_ranks[i].name;
    char device[16];
    int rc = vx_catalog_has_model(server->catalog, name, &ret->stored, err);
    if (rc)
        return rc;
    vx_embedder_params params = {.models_dir = p->models_dir, .name = name, .device = p->device};
    rc = vx_embedder_find_device(&params, device, ret_why_not);
    ret->present = rc == 0;
    ret->on_gpu = rc == 0 && strncmp(device, "cpu", 3);
    if (rc && (rc != VX_EMBED_NO_PACKAGE || ret->stored)) /* worth knowing */
        vx_log_failed(VX_LOG_WARN, "model", ret_why_not, "model=%s used=no", name);
    return 0;
}

/* The first of the order that loads: a package that is refused is skipped here, as nobody named it.
 */
static int open_auto(vx_server *server, vx_err *err) {
    vx_model_candidate candidates[VX_MODEL_RANKS] = {0};
    vx_err why_not = {0};
    size_t order[VX_MODEL_RANKS];
    for (size_t i = 0; i < VX_MODEL_RANKS; i++) {
        int rc = look_at(server, i, &candidates[i], &why_not, err);
        if (rc)
            return rc;
    }
    size_t n = vx_model_order(candidates, order);
    if (!n && why_not.code == VX_EMBED_NO_DEVICE) /* packages there are */
        return *err = why_not, err->code;
    VX_FAIL(err, VX_EMBED_NO_PACKAGE,
            "no model that runs here is in %s. Name another folder with --models, or get one with: "
            "./dev model %s",
            server->params.models_dir, vx_model_ranks[VX_MODEL_RANKS - 1].name);
    for (size_t i = 0; i < n; i++) {
        const vx_model_rank *rank = &vx_model_ranks[order[i]];
        int rc = open_model(server, rank->name, err);
        if (!rc) {
            server->models[0].chosen = vx_model_reason(&candidates[order[i]], rank);
            return 0;
        }
        if (rc < 0 || server->n_models) /* ours, or loaded and without a space */
            return rc;
        vx_log_failed(VX_LOG_WARN, "model", err, "model=%s used=no", rank->name);
    }
    return err->code;
}

static void log_model(const vx_model *model) {
    const vx_model_info *info = model->info;
    vx_embedder_stats stats;
    vx_embedder_get_stats(model->embedder, &stats);
    vx_log(VX_LOG_INFO, "model",
           "model=%s device=%s dtype=%s batch=%d weights_mib=%.1f run_mib=%.1f chosen=\"%s\"",
           info->name, info->device, info->dtype, stats.batch, (double)info->weights_bytes / 0x1p20,
           (double)info->run_bytes / 0x1p20, model->chosen);
    if (info->device_note[0])
        vx_log(VX_LOG_WARN, "model", "model=%s note=\"%s\"", info->name, info->device_note);
}

int vx_server_open_models(vx_server *server, vx_err *err) {
    VX_AUTO_FREE char *list = strdup(server->params.model);
    if (!list)
        return VX_FAIL(err, -ENOMEM, "no memory for the models' names");
    if (!strcmp(list, "auto")) {
        int rc = open_auto(server, err);
        if (!rc)
            log_model(&server->models[0]);
        return rc;
    }
    int rc = 0;
    char *rest = list;
    for (char *name; !rc && (name = strsep(&rest, ","));) {
        rc = open_model(server, name, err);
        if (!rc) {
            server->models[server->n_models - 1].chosen = "named";
            log_model(&server->models[server->n_models - 1]);
        }
    }
    return rc;
}

void vx_server_close_models(vx_server *server) {
    for (int i = 0; i < server->n_models; i++) {
        vx_index_free(vx_take(server->models[i].index));
        vx_embedder_free(vx_take(server->models[i].embedder));
    }
    server->n_models = 0;
}

/* ---- the indexes ---- */

static int add_chunk(void *ctx, const int64_t *clip_rows, const float *vectors, size_t n,
                     vx_err *err) {
    return vx_index_add(((vx_model *)ctx)->index, clip_rows, vectors, n, err);
}

static int load_vectors(vx_server *server, vx_model *model, vx_err *err) {
    const vx_model_info *info = model->info;
    vx_index_params params = {.dim = info->dim, .threads = server->params.search_threads};
    size_t chunk_rows = SCAN_CHUNK_BYTES / ((size_t)info->dim * sizeof(float));
    int64_t start_us = vx_clock_monotonic_us(), missing = 0;
    int rc = vx_index_new(&params, &model->index, err);
    if (!rc)
        rc = vx_catalog_scan_vectors(server->catalog, model->space, info->dim, chunk_rows,
                                     vx_thread_cores(), add_chunk, model, err);
    int64_t us = vx_clock_monotonic_us() - start_us;
    if (!rc)
        rc = vx_server_count_missing(server, model, &missing, err);
    if (rc)
        return VX_WRAP(err, "rebuilding the index of %s", info->name), rc;
    int64_t rows = vx_index_count(model->index);
    vx_log(VX_LOG_INFO, "index", "model=%s device=%s rows=%lld ms=%.1f gb_per_s=%.2f", info->name,
           info->device, (long long)rows, (double)us / 1e3,
           (double)rows * info->dim * sizeof(float) / 1e3 / (double)(us ? us : 1));
    if (missing)
        vx_log(VX_LOG_WARN, "index",
               "model=%s clips_without_vector=%lld hint=\"POST /v1/models/%s/backfill makes them\"",
               info->name, (long long)missing, info->name);
    return 0;
}

int vx_server_load_vectors(vx_server *server, vx_err *err) {
    int rc = 0;
    for (int i = 0; i < server->n_models && !rc; i++)
        rc = load_vectors(server, &server->models[i], err);
    return rc;
}

/* ---- asking ---- */

vx_model *vx_server_find_model(vx_server *server, const char *name, vx_err *err) {
    if (!name)
        return &server->models[0];
    char loaded[160] = "";
    for (int i = 0; i < server->n_models; i++) {
        const char *have = server->models[i].info->name;
        if (!strcmp(have, name))
            return &server->models[i];
        size_t used = strlen(loaded);
        snprintf(loaded + used, sizeof loaded - used, "%s%s", i ? ", " : "", have);
    }
    VX_FAIL(err, 1, "model %.64s is not loaded; this server has %s", name, loaded);
    return NULL;
}

void vx_server_forget_clips(vx_server *server, const vx_video *video) {
    vx_err err;
    VX_AUTO_FREE int64_t *rows = vx_new_array(video->n_clips, sizeof *rows);
    int rc = rows ? 0 : VX_FAIL(&err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    for (size_t i = 0; i < video->n_clips && !rc; i++)
        rows[i] = video->clips[i].row;
    for (int m = 0; m < server->n_models && !rc; m++)
        rc = vx_index_remove(server->models[m].index, rows, video->n_clips, &err);
    if (rc) /* no search shows them, as no stored clip is behind them */
        vx_log_failed(VX_LOG_WARN, "index", &err,
                      "video=%s hint=\"vectors stay in memory until a restart\"", video->id);
}

int vx_server_count_missing(vx_server *server, vx_model *model, int64_t *ret_clips, vx_err *err) {
    int64_t clips;
    int rc = vx_catalog_count_clips(server->catalog, &clips, err);
    if (rc)
        return rc;
    /* A video is in the index a moment before its clips can be counted. */
    int64_t missing = clips - vx_index_count(model->index);
    *ret_clips = missing > 0 ? missing : 0;
    return 0;
}
