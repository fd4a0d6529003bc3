/* stores_internal.h — one store and its thread. */
#pragma once

#include "base/atomic.h"
#include "base/thread.h"
#include "outside.h"
#include "stores.h"

typedef struct vx_follower {
    vx_stores_params params;
    atomic_bool *stopping; /* of all; borrows */
    vx_outside_row row;    /* its thread's, but for name and url, which are constant; owned */
    vx_outside_url url;
    vx_outside *outside; /* NULL: not connected */
    int dim;             /* of the vectors of row.space */
    pthread_t thread;
    bool started;
    atomic_bool removed, ended, check_asked;

    vx_mutex mu;
    vx_cond wake;
    bool asked VX_GUARDED;              /* to try at once */
    vx_store_view view VX_GUARDED;      /* without what the catalog counts */
    int64_t behind_since_us VX_GUARDED; /* monotonic; 0: it has everything */
} vx_follower;

/* Its thread is to end. */
static inline bool vx_follower_must_end(const vx_follower *follower) {
    return atomic_load(follower->stopping) || atomic_load(&follower->removed);
}

/* follow.c */
/* row: takes its url. */
int vx_follower_new(const vx_stores_params *params, atomic_bool *stopping, vx_outside_row *row,
                    vx_follower **ret_follower, vx_err *err);
/* After its thread has ended. */
vx_follower *vx_follower_free(vx_follower *follower);
int vx_follower_start(vx_follower *follower, vx_err *err);
void vx_follower_wake(vx_follower *follower);
/* Connects, compares if that is due, and sends all changes. 0: it has everything. Threads: its own. */
int vx_follower_round(vx_follower *follower, vx_err *err);
/* A connection that failed is not used again. */
void vx_follower_disconnect(vx_follower *follower);
/* Copies row to the catalog. */
int vx_follower_save(vx_follower *follower, vx_err *err);

/* points.c: what the store must have of a video. */
typedef struct vx_points {
    vx_point *points; /* [max]; borrow from videos and vectors */
    float *vectors;   /* float32 [max, dim] */
    size_t n, max;
    vx_video **videos; /* [n_videos]; owned */
    size_t n_videos, videos_capacity;
    char (*removed)[VX_CLIP_ID_CHARS + 1]; /* [n_removed] */
    size_t n_removed, removed_capacity;
} vx_points;
int vx_points_init(vx_points *batch, const vx_follower *follower, vx_err *err);
void vx_points_done(vx_points *batch);
/* Makes the point of a clip in *ret_point, its vector copied to `vector`. VX_CATALOG_NOT_FOUND: it has none. */
int vx_point_make(const vx_follower *follower, const vx_video *video, const vx_clip *clip,
                  float *vector, vx_point *ret_point, vx_err *err);
/* Adds an id that must not be there. */
int vx_points_remove(vx_points *batch, const char *video_id, int index, vx_err *err);
/* Sends what is in the batch and empties it. */
int vx_points_flush(vx_points *batch, vx_follower *follower, vx_err *err);

/* files.c: makes the files of a store of files equal, and changes row, which is then to be saved. */
int vx_follower_write_files(vx_follower *follower, vx_err *err);

/* compare.c: reads all that the store has; marks what it must get again as changed, and deletes what it must
 * not have. */
int vx_follower_compare(vx_follower *follower, vx_err *err);
