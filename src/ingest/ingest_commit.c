/* ingest_commit.c — COMMIT of one video: verdict and insert, on the committer thread.
 *
 * Everything here runs inside the committer's transaction, whose thread reads its own writes: the
 * verdict sees every video before it, stored minutes ago or earlier in the same group. A video gets
 * its vectors of every model in one transaction.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fingerprint/fingerprint.h"
#include "ingest_internal.h"
#include "jobs/jobs.h"

typedef struct video_op {
    vx_commit_op op;
    vx_ingest_item *item;
    vx_ingest_result result;
    bool indexed; /* the rows are in the in-memory indexes */
    int64_t started_us;
} video_op;

/* ---- the insert ---- */

static int new_video(const vx_ingest_item *item, const vx_verdict_row *verdict,
                     vx_video **ret_video, vx_err *err) {
    const vx_extract *extract = &item->work->extract;
    const char *source = vx_upload_external_path(item->upload);
    VX_AUTO(vx_video) video = vx_new(vx_video);
    if (video) {
        video->filename = strdup(item->filename);
        video->metadata = strdup(item->metadata);
        video->source_path = source ? strdup(source) : NULL;
        video->clips = vx_new_array(extract->n_clips, sizeof *video->clips);
    }
    if (!video || !video->filename || !video->metadata || !video->clips ||
        (source && !video->source_path))
        return VX_FAIL(err, -ENOMEM, "no memory for a video of %zu clips", extract->n_clips);
    memcpy(video->sha256, vx_upload_sha256(item->upload), 32);
    vx_video_id_of(video->sha256, video->id);
    video->bytes = vx_upload_bytes(item->upload);
    snprintf(video->container, sizeof video->container, "%s", extract->info.container);
    snprintf(video->codec, sizeof video->codec, "%s", extract->info.codec);
    video->width_px = extract->info.width_px;
    video->height_px = extract->info.height_px;
    video->fps = extract->info.fps;
    video->duration_s = extract->info.duration_s;
    video->created_us = vx_clock_unix_us();
    video->duplicate = *verdict;
    strcpy(video->decode_path, "cpu");
    video->frames_decoded = extract->stats.frames_decoded;
    video->frames_total = extract->stats.frames_total;
    video->n_clips = extract->n_clips;
    for (size_t i = 0; i < video->n_clips; i++)
        video->clips[i] = (vx_clip){.index = (int)i,
                                    .start_s = extract->spans[i].start_s,
                                    .end_s = extract->spans[i].end_s};
    *ret_video = vx_take(video);
    return 0;
}

static int insert_vectors(vx_server *server, const vx_model *model, const float *vectors,
                          const vx_video *video, vx_err *err) {
    int dim = model->info->dim, rc = 0;
    for (size_t i = 0; i < video->n_clips && !rc; i++)
        rc = vx_catalog_insert_vector(server->catalog, model->space, video->clips[i].row,
                                      vectors + i * (size_t)dim, dim, err);
    return rc;
}

static int insert_rows(vx_server *server, const vx_extract *extract, vx_video *video, vx_err *err) {
    int rc = vx_catalog_insert_video(server->catalog, video, err);
    for (int m = 0; m < server->n_models && !rc; m++)
        if (extract->vectors[m])
            rc = insert_vectors(server, &server->models[m], extract->vectors[m], video, err);
    if (rc || !extract->fingerprint.n_stored)
        return rc;
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes;
    rc = vx_fp_pack(extract->fingerprint.stored, extract->fingerprint.n_stored, &blob, &bytes, err);
    return rc ? rc : vx_catalog_insert_fingerprint(server->catalog, video->row, blob, bytes, err);
}

static void remove_from_indexes(vx_server *server, const vx_video *video) {
    vx_server_forget_clips(server, video);
    vx_fp_index_remove(server->fingerprints, video->row, NULL);
}

static int add_to_indexes(vx_server *server, const vx_extract *extract, const vx_video *video,
                          vx_err *err) {
    VX_AUTO_FREE int64_t *rows = vx_new_array(video->n_clips, sizeof *rows);
    if (!rows)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    for (size_t i = 0; i < video->n_clips; i++)
        rows[i] = video->clips[i].row;
    int rc = 0;
    for (int m = 0; m < server->n_models && !rc; m++)
        if (extract->vectors[m])
            rc = vx_index_add(server->models[m].index, rows, extract->vectors[m], video->n_clips,
                              err);
    if (!rc)
        rc = vx_fp_index_add(server->fingerprints, video->row, extract->fingerprint.stored,
                             extract->fingerprint.n_stored, err);
    if (rc)
        remove_from_indexes(server, video);
    else
        vx_verdict_note(server, video->row);
    return rc;
}

/* The row of a background job ends in the same transaction as its video begins. One that was cancelled
 * before has ended: then nothing is stored. */
static int end_job(vx_server *server, const vx_ingest_item *item, const vx_ingest_result *result,
                   vx_err *err) {
    if (!item->job_id[0])
        return 0;
    VX_AUTO_FREE char *json = vx_jobs_result_json(result);
    if (!json)
        return VX_FAIL(err, -ENOMEM, "no memory for a job's result");
    vx_job_state state = result->outcome <= VX_OUTCOME_EXISTING    ? VX_JOB_DONE
                         : result->outcome == VX_OUTCOME_CANCELLED ? VX_JOB_CANCELLED
                                                                   : VX_JOB_FAILED;
    return vx_jobs_end(server, item->job_id, state, json, err);
}

