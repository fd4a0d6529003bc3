/* jobs.h — background work that a client can watch and cancel, and that survives a restart.
 *
 * The catalog says what a job is and how it ended; here stands how far it is right now. What a job does
 * belongs to its kind: a row of a table that the server fills in at start. Nothing here knows what a
 * kind does.
 *
 * Life of a job: the kind makes a vx_job and its request as JSON → vx_jobs_accept or _insert writes the
 * row and makes the job live → vx_jobs_begin counts the try → its kind works, moving phase, done and
 * total → vx_jobs_end writes the end, in the transaction that makes the result durable →
 * vx_jobs_remove.
 *
 * A job ends when it is done, when something is wrong with what the client sent, or when it is cancelled.
 * If a fault of ours or of the machine stops it (a full disk, no memory, too many open files), the kind
 * calls vx_jobs_try_again instead of vx_jobs_end: the row goes back to queued, and after a while the job
 * is made from its row again (parse) and run, as after a restart. The waits are 1, 2, 4, 8, 16 and then
 * 30 seconds; after an hour 5 minutes; and never shorter than the failed try took. A job that failed for
 * a day is parked. So is one during whose tries the process ended three times: those that were running
 * when the process ended run one at a time afterwards, so that only the one at fault gets there.
 * A parked job stays, with all that it needs, until a client has it tried again or cancels it.
 *
 * Threads: any, unless said otherwise.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/outcome.h"
#include "base/phase.h"
#include "catalog/catalog.h"
#include "writer/writer.h"

typedef struct vx_jobs vx_jobs;

/* What jobs/ remembers of an unfinished job of this process. */
struct vx_job_ticket;

/* A job in this process; its kind embeds it in a struct of its own. The kind writes the atomics, any
 * thread reads them. */
typedef struct vx_job {
    char id[VX_JOB_ID_CHARS + 1];         /* "": no durable job (yet) */
    char video_id[VX_VIDEO_ID_CHARS + 1]; /* that it is about, "" = none; constant while live */
    atomic_llong started_us;              /* monotonic; 0 = still waiting */
    atomic_int phase;                     /* vx_phase */
    atomic_llong done, total;             /* units of the phase; 0/0 = not known */
    atomic_bool cancelled;                /* set once the row says so */
    struct vx_job_ticket *ticket;         /* private to jobs/, as is next */
    struct vx_job *next;
} vx_job;

/* What one kind of job is. All functions get ctx first. */
typedef struct vx_job_kind {
    const char *name; /* in the catalog and in answers; static */
    void *ctx;
    /* NULL, or told at the start, before anything runs, of a row that may run: what its request names
     * must stay. */
    void (*note)(void *ctx, const vx_job_row *row);
    /* Makes a job from its row: gives it, with its id set. Must be quick: reads no files. BUSY: not now,
     * later. Another fault of ours: a failed try. Else the row is marked failed with err's sentence and
     * this outcome. */
    vx_outcome (*parse)(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err);
    /* Makes a parsed job live, puts it to work and returns at once; takes it also on failure. BUSY,
     * STOPPING: it is made again from its row later, and this was no try. */
    vx_outcome (*run)(void *ctx, vx_job *job);
    /* NULL, or removes what only the request of this row names: the job was cancelled while it was not
     * live. On the writer's thread. */
    void (*discard)(void *ctx, const vx_job_row *row);
    /* It notes itself at which part of its work the process ended, and leaves that out: it is not parked for it. */
    bool counts_crashes;
    /* NULL, or called after a job of any kind was cancelled: one that waits may end now. */
    void (*on_cancel)(void *ctx);
} vx_job_kind;

#define VX_JOB_KINDS_MAX 16

/* Borrows catalog and writer until free. */
int vx_jobs_new(vx_catalog *catalog, vx_writer *writer, vx_jobs **ret_jobs, vx_err *err);
vx_jobs *vx_jobs_free(vx_jobs *jobs);
VX_DEFINE_AUTO(vx_jobs, vx_jobs_free)
/* Before load; copies the struct. */
void vx_jobs_add_kind(vx_jobs *jobs, const vx_job_kind *kind);
/* At start: notes the rows that were queued, running or parked. ret_n: how many will run. */
int vx_jobs_load(vx_jobs *jobs, size_t *ret_n, vx_err *err);
/* Starts the thread that runs what load found, oldest first, and what is to be tried again. Once every
 * kind has its threads. */
int vx_jobs_start(vx_jobs *jobs, vx_err *err);
/* Ends the thread: no job is run by it any more. Before the kinds stop. NULL-safe. */
void vx_jobs_stop(vx_jobs *jobs);

/* ---- for kinds ---- */

/* Gives a new job its id, and what it takes to try it again; vx_jobs_remove frees that. */
int vx_jobs_prepare(vx_jobs *jobs, const char *kind, vx_job *job, vx_err *err);
/* Makes it live: it can be watched and cancelled. Borrows until _remove, which may be called twice. A
 * job is live before its row can be read. */
