/* pdq.c — PDQ, the perceptual hash of a picture.
 *
 * The published algorithm smooths the picture with two box filters along each axis (a "Jarosz"
 * tent), takes 64x64 of the smoothed pixels, transforms them with a DCT of which the 16x16 lowest
 * frequencies without the constant ones are kept, and sets a bit for each that is above their
 * median. Smoothing a 1080p picture to keep 4096 of its pixels would cost some 20 ms. All of it is
 * linear and works on one axis at a time, so it is done here as two products with 64 sparse rows,
 * 64 x h and 64 x w, whose weights are the composed filters: the same numbers up to float rounding,
 * in under half a millisecond, and without the usual downscale first.
 *
 * One thing is added. Below 128 pixels a side the published filter does not smooth at all and the
 * grid takes single pixels, so the hashes of a small copy and its original differ by some 22 bits. A
 * side under 256 pixels is therefore enlarged to that (bilinear, by a whole factor) within the same
 * weights; then the difference is 2 bits. Larger pictures are hashed exactly as published.
 *
 * Flipping the picture left to right negates the odd horizontal frequencies, so the hash of the
 * mirrored picture costs only a second median.
 */
#include "pdq.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "base/simd.h"

enum { GRID = VX_PDQ_GRID, FREQS = 16, MAX_SIDE_PX = 8192, MIN_SMOOTH_PX = 256 };

static float dct[FREQS][GRID];
static pthread_once_t dct_once = PTHREAD_ONCE_INIT;

static void dct_fill(void) {
    for (int f = 0; f < FREQS; f++)
        for (int x = 0; x < GRID; x++)
            dct[f][x] = (float)(sqrt(2.0 / GRID) * cos(M_PI / 2 / GRID * (f + 1) * (2 * x + 1)));
}

/* The box filter's window around i: [*ret_from, *ret_to), cut off at the picture's edges. */
static void box_window(int i, int n, int width, int *ret_from, int *ret_to) {
    int half = (width + 2) / 2;
    int from = i + half - width, to = i + half;
    *ret_from = from < 0 ? 0 : from;
    *ret_to = to > n ? n : to;
}

/* Adds a weight for pixel i of the enlarged axis: it lies between two pixels of the picture's. */
static void weigh_enlarged(float *row, int first, int i, int factor, int n, float weight) {
    float position = ((float)i + 0.5f) / (float)factor - 0.5f;
    int left = (int)floorf(position);
    float right_share = position - (float)left;
    int right = left + 1 < n ? left + 1 : n - 1;
    left = left < 0 ? 0 : left;
    row[left - first] += weight * (1 - right_share);
    row[right - first] += weight * right_share;
}

int vx_pdq_axis_init(vx_pdq_axis *axis, int n, vx_err *err) {
    int factor = n < MIN_SMOOTH_PX ? (MIN_SMOOTH_PX + n - 1) / n : 1;
    int n_large = n * factor, width = (n_large + 2 * GRID - 1) / (2 * GRID);
    axis->n_taps = 2 * width + 3;
    axis->taps = vx_new_array((size_t)GRID * (size_t)axis->n_taps, sizeof *axis->taps);
    if (!axis->taps)
        return VX_FAIL(err, -ENOMEM, "out of memory for a frame's fingerprint");
    for (int o = 0; o < GRID; o++) {
        int at = (int)((o + 0.5) * n_large / GRID); /* which smoothed pixel the grid takes */
        float *row = axis->taps + o * axis->n_taps;
        int outer_from, outer_to, from, to;
        box_window(at, n_large, width, &outer_from, &outer_to);
        box_window(outer_from, n_large, width, &from, &to);
        int first = from / factor - (factor > 1 && from / factor > 0);
        for (int i = outer_from; i < outer_to; i++) {
            box_window(i, n_large, width, &from, &to);
            float share = 1.f / (float)((outer_to - outer_from) * (to - from));
            for (int k = from; k < to; k++)
                weigh_enlarged(row, first, k, factor, n, share);
        }
        axis->first[o] = first;
        axis->n_used[o] = (to - 1) / factor + (factor > 1) + 1 - first;
        if (first + axis->n_used[o] > n)
            axis->n_used[o] = n - first;
    }
    return 0;
}

/* sums[w] = weighted sum of n_rows rows, from the first weighted row on */
VX_SIMD_CLONES static void smooth_down(const uint8_t *luma, size_t stride, size_t w,
                                       const float *taps, int n_rows, float *restrict sums) {
    memset(sums, 0, w * sizeof *sums);
    for (int r = 0; r < n_rows; r++, luma += stride) {
        const float tap = taps[r];
#pragma omp simd
        for (size_t i = 0; i < w; i++)
            sums[i] += tap * (float)luma[i];
    }
}

static void smooth_across(const vx_pdq_axis *x, const float *sums, float *ret_row) {
    for (int o = 0; o < GRID; o++) {
        const float *taps = x->taps + o * x->n_taps, *in = sums + x->first[o];
        float sum = 0;
        for (int k = 0; k < x->n_used[o]; k++)
            sum += taps[k] * in[k];
        ret_row[o] = sum;
    }
}

