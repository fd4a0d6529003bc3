/* samples.h — samples of a decoded YUV picture, one at a time: what kernels and their twins on the CPU
 * share. Read by a C and a CUDA C++ compiler, so plain data and integers only. Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define VX_BOTH __host__ __device__ static inline
#else
#define VX_BOTH static inline
#endif

/* The luma of a picture. Pointers are of the memory that the code runs in. */
typedef struct vx_samples {
    const uint8_t *luma;
    ptrdiff_t pitch;
    int w, h; /* as stored */
    int sample_bytes, low_bits;
    int transpose, flip_x, flip_y; /* vx_orientation */
} vx_samples;

enum { VX_YUV_FRACTION_BITS = 16, VX_YUV_CHROMA_SCALE = 8 };

/* From samples to RGB in 8-bit levels, with VX_YUV_FRACTION_BITS of fraction: R = y * (Y - black) +
 * r_cr * chroma, and so on, where chroma is (C - zero) * VX_YUV_CHROMA_SCALE. */
typedef struct vx_yuv_weights {
    int black, zero; /* codes of black and of no colour */
    int y, r_cr, g_cb, g_cr, b_cb;
} vx_yuv_weights;

VX_BOTH int vx_sample(const uint8_t *row, int i, int sample_bytes, int low_bits) {
    return sample_bytes == 1 ? row[i] : ((const uint16_t *)(const void *)row)[i] >> low_bits;
}

/* Where pixel (x, y) of the upright picture is stored. */
VX_BOTH void vx_samples_find(const vx_samples *s, int x, int y, int *ret_x, int *ret_y) {
    x = s->flip_x ? (s->transpose ? s->h : s->w) - 1 - x : x;
    y = s->flip_y ? (s->transpose ? s->w : s->h) - 1 - y : y;
    *ret_x = s->transpose ? y : x;
    *ret_y = s->transpose ? x : y;
}

VX_BOTH int vx_samples_luma(const vx_samples *s, int stored_x, int stored_y) {
    return vx_sample(s->luma + stored_y * s->pitch, stored_x, s->sample_bytes, s->low_bits);
}
