/* points.c — a video's clips as points, and batches of them on their way. */
#include <errno.h>
#include <string.h>

#include "stores_internal.h"

int vx_points_init(vx_points *batch, const vx_follower *follower, vx_err *err) {
    *batch = (vx_points){.max = (size_t)follower->url.kind->max_points};
    batch->points = vx_new_array(batch->max, sizeof *batch->points);
    batch->vectors = vx_new_array(batch->max * (size_t)follower->dim, sizeof *batch->vectors);
    return batch->points && batch->vectors ? 0 : VX_FAIL(err, -ENOMEM, "no memory for a batch");
}

static void empty(vx_points *batch) {
    for (size_t i = 0; i < batch->n_videos; i++)
        vx_video_free(batch->videos[i]);
    batch->n = batch->n_videos = batch->n_removed = 0;
}

void vx_points_done(vx_points *batch) {
    empty(batch);
    free(batch->points);
    free(batch->vectors);
    free(batch->videos);
    free(batch->removed);
}

int vx_point_make(const vx_follower *follower, const vx_video *video, const vx_clip *clip,
                  float *vector, vx_point *ret_point, vx_err *err) {
    int rc = vx_catalog_get_vector(follower->params.catalog, follower->row.space, clip->row, vector,
                                   follower->dim, err);
    if (rc)
        return rc;
    vx_point_fill(video, clip, vector, follower->dim, follower->url.kind->max_metadata, ret_point);
    return 0;
}

int vx_points_remove(vx_points *batch, const char *video_id, int index, vx_err *err) {
    if (!vx_make_room(batch->removed, batch->n_removed, batch->removed_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a batch");
    vx_clip_id_of(video_id, index, batch->removed[batch->n_removed++]);
    return 0;
}

static void count(vx_follower *f, int64_t sent, int64_t removed, int64_t refused) {
    vx_mutex_lock(&f->mu);
    f->view.sent += sent;
    f->view.removed += removed;
    f->view.refused += refused;
    vx_mutex_unlock(&f->mu);
}

/* One that the store refuses is left out: it must not hold up all others. */
static int send_one_by_one(vx_points *batch, vx_follower *f, vx_err *err) {
    int rc = 0;
    for (size_t i = 0; i < batch->n && !rc; i++) {
        vx_err why;
        rc = f->outside->kind->upsert(f->outside, &batch->points[i], 1, &why);
        if (rc == VX_OUTSIDE_REFUSED) {
            f->row.refused++;
            count(f, 0, 0, 1);
            vx_mutex_lock(&f->mu);
            vx_err told = why;
            VX_WRAP(&told, "clip %s is left out", batch->points[i].id);
            snprintf(f->view.last_error, sizeof f->view.last_error, "%.399s", told.msg);
            vx_mutex_unlock(&f->mu);
            rc = 0;
        } else if (rc) {
            *err = why;
        } else {
            count(f, 1, 0, 0);
        }
    }
    return rc;
}

/* Removes first: a video that was deleted and sent again has the same ids in both lists. */
int vx_points_flush(vx_points *batch, vx_follower *f, vx_err *err) {
    int rc = 0;
    for (size_t at = 0; at < batch->n_removed && !rc; at += batch->max) {
        size_t n = batch->n_removed - at < batch->max ? batch->n_removed - at : batch->max;
        rc = f->outside->kind->remove(
            f->outside, (const char(*)[VX_CLIP_ID_CHARS + 1]) batch->removed + at, n, err);
        if (!rc)
            count(f, 0, (int64_t)n, 0);
    }
    if (batch->n && !rc) {
        rc = f->outside->kind->upsert(f->outside, batch->points, batch->n, err);
        if (!rc)
            count(f, (int64_t)batch->n, 0, 0);
        else if (rc == VX_OUTSIDE_REFUSED)
            rc = send_one_by_one(batch, f, err);
    }
    empty(batch);
    return rc;
}
