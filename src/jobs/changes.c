/* changes.c — what clients do to a job: cancel it, have it tried again. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "jobs_internal.h"

typedef struct change_write {
    vx_write write;
    vx_jobs *jobs;
    const char *id;
    vx_jobs_changed done;
    void *ctx;
    vx_job_ticket *ticket; /* of a retry: for a job that is parked */
    bool requeued;         /* the ticket is needed */
} change_write;

/* Takes ticket, which may be NULL. */
static vx_outcome submit_change(vx_jobs *jobs, const char *id, const vx_write *write,
                                vx_job_ticket *ticket, vx_jobs_changed done, void *ctx) {
    change_write *c = vx_new(change_write);
    vx_outcome refused = VX_OUTCOME_INTERNAL;
    if (c) {
        *c = (change_write){
            .write = *write, .jobs = jobs, .id = id, .done = done, .ctx = ctx, .ticket = ticket};
        refused = vx_writer_submit(jobs->writer, &c->write, VX_WRITER_REFUSE);
    }
    if (refused) {
        free(ticket);
        free(c);
    }
    return refused;
}

/* ---- cancel ---- */

static int apply_cancel(vx_write *write, vx_err *err) {
    const change_write *c = VX_CONTAINER_OF(write, change_write, write);
    VX_AUTO_FREE char *result =
        vx_jobs_result(VX_OUTCOME_CANCELLED, "the job was cancelled", NULL, NULL);
    return vx_jobs_end(c->jobs, c->id, VX_JOB_CANCELLED, result, err);
}

/* A live job finds out by itself and removes what it has; of another the kind is told. */
static void end_cancelled(vx_jobs *jobs, const char *id) {
    vx_mutex_lock(&jobs->mu);
    vx_job *job = vx_jobs_find_live_locked(jobs, id);
    if (job)
        atomic_store(&job->cancelled, true);
    vx_mutex_unlock(&jobs->mu);
    if (!job) {
        free(vx_jobs_take_waiting(jobs, id));
        vx_jobs_discard(jobs, id);
    }
    for (int i = 0; i < jobs->n_kinds; i++)
        if (jobs->kinds[i].on_cancel)
            jobs->kinds[i].on_cancel(jobs->kinds[i].ctx);
}

static void finish_cancel(vx_write *write, int rc, const vx_err *err) {
    change_write *c = VX_CONTAINER_OF(write, change_write, write);
    if (!rc)
        end_cancelled(c->jobs, c->id);
    c->done(c->ctx, rc == VX_JOBS_ENDED ? 0 : rc, err);
    free(c);
}

vx_outcome vx_jobs_cancel(vx_jobs *jobs, const char *id, vx_jobs_changed done, void *ctx) {
    const vx_write write = {.apply = apply_cancel, .done = finish_cancel, .makes_room = true};
    return submit_change(jobs, id, &write, NULL, done, ctx);
}

/* ---- retry ---- */

static int apply_retry(vx_write *write, vx_err *err) {
    change_write *c = VX_CONTAINER_OF(write, change_write, write);
    vx_job_row row = {0};
    int rc = vx_catalog_get_job(c->jobs->catalog, c->id, &row, err);
    if (rc)
        return rc;
    c->ticket->kind = vx_jobs_find_kind(c->jobs, row.kind);
    c->ticket->alone = row.tries.crashes > 0;
    c->requeued = row.state == VX_JOB_PARKED && c->ticket->kind;
    vx_job_tries tries = row.tries;
    tries.next_try_us = 0;
    if (c->requeued)
        tries = (vx_job_tries){0};
    if (row.finished_us)
        rc = VX_FAIL(err, VX_JOBS_ENDED, "the job has ended");
    else if (c->requeued || row.state == VX_JOB_QUEUED)
        rc = vx_catalog_update_job_tries(c->jobs->catalog, c->id, VX_JOB_QUEUED, &tries, NULL, err);
    vx_job_row_clear(&row);
    return rc;
}

static void finish_retry(vx_write *write, int rc, const vx_err *err) {
    change_write *c = VX_CONTAINER_OF(write, change_write, write);
    vx_job_ticket *ticket = c->requeued && !rc ? vx_take(c->ticket) : NULL;
    if (!rc && !ticket)
        ticket = vx_jobs_take_waiting(c->jobs, c->id);
    if (ticket) {
        ticket->due_us = vx_clock_monotonic_us();
        vx_jobs_wait(ticket);
    }
    c->done(c->ctx, rc, err);
    free(c->ticket);
    free(c);
}

vx_outcome vx_jobs_retry(vx_jobs *jobs, const char *id, vx_jobs_changed done, void *ctx) {
    const vx_write write = {.apply = apply_retry, .done = finish_retry};
    vx_job_ticket *ticket = vx_jobs_new_ticket(jobs, id, NULL);
    return ticket ? submit_change(jobs, id, &write, ticket, done, ctx) : VX_OUTCOME_INTERNAL;
}
