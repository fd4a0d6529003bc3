/* small_math.h — a decoded picture at 48x27, one value at a time: the arithmetic of libswscale (C code of FFmpeg 5.1,
 * bicubic, yuv420p to rgb24) on a card, so that TransNet V2 sees there what it sees of the CPU. Shared by the kernels
 * (small.cu) and their twins; read by a C and a CUDA C++ compiler, so plain data and integers only.
 *
 *   across   each row of a plane: 14-bit weights → 15 bits a sample; luma to 48 columns, chroma to 24
 *   down     12-bit weights over these → 8 bits a sample → RGB. Two pixels share their chroma
 *
 * Colour comes as whole steps of luma, rounded down, and black is nearly two levels too dark: so does libswscale's table.
 */
#pragma once

#include "frame/samples.h"

enum {
    VX_SMALL_WIDTH = 48,
    VX_SMALL_HEIGHT = 27,
    VX_SMALL_BYTES = VX_SMALL_WIDTH * VX_SMALL_HEIGHT * 3
};

/* Weights along one direction, as offsets into the plan's `ints`: int32 first [n_out], taps [n_out, n_taps]. */
typedef struct vx_small_axis {
    int n_out, n_taps, first, taps;
} vx_small_axis;

typedef struct vx_small_job {
    const uint8_t *luma, *chroma; /* NV12; chroma: Cb and Cr interleaved */
    ptrdiff_t luma_pitch, chroma_pitch;
    int rows, chroma_rows;
    vx_small_axis x[2], y[2];   /* of luma, of chroma */
    int gain, black;            /* value = (gain * step + black) >> 16 */
    int r_cr, g_cb, g_cr, b_cb; /* steps = (c * sample >> 16) - (c >> 9) */
} vx_small_job;

/* Scratch memory is int16: luma [rows, 48], Cb [chroma_rows, 24], Cr [chroma_rows, 24]. */
VX_BOTH int vx_small_rows(const vx_small_job *job) {
    return job->rows + 2 * job->chroma_rows;
}

/* Value o of line `line` of the scratch memory, and where it lies there; -1: the line is not so long. */
VX_BOTH int vx_small_across(const vx_small_job *job, const int32_t *ints, int line, int o,
                            int *ret_at) {
    int chroma = line >= job->rows, row = line - job->rows, which = row >= job->chroma_rows;
    const vx_small_axis *axis = &job->x[chroma];
    *ret_at = -1;
    if (o >= axis->n_out)
        return 0;
    row = chroma ? row - which * job->chroma_rows : line;
    const uint8_t *in =
        chroma ? job->chroma + row * job->chroma_pitch + which : job->luma + row * job->luma_pitch;
    const int32_t *taps = ints + axis->taps + o * axis->n_taps;
    int step = chroma ? 2 : 1, sum = 0;
    in += step * ints[axis->first + o];
    for (int i = 0; i < axis->n_taps; i++)
        sum += in[step * i] * taps[i];
    *ret_at = chroma ? job->rows * VX_SMALL_WIDTH + (line - job->rows) * axis->n_out + o
                     : line * axis->n_out + o;
    sum >>= 7;
    return sum > 32767 ? 32767 : sum;
}

/* 8 bits, but for what the weights overshoot, at row y and column o of lines of n_out values. */
VX_BOTH int vx_small_down(const vx_small_axis *axis, const int32_t *ints, const int16_t *lines,
                          int n_out, int y, int o) {
    const int32_t *taps = ints + axis->taps + y * axis->n_taps;
    int sum = 1 << 18;
    lines += ints[axis->first + y] * n_out + o;
    for (int i = 0; i < axis->n_taps; i++)
        sum += lines[i * n_out] * taps[i];
    return sum >> 19;
}

VX_BOTH int vx_small_byte(int value) {
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

VX_BOTH int vx_small_steps(int c, int sample) {
    return (c * vx_small_byte(sample) >> 16) - (c >> 9);
}

/* Pixel (x, y), uint8 [3]. */
VX_BOTH void vx_small_pixel(const vx_small_job *job, const int32_t *ints, const int16_t *scratch,
                            int x, int y, uint8_t *rgb) {
    const int16_t *cb_lines = scratch + job->rows * VX_SMALL_WIDTH;
    const int16_t *cr_lines = cb_lines + job->chroma_rows * (VX_SMALL_WIDTH / 2);
    int luma = vx_small_down(&job->y[0], ints, scratch, VX_SMALL_WIDTH, y, x);
    int cb = vx_small_down(&job->y[1], ints, cb_lines, VX_SMALL_WIDTH / 2, y, x / 2);
    int cr = vx_small_down(&job->y[1], ints, cr_lines, VX_SMALL_WIDTH / 2, y, x / 2);
    int steps[3] = {vx_small_steps(job->r_cr, cr),
                    vx_small_steps(job->g_cb, cb) + vx_small_steps(job->g_cr, cr),
                    vx_small_steps(job->b_cb, cb)};
    for (int c = 0; c < 3; c++)
        rgb[c] = (uint8_t)vx_small_byte(
            (int)(((int64_t)job->gain * (luma + steps[c]) + job->black) >> 16));
}
