#include "extract.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define FINGERPRINT_FPS 2.0

/* One picture that one clip's tensor wants. Sorted by frame, so that a cursor follows the decode.
 */
typedef struct want {
    int64_t frame;
    size_t clip;
    int slot; /* 0..T-1 within the clip */
} want;

/* A run in progress. */
typedef struct run {
    vx_server *server;
    const vx_model_info *model;
    const vx_extract_watch *watch;
    vx_extract *out;
    vx_media *media;

    want *wants;
    size_t n_wants, next_want;
    int64_t *fp_frames; /* frames to fingerprint, ascending, unique */
    size_t n_fp_frames, next_fp;
    int64_t *frames; /* the union of both, ascending, unique */
    size_t n_frames, n_seen;

    size_t tensor_floats; /* T·3·H·W */
    float **tensors;      /* [n_clips], NULL until a picture arrives and after embedding */
    int *missing;         /* [n_clips] pictures still to come */
    size_t *ready;        /* clips complete and not embedded yet */
    size_t n_ready, batch;
    float *batch_tensor; /* [batch, T,3,H,W] */
    vx_outcome outcome;  /* why a callback stopped the decode */
    int64_t prepare_us, embed_us;
} run;

void vx_extract_clear(vx_extract *extract) {
    free(extract->spans);
    free(extract->vectors);
    free(extract->frames);
    free(extract->mirrored);
    *extract = (vx_extract){0};
}

static void run_clear(run *r) {
    for (size_t i = 0; r->tensors && i < r->out->n_clips; i++)
        free(r->tensors[i]);
    free(r->tensors);
    free(r->missing);
    free(r->ready);
    free(r->batch_tensor);
    free(r->wants);
    free(r->fp_frames);
    free(r->frames);
    vx_media_free(r->media);
}

static void tell_phase(const run *r, vx_phase phase, int64_t done, int64_t total) {
    if (r->watch && r->watch->on_phase)
        r->watch->on_phase(r->watch->ctx, phase, done, total);
}

static void tell_time(const run *r, vx_phase phase, int64_t us) {
    if (r->watch && r->watch->on_time)
        r->watch->on_time(r->watch->ctx, phase, us);
}

static bool is_cancelled(const run *r) {
    return r->watch && r->watch->cancelled && r->watch->cancelled(r->watch->ctx);
}

static vx_outcome outcome_of_media(int rc) {
    switch (rc) {
    case VX_MEDIA_UNSUPPORTED:
        return VX_OUTCOME_MEDIA_UNSUPPORTED;
    case VX_MEDIA_NO_VIDEO:
        return VX_OUTCOME_MEDIA_NO_VIDEO;
    case VX_MEDIA_DAMAGED:
        return VX_OUTCOME_MEDIA_DAMAGED;
    case VX_MEDIA_TOO_LARGE:
        return VX_OUTCOME_MEDIA_TOO_LARGE;
    default:
        return rc == -ENOSPC ? VX_OUTCOME_NO_SPACE : VX_OUTCOME_INTERNAL;
    }
}

static int compare_wants(const void *a, const void *b) {
    const want *x = a, *y = b;
    if (x->frame != y->frame)
        return x->frame < y->frame ? -1 : 1;
    return x->clip < y->clip ? -1 : x->clip > y->clip;
}

static size_t unique_sorted(int64_t *frames, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || frames[i] != frames[kept - 1])
            frames[kept++] = frames[i];
    return kept;
}

/* The T frames of every clip. */
static int plan_clips(run *r, vx_err *err) {
    size_t n_clips = r->out->n_clips, T = (size_t)r->model->n_frames;
    r->wants = vx_new_array(n_clips, T * sizeof *r->wants);
    if (!r->wants)
        return VX_FAIL(err, -ENOMEM, "no memory for the frames of %zu clips", n_clips);
    for (size_t c = 0; c < n_clips; c++) {
        VX_AUTO_FREE int64_t *chosen = NULL;
        int64_t n, picks[64];
        int rc = vx_media_choose(r->media, r->out->spans[c].start_s, r->out->spans[c].end_s,
                                 r->model->target_fps, &chosen, &n, err);
        if (rc)
            return rc;
        vx_model_sample(r->model, n, picks);
        for (size_t t = 0; t < T; t++)
            r->wants[r->n_wants++] = (want){chosen[picks[t]], c, (int)t};
    }
    qsort(r->wants, r->n_wants, sizeof *r->wants, compare_wants);
    return 0;
}

static int plan_fingerprints(run *r, vx_err *err) {
    if (!r->server->params.fingerprints)
        return 0;
    int64_t n;
    int rc = vx_media_choose(r->media, 0, r->out->info.duration_s, FINGERPRINT_FPS, &r->fp_frames,
                             &n, err);
    if (rc)
        return rc;
    r->n_fp_frames = unique_sorted(r->fp_frames, (size_t)n);
    r->out->frames = vx_new_array(r->n_fp_frames, sizeof *r->out->frames);
    r->out->mirrored = vx_new_array(r->n_fp_frames, sizeof *r->out->mirrored);
    if (!r->out->frames || !r->out->mirrored)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu fingerprints", r->n_fp_frames);
    return 0;
}

