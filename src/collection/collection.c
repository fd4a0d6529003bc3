/* collection.c — see the header. */
#include "collection.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fingerprint/fingerprint.h"

void vx_collection_note_recent(vx_collection *collection, int64_t video_row) {
    vx_recent_inserts *recent = &collection->recent;
    recent->videos[atomic_load(&recent->n) % VX_RECENT_MAX] = video_row;
    atomic_fetch_add(&recent->n, 1);
}

/* ---- whole videos ---- */

/* The video's row, once for each of its clips: their group in the indexes. */
static int64_t *clip_groups(const vx_video *video, vx_err *err) {
    int64_t *groups = vx_new_array(video->n_clips, sizeof *groups);
    if (!groups)
        VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    for (size_t i = 0; groups && i < video->n_clips; i++)
        groups[i] = video->row;
    return groups;
}

static int64_t *clip_rows(const vx_video *video, vx_err *err) {
    int64_t *rows = vx_new_array(video->n_clips, sizeof *rows);
    if (!rows)
        VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    for (size_t i = 0; rows && i < video->n_clips; i++)
        rows[i] = video->clips[i].row;
    return rows;
}

/* Of a video whose clips have rows. */
static int insert_data(vx_collection *collection, const vx_video *video,
                       const vx_collection_data *data, vx_err *err) {
    vx_catalog *catalog = collection->catalog;
    const vx_models *models = collection->models;
    VX_AUTO_FREE int64_t *rows = clip_rows(video, err);
    int rc = rows ? 0 : -ENOMEM;
    for (int m = 0; m < models->n && !rc; m++)
        if (data->vectors[m])
            rc = vx_catalog_insert_vectors(catalog, models->items[m].space, rows, video->n_clips,
                                           data->vectors[m], models->items[m].info->dim, err);
    if (rc || !data->n_frames)
        return rc;
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes;
    rc = vx_fp_pack(data->fingerprint, data->n_frames, &blob, &bytes, err);
    return rc ? rc : vx_catalog_insert_fingerprint(catalog, video->row, blob, bytes, err);
}

int vx_collection_insert(vx_collection *collection, vx_video *video, const vx_collection_data *data,
                         vx_err *err) {
    int rc = vx_catalog_insert_video(collection->catalog, video, err);
    return rc ? rc : insert_data(collection, video, data, err);
}

int vx_collection_index(vx_collection *collection, const vx_video *video,
                        const vx_collection_data *data, vx_err *err) {
    const vx_models *models = collection->models;
    VX_AUTO_FREE int64_t *rows = clip_rows(video, err);
    VX_AUTO_FREE int64_t *groups = clip_groups(video, err);
    int rc = rows && groups ? 0 : -ENOMEM;
    for (int m = 0; m < models->n && !rc; m++)
        if (data->vectors[m])
            rc = vx_index_add(models->items[m].index, rows, groups, data->vectors[m],
                              video->n_clips, err);
    if (!rc)
        rc = vx_fp_index_add(collection->fingerprints, video->row, data->fingerprint,
                             data->n_frames, err);
    if (rc)
        vx_collection_unindex(collection, video);
    else
        vx_collection_note_recent(collection, video->row);
    return rc;
}

void vx_collection_unindex(vx_collection *collection, const vx_video *video) {
    const vx_models *models = collection->models;
    vx_err err;
    VX_AUTO_FREE int64_t *rows = clip_rows(video, &err);
    int rc = rows ? 0 : -ENOMEM;
    for (int m = 0; m < models->n && !rc; m++)
        rc = vx_index_remove(models->items[m].index, rows, video->n_clips, &err);
    if (rc) /* no search shows them, as no stored clip is behind them */
        vx_log_failed(VX_LOG_WARN, "index", &err,
                      "video=%s hint=\"its vectors stay in memory until a restart\"", video->id);
    vx_fp_index_remove(collection->fingerprints, video->row, NULL);
    vx_collection_forget_pictures(collection, video->row);
}

/* ---- a video that was read again ---- */

int vx_collection_replace(vx_collection *collection, vx_video *video,
                          const vx_collection_data *data, vx_err *err) {
    int rc = vx_catalog_set_media(collection->catalog, video, err);
    if (!rc)
        rc = vx_catalog_replace_clips(collection->catalog, video, err);
    if (!rc && data->n_frames)
        rc = vx_catalog_delete_fingerprint(collection->catalog, video->row, err);
    return rc ? rc : insert_data(collection, video, data, err);
}

