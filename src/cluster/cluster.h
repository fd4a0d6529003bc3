/* cluster.h — groups of similar vectors: spherical k-means, density-based clusters, and what a person
 * wants to know of them (names, outliers, drift, a picture in two dimensions).
 *
 * In       float32 [n, dim] unit vectors, in an order that the caller keeps the same: results depend on
 *          the vectors, their order and the seed alone, and not on the number of threads
 * Out      a vx_clustering; cluster 0 is the largest
 * Errs     VX_CLUSTER_STOPPED, VX_CLUSTER_TOO_MANY (> 0); -ENOMEM, -EINVAL, -EIO (FAISS's own text)
 * Threads  any; each call starts `threads` threads of its own
 *
 * k-means uses the exact search of index/ for its assignments, and not FAISS's own Clustering: that one
 * cannot be stopped or watched, takes its threads from OpenMP and BLAS, whose sums change with their
 * number, and multiplies all in float32. index/ compares 8-bit codes first and then scores exactly, which
 * takes a quarter of the time (tests/bench/README.md) and gives the same clusters on every machine.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define VX_CLUSTER_STOPPED VX_CODES_CLUSTER        /* go_on returned false */
#define VX_CLUSTER_TOO_MANY (VX_CODES_CLUSTER + 1) /* more rows or clusters than it takes */

#define VX_CLUSTER_MAX_K 4096
#define VX_CLUSTER_MAX_ITERATIONS 1000
#define VX_CLUSTER_MAX_RESTARTS 100
#define VX_CLUSTER_MAX_NEIGHBOURS 256 /* min_samples of density */
/* By density, every point is compared with all others a few times: minutes for so many. */
#define VX_CLUSTER_MAX_DENSITY_ROWS 200000

/* Vectors, and who watches over the work. */
typedef struct vx_cluster_input {
    const float *vectors; /* borrows float32 [n, dim], unit length */
    size_t n;             /* from 1 */
    int dim;
    int threads; /* 0 = one per core */
    /* NULL, or told from time to time, on the calling thread, how far the work is; false stops it. */
    bool (*go_on)(void *ctx, int64_t done, int64_t total);
    void *ctx;
} vx_cluster_input;

typedef struct vx_clustering {
    size_t n, k;      /* k: clusters, each with a member */
    int32_t *labels;  /* [n] 0..k-1; -1: in no cluster. All of these are owned */
    float *scores;    /* [n] cosine with the centroid of its cluster, or with the nearest one */
    uint8_t *outlier; /* [n] in no cluster, or far from the others of its cluster */
    float *centroids; /* [k, dim] directions of the means, unit length */
    int64_t *sizes;   /* [k], falling */
    double mean_score;
    int iterations; /* k-means: of the restart that was best */
    bool converged; /* k-means: nothing changed any more */
    char why[512];  /* how k came about, a sentence */
} vx_clustering;
vx_clustering *vx_clustering_free(vx_clustering *clustering);
VX_DEFINE_AUTO(vx_clustering, vx_clustering_free)

/* ---- spherical k-means (kmeans.c; I. Dhillon, D. Modha: Concept Decompositions for Large Sparse Text
 * Data Using Clustering, Machine Learning 42, 2001) ---- */

typedef struct vx_kmeans_params {
    int k;     /* 1..VX_CLUSTER_MAX_K; 0 = choose. With fewer different vectors there are fewer */
    int max_k; /* to choose from 2 to this; 0 = 256. At most n / 2 */
    int iterations; /* at most; 0 = 50 */
    int restarts;   /* the best of so many; 0 = 3 */
    uint64_t seed;
} vx_kmeans_params;

/* Memory: 40 bytes a row beside the vectors, 12 bytes for each number of a centroid.
 * Cost: n · k · dim products an iteration and restart, mostly of 8-bit numbers. */
int vx_kmeans_run(const vx_cluster_input *input, const vx_kmeans_params *params,
                  vx_clustering **ret_clustering, vx_err *err);

/* The cluster of further rows: the centroid with the highest cosine, of equal ones the first.
 *   ret_labels, ret_scores  [n] */
int vx_cluster_assign(const vx_cluster_input *input, const float *centroids, size_t k,
                      int32_t *ret_labels, float *ret_scores, vx_err *err);

/* ---- by density (density.c, tree.c; R. Campello, D. Moulavi, J. Sander: Density-Based Clustering Based on
 * Hierarchical Density Estimates, PAKDD 2013, known as HDBSCAN) ---- */

typedef struct vx_density_params {
    int min_cluster_size; /* from 2; 0 = 5 */
    int min_samples;      /* neighbours that make a point dense, 1..VX_CLUSTER_MAX_NEIGHBOURS; 0 =
                             min_cluster_size */
} vx_density_params;

/* Distances are Euclidean, of unit vectors. Clusters are those of the greatest stability ("excess of mass"),
 * never all points at once. VX_CLUSTER_TOO_MANY: n > VX_CLUSTER_MAX_DENSITY_ROWS, or more
 * than VX_CLUSTER_MAX_K clusters.
 * Memory: a second copy of the vectors with codes, and 16 · (min_samples + 16) + 100 bytes a row. */
int vx_density_run(const vx_cluster_input *input, const vx_density_params *params,
                   vx_clustering **ret_clustering, vx_err *err);

/* ---- what is in them (describe.c) ---- */

/* The two directions in which the vectors differ most (principal components).
 *   ret_points  float32 [n, 2]
 *   ret_share   [2] of the variance that each has, 0..1
 * Directions come from at most 8192 of the rows. No t-SNE or UMAP beside it: in Debian these are packages of
 * Python and R only, and maintained C++ code (umappp) is fetched from GitHub with five other libraries, which a
 * machine without a network cannot do. `vidx export` gives the vectors to such a program. */
int vx_cluster_project(const vx_cluster_input *input, float *ret_points, double ret_share[2],
                       vx_err *err);

/* The concept nearest to each centroid, compared by how they differ from the mean of all concepts: vectors
 * of texts lie in a corner of their own, where one general concept would be nearest to everything.
 *   texts      borrows float32 [n_texts, dim], n_texts > 0
 *   ret_best    [k, n_best] numbers of concepts, the nearest first; n_best <= n_texts
 *   ret_cosine  [k, n_best] of centroid and concept as they are */
int vx_cluster_name(const float *centroids, size_t k, const float *texts, size_t n_texts, int dim,
                    size_t n_best, int32_t *ret_best, float *ret_cosine, vx_err *err);
/* For names, where nobody gives concepts: common things, places and doings in videos. NULL behind the last one. */
extern const char *const vx_cluster_concepts[];

/* Adjusted Rand index (L. Hubert, P. Arabie: Comparing Partitions, 1985) of two labellings of the same n
 * things: 1 the same, about 0 unrelated. -1 counts as a label like any other. */
int vx_cluster_agreement(const int32_t *a, const int32_t *b, size_t n, double *ret_index,
                         vx_err *err);

/* For each of k centroids the nearest of k_before others, of the same space: each of those is given to one
 * alone, the closest pairs first. ret_before [k]: its number, -1 = none is left; ret_cosine [k].
 *   go_on  NULL, or asked for every centroid; false stops it */
int vx_cluster_match(const float *centroids, size_t k, const float *before, size_t k_before,
                     int dim, bool (*go_on)(void *ctx), void *ctx, int32_t *ret_before,
                     float *ret_cosine, vx_err *err);
