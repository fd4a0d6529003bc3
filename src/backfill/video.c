/* video.c — one stored video of a job: it gets the vectors that one model lacks, or is read again. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "backfill_internal.h"
#include "base/digest.h"
#include "base/hex.h"
#include "base/log.h"

#define FAILURES_MAX 100 /* that the report names; all are counted */

static bool is_over(void *ctx) {
    return vx_backfill_is_over(ctx);
}

/* ---- counting ---- */

static void count(vx_backfill_job *job, int64_t *counter) {
    vx_mutex_lock(&job->mu);
    (*counter)++;
    vx_mutex_unlock(&job->mu);
}

/* video NULL: not even its row could be read. A file that is gone or has changed does not come back by
 * itself: such a video is not tried again. */
static void count_failed(vx_backfill_job *job, const vx_video *video, vx_outcome outcome,
                         const vx_err *err) {
    bool internal = vx_outcome_is_our_fault(outcome);
    vx_log_failed(VX_LOG_WARN, "backfill", err, "job=%s model=%s video=%s", job->job.id,
                  job->model ? job->model->info->name : "-", video ? video->id : "-");
    vx_mutex_lock(&job->mu);
    job->failed++;
    job->internal += internal;
    if (internal && err->code != -ENOENT && err->code != -ESTALE) {
        job->again = outcome;
        job->again_why = *err;
    }
    if (video && json_array_size(job->failures) < FAILURES_MAX)
        json_array_append_new(job->failures,
                              json_pack("{s:s, s:s}", "video_id", video->id, "detail", err->msg));
    vx_mutex_unlock(&job->mu);
}

/* ---- the video ---- */

/* The file that the video was made from; -ESTALE: an external one no longer has its size. */
static int find_file(const vx_store *store, const vx_video *video, vx_stored_file *ret_file,
                     char table_path[PATH_MAX], vx_err *err) {
    struct stat facts;
    vx_store_table_path(store, video->sha256, table_path, PATH_MAX);
    int rc = vx_store_find_file(store, video->sha256, video->source_path, ret_file, err);
    if (rc || !video->source_path)
        return rc;
    if (stat(ret_file->path, &facts))
        return VX_FAIL_ERRNO(err, "looking at %s", ret_file->path);
    return facts.st_size == video->bytes ? 0
                                         : VX_FAIL(err, -ESTALE, "%s has changed", ret_file->path);
}

/* A vector that is stored but no index has. */
static bool has_damaged_vector(const vx_backfill_job *job, const vx_video *video) {
    vx_catalog *catalog = job->backfill->params.collection->catalog;
    const vx_model *model = job->model;
    VX_AUTO_FREE float *vector = vx_new_array((size_t)model->info->dim, sizeof *vector);
    for (size_t i = 0; vector && i < video->n_clips; i++) {
        vx_err err;
        if (!vx_index_has(model->index, video->clips[i].row) &&
            vx_catalog_get_vector(catalog, model->space, video->clips[i].row, vector,
                                  model->info->dim, &err) != VX_CATALOG_NOT_FOUND)
            return true;
    }
    return false;
}

/* Where a disk has damaged a vector, the file may be damaged too, and decode all the same. */
static vx_outcome check_file(const vx_video *video, const char *path, vx_err *err) {
    char found[VX_DIGEST_HEX_BYTES], expected[VX_DIGEST_HEX_BYTES];
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? VX_FAIL_ERRNO(err, "opening %s", path) : vx_digest_file(fd, found, err);
    if (rc)
        return vx_outcome_of_error(rc, err);
    vx_hex_encode(video->sha256, 32, expected);
    if (!strcmp(found, expected))
        return VX_OUTCOME_OK;
    VX_FAIL(err, 1,
            "its file is damaged, as is its vector: send the same file again; see vidx check");
    return VX_OUTCOME_MEDIA_DAMAGED;
}

static vx_outcome make_vectors(vx_backfill_job *job, const vx_video *video, const char *path,
                               const char *table_path, int decode_threads, vx_err *err) {
    const vx_backfill_params *p = &job->backfill->params;
    vx_outcome outcome = has_damaged_vector(job, video) ? check_file(video, path, err) : 0;
    if (outcome)
        return outcome;
    vx_extract_watch watch = {.cancelled = is_over, .ctx = job};
    vx_missing_vectors want = {
        .extractor = p->extractor,
        .collection = p->collection,
        .writer = p->writer,
        .video = video,
        .path = path,
        .table_path = table_path,
        .models = 1U << vx_models_index_of(p->collection->models, job->model),
        .decode_threads = decode_threads,
        .watch = &watch,
    };
    return vx_missing_vectors_make(&want, err);
}

static vx_outcome work_on(vx_backfill_job *job, const vx_video *video, int decode_threads,
                          bool *ret_changed, vx_err *err) {
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    char table_path[PATH_MAX];
    int rc = find_file(job->backfill->params.store, video, &file, table_path, err);
    if (rc)
        return vx_outcome_of_error(rc, err);
    *ret_changed = true;
    return job->model ? make_vectors(job, video, file.path, table_path, decode_threads, err)
                      : vx_backfill_reread(job, video, file.path, table_path, decode_threads,
                                           ret_changed, err);
}

static bool is_deleted(const vx_backfill_job *job, int64_t video_row) {
    VX_AUTO(vx_video) video = NULL;
    vx_err err;
    return vx_catalog_get_video_by_row(job->backfill->params.collection->catalog, video_row, &video,
                                       &err) == VX_CATALOG_NOT_FOUND;
}

void vx_backfill_video(vx_backfill_job *job, int64_t video_row, int decode_threads) {
    VX_AUTO(vx_video) video = NULL;
    vx_err err;
    bool changed = false;
    int rc = vx_catalog_get_video_by_row(job->backfill->params.collection->catalog, video_row,
                                         &video, &err);
    vx_outcome outcome = rc < 0 ? vx_outcome_of_error(rc, &err)
                         : rc   ? VX_OUTCOME_NOT_FOUND
                                : work_on(job, video, decode_threads, &changed, &err);
    if (!outcome)
        count(job, changed ? &job->embedded : &job->unchanged);
    else if (vx_backfill_is_over(job))
        return; /* whatever failed may have failed for that */
    else if (is_deleted(job, video_row))
        count(job, &job->deleted);
    else
        count_failed(job, video, outcome, &err);
    atomic_fetch_add(&job->job.done, 1);
}
