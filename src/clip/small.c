/* small.c — see the header: the weights, the twins, and the card's launches. */
#include "small.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { TAPS_MAX = 256 }; /* from here on libswscale scales in two steps */

/* ---- weights, in the integers of libswscale ---- */

typedef struct weights {
    int n_in, n_out, n_taps;
    int64_t one;   /* about what those of one output add up to */
    int64_t *taps; /* [n_out, n_taps] */
    int *first;    /* [n_out] */
} weights;

/* The cubic (B 0, C 0.6) at d, 30 fractional bits. */
static int64_t cubic_at(int64_t d, int64_t one) {
    const int64_t unit = 1 << 24, c = (int64_t)(0.6 * (1 << 24)), half = INT64_C(1) << 30;
    if (d >= 2 * half)
        return 0;
    int64_t dd = (d * d) >> 30, ddd = (dd * d) >> 30, value;
    if (d < half)
        value = (12 * unit - 6 * c) * ddd + (-18 * unit + 6 * c) * dd + 6 * unit * half;
    else
        value = -6 * c * ddd + 30 * c * dd - 48 * c * d + 24 * c * half;
    return value / ((INT64_C(1) << 54) / one);
}

static int log2_of(int n) {
    int bits = 0;
    while (n >>= 1)
        bits++;
    return bits;
}

/* All of them, before any is left out. */
static void fill_weights(weights *w) {
    int64_t step = (((int64_t)w->n_in << 16) + (w->n_out >> 1)) / w->n_out;
    int64_t centre = step - (1 << 16);
    for (int o = 0; o < w->n_out; o++, centre += 2 * step) {
        int at = (int)((centre - (w->n_taps - 2) * (INT64_C(1) << 16)) / (1 << 17));
        w->first[o] = at;
        for (int i = 0; i < w->n_taps; i++, at++) {
            int64_t away = (int64_t)at * (1 << 17) - centre;
            int64_t d = (away < 0 ? -away : away) << 13;
            if (step > 1 << 16)
                d = d * w->n_out / w->n_in;
            w->taps[o * w->n_taps + i] = cubic_at(d, w->one);
        }
    }
}

/* Leaves out what hardly counts at the ends, and so many that the longest row keeps all of its. `align`: kept in
 * groups of so many. */
static void shorten(weights *w, int align) {
    const int64_t cut = (int64_t)(0.002 * (double)w->one);
    int most = 0;
    for (int o = w->n_out - 1; o >= 0; o--) {
        int64_t *row = w->taps + o * w->n_taps, sum = 0;
        int used = w->n_taps;
        for (int i = 0; i < w->n_taps; i++) {
            sum += llabs(row[0]);
            if (sum > cut || (o < w->n_out - 1 && w->first[o] >= w->first[o + 1]))
                break;
            memmove(row, row + 1, (size_t)(w->n_taps - 1) * sizeof *row);
            row[w->n_taps - 1] = 0;
            w->first[o]++;
        }
        sum = 0;
        for (int i = w->n_taps - 1; i > 0; i--) {
            sum += llabs(row[i]);
            if (sum > cut)
                break;
            used--;
        }
        most = used > most ? used : most;
    }
    int n_taps = (most + align - 1) / align * align;
    n_taps = n_taps < w->n_taps ? n_taps : w->n_taps;
    for (int o = 0; o < w->n_out; o++)
        memmove(w->taps + o * n_taps, w->taps + o * w->n_taps, (size_t)n_taps * sizeof *w->taps);
    w->n_taps = n_taps;
}

/* What lies outside of the picture counts for its first or last sample. */
static void keep_inside(weights *w) {
    for (int o = 0; o < w->n_out; o++) {
        int64_t *row = w->taps + o * w->n_taps, beyond = 0;
        for (int i = 1; i < w->n_taps && w->first[o] < 0; i++) {
            int left = i + w->first[o] > 0 ? i + w->first[o] : 0;
            int64_t tap = row[i];
            row[i] = 0;
            row[left] += tap;
        }
        w->first[o] = w->first[o] < 0 ? 0 : w->first[o];
        int shift = w->first[o] + w->n_taps - w->n_in;
        if (shift <= 0)
            continue;
        for (int i = w->n_taps - shift; i < w->n_taps; i++)
            beyond += row[i];
        memmove(row + shift, row, (size_t)(w->n_taps - shift) * sizeof *row);
        memset(row, 0, (size_t)shift * sizeof *row);
        w->first[o] -= shift;
        row[w->n_taps - 1] += beyond;
    }
}

static int64_t divide_rounded(int64_t a, int64_t b) {
    return ((a >= 0) == (b > 0) ? a + (llabs(b) >> 1) : a - (llabs(b) >> 1)) / b;
}

