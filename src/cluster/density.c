/* density.c — the minimum spanning tree behind density-based clusters.
 *
 * A point's core distance is that to its min_samples-th neighbour; the weight of a pair, its mutual
 * reachability, is the largest of its distance and both core distances. All pairs count, and the tree is
 * exact, by Boruvka's method: every component of the tree so far takes its lightest edge to another one.
 *
 *   neighbours  the nearest of each point, once, by the exact search of index/
 *   a round     for each component the lightest edge that its points' neighbours offer. Points that
 *               could have a lighter one to a point that is not among their neighbours (`least` says
 *               so) search outside their component for what is nearer than that edge. The largest
 *               component only waits for the others' edges: it would have to search the most
 *
 * `least` of a point is a weight that no edge from it to another component is below. It only rises, as
 * components only grow.
 *
 * Pieces of work are fixed lists of points and are merged in their order, and of equal edges the one with
 * the smaller numbers counts, so the result does not depend on threads.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cluster_internal.h"

enum {
    PIECE = 256,       /* points that are searched together */
    MORE = 16,         /* neighbours beyond min_samples */
    SMALL = 64,        /* members of a component that are left out one by one */
    FIRST_SEARCH = 8,  /* neighbours outside; then four times as many */
    AT_ONCE = 1 << 18, /* neighbours that a thread holds: 4 MB, whatever the number of points */
    DEFAULT_SIZE = 5,
};

typedef struct piece {
    uint32_t component; /* root */
    size_t first, n;    /* points in `open` */
} piece;

typedef struct forest {
    const vx_cluster_input *input;
    vx_index *index;
    size_t n, dim, n_near; /* n_near: neighbours of each point */
    uint32_t *near;        /* [n, n_near] nearest first */
    float *near_distances; /* [n, n_near] */
    float *core, *least;   /* [n] */
    uint32_t *roots;       /* [n] union-find */
    uint32_t *component;   /* [n] root of each point, in this round */
    uint32_t *counts;      /* [n] members of a component, by root */
    vx_edge *best;         /* [n] of a component, by root; weight INFINITY: none yet */
    vx_edge *found;        /* [n] of a point, by searching outside */
    int64_t *members;      /* [n] points by component, rising in each */
    size_t *starts;        /* [n + 1] where those of a root begin */
    uint32_t *open;        /* [n_open] points that must search, by component */
    size_t n_open;
    piece *pieces;
    size_t n_pieces, pieces_capacity;
    vx_edge *edges; /* [n_edges] of the tree */
    size_t n_edges;
} forest;

static void forest_done(forest *f) {
    void *blocks[] = {f->near,      f->near_distances, f->core,   f->least, f->roots,
                      f->component, f->counts,         f->best,   f->found, f->members,
                      f->starts,    f->open,           f->pieces, f->edges};
    for (size_t i = 0; i < VX_LEN(blocks); i++)
        free(blocks[i]);
    vx_index_free(f->index);
}

static float distance_of(float score) {
    return sqrtf(fmaxf(0, 2 - 2 * score));
}

/* The lowest score of what is not farther than this, a little less for rounding. */
static float score_of(float distance) {
    return 1 - distance * distance / 2 - 1e-6F;
}

static float weight_of(const forest *f, uint32_t a, uint32_t b, float distance) {
    return fmaxf(distance, fmaxf(f->core[a], f->core[b]));
}

static vx_edge edge_of(uint32_t a, uint32_t b, float weight) {
    return a < b ? (vx_edge){a, b, weight} : (vx_edge){b, a, weight};
}

static int compare_edges(const void *a, const void *b) {
    const vx_edge *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    if (x->a != y->a)
        return x->a < y->a ? -1 : 1;
    return (x->b > y->b) - (x->b < y->b);
}

static void improve(vx_edge *best, vx_edge edge) {
    if (compare_edges(&edge, best) < 0)
        *best = edge;
}

/* ---- neighbours ---- */

static int find_near(void *ctx, size_t i, vx_err *err) {
    forest *f = ctx;
    size_t first = i * PIECE, n = f->n - first < PIECE ? f->n - first : PIECE, k = f->n_near + 1;
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(n, k * sizeof *found);
    VX_AUTO_FREE size_t *counts = vx_new_array(n, sizeof *counts);
    if (!found || !counts)
        return VX_FAIL(err, -ENOMEM, "no memory for neighbours");
    const vx_index_query query = {.vectors = f->input->vectors + first * f->dim,
                                  .n = n,
                                  .k = k,
                                  .min_score = -2,
                                  .on_caller = true};
    int rc = vx_index_search(f->index, &query, found, counts, NULL, err);
    for (size_t row = 0; row < n && !rc; row++) {
        if (counts[row] < k)
            return VX_FAIL(err, -EINVAL, "vector %zu is no unit vector", first + row);
        size_t n_near = 0, at = (first + row) * f->n_near;
        for (size_t j = 0; j < k && n_near < f->n_near; j++) {
            const vx_neighbour *other = &found[row * k + j];
            if ((size_t)other->id == first + row)
                continue; /* itself; copies of it may have taken its place */
            f->near[at + n_near] = (uint32_t)other->id;
            f->near_distances[at + n_near++] = distance_of(other->score);
        }
    }
    return rc;
}

