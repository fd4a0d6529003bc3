#include "luma.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/simd.h"

void vx_luma_clear(vx_luma *luma) {
    free(luma->pixels);
    *luma = (vx_luma){0};
}

int vx_luma_new(int w_px, int h_px, vx_luma *ret_luma, vx_err *err) {
    *ret_luma = (vx_luma){vx_new_array((size_t)w_px * (size_t)h_px, 1), w_px, h_px};
    return ret_luma->pixels ? 0 : VX_FAIL(err, -ENOMEM, "no memory for a small picture");
}

void vx_luma_fit(int *w_px, int *h_px, int max_side_px) {
    int longer = *w_px > *h_px ? *w_px : *h_px;
    double factor = fmin(2, (double)max_side_px / longer);
    *w_px = (int)fmax(1, nearbyint(*w_px * factor));
    *h_px = (int)fmax(1, nearbyint(*h_px * factor));
}

VX_SIMD_CLONES
static void add_weighted(uint32_t *restrict sum, const uint8_t *restrict row, int n,
                         uint32_t weight) {
#pragma omp simd
    for (int x = 0; x < n; x++)
        sum[x] += weight * row[x];
}

/* Sums of an output row's input rows to one row of means. The pixel i of n_in covers [i n_out, (i + 1) n_out)
 * on a common axis, the output o covers [o n_in, (o + 1) n_in). */
static void reduce_row(const uint32_t *sum, int n_in, uint8_t *out, int n_out, uint64_t total) {
    for (int o = 0; o < n_out; o++) {
        uint64_t value = 0;
        int64_t from = (int64_t)o * n_in, to = from + n_in;
        for (int i = (int)(from / n_out); (int64_t)i * n_out < to; i++) {
            int64_t left = (int64_t)i * n_out, right = left + n_out;
            left = left < from ? from : left;
            right = right > to ? to : right;
            value += (uint64_t)(right - left) * sum[i];
        }
        out[o] =
            (uint8_t)((double)(value + total / 2) / (double)total); /* exact: both are below 2^53 */
    }
}

int vx_luma_reduce(const vx_frame *gray, int w_px, int h_px, vx_luma *ret_luma, vx_err *err) {
    int w_in = gray->width_px, h_in = gray->height_px;
    VX_AUTO_FREE uint32_t *sum = vx_new_array((size_t)w_in, sizeof *sum);
    int rc = sum ? vx_luma_new(w_px, h_px, ret_luma, err)
                 : VX_FAIL(err, -ENOMEM, "no memory to reduce a picture");
    if (rc)
        return rc;
    for (int o = 0; o < h_px; o++) {
        int64_t from = (int64_t)o * h_in, to = from + h_in;
        memset(sum, 0, (size_t)w_in * sizeof *sum);
        for (int i = (int)(from / h_px); (int64_t)i * h_px < to; i++) {
            int64_t top = (int64_t)i * h_px, bottom = top + h_px;
            top = top < from ? from : top;
            bottom = bottom > to ? to : bottom;
            add_weighted(sum, gray->planes[0] + i * gray->pitch_bytes[0], w_in,
                         (uint32_t)(bottom - top));
        }
        reduce_row(sum, w_in, ret_luma->pixels + (size_t)o * (size_t)w_px, w_px,
                   (uint64_t)w_in * (uint64_t)h_in);
    }
    return 0;
}

/* Where the centre of an output pixel lies between two input pixels, in 256ths. */
static void between(int o, int n_out, int n_in, int *ret_first, int *ret_second, int *ret_share) {
    int64_t at = ((2 * o + 1) * (int64_t)n_in * 128) / n_out - 128;
    at = at < 0 ? 0 : at;
    *ret_first = (int)(at >> 8);
    *ret_second = *ret_first + 1 < n_in ? *ret_first + 1 : *ret_first;
    *ret_share = (int)(at & 255);
}