/* Merges both ascending lists into the frames to decode. */
static int plan_union(run *r, vx_err *err) {
    r->frames = vx_new_array(r->n_wants + r->n_fp_frames, sizeof *r->frames);
    if (!r->frames)
        return VX_FAIL(err, -ENOMEM, "no memory for the frame list");
    size_t n = 0, i = 0, j = 0;
    while (i < r->n_wants || j < r->n_fp_frames) {
        bool take_want =
            j == r->n_fp_frames || (i < r->n_wants && r->wants[i].frame <= r->fp_frames[j]);
        r->frames[n++] = take_want ? r->wants[i++].frame : r->fp_frames[j++];
    }
    r->n_frames = unique_sorted(r->frames, n);
    return 0;
}

static int allocate_clips(run *r, vx_err *err) {
    const vx_model_info *m = r->model;
    size_t n = r->out->n_clips, T = (size_t)m->n_frames, plane, all;
    if (!vx_mul((size_t)m->preprocess.width_px, (size_t)m->preprocess.height_px, &plane) ||
        !vx_mul(plane * 3, T, &r->tensor_floats))
        return VX_FAIL(err, -EINVAL, "model %s has an impossible input size", m->name);
    r->batch = n < 8 ? n : 8;
    r->tensors = vx_new_array(n, sizeof *r->tensors);
    r->missing = vx_new_array(n, sizeof *r->missing);
    r->ready = vx_new_array(n, sizeof *r->ready);
    r->out->vectors = vx_mul(n, (size_t)m->dim, &all) ? vx_new_array(all, sizeof(float)) : NULL;
    if (r->batch > 1) /* a single clip is run where it lies */
        r->batch_tensor = vx_new_array(r->batch * r->tensor_floats, sizeof(float));
    if (!r->tensors || !r->missing || !r->ready || !r->out->vectors ||
        (r->batch > 1 && !r->batch_tensor))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", n);
    for (size_t c = 0; c < n; c++)
        r->missing[c] = m->n_frames;
    return 0;
}

/* Embeds n complete clips (at most a batch) and frees their tensors. */
static int embed_clips(run *r, const size_t *clips, size_t n, vx_err *err) {
    size_t dim = (size_t)r->model->dim;
    const float *input = r->tensors[clips[0]];
    if (n > 1) {
        for (size_t i = 0; i < n; i++)
            memcpy(r->batch_tensor + i * r->tensor_floats, r->tensors[clips[i]],
                   r->tensor_floats * sizeof(float));
        input = r->batch_tensor;
    }
    VX_AUTO_FREE float *vectors = vx_new_array(n * dim, sizeof(float));
    if (!vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", n);
    int rc = vx_embedder_run(r->server->embedder, input, (int)n, vectors, err);
    if (rc == VX_EMBED_CLOSED)
        r->outcome = VX_OUTCOME_STOPPING;
    if (rc)
        return rc;
    for (size_t i = 0; i < n; i++) {
        memcpy(r->out->vectors + clips[i] * dim, vectors + i * dim, dim * sizeof(float));
        free(vx_take(r->tensors[clips[i]]));
    }
    return 0;
}

/* Clips that end on the same picture can make more than one batch ready at once. */
static int embed_ready(run *r, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = 0;
    for (size_t first = 0; first < r->n_ready && !rc; first += r->batch) {
        size_t left = r->n_ready - first;
        rc = embed_clips(r, r->ready + first, left < r->batch ? left : r->batch, err);
    }
    r->n_ready = 0;
    r->embed_us += vx_clock_monotonic_us() - start_us;
    return rc;
}

static int fingerprint_picture(run *r, double time_s, vx_picture *picture, vx_err *err) {
    const uint8_t *luma;
    int w, h, stride;
    int rc = vx_picture_luma(picture, &luma, &w, &h, &stride, err);
    if (rc)
        return rc;
    vx_fp_frame *frame = &r->out->frames[r->out->n_frames];
    vx_fp_frame *mirrored = &r->out->mirrored[r->out->n_frames];
    rc = vx_fp_hash(luma, w, h, stride, frame, mirrored, err);
    frame->time_s = mirrored->time_s = (float)time_s;
    if (!rc)
        r->out->n_frames++;
    return rc;
}

/* The picture into every slot that wants it: resized once, copied to the rest. */
static int prepare_picture(run *r, int64_t frame, vx_picture *picture, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    size_t picture_floats = r->tensor_floats / (size_t)r->model->n_frames;
    const float *prepared = NULL;
    for (; r->next_want < r->n_wants && r->wants[r->next_want].frame == frame; r->next_want++) {
        const want *w = &r->wants[r->next_want];
        if (!r->tensors[w->clip] &&
            !(r->tensors[w->clip] = vx_new_array(r->tensor_floats, sizeof(float))))
            return VX_FAIL(err, -ENOMEM, "no memory for a clip's tensor");
        float *slot = r->tensors[w->clip] + (size_t)w->slot * picture_floats;
        if (prepared) {
            memcpy(slot, prepared, picture_floats * sizeof(float));
        } else {
            const uint8_t *rgb;
            int width, height, stride;
            int rc = vx_picture_rgb(picture, &rgb, &width, &height, &stride, err);
            if (!rc)
                rc = vx_preprocess_frame(&r->model->preprocess, rgb, width, height, stride, slot,
                                         err);
            if (rc == VX_PREPROCESS_BAD_SHAPE)
                r->outcome = VX_OUTCOME_MEDIA_UNSUPPORTED;
            if (rc)
                return rc;
        }
        prepared = slot;
        if (--r->missing[w->clip] == 0)
            r->ready[r->n_ready++] = w->clip;
    }
    r->prepare_us += vx_clock_monotonic_us() - start_us;
    return 0;
}

static int on_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    run *r = ctx;
    if (is_cancelled(r)) {
        r->outcome = VX_OUTCOME_CANCELLED;
        return VX_FAIL(err, 1, "the job was cancelled");
    }
    if (r->next_fp < r->n_fp_frames && r->fp_frames[r->next_fp] == frame) {
        r->next_fp++;
        int rc = fingerprint_picture(r, time_s, picture, err);
        if (rc)
            return rc;
    }
    int rc = prepare_picture(r, frame, picture, err);
    if (!rc && r->n_ready >= r->batch)
        rc = embed_ready(r, err);
    tell_phase(r, VX_PHASE_FRAMES, (int64_t)++r->n_seen, (int64_t)r->n_frames);
    return rc;
}

