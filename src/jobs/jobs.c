/* jobs.c — the rows in the catalog and the live table beside them. */
#include "jobs.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/thread.h"

#define PRUNE_AT_ONCE 500 /* rows in one transaction: uploads commit in between */

typedef struct loaded_job {
    const vx_job_kind *kind;
    vx_job *job; /* owned until it runs */
} loaded_job;

struct vx_jobs {
    vx_catalog *catalog;
    vx_writer *writer;
    vx_job_kind kinds[VX_JOB_KINDS_MAX];
    int n_kinds;
    loaded_job *loaded; /* [n_loaded], oldest first */
    size_t n_loaded;
    vx_mutex mu;
    vx_job *live VX_GUARDED; /* by ->next; borrows */
};

int vx_jobs_new(vx_catalog *catalog, vx_writer *writer, vx_jobs **ret_jobs, vx_err *err) {
    vx_jobs *jobs = vx_new(vx_jobs);
    if (!jobs)
        return VX_FAIL(err, -ENOMEM, "no memory for the job table");
    jobs->catalog = catalog;
    jobs->writer = writer;
    vx_mutex_init(&jobs->mu);
    *ret_jobs = jobs;
    return 0;
}

vx_jobs *vx_jobs_free(vx_jobs *jobs) {
    if (!jobs)
        return NULL;
    for (size_t i = 0; i < jobs->n_loaded; i++)
        jobs->loaded[i].kind->drop(jobs->loaded[i].kind->ctx, jobs->loaded[i].job);
    free(jobs->loaded);
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
    vx_mutex_unlock(&jobs->mu);
}

static vx_job *find_live_locked(vx_jobs *jobs, const char *id) VX_REQUIRES(&jobs->mu) {
    vx_job *job = jobs->live;
    while (job && strcmp(job->id, id))
        job = job->next;
    return job;
}

/* ---- becoming durable ---- */

int vx_jobs_new_id(char ret_id[VX_JOB_ID_CHARS + 1], vx_err *err) {
    uint8_t bytes[12];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return VX_FAIL_ERRNO(err, "reading random bytes");
    ret_id[0] = 'j';
    vx_hex_encode(bytes, sizeof bytes, ret_id + 1);
    return 0;
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
    int rc = a && request ? vx_jobs_new_id(job->id, &err)
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
    *view = (vx_job_view){0};
}

static char *copy_string(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strdup(text) : NULL;
}

static void view_result(vx_job_view *view, const char *result) {
    json_t *object = result ? json_loads(result, 0, NULL) : NULL;
    const char *outcome = json_string_value(json_object_get(object, "outcome"));
    const char *video = json_string_value(json_object_get(object, "video_id"));
    view->outcome = outcome ? vx_outcome_of_name(outcome) : VX_OUTCOME_OK;
    if (video)
        snprintf(view->video_id, sizeof view->video_id, "%s", video);
    view->message = copy_string(object, "message");
    const json_t *report = json_object_get(object, "report");
    view->report = report ? json_dumps(report, AS_STORED) : NULL;
    json_decref(object);
}

