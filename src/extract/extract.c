#include "extract.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "extract_model.h"
#include "frame_lists.h"

/* Of the pictures to ask with. Where too few are decoded anyway, as when all are key frames, more
 * are wanted, at the first of these rates for which less than that share is decoded: no more than
 * long GOPs cost without it. Of 186 trims of fast film in key frames only, 0.52 are found without
 * it and 0.91 with. */
#define EXTRA_FPS 12.0
static const double DENSE_FPS[] = {8, 4}, DENSE_SHARE = 0.45;

/* A run in progress. */
typedef struct run {
    const vx_extractor *extractor;
    const vx_extract_params *params;
    vx_extract *out;
    vx_media *media;
    vx_turn turn; /* in the extractor's slots */

    vx_extract_model parts[VX_MODELS_MAX]; /* [n_parts] the first must succeed */
    int n_parts;
    vx_extract_keys keys;
    int64_t *fp_frames; /* frames to fingerprint, ascending, unique */
    size_t n_fp_frames, next_fp;
    vx_fp_track *track; /* NULL: no fingerprints are wanted */
    int64_t *frames;    /* what anybody wants, ascending, unique */
    size_t n_frames, n_seen;
    vx_extract_card card; /* pictures that stay on it, and are not hashed and prepared yet */
    double last_fp_s;     /* time of the last picture that was fingerprinted; -inf before */
    vx_outcome outcome;   /* why a callback stopped the decode */
    int64_t prepare_us, embed_us, card_us; /* card_us: of prepare_us, flushes */
} run;

void vx_extract_clear(vx_extract *extract) {
    free(extract->spans);
    for (int i = 0; i < VX_MODELS_MAX; i++)
        free(extract->vectors[i]);
    vx_fp_video_clear(&extract->fingerprint);
    *extract = (vx_extract){0};
}

static void run_clear(run *r) {
    for (int i = 0; i < r->n_parts; i++)
        vx_extract_model_clear(&r->parts[i]);
    vx_extract_card_clear(&r->card);
    free(r->keys.frames);
    free(r->fp_frames);
    vx_fp_track_free(r->track);
    free(r->frames);
    vx_media_free(r->media);
}

static void tell_phase(const run *r, vx_phase phase, int64_t done, int64_t total) {
    const vx_extract_watch *watch = r->params->watch;
    if (watch && watch->on_phase)
        watch->on_phase(watch->ctx, phase, done, total);
}

static void tell_time(const run *r, vx_phase phase, int64_t us) {
    const vx_extract_watch *watch = r->params->watch;
    if (watch && watch->on_time)
        watch->on_time(watch->ctx, phase, us);
}

static bool is_cancelled(const run *r) {
    const vx_extract_watch *watch = r->params->watch;
    return watch && watch->cancelled && watch->cancelled(watch->ctx);
}

/* Between two packets or pictures. */
static bool keeps_going(void *ctx) {
    run *r = ctx;
    vx_turn_offer(&r->turn);
    return !is_cancelled(r);
}

vx_outcome vx_extract_outcome_of_media(int rc, const vx_err *err) {
    switch (rc) {
    case VX_MEDIA_STOPPED:
        return VX_OUTCOME_CANCELLED;
    case VX_MEDIA_UNSUPPORTED:
        return VX_OUTCOME_MEDIA_UNSUPPORTED;
    case VX_MEDIA_NO_VIDEO:
        return VX_OUTCOME_MEDIA_NO_VIDEO;
    case VX_MEDIA_DAMAGED:
        return VX_OUTCOME_MEDIA_DAMAGED;
    case VX_MEDIA_TOO_LARGE:
        return VX_OUTCOME_MEDIA_TOO_LARGE;
    default:
        return vx_outcome_of_error(rc, err);
    }
}

static int plan_keys(run *r, vx_err *err) {
    if (r->params->frames != VX_CLIP_FRAMES_KEY)
        return 0;
    int rc = vx_media_key_frames(r->media, 0, &r->keys.frames, &r->keys.n, err);
    r->out->frames = r->keys.n ? VX_CLIP_FRAMES_KEY : VX_CLIP_FRAMES_EXACT;
    return rc;
}

