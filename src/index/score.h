/* score.h — the one score every search path reports, and the k best of it (private to index/).
 *
 * FAISS computes the same inner product in different orders on its scalar, SIMD and BLAS paths, so
 * its float32 results differ in the last digits and ties come out in any order. Here the sum is
 * kept in double: products of two floats are exact there, so the result does not depend on the
 * instruction set (with or without FMA) and rounds to the same float32 on every machine.
 * Threads: any; no state.
 */
#pragma once

#include <stddef.h>

#include "neighbour.h"

/* Inner product of float32 [n] a and b. */
float vx_score_dot(const float *a, const float *b, size_t n);

/* Best first: higher score, then smaller id. */
static inline bool vx_score_better(vx_neighbour a, vx_neighbour b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}

/* Where the item of a group is: its number + 1; 0: a free place. */
typedef struct vx_topk_place {
    int64_t group;
    size_t item;
} vx_topk_place;

/* The k best of what was pushed: a heap with the worst kept entry at items[0]. by_group: the best of
 * each group alone, of the k best groups. */
typedef struct vx_topk {
    vx_neighbour *items; /* borrows room for k */
    vx_topk_place
        *places;     /* borrows [n_places], all free at first: of the items' groups, by hash */
    size_t n_places; /* vx_topk_places(), if by_group */
    size_t k;
    size_t n;
    bool by_group;
} vx_topk;

/* A power of two; 0 for so small a k that to look at all items is as fast. */
size_t vx_topk_places(size_t k);

/* Nothing was pushed. */
void vx_topk_empty(vx_topk *top);
void vx_topk_push(vx_topk *top, vx_neighbour candidate);
/* by_group: the best of that group so far; NULL: it is not among the k best. */
const vx_neighbour *vx_topk_of_group(const vx_topk *top, int64_t group);
/* Orders items best first; afterwards only reading is allowed. */
void vx_topk_sort(vx_topk *top);