void vx_jobs_add(vx_jobs *jobs, vx_job *job);
void vx_jobs_remove(vx_jobs *jobs, vx_job *job);
/* Gives the job an id, makes it live and writes its row through the writer. on_accepted: on the
 * writer's thread, rc 0 = durable; or, perhaps before this returns, why not, the job then not being
 * live. request: JSON, all that parse needs; takes it (NULL: no memory for it). */
void vx_jobs_accept(vx_jobs *jobs, const char *kind, vx_job *job, char *request,
                    void (*on_accepted)(vx_job *job, int rc, const vx_err *err));
/* The row alone, inside a transaction of the writer; the job is prepared. Borrows request. */
int vx_jobs_insert(vx_jobs *jobs, const char *kind, const vx_job *job, const char *request,
                   vx_err *err);

/* Before the work begins: counts the try in the row, so that one which ends the process is known at the
 * next start. Waits for the writer. VX_JOBS_ENDED: it was cancelled. */
int vx_jobs_begin(vx_jobs *jobs, vx_job *job, vx_err *err);
/* The try failed by a fault of ours (vx_outcome_is_our_fault), which why tells; STOPPING: it was broken
 * off, and is no try. The job is not live any more: the kind frees it, and keeps what its request names.
 * Never waits or fails: could the row not be written, the job is tried again all the same. */
void vx_jobs_try_again(vx_jobs *jobs, vx_job *job, vx_outcome outcome, const vx_err *why);

#define VX_JOBS_ENDED VX_CODES_JOBS /* beside the catalog's codes */
/* Writes the end of a job, inside a transaction of the writer. VX_JOBS_ENDED: it was cancelled before,
 * and stays so; VX_CATALOG_NOT_FOUND.
 *   result  JSON: what vx_jobs_result gives, with the kind's own "video_id" and "report" */
int vx_jobs_end(vx_jobs *jobs, const char *id, vx_job_state state, const char *result, vx_err *err);
/* {"outcome":…,"message":…}, the latter for what is neither OK nor EXISTING; video_id, report: NULL, or
 * added. Takes report (a jansson value). Gives text (free()), NULL without memory. */
struct json_t;
char *vx_jobs_result(vx_outcome outcome, const char *message, const char *video_id,
                     struct json_t *report);

/* ---- for clients ---- */

typedef struct vx_job_view {
    char id[VX_JOB_ID_CHARS + 1];
    char *kind, *filename; /* owned; filename may be NULL */
    char *model;           /* owned; of a backfill, else NULL */
    char *report; /* owned; JSON object: an upload's verdict, what a backfill did; or NULL */
    vx_job_state state;
    vx_phase phase;
    int64_t done, total; /* units of the phase (frames, clips); 0/0 = not known */
    double eta_s;        /* NaN = not known */
    int64_t created_us, finished_us;
    char video_id[VX_VIDEO_ID_CHARS + 1]; /* "" until known */
    vx_outcome outcome;                   /* valid when finished or parked */
    char *message;                        /* owned; why it failed or is parked, or NULL */
    vx_job_tries tries;
    char *last_error; /* owned; why the last try that failed did, or NULL */
} vx_job_view;
void vx_job_view_clear(vx_job_view *view);

/* VX_CATALOG_NOT_FOUND or -errno. */
int vx_jobs_get(vx_jobs *jobs, const char *id, vx_job_view *ret_view, vx_err *err);
/* Newest first, reports without their `refusals`; cursor = the last item's id of the page before, "" = first page. state: a vx_job_state
 * or VX_JOBS_ANY. */
int vx_jobs_list(vx_jobs *jobs, const char *cursor, int state, size_t limit,
                 vx_job_view **ret_views, size_t *ret_n, vx_err *err);
/* How a change ended, on the writer's thread; must be short. */
typedef void (*vx_jobs_changed)(void *ctx, int rc, const vx_err *err);
/* Ends a job as cancelled unless it has ended before (rc 0 too); VX_CATALOG_NOT_FOUND. The row says so
 * when done is called, also after a crash: what the job still does until it notices is dropped. Never
 * blocks; BUSY, STOPPING, INTERNAL: done is not called.
 *   id  borrows, until done */
vx_outcome vx_jobs_cancel(vx_jobs *jobs, const char *id, vx_jobs_changed done, void *ctx);
/* A parked job is queued again, as if it had never been tried; one that waits for its next try is tried
 * now; one that runs goes on. VX_JOBS_ENDED; VX_CATALOG_NOT_FOUND. As vx_jobs_cancel. */
vx_outcome vx_jobs_retry(vx_jobs *jobs, const char *id, vx_jobs_changed done, void *ctx);

/* Forgets jobs that ended before before_us. Waits; ends early once *stopping. */
int vx_jobs_prune(vx_jobs *jobs, int64_t before_us, const atomic_bool *stopping, vx_err *err);