/* ---- a round ---- */

static uint32_t find(uint32_t *roots, uint32_t point) {
    while (roots[point] != point)
        point = roots[point] = roots[roots[point]];
    return point;
}

/* The members of each component; returns the root of the largest. */
static uint32_t sort_members(forest *f) {
    uint32_t largest = 0;
    memset(f->counts, 0, f->n * sizeof *f->counts);
    for (uint32_t i = 0; i < f->n; i++)
        f->counts[f->component[i] = find(f->roots, i)]++;
    f->starts[0] = 0;
    for (uint32_t i = 0; i < f->n; i++) {
        f->starts[i + 1] = f->starts[i] + f->counts[i];
        largest = f->counts[i] > f->counts[largest] ? i : largest;
        f->counts[i] = 0;
    }
    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t root = f->component[i];
        f->members[f->starts[root] + f->counts[root]++] = i;
    }
    return largest;
}

static void offer_neighbours(forest *f) {
    for (uint32_t i = 0; i < f->n; i++)
        f->best[i].weight = INFINITY;
    for (uint32_t i = 0; i < f->n; i++)
        for (size_t j = 0; j < f->n_near; j++) {
            uint32_t other = f->near[i * f->n_near + j];
            float distance = f->near_distances[i * f->n_near + j];
            vx_edge *best = &f->best[f->component[i]];
            if (distance > best->weight)
                break;
            if (f->component[other] != f->component[i])
                improve(best, edge_of(i, other, weight_of(f, i, other, distance)));
        }
}

/* Which points have to look beyond their neighbours. */
static int list_open(forest *f, uint32_t largest, vx_err *err) {
    f->n_open = f->n_pieces = 0;
    for (uint32_t root = 0; root < f->n; root++) {
        if (root == largest || f->starts[root] == f->starts[root + 1])
            continue;
        size_t first = f->n_open;
        for (size_t m = f->starts[root]; m < f->starts[root + 1]; m++)
            if (f->least[f->members[m]] < f->best[root].weight)
                f->open[f->n_open++] = (uint32_t)f->members[m];
        for (; first < f->n_open; first += PIECE) {
            if (!vx_make_room(f->pieces, f->n_pieces, f->pieces_capacity))
                return VX_FAIL(err, -ENOMEM, "no memory for %zu pieces", f->n_pieces);
            size_t left = f->n_open - first;
            f->pieces[f->n_pieces++] = (piece){root, first, left < PIECE ? left : PIECE};
        }
    }
    return 0;
}

/* The points outside a component, or those of a small one. */
static vx_idset *outside(const forest *f, uint32_t root) {
    size_t n = f->n - (f->starts[root + 1] - f->starts[root]);
    VX_AUTO(vx_idset) set = vx_new(vx_idset);
    int64_t *ids = vx_new_array(n + 1, sizeof *ids);
    if (!set || !ids) {
        free(ids);
        return NULL;
    }
    *set = (vx_idset){.ids = ids, .capacity = n + 1};
    for (uint32_t i = 0; i < f->n; i++)
        if (f->component[i] != root)
            ids[set->n++] = i;
    return vx_take(set);
}

/* The k nearest outside of some points that are still open; those whose lightest edge is not certain yet
 * are moved to `left`, which may be `open`. */
static int search_outside(forest *f, vx_index_query *query, const uint32_t *open, size_t n_open,
                          size_t k, vx_edge *best, uint32_t *left, size_t *n_left, vx_err *err) {
    VX_AUTO_FREE float *vectors = vx_new_array(n_open, f->dim * sizeof *vectors);
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(n_open, k * sizeof *found);
    VX_AUTO_FREE size_t *counts = vx_new_array(n_open, sizeof *counts);
    if (!vectors || !found || !counts)
        return VX_FAIL(err, -ENOMEM, "no memory for neighbours");
    for (size_t i = 0; i < n_open; i++)
        memcpy(vectors + i * f->dim, f->input->vectors + open[i] * f->dim,
               f->dim * sizeof *vectors);
    query->vectors = vectors;
    query->n = n_open;
    query->k = k;
    query->min_score = isfinite(best->weight) ? score_of(best->weight) : -2;
    int rc = vx_index_search(f->index, query, found, counts, NULL, err);
    for (size_t i = 0; i < n_open && !rc; i++) {
        uint32_t point = open[i];
        float farthest = 0;
        for (size_t j = 0; j < counts[i]; j++) {
            uint32_t other = (uint32_t)found[i * k + j].id;
            farthest = distance_of(found[i * k + j].score);
            improve(&f->found[point], edge_of(point, other, weight_of(f, point, other, farthest)));
        }
        improve(best, f->found[point]);
        if (counts[i] == k && farthest < f->found[point].weight && farthest < best->weight)
            left[(*n_left)++] = point; /* a nearer core may lie behind the k nearest */
        else
            f->least[point] = fminf(f->found[point].weight, best->weight);
    }
    return rc;
}

