/* models.c — loads the models together, each with its vector space and index. */
#include "models.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "model_choice.h"
#include "torch/torch_shim.h"

/* A whole segment at once: FAISS then copies at memory speed. */
#define SCAN_CHUNK_BYTES (64 << 20)

/* ---- loading ---- */

static int open_space(vx_model *model, vx_catalog *catalog, vx_err *err) {
    const vx_model_info *info = model->info;
    int rc = vx_catalog_begin(catalog, err);
    if (!rc)
        rc = vx_catalog_insert_vector_space(catalog, info->name, info->digest, info->dim,
                                            &model->space, err);
    if (!rc)
        rc = vx_catalog_commit(catalog, err);
    vx_catalog_rollback(catalog); /* after a commit there is nothing left to undo */
    return rc;
}

static int open_model(vx_models *models, const vx_models_params *p, const char *name,
                      const char *chosen, vx_err *err) {
    for (int i = 0; i < models->n; i++)
        if (!strcmp(models->items[i].info->name, name))
            return VX_FAIL(err, -EINVAL, "model %s is named twice", name);
    if (models->n == VX_MODELS_MAX)
        return VX_FAIL(err, -EINVAL, "more than %d models at once", VX_MODELS_MAX);
    vx_model *model = &models->items[models->n];
    vx_embedder_params params = {.models_dir = p->models_dir,
                                 .name = name,
                                 .device = p->device,
                                 .reproducible = p->reproducible};
    int rc = vx_embedder_open(&params, &model->embedder, err);
    if (rc)
        return rc;
    models->n++; /* from here on vx_models_free closes it */
    model->info = vx_embedder_info(model->embedder);
    model->chosen = chosen;
    rc = open_space(model, p->catalog, err);
    if (rc)
        return rc;
    const vx_model_info *info = model->info;
    vx_embedder_stats stats;
    vx_embedder_get_stats(model->embedder, &stats);
    vx_log(VX_LOG_INFO, "model",
           "model=%s device=%s dtype=%s batch=%d weights_mib=%.1f run_mib=%.1f chosen=\"%s\"",
           info->name, info->device, info->dtype, stats.batch, (double)info->weights_bytes / 0x1p20,
           (double)info->run_bytes / 0x1p20, model->chosen);
    if (info->device_note[0])
        vx_log(VX_LOG_WARN, "model", "model=%s note=\"%s\"", info->name, info->device_note);
    return 0;
}

/* ---- --model auto ---- */

/* What is known of the ranked model i without loading it. ret_why_not: the reason when no package or
 * device of it can be used. */
static int inspect_candidate(const vx_models_params *p, size_t i, vx_model_candidate *ret,
                             vx_err *ret_why_not, vx_err *err) {
    const char *name = vx_model_ranks[i].name;
    char device[16];
    int rc = vx_catalog_has_vectors_of(p->catalog, name, &ret->stored, err);
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

/* Opens the first model of the order that loads. Nobody named it, so a package that is refused is
 * logged and skipped. */
static int open_auto(vx_models *models, const vx_models_params *p, vx_err *err) {
    vx_model_candidate candidates[VX_MODEL_RANKS] = {0};
    size_t order[VX_MODEL_RANKS];
    vx_err why_not = {0};
    for (size_t i = 0; i < VX_MODEL_RANKS; i++) {
        int rc = inspect_candidate(p, i, &candidates[i], &why_not, err);
        if (rc)
            return rc;
    }
    size_t n = vx_model_order(candidates, order);
    if (!n && why_not.code == VX_EMBED_NO_DEVICE) /* there are packages, but no device for them */
        return *err = why_not, err->code;
    if (!n)
        return VX_FAIL(
            err, VX_EMBED_NO_PACKAGE,
            "no model that runs here is in %s. Name another folder with --models, or get "
            "one with: ./dev model %s",
            p->models_dir, vx_model_ranks[VX_MODEL_RANKS - 1].name);
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        const vx_model_rank *rank = &vx_model_ranks[order[i]];
        rc = open_model(models, p, rank->name, vx_model_reason(&candidates[order[i]], rank), err);
        if (rc <= 0 || models->n) /* opened; our fault; or loaded, but without a vector space */
            return rc;
        vx_log_failed(VX_LOG_WARN, "model", err, "model=%s used=no", rank->name);
    }
    return rc;
}

int vx_models_open(const vx_models_params *params, vx_models **ret_models, vx_err *err) {
    VX_AUTO(vx_models) models = vx_new(vx_models);
    VX_AUTO_FREE char *list = strdup(params->names);
    if (!models || !list)
        return VX_FAIL(err, -ENOMEM, "no memory for the models");
    models->models_dir = params->models_dir;
    int rc = 0;
    if (!strcmp(list, "auto")) {
        rc = open_auto(models, params, err);
    } else {
        char *rest = list;
        for (char *name; !rc && (name = strsep(&rest, ","));)
            rc = open_model(models, params, name, "named", err);
    }
    if (!rc && params->copy)
        rc = vx_models_open_copy(models, params->copy, params->device, err);
    if (!rc)
        *ret_models = vx_take(models);
    return rc;
}

