/* Queries that arrive while the threads are busy are joined into one batch, so that each segment is
 * read from memory once for all of them and FAISS can use a matrix product.
 *
 *   caller   splits its queries into requests of at most BATCH_QUERIES, queues each, sleeps
 *   thread   takes the next segment of the open batch, searches it for all queries of the batch and
 *            merges what it found; when every segment of the open batch is taken, it makes a new
 *            batch of all that is queued (as many as fit); who finishes a batch's last segment
 *            writes the answers and wakes the callers
 *
 * Nothing waits for company: an idle searcher starts a lone query at once.
 *
 * Locks. `mu` guards the queue, the segment list, which batch is open and its next segment.
 * Each batch has its own `mu` for the results found so far, so that merging long result lists does
 * not hold up the hand-out of work. Below them lies the lock of the segment being searched; none of
 * the three is ever held while taking another. A batch belongs to the threads working on it; the
 * one that brings `n_open` to 0 (under searcher->mu) owns it alone.
 * Rejected: one thread per caller with a lock round FAISS (a memory pass per query), and a timer
 * that waits for more queries (adds its delay to every lone query).
 */
#include "searcher.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define BATCH_QUERIES 64
/* Results held for one batch: 16 MiB of neighbours; a single query may ask for more. */
#define BATCH_RESULTS ((size_t)1 << 20)

/* One caller's queries; lives on its stack. */
typedef struct request {
    struct request *next;
    const float *queries;
    size_t n, k;
    float min_score;
    vx_index_filter filter;
    void *filter_ctx;
    vx_neighbour *ret;
    size_t *ret_n;
    bool done;
    int code;
    vx_err err;
    vx_cond wake;
} request;

typedef struct batch {
    request *requests;
    size_t n; /* queries of all requests */
    vx_index_filter filter;
    void *filter_ctx;
    float *queries;        /* [n, dim] */
    vx_probe *probes;      /* [n]; .bound is the request's min_score, .top the results so far */
    vx_neighbour *results; /* backs the tops */
    size_t n_results;
    size_t next_segment, end_segment; /* guarded by searcher->mu */
    size_t n_open;                    /* segments not finished; guarded by searcher->mu */
    vx_mutex mu;                      /* guards the tops, code and err */
    int code;
    vx_err err;
} batch;

struct vx_searcher {
    vx_mutex mu;
    vx_cond work;
    int dim;
    bool stop VX_GUARDED;
    request *queue_head VX_GUARDED, **queue_tail VX_GUARDED;
    batch *open VX_GUARDED; /* NULL or a batch with segments to hand out */
    vx_segment **segments VX_GUARDED;
    size_t n_segments VX_GUARDED;
    pthread_t *threads;
    int n_threads;
};

/* float32 sums of dim products err by at most about dim·2^-24·|query|·|row|, in whatever order they
 * were added; rows are unit vectors. Infinite or NaN for a query that is. */
static float slack_of(const float *query, int dim) {
    float norm = sqrtf(vx_score_dot(query, query, (size_t)dim));
    return norm * (float)(dim + 4) * 0x1p-24f;
}

static batch *batch_free(batch *b) {
    if (!b)
        return NULL;
    vx_mutex_done(&b->mu);
    free(b->queries);
    free(b->probes);
    free(b->results);
    free(b);
    return NULL;
}

/* Copies the requests' queries side by side and gives each its share of the results. */
static batch *batch_new(request *requests, int dim) {
    batch *b = vx_new(batch);
    if (!b)
        return NULL;
    vx_mutex_init(&b->mu);
    b->requests = requests;
    b->filter = requests->filter;
    b->filter_ctx = requests->filter_ctx;
    for (request *r = requests; r; r = r->next) {
        b->n += r->n;
        b->n_results += r->n * r->k;
    }
    b->queries = vx_new_array(b->n, (size_t)dim * sizeof(float));
    b->probes = vx_new_array(b->n, sizeof(*b->probes));
    b->results = vx_new_array(b->n_results, sizeof(*b->results));
    if (!b->queries || !b->probes || !b->results)
        return batch_free(b);
    float *query = b->queries;
    vx_probe *probe = b->probes;
    vx_neighbour *results = b->results;
    for (request *r = requests; r; r = r->next) {
        memcpy(query, r->queries, r->n * (size_t)dim * sizeof(float));
        for (size_t i = 0; i < r->n; i++, probe++, query += dim, results += r->k) {
            *probe = (vx_probe){.query = query, .bound = r->min_score};
            probe->slack = slack_of(query, dim);
            probe->top = (vx_topk){.items = results, .k = isfinite(probe->slack) ? r->k : 0};
        }
    }
    return b;
}

