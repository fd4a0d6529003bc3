/* pixel_math.h — from a decoded YUV picture to model input, one value at a time: the arithmetic that the
 * CPU twin (prepare.c) and the kernels (prepare.cu) share, so that both give the same bits.
 * Private to src/preprocess; read by a C and a CUDA C++ compiler, so plain data and integers only.
 *
 *   across  a row of the picture, upright → RGB by the stream's matrix and range → the horizontal
 *           weights of resample.h → uint8 [w_out, 3]
 *   down    the vertical weights over these rows → uint8 → a table of normalised values
 *   two taps (VX_RESIZE_BILINEAR)   both at once: four pixels make a value
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
    vx_prepare_axis x_axis, y_axis;
    int from, to;  /* upright rows that the vertical weights use */
    size_t narrow; /* offset of uint8 [to - from, w_out, 3] in the scratch memory */
    int two_taps;  /* no scratch memory */
    void *place;   /* float32 or bfloat16 [3, h_out, w_out] */
} vx_prepare_picture;

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
        out[c] = (uint8_t)vx_samples_byte(sum[c] >> VX_PIXEL_TAP_BITS);
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
        out[c] = vx_samples_byte(sum[c] >> VX_PIXEL_TAP_BITS);
}

/* The three channels of output pixel (x, o) with two taps along each axis, as vx_resample_two_taps. */
VX_BOTH void vx_pixel_two_taps(const vx_prepare_picture *p, const int32_t *ints, int x, int o,
                               int out[3]) {
    const int32_t *across = ints + p->x_axis.taps + 2 * x, *down = ints + p->y_axis.taps + 2 * o;
    int left = ints[p->x_axis.first + x], right = left + ints[p->x_axis.n_used + x] - 1;
    int row = ints[p->y_axis.first + o], sum[2][3];
    for (int k = 0; k < 2; k++) {
        int a[3], b[3], y = k ? row + ints[p->y_axis.n_used + o] - 1 : row;
        vx_samples_rgb(&p->s, left, y, a);
        vx_samples_rgb(&p->s, right, y, b);
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
