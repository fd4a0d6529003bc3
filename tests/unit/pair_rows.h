/* pair_rows.h: all pairs of rows that are hard to tell from others, by the processors and by a GPU: the same hits in
 * the same order. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dedup/dedup.h"

typedef struct hit_list {
    vx_dedup_hit *items;
    size_t n, capacity;
} hit_list;

static int note_hits(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err) {
    hit_list *list = ctx;
    for (size_t i = 0; i < n; i++) {
        if (!vx_make_room(list->items, list->n, list->capacity))
            return VX_FAIL(err, -1, "no memory");
        list->items[list->n++] = hits[i];
    }
    return 0;
}

static uint32_t next_random(uint32_t *seed) {
    return *seed = *seed * 1664525 + 1013904223;
}

/* Units near `centres` random ones, at distances so that many cosines lie around 0.9, and some within 10^-4 of it. */
static float *rows_near(size_t n, size_t dim, size_t centres) {
    float *rows = vx_new_array(n * dim, sizeof *rows);
    uint32_t seed = 7;
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * dim, spread = 0.2f + 0.4f * (float)(i % 7) / 7;
        double square = 0;
        for (size_t d = 0; d < dim; d++) {
            uint32_t centre = (uint32_t)(i % centres * dim + d) * 2654435761u;
            centre ^= centre >> 15;
            row[d] = (float)(centre * 2246822519u >> 8) / (1 << 24) - 0.5f;
            row[d] += ((float)(next_random(&seed) >> 8) / (1 << 24) - 0.5f) * spread;
            row[d] *= d % 3 ? 1 : 1e-3f; /* small numbers lose no digits */
            square += (double)row[d] * (double)row[d];
        }
        for (size_t d = 0; d < dim; d++)
            row[d] /= (float)sqrt(square);
    }
    return rows;
}

/* gpu NULL: the processors. Rows from `first` on, in blocks of odd sizes. */
static hit_list find_hits(const vx_dedup_rows *rows, float bar, size_t first,
                          const vx_dedup_gpu *gpu, bool is_used) {
    VX_AUTO(vx_dedup) dedup = NULL;
    hit_list list = {0};
    vx_err err;
    if (vx_dedup_new(rows, bar, 2, &dedup, &err))
        fail_msg("%s", err.msg);
    if (gpu)
        assert_int_equal(vx_dedup_use_gpu(dedup, gpu), is_used);
    for (size_t n; first < rows->n; first += n) {
        n = rows->n - first < 1900 ? rows->n - first : 1900;
        if (vx_dedup_compare(dedup, first, n, NULL, note_hits, &list, &err))
            fail_msg("%s", err.msg);
    }
    return list;
}

static size_t check_same_hits(const vx_dedup_rows *rows, float bar, size_t first,
                              const vx_dedup_gpu *gpu, bool is_used) {
    hit_list wanted = find_hits(rows, bar, first, NULL, false);
    hit_list found = find_hits(rows, bar, first, gpu, is_used);
    assert_int_equal(found.n, wanted.n);
    for (size_t i = 0; i < found.n; i++)
        assert_true(found.items[i].row == wanted.items[i].row &&
                    found.items[i].other == wanted.items[i].other &&
                    found.items[i].score == wanted.items[i].score);
    free(wanted.items);
    free(found.items);
    return found.n;
}

/* Dimensions that fill steps and that do not; rows that fill tiles and that do not. */
static void check_shapes(const vx_dedup_gpu *gpu) {
    static const struct {
        size_t n, dim, centres, first;
        float bar;
    } shapes[] = {
        {1, 8, 1, 0, 0.9f},         {129, 1, 7, 0, 0.9f},      {700, 3, 60, 0, 0.99f},
        {5000, 24, 1500, 0, 0.9f},  {1100, 256, 300, 0, 0.9f}, {1100, 256, 300, 623, 0.9f},
        {500, 1280, 100, 0, 0.95f}, {150, 8192, 30, 0, 0.9f},  {2100, 64, 2100, 0, 0.2f}};
    size_t n_hits = 0;
    for (size_t i = 0; i < VX_LEN(shapes); i++) {
        float *vectors = rows_near(shapes[i].n, shapes[i].dim, shapes[i].centres);
        const vx_dedup_rows rows = {.n = shapes[i].n, .dim = shapes[i].dim, .vectors = vectors};
        n_hits += check_same_hits(&rows, shapes[i].bar, shapes[i].first, gpu, true);
        free(vectors);
    }
    assert_true(n_hits > 1000);
}

/* Each score of a sample once as the bar: the pair is there, and with the next number above it is not. */
static void check_bars(const vx_dedup_gpu *gpu) {
    float *vectors = rows_near(200, 48, 40);
    for (size_t i = 41; i < 200; i += 10) {
        float bar = vx_index_dot(vectors + i * 48, vectors + (i - 40) * 48, 48);
        const vx_dedup_rows rows = {.n = 200, .dim = 48, .vectors = vectors};
        size_t on = check_same_hits(&rows, bar, 0, gpu, true);
        assert_true(check_same_hits(&rows, nextafterf(bar, 2), 0, gpu, true) < on);
    }
    free(vectors);
}

static void check_no_numbers(const vx_dedup_gpu *gpu) {
    float *vectors = rows_near(300, 40, 20);
    for (size_t d = 0; d < 40; d++) {
        vectors[17 * 40 + d] = NAN;
        vectors[60 * 40 + d] = d % 2 ? NAN : INFINITY;
        vectors[100 * 40 + d] = INFINITY;
        vectors[150 * 40 + d] = 0;
    }
    const vx_dedup_rows rows = {.n = 300, .dim = 40, .vectors = vectors};
    assert_true(check_same_hits(&rows, 0.9f, 0, gpu, true) > 0);
    free(vectors);
}