int vx_luma_enlarge(const vx_frame *gray, int w_px, int h_px, vx_luma *ret_luma, vx_err *err) {
    int rc = vx_luma_new(w_px, h_px, ret_luma, err);
    for (int y = 0; y < h_px && !rc; y++) {
        int top, below, down, left, right, across;
        between(y, h_px, gray->height_px, &top, &below, &down);
        const uint8_t *p = gray->planes[0] + top * gray->pitch_bytes[0];
        const uint8_t *q = gray->planes[0] + below * gray->pitch_bytes[0];
        for (int x = 0; x < w_px; x++) {
            between(x, w_px, gray->width_px, &left, &right, &across);
            int above = p[left] * (256 - across) + p[right] * across;
            int under = q[left] * (256 - across) + q[right] * across;
            ret_luma->pixels[y * w_px + x] =
                (uint8_t)((above * (256 - down) + under * down + 32768) >> 16);
        }
    }
    return rc;
}

/* exp(-i²/8) for i = 0..3, so scaled that the seven weights sum to 256. */
static const int SMOOTH[4] = {56, 49, 33, 18};

static int reflect(int i, int n) {
    if (n == 1)
        return 0;
    while (i < 0 || i >= n)
        i = i < 0 ? -i : 2 * n - 2 - i;
    return i;
}

VX_SIMD_CLONES
static void blur_down(const vx_luma *in, int y, uint16_t *restrict out) {
    const uint8_t *row[7];
    for (int k = 0; k < 7; k++)
        row[k] = in->pixels + (size_t)reflect(y + k - 3, in->h_px) * (size_t)in->w_px;
#pragma omp simd
    for (int x = 0; x < in->w_px; x++)
        out[x] =
            (uint16_t)(SMOOTH[0] * row[3][x] + SMOOTH[1] * (row[2][x] + row[4][x]) +
                       SMOOTH[2] * (row[1][x] + row[5][x]) + SMOOTH[3] * (row[0][x] + row[6][x]));
}

/* padded: uint16 [3 + n + 3] */
VX_SIMD_CLONES
static void blur_across(const uint16_t *restrict padded, int n, uint8_t *restrict out) {
    const uint16_t *p = padded + 3;
#pragma omp simd
    for (int x = 0; x < n; x++) {
        int sum = SMOOTH[0] * p[x] + SMOOTH[1] * (p[x - 1] + p[x + 1]) +
                  SMOOTH[2] * (p[x - 2] + p[x + 2]) + SMOOTH[3] * (p[x - 3] + p[x + 3]);
        out[x] = (uint8_t)((sum + 32768) >> 16);
    }
}

int vx_luma_smooth(const vx_luma *luma, vx_luma *ret_luma, vx_err *err) {
    int w = luma->w_px;
    VX_AUTO_FREE uint16_t *padded = vx_new_array((size_t)w + 6, sizeof *padded);
    int rc = padded ? vx_luma_new(w, luma->h_px, ret_luma, err)
                    : VX_FAIL(err, -ENOMEM, "no memory to smooth a picture");
    for (int y = 0; y < luma->h_px && !rc; y++) {
        blur_down(luma, y, padded + 3);
        for (int i = 0; i < 3; i++) {
            padded[2 - i] = padded[3 + reflect(-1 - i, w)];
            padded[3 + w + i] = padded[3 + reflect(w + i, w)];
        }
        blur_across(padded, w, ret_luma->pixels + (size_t)y * (size_t)w);
    }
    return rc;
}

void vx_luma_mirror(vx_luma *luma) {
    for (int y = 0; y < luma->h_px; y++) {
        uint8_t *row = luma->pixels + (size_t)y * (size_t)luma->w_px;
        for (int a = 0, b = luma->w_px - 1; a < b; a++, b--) {
            uint8_t left = row[a];
            row[a] = row[b];
            row[b] = left;
        }
    }
}
