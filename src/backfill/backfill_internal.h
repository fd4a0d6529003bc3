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
    struct vx_backfill_job *queue VX_GUARDED;                   /* oldest first */
    struct vx_backfill_job *of_model[VX_MODELS_MAX] VX_GUARDED; /* waiting or running; borrows */
};

typedef struct vx_backfill_job {
    vx_job job;
    vx_backfill *backfill; /* borrows */
    vx_model *model;       /* borrows from the models */
    int64_t *videos;       /* [n] rows that lack vectors, ascending */
    size_t n, capacity;
    atomic_size_t next; /* the next of videos that nobody has taken */

    vx_mutex mu;
    int64_t embedded VX_GUARDED, deleted VX_GUARDED, failed VX_GUARDED;
    int64_t internal VX_GUARDED; /* of the failed: not the file's fault */
    vx_outcome again VX_GUARDED; /* OK, or of the last failure that the next try may mend */
    vx_err again_why VX_GUARDED;
    struct json_t *failures VX_GUARDED;  /* array of {video_id, detail}, the first of them */
    struct vx_backfill_job *next_queued; /* coordinator.c */
} vx_backfill_job;

/* Whether the job must end: cancelled, or the server stops. */
bool vx_backfill_is_over(const vx_backfill_job *job);
/* One video, start to end; counts how it went, or nothing when the job was over meanwhile. */
void vx_backfill_video(vx_backfill_job *job, int64_t video_row, int decode_threads);
