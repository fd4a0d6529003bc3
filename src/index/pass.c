#include "pass.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* Codes in a part. Taking a part costs a thread a few microseconds, reading it some hundred. */
#define PART_BYTES ((size_t)1 << 20)
/* How much a query's list of rows grows before those that can no longer be results are dropped. That raises the bar
 * for the next part. Of long vectors, whose bounds are loose, some hundred rows stay. */
#define LIST_MORE(k) (5 * (k) + 64)
/* If so many are left, the best of them are scored at once: that raises the bar further than bounds can. */
#define LIST_LONG(k) (8 * (k))
/* And before all are: what is left when bounds tell little, as they do for equal rows. */
#define LIST_MAX(k) (64 * (k) + 4096)

typedef struct vx_held_list {
    vx_held *items; /* [n of room]; owned */
    size_t n, room;
    size_t n_kept; /* when some were dropped last */
    bool lost;     /* a row was not there any more */
} held_list;

typedef struct vx_pass_removals {
    bool is_known;
    uint64_t n;
} removals;

/* What a thread has of its own while it scans a part. */
typedef struct vx_pass_local {
    struct vx_pass_local *next;
    vx_probe *probes; /* [n] */
    vx_neighbour *results;
    vx_topk_place *places;
    vx_held *held;
    float *scratch;
} local;

static void local_free(local *l) {
    free(l->probes);
    free(l->results);
    free(l->places);
    free(l->held);
    free(l->scratch);
    free(l);
}

vx_pass *vx_pass_free(vx_pass *p) {
    if (!p)
        return NULL;
    vx_mutex_done(&p->mu);
    while (p->idle) {
        local *l = p->idle;
        p->idle = l->next;
        local_free(l);
    }
    free(p->removals);
    for (size_t i = 0; p->lists && i < p->n; i++)
        free(p->lists[i].items);
    free(p->lists);
    free(p->segments);
    free(p->queries);
    free(p->codes);
    free(p->probes);
    free(p->results);
    free(p->places);
    free(p->bars);
    vx_gpu_found_free(p->found);
    free(p);
    return NULL;
}

/* Room that is left for the results of probes. */
typedef struct top_room {
    vx_neighbour *items;
    vx_topk_place *places;
} top_room;

/* For the k best, of which there can only be `most`. */
static vx_topk take_top(top_room *room, size_t k, size_t most, bool by_group) {
    size_t n_places = by_group ? vx_topk_places(most) : 0;
    vx_topk top = {.items = room->items,
                   .places = room->places,
                   .n_places = n_places,
                   .k = k,
                   .by_group = by_group};
    room->items += most;
    room->places += n_places;
    return top;
}

/* The i-th query of a request, with room for its results. */
static vx_probe probe_of(const vx_index_query *asked, size_t i, const float *query, int dim,
                         top_room *room, _Atomic float *bar) {
    vx_probe probe = {
        .query = query,
        .length = sqrtf(vx_score_dot(query, query, (size_t)dim)) * (1 + 0x1p-20f),
        .bound = asked->min_scores ? asked->min_scores[i] : asked->min_score,
        .max_score = asked->has_max_score ? asked->max_score : INFINITY,
        .not_ids = asked->not_ids,
        .before_id = asked->before_id,
        .shared_bar = bar,
    };
    size_t k = isfinite(probe.length) ? asked->k : 0;
    probe.top = take_top(room, k, asked->k, asked->by_group);
    atomic_init(bar, -INFINITY);
    return probe;
}

static bool can_hold(const vx_probe *probe) {
    return vx_probe_can_hold(probe->top.k, probe->top.by_group, probe->max_score);
}

/* Most results for a query while a part is scanned: of its rows, those that a GPU found in the segment, or those
 * that were held in others. */
static size_t part_results(const vx_pass *p, size_t k) {
    size_t most = p->n_segments ? p->segments[0]->capacity : 0;
    most = most > VX_HELD_MAX_K ? most : VX_HELD_MAX_K;
    return k < most ? k : most;
}

