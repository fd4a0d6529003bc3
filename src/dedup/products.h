/* products.h — which products of a block of rows with many others reach a bar (private to dedup/).
 *
 * The products come from BLAS, a block of rows times a chunk of others at a time, as float32. Their
 * rounding depends on the library and the processor, so they only say which pairs to look at: a pair whose
 * product comes within the slack of the bar is scored again by vx_index_dot, and that score decides. So
 * the answer is exact, and the same for every number of threads.
 *
 * Threads: an object belongs to one thread at a time; it starts its own for each tile.
 */
#pragma once

#include "dedup.h"

enum {
    VX_PRODUCTS_ROWS = VX_DEDUP_BLOCK, /* rows of a block */
    VX_PRODUCTS_CHUNK = 512,           /* others whose hits come in one call */
};

typedef struct vx_products vx_products;

/* threads: 0 = one per core. */
int vx_products_new(size_t dim, int threads, vx_products **ret_products, vx_err *err);
vx_products *vx_products_free(vx_products *products);
VX_DEFINE_AUTO(vx_products, vx_products_free)

typedef struct vx_products_job { /* borrows all, for the call */
    const float *block;          /* float32 [n_block, dim] */
    size_t n_block;              /* up to VX_PRODUCTS_ROWS */
    const vx_dedup_rows *others;
    size_t from;     /* and only from this one on, a multiple of VX_PRODUCTS_CHUNK */
    size_t n_others; /* the first so many of them */
    size_t first;    /* row i of the block meets only others below first + i */
    const float
        *bars; /* float32 [n_block]: the least score of a hit of each row; read before each tile */
    bool best_only;       /* of each tile, only hits that may be a row's best */
    vx_dedup_wants wants; /* rows are those of the block; NULL: every hit */
    vx_dedup_on_hits
        on_hits; /* on the caller's thread, after each tile; rows are those of the block */
    void *ctx;
} vx_products_job;

/* Hits come by tile of others, rising, and in a tile by chunk, then by row of the block. Non-zero of
 * on_hits or others->read ends it and is returned. */
int vx_products_find(vx_products *products, const vx_products_job *job, vx_err *err);

/* How far a float32 product of unit vectors may lie from the exact score, whatever the order of its sum. */
float vx_products_slack(size_t dim);
