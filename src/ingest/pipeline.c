/* pipeline.c — the way of an item, station by station.
 *
 *   submit → sealers (fsync) ────────┐
 *          → workers (PROBE … EMBED) ──┴→ writer (verdict and insert) → finish
 *
 *   submit → sealers (fsync; the item becomes a durable job) → workers → writer → finish
 *
 *   a job made again from its row → workers → writer → finish
 *
 * The second line is a background item: its 202 promises that it survives, so it is durable before
 * anything is done with it. In the first line nobody has been promised anything until the end, so the
 * disk writes while the processor decodes, and whichever ends last hands the item to the writer. What
 * is on the disk when, in both: the bytes (fsync of the file, here), their name in the store (fsync
 * of its folder, vx_store_sync), the rows that name them (the transaction, writer/), the answer.
 *
 * Sealing has threads of its own because it waits for the disk, not for a core: sixteen uploads
 * fsync side by side, and a 202 does not wait behind a two-hour film. At most `capacity` items are
 * inside; each queue has room for all of them, so a push inside never fails or waits.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest_internal.h"

#define SEALERS 16
/* Behind answers to queries, which take milliseconds where a video takes seconds; before those decodes that
 * only fill up cores (media/decoder.c). */
#define WORKERS_NICE 5

static void end_with_error(vx_ingest_item *item, int rc, const vx_err *err) {
    vx_ingest_result result = {.outcome = vx_outcome_of_error(rc, err), .err = *err};
    vx_ingest_end_unstored(item, &result);
}

typedef struct adoption {
    vx_catalog *catalog;
    const vx_video *video;
    int64_t bytes;
} adoption;

static int apply_adoption(void *ctx, vx_err *err) {
    const adoption *a = ctx;
    return vx_catalog_adopt_file(a->catalog, a->video->row, a->bytes, err);
}

/* The file of a video that was imported without one, or has lost the one in place: it is in the store before the catalog says so. */
static int adopt_file(vx_ingest_item *item, vx_video *stored, vx_err *err) {
    const vx_ingest_params *params = &item->ingest->params;
    adoption a = {params->collection->catalog, stored, vx_upload_bytes(item->upload)};
    int rc = vx_upload_verify(item->upload, err);
    if (!rc)
        rc = vx_upload_restore(item->upload, err);
    if (!rc)
        rc = vx_writer_run(params->writer, apply_adoption, NULL, &a, err);
    if (rc == VX_CATALOG_NOT_FOUND) { /* another upload of it was first, or it was deleted */
        bool has = false;
        rc = vx_catalog_has_video(params->collection->catalog, stored->row, &has, err);
        if (!rc && !has)
            rc = VX_FAIL(err, -EAGAIN, "video %s was deleted during this upload: upload it again",
                         stored->id);
    }
    if (rc)
        return rc;
    free(stored->source_path);
    stored->source_path = NULL;
    stored->bytes = a.bytes;
    vx_log(VX_LOG_INFO, "adopted",
           "request_id=%s video=%s hint=\"its file was not there; one that was imported is read by "
           "POST /v1/reread\"",
           item->request_id, stored->id);
    return 0;
}

/* False: it was imported without a file, or its file in place cannot be read now. */
static bool has_file_outside(const vx_ingest_item *item, const vx_video *stored) {
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    return !stored->source_path || !vx_store_find_file(item->ingest->params.store, stored->sha256,
                                                       stored->source_path, &file, NULL);
}

/* The same bytes came again: if the stored video has lost its file, it gets this one. Both the sealer and
 * the worker are through. */
static int restore_file(vx_ingest_item *item, vx_video *stored, vx_err *err) {
    if (!has_file_outside(item, stored) && !vx_upload_external_path(item->upload))
        return adopt_file(item, stored, err);
    if (stored->source_path || vx_upload_external_path(item->upload) ||
        vx_store_has(item->ingest->params.store, stored->sha256, stored->bytes))
        return 0;
    int rc =
        vx_upload_verify(item->upload, err); /* of a job: not done before, as it was not needed */
    if (rc == -ENOENT)
        return 0;
    if (!rc)
        rc = vx_upload_restore(item->upload, err);
    if (!rc)
        vx_collection_file_is_back(item->ingest->params.collection, stored->row);
    if (!rc)
        vx_log(VX_LOG_WARN, "restored",
               "request_id=%s video=%s hint=\"its file was missing or cut off; the same bytes were "
               "sent again\"",
               item->request_id, stored->id);
    return rc;
}