/* All that are still open, as many at once as AT_ONCE allows. */
static int search_open(forest *f, vx_index_query *query, uint32_t *open, size_t *n_open, size_t k,
                       vx_edge *best, vx_err *err) {
    size_t at_once = AT_ONCE / k ? AT_ONCE / k : 1, n_left = 0, n;
    int rc = 0;
    for (size_t i = 0; i < *n_open && !rc; i += n) {
        n = *n_open - i < at_once ? *n_open - i : at_once;
        rc = search_outside(f, query, open + i, n, k, best, open, &n_left, err);
    }
    *n_open = n_left;
    return rc;
}

static int search_piece(void *ctx, size_t i, vx_err *err) {
    forest *f = ctx;
    const piece *p = &f->pieces[i];
    size_t n_members = f->starts[p->component + 1] - f->starts[p->component], n_open = p->n;
    vx_idset own = {.ids = f->members + f->starts[p->component], .n = n_members};
    VX_AUTO(vx_idset) others = n_members > SMALL ? outside(f, p->component) : NULL;
    if (n_members > SMALL && !others)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu points", f->n);
    vx_index_query query = {.groups = others, .not_ids = others ? NULL : &own, .on_caller = true};
    vx_edge best = f->best[p->component];
    uint32_t open[PIECE];
    memcpy(open, f->open + p->first, p->n * sizeof *open);
    for (size_t j = 0; j < p->n; j++)
        f->found[open[j]].weight = INFINITY;
    int rc = 0;
    for (size_t k = FIRST_SEARCH; n_open && !rc; k *= 4)
        rc = search_open(f, &query, open, &n_open, k < f->n ? k : f->n, &best, err);
    return rc;
}

/* Adds the lightest edge of every component but the largest. */
static void join(forest *f, uint32_t largest) {
    for (size_t i = 0; i < f->n_open; i++)
        improve(&f->best[f->component[f->open[i]]], f->found[f->open[i]]);
    for (uint32_t root = 0; root < f->n; root++) {
        vx_edge edge = f->best[root];
        if (root == largest || f->component[root] != root || !isfinite(edge.weight))
            continue;
        uint32_t a = find(f->roots, edge.a), b = find(f->roots, edge.b);
        if (a == b) /* the other one chose it, too */
            continue;
        f->roots[a > b ? a : b] = a < b ? a : b;
        f->edges[f->n_edges++] = edge;
    }
}

static int grow(forest *f, vx_err *err) {
    int64_t first = (int64_t)((f->n + PIECE - 1) / PIECE);
    while (f->n_edges < f->n - 1) {
        size_t before = f->n_edges;
        uint32_t largest = sort_members(f);
        offer_neighbours(f);
        int rc = list_open(f, largest, err);
        vx_cluster_work work = {.piece = search_piece,
                                .ctx = f,
                                .n = f->n_pieces,
                                .first = first,
                                .total = first + (int64_t)f->n_pieces};
        if (!rc)
            rc = vx_cluster_do(f->input, &work, err);
        if (rc)
            return rc;
        first = work.total;
        join(f, largest);
        if (f->n_edges == before)
            return VX_FAIL(err, -EINVAL, "some of %zu vectors are no unit vectors", f->n);
    }
    qsort(f->edges, f->n_edges, sizeof *f->edges, compare_edges);
    return 0;
}

/* ---- all ---- */