static vx_outcome probe_and_cut(run *r, const char *path, const vx_clip_spec *clip, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    tell_phase(r, VX_PHASE_PROBE, 0, 0);
    int rc = vx_media_open(path, &r->server->params.media, &r->media, err);
    if (rc)
        return outcome_of_media(rc);
    r->out->info = *vx_media_get_info(r->media);
    tell_time(r, VX_PHASE_PROBE, vx_clock_monotonic_us() - start_us);
    tell_phase(r, VX_PHASE_CLIP, 0, 0);
    rc = vx_clip_cut(clip, r->out->info.duration_s, &r->out->spans, &r->out->n_clips, err);
    if (rc)
        return rc > 0 ? VX_OUTCOME_BAD_REQUEST : VX_OUTCOME_INTERNAL;
    rc = plan_clips(r, err);
    if (!rc)
        rc = plan_fingerprints(r, err);
    if (!rc)
        rc = plan_union(r, err);
    if (!rc)
        rc = allocate_clips(r, err);
    return rc ? VX_OUTCOME_INTERNAL : VX_OUTCOME_OK;
}

static vx_outcome decode_and_embed(run *r, int decode_threads, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    tell_phase(r, VX_PHASE_FRAMES, 0, (int64_t)r->n_frames);
    int rc = vx_media_decode(r->media, r->frames, (int64_t)r->n_frames, decode_threads, on_picture,
                             r, &r->out->stats, err);
    tell_time(r, VX_PHASE_FRAMES, vx_clock_monotonic_us() - start_us - r->prepare_us - r->embed_us);
    tell_time(r, VX_PHASE_PREPARE, r->prepare_us);
    if (rc)
        return r->outcome ? r->outcome : outcome_of_media(rc);
    tell_phase(r, VX_PHASE_EMBED, 0, (int64_t)r->out->n_clips);
    rc = embed_ready(r, err);
    tell_time(r, VX_PHASE_EMBED, r->embed_us);
    if (rc)
        return r->outcome ? r->outcome : VX_OUTCOME_INTERNAL;
    return VX_OUTCOME_OK;
}

vx_outcome vx_extract_run(vx_server *server, const char *path, const vx_clip_spec *clip,
                          int decode_threads, const vx_extract_watch *watch,
                          vx_extract *ret_extract, vx_err *err) {
    vx_extract extract = {0};
    run r = {.server = server,
             .model = vx_embedder_info(server->embedder),
             .watch = watch,
             .out = &extract};
    vx_outcome outcome = probe_and_cut(&r, path, clip, err);
    if (!outcome && is_cancelled(&r)) {
        VX_FAIL(err, 1, "the job was cancelled");
        outcome = VX_OUTCOME_CANCELLED;
    }
    if (!outcome)
        outcome = decode_and_embed(&r, decode_threads, err);
    run_clear(&r);
    if (outcome)
        vx_extract_clear(&extract);
    else
        *ret_extract = extract;
    return outcome;
}