/* Gradient of the 64x64 picture: 0 for a flat one, 100 at most. Steps are cut to whole percent of
 * the range before they are added, as published. */
static uint8_t grid_quality(float grid[GRID][GRID]) {
    int sum = 0;
    for (int i = 0; i < GRID; i++)
        for (int j = 0; j < GRID; j++) {
            if (i + 1 < GRID)
                sum += abs((int)((grid[i][j] - grid[i + 1][j]) * 100 / 255));
            if (j + 1 < GRID)
                sum += abs((int)((grid[i][j] - grid[i][j + 1]) * 100 / 255));
        }
    int quality = sum / 90;
    return (uint8_t)(quality > 100 ? 100 : quality);
}

static void grid_transform(float grid[GRID][GRID], float freq[FREQS][FREQS]) {
    float half[FREQS][GRID] = {0};
    for (int f = 0; f < FREQS; f++)
        for (int i = 0; i < GRID; i++)
#pragma omp simd
            for (int j = 0; j < GRID; j++)
                half[f][j] += dct[f][i] * grid[i][j];
    for (int f = 0; f < FREQS; f++)
        for (int g = 0; g < FREQS; g++) {
            float sum = 0;
            for (int j = 0; j < GRID; j++)
                sum += half[f][j] * dct[g][j];
            freq[f][g] = sum;
        }
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void threshold_bits(float freq[FREQS][FREQS], uint8_t hash[32]) {
    float sorted[FREQS * FREQS];
    memcpy(sorted, freq, sizeof sorted);
    qsort(sorted, VX_LEN(sorted), sizeof *sorted, by_value);
    float median = sorted[VX_LEN(sorted) / 2 - 1]; /* the lower one: 128 bits are set */
    memset(hash, 0, 32);
    for (int k = 0; k < FREQS * FREQS; k++)
        if (freq[k / FREQS][k % FREQS] > median)
            hash[k / 8] |= (uint8_t)(1 << (k % 8));
}

static int smooth(const vx_frame *luma, float grid[GRID][GRID], vx_err *err) {
    int w_px = luma->width_px, h_px = luma->height_px;
    ptrdiff_t pitch = luma->pitch_bytes[0];
    vx_pdq_axis x = {0}, y = {0};
    VX_AUTO_FREE float *sums = vx_new_array((size_t)w_px, sizeof *sums);
    int rc = sums ? 0 : VX_FAIL(err, -ENOMEM, "out of memory for a frame's fingerprint");
    if (!rc)
        rc = vx_pdq_axis_init(&x, w_px, err);
    if (!rc)
        rc = vx_pdq_axis_init(&y, h_px, err);
    for (int o = 0; !rc && o < GRID; o++) {
        smooth_down(luma->planes[0] + y.first[o] * pitch, (size_t)pitch, (size_t)w_px,
                    y.taps + o * y.n_taps, y.n_used[o], sums);
        smooth_across(&x, sums, grid[o]);
    }
    free(x.taps);
    free(y.taps);
    return rc;
}

void vx_pdq_hash(float grid[GRID][GRID], vx_fp_frame *ret_frame, vx_fp_frame *ret_mirrored) {
    float freq[FREQS][FREQS];
    pthread_once(&dct_once, dct_fill);
    grid_transform(grid, freq);
    ret_frame->quality = grid_quality(grid);
    threshold_bits(freq, ret_frame->hash);
    if (!ret_mirrored)
        return;
    for (int f = 0; f < FREQS; f++)
        for (int g = 0; g < FREQS; g += 2) /* column g holds frequency g + 1 */
            freq[f][g] = -freq[f][g];
    ret_mirrored->quality = ret_frame->quality;
    threshold_bits(freq, ret_mirrored->hash);
}

int vx_fp_hash(const vx_frame *luma, vx_fp_frame *ret_frame, vx_fp_frame *ret_mirrored,
               vx_err *err) {
    int w_px = luma->width_px, h_px = luma->height_px;
    if (luma->layout != VX_FRAME_GRAY || luma->bit_depth != 8 || luma->device != VX_FRAME_HOST)
        return VX_FAIL(err, -EINVAL,
                       "no fingerprint of a picture that is not 8-bit luma in host "
                       "memory");
    if (w_px < 1 || w_px > MAX_SIDE_PX || h_px < 1 || h_px > MAX_SIDE_PX ||
        luma->pitch_bytes[0] < w_px)
        return VX_FAIL(err, -EINVAL, "no fingerprint of a %dx%d picture in rows of %td bytes", w_px,
                       h_px, luma->pitch_bytes[0]);
    float grid[GRID][GRID];
    int rc = smooth(luma, grid, err);
    if (!rc)
        vx_pdq_hash(grid, ret_frame, ret_mirrored);
    return rc;
}
