/* rows.c — the rows in the catalog and the live table beside them. */
#include "jobs_internal.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hex.h"

#define PRUNE_AT_ONCE 500 /* rows in one transaction: uploads commit in between */

int vx_jobs_new(vx_catalog *catalog, vx_writer *writer, vx_jobs **ret_jobs, vx_err *err) {
    vx_jobs *jobs = vx_new(vx_jobs);
    if (!jobs)
        return VX_FAIL(err, -ENOMEM, "no memory for the job table");
    jobs->catalog = catalog;
    jobs->writer = writer;
    vx_mutex_init(&jobs->mu);
    vx_cond_init(&jobs->changed);
    *ret_jobs = jobs;
    return 0;
}

/* Without its lock: nobody else has it any more. */
VX_NO_LOCK_ANALYSIS vx_jobs *vx_jobs_free(vx_jobs *jobs) {
    if (!jobs)
        return NULL;
    for (vx_job_ticket *ticket = jobs->waiting, *next; ticket; ticket = next) {
        next = ticket->next;
        free(ticket);
    }
    vx_cond_done(&jobs->changed);
    vx_mutex_done(&jobs->mu);
    free(jobs);
    return NULL;
}

void vx_jobs_add_kind(vx_jobs *jobs, const vx_job_kind *kind) {
    if (jobs->n_kinds < VX_JOB_KINDS_MAX)
        jobs->kinds[jobs->n_kinds++] = *kind;
}

/* ---- the live table ---- */

void vx_jobs_add(vx_jobs *jobs, vx_job *job) {
    vx_mutex_lock(&jobs->mu);
    job->next = jobs->live;
    jobs->live = job;
    vx_mutex_unlock(&jobs->mu);
}

void vx_jobs_remove(vx_jobs *jobs, vx_job *job) {
    vx_mutex_lock(&jobs->mu);
    vx_job **slot = &jobs->live;
    while (*slot && *slot != job)
        slot = &(*slot)->next;
    if (*slot)
        *slot = job->next;
    vx_job_ticket *ticket = vx_take(job->ticket);
    if (ticket && ticket->alone) {
        jobs->alone_live = false;
        vx_cond_signal(&jobs->changed);
    }
    vx_mutex_unlock(&jobs->mu);
    free(ticket);
}

vx_job *vx_jobs_find_live_locked(vx_jobs *jobs, const char *id) {
    vx_job *job = jobs->live;
    while (job && strcmp(job->id, id))
        job = job->next;
    return job;
}

/* ---- becoming durable ---- */

const vx_job_kind *vx_jobs_find_kind(const vx_jobs *jobs, const char *name) {
    for (int i = 0; i < jobs->n_kinds; i++)
        if (!strcmp(jobs->kinds[i].name, name))
            return &jobs->kinds[i];
    return NULL;
}

vx_job_ticket *vx_jobs_new_ticket(vx_jobs *jobs, const char *id, const vx_job_kind *kind) {
    vx_job_ticket *ticket = vx_new(vx_job_ticket);
    if (!ticket)
        return NULL;
    ticket->jobs = jobs;
    ticket->kind = kind;
    snprintf(ticket->id, sizeof ticket->id, "%s", id);
    return ticket;
}

int vx_jobs_prepare(vx_jobs *jobs, const char *kind, vx_job *job, vx_err *err) {
    uint8_t bytes[12];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return VX_FAIL_ERRNO(err, "reading random bytes");
    job->id[0] = 'j';
    vx_hex_encode(bytes, sizeof bytes, job->id + 1);
    job->ticket = vx_jobs_new_ticket(jobs, job->id, vx_jobs_find_kind(jobs, kind));
    return job->ticket ? 0 : VX_FAIL(err, -ENOMEM, "no memory for a job");
}

int vx_jobs_insert(vx_jobs *jobs, const char *kind, const vx_job *job, const char *request,
                   vx_err *err) {
    vx_job_row row = {.state = VX_JOB_QUEUED,
                      .kind = (char *)kind,
                      .request = (char *)request,
                      .created_us = vx_clock_unix_us()};
    strcpy(row.id, job->id);
    return vx_catalog_insert_job(jobs->catalog, &row, err);
}

typedef struct accept_write {
    vx_write write;
    vx_jobs *jobs;
    const char *kind;
    vx_job *job;
    char *request;
    void (*on_accepted)(vx_job *job, int rc, const vx_err *err);
} accept_write;