static int plan_models(run *r, vx_err *err) {
    int rc = 0;
    for (int i = 0; i < r->extractor->models->n && !rc; i++) {
        if (!(r->params->models >> i & 1))
            continue;
        vx_extract_model *part = &r->parts[r->n_parts++];
        part->model = &r->extractor->models->items[i];
        part->turn = &r->turn;
        part->views = r->params->views;
        rc = vx_extract_model_plan(part, r->media, &r->keys, r->out->spans, r->out->n_clips, err);
    }
    return rc;
}

static int plan_fingerprints(run *r, vx_err *err) {
    if (!r->params->fingerprints || !r->extractor->fingerprints)
        return 0;
    r->out->fingerprints = vx_fingerprints_of_frames(r->extractor->fingerprints, r->out->frames);
    int rc = vx_extract_fingerprint_frames(r->out->fingerprints, r->extractor->models, r->media,
                                           &r->keys, r->out->spans, r->out->n_clips, &r->fp_frames,
                                           &r->n_fp_frames, err);
    return rc ? rc : vx_fp_track_new(&r->track, err);
}

/* Adds frames to ask with, if that is cheap. */
static int plan_dense(run *r, vx_err *err) {
    bool wanted = r->out->fingerprints == VX_FINGERPRINTS_FULL;
    for (size_t i = 0; wanted && i < VX_LEN(DENSE_FPS); i++) {
        VX_AUTO_FREE int64_t *dense = NULL;
        VX_AUTO_FREE int64_t *merged = NULL;
        int64_t n_dense = 0, cost = 0;
        size_t n_merged = 0;
        int rc = vx_media_choose(r->media, 0, r->out->info.duration_s, DENSE_FPS[i], &dense,
                                 &n_dense, err);
        if (!rc)
            rc = vx_extract_merge_frames(r->frames, r->n_frames, dense, (size_t)n_dense, &merged,
                                         &n_merged, err);
        if (!rc)
            rc = vx_media_cost(r->media, merged, (int64_t)n_merged, &cost, err);
        if (rc)
            return rc;
        if ((double)cost > DENSE_SHARE * (double)r->out->info.n_frames)
            continue;
        free(r->frames);
        r->frames = vx_take(merged);
        r->n_frames = n_merged;
        return 0;
    }
    return 0;
}

/* The frames that anybody wants: those are decoded. */
static int plan_union(run *r, vx_err *err) {
    size_t n = 0;
    for (int i = 0; i < r->n_parts; i++)
        n += r->parts[i].n_wants;
    VX_AUTO_FREE int64_t *seen = vx_new_array(n, sizeof *seen);
    if (!seen)
        return VX_FAIL(err, -ENOMEM, "no memory for the frame list");
    n = 0;
    for (int i = 0; i < r->n_parts; i++)
        for (size_t w = 0; w < r->parts[i].n_wants; w++)
            seen[n++] = r->parts[i].wants[w].frame;
    int rc = vx_extract_merge_frames(seen, n, r->fp_frames, r->n_fp_frames, &r->frames,
                                     &r->n_frames, err);
    return rc ? rc : plan_dense(r, err);
}

static int flush(run *r, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_extract_card_flush(&r->card, err);
    r->card_us += vx_clock_monotonic_us() - start_us;
    return rc;
}

static int fingerprint_picture(run *r, vx_picture *picture, bool stored, vx_err *err) {
    const vx_frame *frame = vx_picture_frame(picture), *luma;
    r->last_fp_s = (double)(float)frame->time_s; /* as it is stored */
    if (vx_extract_card_takes(&r->card, frame))
        return vx_extract_card_hash(&r->card, frame, stored, err);
    int rc = flush(r, err); /* hashes are in order */
    if (!rc)
        rc = vx_picture_luma(picture, &luma, err);
    return rc ? rc : vx_fp_track_add(r->track, luma, stored, err);
}

/* A picture that is not to be stored: hashed when the last hash is old enough and the next one that is
 * stored is not near. */
