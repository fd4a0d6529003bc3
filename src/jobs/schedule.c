/* schedule.c — which jobs run after a start and after a failed try, and when. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "jobs_internal.h"

#define NO_ROOM_US 200000 /* until a job that found no room is run again */

/* ---- at start ---- */

typedef struct job_rows {
    vx_jobs *jobs;
    vx_job_row *rows; /* [n] */
    size_t n;
} job_rows;

/* Counts the crash of those that were running when the process ended, and parks who was there too
 * often. */
static int count_crashes(void *ctx, vx_err *err) {
    const job_rows *found = ctx;
    int rc = 0;
    for (size_t i = 0; i < found->n; i++) {
        vx_job_row *row = &found->rows[i];
        char why[96];
        if (row->state != VX_JOB_RUNNING)
            continue;
        const vx_job_kind *kind = vx_jobs_find_kind(found->jobs, row->kind);
        bool park = ++row->tries.crashes >= VX_JOBS_MAX_CRASHES && !(kind && kind->counts_crashes);
        row->state = park ? VX_JOB_PARKED : VX_JOB_QUEUED;
        snprintf(why, sizeof why, "the server ended while it worked on this job, %d of %d times",
                 row->tries.crashes, VX_JOBS_MAX_CRASHES);
        if (park)
            vx_log(VX_LOG_ERROR, "resume", "job=%s state=parked crashes=%d", row->id,
                   row->tries.crashes);
        if (!rc)
            rc = vx_catalog_update_job_tries(found->jobs->catalog, row->id, row->state, &row->tries,
                                             why, err);
    }
    return rc;
}

static int note_row(vx_jobs *jobs, const vx_job_row *row, bool *ret_runs, vx_err *err) {
    const vx_job_kind *kind = vx_jobs_find_kind(jobs, row->kind);
    *ret_runs = false;
    if (!kind) /* of a newer vidx: stays as it is */
        return 0;
    if (kind->note)
        kind->note(kind->ctx, row);
    if (row->state == VX_JOB_PARKED)
        return 0;
    vx_job_ticket *ticket = vx_jobs_new_ticket(jobs, row->id, kind);
    if (!ticket)
        return VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
    ticket->tries = row->tries;
    ticket->alone = row->tries.crashes > 0;
    vx_jobs_wait(ticket);
    *ret_runs = true;
    return 0;
}

static bool any_was_running(const job_rows *found) {
    for (size_t i = 0; i < found->n; i++)
        if (found->rows[i].state == VX_JOB_RUNNING)
            return true;
    return false;
}

static int note_rows(vx_jobs *jobs, int state, size_t *ret_n, vx_err *err) {
    job_rows found = {.jobs = jobs};
    int rc =
        vx_catalog_list_jobs(jobs->catalog, SIZE_MAX, 0, NULL, state, &found.rows, &found.n, err);
    if (rc)
        return rc;
    vx_err unwritten;
    if (any_was_running(&found) &&
        vx_writer_run(jobs->writer, count_crashes, NULL, &found, &unwritten))
        vx_log_failed(VX_LOG_ERROR, "resume", &unwritten, "jobs=%zu", found.n);
    for (size_t i = found.n; i-- > 0;) { /* oldest first */
        bool runs = false;
        if (!rc)
            rc = note_row(jobs, &found.rows[i], &runs, err);
        *ret_n += runs;
        vx_job_row_clear(&found.rows[i]);
    }
    free(found.rows);
    return rc;
}

int vx_jobs_load(vx_jobs *jobs, size_t *ret_n, vx_err *err) {
    size_t n_parked = 0;
    *ret_n = 0;
    int rc = note_rows(jobs, VX_JOB_PARKED, &n_parked, err);
    return rc ? rc : note_rows(jobs, VX_JOBS_UNFINISHED, ret_n, err);
}

/* ---- running one ---- */

/* A row that can never be run. */
typedef struct unreadable {
    const vx_job_ticket *ticket;
    vx_outcome outcome;
    const vx_err *reason;
} unreadable;

static int apply_unreadable(void *ctx, vx_err *err) {
    const unreadable *u = ctx;
    VX_AUTO_FREE char *result = vx_jobs_result(u->outcome, u->reason->msg, NULL, NULL);
    return vx_jobs_end(u->ticket->jobs, u->ticket->id, VX_JOB_FAILED, result, err);
}