static void fill(vx_pass *p, int dim, const vx_dots_kernel *kernel) {
    size_t i = 0, code_bytes = 4 * vx_codes_groups((size_t)dim);
    top_room room = {p->results, p->places};
    for (vx_index_request *r = p->requests; r; r = r->next) {
        memcpy(p->queries + i * (size_t)dim, r->query.vectors,
               r->query.n * (size_t)dim * sizeof(float));
        for (size_t j = 0; j < r->query.n; j++, i++) {
            const float *query = p->queries + i * (size_t)dim;
            p->probes[i] = probe_of(&r->query, j, query, dim, &room, &p->bars[i]);
            if (kernel)
                vx_codes_query_init(&p->probes[i].coded, query, (size_t)dim, kernel->pair_max,
                                    p->codes + i * code_bytes);
            size_t most = part_results(p, r->query.k);
            p->n_part_results += most;
            p->n_part_places += r->query.by_group ? vx_topk_places(most) : 0;
            p->n_held += can_hold(&p->probes[i]) ? VX_HELD_ROOM(r->query.k) : 0;
        }
    }
}

/* A first pass without codes goes through whole segments. A patient one takes no longer for a part than eight
 * queries do, as another may wait for the thread. */
static void set_parts(vx_pass *p, int dim, bool has_codes) {
    size_t capacity = p->n_segments ? p->segments[0]->capacity : 1;
    size_t shorter = p->requests->query.is_patient ? 1 + p->n / 8 : 1;
    size_t tile_bytes = 4 * vx_codes_groups((size_t)dim) * VX_TILE_ROWS;
    size_t n_tiles = PART_BYTES / shorter / tile_bytes;
    p->part_rows = has_codes ? (n_tiles ? n_tiles : 1) * VX_TILE_ROWS : capacity;
    p->segment_parts = (capacity + p->part_rows - 1) / p->part_rows;
    p->n_parts = p->n_segments * p->segment_parts;
}

vx_pass *vx_pass_new(vx_index_request *requests, int dim, const vx_dots_kernel *kernel,
                     vx_segment *const *segments, size_t n_segments) {
    vx_pass *p = vx_new(vx_pass);
    if (!p)
        return NULL;
    vx_mutex_init(&p->mu);
    p->requests = requests;
    p->selected = requests->selected;
    p->n_segments = n_segments;
    for (vx_index_request *r = requests; r; r = r->next) {
        p->n += r->query.n;
        p->n_results += r->query.n * r->query.k;
        p->n_places += r->query.by_group ? r->query.n * vx_topk_places(r->query.k) : 0;
    }
    p->segments = vx_new_array(n_segments + 1, sizeof(*p->segments));
    p->queries = vx_new_array(p->n, (size_t)dim * sizeof(float));
    p->codes = vx_new_array(p->n, 4 * vx_codes_groups((size_t)dim));
    p->probes = vx_new_array(p->n, sizeof(*p->probes));
    p->results = vx_new_array(p->n_results, sizeof(*p->results));
    p->places = vx_new_array(p->n_places + 1, sizeof(*p->places));
    p->bars = vx_new_array(p->n, sizeof(*p->bars));
    p->lists = vx_new_array(p->n, sizeof(*p->lists));
    p->removals = vx_new_array(n_segments + 1, sizeof(*p->removals));
    if (!p->removals || !p->segments || !p->queries || !p->codes || !p->probes || !p->results ||
        !p->places || !p->bars || !p->lists)
        return vx_pass_free(p);
    if (n_segments)
        memcpy(p->segments, segments, n_segments * sizeof(*segments));
    set_parts(p, dim, kernel != NULL);
    fill(p, dim, kernel);
    return p;
}

static void fail(vx_pass *p, int rc, const vx_err *err) {
    vx_mutex_lock(&p->mu);
    if (!p->rc) {
        p->rc = rc;
        p->err = *err;
    }
    vx_mutex_unlock(&p->mu);
}

/* ---- scan ---- */

static local *new_local(const vx_pass *p) {
    local *l = vx_new(local);
    if (!l)
        return NULL;
    l->probes = vx_new_array(p->n, sizeof(*l->probes));
    l->results = vx_new_array(p->n_part_results, sizeof(*l->results));
    l->places = vx_new_array(p->n_part_places + 1, sizeof(*l->places));
    l->held = vx_new_array(p->n_held + 1, sizeof(*l->held));
    l->scratch = vx_new_array(VX_HELD_ROOM(VX_HELD_MAX_K), sizeof(*l->scratch));
    if (l->probes && l->results && l->places && l->held && l->scratch)
        return l;
    local_free(l);
    return NULL;
}

