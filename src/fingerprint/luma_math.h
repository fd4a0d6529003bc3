/* luma_math.h — luma of a decoded picture, its black bars, and one value of its reduction to PDQ's 64 x 64:
 * what the kernels (reduce.cu) and the CPU share. Private to src/fingerprint; read by a C and a CUDA C++
 * compiler. */
#pragma once

#include <stdbool.h>

#include "box.h"
#include "frame/samples.h"

/* Luma as vx_picture_luma gives it: upright, 8 bits, full range. */
typedef struct vx_fp_luma {
    vx_samples s;
    int black, range; /* code of black, and how many codes white is above it */
} vx_fp_luma;

VX_BOTH int vx_fp_luma_at(const vx_fp_luma *l, int x, int y) {
    int sx, sy, rgb[3];
    if (l->s.tone) { /* BT.709, as vx_picture_luma */
        vx_samples_rgb(&l->s, x, y, rgb);
        return (13933 * rgb[0] + 46871 * rgb[1] + 4732 * rgb[2] + (1 << 15)) >> 16;
    }
    vx_samples_find(&l->s, x, y, &sx, &sy);
    int value = 2 * 255 * (vx_samples_luma(&l->s, sx, sy) - l->black) + l->range;
    value = value < 0 ? 0 : value / (2 * l->range); /* rounded */
    return value > 255 ? 255 : value;
}

/* ---- black bars, as letterbox.c explains them; a whole block of a kernel does this together ---- */

enum {
    VX_FP_DARK = 24,     /* of 255, at most: black after a poor encode */
    VX_FP_SAMPLES = 256, /* pixels sampled per line, at most; and threads of a block */
    VX_FP_STRICT = 63,   /* dark pixels of 64: leaves room for ringing */
    VX_FP_TOLERANT = 20, /* of 64 */
};

#ifdef __CUDACC__
#define VX_FP_TOGETHER __device__ static inline
#else
#define VX_FP_TOGETHER static inline
#endif

/* How many of the n pixels (x + i dx, y + i dy) are dark. */
VX_FP_TOGETHER int vx_fp_count_dark(const vx_fp_luma *l, int x, int y, int dx, int dy, int n) {
#ifdef __CUDACC__
    int i = (int)threadIdx.x;
    return __syncthreads_count(i < n && vx_fp_luma_at(l, x + i * dx, y + i * dy) <= VX_FP_DARK);
#else
    int n_dark = 0;
    for (int i = 0; i < n; i++)
        n_dark += vx_fp_luma_at(l, x + i * dx, y + i * dy) <= VX_FP_DARK;
    return n_dark;
#endif
}

VX_FP_TOGETHER bool vx_fp_row_is_dark(const vx_fp_luma *l, const vx_fp_box *box, int y, int least) {
    int stride = 1 + box->w_px / VX_FP_SAMPLES, n = (box->w_px + stride - 1) / stride;
    return 64 * vx_fp_count_dark(l, box->x_px, y, stride, 0, n) >= least * n;
}

VX_FP_TOGETHER bool vx_fp_column_is_dark(const vx_fp_luma *l, const vx_fp_box *box, int x,
                                         int least) {
    int stride = 1 + box->h_px / VX_FP_SAMPLES, n = (box->h_px + stride - 1) / stride;
    return 64 * vx_fp_count_dark(l, x, box->y_px, 0, stride, n) >= least * n;
}

/* Removes dark lines from the four sides. */
VX_FP_TOGETHER void vx_fp_trim_dark(const vx_fp_luma *l, vx_fp_box *box, int least) {
    for (; box->h_px && vx_fp_row_is_dark(l, box, box->y_px, least); box->h_px--)
        box->y_px++;
    while (box->h_px && vx_fp_row_is_dark(l, box, box->y_px + box->h_px - 1, least))
        box->h_px--;
    for (; box->h_px && box->w_px && vx_fp_column_is_dark(l, box, box->x_px, least); box->w_px--)
        box->x_px++;
    while (box->h_px && box->w_px && vx_fp_column_is_dark(l, box, box->x_px + box->w_px - 1, least))
        box->w_px--;
}

/* The strict pass comes first: else wide bars beside a portrait picture make all its rows dark. */
VX_FP_TOGETHER vx_fp_box vx_fp_trim_bars(const vx_fp_luma *l) {
    vx_fp_box box = {0, 0, l->s.transpose ? l->s.h : l->s.w, l->s.transpose ? l->s.w : l->s.h};
    vx_fp_trim_dark(l, &box, VX_FP_STRICT);
    if (box.w_px && box.h_px)
        vx_fp_trim_dark(l, &box, VX_FP_TOLERANT);
    return box;
}

/* ---- the reduction ---- */

/* One part of one picture. Axes are vx_pdq_axis, as offsets into the tables: int32 first [64] and
 * n_used [64], then float taps [64, n_taps]. */
typedef struct vx_reduce_part {
    vx_fp_luma luma;
    vx_fp_box box; /* of the upright picture */
    int x_axis, x_taps, y_axis, y_taps;
    float *grid;        /* [64, 64] */
    vx_fp_box *trimmed; /* vx_fp_trim_bars of the whole picture; NULL: is not wanted */
} vx_reduce_part;

/* The weighted sum of column x of the part for row o of the grid. */
VX_BOTH float vx_reduce_down(const vx_reduce_part *p, const int32_t *tables, int o, int x) {
    const int32_t *axis = tables + p->y_axis;
    const float *taps = (const float *)(const void *)(axis + 128) + o * p->y_taps;
    int y = p->box.y_px + axis[o];
    float sum = 0;
    for (int k = 0; k < axis[64 + o]; k++)
        sum += taps[k] * (float)vx_fp_luma_at(&p->luma, p->box.x_px + x, y + k);
    return sum;
}

/* Value g of a row of the grid from these sums. The products are rounded before they are added, as the
 * CPU does it without the instructions that do both at once. */
VX_BOTH float vx_reduce_across(const vx_reduce_part *p, const int32_t *tables, const float *sums,
                               int g) {
    const int32_t *axis = tables + p->x_axis;
    const float *taps = (const float *)(const void *)(axis + 128) + g * p->x_taps;
    const float *in = sums + axis[g];
    float sum = 0;
    for (int k = 0; k < axis[64 + g]; k++) {
#ifdef __CUDA_ARCH__
        sum = __fadd_rn(sum, __fmul_rn(taps[k], in[k]));
#else
        sum += taps[k] * in[k];
#endif
    }
    return sum;
}
