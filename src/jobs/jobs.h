/* jobs.h — background work that a client can watch, and that survives a restart.
 *
 * The catalog holds what a job is and how it ended; this module holds how far it is right now.
 * Threads: any.
 */
#pragma once

#include "ingest/ingest.h"

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
int vx_jobs_get(vx_server *server, const char *id, vx_job_view *ret_view, vx_err *err);
/* Newest first; cursor = the last item's id of the page before, "" = first page. */
int vx_jobs_list(vx_server *server, const char *cursor, size_t limit, vx_job_view **ret_views,
                 size_t *ret_n, vx_err *err);
/* Ends a job as cancelled unless it has ended before (rc 0 too); VX_CATALOG_NOT_FOUND. Its row says so
 * when done is called, on the committer's thread, also after a crash: what its work still does until
 * it notices is dropped. Never blocks; BUSY, STOPPING, INTERNAL: done is not called.
 *   id  borrows, until done */
typedef void (*vx_jobs_cancelled)(void *ctx, int rc, const vx_err *err);
vx_outcome vx_jobs_cancel(vx_server *server, const char *id, vx_jobs_cancelled done, void *ctx);

#define VX_JOBS_ENDED 100 /* beside the catalog's codes */
/* Writes the end of a job. On the committer's thread, in its transaction. VX_JOBS_ENDED: it was
 * cancelled before, and stays so; VX_CATALOG_NOT_FOUND. */
int vx_jobs_end(vx_server *server, const char *id, vx_job_state state, const char *result_json,
                vx_err *err);

/* A job of another kind than ingest, as whoever runs it tells of it. */
typedef struct vx_job_live {
    char id[VX_JOB_ID_CHARS + 1];
    atomic_llong started_us; /* monotonic; 0 = still waiting */
    atomic_llong done, total;
    atomic_bool cancelled;    /* set by vx_jobs_cancel, once the row says so */
    struct vx_job_live *next; /* jobs.c */
} vx_job_live;
/* Borrows, until vx_jobs_unwatch (which may be called twice). To be watched before its row can be
 * read. */
void vx_jobs_watch(vx_server *server, vx_job_live *job);
void vx_jobs_unwatch(vx_server *server, vx_job_live *job);
int vx_jobs_new_id(char ret_id[VX_JOB_ID_CHARS + 1], vx_err *err);

int vx_jobs_start(vx_server *server, vx_err *err); /* called before ingest and commit start */
void vx_jobs_stop(vx_server *server);
