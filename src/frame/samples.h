/* samples.h — samples and pixels of a decoded YUV picture, one at a time: what kernels and their twins on
 * the CPU share. Read by a C and a CUDA C++ compiler, so plain data. Threads: any.
 *
 * Colour follows src/media/yuv.c to the bit, for all depths: 16 fractional bits, chroma interpolated
 * linearly between its samples, which lie on every second luma column and half-way between two rows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tone_pixel.h"

enum { VX_YUV_FRACTION_BITS = 16, VX_YUV_CHROMA_SCALE = 8 };

/* From samples to RGB in 8-bit levels, with VX_YUV_FRACTION_BITS of fraction: R = y * (Y - black) +
 * r_cr * chroma, and so on, where chroma is (C - zero) * VX_YUV_CHROMA_SCALE. */
typedef struct vx_yuv_weights {
    int black, zero; /* codes of black and of no colour */
    int y, r_cr, g_cb, g_cr, b_cb;
} vx_yuv_weights;

/* A 4:2:0 picture. Pointers are of the memory that the code runs in. */
typedef struct vx_samples {
    const uint8_t *luma, *chroma; /* Cb and Cr interleaved */
    ptrdiff_t luma_pitch, chroma_pitch;
    int w, h; /* as stored */
    int sample_bytes, low_bits;
    int transpose, flip_x, flip_y; /* vx_orientation */
    vx_yuv_weights k;
    const vx_tone *tone; /* of an HDR picture, else NULL */
} vx_samples;

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
    return vx_sample(s->luma + stored_y * s->luma_pitch, stored_x, s->sample_bytes, s->low_bits);
}

/* Cb (which 0) or Cr (1) minus zero, times 4, in column i of the chroma plane at luma row y. */
VX_BOTH int vx_samples_chroma_column(const vx_samples *s, int i, int y, int which) {
    int rows = (s->h + 1) / 2, columns = (s->w + 1) / 2;
    int row = y / 2, other = row + (y % 2 ? 1 : -1);
    other = other < 0 ? 0 : other >= rows ? rows - 1 : other;
    int at = 2 * (i >= columns ? columns - 1 : i) + which;
    return 3 * vx_sample(s->chroma + row * s->chroma_pitch, at, s->sample_bytes, s->low_bits) +
           vx_sample(s->chroma + other * s->chroma_pitch, at, s->sample_bytes, s->low_bits) -
           4 * s->k.zero;
}

/* At stored pixel (x, y), times VX_YUV_CHROMA_SCALE. */
VX_BOTH int vx_samples_chroma(const vx_samples *s, int x, int y, int which) {
    int near_column = vx_samples_chroma_column(s, x / 2, y, which);
    return near_column + (x % 2 ? vx_samples_chroma_column(s, x / 2 + 1, y, which) : near_column);
}

VX_BOTH int vx_samples_byte(int value) {
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* A colour of vx_yuv_weights as a code of 16 bits: 257 times a byte. */
VX_BOTH int vx_samples_code(int fixed) {
    int half = 1 << (VX_YUV_FRACTION_BITS - 9);
    int code =
        ((fixed + half) >> VX_YUV_FRACTION_BITS) + ((fixed + half) >> (VX_YUV_FRACTION_BITS - 8));
    return code < 0 ? 0 : code > 65535 ? 65535 : code;
}

/* Pixel (x, y) of the upright picture, full range; HDR as SDR. */
VX_BOTH void vx_samples_rgb(const vx_samples *s, int x, int y, int rgb[3]) {
    const vx_yuv_weights *k = &s->k;
    int sx, sy;
    vx_samples_find(s, x, y, &sx, &sy);
    int luma = k->y * (vx_samples_luma(s, sx, sy) - k->black);
    int cb = vx_samples_chroma(s, sx, sy, 0), cr = vx_samples_chroma(s, sx, sy, 1);
    int r = luma + k->r_cr * cr, g = luma + k->g_cb * cb + k->g_cr * cr, b = luma + k->b_cb * cb;
    if (s->tone) {
        vx_tone_pixel(s->tone, vx_samples_code(r), vx_samples_code(g), vx_samples_code(b), rgb);
        return;
    }
    int half = 1 << (VX_YUV_FRACTION_BITS - 1);
    rgb[0] = vx_samples_byte((r + half) >> VX_YUV_FRACTION_BITS);
    rgb[1] = vx_samples_byte((g + half) >> VX_YUV_FRACTION_BITS);
    rgb[2] = vx_samples_byte((b + half) >> VX_YUV_FRACTION_BITS);
}
