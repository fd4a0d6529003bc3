#include "sweep.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

struct vx_sweep {
    vx_sweep_params params;
    vx_mutex mu;
    vx_cond ended;
    vx_job *job VX_GUARDED;  /* that waits or runs; owned */
    bool durable VX_GUARDED; /* its row is committed */
    bool is_left;            /* set while the rows are loaded */
    bool again; /* rows were marked while a cancelled job had not ended; the writer's thread's */
};

static vx_job *new_job(const vx_sweep *sweep) {
    vx_job *job = vx_new(vx_job);
    if (job)
        atomic_store(&job->phase, sweep->params.phase);
    return job;
}

static void set_job(vx_sweep *sweep, vx_job *job, bool durable) {
    vx_mutex_lock(&sweep->mu);
    sweep->job = job;
    sweep->durable = durable;
    if (!job)
        vx_cond_signal(&sweep->ended);
    vx_mutex_unlock(&sweep->mu);
}

static vx_job *get_job(vx_sweep *sweep, bool only_durable) {
    vx_mutex_lock(&sweep->mu);
    vx_job *job = only_durable && !sweep->durable ? NULL : sweep->job;
    vx_mutex_unlock(&sweep->mu);
    return job;
}

static void free_job(vx_sweep *sweep, vx_job *job) {
    vx_jobs_remove(sweep->params.jobs, job);
    free(job);
}

int vx_sweep_begin(vx_sweep *sweep, vx_job **ret_job, vx_err *err) {
    *ret_job = NULL;
    vx_job *live = get_job(sweep, false);
    if (live) { /* one that is cancelled ends without these */
        sweep->again |= atomic_load(&live->cancelled);
        return 0;
    }
    vx_job *job = new_job(sweep);
    if (!job)
        return VX_FAIL(err, -ENOMEM, "no memory for a job");
    int rc = vx_jobs_prepare(sweep->params.jobs, sweep->params.kind, job, err);
    if (!rc)
        rc = vx_jobs_insert(sweep->params.jobs, sweep->params.kind, job, "{}", err);
    if (rc) {
        free_job(sweep, job);
        return rc;
    }
    vx_jobs_add(sweep->params.jobs, job);
    set_job(sweep, job, false);
    *ret_job = job;
    return 0;
}

void vx_sweep_finish(vx_sweep *sweep, vx_job *job, int rc) {
    if (!job)
        return;
    set_job(sweep, rc ? NULL : job, true);
    if (rc)
        free_job(sweep, job);
    else
        sweep->params.wake(sweep->params.ctx);
}

/* ---- the end ---- */

typedef struct ending {
    vx_sweep *sweep;
    vx_job *job;
    vx_job *next; /* made for rows that were marked after this one was cancelled */
    bool more;    /* rows were marked meanwhile */
} ending;

static int apply_end(void *ctx, vx_err *err) {
    ending *end = ctx;
    vx_sweep *sweep = end->sweep;
    end->more = false;
    int rc = 0;
    if (!atomic_load(&end->job->cancelled))
        rc = sweep->params.find_marks(sweep->params.ctx, &end->more, err);
    if (rc || end->more)
        return rc;
    VX_AUTO_FREE char *result = vx_jobs_result(VX_OUTCOME_OK, NULL, NULL, NULL);
    rc = vx_jobs_end(sweep->params.jobs, end->job->id, VX_JOB_DONE, result, err);
    if (rc && rc != VX_JOBS_ENDED && rc != VX_CATALOG_NOT_FOUND)
        return rc;
    set_job(sweep, NULL, false); /* whoever marks more from here on makes another job */
    if (!sweep->again)
        return 0;
    sweep->again = false;
    return vx_sweep_begin(sweep, &end->next, err);
}

static void undo_end(void *ctx) {
    ending *end = ctx;
    if (end->next) {
        vx_sweep_finish(end->sweep, end->next, -ECANCELED);
        end->sweep->again = true;
        end->next = NULL;
    }
    if (!end->more)
        set_job(end->sweep, end->job, true);
}

/* Broken off or failed by a fault of ours: the marks stay, and the job is made again from its row. */
static void try_again(vx_sweep *sweep, vx_job *job, vx_outcome outcome, const vx_err *why) {
    set_job(sweep, NULL, false);
    vx_jobs_try_again(sweep->params.jobs, job, outcome, why);
    free(job);
}

