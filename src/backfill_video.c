/* backfill_video.c — one stored video gets the vectors that one model lacks. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "backfill_internal.h"
#include "base/log.h"
#include "commit.h"
#include "extract.h"
#include "verdict.h"

#define FAILURES_MAX 100 /* that the report names; all are counted */

bool vx_backfill_is_over(const vx_backfill_job *job) {
    return atomic_load(&job->live.cancelled) || atomic_load(&job->server->stopping);
}

static bool is_over(void *ctx) {
    return vx_backfill_is_over(ctx);
}

/* ---- counting ---- */

static void count(vx_backfill_job *job, int64_t *counter) {
    vx_mutex_lock(&job->mu);
    (*counter)++;
    vx_mutex_unlock(&job->mu);
}

/* video NULL: not even its row could be read. */
static void count_failed(vx_backfill_job *job, const vx_video *video, bool internal,
                         const vx_err *err) {
    vx_log_failed(VX_LOG_WARN, "backfill", err, "job=%s model=%s video=%s", job->live.id,
                  job->model->info->name, video ? video->id : "-");
    vx_mutex_lock(&job->mu);
    job->failed++;
    job->internal += internal;
    if (video && json_array_size(job->failures) < FAILURES_MAX)
        json_array_append_new(job->failures,
                              json_pack("{s:s, s:s}", "video_id", video->id, "detail", err->msg));
    vx_mutex_unlock(&job->mu);
}

/* ---- the insert, on the committer's thread ---- */

typedef struct fill {
    vx_backfill_job *job;
    const vx_video *video; /* as it was when its file was read */
    const float *vectors;  /* float32 [n_clips, dim] */
    int64_t *added;        /* [n_clips] clip rows put into the index */
    size_t n_added;
} fill;

static int add_clip(fill *f, size_t i, vx_err *err) {
    const vx_model *model = f->job->model;
    int64_t clip = f->video->clips[i].row;
    const float *vector = f->vectors + i * (size_t)model->info->dim;
    if (vx_index_has(model->index, clip))
        return 0;
    int rc = vx_catalog_insert_vector(f->job->server->catalog, model->space, clip, vector,
                                      model->info->dim, err);
    if (!rc)
        rc = vx_index_add(model->index, &clip, vector, 1, err);
    if (!rc)
        f->added[f->n_added++] = clip;
    return rc;
}

/* VX_CATALOG_NOT_FOUND: deleted meanwhile. */
static int apply(void *ctx, vx_server *server, vx_err *err) {
    fill *f = ctx;
    VX_AUTO(vx_video) stored = NULL;
    int rc = vx_catalog_get_video_by_row(server->catalog, f->video->row, &stored, err);
    for (size_t i = 0; i < f->video->n_clips && !rc; i++)
        rc = add_clip(f, i, err);
    if (!rc)
        vx_verdict_note(server, f->video->row);
    return rc;
}

static int insert(vx_backfill_job *job, const vx_video *video, const float *vectors, vx_err *err) {
    VX_AUTO_FREE int64_t *added = vx_new_array(video->n_clips, sizeof *added);
    if (!added)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    fill f = {.job = job, .video = video, .vectors = vectors, .added = added};
    int rc = vx_commit_run(job->server, apply, &f, err);
    if (rc) /* the transaction is undone, so is this */
        vx_index_remove(job->model->index, added, f.n_added, NULL);
    return rc;
}

/* ---- the vectors ---- */

/* The file that the video was made from; an external one must still have its size. */
static int find_file(const vx_server *server, const vx_video *video, char path[PATH_MAX],
                     vx_err *err) {
    struct stat facts;
    if (!video->source_path) {
        vx_store_path(server->store, video->sha256, path, PATH_MAX);
        return 0;
    }
    snprintf(path, PATH_MAX, "%s", video->source_path);
    if (stat(path, &facts))
        return VX_FAIL_ERRNO(err, "looking at %s", path);
    return facts.st_size == video->bytes ? 0 : VX_FAIL(err, -EIO, "%s has changed", path);
}

static vx_outcome extract(vx_backfill_job *job, const vx_video *video, int decode_threads,
                          vx_extract *ret_extract, vx_err *err) {
    char path[PATH_MAX];
    VX_AUTO_FREE vx_span *spans = vx_new_array(video->n_clips, sizeof *spans);
    if (!spans) {
        VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
        return VX_OUTCOME_INTERNAL;
    }
    for (size_t i = 0; i < video->n_clips; i++)
        spans[i] = (vx_span){video->clips[i].start_s, video->clips[i].end_s};
    if (find_file(job->server, video, path, err))
        return VX_OUTCOME_MEDIA_DAMAGED;
    vx_extract_watch watch = {.cancelled = is_over, .ctx = job};
    vx_extract_params params = {
        .path = path,
        .spans = spans,
        .n_spans = video->n_clips,
        .models = 1U << (job->model - job->server->models),
        .decode_threads = decode_threads,
        .watch = &watch,
    };
    return vx_extract_run(job->server, &params, ret_extract, err);
}

static bool is_deleted(const vx_backfill_job *job, int64_t video_row) {
    VX_AUTO(vx_video) video = NULL;
    vx_err err;
    return vx_catalog_get_video_by_row(job->server->catalog, video_row, &video, &err) ==
           VX_CATALOG_NOT_FOUND;
}

void vx_backfill_video(vx_backfill_job *job, int64_t video_row, int decode_threads) {
    VX_AUTO(vx_video) video = NULL;
    vx_err err;
    vx_extract found = {0};
    int rc = vx_catalog_get_video_by_row(job->server->catalog, video_row, &video, &err);
    vx_outcome outcome =
        rc ? VX_OUTCOME_INTERNAL : extract(job, video, decode_threads, &found, &err);
    if (!outcome)
        rc = insert(job, video, found.vectors[job->model - job->server->models], &err);
    vx_extract_clear(&found);
    if (!outcome && !rc)
        count(job, &job->embedded);
    else if (vx_backfill_is_over(job))
        return; /* whatever failed may have failed for that */
    else if (rc == VX_CATALOG_NOT_FOUND || is_deleted(job, video_row))
        count(job, &job->deleted);
    else
        count_failed(job, video, rc || outcome == VX_OUTCOME_INTERNAL, &err);
    atomic_fetch_add(&job->live.done, 1);
}