vx_models *vx_models_free(vx_models *models) {
    if (!models)
        return NULL;
    vx_torch_set_reserve(NULL, NULL);
    vx_models_free(models->copy);
    for (int i = 0; i < models->n; i++) {
        vx_index_free(models->items[i].index);
        vx_embedder_free(models->items[i].embedder);
    }
    free(models);
    return NULL;
}

/* ---- the indexes ---- */

/* What the vectors of one space are loaded into. */
typedef struct loading {
    vx_catalog *catalog;
    vx_index *index;
} loading;

static int add_chunk(void *ctx, const int64_t *clip_rows, const float *vectors, size_t n,
                     vx_err *err) {
    loading *l = ctx;
    VX_AUTO_FREE int64_t *videos = vx_new_array(n, sizeof *videos);
    if (!videos)
        return VX_FAIL(err, -ENOMEM, "no memory for the videos of %zu clips", n);
    int rc = vx_catalog_find_videos_of_clips(l->catalog, clip_rows, n, videos, err);
    return rc ? rc : vx_index_add(l->index, clip_rows, videos, vectors, n, err);
}

static int load_vectors(vx_model *model, vx_catalog *catalog, int index_threads, vx_err *err) {
    const vx_model_info *info = model->info;
    vx_index_params params = {.dim = info->dim, .threads = index_threads};
    size_t chunk_rows = SCAN_CHUNK_BYTES / ((size_t)info->dim * sizeof(float));
    int64_t start_us = vx_clock_monotonic_us(), missing = 0;
    int rc = vx_index_new(&params, &model->index, err);
    loading l = {catalog, model->index};
    if (!rc)
        rc = vx_catalog_scan_vectors(catalog, model->space, info->dim, chunk_rows,
                                     vx_thread_cores(), add_chunk, &l, err);
    int64_t us = vx_clock_monotonic_us() - start_us;
    if (!rc)
        rc = vx_models_count_missing(model, catalog, &missing, err);
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

void vx_model_get_devices(const vx_model *model, vx_devices *ret_devices) {
    vx_embedder_stats stats;
    vx_embedder_get_stats(model->embedder, &stats);
    ret_devices->n = stats.n_lines;
    for (int i = 0; i < stats.n_lines; i++)
        memcpy(ret_devices->names[i], stats.lines[i].device, sizeof ret_devices->names[i]);
}

void vx_models_on_no_memory(vx_models *models, void (*relieve)(void *ctx), void *ctx) {
    for (int i = 0; i < models->n; i++)
        vx_embedder_on_no_memory(models->items[i].embedder, relieve, ctx);
    if (models->copy)
        vx_models_on_no_memory(models->copy, relieve, ctx);
}

static bool give_back(void *ctx) {
    vx_models *models = ctx;
    bool some = false;
    for (int i = 0; i < models->n; i++)
        some |= vx_index_release_gpu(models->items[i].index);
    return some;
}

int vx_models_load_vectors(vx_models *models, vx_catalog *catalog, int index_threads,
                           bool index_on_gpu, vx_err *err) {
    int rc = models->copy ? vx_model_load_pictures(&models->copy->items[0], catalog, err) : 0;
    for (int i = 0; i < models->n && !rc; i++)
        rc = load_vectors(&models->items[i], catalog, index_threads, err);
    for (int i = 0; i < models->n && !rc && index_on_gpu; i++) {
        const vx_model *model = &models->items[i];
        vx_index_gpu gpu = {.device = model->info->device};
        if (!strncmp(gpu.device, "cuda:", 5) && vx_index_use_gpu(model->index, &gpu, err) == 0)
            vx_torch_set_reserve(give_back, models);
    }
    return rc;
}

/* ---- look-ups ---- */

vx_model *vx_models_find(vx_models *models, const char *name, vx_err *err) {
    if (!name)
        return &models->items[0];
    char loaded[160] = "";
    for (int i = 0; i < models->n; i++) {
        const char *have = models->items[i].info->name;
        if (!strcmp(have, name))
            return &models->items[i];
        size_t used = strlen(loaded);
        snprintf(loaded + used, sizeof loaded - used, "%s%s", i ? ", " : "", have);
    }
    VX_FAIL(err, 1, "model %.64s is not loaded; this server has %s", name, loaded);
    return NULL;
}

int vx_models_index_of(const vx_models *models, const vx_model *model) {
    return (int)(model - models->items);
}

bool vx_models_have_space(const vx_models *models, int64_t space) {
    for (int i = 0; i < models->n; i++)
        if (models->items[i].space == space)
            return true;
    return false;
}

int vx_models_count_missing(const vx_model *model, vx_catalog *catalog, int64_t *ret_clips,
                            vx_err *err) {
    int64_t clips;
    int rc = vx_catalog_count_clips(catalog, &clips, err);
    if (rc)
        return rc;
    /* A video is in the index a moment before its clips can be counted. */
    int64_t missing = clips - vx_index_count(model->index);
    *ret_clips = missing > 0 ? missing : 0;
    return 0;
}