int vx_sweep_run(vx_sweep *sweep, vx_err *err) {
    const vx_sweep_params *p = &sweep->params;
    vx_job *job = get_job(sweep, true);
    if (!job)
        return 0;
    atomic_store(&job->started_us, vx_clock_monotonic_us());
    int rc = vx_jobs_begin(p->jobs, job, err);
    if (rc == VX_JOBS_ENDED) { /* as the end of one that is cancelled later */
        atomic_store(&job->cancelled, true);
        rc = 0;
    }
    ending end = {.sweep = sweep, .job = job, .more = true};
    while (!rc && end.more) {
        rc = p->work(p->ctx, job, err);
        if (!rc && atomic_load(p->stopping))
            rc = VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
        if (!rc)
            rc = vx_writer_run(p->writer, apply_end, undo_end, &end, err);
    }
    if (rc) {
        try_again(sweep, job, vx_outcome_of_error(rc, err), err);
        return rc == -ESHUTDOWN ? 0 : rc;
    }
    vx_log(VX_LOG_INFO, p->kind, "job=%s videos=%lld", job->id, (long long)atomic_load(&job->done));
    free_job(sweep, job);
    vx_sweep_finish(sweep, end.next, 0);
    return 0;
}

void vx_sweep_get_job_id(vx_sweep *sweep, char ret_id[VX_JOB_ID_CHARS + 1]) {
    vx_mutex_lock(&sweep->mu);
    bool lives = sweep->job && sweep->durable && !atomic_load(&sweep->job->cancelled);
    strcpy(ret_id, lives ? sweep->job->id : "");
    vx_mutex_unlock(&sweep->mu);
}

void vx_sweep_wait(vx_sweep *sweep) {
    vx_mutex_lock(&sweep->mu);
    while (sweep->job && !atomic_load(sweep->params.stopping))
        vx_cond_wait(&sweep->ended, &sweep->mu);
    vx_mutex_unlock(&sweep->mu);
}

/* ---- jobs made again from their rows ---- */

static void note(void *ctx, const vx_job_row *row) {
    vx_sweep *sweep = ctx;
    sweep->is_left |= row->state != VX_JOB_PARKED;
}

bool vx_sweep_is_left(const vx_sweep *sweep) {
    return sweep->is_left;
}

/* One is enough for all that wait; another finds nothing to do then. */
static vx_outcome parse(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    vx_sweep *sweep = ctx;
    if (get_job(sweep, false)) {
        VX_FAIL(err, -EBUSY, "another job of the kind %s runs", sweep->params.kind);
        return VX_OUTCOME_BUSY;
    }
    vx_job *job = new_job(sweep);
    if (!job) {
        VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
        return VX_OUTCOME_BUSY;
    }
    strcpy(job->id, row->id);
    *ret_job = job;
    return VX_OUTCOME_OK;
}

static vx_outcome run(void *ctx, vx_job *job) {
    vx_sweep *sweep = ctx;
    vx_mutex_lock(&sweep->mu);
    bool taken = sweep->job != NULL;
    if (!taken) {
        sweep->job = job;
        sweep->durable = true;
    }
    vx_mutex_unlock(&sweep->mu);
    if (taken) {
        free(job);
        return VX_OUTCOME_BUSY;
    }
    vx_jobs_add(sweep->params.jobs, job);
    sweep->params.wake(sweep->params.ctx);
    return VX_OUTCOME_OK;
}

/* ---- new and free ---- */

int vx_sweep_new(const vx_sweep_params *params, vx_sweep **ret_sweep, vx_err *err) {
    vx_sweep *sweep = vx_new(vx_sweep);
    if (!sweep)
        return VX_FAIL(err, -ENOMEM, "no memory for the jobs of the kind %s", params->kind);
    sweep->params = *params;
    vx_mutex_init(&sweep->mu);
    vx_cond_init(&sweep->ended);
    vx_jobs_add_kind(params->jobs, &(vx_job_kind){.name = params->kind,
                                                  .ctx = sweep,
                                                  .note = note,
                                                  .parse = parse,
                                                  .run = run,
                                                  .counts_crashes = params->counts_crashes});
    *ret_sweep = sweep;
    return 0;
}

VX_NO_LOCK_ANALYSIS vx_sweep *vx_sweep_free(vx_sweep *sweep) {
    if (!sweep)
        return NULL;
    if (sweep->job)
        free_job(sweep, sweep->job);
    vx_cond_done(&sweep->ended);
    vx_mutex_done(&sweep->mu);
    free(sweep);
    return NULL;
}