/* Whole numbers that add up to `total`; what rounding takes from one is given to the next. */
static void write_whole(const weights *w, int total, int32_t *first, int32_t *taps) {
    for (int o = 0; o < w->n_out; o++) {
        const int64_t *row = w->taps + o * w->n_taps;
        int64_t sum = 0, error = 0;
        for (int i = 0; i < w->n_taps; i++)
            sum += row[i];
        sum = (sum + total / 2) / total;
        sum = sum ? sum : 1;
        for (int i = 0; i < w->n_taps; i++) {
            int64_t wanted = row[i] + error, whole = divide_rounded(wanted, sum);
            taps[o * w->n_taps + i] = (int32_t)whole;
            error = wanted - whole * sum;
        }
        first[o] = w->first[o];
    }
}

static int add_axis(vx_small_plan *plan, int n_in, int n_out, int total, int align,
                    vx_small_axis *ret_axis, vx_err *err) {
    int n_taps = n_in > n_out ? 1 + (4 * n_in + n_out - 1) / n_out : 5,
        ratio = log2_of(n_in / n_out);
    n_taps = n_taps < n_in - 2 ? n_taps : n_in - 2;
    VX_AUTO_FREE int64_t *taps = vx_new_array((size_t)n_out * (size_t)n_taps, sizeof *taps);
    VX_AUTO_FREE int *first = vx_new_array((size_t)n_out, sizeof *first);
    if (!taps || !first)
        return VX_FAIL(err, -ENOMEM, "no memory for resize weights");
    weights w = {n_in, n_out, n_taps, INT64_C(1) << (54 - (ratio < 8 ? ratio : 8)), taps, first};
    fill_weights(&w);
    shorten(&w, align);
    keep_inside(&w);
    int at = (int)plan->n_ints;
    int32_t *ints =
        vx_regrow(plan->ints, plan->n_ints + (size_t)(n_out * (1 + w.n_taps)), sizeof *ints);
    if (!ints)
        return VX_FAIL(err, -ENOMEM, "no memory for resize weights");
    plan->ints = ints;
    plan->n_ints += (size_t)(n_out * (1 + w.n_taps));
    if (w.n_taps >= TAPS_MAX)
        return VX_FAIL(err, -ENOTSUP, "a picture of %dx%d pixels is too large", plan->width_px,
                       plan->height_px);
    *ret_axis = (vx_small_axis){n_out, w.n_taps, at, at + n_out};
    write_whole(&w, total, ints + at, ints + at + n_out);
    return 0;
}

int vx_small_plan_new(int width_px, int height_px, vx_small_plan **ret_plan, vx_err *err) {
    enum { ACROSS = 1 << 14, DOWN = 1 << 12, ALIGN = 4 };
    VX_AUTO(vx_small_plan) plan = vx_new(vx_small_plan);
    int cw = (width_px + 1) / 2, ch = (height_px + 1) / 2;
    if (!plan)
        return VX_FAIL(err, -ENOMEM, "no memory for resize weights");
    if (cw < VX_SMALL_WIDTH || ch < VX_SMALL_HEIGHT)
        return VX_FAIL(err, -ENOTSUP, "a picture of %dx%d pixels is too small", width_px,
                       height_px);
    plan->width_px = width_px;
    plan->height_px = height_px;
    int rc = add_axis(plan, width_px, VX_SMALL_WIDTH, ACROSS, ALIGN, &plan->x[0], err);
    if (!rc)
        rc = add_axis(plan, cw, VX_SMALL_WIDTH / 2, ACROSS, ALIGN, &plan->x[1], err);
    if (!rc)
        rc = add_axis(plan, height_px, VX_SMALL_HEIGHT, DOWN, 1, &plan->y[0], err);
    if (!rc)
        rc = add_axis(plan, ch, VX_SMALL_HEIGHT, DOWN, 1, &plan->y[1], err);
    if (!rc)
        *ret_plan = vx_take(plan);
    return rc;
}

vx_small_plan *vx_small_plan_free(vx_small_plan *plan) {
    if (plan) {
        free(plan->ints);
        free(plan);
    }
    return NULL;
}

/* ---- one picture ---- */

/* Of the matrices that vx_frame_matrix knows, as sws_getCoefficients gives them: Cr to R, Cb to B, Cb and Cr to G. */
static const int *coefficients_of(int matrix) {
    static const int bt709[] = {117489, 138438, 13975, 34925},
                     bt601[] = {104597, 132201, 25675, 53279},
                     bt2020[] = {110013, 140363, 12277, 42626};
    return matrix == VX_MATRIX_BT709 ? bt709 : matrix == VX_MATRIX_BT2020_NCL ? bt2020 : bt601;
}

/* As ff_yuv2rgb_c_init_tables of libswscale. */
static void set_colour(vx_small_job *job, const vx_frame *f) {
    const int *k = coefficients_of(f->matrix);
    int64_t gain = f->full_range ? 1 << 16 : (1 << 16) * INT64_C(255) / 219;
    int64_t c[4] = {k[0], k[1], -k[2], -k[3]};
    for (int i = 0; i < 4; i++) {
        if (f->full_range)
            c[i] = c[i] * 224 / 255;
        c[i] = ((c[i] * (1 << 16)) + 0x8000) / gain;
    }
    job->gain = (int)gain;
    job->black = (int)((f->full_range ? 384 : 326) * gain - (384 << 16) -
                       (f->full_range ? 0 : 16 << 16) + 0x8000);
    job->r_cr = (int)c[0];
    job->b_cb = (int)c[1];
    job->g_cb = (int)c[2];
    job->g_cr = (int)c[3];
}

