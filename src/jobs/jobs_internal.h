/* jobs_internal.h — what the parts of jobs/ share: tickets.c, rows.c, changes.c, schedule.c. */
#pragma once

#include <pthread.h>

#include "base/thread.h"
#include "jobs.h"

/* One for each unfinished job of this process, from its row (or before) to its end. It belongs to the
 * vx_job while that is live, to the writer while it writes the row after a failed try, else to
 * `waiting`. It is made early, so that a job can be tried again after memory has run out. */
typedef struct vx_job_ticket {
    char id[VX_JOB_ID_CHARS + 1];
    const vx_job_kind *kind;
    vx_jobs *jobs;
    vx_job_tries tries; /* as the row has them, or will have them */
    bool begun;         /* the try that runs is counted */
    bool alone;         /* the process ended while it ran: no other such job beside it */
    int64_t started_us; /* monotonic: when the try that runs was taken up */
    int64_t due_us;     /* monotonic: when the next one may begin */
    vx_write write;     /* of the row after a failed try: */
    vx_job_state state;
    char why[sizeof(((vx_err *)0)->msg)]; /* "": last_error stays as it is */
    struct vx_job_ticket *next;
} vx_job_ticket;

struct vx_jobs {
    vx_catalog *catalog;
    vx_writer *writer;
    vx_job_kind kinds[VX_JOB_KINDS_MAX];
    int n_kinds;
    pthread_t scheduler;
    bool started;
    vx_mutex mu;
    vx_cond changed; /* waiting, alone_live or stopping */
    bool stopping VX_GUARDED;
    bool alone_live VX_GUARDED;        /* a job that runs alone is live */
    vx_job *live VX_GUARDED;           /* by ->next; borrows */
    vx_job_ticket *waiting VX_GUARDED; /* by ->next, in the order in which they came; owned */
};

bool vx_job_row_is_unfinished(const vx_job_row *row); /* queued or running */
vx_job *vx_jobs_find_live_locked(vx_jobs *jobs, const char *id) VX_REQUIRES(&jobs->mu);
const vx_job_kind *vx_jobs_find_kind(const vx_jobs *jobs, const char *name);
/* Gives a ticket; NULL without memory. */
vx_job_ticket *vx_jobs_new_ticket(vx_jobs *jobs, const char *id, const vx_job_kind *kind);

/* ---- tickets.c: the tries of a job ---- */

#define VX_JOBS_MAX_CRASHES 3
#define VX_JOBS_MIN_ATTEMPTS 10                    /* a job is parked after so many tries */
#define VX_JOBS_MAX_FAILING_US (86400LL * 1000000) /* and so long */

/* A failed try: queued, with the time of the next one, or parked. took_us: what the failed one took. */
vx_job_state vx_jobs_plan_next(vx_job_tries *tries, int64_t took_us, int64_t now_us);
/* Puts it behind the others that wait; takes it. */
void vx_jobs_wait(vx_job_ticket *ticket);
/* Takes it out of those that wait: gives it, or NULL. */
vx_job_ticket *vx_jobs_take_waiting(vx_jobs *jobs, const char *id);
/* As vx_jobs_try_again, of a job that is not live; takes the ticket. */
void vx_jobs_fail_try(vx_job_ticket *ticket, vx_outcome outcome, const vx_err *why);
/* Has the kind remove what the row of a cancelled job names. */
void vx_jobs_discard(vx_jobs *jobs, const char *id);