/* Copies of the batch's probes for one segment, with empty tops and the bars reached so far. */
static int local_probes(batch *b, vx_probe *local, vx_neighbour *results) {
    vx_mutex_lock(&b->mu);
    int code = b->code;
    for (size_t i = 0; i < b->n; i++) {
        local[i] = b->probes[i];
        vx_topk *top = &local[i].top;
        if (top->k > 0 && top->n == top->k && top->items[0].score > local[i].bound)
            local[i].bound = top->items[0].score;
        *top = (vx_topk){.items = results, .k = top->k};
        results += top->k;
    }
    vx_mutex_unlock(&b->mu);
    return code;
}

static void merge(batch *b, const vx_probe *local, int code, const vx_err *err) {
    vx_mutex_lock(&b->mu);
    if (code && !b->code) {
        b->code = code;
        b->err = *err;
    }
    for (size_t i = 0; i < b->n && code == 0; i++) {
        for (size_t j = 0; j < local[i].top.n; j++)
            vx_topk_push(&b->probes[i].top, local[i].top.items[j]);
    }
    vx_mutex_unlock(&b->mu);
}

static void search_segment(batch *b, vx_segment *segment) {
    vx_err err;
    VX_AUTO_FREE vx_probe *local = vx_new_array(b->n, sizeof(*local));
    VX_AUTO_FREE vx_neighbour *results = vx_new_array(b->n_results, sizeof(*results));
    int code;
    if (!local || !results)
        code = VX_FAIL(&err, -ENOMEM, "no memory for %zu search results", b->n_results);
    else if (local_probes(b, local, results))
        return; /* failed on another segment: the answer is settled */
    else
        code = vx_segment_search(segment, b->queries, local, b->n, b->filter, b->filter_ctx, &err);
    merge(b, local, code, &err);
}

static void answer(batch *b) {
    vx_probe *probe = b->probes;
    for (request *r = b->requests; r; r = r->next) {
        r->code = b->code;
        r->err = b->err;
        for (size_t i = 0; i < r->n; i++, probe++) {
            vx_topk_sort(&probe->top);
            memcpy(r->ret + i * r->k, probe->top.items, probe->top.n * sizeof(*r->ret));
            r->ret_n[i] = probe->top.n;
        }
    }
}

/* After `done` is seen, the request's stack frame is gone: read `next` first. */
static void wake_locked(request *requests) {
    for (request *r = requests, *next; r; r = next) {
        next = r->next;
        r->done = true;
        vx_cond_signal(&r->wake);
    }
}

/* Detaches requests from the head of the queue, as many as make one batch. A filter may differ
 * from any other, so a filtered request goes alone. */
static request *take_requests_locked(vx_searcher *s) VX_REQUIRES(&s->mu) {
    request *first = s->queue_head, *last = first;
    size_t n = first->n, n_results = first->n * first->k;
    while (last->next && !first->filter && !last->next->filter) {
        n += last->next->n;
        n_results += last->next->n * last->next->k;
        if (n > BATCH_QUERIES || n_results > BATCH_RESULTS)
            break;
        last = last->next;
    }
    s->queue_head = last->next;
    if (!s->queue_head)
        s->queue_tail = &s->queue_head;
    last->next = NULL;
    return first;
}

static void open_batch_locked(vx_searcher *s) VX_REQUIRES(&s->mu) {
    request *requests = take_requests_locked(s);
    batch *b = batch_new(requests, s->dim);
    if (!b) {
        for (request *r = requests; r; r = r->next)
            r->code = VX_FAIL(&r->err, -ENOMEM, "no memory to search for %zu queries", r->n);
        wake_locked(requests);
    } else if (s->n_segments == 0) {
        answer(b);
        wake_locked(requests);
        batch_free(b);
    } else {
        b->n_open = b->end_segment = s->n_segments;
        s->open = b;
        vx_cond_broadcast(&s->work);
    }
}

