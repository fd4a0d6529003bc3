/* jobs.h — background work that a client can watch and cancel, and that survives a restart.
 *
 * The catalog says what a job is and how it ended; here stands how far it is right now. What a job does
 * belongs to its kind: a row of a table that the server fills in at start. Nothing here knows what a
 * kind does.
 *
 * Life of a job: the kind makes a vx_job and its request as JSON → vx_jobs_accept or _insert writes the
 * row and makes the job live → its kind works, moving phase, done and total → vx_jobs_end writes the
 * end, in the transaction that makes the result durable → vx_jobs_remove. A job whose row is unfinished
 * when the process ends is parsed again at the next start (vx_jobs_load) and then run.
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

/* A job in this process; its kind embeds it in a struct of its own. The kind writes the atomics, any
 * thread reads them. */
typedef struct vx_job {
    char id[VX_JOB_ID_CHARS + 1];         /* "": no durable job (yet) */
    char video_id[VX_VIDEO_ID_CHARS + 1]; /* that it is about, "" = none; constant while live */
    atomic_llong started_us;              /* monotonic; 0 = still waiting */
    atomic_int phase;                     /* vx_phase */
    atomic_llong done, total;             /* units of the phase; 0/0 = not known */
    atomic_bool cancelled;                /* set once the row says so */
    struct vx_job *next;                  /* jobs.c */
} vx_job;

/* What one kind of job is. All functions get ctx first. */
typedef struct vx_job_kind {
    const char *name; /* in the catalog and in answers; static */
    void *ctx;
    /* Makes a job from a row of before a restart: gives it, with its id set. On failure the row is
     * marked failed with err's sentence and this outcome. */
    vx_outcome (*parse)(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err);
    /* Puts a parsed job to work and returns at once; takes it. */
    void (*run)(void *ctx, vx_job *job);
    /* Frees a parsed job that will not run in this process. Its row stays. */
    void (*drop)(void *ctx, vx_job *job);
    /* NULL, or called after a job of any kind was cancelled: one that waits may end now. */
    void (*on_cancel)(void *ctx);
} vx_job_kind;

#define VX_JOB_KINDS_MAX 8

/* Borrows catalog and writer until free. */
int vx_jobs_new(vx_catalog *catalog, vx_writer *writer, vx_jobs **ret_jobs, vx_err *err);
vx_jobs *vx_jobs_free(vx_jobs *jobs);
VX_DEFINE_AUTO(vx_jobs, vx_jobs_free)
/* Before load; copies the struct. */
void vx_jobs_add_kind(vx_jobs *jobs, const vx_job_kind *kind);
/* At start: parses the rows that were queued or running, oldest first. ret_n: how many could be. */
int vx_jobs_load(vx_jobs *jobs, size_t *ret_n, vx_err *err);
/* Runs what load parsed, oldest first. Once every kind has its threads. */
void vx_jobs_run_loaded(vx_jobs *jobs);

/* ---- for kinds ---- */

int vx_jobs_new_id(char ret_id[VX_JOB_ID_CHARS + 1], vx_err *err);
/* Makes it live: it can be watched and cancelled. Borrows until _remove, which may be called twice. A
 * job is live before its row can be read. */
void vx_jobs_add(vx_jobs *jobs, vx_job *job);
void vx_jobs_remove(vx_jobs *jobs, vx_job *job);
/* Gives the job an id, makes it live and writes its row through the writer. on_accepted: on the
 * writer's thread, rc 0 = durable; or, perhaps before this returns, why not, the job then not being
 * live. request: JSON, all that parse needs; takes it (NULL: no memory for it). */
void vx_jobs_accept(vx_jobs *jobs, const char *kind, vx_job *job, char *request,
                    void (*on_accepted)(vx_job *job, int rc, const vx_err *err));
/* The row alone, inside a transaction of the writer; the job has an id. Borrows request. */
int vx_jobs_insert(vx_jobs *jobs, const char *kind, const vx_job *job, const char *request,
                   vx_err *err);

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
    vx_outcome outcome;                   /* valid when finished */
    char *message;                        /* owned; why it failed, or NULL */
} vx_job_view;
void vx_job_view_clear(vx_job_view *view);

/* VX_CATALOG_NOT_FOUND or -errno. */
int vx_jobs_get(vx_jobs *jobs, const char *id, vx_job_view *ret_view, vx_err *err);
/* Newest first; cursor = the last item's id of the page before, "" = first page. */
int vx_jobs_list(vx_jobs *jobs, const char *cursor, size_t limit, vx_job_view **ret_views,
                 size_t *ret_n, vx_err *err);
/* Ends a job as cancelled unless it has ended before (rc 0 too); VX_CATALOG_NOT_FOUND. The row says so
 * when done is called, on the writer's thread, also after a crash: what the job still does until it
 * notices is dropped. Never blocks; BUSY, STOPPING, INTERNAL: done is not called.
 *   id  borrows, until done */
typedef void (*vx_jobs_cancelled)(void *ctx, int rc, const vx_err *err);
vx_outcome vx_jobs_cancel(vx_jobs *jobs, const char *id, vx_jobs_cancelled done, void *ctx);

/* Forgets jobs that ended before before_us. Waits; ends early once *stopping. */
int vx_jobs_prune(vx_jobs *jobs, int64_t before_us, const atomic_bool *stopping, vx_err *err);
