/* searcher.c — the search threads.
 *
 * Queries that arrive while the threads are busy are joined into one pass over the segments, so that
 * each segment is read from memory once for all of them and its codes are multiplied with all of them.
 *
 *   caller   splits its queries into requests of at most PASS_QUERIES, queues each, sleeps
 *   thread   settles the next query of a pass that has been scanned (pass.h); or scans the next part of a
 *            segment for the open pass; or, when every part is taken, makes a new pass of all that is
 *            queued (as many as fit). Who finishes the last query of a pass writes the answers and wakes
 *            the callers
 *
 * Nothing waits for company: an idle searcher starts a lone query at once. Its caller then works like one of the
 * threads until it has its answer, which saves waking one to begin and being woken at the end. Callers that come
 * later only wait, or each would begin a pass of its own. All threads are woken for its parts, one more than are
 * needed: one that is woken alone may find itself behind the caller on a core (0.77 ms a query over HTTP, not 0.55).
 *
 * There are two lines of all this. The threads take a step for the patient one, that of uploads that are compared,
 * only while nobody waits in the other; or every second step, when it has not finished a pass for PATIENCE_US.
 * So a query waits for one part of fifty others at most, and an upload waits no longer than that for its share.
 *
 * Locks. `mu` guards the queue, the segment list, and what the passes have still to do.
 * Each pass has its own `mu` for the results found so far, so that merging long result lists does
 * not delay handing out work. Below them lies the lock of the segment being searched; none of the
 * three is ever held while taking another. A pass belongs to the threads working on it; the one that
 * brings `n_open` to 0 (under searcher->mu) owns it alone.
 * Rejected: one thread per caller with a lock around FAISS (a memory pass per query), and a timer
 * that waits for more queries (adds its delay to every lone query).
 */
#include "searcher.h"

#include <errno.h>

#include "base/clock.h"
#include "pass.h"

#define PATIENCE_US 50000
#define PASS_QUERIES 64
/* Results held for one pass: 16 MiB of neighbours; a single query may ask for more. */
#define PASS_RESULTS ((size_t)1 << 20)

typedef struct search_line {
    vx_index_request *queue_head, **queue_tail;
    vx_pass *open;    /* a list of those with parts to hand out */
    vx_pass *scanned; /* a list of those with queries to hand out */
    size_t n_passes;  /* under way */
    int64_t since_us; /* monotonic; when something began to wait, or the last pass ended */
} search_line;

struct vx_searcher {
    vx_mutex mu;
    vx_cond work;
    int dim;
    const vx_dots_kernel *kernel; /* NULL: no codes */
    bool stop VX_GUARDED;
    search_line lines[2] VX_GUARDED; /* the second one is patient */
    bool its_turn VX_GUARDED;        /* of the patient line */
    vx_gpu *gpu VX_GUARDED;          /* NULL: none */
    bool asking VX_GUARDED;          /* a pass is with the GPU: the next one waits, and grows */
    vx_segment **segments VX_GUARDED;
    size_t n_segments VX_GUARDED;
    pthread_t *threads;
    int n_threads;
};

/* After `done` is seen, the request's stack frame is gone: read `next` first. */
static void wake_locked(vx_index_request *requests) {
    for (vx_index_request *r = requests, *next; r; r = next) {
        next = r->next;
        r->done = true;
        vx_cond_signal(&r->wake);
    }
}

/* Detaches requests from the head of the queue, as many as make one pass. One that selects groups goes
 * alone, because others would read rows for it that it does not want. */
static vx_index_request *take_requests_locked(search_line *line) {
    vx_index_request *first = line->queue_head, *last = first;
    size_t n = first->query.n, n_results = first->query.n * first->query.k;
    while (last->next && !first->selected && !last->next->selected) {
        n += last->next->query.n;
        n_results += last->next->query.n * last->next->query.k;
        if (n > PASS_QUERIES || n_results > PASS_RESULTS)
            break;
        last = last->next;
    }
    line->queue_head = last->next;
    if (!line->queue_head)
        line->queue_tail = &line->queue_head;
    last->next = NULL;
    return first;
}

