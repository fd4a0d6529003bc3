/* stored.c — the vectors of a stored video or clip. */
#include "search_internal.h"

#include <errno.h>
#include <string.h>

void vx_encoded_query_clear(vx_encoded_query *encoded) {
    free(encoded->vectors);
    free(encoded->own);
    *encoded = (vx_encoded_query){0};
}

vx_outcome vx_search_load(vx_catalog *catalog, const vx_model *model, const char *id, bool is_clip,
                          vx_encoded_query *ret_encoded, vx_err *err) {
    const char *what = is_clip ? "clip" : "video";
    size_t dim = (size_t)model->info->dim, n_id = strlen(id);
    if (is_clip && strrchr(id, '.'))
        n_id = (size_t)(strrchr(id, '.') - id);
    char video_id[VX_VIDEO_ID_CHARS + 1] = "";
    if (n_id <= VX_VIDEO_ID_CHARS)
        memcpy(video_id, id, n_id);
    VX_AUTO(vx_video) video = NULL;
    int rc = vx_catalog_get_video(catalog, video_id, &video, err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        VX_FAIL(err, rc, "there is no %s with this id", what);
        return VX_OUTCOME_NOT_FOUND;
    }
    if (rc)
        return VX_OUTCOME_INTERNAL;
    ret_encoded->vectors = vx_new_array(video->n_clips, dim * sizeof(float));
    ret_encoded->own = vx_new_array(video->n_clips, sizeof *ret_encoded->own);
    if (!ret_encoded->vectors || !ret_encoded->own) {
        VX_FAIL(err, -ENOMEM, "no memory for the query's vectors");
        return VX_OUTCOME_INTERNAL;
    }
    for (size_t i = 0; i < video->n_clips; i++) {
        char clip_id[VX_CLIP_ID_CHARS + 1];
        vx_clip_id_of(video->id, video->clips[i].index, clip_id);
        if (is_clip && strcmp(clip_id, id))
            continue;
        ret_encoded->own[ret_encoded->n_own++] = video->clips[i].row;
        rc = vx_index_get(model->index, video->clips[i].row,
                          ret_encoded->vectors + ret_encoded->n * dim, err);
        if (rc < 0)
            return VX_OUTCOME_INTERNAL;
        ret_encoded->n += rc == 0;
    }
    if (ret_encoded->n)
        return VX_OUTCOME_OK;
    VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no %s with this id that has a vector of model %s",
            what, model->info->name);
    return VX_OUTCOME_NOT_FOUND;
}