void vx_collection_reindex(vx_collection *collection, const vx_video *old, const vx_video *video,
                           const vx_collection_data *data) {
    const vx_models *models = collection->models;
    vx_err err = {0};
    VX_AUTO_FREE int64_t *old_rows = clip_rows(old, &err);
    VX_AUTO_FREE int64_t *rows = clip_rows(video, &err);
    VX_AUTO_FREE int64_t *groups = clip_groups(video, &err);
    int rc = old_rows && rows && groups ? 0 : -ENOMEM;
    for (int m = 0; m < models->n && !rc; m++) {
        vx_index *index = models->items[m].index;
        rc = vx_index_remove(index, old_rows, old->n_clips, &err);
        if (!rc && data->vectors[m])
            rc = vx_index_add(index, rows, groups, data->vectors[m], video->n_clips, &err);
    }
    if (!rc && data->n_frames) {
        vx_fp_index_remove(collection->fingerprints, video->row, NULL);
        rc = vx_fp_index_add(collection->fingerprints, video->row, data->fingerprint,
                             data->n_frames, &err);
    }
    if (rc)
        vx_log_failed(VX_LOG_ERROR, "index", &err,
                      "video=%s hint=\"searches see all of it again after a restart\"", video->id);
    vx_collection_forget_pictures(collection, video->row); /* as the catalog has */
    vx_collection_note_recent(collection, video->row);
}

/* ---- pictures, as the copy model describes them ---- */

int vx_collection_set_pictures(vx_collection *collection, int64_t video_row, const float *vectors,
                               size_t n, vx_err *err) {
    vx_model *copy = &collection->models->copy->items[0];
    size_t bytes = n * (size_t)copy->info->dim * sizeof *vectors;
    int rc = vx_catalog_set_pictures(collection->catalog, video_row, copy->info->digest, vectors,
                                     bytes, err);
    if (!rc)
        rc = vx_model_remove_pictures(copy, video_row, err);
    return rc ? rc : vx_model_add_pictures(copy, video_row, vectors, n, err);
}

void vx_collection_forget_pictures(vx_collection *collection, int64_t video_row) {
    vx_models *copy = collection->models->copy;
    vx_err err;
    if (copy && vx_model_remove_pictures(&copy->items[0], video_row, &err))
        vx_log_failed(VX_LOG_WARN, "index", &err,
                      "hint=\"descriptions of pictures stay in memory until a restart\"");
}

/* ---- vectors that were missing ---- */

int vx_collection_add_vectors(vx_collection *collection, const vx_video *video,
                              float *const *vectors, int64_t *ret_added,
                              size_t ret_n_added[VX_MODELS_MAX], vx_err *err) {
    const vx_models *models = collection->models;
    VX_AUTO(vx_video) stored = NULL;
    memset(ret_n_added, 0, VX_MODELS_MAX * sizeof *ret_n_added);
    VX_AUTO_FREE int64_t *groups = clip_groups(video, err);
    if (!groups)
        return -ENOMEM;
    int rc = vx_catalog_get_video_by_row(collection->catalog, video->row, &stored, err);
    for (int m = 0; m < models->n; m++) {
        const vx_model *model = &models->items[m];
        int dim = model->info->dim;
        for (size_t i = 0, end; vectors[m] && i < video->n_clips && !rc; i = end) {
            /* From clip i the clips up to `end` lack a vector; mostly that is all or none. */
            int64_t *added = ret_added + (size_t)m * video->n_clips + ret_n_added[m];
            const float *first = vectors[m] + i * (size_t)dim;
            for (end = i; end < video->n_clips; end++) {
                if (vx_index_has(model->index, video->clips[end].row))
                    break;
                added[end - i] = video->clips[end].row;
            }
            size_t n = end - i;
            if (n == 0) {
                end = i + 1;
                continue;
            }
            rc = vx_catalog_delete_vectors(collection->catalog, model->space, added, n, err);
            if (!rc)
                rc = vx_catalog_insert_vectors(collection->catalog, model->space, added, n, first,
                                               dim, err);
            if (!rc)
                rc = vx_index_add(model->index, added, groups, first, n, err);
            if (!rc)
                ret_n_added[m] += n;
        }
    }
    if (!rc)
        vx_collection_note_recent(collection, video->row);
    return rc;
}

void vx_collection_remove_vectors(vx_collection *collection, const vx_video *video,
                                  const int64_t *added, const size_t n_added[VX_MODELS_MAX]) {
    for (int m = 0; m < collection->models->n; m++)
        vx_index_remove(collection->models->items[m].index, added + (size_t)m * video->n_clips,
                        n_added[m], NULL);
}

/* ---- vectors that were imported ---- */

static vx_index *index_of_space(vx_collection *collection, int64_t space) {
    const vx_models *models = collection->models;
    for (int m = 0; m < models->n; m++)
        if (models->items[m].space == space)
            return models->items[m].index;
    return NULL;
}

int vx_collection_index_vectors(vx_collection *collection, int64_t space, const int64_t *clips,
                                const int64_t *videos, const float *vectors, size_t n,
                                vx_err *err) {
    vx_index *index = index_of_space(collection, space);
    int rc = index && n ? vx_index_add(index, clips, videos, vectors, n, err) : 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (i == 0 || videos[i] != videos[i - 1])
            vx_collection_note_recent(collection, videos[i]);
    return rc;
}

void vx_collection_unindex_vectors(vx_collection *collection, int64_t space, const int64_t *clips,
                                   size_t n) {
    vx_index *index = index_of_space(collection, space);
    vx_err err;
    if (index && n && vx_index_remove(index, clips, n, &err))
        vx_log_failed(VX_LOG_WARN, "index", &err,
                      "hint=\"imported vectors stay in memory until a restart\"");
}
