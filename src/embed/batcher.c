/* batcher.c — the queue of jobs and the worker that empties it.
 *
 * A job stays queued until its last item has been taken. It is the caller's to free once `done` is set
 * under the lock; until then the worker may use it.
 *
 * Threads  `lock` guards the queue, the flags, the counters and every job. The batch buffers belong
 *          to the worker and need no lock. `done` is called without it.
 */
#include "batcher.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "torch/torch_shim.h"

struct vx_embed_job {
    vx_batcher *batcher;
    vx_batch_item *items; /* [n_items] */
    float *vectors;       /* [n_items, dim] */
    int n_items, n_taken, n_finished;
    int rc; /* 0 or the first failure, explained in err */
    vx_err err;
    bool done;
    vx_embed_job *next;
};

/* An item on its way through a batch: its job and its place there. */
typedef struct ticket {
    vx_embed_job *from;
    int index;
} ticket;

struct vx_batcher {
    vx_batcher_params params;
    ticket *tickets;          /* [max_batch] */
    const void **batch_items; /* [max_batch] */
    float *batch_vectors;     /* [max_batch, dim] */

    vx_mutex lock;
    vx_cond work;     /* the queue is not empty, or closing */
    vx_cond finished; /* a job is done, or was freed */
    vx_embed_job *first VX_GUARDED, *last VX_GUARDED;
    bool closing VX_GUARDED;
    int n_jobs VX_GUARDED; /* not freed yet */
    vx_embedder_stats stats VX_GUARDED;

    pthread_t worker;
    bool has_worker;
};

/* ---- worker ----------------------------------------------------------------------------------*/

/* Whether the next item may be in one run with those taken. */
static bool fits_locked(const vx_batcher *b, int n) VX_REQUIRES(b->lock) {
    if (b->closing || !b->first || n == b->params.max_batch)
        return false;
    return !n || !b->params.separate_jobs || b->tickets[0].from == b->first;
}

