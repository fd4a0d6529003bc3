/* sweep.h — a durable job for all rows of the catalog that wait for the same work.
 *
 * A transaction marks rows, and as its last step begins the job, unless one waits or runs: so there is never more
 * than one, however many rows wait. The marks say what is left: after a restart the job goes on from them. It ends
 * in a transaction that finds no mark. If it is cancelled the marks stay, and the next job takes them too.
 *
 * Threads: begin and finish on the writer's; run on one thread of the owner; the others any.
 */
#pragma once

#include "jobs.h"

typedef struct vx_sweep vx_sweep;

typedef struct vx_sweep_params { /* borrows all, until free */
    vx_jobs *jobs;               /* gets the kind */
    vx_writer *writer;
    const char *kind;    /* static */
    vx_phase phase;      /* that the job shows */
    bool counts_crashes; /* as of vx_job_kind */
    const atomic_bool *stopping;
    /* Inside a transaction: whether a row is marked. */
    int (*find_marks)(void *ctx, bool *ret_any, vx_err *err);
    /* Works off what is marked, counting in job->done; ends early once *stopping or job->cancelled. */
    int (*work)(void *ctx, vx_job *job, vx_err *err);
    /* A job waits: the owner calls vx_sweep_run soon. Must be short. */
    void (*wake)(void *ctx);
    void *ctx;
} vx_sweep_params;

int vx_sweep_new(const vx_sweep_params *params, vx_sweep **ret_sweep, vx_err *err);
/* After the writer. NULL-safe. */
vx_sweep *vx_sweep_free(vx_sweep *sweep);

/* Inside a transaction that marks rows, as its last step: makes the job, unless there is one (NULL). _finish: after
 * that transaction, rc 0 = committed. */
int vx_sweep_begin(vx_sweep *sweep, vx_job **ret_job, vx_err *err);
void vx_sweep_finish(vx_sweep *sweep, vx_job *job, int rc);
/* Runs the job that waits, if there is one. A failure is also noted in its row: it is tried again later. */
int vx_sweep_run(vx_sweep *sweep, vx_err *err);
/* Whether a job was left by the process before this one, and will run. After vx_jobs_load. */
bool vx_sweep_is_left(const vx_sweep *sweep);
/* The id of the job that waits or runs; "": none. */
void vx_sweep_get_job_id(vx_sweep *sweep, char ret_id[VX_JOB_ID_CHARS + 1]);
/* Waits until no job waits or runs, or a try of it has failed. For one thread. */
void vx_sweep_wait(vx_sweep *sweep);
