/* searcher.c — the search threads.
 *
 * Queries that arrive while the threads are busy are joined into one pass over the segments, so that
 * each segment is read from memory once for all of them and FAISS can use a matrix product.
 *
 *   caller   splits its queries into requests of at most PASS_QUERIES, queues each, sleeps
 *   thread   takes the next segment of the open pass, searches it for all queries of the pass and
 *            merges what it found. When every segment of the open pass is taken, it makes a new pass
 *            of all that is queued (as many as fit). The thread that finishes the last segment of a
 *            pass writes the answers and wakes the callers
 *
 * Nothing waits for company: an idle searcher starts a lone query at once.
 *
 * Locks. `mu` guards the queue, the segment list, which pass is open and its next segment.
 * Each pass has its own `mu` for the results found so far, so that merging long result lists does
 * not delay handing out work. Below them lies the lock of the segment being searched; none of the
 * three is ever held while taking another. A pass belongs to the threads working on it; the one that
 * brings `n_open` to 0 (under searcher->mu) owns it alone.
 * Rejected: one thread per caller with a lock around FAISS (a memory pass per query), and a timer
 * that waits for more queries (adds its delay to every lone query).
 */
#include "searcher.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define PASS_QUERIES 64
/* Results held for one pass: 16 MiB of neighbours; a single query may ask for more. */
#define PASS_RESULTS ((size_t)1 << 20)

/* One caller's queries; lives on its stack. */
typedef struct request {
    struct request *next;
    vx_index_query query;
    const vx_selected *selected; /* of query.groups or query.ids */
    vx_neighbour *ret;
    size_t *ret_n;
    vx_index_work *ret_work; /* NULL: not asked for */
    bool done;
    int rc;
    vx_err err;
    vx_cond wake;
} request;

typedef struct pass {
    request *requests;
    size_t n; /* queries of all requests */
    const vx_selected *selected;
    float *queries;        /* [n, dim] */
    int8_t *codes;         /* [n, 4 · groups], where the segments have codes */
    vx_probe *probes;      /* [n]; .bound is the request's min_score, .top the results so far */
    vx_neighbour *results; /* backs the tops */
    size_t n_results;
    size_t next_segment, end_segment; /* guarded by searcher->mu */
    size_t n_open;                    /* segments not finished; guarded by searcher->mu */
    vx_mutex mu;                      /* guards the tops, rc and err */
    int rc;
    vx_err err;
} pass;