/* Takes the ticket. */
static void end_unreadable(vx_job_ticket *ticket, vx_outcome outcome, const vx_err *reason) {
    unreadable u = {ticket, outcome, reason};
    vx_err err;
    vx_log_failed(VX_LOG_ERROR, "resume", reason, "job=%s", ticket->id);
    int rc = vx_writer_run(ticket->jobs->writer, apply_unreadable, NULL, &u, &err);
    if (!rc || rc == VX_JOBS_ENDED || rc == VX_CATALOG_NOT_FOUND)
        free(ticket);
    else
        vx_jobs_fail_try(ticket, vx_outcome_of_error(rc, &err), &err);
}

static void wait_for_room(vx_job_ticket *ticket) {
    ticket->due_us = vx_clock_monotonic_us() + NO_ROOM_US;
    ticket->started_us = 0;
    vx_jobs_wait(ticket);
}

static void set_alone_live(const vx_job_ticket *ticket, bool live) {
    vx_mutex_lock(&ticket->jobs->mu);
    if (ticket->alone)
        ticket->jobs->alone_live = live;
    vx_mutex_unlock(&ticket->jobs->mu);
}

/* Makes the job of a ticket from its row and has its kind run it; takes the ticket. */
static void run_ticket(vx_job_ticket *ticket) {
    vx_jobs *jobs = ticket->jobs;
    vx_job_row row = {0};
    vx_job *job = NULL;
    vx_err err = {0};
    ticket->started_us = vx_clock_monotonic_us();
    int rc = vx_catalog_get_job(jobs->catalog, ticket->id, &row, &err);
    if (rc == VX_CATALOG_NOT_FOUND || (!rc && !vx_job_row_is_unfinished(&row))) {
        vx_job_row_clear(&row);
        free(ticket);
        return;
    }
    vx_outcome outcome = rc ? vx_outcome_of_error(rc, &err)
                            : ticket->kind->parse(ticket->kind->ctx, &row, &job, &err);
    vx_job_row_clear(&row);
    if (rc) {
        vx_jobs_fail_try(ticket, outcome, &err);
    } else if (outcome == VX_OUTCOME_BUSY) {
        wait_for_room(ticket);
    } else if (outcome && vx_outcome_is_our_fault(outcome)) {
        vx_jobs_fail_try(ticket, outcome, &err);
    } else if (outcome) {
        end_unreadable(ticket, outcome, &err);
    } else {
        job->ticket = ticket;
        set_alone_live(ticket, true);
        outcome = ticket->kind->run(ticket->kind->ctx, job); /* OK: the ticket may be gone */
        if (!outcome)
            return;
        set_alone_live(ticket, false);
        if (outcome == VX_OUTCOME_BUSY || outcome == VX_OUTCOME_STOPPING)
            wait_for_room(ticket);
        else
            vx_jobs_fail_try(ticket, outcome, &err);
    }
}

/* ---- the thread ---- */

/* The first that may begin now; else NULL, and when to look again. */
static vx_job_ticket *take_due_locked(vx_jobs *jobs, int64_t now_us, int64_t *ret_wake_us)
    VX_REQUIRES(&jobs->mu) {
    *ret_wake_us = now_us + 3600LL * 1000000;
    for (vx_job_ticket **slot = &jobs->waiting; *slot; slot = &(*slot)->next) {
        vx_job_ticket *ticket = *slot;
        if (ticket->alone && jobs->alone_live)
            continue;
        if (ticket->due_us <= now_us) {
            *slot = ticket->next;
            return ticket;
        }
        if (ticket->due_us < *ret_wake_us)
            *ret_wake_us = ticket->due_us;
    }
    return NULL;
}

static void *run_scheduler(void *ctx) {
    vx_jobs *jobs = ctx;
    vx_mutex_lock(&jobs->mu);
    while (!jobs->stopping) {
        int64_t wake_us;
        vx_job_ticket *ticket = take_due_locked(jobs, vx_clock_monotonic_us(), &wake_us);
        if (!ticket) {
            vx_cond_wait_until(&jobs->changed, &jobs->mu, wake_us);
            continue;
        }
        vx_mutex_unlock(&jobs->mu);
        run_ticket(ticket);
        vx_mutex_lock(&jobs->mu);
    }
    vx_mutex_unlock(&jobs->mu);
    return NULL;
}

int vx_jobs_start(vx_jobs *jobs, vx_err *err) {
    int rc = vx_thread_start(&jobs->scheduler, "vx-jobs", run_scheduler, jobs, err);
    jobs->started = !rc;
    return rc;
}

void vx_jobs_stop(vx_jobs *jobs) {
    if (!jobs || !jobs->started)
        return;
    vx_mutex_lock(&jobs->mu);
    jobs->stopping = true;
    vx_cond_signal(&jobs->changed);
    vx_mutex_unlock(&jobs->mu);
    pthread_join(jobs->scheduler, NULL);
    jobs->started = false;
}
