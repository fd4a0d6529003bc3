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

/* Restores the heap below `at`: every parent is worse than its children. */
static void sift_down(vx_topk *top, size_t at) {
    vx_neighbour moving = top->items[at];
    for (size_t child; (child = 2 * at + 1) < top->n; at = child) {
        if (child + 1 < top->n && vx_score_better(top->items[child], top->items[child + 1]))
            child++;
        if (!vx_score_better(moving, top->items[child]))
            break;
        top->items[at] = top->items[child];
    }
    top->items[at] = moving;
}

static void sift_up(vx_topk *top, size_t at) {
    vx_neighbour moving = top->items[at];
    for (size_t parent; at > 0; at = parent) {
        parent = (at - 1) / 2;
        if (!vx_score_better(top->items[parent], moving))
            break;
        top->items[at] = top->items[parent];
    }
    top->items[at] = moving;
}

/* The place of the candidate's group; top->n: it has none yet. A plain look at all: there are few, and
 * most rows never come here. */
static size_t place_of_group(const vx_topk *top, int64_t group) {
    size_t at = 0;
    while (at < top->n && top->items[at].group != group)
        at++;
    return at;
}

const vx_neighbour *vx_topk_of_group(const vx_topk *top, int64_t group) {
    size_t at = place_of_group(top, group);
    return at < top->n ? &top->items[at] : NULL;
}

/* A group that was pushed out is worse than k others, and these only become better: it comes back
 * only with a row that is better still. So the result does not depend on the order of rows. */
void vx_topk_push(vx_topk *top, vx_neighbour candidate) {
    size_t at = top->by_group ? place_of_group(top, candidate.group) : top->n;
    if (at < top->n) {
        if (vx_score_better(candidate, top->items[at])) {
            top->items[at] = candidate;
            sift_down(top, at);
        }
    } else if (top->n < top->k) {
        top->items[top->n++] = candidate;
        sift_up(top, top->n - 1);
    } else if (top->k > 0 && vx_score_better(candidate, top->items[0])) {
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