struct vx_searcher {
    vx_mutex mu;
    vx_cond work;
    int dim;
    bool has_codes;
    bool stop VX_GUARDED;
    request *queue_head VX_GUARDED, **queue_tail VX_GUARDED;
    pass *open VX_GUARDED; /* NULL, or one with segments to hand out */
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

static pass *pass_free(pass *p) {
    if (!p)
        return NULL;
    vx_mutex_done(&p->mu);
    free(p->queries);
    free(p->codes);
    free(p->probes);
    free(p->results);
    free(p);
    return NULL;
}

/* One query of a request, with room for its results. */
static vx_probe probe_of(const vx_index_query *asked, const float *query, int dim,
                         vx_neighbour *results) {
    vx_probe probe = {
        .query = query,
        .slack = slack_of(query, dim),
        .bound = asked->min_score,
        .max_score = asked->has_max_score ? asked->max_score : INFINITY,
        .not_ids = asked->not_ids,
        .before_id = asked->before_id,
    };
    size_t k = isfinite(probe.slack) ? asked->k : 0;
    probe.top = (vx_topk){.items = results, .k = k, .by_group = asked->by_group};
    return probe;
}

/* Copies the requests' queries side by side and gives each its share of the results. */
static pass *pass_new(request *requests, int dim, bool has_codes) {
    pass *p = vx_new(pass);
    if (!p)
        return NULL;
    vx_mutex_init(&p->mu);
    p->requests = requests;
    p->selected = requests->selected;
    for (request *r = requests; r; r = r->next) {
        p->n += r->query.n;
        p->n_results += r->query.n * r->query.k;
    }
    size_t code_bytes = 4 * vx_codes_groups((size_t)dim);
    p->queries = vx_new_array(p->n, (size_t)dim * sizeof(float));
    p->codes = vx_new_array(p->n, code_bytes);
    p->probes = vx_new_array(p->n, sizeof(*p->probes));
    p->results = vx_new_array(p->n_results, sizeof(*p->results));
    if (!p->queries || !p->codes || !p->probes || !p->results)
        return pass_free(p);
    float *query = p->queries;
    int8_t *codes = p->codes;
    vx_probe *probe = p->probes;
    vx_neighbour *results = p->results;
    for (request *r = requests; r; r = r->next) {
        size_t k = r->query.k;
        memcpy(query, r->query.vectors, r->query.n * (size_t)dim * sizeof(float));
        for (size_t i = 0; i < r->query.n; i++, probe++, query += dim, results += k) {
            *probe = probe_of(&r->query, query, dim, results);
            if (has_codes)
                vx_codes_query_init(&probe->coded, query, (size_t)dim, codes);
            codes += code_bytes;
        }
    }
    return p;
}

/* Copies the probes for one segment, with empty tops and the lowest score that still matters. */
static int local_probes(pass *p, vx_probe *local, vx_neighbour *results) {
    vx_mutex_lock(&p->mu);
    int rc = p->rc;
    for (size_t i = 0; i < p->n; i++) {
        local[i] = p->probes[i];
        vx_topk *top = &local[i].top;
        if (top->k > 0 && top->n == top->k && top->items[0].score > local[i].bound)
            local[i].bound = top->items[0].score;
        *top = (vx_topk){.items = results, .k = top->k, .by_group = top->by_group};
        local[i].work = (vx_index_work){0};
        results += top->k;
    }
    vx_mutex_unlock(&p->mu);
    return rc;
}

static void merge(pass *p, const vx_probe *local, int rc, const vx_err *err) {
    vx_mutex_lock(&p->mu);
    if (rc && !p->rc) {
        p->rc = rc;
        p->err = *err;
    }
    for (size_t i = 0; i < p->n && rc == 0; i++) {
        for (size_t j = 0; j < local[i].top.n; j++)
            vx_topk_push(&p->probes[i].top, local[i].top.items[j]);
        p->probes[i].work.rows_scanned += local[i].work.rows_scanned;
        p->probes[i].work.rows_rescored += local[i].work.rows_rescored;
    }
    vx_mutex_unlock(&p->mu);
}

static void search_segment(pass *p, vx_segment *segment) {
    vx_err err;
    VX_AUTO_FREE vx_probe *local = vx_new_array(p->n, sizeof(*local));
    VX_AUTO_FREE vx_neighbour *results = vx_new_array(p->n_results, sizeof(*results));
    int rc;
    if (!local || !results)
        rc = VX_FAIL(&err, -ENOMEM, "no memory for %zu search results", p->n_results);
    else if (local_probes(p, local, results))
        return; /* failed on another segment: the answer is settled */
    else
        rc = vx_segment_search(segment, local, p->n, p->selected, &err);
    merge(p, local, rc, &err);
}

static void answer(pass *p) {
    vx_probe *probe = p->probes;
    for (request *r = p->requests; r; r = r->next) {
        r->rc = p->rc;
        r->err = p->err;
        for (size_t i = 0; i < r->query.n; i++, probe++) {
            vx_topk_sort(&probe->top);
            memcpy(r->ret + i * r->query.k, probe->top.items, probe->top.n * sizeof(*r->ret));
            r->ret_n[i] = probe->top.n;
            if (r->ret_work)
                r->ret_work[i] = probe->work;
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

/* Detaches requests from the head of the queue, as many as make one pass. One that selects groups goes
 * alone, because others would read rows for it that it does not want. */
static request *take_requests_locked(vx_searcher *s) VX_REQUIRES(&s->mu) {
    request *first = s->queue_head, *last = first;
    size_t n = first->query.n, n_results = first->query.n * first->query.k;
    while (last->next && !first->selected && !last->next->selected) {
        n += last->next->query.n;
        n_results += last->next->query.n * last->next->query.k;
        if (n > PASS_QUERIES || n_results > PASS_RESULTS)
            break;
        last = last->next;
    }
    s->queue_head = last->next;
    if (!s->queue_head)
        s->queue_tail = &s->queue_head;
    last->next = NULL;
    return first;
}

static void open_pass_locked(vx_searcher *s) VX_REQUIRES(&s->mu) {
    request *requests = take_requests_locked(s);
    pass *p = pass_new(requests, s->dim, s->has_codes);
    if (!p) {
        for (request *r = requests; r; r = r->next)
            r->rc = VX_FAIL(&r->err, -ENOMEM, "no memory to search for %zu queries", r->query.n);
        wake_locked(requests);
    } else if (s->n_segments == 0) {
        answer(p);
        wake_locked(requests);
        pass_free(p);
    } else {
        p->n_open = p->end_segment = s->n_segments;
        s->open = p;
        vx_cond_broadcast(&s->work);
    }
}

static void work_locked(vx_searcher *s) VX_REQUIRES(&s->mu) {
    pass *p = s->open;
    vx_segment *segment = s->segments[p->next_segment++];
    if (p->next_segment == p->end_segment)
        s->open = NULL;
    vx_mutex_unlock(&s->mu);
    search_segment(p, segment);
    vx_mutex_lock(&s->mu);
    if (--p->n_open > 0)
        return;
    vx_mutex_unlock(&s->mu);
    answer(p);
    vx_mutex_lock(&s->mu);
    wake_locked(p->requests);
    pass_free(p);
}

static void *thread_main(void *arg) {
    vx_searcher *s = arg;
    vx_faiss_set_up_thread();
    vx_mutex_lock(&s->mu);
    while (!s->stop) {
        if (s->open)
            work_locked(s);
        else if (s->queue_head)
            open_pass_locked(s);
        else
            vx_cond_wait(&s->work, &s->mu);
    }
    vx_mutex_unlock(&s->mu);
    return NULL;
}

/* Without its lock: the threads that want it are started last. */
VX_NO_LOCK_ANALYSIS int vx_searcher_new(int dim, bool has_codes, int n_threads,
                                        vx_searcher **ret_searcher, vx_err *err) {
    vx_searcher *s = vx_new(vx_searcher);
    if (!s)
        return VX_FAIL(err, -ENOMEM, "no memory for the search threads");
    s->dim = dim;
    s->has_codes = has_codes;
    s->queue_tail = &s->queue_head;
    vx_mutex_init(&s->mu);
    vx_cond_init(&s->work);
    s->threads = vx_new_array((size_t)n_threads, sizeof(*s->threads));
    int rc = s->threads ? 0 : VX_FAIL(err, -ENOMEM, "no memory for %d threads", n_threads);
    while (!rc && s->n_threads < n_threads) {
        rc = vx_thread_start(&s->threads[s->n_threads], "vx-index", thread_main, s, err);
        s->n_threads += !rc;
    }
    if (rc)
        vx_searcher_free(s);
    else
        *ret_searcher = s;
    return rc;
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
    if (r->rc && err)
        *err = r->err;
    return r->rc;
}

static int run_selected(vx_searcher *s, const vx_index_query *query, const vx_selected *selected,
                        vx_neighbour *ret, size_t *ret_n, vx_index_work *ret_work, vx_err *err) {
    size_t fits = PASS_RESULTS / query->k;
    size_t at_once = fits < 1 ? 1 : fits < PASS_QUERIES ? fits : PASS_QUERIES;
    for (size_t i = 0; i < query->n; i += at_once) {
        request r = {.query = *query,
                     .selected = selected,
                     .ret = ret + i * query->k,
                     .ret_n = ret_n + i,
                     .ret_work = ret_work ? ret_work + i : NULL};
        r.query.vectors += i * (size_t)s->dim;
        r.query.n = query->n - i < at_once ? query->n - i : at_once;
        int rc = submit(s, &r, err);
        if (rc)
            return rc;
    }
    return 0;
}

int vx_searcher_run(vx_searcher *s, const vx_index_query *query, vx_neighbour *ret, size_t *ret_n,
                    vx_index_work *ret_work, vx_err *err) {
    const vx_idset *set = query->ids ? query->ids : query->groups;
    if (!set)
        return run_selected(s, query, NULL, ret, ret_n, ret_work, err);
    vx_selected selected = {.by_id = query->ids != NULL};
    if (vx_idset_bits_init(&selected.bits, set))
        return VX_FAIL(err, -ENOMEM, "no memory to select %zu rows", set->n);
    int rc = run_selected(s, query, &selected, ret, ret_n, ret_work, err);
    vx_idset_bits_done(&selected.bits);
    return rc;
}