static void send_on(vx_ingest_item *item) {
    vx_ingest_work *work = item->work;
    if (item->in_order && !work->result.outcome && atomic_load(&item->ingest->stopping)) {
        VX_FAIL(&work->result.err, -ESHUTDOWN, "one before it was stopped");
        work->result.outcome = VX_OUTCOME_STOPPING;
    }
    vx_ingest_result result = work->result; /* the work goes with the item */
    if (result.outcome == VX_OUTCOME_EXISTING && !work->seal_rc) {
        int rc = restore_file(item, result.video, &result.err);
        if (rc)
            result.outcome = vx_outcome_of_error(rc, &result.err);
    }
    if (!result.outcome && !item->job.id[0] && vx_ingest_is_void(item)) {
        VX_FAIL(&result.err, VX_OUTCOME_CANCELLED, "the client has left");
        result.outcome = VX_OUTCOME_CANCELLED;
    }
    if (result.outcome)
        vx_ingest_end_unstored(item, &result);
    else if (work->seal_rc)
        end_with_error(item, work->seal_rc, &work->seal_err);
    else
        vx_ingest_commit(item);
}

/* The sealer and the worker each call this at their end; the last one sends the item on. */
static void end_stage(vx_ingest_item *item) {
    if (atomic_fetch_sub(&item->work->n_awaited, 1) > 1)
        return;
    if (item->in_order)
        vx_ingest_wait_for_turn(item, send_on);
    else
        send_on(item);
}

/* ---- workers ---- */

static void on_phase(void *ctx, vx_phase phase, int64_t done, int64_t total) {
    vx_ingest_item *item = ctx;
    vx_ingest_enter_phase(item, phase, done, total);
    if (item->on_phase)
        item->on_phase(item->ctx, phase, done, total);
}

static void on_time(void *ctx, vx_phase phase, int64_t us) {
    vx_ingest_add_time(((const vx_ingest_item *)ctx)->ingest, phase, us);
}

static bool is_cancelled(void *ctx) {
    const vx_ingest_item *item = ctx;
    return atomic_load(&item->ingest->stopping) || vx_ingest_is_void(item);
}

static bool may_be_long(void *ctx) {
    return vx_ingest_begin_long(ctx);
}

/* The try of a job is counted before anything is done that may end the process. */
static vx_outcome begin_try(vx_ingest_item *item, vx_err *err) {
    int rc = item->job.id[0] ? vx_jobs_begin(item->ingest->params.jobs, &item->job, err) : 0;
    return rc == VX_JOBS_ENDED ? VX_OUTCOME_CANCELLED : vx_outcome_of_error(rc, err);
}

/* OK: these bytes are not stored yet. */
static vx_ingest_result find_stored(const vx_ingest_item *item) {
    vx_ingest_result result = {.outcome = VX_OUTCOME_EXISTING,
                               .verdict = {.kind = VX_VERDICT_EXACT,
                                           .score = 1,
                                           .share = 1,
                                           .share_of_new = 1,
                                           .share_of_stored = 1}};
    int rc =
        vx_catalog_get_video_by_sha256(item->ingest->params.collection->catalog,
                                       vx_upload_sha256(item->upload), &result.video, &result.err);
    if (rc == VX_CATALOG_NOT_FOUND)
        return (vx_ingest_result){0};
    if (rc)
        result.outcome = vx_outcome_of_error(rc, &result.err);
    else
        strcpy(result.verdict.of, result.video->id);
    return result;
}

