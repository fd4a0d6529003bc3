/* pixel_math.h — from a decoded YUV picture to model input, one value at a time: the arithmetic that the
 * CPU twin (prepare.c) and the kernels (prepare.cu) share, so that both give the same bits.
 * Private to src/preprocess; read by a C and a CUDA C++ compiler, so plain data and integers only.
 *
 *   across  a row of the picture, upright → RGB by the stream's matrix and range → the horizontal
 *           weights of resample.h → uint8 [w_out, 3]
 *   down    the vertical weights over these rows → uint8 → a table of normalised values
 *   two taps (VX_RESIZE_BILINEAR)   both at once: four pixels make a value
 *
 * Colour follows src/media/yuv.c to the bit, for all depths: 16 fractional bits, chroma interpolated
 * linearly between its samples, which lie on every second luma column and half-way between two rows.
 */
#pragma once

#include "frame/samples.h"

enum { VX_PIXEL_TAP_BITS = 22 };

/* One axis of the resize, as offsets into the plan's `ints`. */
typedef struct vx_prepare_axis {
    int n_out, n_taps;
    int first, n_used, taps; /* of int32 [n_out], [n_out], [n_out, n_taps] */
} vx_prepare_axis;

/* One picture: where it lies and where it goes. Pointers are of the memory that the code runs in. */
typedef struct vx_prepare_picture {
    vx_samples s;
    const uint8_t *chroma; /* 4:2:0, Cb and Cr interleaved */
    ptrdiff_t chroma_pitch;
    vx_yuv_weights k;
    vx_prepare_axis x_axis, y_axis;
    int from, to;  /* upright rows that the vertical weights use */
    size_t narrow; /* offset of uint8 [to - from, w_out, 3] in the scratch memory */
    int two_taps;  /* no scratch memory */
    void *place;   /* float32 or bfloat16 [3, h_out, w_out] */
} vx_prepare_picture;

/* Cb (which 0) or Cr (1) minus zero, times 4, in column i of the chroma plane at luma row y. */
VX_BOTH int vx_pixel_chroma_column(const vx_prepare_picture *p, int i, int y, int which) {
    int rows = (p->s.h + 1) / 2, columns = (p->s.w + 1) / 2;
    int row = y / 2, other = row + (y % 2 ? 1 : -1);
    other = other < 0 ? 0 : other >= rows ? rows - 1 : other;
    int at = 2 * (i >= columns ? columns - 1 : i) + which;
    const uint8_t *samples = p->chroma + row * p->chroma_pitch;
    const uint8_t *others = p->chroma + other * p->chroma_pitch;
    return 3 * vx_sample(samples, at, p->s.sample_bytes, p->s.low_bits) +
           vx_sample(others, at, p->s.sample_bytes, p->s.low_bits) - 4 * p->k.zero;
}

/* At stored pixel (x, y), times VX_YUV_CHROMA_SCALE. */
VX_BOTH int vx_pixel_chroma(const vx_prepare_picture *p, int x, int y, int which) {
    int near_column = vx_pixel_chroma_column(p, x / 2, y, which);
    return near_column + (x % 2 ? vx_pixel_chroma_column(p, x / 2 + 1, y, which) : near_column);
}

