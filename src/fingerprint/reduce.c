/* reduce.c — plans and launches of reduce.cu, and its twins on the CPU. */
#include "reduce.h"

#include <errno.h>
#include <string.h>

#include "frame/tone.h"

enum { GRID = VX_PDQ_GRID, MOST_PARTS = 65535 };

/* The axes of all jobs; parts of one size share theirs. */
typedef struct tables {
    int32_t *ints; /* [n] */
    size_t n, capacity;
    struct { /* where the axis for so many pixels is */
        int px, at, n_taps;
    } known[32];
    size_t n_known;
} tables;

int vx_fp_check_card(vx_card *card, vx_err *err) {
    return vx_card_load(card, &vx_reduce_image, err);
}

vx_fp_box vx_reduce_whole(const vx_frame *f) {
    bool turned = f->orientation.transpose;
    return (vx_fp_box){0, 0, turned ? f->height_px : f->width_px,
                       turned ? f->width_px : f->height_px};
}

static int append_axis(tables *t, const vx_pdq_axis *axis, vx_err *err) {
    size_t n_taps = (size_t)GRID * (size_t)axis->n_taps, more = 2 * GRID + n_taps;
    if (t->n + more > t->capacity) {
        size_t capacity = 2 * (t->n + more);
        int32_t *ints = vx_regrow(t->ints, capacity, sizeof *ints);
        if (!ints)
            return VX_FAIL(err, -ENOMEM, "no memory for the weights of fingerprints");
        t->ints = ints;
        t->capacity = capacity;
    }
    memcpy(t->ints + t->n, axis->first, sizeof axis->first);
    memcpy(t->ints + t->n + GRID, axis->n_used, sizeof axis->n_used);
    memcpy(t->ints + t->n + 2 * GRID, axis->taps, n_taps * sizeof(float));
    t->n += more;
    return 0;
}

/* Where the axis for that many pixels is, which is made if there is none. */
static int find_axis(tables *t, int px, int *ret_at, int *ret_n_taps, vx_err *err) {
    for (size_t i = 0; i < t->n_known; i++)
        if (t->known[i].px == px) {
            *ret_at = t->known[i].at;
            *ret_n_taps = t->known[i].n_taps;
            return 0;
        }
    vx_pdq_axis axis = {0};
    int rc = vx_pdq_axis_init(&axis, px, err);
    *ret_at = (int)t->n;
    *ret_n_taps = axis.n_taps;
    if (rc == 0)
        rc = append_axis(t, &axis, err);
    free(axis.taps);
    size_t slot = t->n_known < VX_LEN(t->known) ? t->n_known++ : VX_LEN(t->known) - 1;
    t->known[slot].px = px;
    t->known[slot].at = *ret_at;
    t->known[slot].n_taps = *ret_n_taps;
    return rc;
}

/* The tables that an HDR picture needs; those of the picture before serve most. */
typedef struct tone {
    const vx_tone *here;
    const void *there; /* on the card */
} tone;

static int set_tone(vx_samples *samples, const vx_frame *frame, tone *last, vx_card_work *work,
                    vx_err *err) {
    int rc = 0;
    if (!vx_frame_is_hdr(frame))
        return 0;
    if (!last->here || !vx_tone_fits(last->here, frame)) {
        last->here = vx_tone_unref(last->here);
        rc = vx_tone_get(frame, &last->here, err);
        if (rc == 0)
            rc = vx_card_upload(work, last->here, sizeof *last->here, &last->there, err);
    }
    samples->tone = last->there;
    return rc;
}

static int set_part(vx_reduce_part *part, const vx_reduce_job *job, tables *t, vx_err *err) {
    const vx_frame *f = job->frame;
    if (!vx_frame_samples(f, &part->luma.s))
        return VX_FAIL(err, -EINVAL, "no fingerprint on the card of a %dx%d picture", f->width_px,
                       f->height_px);
    int unit = 1 << (f->bit_depth - 8);
    part->luma.black = f->full_range ? 0 : 16 * unit;
    part->luma.range = f->full_range ? (1 << f->bit_depth) - 1 : 219 * unit;
    part->box = job->box;
    int rc = find_axis(t, job->box.w_px, &part->x_axis, &part->x_taps, err);
    return rc ? rc : find_axis(t, job->box.h_px, &part->y_axis, &part->y_taps, err);
}

