/* tree.c — from a minimum spanning tree to clusters.
 *
 * Edges, lightest first, join points to a dendrogram. From its top down it is condensed: where it splits
 * into two parts of min_cluster_size or more, two clusters begin; smaller parts fall out of the cluster that
 * they were in. Lambda is 1 / distance; a cluster's stability is the sum over its points of how far lambda
 * rose from its beginning to their end in it. Of a cluster and those below it the more stable are chosen.
 * (Campello, Moulavi and Sander 2013, sections 3 and 4; L. McInnes, J. Healy, J. Astels: hdbscan, JOSS 2017
 * describes the condensed tree.)
 */
#include <errno.h>

#include "cluster_internal.h"

/* Cosines in float32 tell no smaller distances apart; so that copies have a finite lambda. */
#define MIN_DISTANCE 0x1p-11

/* Node i < n is a point; n + i is what edge i joined. */
typedef struct dendrogram {
    const vx_edge *edges;
    size_t n;
    uint32_t *left, *right; /* [n - 1] nodes */
    uint32_t *sizes;        /* [2n - 1] points below a node */
} dendrogram;

typedef struct cluster {
    uint32_t parent; /* of cluster 0: itself */
    double birth, stability;
    bool chosen;
} cluster;

typedef struct task {
    uint32_t node, cluster;
} task;

typedef struct condensed {
    dendrogram d;
    size_t min_size;
    cluster *clusters; /* [n_clusters] parents before children */
    size_t n_clusters;
    uint32_t *cluster_of; /* [n] the one that a point fell out of */
    task *tasks;          /* stack */
    size_t n_tasks;
    uint32_t *nodes; /* [n] stack */
} condensed;

static void condensed_done(condensed *c) {
    free(c->d.left);
    free(c->d.right);
    free(c->d.sizes);
    free(c->clusters);
    free(c->cluster_of);
    free(c->tasks);
    free(c->nodes);
}

/* ---- the dendrogram ---- */

static uint32_t find(uint32_t *parents, uint32_t node) {
    while (parents[node] != node)
        node = parents[node] = parents[parents[node]];
    return node;
}

static int build_dendrogram(dendrogram *d, vx_err *err) {
    size_t n = d->n;
    VX_AUTO_FREE uint32_t *parents = vx_new_array(2 * n, sizeof *parents);
    if (!parents)
        return VX_FAIL(err, -ENOMEM, "no memory for a tree of %zu points", n);
    for (size_t i = 0; i < 2 * n - 1; i++) {
        parents[i] = (uint32_t)i;
        d->sizes[i] = 1;
    }
    for (size_t i = 0; i < n - 1; i++) {
        uint32_t a = find(parents, d->edges[i].a), b = find(parents, d->edges[i].b);
        d->left[i] = a;
        d->right[i] = b;
        parents[a] = parents[b] = (uint32_t)(n + i);
        d->sizes[n + i] = d->sizes[a] + d->sizes[b];
    }
    return 0;
}

/* ---- condensing ---- */

static double lambda_of(float weight) {
    return 1 / ((double)weight > MIN_DISTANCE ? (double)weight : MIN_DISTANCE);
}

static void let_fall(condensed *c, uint32_t node, uint32_t from, double lambda) {
    size_t n_nodes = 0;
    c->clusters[from].stability += (lambda - c->clusters[from].birth) * c->d.sizes[node];
    c->nodes[n_nodes++] = node;
    while (n_nodes) {
        node = c->nodes[--n_nodes];
        if (node < c->d.n) {
            c->cluster_of[node] = from;
            continue;
        }
        c->nodes[n_nodes++] = c->d.left[node - c->d.n];
        c->nodes[n_nodes++] = c->d.right[node - c->d.n];
    }
}

static void begin_cluster(condensed *c, uint32_t node, uint32_t parent, double lambda) {
    c->clusters[parent].stability += (lambda - c->clusters[parent].birth) * c->d.sizes[node];
    c->clusters[c->n_clusters] = (cluster){.parent = parent, .birth = lambda};
    c->tasks[c->n_tasks++] = (task){node, (uint32_t)c->n_clusters++};
}

static void split(condensed *c, task t) {
    size_t i = t.node - c->d.n;
    uint32_t parts[2] = {c->d.left[i], c->d.right[i]};
    double lambda = lambda_of(c->d.edges[i].weight);
    bool large[2] = {c->d.sizes[parts[0]] >= c->min_size, c->d.sizes[parts[1]] >= c->min_size};
    for (int side = 0; side < 2; side++) {
        if (large[0] && large[1])
            begin_cluster(c, parts[side], t.cluster, lambda);
        else if (large[side])
            c->tasks[c->n_tasks++] = (task){parts[side], t.cluster};
        else
            let_fall(c, parts[side], t.cluster, lambda);
    }
}

/* ---- choosing ---- */

/* Children come after their parents, so from the last one on all that is below is known. */
static int choose(condensed *c, vx_err *err) {
    VX_AUTO_FREE double *below = vx_new_array(c->n_clusters, sizeof *below);
    if (!below)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clusters", c->n_clusters);
    for (size_t i = c->n_clusters; i-- > 1;) {
        cluster *k = &c->clusters[i];
        k->chosen = k->stability >= below[i];
        below[k->parent] += k->chosen ? k->stability : below[i];
    }
    return 0;
}

/* The topmost that is chosen counts. A point is in none if nothing above it is chosen. */
static int label(condensed *c, int32_t *ret_labels, size_t *ret_k, vx_err *err) {
    VX_AUTO_FREE int32_t *labels = vx_new_array(c->n_clusters, sizeof *labels);
    if (!labels)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clusters", c->n_clusters);
    size_t k = 0;
    labels[0] = -1;
    for (size_t i = 1; i < c->n_clusters; i++) {
        int32_t above = labels[c->clusters[i].parent];
        labels[i] = above >= 0 || !c->clusters[i].chosen ? above : (int32_t)k++;
    }
    for (size_t i = 0; i < c->d.n; i++)
        ret_labels[i] = labels[c->cluster_of[i]];
    *ret_k = k;
    return 0;
}

int vx_tree_clusters(const vx_edge *edges, size_t n, size_t min_cluster_size, int32_t *ret_labels,
                     size_t *ret_k, vx_err *err) {
    __attribute__((cleanup(condensed_done)))
    condensed c = {.d = {.edges = edges, .n = n}, .min_size = min_cluster_size};
    c.d.left = vx_new_array(n, sizeof *c.d.left);
    c.d.right = vx_new_array(n, sizeof *c.d.right);
    c.d.sizes = vx_new_array(2 * n, sizeof *c.d.sizes);
    c.clusters = vx_new_array(n + 1, sizeof *c.clusters);
    c.cluster_of = vx_new_array(n, sizeof *c.cluster_of);
    c.tasks = vx_new_array(n + 1, sizeof *c.tasks);
    c.nodes = vx_new_array(n + 1, sizeof *c.nodes);
    if (!c.d.left || !c.d.right || !c.d.sizes || !c.clusters || !c.cluster_of || !c.tasks ||
        !c.nodes)
        return VX_FAIL(err, -ENOMEM, "no memory for a tree of %zu points", n);
    c.n_clusters = 1;
    int rc = build_dendrogram(&c.d, err);
    if (!rc && n > 1)
        c.tasks[c.n_tasks++] = (task){(uint32_t)(2 * n - 2), 0};
    while (!rc && c.n_tasks)
        split(&c, c.tasks[--c.n_tasks]);
    if (!rc)
        rc = choose(&c, err);
    return rc ? rc : label(&c, ret_labels, ret_k, err);
}
