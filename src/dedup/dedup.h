/* dedup.h — near-duplicates among many vectors, found by comparing every pair exactly.
 *
 *   vx_dedup_compare    a block of rows with all rows before it: every pair that reaches a threshold. Block
 *                       after block, that is all pairs; from row n on, all pairs of the rows that came since
 *   vx_dedup_all_pairs  which rows to keep: in rank order, best first, a row is kept unless its cosine
 *                       with a row kept before it is at least the threshold. So every duplicate names
 *                       a kept row that is that close to it
 *
 * Both depend on the vectors and their order alone: not on row ids, and not on the number of threads.
 * (verdict/ answers another question: what one new video is to the stored ones; duplicates/ asks that
 * of all stored videos, and finds its pairs here.)
 *
 * Scores   as a search of index/ gives them. Rows with infinite or NaN numbers match nothing
 * Errs     VX_DEDUP_STOPPED (> 0); -ENOMEM, and what reading rows returns
 * Threads  a call is one thread's; it starts others, which end before it returns
 * Memory   a block, and for each thread 4 MiB and two chunks of 512 rows; hits of a tile (the products of
 *          2048 rows with 2048 others for each thread) at 24 bytes, up to 100 MiB a thread where all match
 *          On a GPU 2 bytes a number of all rows, and for one chunk of pairs 8 MiB here
 * Cost     n * n / 2 * dim multiplications; figures: tests/bench/README.md
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "index/index.h"
#include "torch/pair_scan.h"

#define VX_DEDUP_STOPPED VX_CODES_DEDUP /* go_on returned false */
#define VX_DEDUP_BLOCK 2048             /* most rows of a block */

/* Rows of float32 [n, dim], unit vectors: in memory, or read when they are needed. */
typedef struct vx_dedup_rows {
    size_t n, dim;
    const float *vectors; /* borrows [n, dim]; or NULL, and read: */
    /* Copies rows [first, first + n); a row that is not there any more is NaN. Called by several threads
     * at once. Non-zero ends the comparison. */
    int (*read)(void *ctx, size_t first, size_t n, float *ret_vectors, vx_err *err);
    void *ctx;
} vx_dedup_rows;

/* Rows of an index, which may be searched and changed meanwhile. */
typedef struct vx_dedup_indexed {
    vx_index *index;    /* borrows; is only read */
    const int64_t *ids; /* borrows [n]; one may appear twice */
    size_t n;
} vx_dedup_indexed;
/* indexed: borrows, as long as the rows are used. */
vx_dedup_rows vx_dedup_rows_of_index(const vx_dedup_indexed *indexed);

/* ---- pairs (pairs.c) ---- */

typedef struct vx_dedup_hit {
    size_t row, other; /* other < row */
    float score;       /* cosine */
} vx_dedup_hit;
/* On the caller's thread, in an order that depends on the rows alone; for one row, others rise from call
 * to call and in each. Non-zero ends the comparison and is returned. */
typedef int (*vx_dedup_on_hits)(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err);

/* Whether the caller wants a hit of this row and other if its score is no greater than `score`; else it is left out. Of
 * very many rows that are all alike most hits say nothing new, and scoring them costs more than finding them. Called by
 * several threads at once, but never beside on_hits. */
typedef bool (*vx_dedup_wants)(void *ctx, size_t row, size_t other, float score);

typedef struct vx_dedup vx_dedup;
/* threads: 0 = one per core. Copies the struct rows; borrows what it points to until free. */
int vx_dedup_new(const vx_dedup_rows *rows, float threshold, int threads, vx_dedup **ret_dedup,
                 vx_err *err);
vx_dedup *vx_dedup_free(vx_dedup *dedup);
VX_DEFINE_AUTO(vx_dedup, vx_dedup_free)
/* Compares rows [first, first + n), n <= VX_DEDUP_BLOCK, with all rows before each.
 *   wants  NULL: every hit; with a GPU it may be given hits that wants refuses */
int vx_dedup_compare(vx_dedup *dedup, size_t first, size_t n, vx_dedup_wants wants,
                     vx_dedup_on_hits on_hits, void *ctx, vx_err *err);

/* The device, so that tests can bring one of their own: torch/pair_scan.h's functions, and its memory. */
typedef struct vx_dedup_device {
    int (*memory)(const char *device, int64_t *ret_free_bytes, int64_t *ret_total_bytes,
                  vx_err *err);
    int (*open)(const char *device, size_t n_rows, size_t dim, vx_pair_scan **ret_scan,
                vx_err *err);
    vx_pair_scan *(*free)(vx_pair_scan *scan);
    int (*put)(vx_pair_scan *scan, size_t first, size_t n, const float *rows, vx_err *err);
    int (*run)(vx_pair_scan *scan, const vx_pair_scan_run_params *params, vx_pair_found *ret_found,
               size_t *ret_n, vx_err *err);
} vx_dedup_device;

typedef struct vx_dedup_gpu {
    const char *device; /* "cuda:N"; borrows, for the call */
    size_t first;       /* rows before it are only compared with */
    int64_t
        min_pairs; /* fewer are compared by the processors; 0: 10^9, which take two cores some seconds;
                           -1: all are for the GPU */
    const vx_dedup_device *functions; /* borrows, until free; NULL: CUDA's */
} vx_dedup_gpu;
/* Copies the rows to a GPU, which from here on finds the pairs that vx_dedup_compare scores: the same hits in the same
 * order. Where too many rows are alike for it, and for good once the device fails, the processors do it, which the
 * log says. False: they do it from the beginning, as the pairs are few, or the device has no room, which the log says
 * too. Reads all rows. */
bool vx_dedup_use_gpu(vx_dedup *dedup, const vx_dedup_gpu *gpu);

/* The products alone, as BLAS (sgemm) rounds them: float32 [n_a, n_b], of a [n_a, dim] and b [n_b, dim]. On
 * the calling thread. For measuring what the rest costs. */
void vx_dedup_products(const float *a, size_t n_a, const float *b, size_t n_b, size_t dim,
                       float *ret_products);

/* ---- which rows to keep (keep.c) ---- */

typedef struct vx_dedup_params {
    const vx_dedup_rows *rows; /* borrows; in rank order */
    float threshold;           /* cosine, 0..1: this close to a kept row is a duplicate */
    int threads;               /* 0 = one per core */
    bool (*go_on)(void *ctx, size_t n_done,
                  size_t n); /* after each block, on the caller's thread; false
                                                          stops. NULL = never */
    void *ctx;
} vx_dedup_params;

/* The nearest row that was kept before this one. */
typedef struct vx_dedup_match {
    size_t of;   /* its rank; the row's own rank = there is none */
    float score; /* cosine, at most 1; 0 when there is none */
    bool is_duplicate;
} vx_dedup_match;

/* Compares all pairs.
 *   ret_matches  the caller's [n], in rank order; undefined unless 0 is returned */
int vx_dedup_all_pairs(const vx_dedup_params *params, vx_dedup_match *ret_matches, vx_err *err);