/* Probes with empty tops. NULL: no memory. */
static local *take_local(vx_pass *p, uint32_t segment) {
    vx_mutex_lock(&p->mu);
    local *l = p->idle;
    p->idle = l ? l->next : NULL;
    vx_mutex_unlock(&p->mu);
    l = l ? l : new_local(p);
    if (!l)
        return NULL;
    vx_mutex_lock(&p->mu);
    memcpy(l->probes, p->probes, p->n * sizeof(*p->probes));
    vx_mutex_unlock(&p->mu);
    memset(l->places, 0, p->n_part_places * sizeof(*l->places));
    top_room left = {l->results, l->places};
    vx_held *held = l->held;
    for (size_t i = 0; i < p->n; i++) {
        vx_probe *probe = &l->probes[i];
        size_t k = probe->top.k, most = part_results(p, k),
               room = can_hold(probe) ? VX_HELD_ROOM(k) : 0;
        probe->segment = segment;
        probe->work = (vx_index_work){0};
        probe->top = take_top(&left, k, most, probe->top.by_group);
        probe->held = room ? held : NULL;
        probe->n_held = 0;
        probe->scratch = l->scratch;
        held += room;
    }
    return l;
}

static void give_back(vx_pass *p, local *l) {
    vx_mutex_lock(&p->mu);
    l->next = p->idle;
    p->idle = l;
    vx_mutex_unlock(&p->mu);
}

static void add_work(vx_index_work *sum, const vx_index_work *more) {
    sum->rows_scanned += more->rows_scanned;
    sum->rows_on_gpu += more->rows_on_gpu;
    sum->rows_rescored += more->rows_rescored;
}

static void add_results(vx_probe *probe, const vx_probe *more) {
    vx_topk *top = &probe->top;
    for (size_t i = 0; i < more->top.n; i++)
        vx_topk_push(top, more->top.items[i]);
    if (more->top.n && top->n == top->k)
        vx_probe_raise_bar(probe, top->items[0].score);
    add_work(&probe->work, &more->work);
}

