/* dots.h — integer inner products of 8-bit codes: the inner loop of the first pass (private to index/).
 *
 * Rows lie in tiles of 64, ordered as the processor's instructions for four 8-bit products want it:
 *
 *   tile    uint8 [groups, 64, 4]: four neighbouring numbers of row 0, of row 1, ...; each is the
 *           row's code (-127..127) + 128
 *   query   int8 [groups, 4]: -127..127, and two of them within the kernel's pair_max
 *   groups  numbers of a row / 4, rounded up; the rest of the last four is 0 in the query
 *
 * A kernel is a set of these functions for one kind of processor. All kernels give the same bits;
 * tests/unit/test_index_codes.c compares each that runs on the machine with the plain one.
 * Threads: any; no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VX_TILE_ROWS 64
#define VX_ANY_PAIR (2 * 127) /* no limit of a kernel's pair_max */

/* What of a score does not depend on the row: see codes.h. */
typedef struct vx_dots_bar {
    int32_t offset; /* 128 times the sum of the query's codes */
    float scale;    /* of the query */
    float norm;     /* that a row's error is multiplied by */
    float at_least;
} vx_dots_bar;

/* Keeps a product as it was rounded: on processors where compilers join it with a sum, the kernels would
 * differ in the last bit. */
static inline float vx_dots_rounded(float product) {
#if defined(__aarch64__)
    __asm__("" : "+w"(product));
#endif
    return product;
}

/* What the codes say a row scores. */
static inline float vx_dots_score(int32_t dot, float scale, const vx_dots_bar *bar) {
    return vx_dots_rounded((float)(dot - bar->offset) * scale * bar->scale);
}

/* One row of reach(), below, rounded as there. */
static inline bool vx_dots_reaches(int32_t dot, float scale, float error, const vx_dots_bar *bar) {
    float lost = vx_dots_rounded(error * bar->norm);
    return !(vx_dots_score(dot, scale, bar) + lost < bar->at_least);
}

typedef struct vx_dots_kernel {
    const char *name;
    int pair_max; /* of a query: |code| at an even place + |code| at the next */
    /* The inner products of a tile with each query. Within int32 up to 66,000 numbers a row.
     *   queries  int8 [n, groups, 4]
     *   ret      int32 [n, 64] */
    void (*tile)(const uint8_t *tile, size_t groups, const int8_t *queries, size_t n, int32_t *ret);
    /* Bit i is 0 where (dots[i] - offset) · scales[i] · scale + errors[i] · norm < at_least, in
     * float32; so it is 1 for NaN.
     *   dots, scales, errors  [64] */
    uint64_t (*reach)(const int32_t *dots, const float *scales, const float *errors,
                      const vx_dots_bar *bar);
} vx_dots_kernel;

/* Those that this processor can run, best first; the last is the plain one. NULL behind it. */
const vx_dots_kernel *vx_dots_kernel_at(size_t i);
