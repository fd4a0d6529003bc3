/* coordinator.c — the jobs: accepted by the committer, run one after another by the coordinator.
 *
 * A model's job is found in `of_model` from the transaction that makes it until it is cancelled or its
 * end is about to be written, so that asking twice gives one job. Helpers share the list of videos
 * through a cursor.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "backfill_internal.h"
#include "base/clock.h"
#include "base/log.h"

#define KIND "backfill"
#define REREAD "reread"
#define HELPERS_MAX 64

/* Without its lock: nobody else has the job any more. */
VX_NO_LOCK_ANALYSIS static vx_backfill_job *free_job(vx_backfill_job *job) {
    if (!job)
        return NULL;
    vx_jobs_remove(job->backfill->params.jobs, &job->job);
    json_decref(job->failures);
    free(job->videos);
    vx_mutex_done(&job->mu);
    free(job);
    return NULL;
}

static vx_backfill_job *new_job(vx_backfill *backfill, vx_model *model) {
    vx_backfill_job *job = vx_new(vx_backfill_job);
    if (!job)
        return NULL;
    json_t *failures = json_array();
    *job = (vx_backfill_job){.backfill = backfill, .model = model, .failures = failures};
    vx_mutex_init(&job->mu);
    atomic_store(&job->job.phase, VX_PHASE_EMBED);
    return failures ? job : free_job(job);
}

static vx_backfill_job **slot_of(vx_backfill *b, const vx_model *model) VX_REQUIRES(&b->mu) {
    return &b->of_model[model ? vx_models_index_of(b->params.collection->models, model)
                              : VX_MODELS_MAX];
}

static const char *kind_of(const vx_model *model) {
    return model ? KIND : REREAD;
}

static void set_job_of_model(vx_backfill *b, const vx_model *model, vx_backfill_job *job) {
    vx_mutex_lock(&b->mu);
    *slot_of(b, model) = job;
    vx_mutex_unlock(&b->mu);
}

/* Unless another has taken the place of one that was cancelled. */
static void leave_model(vx_backfill_job *job) {
    vx_backfill *b = job->backfill;
    vx_mutex_lock(&b->mu);
    vx_backfill_job **slot = slot_of(b, job->model);
    if (*slot == job)
        *slot = NULL;
    vx_mutex_unlock(&b->mu);
}

static void enqueue(vx_backfill *b, vx_backfill_job *job) {
    vx_mutex_lock(&b->mu);
    vx_backfill_job **end = &b->queue;
    while (*end)
        end = &(*end)->next_queued;
    *end = job;
    vx_cond_signal(&b->work);
    vx_mutex_unlock(&b->mu);
}

/* ---- what is to be done ---- */