static void work_locked(vx_searcher *s) VX_REQUIRES(&s->mu) {
    batch *b = s->open;
    vx_segment *segment = s->segments[b->next_segment++];
    if (b->next_segment == b->end_segment)
        s->open = NULL;
    vx_mutex_unlock(&s->mu);
    search_segment(b, segment);
    vx_mutex_lock(&s->mu);
    if (--b->n_open > 0)
        return;
    vx_mutex_unlock(&s->mu);
    answer(b);
    vx_mutex_lock(&s->mu);
    wake_locked(b->requests);
    batch_free(b);
}

static void *thread_main(void *arg) {
    vx_searcher *s = arg;
    vx_faiss_set_up_thread();
    vx_mutex_lock(&s->mu);
    while (!s->stop) {
        if (s->open)
            work_locked(s);
        else if (s->queue_head)
            open_batch_locked(s);
        else
            vx_cond_wait(&s->work, &s->mu);
    }
    vx_mutex_unlock(&s->mu);
    return NULL;
}

/* Without its lock: the threads that want it are started last. */
VX_NO_LOCK_ANALYSIS int vx_searcher_new(int dim, int n_threads, vx_searcher **ret_searcher,
                                        vx_err *err) {
    vx_searcher *s = vx_new(vx_searcher);
    if (!s)
        return VX_FAIL(err, -ENOMEM, "no memory for the search threads");
    s->dim = dim;
    s->queue_tail = &s->queue_head;
    vx_mutex_init(&s->mu);
    vx_cond_init(&s->work);
    s->threads = vx_new_array((size_t)n_threads, sizeof(*s->threads));
    int code = s->threads ? 0 : VX_FAIL(err, -ENOMEM, "no memory for %d threads", n_threads);
    while (!code && s->n_threads < n_threads) {
        code = vx_thread_start(&s->threads[s->n_threads], "vx-index", thread_main, s, err);
        s->n_threads += !code;
    }
    if (code)
        vx_searcher_free(s);
    else
        *ret_searcher = s;
    return code;
}

/* Behind the last thread without its lock. */
VX_NO_LOCK_ANALYSIS vx_searcher *vx_searcher_free(vx_searcher *s) {
    if (!s)
        return NULL;
    vx_mutex_lock(&s->mu);
    s->stop = true;
    vx_cond_broadcast(&s->work);
    vx_mutex_unlock(&s->mu);
    for (int i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    vx_cond_done(&s->work);
    vx_mutex_done(&s->mu);
    free(s->segments);
    free(s->threads);
    free(s);
    return NULL;
}

int vx_searcher_add_segment(vx_searcher *s, vx_segment *segment, vx_err *err) {
    vx_mutex_lock(&s->mu);
    vx_segment **grown = vx_regrow(s->segments, s->n_segments + 1, sizeof(*grown));
    if (grown) {
        s->segments = grown;
        s->segments[s->n_segments++] = segment;
    }
    vx_mutex_unlock(&s->mu);
    return grown ? 0 : VX_FAIL(err, -ENOMEM, "no memory for another index segment");
}

static int submit(vx_searcher *s, request *r, vx_err *err) {
    vx_cond_init(&r->wake);
    vx_mutex_lock(&s->mu);
    *s->queue_tail = r;
    s->queue_tail = &r->next;
    vx_cond_signal(&s->work);
    while (!r->done)
        vx_cond_wait(&r->wake, &s->mu);
    vx_mutex_unlock(&s->mu);
    vx_cond_done(&r->wake);
    if (r->code && err)
        *err = r->err;
    return r->code;
}

int vx_searcher_run(vx_searcher *s, const float *queries, size_t n_queries, size_t k,
                    float min_score, vx_index_filter filter, void *filter_ctx, vx_neighbour *ret,
                    size_t *ret_n, vx_err *err) {
    size_t fits = BATCH_RESULTS / k;
    size_t at_once = fits < 1 ? 1 : fits < BATCH_QUERIES ? fits : BATCH_QUERIES;
    for (size_t i = 0; i < n_queries; i += at_once) {
        request r = {.queries = queries + i * (size_t)s->dim,
                     .n = n_queries - i < at_once ? n_queries - i : at_once,
                     .k = k,
                     .min_score = min_score,
                     .filter = filter,
                     .filter_ctx = filter_ctx,
                     .ret = ret + i * k,
                     .ret_n = ret_n + i};
        int code = submit(s, &r, err);
        if (code)
            return code;
    }
    return 0;
}
