/* batcher.c — the queue of jobs and the lines that empty it.
 *
 * A job stays queued until its last item has been taken. It is the caller's to free once `done` is set
 * under the lock; until then a line may use it.
 *
 * Threads  `lock` guards the queue, the flags, the counters and every job. The batch buffers of a line
 *          belong to its worker and need no lock. `done` is called without it.
 */
#include "batcher.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/trace.h"
#include "torch/torch_shim.h"

enum { REVIVE_US = 1000000, MOST_WAIT = 64 };

struct vx_embed_job {
    vx_batcher *batcher;
    vx_batch_item *items; /* [n_items] */
    float *vectors;       /* [n_items, dim] */
    int line;             /* that must run it; -1 = any */
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
    bool again; /* a line was lost with it: if another one is, it may be its fault */
} ticket;

/* One device, with the worker that feeds it. */
typedef struct batch_line {
    vx_batcher *batcher;
    int index;
    ticket *tickets;          /* [max_batch] */
    const void **batch_items; /* [max_batch] */
    float *batch_vectors;     /* [max_batch, dim] */
    pthread_t worker;
    bool has_worker;
} batch_line;

struct vx_batcher {
    vx_batcher_params params;
    batch_line lines[VX_EMBED_MAX_LINES]; /* [params.n_lines] */

    vx_mutex lock;
    vx_cond work;     /* the queue is not empty, or closing */
    vx_cond finished; /* a job is done, or was freed */
    vx_embed_job *first VX_GUARDED, *last VX_GUARDED;
    /* [n_returned] of lines that were lost; room for n_lines batches. Under the lock, as n_returned; the pointer is constant. */
    ticket *returned;
    int n_returned VX_GUARDED;
    bool closing VX_GUARDED;
    int n_lost VX_GUARDED; /* lines */
    int n_jobs VX_GUARDED; /* not freed yet */
    vx_embedder_stats stats VX_GUARDED;
};

/* ---- worker ----------------------------------------------------------------------------------*/

/* The job of the next item that this line may take; NULL: there is none. */
static vx_embed_job *next_job_locked(const vx_batcher *b, int line) VX_REQUIRES(b->lock) {
    if (b->n_returned)
        return b->returned[b->n_returned - 1].from;
    return b->first && (b->first->line < 0 || b->first->line == line) ? b->first : NULL;
}

/* Whether the next item may be in one run with those taken. */
static bool fits_locked(const vx_batcher *b, const batch_line *l, int n) VX_REQUIRES(b->lock) {
    const vx_embed_job *next = next_job_locked(b, l->index);
    if (b->closing || !next || n == b->params.max_batch)
        return false;
    return !n || !b->params.separate_jobs || l->tickets[0].from == next;
}

static ticket take_locked(vx_batcher *b) VX_REQUIRES(b->lock) {
    if (b->n_returned)
        return b->returned[--b->n_returned];
    vx_embed_job *from = b->first;
    ticket t = {.from = from, .index = from->n_taken++};
    if (from->n_taken == from->n_items)
        b->first = from->next;
    return t;
}

