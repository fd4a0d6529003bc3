/* resample.c — the two passes of a resize: across each row, then down the columns.
 *
 * Antialias: 22-bit weights, uint8 between the passes; rows outside the vertical windows are skipped.
 * A sum stays below 2^31: weights sum to 2^22, and the cubic's negative lobes add less than half of
 * that, times 255. Two taps: 11-bit weights; the horizontal sums keep all 19 bits and only the
 * vertical pass rounds, with the shifts of OpenCV's scalar code.
 *
 * A pixel is read as four bytes, so that its three sums share one vector; the fourth lane is unused.
 * Each row is first copied to a buffer four bytes longer, because the last pixel of a borrowed picture
 * may lie at the end of its memory mapping. */
#include "resample.h"

#include <errno.h>
#include <string.h>

#include "base/simd.h"

enum { ANTIALIAS_BITS = 22 };

typedef int32_t vec4 __attribute__((vector_size(16)));
typedef uint8_t byte4 __attribute__((vector_size(4)));

static inline vec4 load_pixel(const uint8_t *p) {
    byte4 bytes;
    memcpy(&bytes, p, sizeof bytes);
    return __builtin_convertvector(bytes, vec4);
}

static inline uint8_t clip8(int32_t sum) {
    int32_t v = sum >> ANTIALIAS_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* row: the padded copy; out: [x->n_out, 3] */
VX_SIMD_CLONES static void across_antialias(const vx_axis *x, const uint8_t *row, uint8_t *out) {
    const int32_t *taps = x->taps;
    for (int o = 0; o < x->n_out; o++, taps += x->n_taps, out += 3) {
        const uint8_t *p = row + 3 * (size_t)x->first[o];
        const int32_t half = 1 << (ANTIALIAS_BITS - 1);
        vec4 sum = {half, half, half, half};
        for (int t = 0; t < x->n_used[o]; t++, p += 3)
            sum += load_pixel(p) * taps[t];
        out[0] = clip8(sum[0]);
        out[1] = clip8(sum[1]);
        out[2] = clip8(sum[2]);
    }
}

/* rows: n_taps rows of n bytes; sums: scratch int32 [n] */
VX_SIMD_CLONES static void down_antialias(const uint8_t *restrict rows, size_t n,
                                          const int32_t *restrict taps, int n_taps,
                                          int32_t *restrict sums, uint8_t *restrict out) {
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        sums[i] = 1 << (ANTIALIAS_BITS - 1);
    for (int t = 0; t < n_taps; t++, rows += n) {
        const int32_t tap = taps[t];
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            sums[i] += rows[i] * tap;
    }
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] = clip8(sums[i]);
}

static void axis_extent(const vx_axis *axis, int *ret_from, int *ret_to) {
    *ret_from = axis->first[0]; /* windows move one way, so the ends bound them all */
    *ret_to = axis->first[axis->n_out - 1] + axis->n_used[axis->n_out - 1];
}

int vx_resample_antialias(const vx_frame *in, const vx_axis *x, const vx_axis *y, uint8_t *ret_rgb,
                          vx_err *err) {
    int from, to;
    axis_extent(y, &from, &to);
    size_t row_bytes = 3 * (size_t)in->width_px, out_bytes = 3 * (size_t)x->n_out, narrow_bytes;
    if (!vx_mul(out_bytes, (size_t)(to - from), &narrow_bytes))
        return VX_FAIL(err, -ENOMEM, "the picture is too large to resize");
    VX_AUTO_FREE uint8_t *row = vx_new_array(row_bytes + 4, 1);
    VX_AUTO_FREE uint8_t *narrow = malloc(narrow_bytes); /* [to - from, x->n_out, 3] */
    VX_AUTO_FREE int32_t *sums = vx_new_array(out_bytes, sizeof *sums);
    if (!row || !narrow || !sums)
        return VX_FAIL(err, -ENOMEM, "out of memory for a resize");
    for (int i = from; i < to; i++) {
        memcpy(row, in->planes[0] + i * in->pitch_bytes[0], row_bytes);
        across_antialias(x, row, narrow + (size_t)(i - from) * out_bytes);
    }
    for (int o = 0; o < y->n_out; o++)
        down_antialias(narrow + (size_t)(y->first[o] - from) * out_bytes, out_bytes,
                       y->taps + (size_t)o * (size_t)y->n_taps, y->n_used[o], sums,
                       ret_rgb + (size_t)o * out_bytes);
    return 0;
}

/* One input row to whole sums, int32 [x->n_out, 3]. */
static void across_two_taps(const vx_axis *x, const uint8_t *row, int32_t *out) {
    for (int o = 0; o < x->n_out; o++, out += 3) {
        const uint8_t *p = row + 3 * (size_t)x->first[o];
        const uint8_t *q = p + 3 * (x->n_used[o] - 1);
        for (int c = 0; c < 3; c++)
            out[c] = p[c] * x->taps[2 * o] + q[c] * x->taps[2 * o + 1];
    }
}

VX_SIMD_CLONES static void down_two_taps(const int32_t *restrict upper,
                                         const int32_t *restrict lower, const int32_t *taps,
                                         size_t n, uint8_t *restrict out) {
    const int32_t a = taps[0], b = taps[1];
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        out[i] =
            (uint8_t)((((a * (upper[i] >> 4)) >> 16) + ((b * (lower[i] >> 4)) >> 16) + 2) >> 2);
}

int vx_resample_two_taps(const vx_frame *in, const vx_axis *x, const vx_axis *y, uint8_t *ret_rgb,
                         vx_err *err) {
    size_t n = 3 * (size_t)x->n_out;
    VX_AUTO_FREE int32_t *sums = vx_new_array(2 * n, sizeof *sums);
    if (!sums)
        return VX_FAIL(err, -ENOMEM, "out of memory for a resize");
    int32_t *slot[2] = {sums, sums + n};
    int row_in_slot[2] = {-1, -1}; /* enlarging reuses a row for several outputs */
    for (int o = 0; o < y->n_out; o++) {
        const int wanted[2] = {y->first[o], y->first[o] + y->n_used[o] - 1};
        const int32_t *line[2];
        for (int k = 0; k < 2; k++) {
            int s =
                wanted[k] & 1; /* neighbours have different parity, so neither evicts the other */
            if (row_in_slot[s] != wanted[k]) {
                across_two_taps(x, in->planes[0] + wanted[k] * in->pitch_bytes[0], slot[s]);
                row_in_slot[s] = wanted[k];
            }
            line[k] = slot[s];
        }
        down_two_taps(line[0], line[1], y->taps + 2 * o, n, ret_rgb + (size_t)o * n);
    }
    return 0;
}
