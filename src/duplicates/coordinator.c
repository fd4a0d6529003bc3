/* coordinator.c — scans as durable jobs, one after another on a thread of their own; start and stop. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "duplicates_internal.h"
#include "snapshot.h"

typedef struct vx_duplicates_job {
    vx_job job;
    vx_duplicates *duplicates; /* borrows */
    char *filter;              /* its JSON text; NULL: all videos; owned */
    char *keep;                /* a policy; NULL: the default; owned */
    bool fast;                 /* without the deep look */
    struct vx_duplicates_job *next_queued, *next_live;
} vx_duplicates_job;

/* ---- jobs ---- */

static vx_duplicates_job *free_job(vx_duplicates_job *job) {
    if (!job)
        return NULL;
    vx_jobs_remove(job->duplicates->params.jobs, &job->job);
    free(job->filter);
    free(job->keep);
    free(job);
    return NULL;
}

static vx_duplicates_job *new_job(vx_duplicates *d, const char *filter, const char *keep,
                                  bool fast) {
    vx_duplicates_job *job = vx_new(vx_duplicates_job);
    if (!job)
        return NULL;
    *job = (vx_duplicates_job){.duplicates = d,
                               .filter = filter ? strdup(filter) : NULL,
                               .keep = keep ? strdup(keep) : NULL,
                               .fast = fast};
    atomic_store(&job->job.phase, VX_PHASE_COMMIT);
    return (filter && !job->filter) || (keep && !job->keep) ? free_job(job) : job;
}

static void add_live(vx_duplicates_job *job) {
    vx_duplicates *d = job->duplicates;
    vx_mutex_lock(&d->mu);
    job->next_live = d->jobs;
    d->jobs = job;
    vx_mutex_unlock(&d->mu);
}

/* A scan that ends is no answer to whoever asks from here on. */
static void remove_live(vx_duplicates_job *job) {
    vx_duplicates *d = job->duplicates;
    vx_mutex_lock(&d->mu);
    vx_duplicates_job **slot = &d->jobs;
    while (*slot && *slot != job)
        slot = &(*slot)->next_live;
    if (*slot)
        *slot = job->next_live;
    vx_mutex_unlock(&d->mu);
}

static void enqueue(vx_duplicates_job *job) {
    vx_duplicates *d = job->duplicates;
    vx_mutex_lock(&d->mu);
    vx_duplicates_job **end = &d->queue;
    while (*end)
        end = &(*end)->next_queued;
    *end = job;
    vx_cond_signal(&d->work);
    vx_mutex_unlock(&d->mu);
}

/* ---- running one ---- */

static bool is_over(void *ctx) {
    const vx_duplicates_job *job = ctx;
    return atomic_load(&job->job.cancelled) || atomic_load(&job->duplicates->stopping);
}

static void on_progress(void *ctx, int64_t done, int64_t total) {
    vx_duplicates_job *job = ctx;
    atomic_store(&job->job.total, total);
    atomic_store(&job->job.done, done);
    vx_duplicates_note_change(job->duplicates);
}

static int parse_filter(const vx_duplicates_job *job, vx_filter **ret_filter, vx_err *err) {
    char pointer[VX_FILTER_POINTER_BYTES];
    if (!job->filter)
        return 0;
    json_t *json = json_loads(job->filter, 0, NULL);
    int rc = json ? vx_filter_parse(json, NULL, ret_filter, pointer, err)
                  : VX_FAIL(err, VX_FILTER_BAD, "the filter of the scan cannot be read");
    json_decref(json);
    return rc;
}

typedef struct ending {
    vx_duplicates_job *job;
    vx_job_state state;
    vx_outcome outcome;
    const char *message;
    const vx_scan_report *report;
} ending;

/* One that was cancelled has its end already, which stays. */
static int apply_end(void *ctx, vx_err *err) {
    const ending *end = ctx;
    const vx_scan_report *r = end->report;
    json_t *report =
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "videos", (json_int_t)r->videos, "among",
                  (json_int_t)r->among, "pairs", (json_int_t)r->pairs, "compared",
                  (json_int_t)r->compared, "looked", (json_int_t)r->looked);
    VX_AUTO_FREE char *result = vx_jobs_result(end->outcome, end->message, NULL, report);
    if (!result)
        return VX_FAIL(err, -ENOMEM, "no memory for a job's result");
    int rc =
        vx_jobs_end(end->job->duplicates->params.jobs, end->job->job.id, end->state, result, err);
    return rc == VX_JOBS_ENDED ? 0 : rc;
}

