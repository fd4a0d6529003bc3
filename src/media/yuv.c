/* yuv.c — planar YUV to interleaved RGB, three times as fast as libswscale's exact path.
 *
 * Chroma is interpolated linearly between its samples, which lie left of every second luma sample
 * and half-way between two luma rows (the usual place in video). Arithmetic is fixed-point with 16
 * fractional bits of 8-bit levels; every byte is within 1 of the exact value. Pictures of all depths take
 * one path, so that preprocess/pixel_math.h, which does the same on a card, has one rule.
 */
#include "yuv.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/simd.h"

bool vx_yuv_is_planar(const vx_frame *f) {
    return f->layout == VX_FRAME_YUV_PLANAR && f->bit_depth <= 12 && !f->low_bits &&
           f->chroma_log2_w <= 1 && f->chroma_log2_h <= 1;
}

/* The loops below are compiled for samples of one and of two bytes, in and out: `bytes` is a constant
 * wherever they are called. */
#define VX_FOR_EACH_SIZE static inline __attribute__((always_inline))

VX_FOR_EACH_SIZE int sample_at(const uint8_t *row, int i, int bytes) {
    return bytes == 1 ? row[i] : ((const uint16_t *)(const void *)row)[i];
}

VX_FOR_EACH_SIZE void spread(const uint8_t *near, const uint8_t *far, int bytes, int w, bool halved,
                             int zero, int16_t *scratch, int16_t *out) {
    int n = halved ? (w + 1) / 2 : w;
#pragma omp simd
    for (int i = 0; i < n; i++)
        scratch[i] = (int16_t)(3 * sample_at(near, i, bytes) + sample_at(far, i, bytes) - 4 * zero);
    if (!halved) {
#pragma omp simd
        for (int i = 0; i < n; i++)
            out[i] = (int16_t)(2 * scratch[i]);
        return;
    }
    scratch[n] = scratch[n - 1];
#pragma omp simd
    for (int i = 0; i < n; i++) {
        out[2 * i] = (int16_t)(2 * scratch[i]);
        out[2 * i + 1] = (int16_t)(scratch[i] + scratch[i + 1]);
    }
}

/* Chroma minus `zero`, times VX_YUV_CHROMA_SCALE, for every pixel of a row; the row lies a quarter of the way
 * from `near` to `far`, which are the same where chroma is not halved in height. Twelve bits fit. */
VX_SIMD_CLONES static void spread_chroma(const uint8_t *near, const uint8_t *far, int bytes, int w,
                                         bool halved, int zero, int16_t *scratch, int16_t *out) {
    if (bytes == 1)
        spread(near, far, 1, w, halved, zero, scratch, out);
    else
        spread(near, far, 2, w, halved, zero, scratch, out);
}

/* A colour in 8-bit levels with fractional bits, as uint8 or as uint16 (257 times as much). */
VX_FOR_EACH_SIZE int whole(int fixed_value, int bytes) {
    int value = fixed_value >> VX_YUV_FRACTION_BITS, most = 255;
    if (bytes == 2) {
        value += fixed_value >> (VX_YUV_FRACTION_BITS - 8);
        most = 65535;
    }
    value = value < 0 ? 0 : value;
    return value > most ? most : value;
}

VX_FOR_EACH_SIZE void put(uint8_t *row, int i, int fixed_value, int bytes) {
    if (bytes == 1)
        row[i] = (uint8_t)whole(fixed_value, 1);
    else
        ((uint16_t *)(void *)row)[i] = (uint16_t)whole(fixed_value, 2);
}

VX_FOR_EACH_SIZE void mix(const uint8_t *y, int in_bytes, const int16_t *cb, const int16_t *cr,
                          int w, const vx_yuv_weights *k, uint8_t *rgb, int out_bytes) {
    const vx_yuv_weights s = *k;
    const int half =
        out_bytes == 1 ? 1 << (VX_YUV_FRACTION_BITS - 1) : 1 << (VX_YUV_FRACTION_BITS - 9);
#pragma omp simd
    for (int x = 0; x < w; x++) {
        int luma = s.y * (sample_at(y, x, in_bytes) - s.black) + half;
        put(rgb, 3 * x, luma + s.r_cr * cr[x], out_bytes);
        put(rgb, 3 * x + 1, luma + s.g_cb * cb[x] + s.g_cr * cr[x], out_bytes);
        put(rgb, 3 * x + 2, luma + s.b_cb * cb[x], out_bytes);
    }
}

VX_SIMD_CLONES static void mix_row(const uint8_t *y, int in_bytes, const int16_t *cb,
                                   const int16_t *cr, int w, const vx_yuv_weights *k, uint8_t *rgb,
                                   int out_bytes) {
    if (in_bytes == 1 && out_bytes == 1)
        mix(y, 1, cb, cr, w, k, rgb, 1);
    else if (in_bytes == 1)
        mix(y, 1, cb, cr, w, k, rgb, 2);
    else if (out_bytes == 1)
        mix(y, 2, cb, cr, w, k, rgb, 1);
    else
        mix(y, 2, cb, cr, w, k, rgb, 2);
}

int vx_yuv_to_rgb(const vx_frame *f, const vx_yuv_weights *k, int sample_bytes, uint8_t *rgb,
                  int stride, vx_err *err) {
    bool halved_w = f->chroma_log2_w, halved_h = f->chroma_log2_h;
    int w = f->width_px, rows = halved_h ? (f->height_px + 1) / 2 : f->height_px;
    size_t row = (size_t)w + 2;
    VX_AUTO_FREE int16_t *lines = vx_new_array(row, 3 * sizeof(*lines));
    if (!lines)
        return VX_FAIL(err, -ENOMEM, "no memory to convert a picture %d pixels wide", w);
    int16_t *scratch = lines, *cb = lines + row, *cr = cb + row;
    for (int y = 0; y < f->height_px; y++) {
        int near = halved_h ? y / 2 : y, far = halved_h ? near + (y % 2 ? 1 : -1) : near;
        far = far < 0 ? 0 : far >= rows ? rows - 1 : far;
        for (int plane = 1; plane <= 2; plane++) {
            const uint8_t *samples = f->planes[plane];
            ptrdiff_t pitch = f->pitch_bytes[plane];
            spread_chroma(samples + near * pitch, samples + far * pitch, f->sample_bytes, w,
                          halved_w, k->zero, scratch, plane == 1 ? cb : cr);
        }
        mix_row(f->planes[0] + y * f->pitch_bytes[0], f->sample_bytes, cb, cr, w, k,
                rgb + (ptrdiff_t)y * stride, sample_bytes);
    }
    return 0;
}