/* How far the live job is; false when no such job is in this process right now. */
static bool view_progress(vx_jobs *jobs, vx_job_view *view) {
    vx_mutex_lock(&jobs->mu);
    const vx_job *job = find_live_locked(jobs, view->id);
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

static bool is_unfinished(const vx_job_row *row) {
    return row->state == VX_JOB_QUEUED || row->state == VX_JOB_RUNNING;
}

/* Takes what row holds. */
static void view_of_row(vx_jobs *jobs, vx_job_row *row, vx_job_view *ret_view) {
    *ret_view = (vx_job_view){.state = row->state, .eta_s = NAN};
    strcpy(ret_view->id, row->id);
    if (is_unfinished(row) && !view_progress(jobs, ret_view)) {
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
    if (!is_unfinished(row)) {
        ret_view->state = row->state;
        ret_view->phase = row->state == VX_JOB_DONE ? VX_PHASE_DONE : VX_PHASE_FAILED;
    }
    ret_view->created_us = row->created_us;
    ret_view->finished_us = row->finished_us;
    ret_view->kind = vx_take(row->kind);
    json_t *request = json_loads(row->request, 0, NULL);
    ret_view->filename = copy_string(request, "filename");
    ret_view->model = copy_string(request, "model");
    json_decref(request);
    view_result(ret_view, row->result);
    vx_job_row_clear(row);
}

int vx_jobs_get(vx_jobs *jobs, const char *id, vx_job_view *ret_view, vx_err *err) {
    vx_job_row row = {0};
    int rc = vx_catalog_get_job(jobs->catalog, id, &row, err);
    if (!rc)
        view_of_row(jobs, &row, ret_view);
    return rc;
}

int vx_jobs_list(vx_jobs *jobs, const char *cursor, size_t limit, vx_job_view **ret_views,
                 size_t *ret_n, vx_err *err) {
    vx_job_row last = {0}, *rows = NULL;
    size_t n = 0;
    int rc = cursor[0] ? vx_catalog_get_job(jobs->catalog, cursor, &last, err) : 0;
    if (!rc)
        rc = vx_catalog_list_jobs(jobs->catalog, limit, last.created_us, cursor[0] ? cursor : NULL,
                                  false, &rows, &n, err);
    vx_job_row_clear(&last);
    vx_job_view *views = rc ? NULL : vx_new_array(n, sizeof *views);
    if (!rc && !views)
        rc = VX_FAIL(err, -ENOMEM, "no memory for %zu jobs", n);
    for (size_t i = 0; i < n; i++) {
        if (views)
            view_of_row(jobs, &rows[i], &views[i]);
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
    if (!rc && !is_unfinished(&row))
        rc = VX_FAIL(err, VX_JOBS_ENDED, "the job was cancelled");
    vx_job_row_clear(&row);
    return rc ? rc
              : vx_catalog_update_job(jobs->catalog, id, state, result, vx_clock_unix_us(), err);
}

typedef struct cancel_write {
    vx_write write;
    vx_jobs *jobs;
    const char *id;
    vx_jobs_cancelled done;
    void *ctx;
} cancel_write;

static int apply_cancel(vx_write *write, vx_err *err) {
    const cancel_write *c = VX_CONTAINER_OF(write, cancel_write, write);
    VX_AUTO_FREE char *result =
        vx_jobs_result(VX_OUTCOME_CANCELLED, "the job was cancelled", NULL, NULL);
    return vx_jobs_end(c->jobs, c->id, VX_JOB_CANCELLED, result, err);
}

static void finish_cancel(vx_write *write, int rc, const vx_err *err) {
    cancel_write *c = VX_CONTAINER_OF(write, cancel_write, write);
    if (!rc) {
        vx_mutex_lock(&c->jobs->mu);
        vx_job *job = find_live_locked(c->jobs, c->id);
        if (job)
            atomic_store(&job->cancelled, true);
        vx_mutex_unlock(&c->jobs->mu);
        for (int i = 0; i < c->jobs->n_kinds; i++)
            if (c->jobs->kinds[i].on_cancel)
                c->jobs->kinds[i].on_cancel(c->jobs->kinds[i].ctx);
    }
    c->done(c->ctx, rc == VX_JOBS_ENDED ? 0 : rc, err);
    free(c);
}

vx_outcome vx_jobs_cancel(vx_jobs *jobs, const char *id, vx_jobs_cancelled done, void *ctx) {
    cancel_write *c = vx_new(cancel_write);
    if (!c)
        return VX_OUTCOME_INTERNAL;
    *c = (cancel_write){.write = {.apply = apply_cancel, .done = finish_cancel, .makes_room = true},
                        .jobs = jobs,
                        .id = id,
                        .done = done,
                        .ctx = ctx};
    vx_outcome refused = vx_writer_submit(jobs->writer, &c->write, VX_WRITER_REFUSE);
    if (refused)
        free(c);
    return refused;
}

/* ---- after a restart ---- */

static const vx_job_kind *find_kind(const vx_jobs *jobs, const char *name) {
    for (int i = 0; i < jobs->n_kinds; i++)
        if (!strcmp(jobs->kinds[i].name, name))
            return &jobs->kinds[i];
    return NULL;
}

/* A row that cannot be run again. */
typedef struct unreadable {
    vx_jobs *jobs;
    const vx_job_row *row;
    vx_outcome outcome;
    const vx_err *reason;
} unreadable;

static int apply_unreadable(void *ctx, vx_err *err) {
    const unreadable *u = ctx;
    VX_AUTO_FREE char *result = vx_jobs_result(u->outcome, u->reason->msg, NULL, NULL);
    return vx_jobs_end(u->jobs, u->row->id, VX_JOB_FAILED, result, err);
}

static void fail_unreadable(vx_jobs *jobs, const vx_job_row *row, vx_outcome outcome,
                            const vx_err *reason) {
    unreadable u = {jobs, row, outcome, reason};
    vx_err err;
    vx_log_failed(VX_LOG_ERROR, "resume", reason, "job=%s", row->id);
    if (vx_writer_run(jobs->writer, apply_unreadable, NULL, &u, &err))
        vx_log_failed(VX_LOG_ERROR, "resume", &err, "job=%s", row->id);
}

int vx_jobs_load(vx_jobs *jobs, size_t *ret_n, vx_err *err) {
    vx_job_row *rows = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_jobs(jobs->catalog, SIZE_MAX, 0, NULL, true, &rows, &n, err);
    if (rc)
        return rc;
    jobs->loaded = vx_new_array(n, sizeof *jobs->loaded);
    if (!jobs->loaded)
        rc = VX_FAIL(err, -ENOMEM, "no memory for %zu unfinished jobs", n);
    for (size_t i = n; i-- > 0;) { /* oldest first */
        const vx_job_kind *kind = find_kind(jobs, rows[i].kind);
        vx_job *job = NULL;
        vx_err reason;
        /* A kind of a newer vidx stays as it is. */
        vx_outcome outcome = kind && !rc ? kind->parse(kind->ctx, &rows[i], &job, &reason) : 0;
        if (job)
            jobs->loaded[jobs->n_loaded++] = (loaded_job){kind, job};
        else if (outcome)
            fail_unreadable(jobs, &rows[i], outcome, &reason);
        vx_job_row_clear(&rows[i]);
    }
    free(rows);
    *ret_n = jobs->n_loaded;
    return rc;
}

void vx_jobs_run_loaded(vx_jobs *jobs) {
    for (size_t i = 0; i < jobs->n_loaded; i++)
        jobs->loaded[i].kind->run(jobs->loaded[i].kind->ctx, jobs->loaded[i].job);
    jobs->n_loaded = 0;
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
