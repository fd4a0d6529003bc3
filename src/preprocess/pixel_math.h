/* pixel_math.h — from a decoded YUV picture to model input, one value at a time: the arithmetic that the
 * CPU twin (prepare_twin.c) and the kernels (prepare.cu) share, so that both give the same bits.
 * Private to src/preprocess; read by a C and a CUDA C++ compiler, so plain data and integers only.
 *
 *   across  a row of the picture, upright → RGB by the stream's matrix and range → the horizontal
 *           weights of resample.h → uint8 [w_out, 3]
 *   down    the vertical weights over these rows → uint8 → a table of normalised values
 *
 * Colour follows src/media/: 16 fractional bits, chroma interpolated linearly between its samples. In
 * 8-bit pictures these lie on every second luma column and half-way between two rows (yuv.c, to the
 * bit); in deeper ones half-way between two columns and on the lower of two rows, which is where
 * libswscale, which converts those on the CPU, takes them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define VX_BOTH __host__ __device__ static inline
#else
#define VX_BOTH static inline
#endif

enum { VX_PIXEL_FRACTION_BITS = 16, VX_PIXEL_TAP_BITS = 22 };

/* One axis of the resize, as offsets into the plan's `ints`. */
typedef struct vx_prepare_axis {
    int n_out, n_taps;
    int first, n_used, taps; /* of int32 [n_out], [n_out], [n_out, n_taps] */
} vx_prepare_axis;

/* One picture: where it lies and where it goes. Pointers are of the memory that the code runs in. */
typedef struct vx_prepare_picture {
    const uint8_t *luma, *chroma; /* 4:2:0, Cb and Cr interleaved */
    ptrdiff_t luma_pitch, chroma_pitch;
    int w, h; /* as stored */
    int sample_bytes, low_bits;
    int deep;                      /* more than 8 bits a sample */
    int black, zero;               /* codes of black and of no colour */
    int y, r_cr, g_cb, g_cr, b_cb; /* colour = (y * (Y - black) + c * chroma + half) >> bits */
    int transpose, flip_x, flip_y;
    vx_prepare_axis x_axis, y_axis;
    int from, to;  /* upright rows that the vertical weights use */
    size_t narrow; /* offset of uint8 [to - from, w_out, 3] in the scratch memory */
    void *place;   /* float32 or bfloat16 [3, h_out, w_out] */
} vx_prepare_picture;

VX_BOTH int vx_pixel_sample(const uint8_t *row, int i, int sample_bytes, int low_bits) {
    return sample_bytes == 1 ? row[i] : ((const uint16_t *)(const void *)row)[i] >> low_bits;
}

/* Cb (which 0) or Cr (1) minus zero, times 4, in column i of the chroma plane at luma row y. */
VX_BOTH int vx_pixel_chroma_column(const vx_prepare_picture *p, int i, int y, int which) {
    int rows = (p->h + 1) / 2, columns = (p->w + 1) / 2;
    int row = y / 2, other = row + (y % 2 ? 1 : -1), weight = 3;
    if (p->deep) {
        weight = y % 2 && y < 2 * rows - 1 ? 4 : 2; /* libswscale's last row is as the one above */
        other = row - 1;
    }
    other = other < 0 ? 0 : other >= rows ? rows - 1 : other;
    int at = 2 * (i < 0 ? 0 : i >= columns ? columns - 1 : i) + which;
    const uint8_t *samples = p->chroma + row * p->chroma_pitch;
    const uint8_t *others = p->chroma + other * p->chroma_pitch;
    return weight * vx_pixel_sample(samples, at, p->sample_bytes, p->low_bits) +
           (4 - weight) * vx_pixel_sample(others, at, p->sample_bytes, p->low_bits) - 4 * p->zero;
}

/* At stored pixel (x, y), times 8; of deep pictures times 16. */
VX_BOTH int vx_pixel_chroma(const vx_prepare_picture *p, int x, int y, int which) {
    int near_column = vx_pixel_chroma_column(p, x / 2, y, which);
    if (p->deep)
        return 3 * near_column + vx_pixel_chroma_column(p, x / 2 + (x % 2 ? 1 : -1), y, which);
    return near_column + (x % 2 ? vx_pixel_chroma_column(p, x / 2 + 1, y, which) : near_column);
}

VX_BOTH int vx_pixel_byte(int value) {
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* Pixel (x, y) of the upright picture. */
VX_BOTH void vx_pixel_rgb(const vx_prepare_picture *p, int x, int y, int rgb[3]) {
    x = p->flip_x ? (p->transpose ? p->h : p->w) - 1 - x : x;
    y = p->flip_y ? (p->transpose ? p->w : p->h) - 1 - y : y;
    int sx = p->transpose ? y : x, sy = p->transpose ? x : y;
    int code = vx_pixel_sample(p->luma + sy * p->luma_pitch, sx, p->sample_bytes, p->low_bits);
    int luma = p->y * (code - p->black) + (1 << (VX_PIXEL_FRACTION_BITS - 1));
    int cb = vx_pixel_chroma(p, sx, sy, 0), cr = vx_pixel_chroma(p, sx, sy, 1);
    rgb[0] = vx_pixel_byte((luma + p->r_cr * cr) >> VX_PIXEL_FRACTION_BITS);
    rgb[1] = vx_pixel_byte((luma + p->g_cb * cb + p->g_cr * cr) >> VX_PIXEL_FRACTION_BITS);
    rgb[2] = vx_pixel_byte((luma + p->b_cb * cb) >> VX_PIXEL_FRACTION_BITS);
}

/* Value o of upright row y of the picture, reduced across, into out uint8 [3]. */
VX_BOTH void vx_pixel_across(const vx_prepare_picture *p, const int32_t *ints, int y, int o,
                             uint8_t *out) {
    const vx_prepare_axis *axis = &p->x_axis;
    const int32_t *taps = ints + axis->taps + o * axis->n_taps;
    int first = ints[axis->first + o], n = ints[axis->n_used + o];
    int sum[3], rgb[3];
    for (int c = 0; c < 3; c++)
        sum[c] = 1 << (VX_PIXEL_TAP_BITS - 1);
    for (int t = 0; t < n; t++) {
        vx_pixel_rgb(p, first + t, y, rgb);
        for (int c = 0; c < 3; c++)
            sum[c] += rgb[c] * taps[t];
    }
    for (int c = 0; c < 3; c++)
        out[c] = (uint8_t)vx_pixel_byte(sum[c] >> VX_PIXEL_TAP_BITS);
}

/* Channel c of output pixel (x, o), from narrow uint8 [to - from, w_out, 3]. */
VX_BOTH int vx_pixel_down(const vx_prepare_picture *p, const int32_t *ints, const uint8_t *narrow,
                          int x, int o, int c) {
    const vx_prepare_axis *axis = &p->y_axis;
    const int32_t *taps = ints + axis->taps + o * axis->n_taps;
    int row = 3 * p->x_axis.n_out, first = ints[axis->first + o] - p->from;
    int sum = 1 << (VX_PIXEL_TAP_BITS - 1);
    for (int t = 0; t < ints[axis->n_used + o]; t++)
        sum += narrow[(size_t)(first + t) * (size_t)row + (size_t)(3 * x + c)] * taps[t];
    return vx_pixel_byte(sum >> VX_PIXEL_TAP_BITS);
}
