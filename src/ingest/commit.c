/* commit.c — COMMIT of one video: verdict and insert, on the writer's thread.
 *
 * Everything here runs inside the writer's transaction, whose thread reads its own writes: the verdict
 * sees every video before it, stored minutes ago or earlier in the same group. A video gets its vectors
 * of every model in one transaction.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest_internal.h"

typedef struct video_write {
    vx_write write;
    vx_ingest_item *item;
    vx_ingest_result result;
    bool indexed; /* the rows are in the in-memory indexes */
    int64_t started_us;
    vx_job *verify_job; /* for the second look at it, if this made it */
} video_write;

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
    video->evidence = vx_verify_state(item->ingest->params.verify, verdict->kind);
    if (item->work->looked && video->evidence == VX_EVIDENCE_DONE)
        video->evidence = VX_EVIDENCE_PENDING; /* until its looks are noted */
    if (item->in_order && vx_rule_closeness(verdict->kind) &&
        item->ingest->params.extractor->evidence)
        video->evidence = VX_EVIDENCE_PENDING; /* until vx_library_check_pictures */
    snprintf(video->decode_path, sizeof video->decode_path, "%s", extract->decode_path);
    video->frames_decoded = extract->stats.frames_decoded;
    video->frames_total = extract->stats.frames_total;
    video->sample_aspect_ratio = extract->info.sample_aspect_ratio;
    video->rotation_deg = extract->info.rotation_deg;
    snprintf(video->hdr, sizeof video->hdr, "%s", vx_media_hdr_name(extract->info.hdr));
    vx_clip_describe(&item->clip, video->clip_rule);
    video->rules = VX_MEDIA_RULES;
    video->fingerprints = (int)extract->fingerprints;
    video->frames = extract->frames;
    video->n_clips = extract->n_clips;
    for (size_t i = 0; i < video->n_clips; i++)
        video->clips[i] = (vx_clip){.index = (int)i,
                                    .start_s = extract->spans[i].start_s,
                                    .end_s = extract->spans[i].end_s};
    *ret_video = vx_take(video);
    return 0;
}

/* What extract gave, as the collection takes it. */
static vx_collection_data data_of(const vx_ingest_item *item) {
    const vx_extract *extract = &item->work->extract;
    return (vx_collection_data){.vectors = extract->vectors,
                                .fingerprint = extract->fingerprint.stored,
                                .n_frames = extract->fingerprint.n_stored};
}

/* The second look is still to come, or was part of the upload. Of that, what was stored since then saw nothing: then
 * there is another. */
static int begin_second_look(video_write *w, vx_err *err) {
    vx_ingest_work *work = w->item->work;
    vx_collection *collection = w->item->ingest->params.collection;
    vx_video *video = w->result.video;
    bool settled = !vx_verdict_wants_look(video->duplicate.kind);
    if (video->evidence != VX_EVIDENCE_PENDING || w->item->in_order)
        return 0;
    const vx_verdict_subject *subject = &work->subject;
    int rc = subject->described
                 ? vx_collection_set_pictures(collection, video->row, subject->pictures,
                                              subject->n_pictures, err)
                 : 0;
    if (rc)
        return rc;
    const unsigned long long itself = 1;
    unsigned long long n_seen = work->candidates.n_recent + itself;
    if (!work->looked || (!settled && atomic_load(&collection->recent.n) != n_seen))
        return vx_verify_begin(w->item->ingest->params.verify, &w->verify_job, err);
    VX_AUTO_FREE char *looks = vx_verdict_looks_json(&work->looks);
    video->evidence = VX_EVIDENCE_DONE;
    return vx_catalog_end_second_look(collection->catalog, video->row, &video->duplicate, NULL,
                                      looks, err);
}

/* The row of a background job ends in the same transaction as its video begins. If the job was
 * cancelled before, its row has ended: then nothing is stored. */
static int insert(video_write *w, vx_err *err) {
    vx_ingest_item *item = w->item;
    vx_collection *collection = item->ingest->params.collection;
    vx_collection_data data = data_of(item);
    int rc = new_video(item, &w->result.verdict, &w->result.video, err);
    if (!rc)
        rc = vx_collection_insert(collection, w->result.video, &data, err);
    if (!rc)
        rc = vx_upload_job_end(item, &w->result, err);
    if (!rc && item->in_commit)
        rc = item->in_commit(item->ctx, w->result.video, err);
    if (!rc)
        rc = vx_upload_publish(item->upload, err);
    if (!rc && !vx_upload_external_path(item->upload))
        w->write.published = vx_upload_sha256(item->upload);
    if (!rc)
        rc = vx_collection_index(collection, w->result.video, &data, err);
    w->indexed = !rc;
    return rc ? rc : begin_second_look(w, err);
}

/* A long name loses its end, never a part of a character: the sentence must stay whole. */
static int name_bytes(const char *name) {
    size_t n = strlen(name);
    for (n = n < 120 ? n : 120; n && ((unsigned char)name[n] & 0xC0) == 0x80;)
        n--;
    return (int)n;
}