static int on_extra(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    run *r = ctx;
    (void)frame;
    const double step_s = 1 / EXTRA_FPS, early_s = step_s / 8;
    if (time_s < r->last_fp_s + step_s - early_s)
        return 0;
    if (r->next_fp < r->n_fp_frames &&
        time_s > vx_media_frame_time(r->media, r->fp_frames[r->next_fp]) - step_s / 2)
        return 0;
    return fingerprint_picture(r, picture, false, err);
}

/* The first model's failure ends the run; another one drops out of it. */
static int drop_failed(run *r, int i, int rc, vx_err *err) {
    vx_extract_model *part = &r->parts[i];
    if (rc == VX_EMBED_CLOSED)
        r->outcome = VX_OUTCOME_STOPPING;
    if (!rc || i == 0 || rc == VX_EMBED_CLOSED)
        return rc;
    vx_model *model = part->model;
    vx_extract_card_forget(&r->card, &model->info->preprocess);
    vx_log_failed(VX_LOG_ERROR, "model", err, "model=%s", model->info->name);
    atomic_fetch_add(&model->failures, 1);
    vx_extract_model_clear(part);
    return 0;
}

/* finish: waits for the last vectors; others decode meanwhile. */
static int embed(run *r, bool finish, vx_err *err) {
    int rc = 0;
    if (finish)
        vx_turn_end(&r->turn);
    for (int i = 0; i < r->n_parts && !rc; i++)
        rc = drop_failed(r, i, vx_extract_model_embed(&r->parts[i], finish, err), err);
    if (finish)
        vx_turn_begin(&r->turn);
    return rc;
}

static int prepare(run *r, int64_t frame, vx_picture *picture, vx_err *err) {
    bool stays = vx_extract_card_takes(&r->card, vx_picture_frame(picture));
    vx_extract_picture shared = {
        .frame = frame, .picture = picture, .card = stays ? &r->card : NULL};
    int rc = 0;
    for (int i = 0; i < r->n_parts && !rc; i++)
        rc = vx_extract_model_prepare(&r->parts[i], &shared, err);
    if (rc == VX_PREPROCESS_BAD_SHAPE)
        r->outcome = VX_OUTCOME_MEDIA_UNSUPPORTED;
    if (rc == VX_EMBED_CLOSED)
        r->outcome = VX_OUTCOME_STOPPING;
    return rc;
}

/* Whether a clip is complete but for what has to be flushed. */
static bool is_clip_held(const run *r) {
    for (int i = 0; i < r->n_parts; i++)
        if (r->parts[i].n_ready - r->parts[i].n_submitted >= r->parts[i].together &&
            r->parts[i].together > 0)
            return r->card.n_jobs > 0;
    return false;
}

static int on_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    run *r = ctx;
    if (!keeps_going(r)) {
        r->outcome = VX_OUTCOME_CANCELLED;
        return VX_FAIL(err, 1, "the job was cancelled");
    }
    if (r->next_fp < r->n_fp_frames && r->fp_frames[r->next_fp] == frame) {
        r->next_fp++;
        int rc = fingerprint_picture(r, picture, true, err);
        if (rc)
            return rc;
    } else if (r->fp_frames) {
        int rc = on_extra(ctx, frame, time_s, picture, err);
        if (rc)
            return rc;
    }
    int rc = prepare(r, frame, picture, err);
    if (!rc && is_clip_held(r))
        rc = flush(r, err);
    if (!rc)
        rc = embed(r, false, err);
    tell_phase(r, VX_PHASE_FRAMES, (int64_t)++r->n_seen, (int64_t)r->n_frames);
    return rc;
}

static bool on_shots_progress(void *ctx, int64_t done, int64_t total) {
    tell_phase(ctx, VX_PHASE_CLIP, done, total);
    return keeps_going(ctx);
}

static vx_outcome outcome_of_shots(int rc, const vx_err *err) {
    if (rc == VX_SHOTS_STOPPED || rc == VX_SHOTS_CLOSED)
        return rc == VX_SHOTS_STOPPED ? VX_OUTCOME_CANCELLED : VX_OUTCOME_STOPPING;
    return vx_extract_outcome_of_media(rc, err);
}

