/* dedup.h — near-duplicates among many vectors, found by comparing every pair exactly.
 *
 * The caller ranks the rows, best first. In that order a row is kept unless its cosine with a row
 * kept before it is at least the threshold. So every duplicate names a kept row that is that close
 * to it, and the answer depends on the vectors and their ranks alone: not on row ids, and not on
 * the number of threads.
 *
 * (verdict/ answers another question: what one new video is to the stored ones.)
 *
 * In       an index and row ids in rank order; a row id may appear twice
 * Out      one match a row, in rank order
 * Errs     VX_DEDUP_STOPPED (> 0); -ENOMEM, -EIO (FAISS's own text)
 * Threads  one call uses the search threads of the indexes that it creates; the source index may be
 *          searched and changed meanwhile: a row that is no longer there matches nothing
 * Memory   memory_bytes for copies of kept vectors, 1280 vectors more, 2 MiB, and one bit a row
 * Cost     rows kept * rows * dim multiplications
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "index/index.h"

#define VX_DEDUP_STOPPED 900 /* go_on returned false */

typedef struct vx_dedup_params {
    vx_index *source;    /* borrows; is only read */
    const int64_t *rows; /* borrows [n]: row ids of the index, in rank order */
    size_t n;
    float threshold;      /* cosine, 0..1: this close to a kept row is a duplicate */
    int64_t memory_bytes; /* for copies of kept vectors; 0 = 1 GiB. Beyond it they are copied again
                             for each block of rows, which costs about a fifth more time */
    bool (*go_on)(void *ctx, size_t n_done, size_t n); /* after each 256 rows, on the caller's
                                                          thread; false stops. NULL = never */
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
