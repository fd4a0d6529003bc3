#include "score.h"

#include <stdlib.h>
#include <string.h>

typedef float vec4f __attribute__((vector_size(16)));
typedef double vec4d __attribute__((vector_size(32)));

#define LANES 4
#define STEP (4 * LANES)

/* dst += a * b over four floats. A macro, since passing vectors by value depends on the ABI. */
#define ACCUMULATE(dst, a, b)                                                                      \
    do {                                                                                           \
        vec4f fa_, fb_;                                                                            \
        memcpy(&fa_, (a), sizeof(fa_));                                                            \
        memcpy(&fb_, (b), sizeof(fb_));                                                            \
        (dst) += __builtin_convertvector(fa_, vec4d) * __builtin_convertvector(fb_, vec4d);        \
    } while (0)

static inline __attribute__((always_inline)) float dot_body(const float *a, const float *b,
                                                            size_t n) {
    vec4d s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    size_t i = 0;
    for (; i + STEP <= n; i += STEP) {
        ACCUMULATE(s0, a + i, b + i);
        ACCUMULATE(s1, a + i + LANES, b + i + LANES);
        ACCUMULATE(s2, a + i + 2 * LANES, b + i + 2 * LANES);
        ACCUMULATE(s3, a + i + 3 * LANES, b + i + 3 * LANES);
    }
    s0 = (s0 + s1) + (s2 + s3);
    double sum = (s0[0] + s0[1]) + (s0[2] + s0[3]);
    for (; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return (float)sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static float dot_avx2(const float *a, const float *b,
                                                          size_t n) {
    return dot_body(a, b, n);
}
#endif

/* Chosen by hand and not by target_clones: the resolver of an ifunc runs before the sanitizers'
 * runtime is up and crashes there. */
float vx_score_dot(const float *a, const float *b, size_t n) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return dot_avx2(a, b, n);
#endif
    return dot_body(a, b, n);
}

/* ---- where groups are ---- */

#define FEW_ITEMS 64

size_t vx_topk_places(size_t k) {
    size_t n = 4 * FEW_ITEMS;
    while (k > FEW_ITEMS && n < 2 * k)
        n *= 2;
    return k > FEW_ITEMS ? n : 0;
}

static size_t home_of(const vx_topk *top, int64_t group) {
    return ((uint64_t)group * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (top->n_places - 1);
}

/* Of a group, or where it belongs: a free one. */
static vx_topk_place *place_of(const vx_topk *top, int64_t group) {
    size_t at = home_of(top, group);
    while (top->places[at].item && top->places[at].group != group)
        at = (at + 1) & (top->n_places - 1);
    return &top->places[at];
}

/* What stands behind it only because it was taken moves up. */
static void free_place(const vx_topk *top, int64_t group) {
    vx_topk_place *gap = place_of(top, group);
    size_t mask = top->n_places - 1;
    gap->item = 0;
    for (size_t at = (size_t)(gap - top->places + 1) & mask; top->places[at].item;
         at = (at + 1) & mask) {
        size_t away = (at - home_of(top, top->places[at].group)) & mask;
        if (away < ((at - (size_t)(gap - top->places)) & mask))
            continue;
        *gap = top->places[at];
        gap = &top->places[at];
        gap->item = 0;
    }
}

/* ---- the heap ---- */

static void set_item(vx_topk *top, size_t at, vx_neighbour item) {
    top->items[at] = item;
    if (top->n_places)
        *place_of(top, item.group) = (vx_topk_place){item.group, at + 1};
}

/* Restores the heap below `at`: every parent is worse than its children. */
static void sift_down(vx_topk *top, size_t at) {
    vx_neighbour moving = top->items[at];
    for (size_t child; (child = 2 * at + 1) < top->n; at = child) {
        if (child + 1 < top->n && vx_score_better(top->items[child], top->items[child + 1]))
            child++;
        if (!vx_score_better(moving, top->items[child]))
            break;
        set_item(top, at, top->items[child]);
    }
    set_item(top, at, moving);
}

static void sift_up(vx_topk *top, size_t at) {
    vx_neighbour moving = top->items[at];
    for (size_t parent; at > 0; at = parent) {
        parent = (at - 1) / 2;
        if (!vx_score_better(top->items[parent], moving))
            break;
        set_item(top, at, top->items[parent]);
    }
    set_item(top, at, moving);
}

/* The item of a group; top->n: it has none yet. */
static size_t item_of_group(const vx_topk *top, int64_t group) {
    size_t at = 0;
    if (top->n_places) {
        const vx_topk_place *place = place_of(top, group);
        return place->item ? place->item - 1 : top->n;
    }
    while (at < top->n && top->items[at].group != group)
        at++;
    return at;
}

const vx_neighbour *vx_topk_of_group(const vx_topk *top, int64_t group) {
    size_t at = item_of_group(top, group);
    return at < top->n ? &top->items[at] : NULL;
}

void vx_topk_empty(vx_topk *top) {
    top->n = 0;
    if (top->n_places)
        memset(top->places, 0, top->n_places * sizeof *top->places);
}

/* A group that was pushed out is worse than k others, and these only become better: it comes back
 * only with a row that is better still. So the result does not depend on the order of rows. */
void vx_topk_push(vx_topk *top, vx_neighbour candidate) {
    size_t at = top->by_group ? item_of_group(top, candidate.group) : top->n;
    if (at < top->n) {
        if (vx_score_better(candidate, top->items[at])) {
            top->items[at] = candidate;
            sift_down(top, at);
        }
    } else if (top->n < top->k) {
        top->items[top->n++] = candidate;
        sift_up(top, top->n - 1);
    } else if (top->k > 0 && vx_score_better(candidate, top->items[0])) {
        if (top->n_places)
            free_place(top, top->items[0].group);
        top->items[0] = candidate;
        sift_down(top, 0);
    }
}

static int compare_best_first(const void *a, const void *b) {
    vx_neighbour x = *(const vx_neighbour *)a, y = *(const vx_neighbour *)b;
    return vx_score_better(x, y) ? -1 : vx_score_better(y, x);
}

void vx_topk_sort(vx_topk *top) {
    qsort(top->items, top->n, sizeof(*top->items), compare_best_first);
}
