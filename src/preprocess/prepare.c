/* prepare.c — plans pictures for prepare.h, and the twin that runs a plan on the CPU. */
#include "prepare.h"

#include <errno.h>
#include <string.h>

#include "frame/tone.h"
#include "resample.h"

static int set_picture(vx_prepare_picture *p, const vx_preprocess_job *job, vx_err *err) {
    const vx_frame *f = job->frame;
    *p = (vx_prepare_picture){.place = job->place};
    if (!vx_frame_samples(f, &p->s))
        return VX_FAIL(
            err, VX_PREPROCESS_BAD_SHAPE,
            "a picture of %dx%d pixels is not NV12 or P010, or its colour matrix %d is a "
            "rare one",
            f->width_px, f->height_px, f->matrix);
    return vx_frame_is_hdr(f) ? vx_tone_get(f, &p->s.tone, err) : 0;
}

static int put_axis(vx_prepare_plan *plan, const vx_axis *axis, vx_prepare_axis *ret, vx_err *err) {
    size_t n = (size_t)axis->n_out, n_taps = n * (size_t)axis->n_taps, more = 2 * n + n_taps;
    if (plan->n_ints + more > INT32_MAX)
        return VX_FAIL(err, VX_PREPROCESS_BAD_SHAPE, "too many pictures at once");
    if (plan->n_ints + more > plan->capacity) {
        size_t capacity = 2 * (plan->n_ints + more);
        int32_t *ints = vx_regrow(plan->ints, capacity, sizeof *ints);
        if (!ints)
            return VX_FAIL(err, -ENOMEM, "no memory for resize weights");
        plan->ints = ints;
        plan->capacity = capacity;
    }
    int at = (int)plan->n_ints;
    *ret = (vx_prepare_axis){.n_out = axis->n_out,
                             .n_taps = axis->n_taps,
                             .first = at,
                             .n_used = at + axis->n_out,
                             .taps = at + 2 * axis->n_out};
    memcpy(plan->ints + ret->first, axis->first, n * sizeof(int32_t));
    memcpy(plan->ints + ret->n_used, axis->n_used, n * sizeof(int32_t));
    memcpy(plan->ints + ret->taps, axis->taps, n_taps * sizeof(int32_t));
    plan->n_ints += more;
    return 0;
}

/* The axes of picture i: those of an earlier one of its upright size, or new ones. */
static int set_axes(vx_prepare_plan *plan, const vx_preprocess_spec *spec, int i, vx_err *err) {
    vx_prepare_picture *p = &plan->pictures[i];
    for (int k = i - 1; k >= 0; k--) {
        const vx_prepare_picture *q = &plan->pictures[k];
        if (q->s.w == p->s.w && q->s.h == p->s.h && q->s.transpose == p->s.transpose) {
            p->x_axis = q->x_axis;
            p->y_axis = q->y_axis;
            return 0;
        }
    }
    VX_AUTO(vx_axis) x = NULL;
    VX_AUTO(vx_axis) y = NULL;
    int w = p->s.transpose ? p->s.h : p->s.w, h = p->s.transpose ? p->s.w : p->s.h;
    int rc = vx_preprocess_axes(spec, w, h, &x, &y, err);
    if (!rc)
        rc = put_axis(plan, x, &p->x_axis, err);
    return rc ? rc : put_axis(plan, y, &p->y_axis, err);
}

static void set_scratch(vx_prepare_plan *plan, vx_prepare_picture *p) {
    const vx_prepare_axis *y = &p->y_axis;
    if (p->two_taps)
        return;
    const int32_t *first = plan->ints + y->first, *n_used = plan->ints + y->n_used;
    p->from = first[0]; /* windows move one way, so the ends bound them all */
    p->to = first[y->n_out - 1] + n_used[y->n_out - 1];
    p->narrow = plan->narrow_bytes;
    plan->narrow_bytes += (size_t)(p->to - p->from) * 3 * (size_t)p->x_axis.n_out;
    plan->most_rows = p->to - p->from > plan->most_rows ? p->to - p->from : plan->most_rows;
    int columns = p->s.transpose ? p->s.h : p->s.w;
    plan->most_columns = columns > plan->most_columns ? columns : plan->most_columns;
}