static int launch(const vx_reduce_part *parts, int n, const tables *t, bool trims,
                  vx_card_work *work, vx_err *err) {
    const void *parts_there, *tables_there;
    int widest = 0;
    for (int i = 0; i < n; i++)
        widest = parts[i].box.w_px > widest ? parts[i].box.w_px : widest;
    const vx_card_shape reduce = {.blocks = {GRID, 1, (unsigned)n},
                                  .threads = 256,
                                  .shared_bytes = (size_t)widest * sizeof(float)};
    const vx_card_shape trim = {.blocks = {1, 1, (unsigned)n}, .threads = VX_FP_SAMPLES};
    int rc = vx_card_upload(work, parts, (size_t)n * sizeof *parts, &parts_there, err);
    if (rc == 0)
        rc = vx_card_upload(work, t->ints, t->n * sizeof *t->ints, &tables_there, err);
    if (rc == 0)
        rc = vx_card_launch(work, &vx_reduce_image, "vx_reduce", &reduce,
                            (void *[]){&parts_there, &tables_there}, err);
    if (rc == 0 && trims)
        rc = vx_card_launch(work, &vx_reduce_image, "vx_reduce_trim", &trim,
                            (void *[]){&parts_there}, err);
    return rc;
}

int vx_reduce_on_card(const vx_reduce_job *jobs, int n, vx_card_work *work,
                      float (**ret_grids)[GRID][GRID], vx_fp_box **ret_trimmed, vx_err *err) {
    VX_AUTO_FREE vx_reduce_part *parts = vx_new_array((size_t)n, sizeof *parts);
    tables t = {0};
    tone last = {0};
    void *grids, *trimmed;
    bool trims = false;
    if (!parts || n > MOST_PARTS)
        return VX_FAIL(err, -ENOMEM, "no memory for %d fingerprints", n);
    int rc = vx_card_results(work, (size_t)n * sizeof **ret_grids, &grids, err);
    if (rc == 0)
        rc = vx_card_results(work, (size_t)n * sizeof **ret_trimmed, &trimmed, err);
    if (rc != 0)
        return rc;
    *ret_grids = grids;
    *ret_trimmed = trimmed;
    for (int i = 0; i < n && rc == 0; i++) {
        parts[i].grid = (*ret_grids)[i][0];
        parts[i].trimmed = jobs[i].trims ? *ret_trimmed + i : NULL;
        trims |= jobs[i].trims;
        rc = set_part(&parts[i], &jobs[i], &t, err);
        if (rc == 0)
            rc = set_tone(&parts[i].luma.s, jobs[i].frame, &last, work, err);
    }
    if (rc == 0)
        rc = launch(parts, n, &t, trims, work, err);
    vx_tone_unref(last.here);
    free(t.ints);
    return rc;
}

/* ---- twins ---- */

void vx_reduce_twin(const vx_reduce_part *parts, int n, const int32_t *tables_there) {
    static _Thread_local float sums[VX_FRAME_MOST_PX];
    for (const vx_reduce_part *p = parts; p < parts + n; p++)
        for (int o = 0; o < GRID; o++) {
            for (int x = 0; x < p->box.w_px; x++)
                sums[x] = vx_reduce_down(p, tables_there, o, x);
            for (int g = 0; g < GRID; g++)
                p->grid[GRID * o + g] = vx_reduce_across(p, tables_there, sums, g);
        }
}

void vx_reduce_twin_trim(const vx_reduce_part *parts, int n) {
    for (const vx_reduce_part *p = parts; p < parts + n; p++)
        if (p->trimmed)
            *p->trimmed = vx_fp_trim_bars(&p->luma);
}