static void begin_settling_locked(vx_searcher *s, search_line *line, vx_pass *p)
    VX_REQUIRES(&s->mu) {
    p->next = 0;
    p->n_open = p->n;
    p->then = line->scanned;
    line->scanned = p;
    if (p->n > 1)
        vx_cond_broadcast(&s->work);
}

static void begin_scanning_locked(vx_searcher *s, search_line *line, vx_pass *p)
    VX_REQUIRES(&s->mu) {
    vx_gpu *gpu = s->gpu;
    if (gpu) {
        s->asking = true;
        vx_mutex_unlock(&s->mu);
        vx_pass_ask(p, gpu);
        vx_mutex_lock(&s->mu);
        s->asking = false;
    }
    p->n_open = p->n_parts;
    vx_pass **last = &line->open;
    while (*last)
        last = &(*last)->then;
    *last = p;
    if (p->n_parts > 1 || gpu) /* others may have come while it asked */
        vx_cond_broadcast(&s->work);
}

static void open_pass_locked(vx_searcher *s, search_line *line) VX_REQUIRES(&s->mu) {
    vx_index_request *requests = take_requests_locked(line);
    vx_pass *p = vx_pass_new(requests, s->dim, s->kernel, s->segments, s->n_segments);
    if (!p) {
        for (vx_index_request *r = requests; r; r = r->next)
            r->rc = VX_FAIL(&r->err, -ENOMEM, "no memory to search for %zu queries", r->query.n);
        wake_locked(requests);
        return;
    }
    line->n_passes++;
    if (p->n_parts == 0)
        begin_settling_locked(s, line, p);
    else
        begin_scanning_locked(s, line, p);
}

static void scan_locked(vx_searcher *s, search_line *line) VX_REQUIRES(&s->mu) {
    vx_pass *p = line->open;
    size_t part = p->next++;
    if (p->next == p->n_parts)
        line->open = p->then;
    vx_mutex_unlock(&s->mu);
    vx_pass_scan(p, part);
    vx_mutex_lock(&s->mu);
    if (--p->n_open == 0)
        begin_settling_locked(s, line, p);
}

static void settle_locked(vx_searcher *s, search_line *line) VX_REQUIRES(&s->mu) {
    vx_pass *p = line->scanned;
    size_t query = p->next++;
    if (p->next == p->n)
        line->scanned = p->then;
    vx_mutex_unlock(&s->mu);
    vx_pass_settle(p, query);
    vx_mutex_lock(&s->mu);
    if (--p->n_open > 0)
        return;
    vx_mutex_unlock(&s->mu);
    vx_pass_answer(p);
    vx_mutex_lock(&s->mu);
    line->n_passes--;
    line->since_us = vx_clock_monotonic_us();
    wake_locked(p->requests);
    vx_pass_free(p);
}

/* One step of what there is to do in a line; false: nothing. */
static bool step_locked(vx_searcher *s, search_line *line) VX_REQUIRES(&s->mu) {
    if (line->scanned)
        settle_locked(s, line);
    else if (line->open)
        scan_locked(s, line);
    else if (line->queue_head && !s->asking)
        open_pass_locked(s, line);
    else
        return false;
    return true;
}

static bool is_empty(const search_line *line) {
    return !line->n_passes && !line->queue_head;
}

static bool work_locked(vx_searcher *s) VX_REQUIRES(&s->mu) {
    search_line *first = &s->lines[0], *patient = &s->lines[1];
    if (!is_empty(patient) && vx_clock_monotonic_us() - patient->since_us >= PATIENCE_US)
        s->its_turn = !s->its_turn;
    else
        s->its_turn = false;
    return s->its_turn ? step_locked(s, patient) || step_locked(s, first)
                       : step_locked(s, first) || step_locked(s, patient);
}