static vx_ingest_result extract(vx_ingest_item *item) {
    vx_ingest *in = item->ingest;
    vx_extract_watch watch = {on_phase, on_time, is_cancelled, may_be_long, item};
    atomic_store(&item->job.started_us, vx_clock_monotonic_us());
    /* Divide the cores among active decodes, never fewer than two threads each: so cores stay busy
     * where one decode waits and when the last ones end. */
    int threads = vx_thread_cores() / (atomic_fetch_add(&in->working, 1) + 1);
    char table_path[PATH_MAX];
    vx_store_table_path(in->params.store, vx_upload_sha256(item->upload), table_path,
                        sizeof table_path);
    vx_extract_params params = {
        .path = vx_upload_path(item->upload),
        .table_path = table_path,
        .clip = &item->clip,
        .models = VX_EXTRACT_ALL_MODELS,
        .frames = item->frames,
        .fingerprints = true,
        .decode_threads = threads < 2 ? 2 : threads,
        .watch = &watch,
    };
    vx_ingest_result result = {0};
    result.outcome =
        vx_extract_run(in->params.extractor, &params, &item->work->extract, &result.err);
    atomic_fetch_sub(&in->working, 1);
    return result;
}

/* False: the video is a long one and waits for its place; the item comes back to the workers with it. */
static bool extract_in_place(vx_ingest_item *item) {
    vx_ingest_result *result = &item->work->result;
    for (;;) {
        *result = extract(item);
        if (result->outcome != VX_OUTCOME_CANCELLED)
            return true;
        if (is_cancelled(item))
            break;
        *result = (vx_ingest_result){0};
        if (vx_ingest_wait_as_long(item))
            return false;
    }
    if (!vx_ingest_is_void(item)) {
        VX_FAIL(&result->err, -ESHUTDOWN, "the server is shutting down");
        result->outcome = VX_OUTCOME_STOPPING;
    }
    return true;
}

static void on_check(void *ctx, const vx_video *of, const vx_evidence *evidence) {
    vx_ingest_item *item = ctx;
    vx_ingest *in = item->ingest;
    vx_mutex_lock(&in->mu);
    in->stats.checks[evidence->kind]++;
    vx_mutex_unlock(&in->mu);
    vx_log(VX_LOG_DEBUG, "evidence", "request_id=%s of=%s kind=%s motion=%.3f inliers=%d",
           item->request_id, of->id, vx_evidence_kind_name(evidence->kind),
           (double)evidence->motion, evidence->n_inliers);
}

/* Of the copy model, if there is one; stored with the video. */
static int describe(vx_ingest_work *work, const vx_verdict_files *files, vx_err *err) {
    vx_verdict_subject *subject = &work->subject;
    if (!files->extractor->models->copy || subject->described)
        return 0;
    int rc =
        vx_verdict_describe(files, subject->length_s, &work->pictures, &subject->n_pictures, err);
    subject->pictures = work->pictures;
    subject->described = !rc;
    return rc;
}

/* For an item that waits for it: looks a second time, once. */
static int look_again(vx_ingest_item *item, const vx_verdict_files *files, vx_err *err) {
    vx_ingest_work *work = item->work;
    vx_collection *collection = item->ingest->params.collection;
    bool wanted = false;
    if (!item->waits_for_evidence || work->looked || files->extractor->evidence < VX_EVIDENCE_FULL)
        return 0;
    int rc = vx_verdict_may_be_closer(collection, &work->subject, &work->candidates, &wanted, err);
    if (rc || !wanted)
        return rc;
    rc = describe(work, files, err);
    if (rc)
        return rc;
    rc = vx_verdict_look_again(collection, &work->subject, files, files->extractor->evidence,
                               &work->looks, err);
    work->looked = !rc;
    if (!rc && work->looks.found.of)
        work->candidates.shown = work->looks.found;
    return rc;
}

/* Looks at the pictures of what the hashes call a copy, and then of what else is near if the item waits for that. */
static void check_matches(vx_ingest_item *item, vx_ingest_result *result) {
    vx_ingest *in = item->ingest;
    vx_ingest_work *work = item->work;
    const vx_verdict_files files = {.store = in->params.store,
                                    .extractor = in->params.extractor,
                                    .path = vx_upload_path(item->upload),
                                    .sha256 = vx_upload_sha256(item->upload),
                                    .decode_threads = 1,
                                    .cancelled = is_cancelled,
                                    .on_check = on_check,
                                    .ctx = item};
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_verdict_check(in->params.collection, &work->subject, &files, &work->candidates,
                              &result->err);
    if (!rc)
        rc = look_again(item, &files, &result->err);
    vx_mutex_lock(&in->mu);
    in->stats.checks_us += vx_clock_monotonic_us() - start_us;
    vx_mutex_unlock(&in->mu);
    if (rc == VX_MEDIA_STOPPED)
        result->outcome = vx_ingest_is_void(item) ? VX_OUTCOME_CANCELLED : VX_OUTCOME_STOPPING;
    else
        result->outcome = vx_outcome_of_error(rc, &result->err);
}

