/* backfill_internal.h — what coordinator.c and video.c share about one job. */
#pragma once

#include "backfill.h"
#include "base/thread.h"

struct vx_backfill_job;

struct vx_backfill {
    vx_backfill_params params;
    atomic_bool stopping;
    pthread_t coordinator;
    bool started;
    vx_mutex mu;
    vx_cond work;
    struct vx_backfill_job *queue VX_GUARDED; /* oldest first */
    /* Waiting or running; borrows. Of each model, and the reread. */
    struct vx_backfill_job *of_model[VX_MODELS_MAX + 1] VX_GUARDED;
};

typedef struct vx_backfill_job {
    vx_job job;
    vx_backfill *backfill; /* borrows */
    vx_model *model;       /* borrows from the models; NULL: a reread */
    int64_t *videos;       /* [n] rows that lack vectors or are outdated, ascending */
    size_t n, capacity;
    atomic_size_t next; /* the next of videos that nobody has taken */

    vx_mutex mu;
    int64_t embedded VX_GUARDED, deleted VX_GUARDED, failed VX_GUARDED;
    int64_t unchanged VX_GUARDED; /* reread: embedded are those that have changed */
    int64_t internal VX_GUARDED;  /* of the failed: not the file's fault */
    vx_outcome again VX_GUARDED;  /* OK, or of the last failure that the next try may mend */
    vx_err again_why VX_GUARDED;
    struct json_t *failures VX_GUARDED;  /* array of {video_id, detail}, the first of them */
    struct vx_backfill_job *next_queued; /* coordinator.c */
} vx_backfill_job;

/* Whether the job must end: cancelled, or the server stops. */
static inline bool vx_backfill_is_over(const vx_backfill_job *job) {
    return atomic_load(&job->job.cancelled) || atomic_load(&job->backfill->stopping);
}
/* One video, start to end; counts how it went, or nothing when the job was over meanwhile. */
void vx_backfill_video(vx_backfill_job *job, int64_t video_row, int decode_threads);

/* reread.c: reads a video's file by the rules of this version, and replaces in one transaction what came out
 * differently.
 *   path, table_path  as vx_missing_vectors has them
 *   ret_changed       whether its clips, vectors and fingerprint were made anew
 * NOT_FOUND: the video was deleted meanwhile; else as vx_extract_run. */
vx_outcome vx_backfill_reread(vx_backfill_job *job, const vx_video *video, const char *path,
                              const char *table_path, int decode_threads, bool *ret_changed,
                              vx_err *err);
