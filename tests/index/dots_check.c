/* Compares every kernel of index/dots.h that runs on this machine with the plain one, bit by bit. Without any
 * library, so that test_arm.py can run it under an emulator. Prints the name of the best kernel. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index/dots.h"

static uint64_t state = 50;

static uint64_t next(void) {
    state += 0x9e3779b97f4a7c15u;
    uint64_t x = state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static float any_float(void) {
    const float odd[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -3e38f};
    return next() % 9 ? (float)((double)(next() >> 11) * 0x1p-52 - 1) : odd[next() % 7];
}

static void need(int holds, const char *what) {
    if (!holds) {
        printf("%s differ\n", what);
        exit(1);
    }
}

/* extreme: the greatest sums that there can be. */
static void compare(const vx_dots_kernel *kernel, const vx_dots_kernel *plain, size_t groups,
                    size_t n, int extreme) {
    uint8_t *tile = aligned_alloc(64, groups * VX_TILE_ROWS * 4);
    int8_t *queries = malloc(n * groups * 4);
    int32_t *want = malloc(n * VX_TILE_ROWS * sizeof *want);
    int32_t *got = malloc(n * VX_TILE_ROWS * sizeof *got);
    for (size_t i = 0; i < groups * VX_TILE_ROWS * 4; i++)
        tile[i] = (uint8_t)(extreme ? 255 : next());
    for (size_t i = 0; i < n * groups * 4; i++) {
        int left = i % 2 ? kernel->pair_max - abs(queries[i - 1]) : kernel->pair_max;
        int max = left < 127 ? left : 127;
        queries[i] = (int8_t)(extreme ? -max : (int)(next() % (unsigned)(2 * max + 1)) - max);
    }
    plain->tile(tile, groups, queries, n, want);
    kernel->tile(tile, groups, queries, n, got);
    need(!memcmp(want, got, n * VX_TILE_ROWS * sizeof *want), "products");
    for (int round = 0; round < 20; round++) {
        float scales[VX_TILE_ROWS], errors[VX_TILE_ROWS];
        for (int i = 0; i < VX_TILE_ROWS; i++) {
            scales[i] = any_float();
            errors[i] = any_float();
        }
        vx_dots_bar bar = {want[0], any_float(), any_float(), any_float()};
        need(plain->reach(want, scales, errors, &bar) == kernel->reach(want, scales, errors, &bar),
             "rows that reach the bar");
    }
    free(tile);
    free(queries);
    free(want);
    free(got);
}

int main(void) {
    const size_t groups[] = {1, 2, 16, 64, 321, 2048}, ns[] = {1, 2, 3, 4, 5, 33};
    size_t n_kernels = 0;
    while (vx_dots_kernel_at(n_kernels))
        n_kernels++;
    for (size_t k = 0; k + 1 < n_kernels; k++)
        for (size_t i = 0; i < 36; i++)
            compare(vx_dots_kernel_at(k), vx_dots_kernel_at(n_kernels - 1), groups[i / 6],
                    ns[i % 6], i % 3 == 0);
    puts(vx_dots_kernel_at(0)->name);
    return 0;
}
