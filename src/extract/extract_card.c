/* extract_card.c — see the header. */
#include "extract_card.h"

#include <errno.h>

#include "base/log.h"
#include "base/trace.h"

enum { MAX_HELD_BYTES = 32 << 20 };

bool vx_extract_card_takes(const vx_extract_card *c, const vx_frame *frame) {
    vx_samples samples;
    return c->card && frame->device != VX_FRAME_HOST && vx_frame_samples(frame, &samples);
}

/* Sees to it that the picture, which is the last one that came, is held. There is room. */
static void hold(vx_extract_card *c, const vx_frame *frame) {
    if (c->n_held > 0 && c->held[c->n_held - 1] == frame)
        return;
    c->held[c->n_held++] = vx_frame_ref(frame);
    c->held_bytes += (int64_t)frame->width_px * frame->height_px * frame->sample_bytes * 3 / 2;
}

int vx_extract_card_hash(vx_extract_card *c, const vx_frame *frame, bool stored, vx_err *err) {
    int rc = vx_extract_card_is_full(c) ? vx_extract_card_flush(c, err) : 0;
    if (rc)
        return rc;
    hold(c, frame);
    c->hashes[c->n_hashes++] = (vx_fp_picture){.frame = frame, .stored = stored};
    return 0;
}

int vx_extract_card_prepare(vx_extract_card *c, const vx_preprocess_spec *spec,
                            const vx_frame *frame, float *place, vx_err *err) {
    bool held = c->n_held > 0 && c->held[c->n_held - 1] == frame;
    int rc = !held && vx_extract_card_is_full(c) ? vx_extract_card_flush(c, err) : 0;
    if (rc)
        return rc;
    if (!vx_make_room(c->jobs, c->n_jobs, c->jobs_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for the pictures of a clip");
    hold(c, frame);
    c->jobs[c->n_jobs++] =
        (vx_extract_job){spec, {.frame = c->held[c->n_held - 1], .place = place}};
    return 0;
}

bool vx_extract_card_is_full(const vx_extract_card *c) {
    return c->n_held == VX_EXTRACT_HELD || c->held_bytes >= MAX_HELD_BYTES;
}

static void let_go(vx_extract_card *c) {
    for (size_t i = 0; i < c->n_held; i++)
        vx_frame_unref(c->held[i]);
    c->n_held = c->n_hashes = c->n_jobs = 0;
    c->held_bytes = 0;
}

/* The jobs of each model, together. */
static int enqueue_jobs(vx_extract_card *c, vx_card_work *work, vx_err *err) {
    VX_AUTO_FREE vx_preprocess_job *jobs = vx_new_array(c->n_jobs + 1, sizeof *jobs);
    int rc = jobs ? 0 : VX_FAIL(err, -ENOMEM, "no memory for the pictures of a clip");
    for (size_t i = 0; i < c->n_jobs && !rc; i++) {
        const vx_preprocess_spec *spec = c->jobs[i].spec;
        size_t earlier = 0;
        while (c->jobs[earlier].spec != spec)
            earlier++;
        if (earlier < i) /* went with the first of its model */
            continue;
        int n = 0;
        for (size_t k = i; k < c->n_jobs; k++)
            if (c->jobs[k].spec == spec)
                jobs[n++] = c->jobs[k].job;
        rc = vx_preprocess_on_card(spec, jobs, n, work, err);
    }
    return rc;
}

static int run_on_card(vx_extract_card *c, vx_err *err) {
    VX_AUTO(vx_card_work) work = NULL;
    VX_AUTO(vx_fp_batch) batch = NULL;
    int rc = vx_card_begin(c->card, &work, err);
    if (!rc && c->n_hashes > 0)
        rc = vx_fp_batch_begin(c->track, c->hashes, (int)c->n_hashes, work, &batch, err);
    if (!rc)
        rc = enqueue_jobs(c, work, err);
    if (!rc)
        rc = vx_card_wait(work, err);
    return !rc && batch ? vx_fp_batch_add(batch, err) : rc;
}

/* What vx_extract_card_hash and _prepare promised for one picture. */
static int convert(vx_extract_card *c, const vx_frame *frame, size_t *next_hash, vx_err *err) {
    const vx_frame *luma, *rgb = NULL;
    int rc = 0;
    vx_picture_set(c->picture, frame);
    if (*next_hash < c->n_hashes && c->hashes[*next_hash].frame == frame) {
        rc = vx_picture_luma(c->picture, &luma, err);
        if (!rc)
            rc = vx_fp_track_add(c->track, luma, c->hashes[(*next_hash)++].stored, err);
    }
    for (size_t i = 0; i < c->n_jobs && !rc; i++) {
        const vx_extract_job *j = &c->jobs[i];
        if (j->job.frame != frame)
            continue;
        if (!rgb)
            rc = vx_picture_rgb(c->picture, &rgb, err);
        if (!rc)
            rc = vx_preprocess_frame(j->spec, rgb, j->job.place, err);
    }
    return rc;
}

static int run_on_cpu(vx_extract_card *c, vx_err *err) {
    size_t next_hash = 0;
    int rc = 0;
    if (!c->picture && !(c->picture = vx_picture_new()))
        return VX_FAIL(err, -ENOMEM, "no memory for a picture");
    for (size_t i = 0; i < c->n_held && !rc; i++)
        rc = convert(c, c->held[i], &next_hash, err);
    return rc;
}

int vx_extract_card_flush(vx_extract_card *c, vx_err *err) {
    vx_err why = {0};
    if (c->n_held == 0)
        return 0;
    int64_t begun_us = vx_trace_begin();
    int rc = run_on_card(c, &why);
    vx_trace_end("prepare on the GPU", begun_us);
    if (rc) {
        vx_log_failed(VX_LOG_WARN, "prepare", &why, "pictures=%zu by=cpu", c->n_held);
        c->n_left_to_cpu += (int64_t)c->n_held;
        rc = run_on_cpu(c, err);
    } else {
        c->n_prepared += (int64_t)c->n_held;
    }
    let_go(c);
    return rc;
}

void vx_extract_card_forget(vx_extract_card *c, const vx_preprocess_spec *spec) {
    size_t kept = 0;
    for (size_t i = 0; i < c->n_jobs; i++)
        if (c->jobs[i].spec != spec)
            c->jobs[kept++] = c->jobs[i];
    c->n_jobs = kept;
}

void vx_extract_card_clear(vx_extract_card *c) {
    let_go(c);
    free(c->jobs);
    vx_picture_free(c->picture);
    *c = (vx_extract_card){0};
}
