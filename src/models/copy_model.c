/* copy_model.c — the model that describes single pictures, and the index of what it says. */
#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "models.h"

double vx_picture_time(double length_s, int64_t picture) {
    return length_s * ((double)picture + 0.5) / (double)vx_picture_count(length_s);
}

size_t vx_picture_count(double length_s) {
    const double each_s = 2;
    const size_t least = 3; /* also of what is shorter than that */
    double wanted = length_s / each_s;
    return !(wanted > (double)least)  ? least
           : wanted > VX_PICTURES_MAX ? VX_PICTURES_MAX
                                      : (size_t)wanted;
}

int64_t vx_picture_id(int64_t video, size_t picture) {
    return video * VX_PICTURES_MAX + (int64_t)picture;
}

int vx_models_open_copy(vx_models *models, const char *name, const char *device, vx_err *err) {
    const vx_embedder_params params = {
        .models_dir = models->models_dir, .name = name, .role = VX_ROLE_COPY, .device = device};
    vx_models *copy = models->copy = vx_new(vx_models); /* vx_models_free closes it */
    if (!copy)
        return VX_FAIL(err, -ENOMEM, "no memory for the copy model");
    vx_model *model = &copy->items[0];
    int rc = vx_embedder_open(&params, &model->embedder, err);
    if (rc)
        return rc;
    copy->n = 1;
    copy->models_dir = models->models_dir;
    model->info = vx_embedder_info(model->embedder);
    model->chosen = "named";
    const vx_index_params index = {.dim = model->info->dim, .threads = 1}; /* second looks ask */
    rc = vx_index_new(&index, &model->index, err);
    if (!rc)
        vx_log(VX_LOG_INFO, "copy-model", "model=%s device=%s dtype=%s weights_mib=%.1f",
               model->info->name, model->info->device, model->info->dtype,
               (double)model->info->weights_bytes / 0x1p20);
    return rc;
}

int vx_model_add_pictures(vx_model *copy, int64_t video, const float *vectors, size_t n,
                          vx_err *err) {
    int64_t ids[VX_PICTURES_MAX], videos[VX_PICTURES_MAX];
    for (size_t i = 0; i < n; i++) {
        ids[i] = vx_picture_id(video, i);
        videos[i] = video;
    }
    return n ? vx_index_add(copy->index, ids, videos, vectors, n, err) : 0;
}

int vx_model_remove_pictures(vx_model *copy, int64_t video, vx_err *err) {
    int64_t ids[VX_PICTURES_MAX];
    for (size_t i = 0; i < VX_PICTURES_MAX; i++)
        ids[i] = vx_picture_id(video, i);
    return vx_index_remove(copy->index, ids, VX_PICTURES_MAX, err);
}

static int add(void *ctx, int64_t video, const float *vectors, size_t bytes, vx_err *err) {
    vx_model *copy = ctx;
    size_t each = (size_t)copy->info->dim * sizeof *vectors, n = bytes / each;
    if (bytes % each || n > VX_PICTURES_MAX)
        return VX_FAIL(err, -EIO, "catalog: %zu bytes for the pictures of video %" PRId64, bytes,
                       video);
    return vx_model_add_pictures(copy, video, vectors, n, err);
}

int vx_model_load_pictures(vx_model *copy, vx_catalog *catalog, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_catalog_scan_pictures(catalog, copy->info->digest, add, copy, err);
    if (rc)
        return VX_WRAP(err, "rebuilding the index of %s", copy->info->name), rc;
    vx_log(VX_LOG_INFO, "index", "model=%s pictures=%" PRId64 " ms=%.1f", copy->info->name,
           vx_index_count(copy->index), (double)(vx_clock_monotonic_us() - start_us) / 1e3);
    return 0;
}
