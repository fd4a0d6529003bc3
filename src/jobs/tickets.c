/* tickets.c — the tries of a job: counted before they begin, planned again after they failed. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "jobs_internal.h"

#define SECOND_US 1000000LL
/* A fault of an hour is one that somebody mends: the jobs go on within half a minute then. */
#define SHORT_WAIT_MAX_US (30 * SECOND_US)
#define SHORT_WAITS_US (3600 * SECOND_US)
#define LONG_WAIT_US (300 * SECOND_US)

vx_job_state vx_jobs_plan_next(vx_job_tries *tries, int64_t took_us, int64_t now_us) {
    if (!tries->failing_us)
        tries->failing_us = now_us;
    int64_t failing_for_us = now_us - tries->failing_us;
    if (tries->attempts >= VX_JOBS_MIN_ATTEMPTS && failing_for_us >= VX_JOBS_MAX_FAILING_US) {
        tries->next_try_us = 0;
        return VX_JOB_PARKED;
    }
    int doublings = tries->attempts > 1 ? tries->attempts - 1 : 0;
    int64_t wait_us = doublings < 5 ? SECOND_US << doublings : SHORT_WAIT_MAX_US;
    if (failing_for_us >= SHORT_WAITS_US)
        wait_us = LONG_WAIT_US;
    tries->next_try_us = now_us + (wait_us > took_us ? wait_us : took_us);
    return VX_JOB_QUEUED;
}

void vx_jobs_wait(vx_job_ticket *ticket) {
    vx_jobs *jobs = ticket->jobs;
    vx_mutex_lock(&jobs->mu);
    vx_job_ticket **end = &jobs->waiting;
    while (*end)
        end = &(*end)->next;
    ticket->next = NULL;
    *end = ticket;
    vx_cond_signal(&jobs->changed);
    vx_mutex_unlock(&jobs->mu);
}

vx_job_ticket *vx_jobs_take_waiting(vx_jobs *jobs, const char *id) {
    vx_mutex_lock(&jobs->mu);
    vx_job_ticket **slot = &jobs->waiting;
    while (*slot && strcmp((*slot)->id, id))
        slot = &(*slot)->next;
    vx_job_ticket *ticket = *slot;
    if (ticket)
        *slot = ticket->next;
    vx_mutex_unlock(&jobs->mu);
    return ticket;
}

void vx_jobs_discard(vx_jobs *jobs, const char *id) {
    vx_job_row row = {0};
    vx_err err;
    int rc = vx_catalog_get_job(jobs->catalog, id, &row, &err);
    const vx_job_kind *kind = rc ? NULL : vx_jobs_find_kind(jobs, row.kind);
    if (kind && kind->discard)
        kind->discard(kind->ctx, &row);
    if (rc)
        vx_log_failed(VX_LOG_WARN, "job", &err, "job=%s", id);
    vx_job_row_clear(&row);
}

/* ---- before a try ---- */

static int apply_begin(void *ctx, vx_err *err) {
    const vx_job_ticket *ticket = ctx;
    int rc = vx_catalog_update_job_tries(ticket->jobs->catalog, ticket->id, VX_JOB_RUNNING,
                                         &ticket->tries, NULL, err);
    return rc == VX_CATALOG_NOT_FOUND ? VX_FAIL(err, VX_JOBS_ENDED, "the job was cancelled") : rc;
}

int vx_jobs_begin(vx_jobs *jobs, vx_job *job, vx_err *err) {
    vx_job_ticket *ticket = job->ticket;
    ticket->begun = true;
    ticket->tries.attempts++;
    ticket->tries.next_try_us = 0;
    ticket->started_us = vx_clock_monotonic_us();
    return vx_writer_run(jobs->writer, apply_begin, NULL, ticket, err);
}

/* ---- after a try that failed ---- */

static int apply_failed(vx_write *write, vx_err *err) {
    const vx_job_ticket *ticket = VX_CONTAINER_OF(write, vx_job_ticket, write);
    return vx_catalog_update_job_tries(ticket->jobs->catalog, ticket->id, ticket->state,
                                       &ticket->tries, ticket->why[0] ? ticket->why : NULL, err);
}

/* A row that could not be written is one more reason to try again; a restart would run it too. */
static void finish_failed(vx_write *write, int rc, const vx_err *err) {
    vx_job_ticket *ticket = VX_CONTAINER_OF(write, vx_job_ticket, write);
    if (rc && rc != VX_CATALOG_NOT_FOUND)
        vx_log_failed(VX_LOG_ERROR, "job", err, "job=%s", ticket->id);
    if (rc == VX_CATALOG_NOT_FOUND) /* cancelled meanwhile */
        vx_jobs_discard(ticket->jobs, ticket->id);
    bool ended = rc == VX_CATALOG_NOT_FOUND || (!rc && ticket->state == VX_JOB_PARKED);
    if (ended)
        free(ticket);
    else
        vx_jobs_wait(ticket);
}

void vx_jobs_fail_try(vx_job_ticket *ticket, vx_outcome outcome, const vx_err *why) {
    int64_t now_us = vx_clock_monotonic_us(), unix_us = vx_clock_unix_us();
    vx_job_tries *tries = &ticket->tries;
    ticket->why[0] = '\0';
    if (outcome == VX_OUTCOME_STOPPING) {
        tries->attempts -= ticket->begun;
        ticket->state = VX_JOB_QUEUED;
        ticket->due_us = now_us;
    } else {
        tries->attempts += !ticket->begun;
        ticket->state =
            vx_jobs_plan_next(tries, ticket->started_us ? now_us - ticket->started_us : 0, unix_us);
        ticket->due_us =
            now_us + (tries->next_try_us ? tries->next_try_us - unix_us : LONG_WAIT_US);
        snprintf(ticket->why, sizeof ticket->why, "%s", why->msg);
        vx_log_failed(VX_LOG_WARN, "job", why, "job=%s state=%s attempts=%d wait_s=%.0f",
                      ticket->id, ticket->state == VX_JOB_PARKED ? "parked" : "queued",
                      tries->attempts, (double)(ticket->due_us - now_us) / 1e6);
    }
    ticket->begun = false;
    ticket->started_us = 0;
    ticket->write = (vx_write){.apply = apply_failed, .done = finish_failed};
    if (vx_writer_submit(ticket->jobs->writer, &ticket->write, VX_WRITER_WAIT))
        vx_jobs_wait(ticket);
}

void vx_jobs_try_again(vx_jobs *jobs, vx_job *job, vx_outcome outcome, const vx_err *why) {
    vx_job_ticket *ticket = vx_take(job->ticket);
    vx_jobs_remove(jobs, job);
    vx_mutex_lock(&jobs->mu);
    if (ticket->alone) {
        jobs->alone_live = false;
        vx_cond_signal(&jobs->changed);
    }
    vx_mutex_unlock(&jobs->mu);
    vx_jobs_fail_try(ticket, outcome, why);
}