int vx_prepare_plan_new(const vx_preprocess_spec *spec, const vx_preprocess_job *jobs, int n,
                        bool bf16, vx_prepare_plan **ret_plan, vx_err *err) {
    VX_AUTO(vx_prepare_plan) plan = vx_new(vx_prepare_plan);
    if (n < 1 || !plan || !(plan->pictures = vx_new_array((size_t)n, sizeof *plan->pictures)))
        return VX_FAIL(err, n < 1 ? -EINVAL : -ENOMEM, "no plan for %d pictures", n);
    plan->n = n;
    plan->bf16 = bf16;
    plan->w_out = spec->width_px;
    plan->h_out = spec->height_px;
    for (int i = 0; i < n; i++) {
        int rc = set_picture(&plan->pictures[i], &jobs[i], err);
        if (!rc)
            rc = set_axes(plan, spec, i, err);
        if (rc)
            return rc;
        plan->pictures[i].two_taps = spec->filter == VX_RESIZE_BILINEAR;
        set_scratch(plan, &plan->pictures[i]);
    }
    vx_preprocess_values(spec, plan->values);
    *ret_plan = vx_take(plan);
    return 0;
}

vx_prepare_plan *vx_prepare_plan_free(vx_prepare_plan *plan) {
    if (plan) {
        for (int i = 0; i < plan->n && plan->pictures; i++)
            vx_tone_unref(plan->pictures[i].s.tone);
        free(plan->pictures);
        free(plan->ints);
        free(plan);
    }
    return NULL;
}

/* ---- the twin ---- */

/* The nearest bfloat16, ties to even; values are finite. */
static uint16_t bf16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void write_value(void *place, int bf16, size_t at, float value) {
    if (bf16)
        ((uint16_t *)place)[at] = bf16_of(value);
    else
        ((float *)place)[at] = value;
}

void vx_prepare_twin_across(const vx_prepare_picture *pictures, int n, const int32_t *ints,
                            uint8_t *scratch) {
    static _Thread_local uint8_t line[3 * VX_FRAME_MOST_PX];
    for (const vx_prepare_picture *p = pictures; p < pictures + n; p++) {
        uint8_t *narrow = scratch + p->narrow;
        int from, to, rgb[3];
        vx_pixel_columns(p, ints, &from, &to);
        for (int row = p->from; row < p->to; row++) {
            for (int x = from; x < to; x++) {
                vx_samples_rgb(&p->s, x, row, rgb);
                for (int c = 0; c < 3; c++)
                    line[3 * (x - from) + c] = (uint8_t)rgb[c];
            }
            for (int o = 0; o < p->x_axis.n_out; o++, narrow += 3)
                vx_pixel_across(p, ints, line, from, o, narrow);
        }
    }
}

void vx_prepare_twin_down(const vx_prepare_picture *pictures, int n, const int32_t *ints,
                          const uint8_t *scratch, const float *values, int bf16) {
    for (const vx_prepare_picture *p = pictures; p < pictures + n; p++) {
        int w = p->x_axis.n_out, h = p->y_axis.n_out, bytes[3];
        for (int o = 0; o < h; o++)
            for (int x = 0; x < w; x++) {
                vx_pixel_output(p, ints, scratch, x, o, bytes);
                for (int c = 0; c < 3; c++)
                    write_value(p->place, bf16, (size_t)((c * h + o) * w + x),
                                values[256 * c + bytes[c]]);
            }
    }
}

int vx_prepare_twin(const vx_prepare_plan *plan, vx_err *err) {
    VX_AUTO_FREE uint8_t *scratch = malloc(plan->narrow_bytes + 1);
    if (!scratch)
        return VX_FAIL(err, -ENOMEM, "no memory to prepare %d pictures", plan->n);
    if (plan->narrow_bytes > 0)
        vx_prepare_twin_across(plan->pictures, plan->n, plan->ints, scratch);
    vx_prepare_twin_down(plan->pictures, plan->n, plan->ints, scratch, plan->values[0], plan->bf16);
    return 0;
}