static int note_clip(void *ctx, int64_t video, const vx_clip *clip, vx_err *err) {
    vx_backfill_job *job = ctx;
    if (vx_index_has(job->model->index, clip->row) || (job->n && job->videos[job->n - 1] == video))
        return vx_backfill_is_over(job) ? VX_FAIL(err, -ECANCELED, "the job is over") : 0;
    if (!vx_make_room(job->videos, job->n, job->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", job->n + 1);
    job->videos[job->n++] = video;
    return 0;
}

static int find_missing(vx_backfill_job *job, vx_err *err) {
    return vx_catalog_scan_clips(job->backfill->params.collection->catalog, note_clip, job, err);
}

static int find_outdated(vx_backfill_job *job, vx_err *err) {
    const vx_backfill_params *p = &job->backfill->params;
    int64_t rows[256], above = 0;
    size_t n = VX_LEN(rows);
    while (n == VX_LEN(rows)) {
        int rc = vx_catalog_find_outdated(p->collection->catalog, VX_MEDIA_RULES,
                                          (int)p->extractor->fingerprints, above, VX_LEN(rows),
                                          rows, &n, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < n; i++) {
            if (!vx_make_room(job->videos, job->n, job->capacity))
                return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", job->n + 1);
            job->videos[job->n++] = above = rows[i];
        }
    }
    return 0;
}

/* ---- running one ---- */

static int decode_threads(void) {
    return vx_thread_cores() > 1 ? 2 : 1;
}

static void *run_helper(void *ctx) {
    vx_backfill_job *job = ctx;
    while (!vx_backfill_is_over(job)) {
        size_t i = atomic_fetch_add(&job->next, 1);
        if (i >= job->n)
            break;
        vx_backfill_video(job, job->videos[i], decode_threads());
    }
    return NULL;
}

/* This thread is the first helper. */
static void run_helpers(vx_backfill_job *job) {
    pthread_t helpers[HELPERS_MAX];
    int wanted = vx_thread_cores() / 2 - 1, n = 0;
    vx_err err;
    while (n < wanted && n < HELPERS_MAX &&
           !vx_thread_start(&helpers[n], "vx-backfill", run_helper, job, &err))
        n++;
    run_helper(job);
    while (n > 0)
        pthread_join(helpers[--n], NULL);
}

/* Best effort: what remains goes with the next backfill. */
static void retire_old_digests(vx_backfill_job *job) {
    vx_err err;
    if (vx_library_retire_old_digests(job->backfill->params.library, job->model, &err))
        vx_log_failed(VX_LOG_WARN, "backfill", &err, "job=%s", job->job.id);
}

/* ---- its end ---- */

typedef struct ending {
    vx_backfill_job *job;
    vx_job_state state;
    vx_outcome outcome;
    const char *message;
    vx_job *rejudge; /* after a reread: the job that judges what has changed, if this made it */
} ending;

static char *result_json(const ending *end) {
    vx_backfill_job *job = end->job;
    vx_mutex_lock(&job->mu);
    json_t *report = json_pack("{s:I, s:I, s:I, s:O}", job->model ? "embedded" : "changed",
                               (json_int_t)job->embedded, "deleted", (json_int_t)job->deleted,
                               "failed", (json_int_t)job->failed, "failures", job->failures);
    if (report && !job->model)
        json_object_set_new(report, "unchanged", json_integer(job->unchanged));
    vx_mutex_unlock(&job->mu);
    json_t *object = json_pack("{s:s, s:s*, s:o}", "outcome", vx_outcome_name(end->outcome),
                               "message", end->message, "report", report);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

/* Once for all, so that videos that have changed are compared with what the others have become. */
static int begin_rejudge(ending *end, vx_err *err) {
    const vx_backfill_params *p = &end->job->backfill->params;
    int64_t row;
    size_t n = 0;
    int rc =
        end->job->model ? 0 : vx_catalog_find_rejudged(p->collection->catalog, 0, 1, &row, &n, err);
    return rc || !n ? rc : vx_library_begin_rejudge(p->library, &end->rejudge, err);
}

static void undo_end(void *ctx) {
    ending *end = ctx;
    vx_library_finish_rejudge(end->job->backfill->params.library, vx_take(end->rejudge), -EIO);
}

/* The row of one that was cancelled has its end, and gets the report. */
static int apply_end(void *ctx, vx_err *err) {
    ending *end = ctx;
    vx_catalog *catalog = end->job->backfill->params.collection->catalog;
    const char *id = end->job->job.id;
    vx_job_row row = {0};
    int rc = vx_catalog_get_job(catalog, id, &row, err);
    if (rc)
        return rc;
    bool cancelled = row.state == VX_JOB_CANCELLED;
    int64_t finished_us = cancelled ? row.finished_us : vx_clock_unix_us();
    vx_job_row_clear(&row);
    if (cancelled)
        *end = (ending){.job = end->job,
                        .state = VX_JOB_CANCELLED,
                        .outcome = VX_OUTCOME_CANCELLED,
                        .message = "cancelled; what was embedded before stays"};
    VX_AUTO_FREE char *json = result_json(end);
    if (!json)
        return VX_FAIL(err, -ENOMEM, "no memory for a job's result");
    rc = vx_catalog_update_job(catalog, id, end->state, json, finished_us, err);
    return rc ? rc : begin_rejudge(end, err);
}

/* Could the end not be written, the job is tried again, and finds little to do. */
static void write_end(ending end) {
    vx_backfill_job *job = end.job;
    vx_err err;
    leave_model(job);
    int rc = vx_writer_run(job->backfill->params.writer, apply_end, undo_end, &end, &err);
    vx_library_finish_rejudge(job->backfill->params.library, vx_take(end.rejudge), 0);
    if (rc)
        vx_jobs_try_again(job->backfill->params.jobs, &job->job, vx_outcome_of_error(rc, &err),
                          &err);
    vx_mutex_lock(&job->mu);
    vx_log(VX_LOG_INFO, kind_of(job->model),
           "job=%s model=%s outcome=%s embedded=%lld unchanged=%lld deleted=%lld failed=%lld",
           job->job.id, job->model ? job->model->info->name : "-", vx_outcome_name(end.outcome),
           (long long)job->embedded, (long long)job->unchanged, (long long)job->deleted,
           (long long)job->failed);
    vx_mutex_unlock(&job->mu);
}

/* What was made stays; the next try looks at what is missing then. */
static void try_again(vx_backfill_job *job, vx_outcome outcome, const vx_err *why) {
    leave_model(job);
    vx_jobs_try_again(job->backfill->params.jobs, &job->job, outcome, why);
}

/* The failures of ours that trying again may mend: OK, or the last one. */
static vx_outcome failed_by_us(vx_backfill_job *job, bool *ret_internal, vx_err *ret_why) {
    vx_mutex_lock(&job->mu);
    vx_outcome outcome = job->again;
    *ret_internal = job->internal > 0;
    *ret_why = job->again_why;
    vx_mutex_unlock(&job->mu);
    return outcome;
}

static void run_job(vx_backfill_job *job) {
    vx_err err = {0};
    vx_jobs *jobs = job->backfill->params.jobs;
    atomic_store(&job->job.started_us, vx_clock_monotonic_us());
    int rc = vx_jobs_begin(jobs, &job->job, &err);
    if (rc == VX_JOBS_ENDED) { /* as the end of one that is cancelled later */
        write_end((ending){.job = job, .state = VX_JOB_CANCELLED, .outcome = VX_OUTCOME_CANCELLED});
        return;
    }
    if (!rc)
        rc = job->model ? find_missing(job, &err) : find_outdated(job, &err);
    atomic_store(&job->job.total, (int64_t)job->n);
    if (!rc)
        run_helpers(job);
    bool internal = false;
    vx_outcome outcome = rc ? vx_outcome_of_error(rc, &err) : failed_by_us(job, &internal, &err);
    if (atomic_load(&job->backfill->stopping)) {
        VX_FAIL(&err, -ESHUTDOWN, "the server is shutting down");
        outcome = VX_OUTCOME_STOPPING;
    }
    if (outcome && !atomic_load(&job->job.cancelled)) {
        try_again(job, outcome, &err);
        return;
    }
    if (job->model && !internal && !atomic_load(&job->job.cancelled))
        retire_old_digests(job);
    write_end((ending){.job = job, .state = VX_JOB_DONE, .outcome = VX_OUTCOME_OK});
}

static vx_backfill_job *wait_for_job(vx_backfill *b) {
    vx_mutex_lock(&b->mu);
    while (!b->queue && !atomic_load(&b->stopping))
        vx_cond_wait(&b->work, &b->mu);
    vx_backfill_job *job = atomic_load(&b->stopping) ? NULL : b->queue;
    if (job)
        b->queue = job->next_queued;
    vx_mutex_unlock(&b->mu);
    return job;
}

static void *run_coordinator(void *ctx) {
    for (vx_backfill_job *job; (job = wait_for_job(ctx)); free_job(job))
        run_job(job);
    return NULL;
}

/* ---- becoming durable ---- */

typedef struct accept_write {
    vx_write write;
    vx_backfill *backfill;
    vx_model *model;
    vx_backfill_job *job; /* made by this operation; NULL: there was one */
    char job_id[VX_JOB_ID_CHARS + 1];
    vx_backfill_accepted accepted;
    void *ctx;
} accept_write;

static int insert_job(const vx_backfill_job *job, vx_err *err) {
    char request[256] = "{}"; /* both are of plain characters */
    if (job->model)
        snprintf(request, sizeof request, "{\"model\":\"%s\",\"digest\":\"%s\"}",
                 job->model->info->name, job->model->info->digest);
    return vx_jobs_insert(job->backfill->params.jobs, kind_of(job->model), &job->job, request, err);
}

static bool find_running(accept_write *a) {
    vx_backfill *b = a->backfill;
    vx_mutex_lock(&b->mu);
    const vx_backfill_job *job = *slot_of(b, a->model);
    bool running = job && !atomic_load(&job->job.cancelled);
    if (running)
        strcpy(a->job_id, job->job.id);
    vx_mutex_unlock(&b->mu);
    return running;
}

static int apply_accept(vx_write *write, vx_err *err) {
    accept_write *a = VX_CONTAINER_OF(write, accept_write, write);
    if (find_running(a))
        return 0;
    a->job = new_job(a->backfill, a->model);
    if (!a->job)
        return VX_FAIL(err, -ENOMEM, "no memory for a job");
    int rc = vx_jobs_prepare(a->backfill->params.jobs, kind_of(a->model), &a->job->job, err);
    if (!rc)
        rc = insert_job(a->job, err);
    if (rc)
        return rc;
    strcpy(a->job_id, a->job->job.id);
    vx_jobs_add(a->backfill->params.jobs, &a->job->job);
    set_job_of_model(a->backfill, a->model, a->job);
    return 0;
}

static void finish_accept(vx_write *write, int rc, const vx_err *err) {
    accept_write *a = VX_CONTAINER_OF(write, accept_write, write);
    if (a->job && !rc) {
        enqueue(a->backfill, a->job);
    } else if (a->job) {
        leave_model(a->job);
        free_job(a->job);
    }
    a->accepted(a->ctx, rc, a->job_id, err);
    free(a);
}

vx_outcome vx_backfill_submit(vx_backfill *backfill, vx_model *model, vx_backfill_accepted accepted,
                              void *ctx) {
    accept_write *a = vx_new(accept_write);
    if (!a)
        return VX_OUTCOME_INTERNAL;
    *a = (accept_write){.write = {.apply = apply_accept, .done = finish_accept},
                        .backfill = backfill,
                        .model = model,
                        .accepted = accepted,
                        .ctx = ctx};
    vx_outcome refused = vx_writer_submit(backfill->params.writer, &a->write, VX_WRITER_REFUSE);
    if (refused)
        free(a);
    return refused;
}

/* ---- jobs made again from their rows ---- */

/* Of two jobs of one model, or two rereads, one waits for the other, and finds little to do then.
 *   model  NULL: a reread */
static vx_outcome make_parsed(vx_backfill *b, const vx_job_row *row, vx_model *model,
                              vx_job **ret_job, vx_err *err) {
    vx_backfill_job *job = new_job(b, model);
    if (!job) {
        VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
        return VX_OUTCOME_BUSY;
    }
    strcpy(job->job.id, row->id);
    vx_mutex_lock(&b->mu);
    bool taken = *slot_of(b, model);
    if (!taken)
        *slot_of(b, model) = job;
    vx_mutex_unlock(&b->mu);
    if (taken) {
        free_job(job);
        VX_FAIL(err, -EBUSY, "another job of this kind runs");
        return VX_OUTCOME_BUSY;
    }
    *ret_job = &job->job;
    return VX_OUTCOME_OK;
}

static vx_outcome parse_row(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    vx_backfill *b = ctx;
    json_t *request = json_loads(row->request, 0, NULL);
    const char *name = json_string_value(json_object_get(request, "model"));
    vx_model *model = name ? vx_models_find(b->params.collection->models, name, err) : NULL;
    json_decref(request);
    if (model)
        return make_parsed(b, row, model, ret_job, err);
    VX_FAIL(err, 1, "the server was started again without this model");
    return VX_OUTCOME_WRONG_SPACE;
}

static vx_outcome parse_reread(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    return make_parsed(ctx, row, NULL, ret_job, err);
}

static vx_outcome run_parsed(void *ctx, vx_job *job) {
    vx_backfill *b = ctx;
    vx_jobs_add(b->params.jobs, job);
    enqueue(b, VX_CONTAINER_OF(job, vx_backfill_job, job));
    return VX_OUTCOME_OK;
}

/* ---- start and stop ---- */

int vx_backfill_new(const vx_backfill_params *params, vx_backfill **ret_backfill, vx_err *err) {
    vx_backfill *b = vx_new(vx_backfill);
    if (!b)
        return VX_FAIL(err, -ENOMEM, "no memory for the backfill");
    b->params = *params;
    vx_mutex_init(&b->mu);
    vx_cond_init(&b->work);
    vx_jobs_add_kind(params->jobs,
                     &(vx_job_kind){.name = KIND, .ctx = b, .parse = parse_row, .run = run_parsed});
    vx_jobs_add_kind(
        params->jobs,
        &(vx_job_kind){.name = REREAD, .ctx = b, .parse = parse_reread, .run = run_parsed});
    *ret_backfill = b;
    return 0;
}

int vx_backfill_start(vx_backfill *b, vx_err *err) {
    int rc = vx_thread_start(&b->coordinator, "vx-backfill", run_coordinator, b, err);
    b->started = !rc;
    return rc;
}

void vx_backfill_begin_stop(vx_backfill *b) {
    vx_mutex_lock(&b->mu);
    atomic_store(&b->stopping, true);
    vx_cond_signal(&b->work);
    vx_mutex_unlock(&b->mu);
}

void vx_backfill_stop(vx_backfill *b) {
    if (!b || !b->started)
        return;
    vx_backfill_begin_stop(b);
    pthread_join(b->coordinator, NULL);
    b->started = false;
    vx_mutex_lock(&b->mu);
    vx_backfill_job *waiting = vx_take(b->queue);
    vx_mutex_unlock(&b->mu);
    for (vx_backfill_job *job = waiting, *next; job; job = next) {
        next = job->next_queued;
        free_job(job);
    }
}

vx_backfill *vx_backfill_free(vx_backfill *b) {
    if (!b)
        return NULL;
    vx_cond_done(&b->work);
    vx_mutex_done(&b->mu);
    free(b);
    return NULL;
}