static int apply_accept(vx_write *write, vx_err *err) {
    accept_write *a = VX_CONTAINER_OF(write, accept_write, write);
    return vx_jobs_insert(a->jobs, a->kind, a->job, a->request, err);
}

static void finish_accept(vx_write *write, int rc, const vx_err *err) {
    accept_write *a = VX_CONTAINER_OF(write, accept_write, write);
    if (rc)
        vx_jobs_remove(a->jobs, a->job);
    a->on_accepted(a->job, rc, err);
    free(a->request);
    free(a);
}

void vx_jobs_accept(vx_jobs *jobs, const char *kind, vx_job *job, char *request,
                    void (*on_accepted)(vx_job *job, int rc, const vx_err *err)) {
    vx_err err = {0};
    accept_write *a = vx_new(accept_write);
    int rc = a && request ? vx_jobs_prepare(jobs, kind, job, &err)
                          : VX_FAIL(&err, -ENOMEM, "no memory for a job");
    if (!rc) {
        *a = (accept_write){.write = {.apply = apply_accept, .done = finish_accept},
                            .jobs = jobs,
                            .kind = kind,
                            .job = job,
                            .request = request,
                            .on_accepted = on_accepted};
        /* Live before its row can be seen: whoever reads the id may cancel it at once. */
        vx_jobs_add(jobs, job);
        if (!vx_writer_submit(jobs->writer, &a->write, VX_WRITER_WAIT))
            return;
        vx_jobs_remove(jobs, job);
        rc = VX_FAIL(&err, -ESHUTDOWN, "the server is shutting down");
    }
    free(request);
    free(a);
    on_accepted(job, rc, &err);
}

/* ---- what a client sees ---- */

#define AS_STORED (JSON_COMPACT | VX_VERDICT_JSON_DIGITS)

void vx_job_view_clear(vx_job_view *view) {
    free(view->kind);
    free(view->filename);
    free(view->model);
    free(view->report);
    free(view->message);
    free(view->last_error);
    *view = (vx_job_view){0};
}

static char *copy_string(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strdup(text) : NULL;
}

/* whole: with what may be long. */
static void view_result(vx_job_view *view, const char *result, bool whole) {
    json_t *object = result ? json_loads(result, 0, NULL) : NULL;
    const char *outcome = json_string_value(json_object_get(object, "outcome"));
    const char *video = json_string_value(json_object_get(object, "video_id"));
    view->outcome = outcome ? vx_outcome_of_name(outcome) : VX_OUTCOME_OK;
    if (video)
        snprintf(view->video_id, sizeof view->video_id, "%s", video);
    view->message = copy_string(object, "message");
    json_t *report = json_object_get(object, "report");
    if (!whole)
        json_object_del(report, "refusals");
    view->report = report ? json_dumps(report, AS_STORED) : NULL;
    json_decref(object);
}

/* How far the live job is; false when no such job is in this process right now. */
static bool view_progress(vx_jobs *jobs, vx_job_view *view) {
    vx_mutex_lock(&jobs->mu);
    const vx_job *job = vx_jobs_find_live_locked(jobs, view->id);
    if (job) {
        int64_t started_us = atomic_load(&job->started_us);
        view->phase = (vx_phase)atomic_load(&job->phase);
        view->done = atomic_load(&job->done);
        view->total = atomic_load(&job->total);
        view->state = started_us ? VX_JOB_RUNNING : VX_JOB_QUEUED;
        if (started_us && view->done > 0 && view->total > 0)
            view->eta_s = (double)(vx_clock_monotonic_us() - started_us) / 1e6 *
                          (double)(view->total - view->done) / (double)view->done;
        strcpy(view->video_id, job->video_id);
    }
    vx_mutex_unlock(&jobs->mu);
    return job != NULL;
}

bool vx_job_row_is_unfinished(const vx_job_row *row) {
    return row->state == VX_JOB_QUEUED || row->state == VX_JOB_RUNNING;
}