/* NULL: the CPU decodes. */
static vx_decoder *pick_decoder(const run *r) {
    return r->extractor->decoders ? vx_decoders_pick(r->extractor->decoders) : NULL;
}

/* A pass of its own over every frame: the clips must be known before frames are chosen. */
static int cut_at_shots(run *r, const vx_clip_spec *rule, vx_err *err) {
    VX_AUTO_FREE float *probability = NULL;
    if (!r->extractor->shots)
        return VX_FAIL(err, VX_CLIP_BAD_SPEC, "cutting at shots needs the model " VX_SHOTS_MODEL);
    const vx_shots_film film = {.media = r->media,
                                .curator = rule->mode == VX_CLIP_CURATOR,
                                .decode_threads = r->params->decode_threads,
                                .decoder = pick_decoder(r),
                                .on_progress = on_shots_progress,
                                .ctx = r};
    int rc = vx_shots_predict(r->extractor->shots, &film, &probability, err);
    if (rc) {
        r->outcome = outcome_of_shots(rc, err);
        return rc;
    }
    return vx_clip_cut_shots(rule, r->media, probability, &r->out->spans, &r->out->n_clips, err);
}

/* By the rule, or the clips that are known already. */
static int cut(run *r, vx_err *err) {
    const vx_extract_params *p = r->params;
    vx_extract *out = r->out;
    if (p->clip) {
        vx_clip_spec rule = vx_clip_resolve(p->clip, out->info.duration_s, r->extractor->shots);
        return vx_clip_needs_shots(&rule)
                   ? cut_at_shots(r, &rule, err)
                   : vx_clip_cut(&rule, out->info.duration_s, &out->spans, &out->n_clips, err);
    }
    out->spans = vx_new_array(p->n_spans, sizeof *out->spans);
    if (!out->spans)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", p->n_spans);
    memcpy(out->spans, p->spans, p->n_spans * sizeof *out->spans);
    out->n_clips = p->n_spans;
    return 0;
}

/* Long enough that others should not wait until it has ended. */
static bool is_long(const vx_media_info *info) {
    const double long_px = 4e9, long_s = 600;
    return info->duration_s > long_s ||
           (double)info->width_px * info->height_px * (double)info->n_frames > long_px;
}

static bool may_go_on(const run *r) {
    const vx_extract_watch *watch = r->params->watch;
    return !watch || !watch->may_be_long || !is_long(&r->out->info) ||
           watch->may_be_long(watch->ctx);
}

static vx_outcome probe_and_cut(run *r, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    tell_phase(r, VX_PHASE_PROBE, 0, 0);
    const vx_media_open_params open = {.limits = &r->extractor->limits,
                                       .table_path = r->params->table_path,
                                       .keep_going = keeps_going,
                                       .ctx = r};
    int rc = vx_media_open(r->params->path, &open, &r->media, err);
    if (rc)
        return vx_extract_outcome_of_media(rc, err);
    r->out->info = *vx_media_get_info(r->media);
    tell_time(r, VX_PHASE_PROBE, vx_clock_monotonic_us() - start_us);
    if (!is_cancelled(r) && !may_go_on(r)) {
        VX_FAIL(err, 1, "too many long videos are in work");
        return VX_OUTCOME_CANCELLED;
    }
    tell_phase(r, VX_PHASE_CLIP, 0, 0);
    start_us = vx_clock_monotonic_us();
    rc = cut(r, err);
    tell_time(r, VX_PHASE_CLIP, vx_clock_monotonic_us() - start_us);
    if (rc && r->outcome)
        return r->outcome;
    if (rc)
        return rc > 0 ? VX_OUTCOME_BAD_REQUEST : vx_outcome_of_error(rc, err);
    rc = plan_keys(r, err);
    if (!rc)
        rc = plan_models(r, err);
    if (!rc)
        rc = plan_fingerprints(r, err);
    if (!rc)
        rc = plan_union(r, err);
    return vx_outcome_of_error(rc, err);
}

