/* ingest.h — the write path: one video from bytes on the disk to durable, searchable and judged.
 *
 * Threads: vx_ingest_submit from any thread, never blocks; done runs on an ingest thread or the
 * writer's and must be short (resume a connection, signal).
 */
#pragma once

#include "base/outcome.h"
#include "base/phase.h"
#include "collection/collection.h"
#include "evidence/evidence.h"
#include "extract/extract.h"
#include "jobs/jobs.h"
#include "store/store.h"
#include "verify/verify.h"
#include "writer/writer.h"

typedef struct vx_ingest vx_ingest;

typedef struct vx_ingest_result {
    vx_outcome outcome;
    vx_err err;      /* the sentence, when outcome is neither OK nor EXISTING */
    vx_video *video; /* OK: the new one; EXISTING, DUPLICATE: the stored one; else NULL. Owned. */
    vx_verdict_row verdict; /* of this upload; for EXISTING kind = EXACT */
} vx_ingest_result;

typedef void (*vx_ingest_done)(void *ctx, vx_ingest_result *result); /* may take result->video */

/* Strings are malloc'ed and owned by the item. */
typedef struct vx_ingest_item {
    vx_upload *upload; /* takes; written completely, not yet sealed (or adopted / external) */
    char *filename;    /* not NULL */
    char *metadata;    /* JSON object text, not NULL */
    vx_clip_spec clip;
    vx_clip_frames frames; /* what its clips are made of; a video that is stored stays as it is */
    bool reject_duplicates;
    bool
        waits_for_evidence; /* the second look comes before the verdict; so with reject_duplicates */
    bool in_order;   /* judged and stored after all such items that were submitted before it, and
                        judged by a scan at that moment: the verdict and the rows depend on the
                        order of submission alone. No two of them that are inside may have the same
                        bytes. Not with background */
    bool background; /* wait=false: becomes a durable job before `accepted` is called */
    char request_id[40];
    /* background only: called once the job is durable (outcome OK, job_id set) or could not be. */
    void (*accepted)(void *ctx, vx_outcome outcome, const char *job_id, const vx_err *err);
    vx_ingest_done done; /* NULL for background jobs */
    /* NULL, or told how far it is: as vx_extract_watch has it; before `done` */
    void (*on_phase)(void *ctx, vx_phase phase, int64_t done, int64_t total);
    /* NULL, or called after the insert, in its transaction, on the writer's thread: not 0 undoes it. */
    int (*in_commit)(void *ctx, const vx_video *video, vx_err *err);
    /* NULL, or whether nobody waits for the result any more: then it ends as CANCELLED at its next
     * picture. Any thread, until `done`; must be short. Not with background */
    bool (*abandoned)(void *ctx);
    void *ctx;

    /* private to ingest/ */
    vx_job job; /* how far it is; a durable job once it has an id */
    vx_ingest *ingest;
    struct vx_ingest_work *work;
    uint64_t turn; /* in_order: its place in the order */
    struct vx_ingest_item *next;
} vx_ingest_item;
vx_ingest_item *vx_ingest_item_free(vx_ingest_item *item);
VX_DEFINE_AUTO(vx_ingest_item, vx_ingest_item_free)

typedef struct vx_ingest_params { /* borrows all, until free */
    vx_collection *collection;
    vx_store *store;
    vx_writer *writer;
    vx_jobs *jobs; /* gets the kind "ingest" */
    vx_verify *verify;
    const vx_extractor *extractor;
    int threads; /* videos in work at once, of which as many decode as extractor->slots allows */
    int long_videos; /* of these, long ones (extract.h), 1..threads */
    int capacity;    /* videos between submit and their end; 0 = 1024 */
} vx_ingest_params;

int vx_ingest_new(const vx_ingest_params *params, vx_ingest **ret_ingest, vx_err *err);
/* Starts the threads. */
int vx_ingest_start(vx_ingest *ingest, vx_err *err);
/* From here on what runs ends at its next picture, and what waits is answered with STOPPING
 * (background jobs stay queued in the catalog). */
void vx_ingest_begin_stop(vx_ingest *ingest);
/* Waits until nothing is inside and ends the threads. Needs the writer still running. NULL-safe. */
void vx_ingest_stop(vx_ingest *ingest);
/* After the writer and the jobs. NULL-safe, half-started is fine. */
vx_ingest *vx_ingest_free(vx_ingest *ingest);

/* Whether a job of before the start needs this file of incoming/, or, if the crash came between its
 * publication and its row, the file of these bytes in media/. Between vx_jobs_load and vx_ingest_start. */
bool vx_ingest_needs_file(const vx_ingest *ingest, const char *name);
bool vx_ingest_needs_bytes(const vx_ingest *ingest, const uint8_t sha256[32]);

/* Takes the item. VX_OUTCOME_OK: done (and accepted) will be called exactly once, later, possibly
 * before this returns. BUSY, STOPPING or INTERNAL: nothing will be called, the item is freed. */
vx_outcome vx_ingest_submit(vx_ingest *ingest, vx_ingest_item *item);

/* Some items are abandoned now: those that wait need not wait any longer. Any thread. */
void vx_ingest_release_void(vx_ingest *ingest);

typedef struct vx_ingest_stats {
    int64_t finished[VX_OUTCOME_INTERNAL + 1]; /* by outcome */
    int64_t phase_us[VX_PHASE_COUNT];          /* total time spent, by phase */
    int64_t phase_now[VX_PHASE_COUNT];         /* videos in each phase now */
    int64_t queued;
    int64_t bytes, frames_decoded, frames_total, clips;
    int64_t verdicts[VX_VERDICT_KINDS];
    int64_t checks
        [VX_EVIDENCE_KINDS]; /* matches whose pictures were looked at again, by what that said */
    int64_t checks_us;       /* time that took */
} vx_ingest_stats;
void vx_ingest_get_stats(vx_ingest *ingest, vx_ingest_stats *ret_stats);
