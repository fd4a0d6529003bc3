/* extract_model.c — see the header. */
#include "extract_model.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/trace.h"

#define CURATOR_MAX_FPS 20

void vx_extract_model_clear(vx_extract_model *part) {
    for (size_t i = 0; part->jobs && i < part->n_jobs; i++)
        vx_embed_job_free(part->jobs[i]);
    for (size_t i = 0; part->slots && i < part->n_clips; i++)
        vx_slot_free(part->slots[i]);
    free(part->jobs);
    free(part->slots);
    free(part->missing);
    free(part->ready);
    free(part->wants);
    free(part->vectors);
    *part = (vx_extract_model){.model = part->model};
}

/* ---- plan ---- */

static int compare_wants(const void *a, const void *b) {
    const vx_want *x = a, *y = b;
    if (x->frame != y->frame)
        return x->frame < y->frame ? -1 : 1;
    return x->clip < y->clip ? -1 : x->clip > y->clip;
}

static int allocate(vx_extract_model *part, vx_err *err) {
    const vx_model_info *m = part->model->info;
    size_t n = part->n_clips, T = (size_t)m->n_frames, all;
    part->picture_floats = 3 * (size_t)m->preprocess.width_px * (size_t)m->preprocess.height_px;
    part->together = m->together < VX_EMBED_MAX_SUBMIT ? (size_t)m->together : VX_EMBED_MAX_SUBMIT;
    part->wants = vx_new_array(n, T * sizeof *part->wants);
    part->slots = vx_new_array(n, sizeof *part->slots);
    part->jobs = vx_new_array(n, sizeof *part->jobs);
    part->missing = vx_new_array(n, sizeof *part->missing);
    part->ready = vx_new_array(n, sizeof *part->ready);
    part->vectors = vx_mul(n, (size_t)m->dim, &all) ? vx_new_array(all, sizeof(float)) : NULL;
    if (!part->wants || !part->slots || !part->jobs || !part->missing || !part->ready ||
        !part->vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips of model %s", n, m->name);
    for (size_t c = 0; c < n; c++)
        part->missing[c] = m->n_frames;
    return 0;
}

/* The frames of a span that the model's T are taken from. NeMo Curator doubles the rate where a clip
 * is too short for T, up to a limit where it gives up; there we go on with what there is. */
static int choose(const vx_model_info *m, const vx_media *media, const vx_span *span,
                  int64_t **ret_frames, int64_t *ret_n, vx_err *err) {
    for (double fps = m->target_fps;; fps *= 2) {
        int rc = vx_media_choose(media, span->start_s, span->end_s, fps, ret_frames, ret_n, err);
        if (rc || m->sampling != VX_SAMPLE_CURATOR || *ret_n >= m->n_frames ||
            2 * fps > CURATOR_MAX_FPS)
            return rc;
        free(*ret_frames);
        *ret_frames = NULL;
    }
}

int vx_extract_model_plan(vx_extract_model *part, const vx_media *media,
                          const vx_extract_keys *keys, const vx_span *spans, size_t n_clips,
                          vx_err *err) {
    const vx_model_info *m = part->model->info;
    part->n_clips = n_clips;
    int rc = allocate(part, err);
    for (size_t c = 0; c < n_clips && !rc; c++) {
        VX_AUTO_FREE int64_t *chosen = NULL;
        int64_t n, picks[64];
        rc = choose(m, media, &spans[c], &chosen, &n, err);
        if (rc)
            return rc;
        vx_model_sample(m, n, picks);
        for (int t = 0; t < m->n_frames; t++)
            picks[t] = chosen[picks[t]];
        vx_media_take_key_frames(media, keys->frames, keys->n, spans[c].start_s, spans[c].end_s,
                                 picks, m->n_frames);
        for (int t = 0; t < m->n_frames; t++)
            part->wants[part->n_wants++] = (vx_want){picks[t], c, t};
    }
    if (!rc)
        qsort(part->wants, part->n_wants, sizeof *part->wants, compare_wants);
    return rc;
}

/* ---- pictures ---- */

static int resize(const vx_model_info *m, vx_extract_picture *p, const vx_extract_view *view,
                  float *to, vx_err *err) {
    int rc = 0;
    if (!p->rgb)
        rc = vx_picture_rgb(p->picture, &p->rgb, err);
    if (!rc)
        rc = view ? vx_extract_prepare_view(&m->preprocess, p->rgb, view, to, err)
                  : vx_preprocess_frame(&m->preprocess, p->rgb, to, err);
    return rc;
}

static int claim(vx_extract_model *part, size_t clip, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    vx_turn_end(part->turn); /* others decode while this one waits for the model */
    int rc = vx_embedder_claim(part->model->embedder, &part->slots[clip], err);
    vx_turn_begin(part->turn);
    int64_t waited_us = vx_clock_monotonic_us() - start_us;
    part->embed_us += waited_us;
    part->prepare_us -= waited_us; /* which counts all of vx_extract_model_prepare */
    return rc;
}

static int fill_slots(vx_extract_model *part, vx_extract_picture *picture, vx_err *err) {
    const vx_model_info *m = part->model->info;
    const float *prepared = NULL;
    size_t prepared_for = 0; /* the clip whose view it is */
    for (; part->next_want < part->n_wants && part->wants[part->next_want].frame == picture->frame;
         part->next_want++) {
        const vx_want *w = &part->wants[part->next_want];
        int rc = part->slots[w->clip] ? 0 : claim(part, w->clip, err);
        if (rc)
            return rc;
        float *to = vx_slot_clip(part->slots[w->clip]) + (size_t)w->place * part->picture_floats;
        const vx_extract_view *view = part->views ? &part->views[w->clip] : NULL;
        if (!view && picture->card && vx_slot_is_pinned(part->slots[w->clip])) {
            rc = vx_extract_card_prepare(picture->card, &m->preprocess,
                                         vx_picture_frame(picture->picture), to, err);
        } else if (prepared && (!view || prepared_for == w->clip)) {
            memcpy(to, prepared, part->picture_floats * sizeof(float));
        } else {
            rc = resize(m, picture, view, to, err);
            prepared = to;
            prepared_for = w->clip;
        }
        if (rc)
            return rc;
        if (--part->missing[w->clip] == 0)
            part->ready[part->n_ready++] = w->clip;
    }
    return 0;
}

int vx_extract_model_prepare(vx_extract_model *part, vx_extract_picture *picture, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int64_t begun_us = picture->card ? 0 : vx_trace_begin();
    int rc = fill_slots(part, picture, err);
    vx_trace_end("prepare on the CPU", begun_us);
    part->prepare_us += vx_clock_monotonic_us() - start_us;
    return rc;
}

/* ---- vectors ---- */

static size_t clips_of_job(const vx_extract_model *part, size_t job) {
    size_t left = part->n_submitted - job * part->together;
    return left < part->together ? left : part->together;
}

static int submit(vx_extract_model *part, size_t n, vx_err *err) {
    vx_slot *slots[VX_EMBED_MAX_SUBMIT];
    for (size_t i = 0; i < n; i++)
        slots[i] = vx_take(part->slots[part->ready[part->n_submitted + i]]);
    int rc =
        vx_embedder_submit(part->model->embedder, slots, (int)n, &part->jobs[part->n_jobs], err);
    if (rc)
        return rc;
    part->n_jobs++;
    part->n_submitted += n;
    return 0;
}

/* Takes the vectors of the next job. */
static int take_vectors(vx_extract_model *part, vx_err *err) {
    size_t dim = (size_t)part->model->info->dim, job = part->n_done_jobs;
    size_t n = clips_of_job(part, job);
    VX_AUTO_FREE float *vectors = vx_new_array(n * dim, sizeof(float));
    if (!vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", n);
    int rc = vx_embed_job_await(part->jobs[job], vectors, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++)
        memcpy(part->vectors + part->ready[job * part->together + i] * dim, vectors + i * dim,
               dim * sizeof(float));
    part->jobs[job] = vx_embed_job_free(part->jobs[job]);
    part->n_done_jobs++;
    return 0;
}

/* Looks at jobs that are done during the decode too: a model that fails should fail early. */
int vx_extract_model_embed(vx_extract_model *part, bool finish, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = 0;
    while (!rc && part->n_ready > part->n_submitted && /* a model that has failed has none */
           part->n_ready - part->n_submitted >= part->together)
        rc = submit(part, part->together, err);
    if (!rc && finish && part->n_ready > part->n_submitted)
        rc = submit(part, part->n_ready - part->n_submitted, err);
    while (!rc && part->n_done_jobs < part->n_jobs &&
           (finish || vx_embed_job_is_done(part->jobs[part->n_done_jobs])))
        rc = take_vectors(part, err);
    part->embed_us += vx_clock_monotonic_us() - start_us;
    return rc;
}