/* Takes up to max_batch items from the queue. Waits for the first; 0 once closing. */
static int take_batch(batch_line *l) {
    vx_batcher *b = l->batcher;
    vx_mutex_lock(&b->lock);
    while (!next_job_locked(b, l->index) && !b->closing)
        vx_cond_wait(&b->work, &b->lock);
    int n = 0;
    while (fits_locked(b, l, n))
        l->tickets[n++] = take_locked(b);
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

/* The line is lost. Its items wait for another one, but for those that have been there: of these, how many are
 * left in l->tickets. */
static int give_back(batch_line *l, int n, const vx_err *err) {
    vx_batcher *b = l->batcher;
    int n_left = 0;
    vx_mutex_lock(&b->lock);
    vx_embedder_line *state = &b->stats.lines[l->index];
    state->lost = true;
    snprintf(state->why, sizeof state->why, "%.239s", err->msg);
    bool others = ++b->n_lost < b->params.n_lines && !b->closing;
    for (int i = 0; i < n; i++) {
        ticket t = l->tickets[i];
        if (!others || t.again || t.from->line >= 0) {
            l->tickets[n_left++] = t;
            continue;
        }
        t.again = true;
        b->returned[b->n_returned++] = t;
    }
    vx_cond_broadcast(&b->work);
    vx_mutex_unlock(&b->lock);
    return n_left;
}

static void finish_batch(batch_line *l, int n, int failed, vx_err *err) {
    vx_batcher *b = l->batcher;
    size_t dim = (size_t)b->params.dim;
    for (int i = 0; i < n; i++) /* before a job is done: then its caller may be gone */
        tell_done(b, &l->tickets[i].from->items[l->tickets[i].index]);
    vx_mutex_lock(&b->lock);
    for (int i = 0; i < n; i++) {
        ticket t = l->tickets[i];
        const float *vector = l->batch_vectors + (size_t)i * dim;
        int rc = failed ? failed : check_vector(b, vector, err);
        if (!rc)
            memcpy(t.from->vectors + (size_t)t.index * dim, vector, dim * sizeof(float));
        finish_item_locked(b, t.from, rc, err);
    }
    vx_mutex_unlock(&b->lock);
}

/* False: the line was lost. */
static bool run_batch(batch_line *l, int n) {
    vx_batcher *b = l->batcher;
    vx_err err = {0};
    int64_t start_us = vx_clock_monotonic_us(), begun_us = vx_trace_begin();
    for (int i = 0; i < n; i++)
        l->batch_items[i] = l->tickets[i].from->items[l->tickets[i].index].data;
    int failed = b->params.run(b->params.ctx, l->index, l->batch_items, n, l->batch_vectors, &err);
    vx_trace_end("model", begun_us);
    bool lost = failed == -ENODEV && b->params.revive;
    if (lost) {
        n = give_back(l, n, &err);
        failed = err.code = -EHOSTDOWN;
    }
    vx_mutex_lock(&b->lock);
    b->stats.clips += n;
    b->stats.batches++;
    b->stats.busy_us += vx_clock_monotonic_us() - start_us;
    b->stats.lines[l->index].clips += failed ? 0 : n;
    vx_mutex_unlock(&b->lock);
    finish_batch(l, n, failed, &err);
    return !lost;
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

/* Takes back an item that a lost line has returned. */
static bool take_returned(vx_batcher *b, ticket *ret_ticket) {
    vx_mutex_lock(&b->lock);
    bool some = b->n_returned > 0;
    if (some)
        *ret_ticket = b->returned[--b->n_returned];
    vx_mutex_unlock(&b->lock);
    return some;
}

/* Every item that no line is running ends here. */
static void refuse_queued(vx_batcher *b, int rc, const vx_err *err) {
    int n_taken;
    for (ticket t; take_returned(b, &t);) {
        tell_done(b, &t.from->items[t.index]);
        vx_mutex_lock(&b->lock);
        finish_item_locked(b, t.from, rc, err);
        vx_mutex_unlock(&b->lock);
    }
    for (vx_embed_job *job; (job = take_first_job(b, &n_taken));)
        refuse(b, job, n_taken, rc, err);
}

/* Why nothing can be run; 0 while a line is left. */
static int check_lines_locked(const vx_batcher *b, vx_err *err) VX_REQUIRES(b->lock) {
    if (b->n_lost < b->params.n_lines)
        return 0;
    return VX_FAIL(err, -EHOSTDOWN, "model %s has no device that works now; it is tried again. %s",
                   b->params.model, b->stats.lines[0].why);
}

/* Waits, and tries to have the device back, until it is; false once closing. */
static bool revive(batch_line *l) {
    vx_batcher *b = l->batcher;
    const int64_t first_us = b->params.revive_us ? b->params.revive_us : REVIVE_US;
    vx_err err = {0};
    vx_mutex_lock(&b->lock);
    int none = check_lines_locked(b, &err);
    vx_mutex_unlock(&b->lock);
    if (none)
        refuse_queued(b, none, &err);
    for (int64_t wait_us = first_us;; wait_us *= wait_us < MOST_WAIT * first_us ? 2 : 1) {
        int64_t until_us = vx_clock_monotonic_us() + wait_us;
        vx_mutex_lock(&b->lock);
        while (!b->closing && vx_cond_wait_until(&b->work, &b->lock, until_us))
            ;
        bool closing = b->closing;
        vx_mutex_unlock(&b->lock);
        if (closing)
            return false;
        if (b->params.revive(b->params.ctx, l->index, &err) == 0)
            break;
    }
    vx_mutex_lock(&b->lock);
    b->stats.lines[l->index].lost = false;
    b->n_lost--;
    vx_mutex_unlock(&b->lock);
    return true;
}

static void *work(void *ctx) {
    batch_line *l = ctx;
    vx_batcher *b = l->batcher;
    vx_err err;
    /* OpenMP keeps this per thread; a failure costs speed */
    vx_torch_set_threads(b->params.threads, NULL);
    for (int n; (n = take_batch(l)) > 0;)
        if (!run_batch(l, n) && !revive(l))
            break;
    VX_FAIL(&err, VX_EMBED_CLOSED, "model %s is shutting down", b->params.model);
    refuse_queued(b, VX_EMBED_CLOSED, &err);
    return NULL;
}

/* ---- callers ---------------------------------------------------------------------------------*/

static vx_embed_job *job_new(vx_batcher *b, int line, const vx_batch_item *items, int n) {
    vx_embed_job *job = vx_new(vx_embed_job);
    if (!job)
        return NULL;
    job->batcher = b;
    job->line = line;
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

/* 0, VX_EMBED_CLOSED, or -EHOSTDOWN: no device works. */
static int enqueue(vx_batcher *b, vx_embed_job *job, vx_err *err) {
    vx_mutex_lock(&b->lock);
    int rc = b->closing
                 ? VX_FAIL(err, VX_EMBED_CLOSED, "model %s is shutting down", b->params.model)
                 : check_lines_locked(b, err);
    if (!rc) {
        if (b->first)
            b->last->next = job;
        else
            b->first = job;
        b->last = job;
        b->n_jobs++;
        vx_cond_broadcast(&b->work);
    }
    vx_mutex_unlock(&b->lock);
    return rc;
}

static int submit(vx_batcher *b, int line, const vx_batch_item *items, int n,
                  vx_embed_job **ret_job, vx_err *err) {
    if (n < 1)
        return VX_FAIL(err, -EINVAL, "%d items to embed", n);
    vx_embed_job *job = job_new(b, line, items, n);
    int rc = job ? enqueue(b, job, err) : VX_FAIL(err, -ENOMEM, "no memory for %d vectors", n);
    if (!rc) {
        *ret_job = job;
        return 0;
    }
    for (int i = 0; i < n; i++)
        tell_done(b, &items[i]);
    if (job)
        job_destroy(job);
    return rc;
}

int vx_batcher_submit(vx_batcher *b, const vx_batch_item *items, int n, vx_embed_job **ret_job,
                      vx_err *err) {
    return submit(b, -1, items, n, ret_job, err);
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

int vx_batcher_run(vx_batcher *b, int line, const void *items, size_t item_bytes, int n,
                   float *ret_vectors, vx_err *err) {
    VX_AUTO_FREE vx_batch_item *list = vx_new_array(n > 0 ? (size_t)n : 1, sizeof *list);
    vx_embed_job *job;
    if (!list)
        return VX_FAIL(err, -ENOMEM, "no memory for %d items", n);
    for (int i = 0; i < n; i++)
        list[i].data = (const char *)items + (size_t)i * item_bytes;
    int rc = submit(b, line, list, n, &job, err);
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
    b->stats = (vx_embedder_stats){.n_lines = b->params.n_lines};
    vx_mutex_unlock(&b->lock);
}

/* ---- start and end ---------------------------------------------------------------------------*/

static int allocate(vx_batcher *b, vx_err *err) {
    const vx_batcher_params *p = &b->params;
    size_t n = (size_t)p->max_batch;
    b->returned = vx_new_array(n * (size_t)p->n_lines, sizeof *b->returned);
    bool fine = b->returned;
    for (int i = 0; i < p->n_lines && fine; i++) {
        batch_line *l = &b->lines[i];
        *l = (batch_line){.batcher = b, .index = i};
        l->tickets = vx_new_array(n, sizeof *l->tickets);
        l->batch_vectors = vx_new_array(n * (size_t)p->dim, sizeof(float));
        l->batch_items = vx_new_array(n, sizeof *l->batch_items);
        fine = l->tickets && l->batch_vectors && l->batch_items;
    }
    return fine ? 0 : VX_FAIL(err, -ENOMEM, "no memory for batches of %d", p->max_batch);
}

int vx_batcher_start(const vx_batcher_params *params, vx_batcher **ret_batcher, vx_err *err) {
    vx_batcher *b = vx_new(vx_batcher);
    if (!b)
        return VX_FAIL(err, -ENOMEM, "no memory for a batcher");
    b->params = *params;
    b->params.n_lines = params->n_lines ? params->n_lines : 1;
    vx_mutex_init(&b->lock);
    vx_cond_init(&b->work);
    vx_cond_init(&b->finished);
    vx_batcher_reset_stats(b);
    int rc = allocate(b, err);
    for (int i = 0; i < b->params.n_lines && !rc; i++) {
        rc = vx_thread_start(&b->lines[i].worker, "vx-embed", work, &b->lines[i], err);
        b->lines[i].has_worker = !rc;
    }
    if (rc) {
        vx_batcher_free(b);
        return rc;
    }
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
    for (int i = 0; i < b->params.n_lines; i++)
        if (b->lines[i].has_worker)
            pthread_join(b->lines[i].worker, NULL);
    vx_mutex_lock(&b->lock);
    while (b->n_jobs > 0)
        vx_cond_wait(&b->finished, &b->lock);
    vx_mutex_unlock(&b->lock);
    for (int i = 0; i < b->params.n_lines; i++) {
        free(b->lines[i].tickets);
        free(b->lines[i].batch_items);
        free(b->lines[i].batch_vectors);
    }
    free(b->returned);
    vx_cond_done(&b->work);
    vx_cond_done(&b->finished);
    vx_mutex_done(&b->lock);
    free(b);
    return NULL;
}