static int forest_init(forest *f, const vx_cluster_input *input, size_t min_samples, vx_err *err) {
    size_t n = input->n;
    *f = (forest){.input = input, .n = n, .dim = (size_t)input->dim};
    f->n_near = min_samples + MORE < n - 1 ? min_samples + MORE : n - 1;
    f->near = vx_new_array(n, f->n_near * sizeof *f->near);
    f->near_distances = vx_new_array(n, f->n_near * sizeof *f->near_distances);
    f->core = vx_new_array(n, sizeof *f->core);
    f->least = vx_new_array(n, sizeof *f->least);
    f->roots = vx_new_array(n, sizeof *f->roots);
    f->component = vx_new_array(n, sizeof *f->component);
    f->counts = vx_new_array(n, sizeof *f->counts);
    f->best = vx_new_array(n, sizeof *f->best);
    f->found = vx_new_array(n, sizeof *f->found);
    f->members = vx_new_array(n, sizeof *f->members);
    f->starts = vx_new_array(n + 1, sizeof *f->starts);
    f->open = vx_new_array(n, sizeof *f->open);
    f->edges = vx_new_array(n, sizeof *f->edges);
    if (!f->near || !f->near_distances || !f->core || !f->least || !f->roots || !f->component ||
        !f->counts || !f->best || !f->found || !f->members || !f->starts || !f->open || !f->edges)
        return VX_FAIL(err, -ENOMEM, "no memory for a tree of %zu points", n);
    for (size_t i = 0; i < n; i++) {
        f->roots[i] = (uint32_t)i;
        f->members[i] = (int64_t)i;
    }
    const vx_index_params params = {.dim = input->dim, .threads = 1};
    int rc = vx_index_new(&params, &f->index, err);
    return rc ? rc : vx_index_add(f->index, f->members, NULL, input->vectors, n, err);
}

static int span(forest *f, const vx_cluster_input *input, size_t min_samples, vx_err *err) {
    int rc = forest_init(f, input, min_samples, err);
    int64_t n_pieces = (int64_t)((f->n + PIECE - 1) / PIECE);
    const vx_cluster_work work = {
        .piece = find_near, .ctx = f, .n = (size_t)n_pieces, .total = 2 * n_pieces};
    if (!rc)
        rc = vx_cluster_do(input, &work, err);
    for (size_t i = 0; i < f->n && !rc; i++) {
        const float *distances = f->near_distances + i * f->n_near;
        f->core[i] = distances[(min_samples < f->n_near ? min_samples : f->n_near) - 1];
        f->least[i] = fmaxf(f->core[i], distances[f->n_near - 1]);
    }
    return rc ? rc : grow(f, err);
}

static int check(const vx_cluster_input *input, const vx_density_params *p, vx_err *err) {
    if (p->min_cluster_size == 1 || p->min_cluster_size < 0 || p->min_samples < 0 ||
        p->min_samples > VX_CLUSTER_MAX_NEIGHBOURS || !input->n)
        return VX_FAIL(err, -EINVAL, "clusters of %d with %d samples are not possible",
                       p->min_cluster_size, p->min_samples);
    if (input->n > VX_CLUSTER_MAX_DENSITY_ROWS)
        return VX_FAIL(err, VX_CLUSTER_TOO_MANY,
                       "%zu clips are too many for clusters by density, which take up to %d: use "
                       "k-means, or a filter",
                       input->n, VX_CLUSTER_MAX_DENSITY_ROWS);
    return 0;
}

int vx_density_run(const vx_cluster_input *input, const vx_density_params *p,
                   vx_clustering **ret_clustering, vx_err *err) {
    int rc = check(input, p, err);
    if (rc)
        return rc;
    size_t n = input->n, k = 0;
    size_t size = p->min_cluster_size ? (size_t)p->min_cluster_size : DEFAULT_SIZE;
    size_t samples = p->min_samples ? (size_t)p->min_samples : size;
    samples = samples < VX_CLUSTER_MAX_NEIGHBOURS ? samples : VX_CLUSTER_MAX_NEIGHBOURS;
    int32_t *labels = vx_new_array(n, sizeof *labels);
    if (!labels)
        return VX_FAIL(err, -ENOMEM, "no memory for the labels of %zu vectors", n);
    for (size_t i = 0; i < n; i++)
        labels[i] = -1;
    if (n > 1) {
        __attribute__((cleanup(forest_done))) forest f = {0};
        rc = span(&f, input, samples, err);
        if (!rc)
            rc = vx_tree_clusters(f.edges, n, size, labels, &k, err);
        if (!rc && k > VX_CLUSTER_MAX_K)
            rc = VX_FAIL(err, VX_CLUSTER_TOO_MANY,
                         "there are %zu clusters of at least %zu clips, and a clustering has at "
                         "most %d: raise min_cluster_size",
                         k, size, VX_CLUSTER_MAX_K);
    }
    if (rc) {
        free(labels);
        return rc;
    }
    VX_AUTO(vx_clustering) c = NULL;
    rc = vx_cluster_finish(input, labels, k, NULL, &c, err);
    if (rc)
        return rc;
    size_t n_in = 0;
    for (size_t i = 0; i < c->k; i++)
        n_in += (size_t)c->sizes[i];
    c->converged = true;
    snprintf(
        c->why, sizeof c->why,
        "%zu clusters of at least %zu clips are dense enough (%zu neighbours); %zu of %zu clips "
        "are in none",
        c->k, size, samples, n - n_in, n);
    *ret_clustering = vx_take(c);
    return 0;
}
