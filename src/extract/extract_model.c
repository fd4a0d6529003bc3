/* extract_model.c — see the header. */
#include "extract_model.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define BATCH_CLIPS 8 /* the embedder joins the batches of several videos */
#define CURATOR_MAX_FPS 20

void vx_extract_model_clear(vx_extract_model *part) {
    for (size_t i = 0; part->tensors && i < part->n_clips; i++)
        free(part->tensors[i]);
    free(part->tensors);
    free(part->missing);
    free(part->ready);
    free(part->batch_tensor);
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
    size_t n = part->n_clips, T = (size_t)m->n_frames, plane, all;
    if (!vx_mul((size_t)m->preprocess.width_px, (size_t)m->preprocess.height_px, &plane) ||
        !vx_mul(plane * 3, T, &part->tensor_floats))
        return VX_FAIL(err, -EINVAL, "model %s has an impossible input size", m->name);
    part->batch = n < BATCH_CLIPS ? n : BATCH_CLIPS;
    part->wants = vx_new_array(n, T * sizeof *part->wants);
    part->tensors = vx_new_array(n, sizeof *part->tensors);
    part->missing = vx_new_array(n, sizeof *part->missing);
    part->ready = vx_new_array(n, sizeof *part->ready);
    part->vectors = vx_mul(n, (size_t)m->dim, &all) ? vx_new_array(all, sizeof(float)) : NULL;
    if (part->batch > 1) /* a single clip is run where it lies */
        part->batch_tensor = vx_new_array(part->batch * part->tensor_floats, sizeof(float));
    if (!part->wants || !part->tensors || !part->missing || !part->ready || !part->vectors ||
        (part->batch > 1 && !part->batch_tensor))
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

int vx_extract_model_plan(vx_extract_model *part, const vx_media *media, const vx_span *spans,
                          size_t n_clips, vx_err *err) {
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
            part->wants[part->n_wants++] = (vx_want){chosen[picks[t]], c, t};
    }
    if (!rc)
        qsort(part->wants, part->n_wants, sizeof *part->wants, compare_wants);
    return rc;
}

/* ---- pictures ---- */

static int resize(const vx_model_info *m, vx_extract_picture *p, float *slot, vx_err *err) {
    int rc = 0;
    if (!p->rgb)
        rc = vx_picture_rgb(p->picture, &p->rgb, err);
    return rc ? rc : vx_preprocess_frame(&m->preprocess, p->rgb, slot, err);
}

static int fill_slots(vx_extract_model *part, vx_extract_picture *picture, vx_err *err) {
    const vx_model_info *m = part->model->info;
    size_t picture_floats = part->tensor_floats / (size_t)m->n_frames;
    const float *prepared = NULL;
    for (; part->next_want < part->n_wants && part->wants[part->next_want].frame == picture->frame;
         part->next_want++) {
        const vx_want *w = &part->wants[part->next_want];
        float **tensor = &part->tensors[w->clip];
        if (!*tensor && !(*tensor = vx_new_array(part->tensor_floats, sizeof(float))))
            return VX_FAIL(err, -ENOMEM, "no memory for a clip's tensor");
        float *slot = *tensor + (size_t)w->slot * picture_floats;
        if (prepared) {
            memcpy(slot, prepared, picture_floats * sizeof(float));
        } else {
            int rc = resize(m, picture, slot, err);
            if (rc)
                return rc;
        }
        prepared = slot;
        if (--part->missing[w->clip] == 0)
            part->ready[part->n_ready++] = w->clip;
    }
    return 0;
}

int vx_extract_model_prepare(vx_extract_model *part, vx_extract_picture *picture, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = fill_slots(part, picture, err);
    part->prepare_us += vx_clock_monotonic_us() - start_us;
    return rc;
}

/* ---- vectors ---- */

/* Embeds n complete clips (at most a batch) and frees their tensors. */
static int embed_clips(vx_extract_model *part, const size_t *clips, size_t n, vx_err *err) {
    size_t dim = (size_t)part->model->info->dim;
    const float *input = part->tensors[clips[0]];
    if (n > 1) {
        for (size_t i = 0; i < n; i++)
            memcpy(part->batch_tensor + i * part->tensor_floats, part->tensors[clips[i]],
                   part->tensor_floats * sizeof(float));
        input = part->batch_tensor;
    }
    VX_AUTO_FREE float *vectors = vx_new_array(n * dim, sizeof(float));
    if (!vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", n);
    int rc = vx_embedder_run(part->model->embedder, input, (int)n, vectors, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        memcpy(part->vectors + clips[i] * dim, vectors + i * dim, dim * sizeof(float));
        free(vx_take(part->tensors[clips[i]]));
    }
    return 0;
}

bool vx_extract_model_is_due(const vx_extract_model *part, bool all) {
    return part->n_ready && (all || part->n_ready >= part->batch);
}

/* Clips that end on the same picture can make more than one batch ready at once. */
int vx_extract_model_embed(vx_extract_model *part, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = 0;
    for (size_t first = 0; first < part->n_ready && !rc; first += part->batch) {
        size_t left = part->n_ready - first;
        rc = embed_clips(part, part->ready + first, left < part->batch ? left : part->batch, err);
    }
    part->n_ready = 0;
    part->embed_us += vx_clock_monotonic_us() - start_us;
    return rc;
}