/* Adds what is held, and can still be a result, to a query's list. 0 or -ENOMEM. */
static int append_held(held_list *list, const vx_held *held, size_t n, const vx_probe *probe) {
    if (list->n + n > list->room) {
        size_t room = 2 * list->room + n;
        vx_held *grown = vx_regrow(list->items, room, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        list->items = grown;
        list->room = room;
    }
    float bar = vx_probe_bar(probe);
    for (size_t i = 0; i < n; i++)
        if (held[i].most >= bar)
            list->items[list->n++] = held[i];
    return 0;
}

/* Drops what cannot be a result by now. */
static int shorten(held_list *list, vx_probe *probe) {
    size_t k = probe->top.k;
    if (list->n < k || list->n <= list->n_kept + LIST_MORE(k))
        return 0;
    VX_AUTO_FREE float *scratch = vx_new_array(list->n, sizeof(*scratch));
    if (!scratch)
        return -ENOMEM;
    float bar = vx_probe_bar(probe);
    list->n = list->n_kept = vx_held_drop(list->items, list->n, k, scratch, &bar);
    vx_probe_raise_bar(probe, bar);
    return 0;
}

/* Scores the rows of a list exactly that can be results, for a probe of the calling thread.
 *   likely_alone  those that probably are; the others stay */
static void settle_list(const vx_pass *p, held_list *list, bool likely_alone, vx_probe *probe) {
    vx_held_order(list->items, list->n);
    while (list->n) {
        float most = list->items[0].most, least = list->items[0].least;
        if ((likely_alone ? (most + least) / 2 : most) < vx_probe_bar(probe))
            break;
        vx_held held = vx_held_take(list->items, &list->n);
        list->lost |= !vx_segment_offer_held(p->segments[held.segment], probe, &held);
    }
    size_t n_left = 0;
    for (size_t i = 0; i < list->n && likely_alone; i++)
        if (list->items[i].most >= vx_probe_bar(probe))
            list->items[n_left++] = list->items[i];
    list->n = list->n_kept = n_left;
}

/* Gives what a probe found to its query. Where the query's list stays long, it is taken out and settled in part first. */
static int merge(vx_pass *p, size_t i, vx_probe *probe) {
    held_list *list = &p->lists[i], mine = {0};
    vx_mutex_lock(&p->mu);
    int rc = append_held(list, probe->held, probe->n_held, probe);
    size_t n_before = list->n;
    if (!rc)
        rc = shorten(list, probe);
    bool is_long =
        list->n > LIST_LONG(probe->top.k) && list->n < n_before; /* after it was shortened */
    bool is_full = list->n > LIST_MAX(probe->top.k);
    if (!rc && (is_long || is_full)) {
        mine = *list;
        *list = (held_list){.lost = mine.lost};
    } else {
        add_results(&p->probes[i], probe);
    }
    vx_mutex_unlock(&p->mu);
    if (!mine.items)
        return rc;
    settle_list(p, &mine, !is_full, probe);
    vx_mutex_lock(&p->mu);
    add_results(&p->probes[i], probe);
    list->lost |= mine.lost;
    rc = append_held(list, mine.items, mine.n, probe);
    list->n_kept = list->n;
    vx_mutex_unlock(&p->mu);
    free(mine.items);
    return rc;
}

void vx_pass_ask(vx_pass *p, vx_gpu *gpu) {
    p->found = vx_gpu_ask(gpu, p->probes, p->n, p->selected);
}

/* Notes whether rows moved since another part of the segment was scanned. */
static void compare_removals(vx_pass *p, size_t segment, uint64_t n) {
    vx_mutex_lock(&p->mu);
    removals *known = &p->removals[segment];
    p->lost |= known->is_known && known->n != n;
    *known = (removals){true, n};
    vx_mutex_unlock(&p->mu);
}

void vx_pass_scan(vx_pass *p, size_t part) {
    vx_err err;
    size_t segment = part / p->segment_parts, first = part % p->segment_parts * p->part_rows;
    uint64_t n_removals = 0;
    int rc = 0;
    local *l = take_local(p, (uint32_t)segment);
    if (!l)
        rc = VX_FAIL(&err, -ENOMEM, "no memory for %zu search results", p->n_results);
    vx_segment_part rows = {
        .first = first, .end = first + p->part_rows, .selected = p->selected, .found = p->found};
    if (!rc)
        rc = vx_segment_scan(p->segments[segment], &rows, l->probes, p->n, &n_removals, &err);
    if (!rc)
        compare_removals(p, segment, n_removals);
    for (size_t i = 0; i < p->n && !rc; i++)
        if (merge(p, i, &l->probes[i]))
            rc = VX_FAIL(&err, -ENOMEM, "no memory for the candidates of a search");
    if (rc)
        fail(p, rc, &err);
    if (l)
        give_back(p, l);
}

/* ---- settle ---- */

/* Searches all segments again, and leaves nothing for later. */
static int search_again(vx_pass *p, vx_probe *probe, vx_err *err) {
    size_t k = probe->top.k, n_places = probe->top.n_places;
    VX_AUTO_FREE vx_neighbour *results = vx_new_array(k, sizeof(*results));
    VX_AUTO_FREE vx_topk_place *places = vx_new_array(n_places + 1, sizeof(*places));
    if (!results || !places)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu search results", k);
    vx_topk_empty(&probe->top);
    atomic_store(probe->shared_bar, -INFINITY); /* rows that are gone may have raised it */
    const vx_segment_part all = {.end = SIZE_MAX, .selected = p->selected, .settle = true};
    uint64_t n_removals;
    int rc = 0;
    for (size_t i = 0; i < p->n_segments && !rc; i++) {
        vx_probe part = *probe;
        part.top.items = results;
        part.top.places = places;
        vx_topk_empty(&part.top);
        part.work = (vx_index_work){0};
        rc = vx_segment_scan(p->segments[i], &all, &part, 1, &n_removals, err);
        add_results(probe, &part);
    }
    return rc;
}

/* Whether a row that the GPU left out could be a result. */
static bool misses_rows(const vx_pass *p, size_t query) {
    const vx_probe *probe = &p->probes[query];
    float bar = p->found ? p->found->bars[query] : -INFINITY;
    bool is_full = probe->top.n == probe->top.k && probe->top.items[0].score >= bar;
    return probe->top.k && !is_full && bar > probe->bound;
}

void vx_pass_settle(vx_pass *p, size_t query) {
    vx_probe *probe = &p->probes[query];
    held_list *list = &p->lists[query];
    vx_err err;
    settle_list(p, list, false, probe);
    int rc = p->lost || list->lost || misses_rows(p, query) ? search_again(p, probe, &err) : 0;
    if (rc)
        fail(p, rc, &err);
}

void vx_pass_answer(vx_pass *p) {
    vx_probe *probe = p->probes;
    for (vx_index_request *r = p->requests; r; r = r->next) {
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
