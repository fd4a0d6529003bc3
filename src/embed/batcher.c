/* batcher.c — the queue of requests and the worker that empties it.
 *
 * A request stays queued until its last item has been taken. The worker uses it until `done` is set
 * under the lock; after that it belongs to its caller again.
 *
 * Threads  `lock` guards the queue, the flags, the counters and every queued request. The batch
 *          buffers belong to the worker and need no lock.
 */
#include "batcher.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "torch/torch_shim.h"

typedef struct request {
    const char *items; /* borrows, until done */
    float *vectors;    /* borrows, until done */
    int n_items, n_taken, n_finished;
    int rc; /* 0 or the first failure, explained in err */
    vx_err err;
    bool done;
    struct request *next;
} request;

/* An item on its way through a batch: its request and its place there. */
typedef struct ticket {
    request *from;
    int index;
} ticket;

struct vx_batcher {
    vx_batcher_params params;
    ticket *tickets;      /* [max_batch] */
    char *batch_items;    /* [max_batch, item_bytes]; NULL when max_batch is 1 */
    float *batch_vectors; /* [max_batch, dim] */

    vx_mutex lock;
    vx_cond work;     /* the queue is not empty, or closing */
    vx_cond finished; /* a request is done, or a caller has left */
    request *first VX_GUARDED, *last VX_GUARDED;
    bool closing VX_GUARDED;
    int n_callers VX_GUARDED;
    vx_embedder_stats stats VX_GUARDED;

    pthread_t worker;
    bool has_worker;
};

/* ---- worker ----------------------------------------------------------------------------------*/

/* Whether the next item may be in one run with those taken. */
static bool fits_locked(const vx_batcher *b, int n) VX_REQUIRES(b->lock) {
    if (b->closing || !b->first || n == b->params.max_batch)
        return false;
    return !n || !b->params.separate_requests || b->tickets[0].from == b->first;
}

/* Takes up to max_batch items from the queue. Waits for the first; 0 once closing. */
static int take_batch(vx_batcher *b) {
    vx_mutex_lock(&b->lock);
    while (!b->first && !b->closing)
        vx_cond_wait(&b->work, &b->lock);
    int n = 0;
    while (fits_locked(b, n)) {
        request *from = b->first;
        b->tickets[n++] = (ticket){from, from->n_taken++};
        if (from->n_taken == from->n_items)
            b->first = from->next;
    }
    vx_mutex_unlock(&b->lock);
    return n;
}

static const char *item_of(const vx_batcher *b, ticket t) {
    return t.from->items + (size_t)t.index * b->params.item_bytes;
}

/* The items of the batch side by side: where they lie in one request already, in place. */
static const char *gather(vx_batcher *b, int n) {
    bool adjacent = true;
    for (int i = 1; i < n; i++)
        adjacent = adjacent && b->tickets[i].from == b->tickets[0].from;
    if (adjacent)
        return item_of(b, b->tickets[0]);
    for (int i = 0; i < n; i++)
        memcpy(b->batch_items + (size_t)i * b->params.item_bytes, item_of(b, b->tickets[i]),
               b->params.item_bytes);
    return b->batch_items;
}

static int check_vector(const vx_batcher *b, const float *vector, vx_err *err) {
    double sum = 0;
    for (int i = 0; i < b->params.dim; i++)
        sum += (double)vector[i] * (double)vector[i];
    if (!isfinite(sum))
        return VX_FAIL(err, -EIO, "model %s answers NaN or infinity", b->params.model);
    if (fabs(sqrt(sum) - 1) > 1e-3)
        return VX_FAIL(err, -EIO, "model %s answers a vector of length %g, not 1", b->params.model,
                       sqrt(sum));
    return 0;
}

static void finish_item_locked(vx_batcher *b, request *from, int rc, const vx_err *err)
    VX_REQUIRES(b->lock) {
    if (rc && !from->rc) {
        from->rc = rc;
        from->err = *err;
    }
    if (++from->n_finished == from->n_items) {
        from->done = true;
        vx_cond_broadcast(&b->finished);
    }
}

static void run_batch(vx_batcher *b, int n) {
    vx_err err;
    size_t dim = (size_t)b->params.dim;
    int64_t start_us = vx_clock_monotonic_us();
    int failed = b->params.run(b->params.ctx, gather(b, n), n, b->batch_vectors, &err);
    int64_t busy_us = vx_clock_monotonic_us() - start_us;
    vx_mutex_lock(&b->lock);
    b->stats.clips += n;
    b->stats.batches++;
    b->stats.busy_us += busy_us;
    for (int i = 0; i < n; i++) {
        ticket t = b->tickets[i];
        const float *vector = b->batch_vectors + (size_t)i * dim;
        int rc = failed ? failed : check_vector(b, vector, &err);
        if (!rc)
            memcpy(t.from->vectors + (size_t)t.index * dim, vector, dim * sizeof(float));
        finish_item_locked(b, t.from, rc, &err);
    }
    vx_mutex_unlock(&b->lock);
}