static int reject(video_write *w, vx_video *of, vx_err *err) {
    const vx_verdict_row *v = &w->result.verdict;
    const char *name = w->item->filename;
    char new_length[VX_CLOCK_LENGTH_BYTES], of_length[VX_CLOCK_LENGTH_BYTES],
        at[VX_CLOCK_LENGTH_BYTES];
    w->result.outcome = VX_OUTCOME_DUPLICATE;
    w->result.video = of;
    vx_clock_length(w->item->work->extract.info.duration_s, new_length);
    vx_clock_length(of->duration_s, of_length);
    vx_clock_length(fmax((double)v->offset_s, 0), at);
    if (v->kind == VX_VERDICT_COPY)
        VX_FAIL(
            &w->result.err, 1,
            "The same video is stored already as %.*s (%d × %d, %s, %s). %.*s (%s) is a copy of "
            "it.",
            name_bytes(of->filename), of->filename, of->width_px, of->height_px, of_length, of->id,
            name_bytes(name), name, new_length);
    else
        VX_FAIL(&w->result.err, 1,
                "All of %.*s (%s) is in a video that is stored already: %.*s (%s, %s), from %s on.",
                name_bytes(name), name, new_length, name_bytes(of->filename), of->filename,
                of_length, of->id, at);
    return vx_upload_job_end(w->item, &w->result, err);
}

/* Only what would be lost nowhere is refused: all of it is stored. */
static bool is_refused(const vx_ingest_item *item, vx_verdict_kind kind) {
    return item->reject_duplicates && (kind == VX_VERDICT_COPY || kind == VX_VERDICT_PART_OF);
}

static int apply_video(vx_write *write, vx_err *err) {
    video_write *w = VX_CONTAINER_OF(write, video_write, write);
    VX_AUTO(vx_video) of = NULL;
    vx_ingest_work *work = w->item->work;
    vx_video_id_of(vx_upload_sha256(w->item->upload), work->subject.id);
    int rc = vx_verdict_decide(w->item->ingest->params.collection, &work->subject,
                               w->item->in_order ? NULL : &work->candidates, &w->result.verdict,
                               &of, err);
    if (rc)
        return rc;
    if (is_refused(w->item, w->result.verdict.kind))
        return reject(w, vx_take(of), err);
    return insert(w, err);
}

/* Takes back what apply did outside the transaction. No stored video can need the file: while an item
 * is inside, no other of its bytes is (the in-flight table), and it found none stored. But a commit that
 * failed may come back out of the log after a crash, and then its row needs the file: it stays in the
 * store, and the sweep of the next start removes it if the row did not come back. */
static void undo(video_write *w) {
    if (w->indexed)
        vx_collection_unindex(w->item->ingest->params.collection, w->result.video);
    vx_err err;
    if (w->write.published && !w->write.in_doubt && vx_upload_unpublish(w->item->upload, &err))
        vx_log_failed(VX_LOG_ERROR, "commit", &err, "video=%s", w->result.video->id);
    vx_video_free(vx_take(w->result.video));
}

static void finish_video(vx_write *write, int rc, const vx_err *err) {
    video_write *w = VX_CONTAINER_OF(write, video_write, write);
    vx_ingest_item *item = w->item;
    vx_ingest_add_time(item->ingest, VX_PHASE_COMMIT, vx_clock_monotonic_us() - w->started_us);
    vx_verify_finish(item->ingest->params.verify, w->verify_job, rc);
    if (rc == VX_VERDICT_UNSEEN) { /* before anything was changed */
        vx_ingest_check_again(item);
    } else if (rc) {
        undo(w);
        w->result.err = *err;
        w->result.outcome =
            rc == VX_JOBS_ENDED ? VX_OUTCOME_CANCELLED : vx_outcome_of_error(rc, err);
        vx_ingest_end_unstored(item, &w->result);
    } else {
        if (w->result.outcome != VX_OUTCOME_OK)
            vx_upload_unkeep(item->upload);
        vx_ingest_finish(item, &w->result);
    }
    free(w);
}

void vx_ingest_commit(vx_ingest_item *item) {
    vx_ingest_enter_phase(item, VX_PHASE_COMMIT, 0, 0);
    video_write *w = vx_new(video_write);
    if (w)
        *w = (video_write){.write = {.apply = apply_video, .done = finish_video},
                           .item = item,
                           .started_us = vx_clock_monotonic_us()};
    if (w && !vx_writer_submit(item->ingest->params.writer, &w->write, VX_WRITER_WAIT))
        return;
    vx_ingest_result result = {.outcome = w ? VX_OUTCOME_STOPPING : VX_OUTCOME_INTERNAL};
    VX_FAIL(&result.err, -ESHUTDOWN, w ? "the server is shutting down" : "no memory to commit");
    free(w);
    vx_ingest_end_unstored(item, &result);
}

/* ---- the end of an item that stored nothing ---- */

static int apply_end(vx_write *write, vx_err *err) {
    video_write *w = VX_CONTAINER_OF(write, video_write, write);
    return vx_upload_job_end(w->item, &w->result, err);
}

/* If the end could not be written, the job is tried again, and its file kept. */
static void finish_end(vx_write *write, int rc, const vx_err *err) {
    video_write *w = VX_CONTAINER_OF(write, video_write, write);
    if (rc && rc != VX_JOBS_ENDED)
        vx_jobs_try_again(w->item->ingest->params.jobs, &w->item->job, vx_outcome_of_error(rc, err),
                          err);
    else
        vx_upload_unkeep(w->item->upload);
    vx_ingest_finish(w->item, &w->result);
    free(w);
}

void vx_ingest_end_unstored(vx_ingest_item *item, vx_ingest_result *result) {
    bool job = item->job.id[0];
    bool again = job && vx_outcome_is_our_fault(result->outcome);
    video_write *w = job && !again ? vx_new(video_write) : NULL;
    if (w)
        *w = (video_write){
            .write = {.apply = apply_end, .done = finish_end}, .item = item, .result = *result};
    if (w && !vx_writer_submit(item->ingest->params.writer, &w->write, VX_WRITER_WAIT))
        return;
    free(w);
    if (job)
        vx_jobs_try_again(item->ingest->params.jobs, &item->job,
                          again ? result->outcome : VX_OUTCOME_BUSY, &result->err);
    vx_ingest_finish(item, result);
}
