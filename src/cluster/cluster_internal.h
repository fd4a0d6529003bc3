/* cluster_internal.h — what the files of src/cluster share. */
#pragma once

#include "base/atomic.h"
#include "cluster.h"
#include "index/index.h"

/* work.c: n pieces of work, done by the input's threads in any order. The calling thread watches and tells
 * go_on: with `done` from `first` to first + n, of `total`. piece returns 0 or why all must end.
 * Returns that, or VX_CLUSTER_STOPPED. */
typedef int (*vx_cluster_piece)(void *ctx, size_t i, vx_err *err);
typedef struct vx_cluster_work {
    vx_cluster_piece piece;
    void *ctx;
    size_t n;
    int64_t first, total;
} vx_cluster_work;
int vx_cluster_do(const vx_cluster_input *input, const vx_cluster_work *work, vx_err *err);

/* Pseudo-random numbers, the same on every machine: splitmix64 (S. Vigna, public domain). */
typedef struct vx_random {
    uint64_t state;
} vx_random;
uint64_t vx_random_next(vx_random *random);
uint64_t vx_random_below(vx_random *random, uint64_t n); /* 0..n-1, n > 0 */
double vx_random_unit(vx_random *random);                /* 0 <= x < 1 */
/* m of the numbers 0..n-1, rising; m <= n. */
void vx_random_sample(vx_random *random, size_t n, size_t m, uint32_t *ret);

/* Inner product of float32 [n], summed in one order whatever the processor. */
float vx_cluster_dot(const float *a, const float *b, size_t n);
/* Makes a vector a unit vector; false: it has no direction. */
bool vx_cluster_normalize(const double *sum, int dim, float *ret);

/* assign.c: the k nearest centroids of each row (k 1 or 2), through an index of the centroids.
 *   floors  [n] a score that some centroid reaches; NULL = not known
 *   ret     [n, k] ids are the numbers of centroids; *work tells where this stands in the whole */
int vx_cluster_nearest(const vx_cluster_input *input, const float *centroids, size_t n_centroids,
                       size_t k, const float *floors, vx_neighbour *ret,
                       const vx_cluster_work *work, vx_err *err);

/* finish.c: from labels to a whole clustering: drops empty clusters, orders them by size, then by their first
 * row; computes centroids (unless they are given), scores and outliers. Takes labels, and centroids (NULL:
 * to be computed), also on failure. */
int vx_cluster_finish(const vx_cluster_input *input, int32_t *labels, size_t k, float *centroids,
                      vx_clustering **ret_clustering, vx_err *err);

/* tree.c: clusters from the edges of a minimum spanning tree of n points, sorted by weight.
 *   ret_labels  [n]; *ret_k */
typedef struct vx_edge {
    uint32_t a, b;
    float weight;
} vx_edge;
int vx_tree_clusters(const vx_edge *edges, size_t n, size_t min_cluster_size, int32_t *ret_labels,
                     size_t *ret_k, vx_err *err);