/* Every item not yet taken ends here; the ones in a batch have finished before. */
static void refuse_queued(vx_batcher *b) {
    vx_err err;
    VX_FAIL(&err, VX_EMBED_CLOSED, "model %s is shutting down", b->params.model);
    vx_mutex_lock(&b->lock);
    for (request *from = b->first, *next; from; from = next) {
        next = from->next; /* its caller may be gone once it is done */
        for (int left = from->n_items - from->n_taken; left > 0; left--)
            finish_item_locked(b, from, VX_EMBED_CLOSED, &err);
    }
    b->first = NULL;
    vx_mutex_unlock(&b->lock);
}

static void *work(void *ctx) {
    vx_batcher *b = ctx;
    /* OpenMP keeps this per thread; a failure costs speed */
    vx_torch_set_threads(b->params.threads, NULL);
    for (int n; (n = take_batch(b)) > 0;)
        run_batch(b, n);
    refuse_queued(b);
    return NULL;
}

/* ---- callers ---------------------------------------------------------------------------------*/

int vx_batcher_run(vx_batcher *b, const void *items, int n_items, float *ret_vectors, vx_err *err) {
    if (n_items < 1)
        return VX_FAIL(err, -EINVAL, "%d items to embed", n_items);
    request own = {.items = items, .vectors = ret_vectors, .n_items = n_items};
    vx_mutex_lock(&b->lock);
    if (b->closing) {
        vx_mutex_unlock(&b->lock);
        return VX_FAIL(err, VX_EMBED_CLOSED, "model %s is shutting down", b->params.model);
    }
    b->n_callers++;
    if (b->first)
        b->last->next = &own;
    else
        b->first = &own;
    b->last = &own;
    vx_cond_signal(&b->work);
    while (!own.done)
        vx_cond_wait(&b->finished, &b->lock);
    b->n_callers--;
    vx_cond_broadcast(&b->finished);
    vx_mutex_unlock(&b->lock);
    if (own.rc && err)
        *err = own.err;
    return own.rc;
}

void vx_batcher_get_stats(vx_batcher *b, vx_embedder_stats *ret_stats) {
    vx_mutex_lock(&b->lock);
    *ret_stats = b->stats;
    vx_mutex_unlock(&b->lock);
}

void vx_batcher_reset_stats(vx_batcher *b) {
    vx_mutex_lock(&b->lock);
    b->stats = (vx_embedder_stats){0};
    vx_mutex_unlock(&b->lock);
}

/* ---- start and end ---------------------------------------------------------------------------*/

static int allocate(vx_batcher *b, vx_err *err) {
    const vx_batcher_params *p = &b->params;
    size_t n = (size_t)p->max_batch;
    b->tickets = vx_new_array(n, sizeof *b->tickets);
    b->batch_vectors = vx_new_array(n * (size_t)p->dim, sizeof(float));
    if (n > 1)
        b->batch_items = vx_new_array(n, p->item_bytes);
    if (!b->tickets || !b->batch_vectors || (n > 1 && !b->batch_items))
        return VX_FAIL(err, -ENOMEM, "no memory for batches of %d", p->max_batch);
    return 0;
}

int vx_batcher_start(const vx_batcher_params *params, vx_batcher **ret_batcher, vx_err *err) {
    vx_batcher *b = vx_new(vx_batcher);
    if (!b)
        return VX_FAIL(err, -ENOMEM, "no memory for a batcher");
    b->params = *params;
    vx_mutex_init(&b->lock);
    vx_cond_init(&b->work);
    vx_cond_init(&b->finished);
    int rc = allocate(b, err);
    if (!rc)
        rc = vx_thread_start(&b->worker, "vx-embed", work, b, err);
    if (rc) {
        vx_batcher_free(b);
        return rc;
    }
    b->has_worker = true;
    *ret_batcher = b;
    return 0;
}

vx_batcher *vx_batcher_free(vx_batcher *b) {
    if (!b)
        return NULL;
    vx_mutex_lock(&b->lock);
    b->closing = true;
    vx_cond_broadcast(&b->work);
    vx_mutex_unlock(&b->lock);
    if (b->has_worker)
        pthread_join(b->worker, NULL);
    vx_mutex_lock(&b->lock);
    while (b->n_callers > 0)
        vx_cond_wait(&b->finished, &b->lock);
    vx_mutex_unlock(&b->lock);
    free(b->tickets);
    free(b->batch_items);
    free(b->batch_vectors);
    vx_cond_done(&b->work);
    vx_cond_done(&b->finished);
    vx_mutex_done(&b->lock);
    free(b);
    return NULL;
}
