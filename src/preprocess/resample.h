/* resample.h — the resize passes behind preprocess.h (private to src/preprocess).
 *
 * A resize is two one-dimensional passes. Each output position of an axis is a weighted sum of a
 * window of input positions; the weights are integers, so the result is the same on every machine.
 * Threads: any. Cost: building an axis takes about 10 µs per 1000 weights, so no table is cached.
 */
#pragma once

#include <stdint.h>

#include "frame/frame.h"

/* Which part of a resized axis is computed: n_in input positions are scaled to n_full, of which n_out
 * starting at begin are computed (a centre crop does not compute pixels that it drops). */
typedef struct vx_axis_span {
    int n_in, n_full, begin, n_out;
} vx_axis_span;

typedef struct vx_axis {
    int n_out;
    int n_taps; /* weights kept per output, the window's longest length */
    int *
        first; /* [n_out] first input position of the window; first + n_taps may exceed the input */
    int *n_used;   /* [n_out] weights that are not padding: 1..n_taps */
    int32_t *taps; /* [n_out, n_taps] */
} vx_axis;

/* Pillow's coefficients: filter support grows with the reduction, 22 fractional bits. */
int vx_axis_new_antialias(const vx_axis_span *span, bool cubic, vx_axis **ret_axis, vx_err *err);
/* OpenCV's: two taps around the pixel centre, 11 fractional bits. */
int vx_axis_new_two_taps(const vx_axis_span *span, vx_axis **ret_axis, vx_err *err);
vx_axis *vx_axis_free(vx_axis *axis);
VX_DEFINE_AUTO(vx_axis, vx_axis_free)

/* Both passes over a VX_FRAME_RGB; writes ret_rgb, uint8 [y->n_out, x->n_out, 3]. Return 0 or -ENOMEM. */
int vx_resample_antialias(const vx_frame *in, const vx_axis *x, const vx_axis *y, uint8_t *ret_rgb,
                          vx_err *err);
int vx_resample_two_taps(const vx_frame *in, const vx_axis *x, const vx_axis *y, uint8_t *ret_rgb,
                         vx_err *err);