static void count(vx_duplicates *d, vx_outcome outcome, const vx_scan_report *r) {
    vx_mutex_lock(&d->mu);
    d->stats.scans[outcome]++;
    d->stats.videos_scanned += r->videos;
    d->stats.pairs_found += r->pairs;
    d->stats.pairs_compared += r->compared;
    vx_mutex_unlock(&d->mu);
}

static int scan(vx_duplicates_job *job, vx_scan_report *report, vx_err *err) {
    const vx_scan_watch watch = {.is_over = is_over, .on_progress = on_progress, .ctx = job};
    VX_AUTO(vx_filter) filter = NULL;
    atomic_store(&job->job.started_us, vx_clock_monotonic_us());
    int rc = vx_jobs_begin(job->duplicates->params.jobs, &job->job, err);
    if (rc == VX_JOBS_ENDED)
        return VX_FAIL(err, -ECANCELED, "the scan was cancelled");
    if (!rc)
        rc = parse_filter(job, &filter, err);
    if (!rc)
        rc = vx_duplicates_scan(&job->duplicates->params, filter, &watch, report, err);
    if (rc || job->fast || filter)
        return rc;
    atomic_store(&job->job.started_us, vx_clock_monotonic_us()); /* its units take another time */
    return vx_duplicates_look_deeper(&job->duplicates->params, &watch, report, err);
}

/* Of large groups not every pair was compared: those with what the policy keeps are, so that a list says of each video
 * whether it may go. What fails here leaves the scan done: those videos stay unchecked. */
static int compare_with_keepers(vx_duplicates_job *job, vx_err *err) {
    vx_keep_policy policy;
    const vx_scan_watch watch = {.is_over = is_over, .ctx = job};
    int rc = vx_keep_policy_parse(job->keep ? job->keep : "largest_picture", &policy, err);
    const vx_group_query query = {.policy = &policy, .state = -1, .watch = &watch};
    if (!rc)
        rc = vx_duplicates_complete(job->duplicates, &query, err);
    if (!rc || is_over(job))
        return rc;
    vx_log_failed(VX_LOG_WARN, VX_DUPLICATES_KIND, err, "job=%s", job->job.id);
    return 0;
}

static void run_job(vx_duplicates_job *job) {
    vx_duplicates *d = job->duplicates;
    vx_scan_report report = {0};
    vx_err err = {0};
    int rc = scan(job, &report, &err);
    if (!rc)
        rc = compare_with_keepers(job, &err);
    bool cancelled = atomic_load(&job->job.cancelled), bad = rc == VX_FILTER_BAD;
    vx_outcome outcome = cancelled ? VX_OUTCOME_CANCELLED
                         : bad     ? VX_OUTCOME_BAD_REQUEST
                                   : vx_outcome_of_error(rc, &err);
    if (rc && !cancelled && atomic_load(&d->stopping)) {
        VX_FAIL(&err, -ESHUTDOWN, "the server is shutting down");
        outcome = VX_OUTCOME_STOPPING;
    }
    remove_live(job);
    ending end = {.job = job,
                  .outcome = outcome,
                  .report = &report,
                  .message = rc ? err.msg : NULL,
                  .state = cancelled ? VX_JOB_CANCELLED
                           : bad     ? VX_JOB_FAILED
                                     : VX_JOB_DONE};
    if (!vx_outcome_is_our_fault(outcome) &&
        (rc = vx_writer_run(d->params.writer, apply_end, NULL, &end, &err)))
        outcome = vx_outcome_of_error(rc, &err);
    if (vx_outcome_is_our_fault(outcome))
        vx_jobs_try_again(d->params.jobs, &job->job, outcome, &err);
    vx_duplicates_note_change(d);
    count(d, outcome, &report);
    vx_log(VX_LOG_INFO, VX_DUPLICATES_KIND,
           "job=%s outcome=%s videos=%lld among=%lld pairs=%lld compared=%lld looked=%lld",
           job->job.id, vx_outcome_name(outcome), (long long)report.videos, (long long)report.among,
           (long long)report.pairs, (long long)report.compared, (long long)report.looked);
}