static void *thread_main(void *arg) {
    vx_searcher *s = arg;
    vx_faiss_set_up_thread();
    vx_mutex_lock(&s->mu);
    while (!s->stop)
        if (!work_locked(s))
            vx_cond_wait(&s->work, &s->mu);
    vx_mutex_unlock(&s->mu);
    return NULL;
}

/* Without its lock: the threads that want it are started last. */
VX_NO_LOCK_ANALYSIS int vx_searcher_new(int dim, const vx_dots_kernel *kernel, int n_threads,
                                        vx_searcher **ret_searcher, vx_err *err) {
    vx_searcher *s = vx_new(vx_searcher);
    if (!s)
        return VX_FAIL(err, -ENOMEM, "no memory for the search threads");
    s->dim = dim;
    s->kernel = kernel;
    for (size_t i = 0; i < VX_LEN(s->lines); i++)
        s->lines[i].queue_tail = &s->lines[i].queue_head;
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

void vx_searcher_use_gpu(vx_searcher *s, vx_gpu *gpu) {
    vx_mutex_lock(&s->mu);
    s->gpu = gpu;
    vx_mutex_unlock(&s->mu);
}

static int submit(vx_searcher *s, vx_index_request *r, vx_err *err) {
    vx_cond_init(&r->wake);
    vx_faiss_set_up_thread();
    vx_mutex_lock(&s->mu);
    search_line *line = &s->lines[r->query.is_patient];
    bool is_alone = is_empty(line);
    if (is_alone)
        line->since_us = vx_clock_monotonic_us();
    *line->queue_tail = r;
    line->queue_tail = &r->next;
    if (!is_alone)
        vx_cond_signal(&s->work);
    while (!r->done)
        if (!is_alone || !step_locked(s, line))
            vx_cond_wait(&r->wake, &s->mu);
    vx_mutex_unlock(&s->mu);
    vx_cond_done(&r->wake);
    if (r->rc && err)
        *err = r->err;
    return r->rc;
}

/* All of it on this thread. */
static int run_here(vx_searcher *s, vx_index_request *r, vx_err *err) {
    vx_faiss_set_up_thread();
    vx_mutex_lock(&s->mu);
    vx_pass *p = vx_pass_new(r, s->dim, s->kernel, s->segments, s->n_segments);
    vx_mutex_unlock(&s->mu);
    if (!p)
        return VX_FAIL(err, -ENOMEM, "no memory to search for %zu queries", r->query.n);
    for (size_t i = 0; i < p->n_parts; i++)
        vx_pass_scan(p, i);
    for (size_t i = 0; i < p->n; i++)
        vx_pass_settle(p, i);
    vx_pass_answer(p);
    vx_pass_free(p);
    if (r->rc && err)
        *err = r->err;
    return r->rc;
}

static int run_selected(vx_searcher *s, const vx_index_query *query, const vx_selected *selected,
                        vx_neighbour *ret, size_t *ret_n, vx_index_work *ret_work, vx_err *err) {
    size_t fits = PASS_RESULTS / query->k;
    size_t at_once = fits < 1 ? 1 : fits < PASS_QUERIES ? fits : PASS_QUERIES;
    for (size_t i = 0; i < query->n; i += at_once) {
        vx_index_request r = {.query = *query,
                              .selected = selected,
                              .ret = ret + i * query->k,
                              .ret_n = ret_n + i,
                              .ret_work = ret_work ? ret_work + i : NULL};
        r.query.vectors += i * (size_t)s->dim;
        r.query.n = query->n - i < at_once ? query->n - i : at_once;
        if (query->min_scores)
            r.query.min_scores += i;
        int rc = query->on_caller ? run_here(s, &r, err) : submit(s, &r, err);
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
    atomic_size_t in_vain = 0;
    vx_selected selected = {.by_id = query->ids != NULL, .in_vain = &in_vain};
    if (vx_idset_bits_init(&selected.bits, set))
        return VX_FAIL(err, -ENOMEM, "no memory to select %zu rows", set->n);
    int rc = run_selected(s, query, &selected, ret, ret_n, ret_work, err);
    vx_idset_bits_done(&selected.bits);
    return rc;
}