static int insert(vx_server *server, video_op *o, vx_err *err) {
    vx_ingest_item *item = o->item;
    int rc = new_video(item, &o->result.verdict, &o->result.video, err);
    if (!rc)
        rc = insert_rows(server, &item->work->extract, o->result.video, err);
    if (!rc)
        rc = end_job(server, item, &o->result, err);
    if (!rc)
        rc = vx_upload_publish(item->upload, err);
    if (!rc && !vx_upload_external_path(item->upload))
        o->op.published = vx_upload_sha256(item->upload);
    if (!rc)
        rc = add_to_indexes(server, &item->work->extract, o->result.video, err);
    o->indexed = !rc;
    return rc;
}

static int reject(vx_server *server, video_op *o, vx_video *of, vx_err *err) {
    o->result.outcome = VX_OUTCOME_DUPLICATE;
    o->result.video = of;
    const vx_verdict_row *v = &o->result.verdict;
    if (v->kind == VX_VERDICT_COPY)
        VX_FAIL(&o->result.err, 1,
                "a copy of this video is stored already (%s, %.0f %% of the "
                "frames agree)",
                v->of, (double)v->share * 100);
    else
        VX_FAIL(&o->result.err, 1, "a similar video is stored already (%s, score %.3f)", v->of,
                (double)v->score);
    return end_job(server, o->item, &o->result, err);
}

static int video_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    video_op *o = (video_op *)op;
    VX_AUTO(vx_video) of = NULL;
    const vx_ingest_work *work = o->item->work;
    int rc = vx_verdict_decide(server, &work->extract, &work->look, &o->result.verdict, &of, err);
    if (rc)
        return rc;
    if (o->item->reject_duplicates && o->result.verdict.kind != VX_VERDICT_NEW)
        return reject(server, o, vx_take(of), err);
    return insert(server, o, err);
}

/* What apply did outside the transaction is taken back. No stored video can need the file: while an
 * item is inside, no other of its bytes is (the in-flight table), and it found none stored. */
static void undo(vx_server *server, video_op *o) {
    if (o->indexed)
        remove_from_indexes(server, o->result.video);
    vx_err err;
    if (o->op.published && vx_upload_unpublish(o->item->upload, &err))
        vx_log_failed(VX_LOG_ERROR, "commit", &err, "video=%s", o->result.video->id);
    vx_video_free(vx_take(o->result.video));
}

static void video_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    video_op *o = (video_op *)op;
    vx_ingest_add_time(server, VX_PHASE_COMMIT, vx_clock_monotonic_us() - o->started_us);
    if (rc) {
        undo(server, o);
        o->result.err = *err;
        o->result.outcome = rc == -ENOSPC         ? VX_OUTCOME_NO_SPACE
                            : rc == VX_JOBS_ENDED ? VX_OUTCOME_CANCELLED
                                                  : VX_OUTCOME_INTERNAL;
        if (o->item->job_id[0]) {
            vx_ingest_fail_job(server, o->item, &o->result);
            free(o);
            return;
        }
    } else if (o->result.outcome != VX_OUTCOME_OK) {
        vx_upload_unkeep(o->item->upload);
    }
    vx_ingest_finish(server, o->item, &o->result);
    free(o);
}

static void finish_unsubmitted(vx_server *server, vx_ingest_item *item, video_op *o) {
    vx_ingest_result result = {.outcome = o ? VX_OUTCOME_STOPPING : VX_OUTCOME_INTERNAL};
    VX_FAIL(&result.err, -ESHUTDOWN, o ? "the server is shutting down" : "no memory to commit");
    free(o);
    vx_ingest_finish(server, item, &result);
}

void vx_ingest_commit(vx_server *server, vx_ingest_item *item) {
    vx_ingest_enter_phase(server, item, VX_PHASE_COMMIT, 0, 0);
    video_op *o = vx_new(video_op);
    if (o)
        *o = (video_op){.op = {.apply = video_apply, .done = video_done},
                        .item = item,
                        .started_us = vx_clock_monotonic_us()};
    if (!o || vx_commit_submit(server, &o->op, VX_COMMIT_WAIT))
        finish_unsubmitted(server, item, o);
}

/* ---- the end of a background job that stored nothing ---- */

static int fail_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    video_op *o = (video_op *)op;
    return end_job(server, o->item, &o->result, err);
}

/* Could the end not be written, the job stays queued and its file kept: the next start runs it. */
static void fail_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    video_op *o = (video_op *)op;
    if (rc && rc != VX_JOBS_ENDED)
        vx_log_failed(VX_LOG_ERROR, "job", err, "job=%s", o->item->job_id);
    else
        vx_upload_unkeep(o->item->upload);
    vx_ingest_finish(server, o->item, &o->result);
    free(o);
}

void vx_ingest_fail_job(vx_server *server, vx_ingest_item *item, vx_ingest_result *result) {
    video_op *o = vx_new(video_op);
    if (o)
        *o = (video_op){
            .op = {.apply = fail_apply, .done = fail_done}, .item = item, .result = *result};
    if (o && !vx_commit_submit(server, &o->op, VX_COMMIT_WAIT))
        return;
    free(o);
    vx_ingest_finish(server, item, result);
}
