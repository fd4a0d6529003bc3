/* batcher.h — one worker thread that runs waiting items in batches; private to src/embed/.
 *
 * A caller queues a request that lives on its stack, and sleeps. The worker takes items from the
 * front of the queue, across requests, until a batch is full or the queue is empty. It never waits
 * for more: on a busy server the queue fills while a batch runs, and on an idle one no item should
 * wait for others that may not come.
 *
 * In    items of item_bytes each: a clip's floats, a text's ids and mask
 * Out   float32 [dim] per item, checked to be finite and of unit length within 1e-3
 * Threads  any; `run` is called on the worker alone. No call may begin after vx_batcher_free().
 */
#pragma once

#include "embed.h"

typedef struct vx_batcher vx_batcher;

/* items [n, item_bytes], n <= max_batch → ret_vectors float32 [n, dim]. Returns 0 or -errno. */
typedef int (*vx_batcher_fn)(void *ctx, const void *items, int n, float *ret_vectors, vx_err *err);

typedef struct vx_batcher_params {
    const char *model; /* for messages; borrows, for the batcher's life */
    size_t item_bytes;
    int dim, max_batch;
    bool separate_requests; /* a run holds items of one request only: what comes out then depends on
                               the request alone, to the last bit */
    int threads;            /* that one operator of libtorch may use on the worker */
    vx_batcher_fn run;
    void *ctx;
} vx_batcher_params;

int vx_batcher_start(const vx_batcher_params *params, vx_batcher **ret_batcher, vx_err *err);
/* Callers still waiting get VX_EMBED_CLOSED; returns when the last of them has left. */
vx_batcher *vx_batcher_free(vx_batcher *batcher);

/* Blocks until done. 0, -errno, VX_EMBED_CLOSED; -EIO goes only to the caller whose item gave a
 * vector that is not finite or not of unit length. */
int vx_batcher_run(vx_batcher *batcher, const void *items, int n_items, float *ret_vectors,
                   vx_err *err);

void vx_batcher_get_stats(vx_batcher *batcher, vx_embedder_stats *ret_stats);
void vx_batcher_reset_stats(vx_batcher *batcher);
