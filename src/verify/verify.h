/* verify.h — the second look at a new video, after its upload was answered.
 *
 * Hashes and vectors decide the verdict of an upload, and the answer says `evidence: pending` where the pictures of
 * the nearest stored videos may show a closer one (verdict/second.c). The transaction that stores the video marks it
 * so (videos.evidence), and makes a durable job of the kind "evidence" unless one waits or runs (jobs/sweep.h). One
 * thread takes the marked videos from the oldest on, beside uploads and with less of the processor than they have, so
 * that it may fall behind while they come; what it finds revises the verdict in a transaction of its own, if both
 * videos are still there and the verdict is the one that it saw.
 *
 * Each video is compared with older ones alone, as at its upload.
 *
 * With a copy model (models/), a look begins with the model's description of the video's pictures, which is stored: by it
 * this look and later ones find older videos to compare. Here and not at the upload, since it takes a large network
 * several seconds of a core, and nothing of the answer needs it. A video that hashes call a copy or a part is not looked
 * at and has none: its original's pictures stand for it. What was stored before the model was loaded is described when
 * nothing is pending, and is then found by later videos; its own looks are not made again.
 *
 * A look that begins is counted first: a video at which the process ended three times is given up, and the others go on.
 *
 * Threads: begin and undo on the writer's; the others any.
 */
#pragma once

#include "collection/collection.h"
#include "extract/extract.h"
#include "jobs/jobs.h"
#include "store/store.h"
#include "verdict/verdict.h"
#include "writer/writer.h"

typedef struct vx_verify vx_verify;

typedef struct vx_verify_params { /* borrows all, until free */
    vx_collection *collection;
    vx_store *store;
    vx_writer *writer;
    vx_jobs *jobs;                 /* gets the kind "evidence" */
    const vx_extractor *extractor; /* its evidence: below FULL nothing is looked at */
} vx_verify_params;

int vx_verify_new(const vx_verify_params *params, vx_verify **ret_verify, vx_err *err);
/* Starts the thread, which goes on with what waits. With a copy model it counts what that has yet to describe. Before vx_jobs_start. */
int vx_verify_start(vx_verify *verify, vx_err *err);
void vx_verify_begin_stop(vx_verify *verify);
/* Ends the thread; before the writer stops. NULL-safe. */
void vx_verify_stop(vx_verify *verify);
/* After the writer. NULL-safe. */
vx_verify *vx_verify_free(vx_verify *verify);

const vx_extractor *vx_verify_extractor(const vx_verify *verify);
/* The state of a video that gets this verdict: NONE if it was not started, or its evidence is below FULL. */
vx_evidence_state vx_verify_state(const vx_verify *verify, vx_verdict_kind verdict);
/* Inside a transaction that makes videos pending, as its last step: makes the job, unless there is one (NULL).
 * _finish: after that transaction, rc 0 = committed; another rc on the writer's thread alone. */
int vx_verify_begin(vx_verify *verify, vx_job **ret_job, vx_err *err);
void vx_verify_finish(vx_verify *verify, vx_job *job, int rc);

/* Uploads have begun to be processed (> 0) or have ended (< 0): while there are some, looks have a twentieth of their
 * usual pace. */
void vx_verify_note_uploads(vx_verify *verify, int change);
/* The id of the job that will look at what is pending; "": the last one was cancelled, and the next is made by the
 * next upload whose video is pending, or by a restart. */
void vx_verify_get_job_id(vx_verify *verify, char ret_id[VX_JOB_ID_CHARS + 1]);

typedef struct vx_verify_stats {
    int64_t videos, revised;          /* second looks that ended; those that changed a verdict */
    int64_t failed;                   /* videos that were given up */
    int64_t looks[VX_EVIDENCE_KINDS]; /* stored videos that were looked at, by what that said */
    int64_t looks_us;                 /* time that all took */
    int64_t described,
        undescribed; /* videos, by the copy model; of before the start, that are still to be */
    int64_t pending, lag_us; /* videos that wait; for how long the oldest does */
} vx_verify_stats;
int vx_verify_get_stats(vx_verify *verify, vx_verify_stats *ret_stats, vx_err *err);