/* The part of COMMIT that needs no transaction, and so not the one writer. */
static void find_candidates(vx_ingest_item *item, vx_ingest_result *result) {
    vx_ingest_work *work = item->work;
    work->subject = (vx_verdict_subject){.vectors = work->extract.vectors[0],
                                         .n_clips = work->extract.n_clips,
                                         .fingerprint = &work->extract.fingerprint,
                                         .spans = work->extract.spans,
                                         .width_px = work->extract.info.width_px,
                                         .height_px = work->extract.info.height_px,
                                         .length_s = work->extract.info.duration_s,
                                         .described = work->subject.described,
                                         .pictures = work->subject.pictures,
                                         .n_pictures = work->subject.n_pictures};
    vx_ingest_enter_phase(item, VX_PHASE_COMMIT, 0, 0);
    if (item->in_order) /* what it finds would depend on what is stored at this moment */
        return;
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_verdict_find_candidates(item->ingest->params.collection, &work->subject,
                                        &work->candidates, &result->err);
    result->outcome = vx_outcome_of_error(rc, &result->err);
    if (!rc)
        check_matches(item, result);
    vx_ingest_add_time(item->ingest, VX_PHASE_COMMIT, vx_clock_monotonic_us() - start_us);
}

/* A kept file that is gone does not come back: its job ends, as when a backup was restored. */
static vx_outcome verify(vx_ingest_item *item, vx_err *err) {
    int rc = vx_upload_verify(item->upload, err);
    if (rc != -ENOENT)
        return vx_outcome_of_error(rc, err);
    VX_FAIL(err, rc, "the uploaded file of this job is gone: upload it again");
    return VX_OUTCOME_NOT_FOUND;
}

/* What is done before an item's file is opened. */
static void begin(vx_ingest_item *item) {
    vx_ingest_result *result = &item->work->result;
    item->work->has_begun = true;
    result->outcome = begin_try(item, &result->err);
    if (!result->outcome)
        *result = find_stored(item);
    if (!result->outcome) /* of the same bytes no other item is inside: see lead_or_park */
        result->outcome = verify(item, &result->err);
}

static void work_on(void *ctx, void *taken) {
    (void)ctx;
    vx_ingest_item *item = taken;
    vx_ingest_work *work = item->work;
    vx_ingest_result *result = &work->result;
    if (!work->has_begun && !vx_ingest_lead_or_park(item))
        return;
    if (vx_ingest_is_void(item)) {
        VX_FAIL(&result->err, VX_OUTCOME_CANCELLED, "it was cancelled before it began");
        result->outcome = VX_OUTCOME_CANCELLED;
    } else if (!work->has_begun) {
        begin(item);
    }
    if (!result->outcome && work->comes_back) {
        work->comes_back = false;
        check_matches(item, result);
        end_stage(item);
        return;
    }
    if (!result->outcome && !extract_in_place(item))
        return;
    if (!result->outcome)
        find_candidates(item, result);
    vx_ingest_end_long(item);
    end_stage(item);
}

/* ---- sealers ---- */

static void on_accepted(vx_job *job, int rc, const vx_err *err) {
    vx_ingest_item *item = VX_CONTAINER_OF(job, vx_ingest_item, job);
    if (item->accepted)
        item->accepted(item->ctx, vx_outcome_of_error(rc, err), job->id, err);
    if (rc) {
        vx_upload_unkeep(item->upload);
        job->id[0] = '\0';
        end_with_error(item, rc, err);
        return;
    }
    vx_pool_try_push(item->ingest->workers, item);
}

static bool must_become_job(const vx_ingest_item *item) {
    return item->background && !item->job.id[0];
}

