/* ingest_internal.h — what the parts of the write path share, in the order in which they build on
 * each other: upload_job.c, turns.c, long_videos.c, in_flight.c, commit.c, pipeline.c.
 *
 * Threads: an item belongs to one thread after the other (sealer and worker at once, each with its
 * part of vx_ingest_work), the in-flight table to any.
 */
#pragma once

#include "base/pool.h"
#include "base/thread.h"
#include "ingest.h"
#include "verdict/verdict.h"

/* What the pipeline adds to an item. */
typedef struct vx_ingest_work {
    vx_extract extract;
    vx_verdict_subject subject; /* borrows from extract */
    vx_verdict_candidates candidates;
    bool looked; /* the second look has ended, with these looks: */
    vx_verdict_looks looks;
    float *pictures; /* for the subject, as the copy model describes them; owned */
    /* What the sealer and the worker found. The item goes on to the writer when both have ended. */
    atomic_int n_awaited;
    int seal_rc;
    vx_err seal_err;
    vx_ingest_result result; /* of the worker; OK: extract holds what is to be committed */
    bool has_begun;          /* a worker had it: its bytes are known not to be stored */
    bool comes_back;         /* from the writer, which found a match that is to be checked first */
    bool has_long_place;
    vx_ingest_item *next_long; /* that waits for such a place */
} vx_ingest_work;

/* Nobody wants the result any more: its job was cancelled, or its client has left. */
static inline bool vx_ingest_is_void(const vx_ingest_item *item) {
    return atomic_load(&item->job.cancelled) || (item->abandoned && item->abandoned(item->ctx));
}

/* What a job of before the start needs: a file by its name in incoming/, or by its digest. */
typedef struct vx_needed_file {
    char name[64];
    uint8_t sha256[32];
} vx_needed_file;

/* Beside `capacity`, for jobs that were acknowledged before: uploads cannot keep them out. */
#define VX_INGEST_JOBS_BESIDE 64

struct vx_ingest {
    vx_ingest_params params;
    vx_pool *sealers, *workers;
    int capacity;
    atomic_bool stopping;
    atomic_int working;     /* workers that decode now */
    vx_needed_file *needed; /* [n_needed]; main alone, until start */
    size_t n_needed, needed_capacity;
    bool needs_all; /* what jobs need is not known */
    vx_mutex mu;
    vx_cond emptied;
    int inside VX_GUARDED;                /* items between submit and finish */
    vx_ingest_item *leaders VX_GUARDED;   /* in work, by ->next: one per digest */
    vx_ingest_item *followers VX_GUARDED; /* waiting for a leader of the same digest */
    vx_ingest_item *waiting VX_GUARDED;   /* for their turn, by ->turn (turns.c) */
    uint64_t turn VX_GUARDED;             /* whose turn it is */
    uint64_t n_turns VX_GUARDED;          /* given out */
    bool passing_turns VX_GUARDED;        /* a thread sends waiting items on */
    int n_long VX_GUARDED;                /* long videos that have a worker */
    vx_ingest_item *long_waiting
        VX_GUARDED; /* long videos for such a place, by ->work->next_long */
    int64_t n_long_waiting VX_GUARDED;
    vx_ingest_stats stats VX_GUARDED;
};

/* ---- upload_job.c: an upload as a durable job ---- */

#define VX_INGEST_JOB "ingest" /* the kind's name */
/* All that is needed to run it again; NULL without memory. Gives text (free()). */
char *vx_upload_job_request(const vx_ingest_item *item);
/* Functions of vx_job_kind. parse: the item of a job row, its kept file adopted and not verified. */
void vx_upload_job_note(void *ctx, const vx_job_row *row);
void vx_upload_job_discard(void *ctx, const vx_job_row *row);
vx_outcome vx_upload_job_parse(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err);
/* The end of the item's job, inside the writer's transaction; nothing for an item that is no job. */
int vx_upload_job_end(vx_ingest_item *item, const vx_ingest_result *result, vx_err *err);

/* ---- turns.c ---- */

/* Calls go_on, here or on another thread, when all earlier items with in_order have gone on. */
void vx_ingest_wait_for_turn(vx_ingest_item *item, void (*go_on)(vx_ingest_item *item));

/* ---- long_videos.c ---- */

/* The video is long. Whether it has a place among the long ones in work. */
bool vx_ingest_begin_long(vx_ingest_item *item);
/* Without a place: whether it waits for one, and comes back to the workers with it or once it is void.
 * False: there is one again. */
bool vx_ingest_wait_as_long(vx_ingest_item *item);
/* Gives its place, if it has one, to the next. */
void vx_ingest_end_long(vx_ingest_item *item);
/* Sends those that are void back to the workers. */
void vx_ingest_release_long_locked(vx_ingest *ingest) VX_REQUIRES(&ingest->mu);

/* ---- in_flight.c: items from submit to finish ---- */

void vx_ingest_enter_phase(vx_ingest_item *item, vx_phase phase, int64_t done, int64_t total);
void vx_ingest_add_time(vx_ingest *ingest, vx_phase phase, int64_t us);
/* Counts the item as inside and gives it its turn, or says why it may not be inside. */
vx_outcome vx_ingest_admit(vx_ingest *ingest, vx_ingest_item *item);
/* True: the item leads, or is cancelled and goes on to its end. False: it was parked behind the item
 * with the same bytes that leads. */
bool vx_ingest_lead_or_park(vx_ingest_item *item);
/* Function of vx_job_kind: vx_ingest_release_void. */
void vx_ingest_on_cancel(void *ingest);
/* Sends an item from the writer back to the workers, which check a match (VX_VERDICT_UNSEEN) and bring it
 * again. */
void vx_ingest_check_again(vx_ingest_item *item);
/* The end of every item: leaves the table, wakes followers, calls done, frees. Takes both;
 * result->video is freed unless done took it. */
void vx_ingest_finish(vx_ingest_item *item, vx_ingest_result *result);

/* ---- commit.c ---- */

/* Hands a video whose vectors are ready to the writer, which finishes the item. */
void vx_ingest_commit(vx_ingest_item *item);
/* Ends an item without a stored video. A background job's end is written first; but if it was a fault of
 * ours, or the server stops, the job is tried again later. */
void vx_ingest_end_unstored(vx_ingest_item *item, vx_ingest_result *result);