static vx_duplicates_job *wait_for_job(vx_duplicates *d) {
    vx_mutex_lock(&d->mu);
    while (!d->queue && !atomic_load(&d->stopping))
        vx_cond_wait(&d->work, &d->mu);
    vx_duplicates_job *job = atomic_load(&d->stopping) ? NULL : d->queue;
    if (job)
        d->queue = job->next_queued;
    vx_mutex_unlock(&d->mu);
    return job;
}

static void *run_scanner(void *ctx) {
    for (vx_duplicates_job *job; (job = wait_for_job(ctx)); free_job(job))
        run_job(job);
    return NULL;
}

/* ---- becoming durable ---- */

typedef struct accept_write {
    vx_write write;
    vx_duplicates *duplicates;
    char *filter; /* NULL: all videos; owned */
    char *keep;   /* NULL: the default; owned */
    bool fast;
    vx_duplicates_job *job; /* made by this write; NULL: there was one */
    char job_id[VX_JOB_ID_CHARS + 1];
    vx_duplicates_accepted accepted;
    void *ctx;
} accept_write;

/* One that waits looks at the same videos when it begins. One that runs may have begun before the last
 * uploads, but a client that asks while it runs asks for its result. */
static bool is_same(const char *a, const char *b) {
    return !a == !b && (!a || !strcmp(a, b));
}

static bool find_same(accept_write *a) {
    vx_duplicates *d = a->duplicates;
    bool found = false;
    vx_mutex_lock(&d->mu);
    for (vx_duplicates_job *job = d->jobs; job && !found; job = job->next_live) {
        found = !atomic_load(&job->job.cancelled) && is_same(job->filter, a->filter) &&
                is_same(job->keep, a->keep) && job->fast == a->fast;
        if (found)
            strcpy(a->job_id, job->job.id);
    }
    vx_mutex_unlock(&d->mu);
    return found;
}