/* Takes up to max_batch items from the queue. Waits for the first; 0 once closing. */
static int take_batch(vx_batcher *b) {
    vx_mutex_lock(&b->lock);
    while (!b->first && !b->closing)
        vx_cond_wait(&b->work, &b->lock);
    int n = 0;
    while (fits_locked(b, n)) {
        vx_embed_job *from = b->first;
        b->tickets[n++] = (ticket){from, from->n_taken++};
        if (from->n_taken == from->n_items)
            b->first = from->next;
    }
    vx_mutex_unlock(&b->lock);
    return n;
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

static void finish_item_locked(vx_batcher *b, vx_embed_job *from, int rc, const vx_err *err)
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

static void tell_done(const vx_batcher *b, const vx_batch_item *item) {
    if (item->owner && b->params.done)
        b->params.done(item->owner);
}

static void run_batch(vx_batcher *b, int n) {
    vx_err err;
    size_t dim = (size_t)b->params.dim;
    int64_t start_us = vx_clock_monotonic_us();
    for (int i = 0; i < n; i++)
        b->batch_items[i] = b->tickets[i].from->items[b->tickets[i].index].data;
    int failed = b->params.run(b->params.ctx, b->batch_items, n, b->batch_vectors, &err);
    int64_t busy_us = vx_clock_monotonic_us() - start_us;
    for (int i = 0; i < n; i++) /* before a job is done: then its caller may be gone */
        tell_done(b, &b->tickets[i].from->items[b->tickets[i].index]);
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

/* Ends the items of a job that no batch has taken. It is in the queue no more. */
static void refuse(vx_batcher *b, vx_embed_job *job, int n_taken, int rc, const vx_err *err) {
    for (int i = n_taken; i < job->n_items; i++)
        tell_done(b, &job->items[i]);
    vx_mutex_lock(&b->lock);
    for (int left = job->n_items - n_taken; left > 0; left--)
        finish_item_locked(b, job, rc, err);
    vx_mutex_unlock(&b->lock);
}

static vx_embed_job *take_first_job(vx_batcher *b, int *ret_n_taken) {
    vx_mutex_lock(&b->lock);
    vx_embed_job *job = b->first;
    if (job) {
        b->first = job->next;
        *ret_n_taken = job->n_taken;
        job->n_taken = job->n_items;
    }
    vx_mutex_unlock(&b->lock);
    return job;
}

/* Every item not yet taken ends here; the ones in a batch have finished before. */
static void refuse_queued(vx_batcher *b) {
    vx_err err;
    int n_taken;
    VX_FAIL(&err, VX_EMBED_CLOSED, "model %s is shutting down", b->params.model);
    for (vx_embed_job *job; (job = take_first_job(b, &n_taken));)
        refuse(b, job, n_taken, VX_EMBED_CLOSED, &err);
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

static vx_embed_job *job_new(vx_batcher *b, const vx_batch_item *items, int n) {
    vx_embed_job *job = vx_new(vx_embed_job);
    if (!job)
        return NULL;
    job->batcher = b;
    job->n_items = n;
    job->items = vx_new_array((size_t)n, sizeof *job->items);
    job->vectors = vx_new_array((size_t)n, (size_t)b->params.dim * sizeof(float));
    if (job->items && job->vectors) {
        memcpy(job->items, items, (size_t)n * sizeof *items);
        return job;
    }
    free(job->items);
    free(job->vectors);
    free(job);
    return NULL;
}

static void job_destroy(vx_embed_job *job) {
    free(job->items);
    free(job->vectors);
    free(job);
}

/* False once closing. */
static bool enqueue(vx_batcher *b, vx_embed_job *job) {
    vx_mutex_lock(&b->lock);
    bool closing = b->closing;
    if (!closing) {
        if (b->first)
            b->last->next = job;
        else
            b->first = job;
        b->last = job;
        b->n_jobs++;
        vx_cond_signal(&b->work);
    }
    vx_mutex_unlock(&b->lock);
    return !closing;
}

int vx_batcher_submit(vx_batcher *b, const vx_batch_item *items, int n, vx_embed_job **ret_job,
                      vx_err *err) {
    if (n < 1)
        return VX_FAIL(err, -EINVAL, "%d items to embed", n);
    vx_embed_job *job = job_new(b, items, n);
    if (job && enqueue(b, job)) {
        *ret_job = job;
        return 0;
    }
    for (int i = 0; i < n; i++)
        tell_done(b, &items[i]);
    if (!job)
        return VX_FAIL(err, -ENOMEM, "no memory for %d vectors", n);
    job_destroy(job);
    return VX_FAIL(err, VX_EMBED_CLOSED, "model %s is shutting down", b->params.model);
}

int vx_embed_job_await(vx_embed_job *job, float *ret_vectors, vx_err *err) {
    vx_batcher *b = job->batcher;
    vx_mutex_lock(&b->lock);
    while (!job->done)
        vx_cond_wait(&b->finished, &b->lock);
    vx_mutex_unlock(&b->lock);
    if (job->rc && err)
        *err = job->err;
    if (!job->rc)
        memcpy(ret_vectors, job->vectors,
               (size_t)job->n_items * (size_t)b->params.dim * sizeof(float));
    return job->rc;
}

bool vx_embed_job_is_done(vx_embed_job *job) {
    vx_mutex_lock(&job->batcher->lock);
    bool done = job->done;
    vx_mutex_unlock(&job->batcher->lock);
    return done;
}

/* Takes the job out of the queue, if it is there. Returns how many of its items batches have taken. */
static int dequeue(vx_batcher *b, vx_embed_job *job) {
    vx_mutex_lock(&b->lock);
    int n_taken = job->n_taken;
    vx_embed_job *before = NULL, *at = b->first;
    while (at && at != job) {
        before = at;
        at = at->next;
    }
    if (at) {
        job->n_taken = job->n_items;
        *(before ? &before->next : &b->first) = job->next;
        if (b->last == job)
            b->last = before;
    }
    vx_mutex_unlock(&b->lock);
    return n_taken;
}

vx_embed_job *vx_embed_job_free(vx_embed_job *job) {
    if (!job)
        return NULL;
    vx_batcher *b = job->batcher;
    refuse(b, job, dequeue(b, job), -ECANCELED, &(vx_err){.code = -ECANCELED});
    vx_mutex_lock(&b->lock);
    while (!job->done)
        vx_cond_wait(&b->finished, &b->lock);
    b->n_jobs--;
    vx_cond_broadcast(&b->finished);
    vx_mutex_unlock(&b->lock);
    job_destroy(job);
    return NULL;
}

int vx_batcher_run(vx_batcher *b, const void *items, size_t item_bytes, int n, float *ret_vectors,
                   vx_err *err) {
    VX_AUTO_FREE vx_batch_item *list = vx_new_array(n > 0 ? (size_t)n : 1, sizeof *list);
    vx_embed_job *job;
    if (!list)
        return VX_FAIL(err, -ENOMEM, "no memory for %d items", n);
    for (int i = 0; i < n; i++)
        list[i].data = (const char *)items + (size_t)i * item_bytes;
    int rc = vx_batcher_submit(b, list, n, &job, err);
    if (rc)
        return rc;
    rc = vx_embed_job_await(job, ret_vectors, err);
    vx_embed_job_free(job);
    return rc;
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
    b->batch_items = vx_new_array(n, sizeof *b->batch_items);
    if (!b->tickets || !b->batch_vectors || !b->batch_items)
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
    while (b->n_jobs > 0)
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
