/* batcher.h — worker threads that run waiting items in batches; private to src/embed/.
 *
 * Each worker is a line: it has a device of its own, and all take from one queue. A line whose device is gone
 * (run gave -ENODEV) takes nothing more, gives back what it had taken (once: an item that was on two lost lines
 * ends with -EHOSTDOWN), and is tried again, at first soon and then once a minute. While no line is left, what waits and what comes ends with -EHOSTDOWN and the reason.
 *
 * A caller submits items as one job and awaits it when it likes. The worker takes items from the
 * front of the queue, across jobs, until a batch is full or the queue is empty. It never waits
 * for more: on a busy server the queue fills while a batch runs, and on an idle one no item should
 * wait for others that may not come.
 *
 * In    items of one size each, anywhere in memory: a clip's floats, a text's ids and mask
 * Out   float32 [dim] per item, checked to be finite and of unit length within 1e-3
 * Threads  any; `run` and `revive` of a line are called on its worker alone. Nothing but vx_embed_job_… may be called
 *          once vx_batcher_free() has begun.
 */
#pragma once

#include "embed.h"

typedef struct vx_batcher vx_batcher;

typedef struct vx_batch_item {
    const void *data; /* borrows, until the item is done */
    void *owner;      /* given to `done` when the data is not read any more; NULL: nobody is told */
} vx_batch_item;

/* items [n], n <= max_batch → ret_vectors float32 [n, dim]. Returns 0 or -errno; -ENODEV: the line's device is
 * gone. */
typedef int (*vx_batcher_fn)(void *ctx, int line, const void *const *items, int n,
                             float *ret_vectors, vx_err *err);

typedef struct vx_batcher_params {
    const char *model; /* for messages; borrows, for the batcher's life */
    int dim, max_batch;
    bool separate_jobs; /* a run holds items of one job only: what comes out then depends on
                           the job alone, to the last bit */
    int threads;        /* that one operator of libtorch may use on the worker */
    int n_lines;        /* 1..VX_EMBED_MAX_LINES; 0 = 1 */
    vx_batcher_fn run;
    /* Tries to have the device of a line back; 0: it is. NULL: -ENODEV is a failure like any other. */
    int (*revive)(void *ctx, int line, vx_err *err);
    int64_t
        revive_us; /* before the first try; then twice as long each time, up to 64 times. 0 = 1 s */
    void *ctx;
    void (*done)(void *owner); /* may be NULL; called on any thread, once for each owner */
} vx_batcher_params;

int vx_batcher_start(const vx_batcher_params *params, vx_batcher **ret_batcher, vx_err *err);
/* What has not begun ends with VX_EMBED_CLOSED; returns when the last job is freed. */
vx_batcher *vx_batcher_free(vx_batcher *batcher);

/* Queues n items (borrows the array for the call). On failure the items are done. The job is awaited
 * and freed as embed.h says. 0, -EINVAL, -ENOMEM, VX_EMBED_CLOSED. */
int vx_batcher_submit(vx_batcher *batcher, const vx_batch_item *items, int n,
                      vx_embed_job **ret_job, vx_err *err);
/* Submits, awaits and frees: items [n, item_bytes], borrowed. line: which one; -1 = any. */
int vx_batcher_run(vx_batcher *batcher, int line, const void *items, size_t item_bytes, int n,
                   float *ret_vectors, vx_err *err);

void vx_batcher_get_stats(vx_batcher *batcher, vx_embedder_stats *ret_stats);
void vx_batcher_reset_stats(vx_batcher *batcher);