static void seal(void *ctx, void *taken) {
    vx_ingest *in = ctx;
    vx_ingest_item *item = taken;
    bool job = must_become_job(item);
    vx_err err = {0};
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_upload_seal(item->upload, &err);
    if (!rc && job)
        rc = vx_upload_keep(item->upload, &err);
    vx_ingest_add_time(in, VX_PHASE_RECEIVE, vx_clock_monotonic_us() - start_us);
    if (job && !rc) {
        vx_video_id_of(vx_upload_sha256(item->upload), item->job.video_id);
        vx_jobs_accept(in->params.jobs, VX_INGEST_JOB, &item->job, vx_upload_job_request(item),
                       on_accepted);
    } else if (job) {
        on_accepted(&item->job, rc, &err);
    } else {
        item->work->seal_rc = rc;
        item->work->seal_err = err;
        end_stage(item);
    }
}

/* ---- in ---- */

vx_outcome vx_ingest_submit(vx_ingest *in, vx_ingest_item *item) {
    item->ingest = in;
    item->work = vx_upload_end(item->upload, NULL) ? NULL : vx_new(vx_ingest_work);
    vx_outcome refused = vx_ingest_admit(in, item);
    if (refused) {
        vx_ingest_item_free(item);
        return refused;
    }
    bool is_job = item->job.id[0], both = !is_job && !must_become_job(item);
    if (is_job) /* made again from its row: its file is sealed */
        vx_jobs_add(in->params.jobs, &item->job);
    atomic_store(&item->work->n_awaited, both ? 2 : 1);
    if (!is_job)
        vx_pool_try_push(in->sealers, item);
    if (is_job || both)
        vx_pool_try_push(in->workers, item);
    return VX_OUTCOME_OK;
}

static vx_outcome run_job(void *ctx, vx_job *job) {
    return vx_ingest_submit(ctx, VX_CONTAINER_OF(job, vx_ingest_item, job));
}

/* ---- start and stop ---- */

int vx_ingest_new(const vx_ingest_params *params, vx_ingest **ret_ingest, vx_err *err) {
    vx_ingest *in = vx_new(vx_ingest);
    if (!in)
        return VX_FAIL(err, -ENOMEM, "no memory for the ingest pool");
    in->params = *params;
    vx_mutex_init(&in->mu);
    vx_cond_init(&in->emptied);
    vx_jobs_add_kind(params->jobs, &(vx_job_kind){.name = VX_INGEST_JOB,
                                                  .ctx = in,
                                                  .note = vx_upload_job_note,
                                                  .parse = vx_upload_job_parse,
                                                  .run = run_job,
                                                  .discard = vx_upload_job_discard,
                                                  .on_cancel = vx_ingest_on_cancel});
    *ret_ingest = in;
    return 0;
}

int vx_ingest_start(vx_ingest *in, vx_err *err) {
    in->capacity = in->params.capacity ? in->params.capacity : 1024;
    if (in->capacity > INT_MAX - VX_INGEST_JOBS_BESIDE)
        in->capacity = INT_MAX - VX_INGEST_JOBS_BESIDE;
    free(vx_take(in->needed));
    in->n_needed = in->needed_capacity = 0;
    vx_pool_params params = {.name = "vx-seal",
                             .n_threads = SEALERS,
                             .capacity = (size_t)in->capacity + VX_INGEST_JOBS_BESIDE,
                             .run = seal,
                             .ctx = in};
    int rc = vx_pool_new(&params, &in->sealers, err);
    params.name = "vx-ingest";
    params.nice = WORKERS_NICE;
    params.n_threads = in->params.threads;
    params.run = work_on;
    return rc ? rc : vx_pool_new(&params, &in->workers, err);
}

void vx_ingest_begin_stop(vx_ingest *in) {
    atomic_store(&in->stopping, true);
}

void vx_ingest_stop(vx_ingest *in) {
    if (!in)
        return;
    vx_ingest_begin_stop(in);
    vx_mutex_lock(&in->mu);
    while (in->inside) /* what runs ends at its next picture */
        vx_cond_wait(&in->emptied, &in->mu);
    vx_mutex_unlock(&in->mu);
    in->sealers = vx_pool_free(in->sealers);
    in->workers = vx_pool_free(in->workers);
}

vx_ingest *vx_ingest_free(vx_ingest *in) {
    if (!in)
        return NULL;
    vx_cond_done(&in->emptied);
    vx_mutex_done(&in->mu);
    free(in->needed);
    free(in);
    return NULL;
}