static int set_job(vx_small_job *job, const vx_small_plan *plan, const vx_frame *f, vx_err *err) {
    bool turned = f->orientation.transpose || f->orientation.flip_x || f->orientation.flip_y;
    bool known = f->matrix == VX_MATRIX_BT709 || f->matrix == VX_MATRIX_UNSPECIFIED ||
                 f->matrix == VX_MATRIX_RESERVED || f->matrix == VX_MATRIX_BT470BG ||
                 f->matrix == VX_MATRIX_SMPTE170M || f->matrix == VX_MATRIX_BT2020_NCL;
    if (f->layout != VX_FRAME_YUV_SEMIPLANAR || f->chroma_log2_w != 1 || f->chroma_log2_h != 1 ||
        f->bit_depth != 8 || turned || !known || f->width_px != plan->width_px ||
        f->height_px != plan->height_px)
        return VX_FAIL(err, -ENOTSUP, "a picture of %dx%d pixels is not plain NV12", f->width_px,
                       f->height_px);
    *job = (vx_small_job){.luma = f->planes[0],
                          .chroma = f->planes[1],
                          .luma_pitch = f->pitch_bytes[0],
                          .chroma_pitch = f->pitch_bytes[1],
                          .rows = f->height_px,
                          .chroma_rows = (f->height_px + 1) / 2,
                          .x = {plan->x[0], plan->x[1]},
                          .y = {plan->y[0], plan->y[1]}};
    set_colour(job, f);
    return 0;
}

static size_t scratch_values(const vx_small_job *job) {
    return (size_t)(job->rows + job->chroma_rows) * VX_SMALL_WIDTH;
}

int vx_small_on_card(const vx_small_plan *plan, const vx_frame *frame, vx_card *card,
                     uint8_t *ret_rgb, vx_err *err) {
    vx_small_job job = {0};
    const void *ints = NULL;
    void *scratch = NULL, *rgb = NULL;
    VX_AUTO(vx_card_work) work = NULL;
    int rc = set_job(&job, plan, frame, err);
    if (!rc)
        rc = vx_card_begin(card, &work, err);
    if (!rc)
        rc = vx_card_upload(work, plan->ints, plan->n_ints * sizeof *plan->ints, &ints, err);
    if (!rc)
        rc = vx_card_scratch(work, scratch_values(&job) * sizeof(int16_t), &scratch, err);
    if (!rc)
        rc = vx_card_results(work, VX_SMALL_BYTES, &rgb, err);
    if (rc)
        return rc;
    const vx_card_shape across = {.blocks = {(unsigned)vx_small_rows(&job), 1, 1},
                                  .threads = VX_SMALL_WIDTH};
    const vx_card_shape down = {.blocks = {VX_SMALL_HEIGHT, 1, 1}, .threads = VX_SMALL_WIDTH};
    rc = vx_card_launch(work, &vx_small_image, "vx_small_across_lines", &across,
                        (void *[]){&job, &ints, &scratch}, err);
    if (!rc)
        rc = vx_card_launch(work, &vx_small_image, "vx_small_down_rows", &down,
                            (void *[]){&job, &ints, &scratch, &rgb}, err);
    if (!rc)
        rc = vx_card_wait(work, err);
    if (!rc)
        memcpy(ret_rgb, rgb, VX_SMALL_BYTES);
    return rc;
}

/* ---- the twins ---- */

void vx_small_twin_across(const vx_small_job *job, const int32_t *ints, int16_t *scratch) {
    for (int line = 0; line < vx_small_rows(job); line++)
        for (int o = 0; o < VX_SMALL_WIDTH; o++) {
            int at, value = vx_small_across(job, ints, line, o, &at);
            if (at >= 0)
                scratch[at] = (int16_t)value;
        }
}

void vx_small_twin_down(const vx_small_job *job, const int32_t *ints, const int16_t *scratch,
                        uint8_t *rgb) {
    for (int y = 0; y < VX_SMALL_HEIGHT; y++)
        for (int x = 0; x < VX_SMALL_WIDTH; x++)
            vx_small_pixel(job, ints, scratch, x, y, rgb + 3 * (y * VX_SMALL_WIDTH + x));
}

int vx_small_twin(const vx_small_plan *plan, const vx_frame *frame, uint8_t *ret_rgb, vx_err *err) {
    vx_small_job job = {0};
    int rc = set_job(&job, plan, frame, err);
    if (rc)
        return rc;
    VX_AUTO_FREE int16_t *scratch = vx_new_array(scratch_values(&job), sizeof *scratch);
    if (!scratch)
        return VX_FAIL(err, -ENOMEM, "no memory for a small picture");
    vx_small_twin_across(&job, plan->ints, scratch);
    vx_small_twin_down(&job, plan->ints, scratch, ret_rgb);
    return 0;
}