static char *request_json(const accept_write *a) {
    json_t *object =
        json_pack("{s:s*, s:s*, s:b}", "filter", a->filter, "keep", a->keep, "fast", (int)a->fast);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

static int apply_accept(vx_write *write, vx_err *err) {
    accept_write *a = VX_CONTAINER_OF(write, accept_write, write);
    vx_duplicates *d = a->duplicates;
    if (find_same(a))
        return 0;
    VX_AUTO_FREE char *request = request_json(a);
    a->job = request ? new_job(d, a->filter, a->keep, a->fast) : NULL;
    if (!a->job)
        return VX_FAIL(err, -ENOMEM, "no memory for a job");
    int rc = vx_jobs_prepare(d->params.jobs, VX_DUPLICATES_KIND, &a->job->job, err);
    if (!rc)
        rc = vx_jobs_insert(d->params.jobs, VX_DUPLICATES_KIND, &a->job->job, request, err);
    if (rc)
        return rc;
    strcpy(a->job_id, a->job->job.id);
    vx_jobs_add(d->params.jobs, &a->job->job);
    add_live(a->job);
    return 0;
}

static void free_accept(accept_write *a) {
    if (a) {
        free(a->filter);
        free(a->keep);
    }
    free(a);
}

static void finish_accept(vx_write *write, int rc, const vx_err *err) {
    accept_write *a = VX_CONTAINER_OF(write, accept_write, write);
    if (a->job && !rc) {
        enqueue(a->job);
    } else if (a->job) {
        remove_live(a->job);
        free_job(a->job);
    }
    a->accepted(a->ctx, rc, a->job_id, err);
    free_accept(a);
}

vx_outcome vx_duplicates_submit(vx_duplicates *d, const char *filter_json, const char *keep,
                                bool fast, vx_duplicates_accepted accepted, void *ctx) {
    accept_write *a = vx_new(accept_write);
    if (!a)
        return VX_OUTCOME_INTERNAL;
    *a = (accept_write){.write = {.apply = apply_accept, .done = finish_accept},
                        .duplicates = d,
                        .filter = filter_json ? strdup(filter_json) : NULL,
                        .keep = keep ? strdup(keep) : NULL,
                        .fast = fast,
                        .accepted = accepted,
                        .ctx = ctx};
    vx_outcome refused = (filter_json && !a->filter) || (keep && !a->keep)
                             ? VX_OUTCOME_INTERNAL
                             : vx_writer_submit(d->params.writer, &a->write, VX_WRITER_REFUSE);
    if (refused)
        free_accept(a);
    return refused;
}

/* ---- jobs made again from their rows ---- */

static vx_outcome parse(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    json_t *request = json_loads(row->request, 0, NULL);
    vx_duplicates_job *job = new_job(ctx, json_string_value(json_object_get(request, "filter")),
                                     json_string_value(json_object_get(request, "keep")),
                                     json_is_true(json_object_get(request, "fast")));
    json_decref(request);
    if (!job) {
        VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
        return VX_OUTCOME_BUSY;
    }
    strcpy(job->job.id, row->id);
    *ret_job = &job->job;
    return VX_OUTCOME_OK;
}

static vx_outcome run(void *ctx, vx_job *job) {
    vx_duplicates_job *own = VX_CONTAINER_OF(job, vx_duplicates_job, job);
    vx_jobs_add(((vx_duplicates *)ctx)->params.jobs, job);
    add_live(own);
    enqueue(own);
    return VX_OUTCOME_OK;
}

/* ---- start and stop ---- */

int vx_duplicates_new(const vx_duplicates_params *params, vx_duplicates **ret_duplicates,
                      vx_err *err) {
    vx_duplicates *d = vx_new(vx_duplicates);
    if (!d)
        return VX_FAIL(err, -ENOMEM, "no memory for duplicates");
    d->params = *params;
    vx_mutex_init(&d->mu);
    vx_mutex_init(&d->groups_mu);
    vx_cond_init(&d->work);
    vx_cond_init(&d->due);
    if (params->jobs)
        vx_jobs_add_kind(
            params->jobs,
            &(vx_job_kind){.name = VX_DUPLICATES_KIND, .ctx = d, .parse = parse, .run = run});
    *ret_duplicates = d;
    return 0;
}

int vx_duplicates_start(vx_duplicates *d, vx_err *err) {
    int rc = vx_thread_start(&d->scanner, "vx-duplicates", run_scanner, d, err);
    d->scanner_started = !rc;
    if (!rc)
        rc = vx_thread_start(&d->deleter, "vx-dup-delete", vx_duplicates_run_deleter, d, err);
    d->deleter_started = d->scanner_started && !rc;
    return rc;
}

void vx_duplicates_begin_stop(vx_duplicates *d) {
    vx_mutex_lock(&d->mu);
    atomic_store(&d->stopping, true);
    vx_cond_signal(&d->work);
    vx_cond_signal(&d->due);
    vx_mutex_unlock(&d->mu);
}

void vx_duplicates_stop(vx_duplicates *d) {
    if (!d)
        return;
    vx_duplicates_begin_stop(d);
    if (d->scanner_started)
        pthread_join(d->scanner, NULL);
    if (d->deleter_started)
        pthread_join(d->deleter, NULL);
    d->scanner_started = d->deleter_started = false;
    vx_mutex_lock(&d->mu);
    vx_duplicates_job *waiting = vx_take(d->queue);
    vx_mutex_unlock(&d->mu);
    for (vx_duplicates_job *job = waiting, *next; job; job = next) {
        next = job->next_queued;
        free_job(job);
    }
}

VX_NO_LOCK_ANALYSIS vx_duplicates *vx_duplicates_free(vx_duplicates *d) {
    if (!d)
        return NULL;
    vx_scan_snapshot_free(d->snapshot);
    vx_cond_done(&d->due);
    vx_cond_done(&d->work);
    vx_mutex_done(&d->groups_mu);
    vx_mutex_done(&d->mu);
    free(d);
    return NULL;
}

void vx_duplicates_get_stats(vx_duplicates *d, vx_duplicates_stats *ret_stats) {
    vx_mutex_lock(&d->mu);
    *ret_stats = d->stats;
    vx_mutex_unlock(&d->mu);
}