/* Takes what row holds. */
static void view_of_row(vx_jobs *jobs, vx_job_row *row, bool whole, vx_job_view *ret_view) {
    /* Running is who is live: a row may say so of a job whose try has just failed. */
    *ret_view = (vx_job_view){.state = VX_JOB_QUEUED, .eta_s = NAN};
    strcpy(ret_view->id, row->id);
    if (vx_job_row_is_unfinished(row) && !view_progress(jobs, ret_view)) {
        /* A job's end is written before it leaves the live table. So one that is neither ended in the
         * row read nor live has ended between the two looks, and its row says so now; or it waits for
         * the next start. */
        vx_job_row now = {0};
        vx_err unread;
        if (!vx_catalog_get_job(jobs->catalog, row->id, &now, &unread)) {
            vx_job_row_clear(row);
            *row = now;
        }
    }
    if (!vx_job_row_is_unfinished(row)) {
        ret_view->state = row->state;
        ret_view->phase = row->state == VX_JOB_DONE ? VX_PHASE_DONE : VX_PHASE_FAILED;
    }
    ret_view->tries = row->tries;
    ret_view->last_error = vx_take(row->last_error);
    ret_view->created_us = row->created_us;
    ret_view->finished_us = row->finished_us;
    ret_view->kind = vx_take(row->kind);
    json_t *request = json_loads(row->request, 0, NULL);
    ret_view->filename = copy_string(request, "filename");
    ret_view->model = copy_string(request, "model");
    json_decref(request);
    view_result(ret_view, row->result, whole);
    if (row->state == VX_JOB_PARKED) {
        ret_view->outcome = VX_OUTCOME_INTERNAL;
        ret_view->message = ret_view->last_error ? strdup(ret_view->last_error) : NULL;
    }
    vx_job_row_clear(row);
}

int vx_jobs_get(vx_jobs *jobs, const char *id, vx_job_view *ret_view, vx_err *err) {
    vx_job_row row = {0};
    int rc = vx_catalog_get_job(jobs->catalog, id, &row, err);
    if (!rc)
        view_of_row(jobs, &row, true, ret_view);
    return rc;
}

int vx_jobs_list(vx_jobs *jobs, const char *cursor, int state, size_t limit,
                 vx_job_view **ret_views, size_t *ret_n, vx_err *err) {
    vx_job_row last = {0}, *rows = NULL;
    size_t n = 0;
    int rc = cursor[0] ? vx_catalog_get_job(jobs->catalog, cursor, &last, err) : 0;
    if (!rc)
        rc = vx_catalog_list_jobs(jobs->catalog, limit, last.created_us, cursor[0] ? cursor : NULL,
                                  state, &rows, &n, err);
    vx_job_row_clear(&last);
    vx_job_view *views = rc ? NULL : vx_new_array(n, sizeof *views);
    if (!rc && !views)
        rc = VX_FAIL(err, -ENOMEM, "no memory for %zu jobs", n);
    for (size_t i = 0; i < n; i++) {
        if (views)
            view_of_row(jobs, &rows[i], false, &views[i]);
        else
            vx_job_row_clear(&rows[i]);
    }
    free(rows);
    if (rc)
        return rc;
    *ret_views = views;
    *ret_n = n;
    return 0;
}

/* ---- the end ---- */

char *vx_jobs_result(vx_outcome outcome, const char *message, const char *video_id,
                     json_t *report) {
    json_t *object = json_pack("{s:s, s:s*, s:s*, s:o*}", "outcome", vx_outcome_name(outcome),
                               "message", outcome > VX_OUTCOME_EXISTING ? message : NULL,
                               "video_id", video_id, "report", report);
    char *text = object ? json_dumps(object, AS_STORED) : NULL;
    json_decref(object);
    return text;
}

int vx_jobs_end(vx_jobs *jobs, const char *id, vx_job_state state, const char *result,
                vx_err *err) {
    vx_job_row row = {0};
    if (!result)
        return VX_FAIL(err, -ENOMEM, "no memory for a job's result");
    int rc = vx_catalog_get_job(jobs->catalog, id, &row, err);
    if (!rc && row.finished_us) /* a parked one may end */
        rc = VX_FAIL(err, VX_JOBS_ENDED, "the job was cancelled");
    vx_job_row_clear(&row);
    return rc ? rc
              : vx_catalog_update_job(jobs->catalog, id, state, result, vx_clock_unix_us(), err);
}

/* ---- forgetting ---- */

typedef struct prune {
    vx_jobs *jobs;
    int64_t before_us;
    int n_pruned;
} prune;

static int apply_prune(void *ctx, vx_err *err) {
    prune *p = ctx;
    return vx_catalog_prune_jobs(p->jobs->catalog, p->before_us, PRUNE_AT_ONCE, &p->n_pruned, err);
}

int vx_jobs_prune(vx_jobs *jobs, int64_t before_us, const atomic_bool *stopping, vx_err *err) {
    prune p = {jobs, before_us, 0};
    int rc;
    do
        rc = vx_writer_run(jobs->writer, apply_prune, NULL, &p, err);
    while (!rc && p.n_pruned == PRUNE_AT_ONCE && !atomic_load(stopping));
    return rc;
}