VX_BOTH int vx_pixel_byte(int value) {
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* Pixel (x, y) of the upright picture. */
VX_BOTH void vx_pixel_rgb(const vx_prepare_picture *p, int x, int y, int rgb[3]) {
    int sx, sy;
    vx_samples_find(&p->s, x, y, &sx, &sy);
    int code = vx_samples_luma(&p->s, sx, sy);
    const vx_yuv_weights *k = &p->k;
    int luma = k->y * (code - k->black) + (1 << (VX_YUV_FRACTION_BITS - 1));
    int cb = vx_pixel_chroma(p, sx, sy, 0), cr = vx_pixel_chroma(p, sx, sy, 1);
    rgb[0] = vx_pixel_byte((luma + k->r_cr * cr) >> VX_YUV_FRACTION_BITS);
    rgb[1] = vx_pixel_byte((luma + k->g_cb * cb + k->g_cr * cr) >> VX_YUV_FRACTION_BITS);
    rgb[2] = vx_pixel_byte((luma + k->b_cb * cb) >> VX_YUV_FRACTION_BITS);
}

/* Value o of an upright row, from its pixels uint8 [n, 3] beginning at pixel `from`, into out uint8 [3]. */
VX_BOTH void vx_pixel_across(const vx_prepare_picture *p, const int32_t *ints, const uint8_t *row,
                             int from, int o, uint8_t *out) {
    const vx_prepare_axis *axis = &p->x_axis;
    const int32_t *taps = ints + axis->taps + o * axis->n_taps;
    const uint8_t *in = row + 3 * (ints[axis->first + o] - from);
    int sum[3];
    for (int c = 0; c < 3; c++)
        sum[c] = 1 << (VX_PIXEL_TAP_BITS - 1);
    for (int t = 0; t < ints[axis->n_used + o]; t++)
        for (int c = 0; c < 3; c++)
            sum[c] += in[3 * t + c] * taps[t];
    for (int c = 0; c < 3; c++)
        out[c] = (uint8_t)vx_pixel_byte(sum[c] >> VX_PIXEL_TAP_BITS);
}

/* Upright columns [*ret_from, *ret_to) that the horizontal weights use: windows move one way. */
VX_BOTH void vx_pixel_columns(const vx_prepare_picture *p, const int32_t *ints, int *ret_from,
                              int *ret_to) {
    const vx_prepare_axis *axis = &p->x_axis;
    int last = axis->n_out - 1;
    *ret_from = ints[axis->first];
    *ret_to = ints[axis->first + last] + ints[axis->n_used + last];
}

/* The three channels of output pixel (x, o), from narrow uint8 [to - from, w_out, 3]. */
VX_BOTH void vx_pixel_down(const vx_prepare_picture *p, const int32_t *ints, const uint8_t *narrow,
                           int x, int o, int out[3]) {
    const vx_prepare_axis *axis = &p->y_axis;
    const int32_t *taps = ints + axis->taps + o * axis->n_taps;
    size_t row = 3 * (size_t)p->x_axis.n_out;
    const uint8_t *in = narrow + (size_t)(ints[axis->first + o] - p->from) * row + 3 * x;
    int sum[3];
    for (int c = 0; c < 3; c++)
        sum[c] = 1 << (VX_PIXEL_TAP_BITS - 1);
    for (int t = 0; t < ints[axis->n_used + o]; t++, in += row)
        for (int c = 0; c < 3; c++)
            sum[c] += in[c] * taps[t];
    for (int c = 0; c < 3; c++)
        out[c] = vx_pixel_byte(sum[c] >> VX_PIXEL_TAP_BITS);
}

/* The three channels of output pixel (x, o) with two taps along each axis, as vx_resample_two_taps. */
VX_BOTH void vx_pixel_two_taps(const vx_prepare_picture *p, const int32_t *ints, int x, int o,
                               int out[3]) {
    const int32_t *across = ints + p->x_axis.taps + 2 * x, *down = ints + p->y_axis.taps + 2 * o;
    int left = ints[p->x_axis.first + x], right = left + ints[p->x_axis.n_used + x] - 1;
    int row = ints[p->y_axis.first + o], sum[2][3];
    for (int k = 0; k < 2; k++) {
        int a[3], b[3], y = k ? row + ints[p->y_axis.n_used + o] - 1 : row;
        vx_pixel_rgb(p, left, y, a);
        vx_pixel_rgb(p, right, y, b);
        for (int c = 0; c < 3; c++)
            sum[k][c] = a[c] * across[0] + b[c] * across[1];
    }
    for (int c = 0; c < 3; c++)
        out[c] =
            (((down[0] * (sum[0][c] >> 4)) >> 16) + ((down[1] * (sum[1][c] >> 4)) >> 16) + 2) >> 2;
}

VX_BOTH void vx_pixel_output(const vx_prepare_picture *p, const int32_t *ints,
                             const uint8_t *scratch, int x, int o, int out[3]) {
    if (p->two_taps)
        vx_pixel_two_taps(p, ints, x, o, out);
    else
        vx_pixel_down(p, ints, scratch + p->narrow, x, o, out);
}