static void sum_times(run *r) {
    r->prepare_us = r->card_us;
    r->embed_us = 0;
    for (int i = 0; i < r->n_parts; i++) {
        r->prepare_us += r->parts[i].prepare_us;
        r->embed_us += r->parts[i].embed_us;
    }
}

/* Little is decoded sooner than threads are started and pictures handed between them: for 12 of
 * 160 x 90 in an upload of 5 MB one thread took 9.8 ms of the server's processor time, two 10.8. */
static int decode_threads(const run *r) {
    enum { FEW_PIXELS = 16 << 20 }; /* eight pictures of 1080p: some 0.1 s of one core */
    const vx_media_info *info = &r->out->info;
    bool few = (int64_t)info->width_px * info->height_px * info->n_frames <= FEW_PIXELS;
    return few ? 1 : r->params->decode_threads;
}

int vx_extract_check_card(const vx_decoder *decoder, vx_err *err) {
    vx_card *card = vx_decoder_get_card(decoder);
    int rc = vx_preprocess_check_card(card, err);
    return rc ? rc : vx_fp_check_card(card, err);
}

static void use_card(run *r, const vx_decoder *decoder) {
    r->card.track = r->track;
    if (decoder && vx_extract_check_card(decoder, NULL) == 0)
        r->card.card = vx_decoder_get_card(decoder);
}

static vx_outcome decode_and_embed(run *r, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    vx_decoder *decoder = pick_decoder(r);
    use_card(r, decoder);
    tell_phase(r, VX_PHASE_FRAMES, 0, (int64_t)r->n_frames);
    const vx_media_decode_params want = {.frames = r->frames,
                                         .n = (int64_t)r->n_frames,
                                         .threads = decode_threads(r),
                                         .decoder = decoder,
                                         .on_card = r->card.card != NULL,
                                         .keep_going = keeps_going,
                                         .on_picture = on_picture,
                                         .on_extra = r->fp_frames ? on_extra : NULL,
                                         .ctx = r};
    int rc = vx_media_decode(r->media, &want, &r->out->stats, err);
    if (!rc)
        rc = flush(r, err);
    r->out->info.hdr = vx_media_get_info(r->media)->hdr;
    r->out->decode_path = vx_media_path_name(r->out->stats.path);
    sum_times(r);
    tell_time(r, VX_PHASE_FRAMES, vx_clock_monotonic_us() - start_us - r->prepare_us - r->embed_us);
    tell_time(r, VX_PHASE_PREPARE, r->prepare_us);
    if (rc)
        return r->outcome ? r->outcome : vx_extract_outcome_of_media(rc, err);
    if (r->track && (rc = vx_fp_track_finish(r->track, &r->out->fingerprint, err)))
        return vx_outcome_of_error(rc, err);
    tell_phase(r, VX_PHASE_EMBED, 0, (int64_t)r->out->n_clips);
    rc = embed(r, true, err);
    sum_times(r);
    tell_time(r, VX_PHASE_EMBED, r->embed_us);
    if (rc)
        return r->outcome ? r->outcome : vx_outcome_of_error(rc, err);
    for (int i = 0; i < r->n_parts; i++)
        r->out->vectors[vx_models_index_of(r->extractor->models, r->parts[i].model)] =
            vx_take(r->parts[i].vectors);
    return VX_OUTCOME_OK;
}

vx_outcome vx_extract_run(const vx_extractor *extractor, const vx_extract_params *params,
                          vx_extract *ret_extract, vx_err *err) {
    vx_extract extract = {0};
    run r = {.extractor = extractor,
             .params = params,
             .out = &extract,
             .last_fp_s = -INFINITY,
             .turn = {.slots = extractor->slots}};
    vx_turn_begin(&r.turn);
    vx_outcome outcome = probe_and_cut(&r, err);
    if (!outcome && is_cancelled(&r)) {
        VX_FAIL(err, 1, "the job was cancelled");
        outcome = VX_OUTCOME_CANCELLED;
    }
    if (!outcome)
        outcome = decode_and_embed(&r, err);
    vx_turn_end(&r.turn);
    run_clear(&r);
    if (outcome)
        vx_extract_clear(&extract);
    else
        *ret_extract = extract;
    return outcome;
}
