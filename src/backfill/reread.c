/* reread.c — one stored video is read again by the rules of this version (VX_MEDIA_RULES in media.h), or because
 * fewer of its pictures were hashed than the setting --fingerprints wants.
 *
 * Its packets are read, which takes little, and one picture is decoded where the container does not say
 * whether the video is HDR. Mostly nothing comes out differently: then the row gets what was not noted when
 * it was stored, and the number of the rules. Else clips, vectors and fingerprint are made as for an upload,
 * and one transaction puts them in the place of the old ones, which answer until then; it also marks the
 * video, and those whose verdict names it, to be judged anew. So a job that is cancelled or killed leaves
 * every video as it was or as it will be.
 *
 * Vectors of models that are not loaded go with what they were made of: they count as missing once the
 * model is loaded, and its backfill makes them.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "backfill_internal.h"

typedef struct reread {
    vx_backfill_job *job;
    const vx_video *stored;
    const char *path, *table_path;
    int decode_threads;
    vx_video *now;     /* what stored becomes; owned */
    vx_extract found;  /* if it has changed */
    vx_clip_spec rule; /* unless same_times */
    bool same_times, has_changed;
} reread;

static void reread_done(reread *r) {
    vx_video_free(r->now);
    vx_extract_clear(&r->found);
}

static bool must_end(void *ctx) {
    return vx_backfill_is_over(ctx);
}

static bool keeps_going(void *ctx) {
    return !vx_backfill_is_over(ctx);
}

/* ---- what has changed ---- */

static bool is_near(double a, double b, double most) {
    return !(fabs(a - b) > most); /* not known: near */
}

static bool has_same_times(const vx_video *stored, const vx_media_info *now) {
    return is_near(stored->duration_s, now->duration_s, 1e-3) &&
           is_near(stored->fps, now->fps, 1e-6 * now->fps);
}

/* A size that is the same tells that a quarter turn is; what was not noted was SDR before rules 1. */
static bool has_same_pictures(const vx_video *stored, const vx_media_info *now) {
    const char *hdr = stored->hdr[0] ? stored->hdr : vx_media_hdr_name(VX_MEDIA_SDR);
    bool turned = stored->rotation_deg >= 0 && stored->rotation_deg != now->rotation_deg;
    return !strcmp(stored->codec, now->codec) && stored->width_px == now->width_px &&
           stored->height_px == now->height_px && !turned &&
           !strcmp(hdr, vx_media_hdr_name(now->hdr));
}

static vx_outcome read_header(reread *r, vx_media_info *ret_info, vx_err *err) {
    VX_AUTO(vx_media) media = NULL;
    const vx_media_open_params open = {.limits = &r->job->backfill->params.extractor->limits,
                                       .table_path = r->table_path,
                                       .keep_going = keeps_going,
                                       .ctx = r->job};
    int rc = vx_media_open(r->path, &open, &media, err);
    if (!rc)
        rc = vx_media_learn_hdr(media, 0, keeps_going, r->job, err);
    if (!rc)
        *ret_info = *vx_media_get_info(media);
    return vx_extract_outcome_of_media(rc, err);
}

/* ---- the clips of a video whose times have changed ---- */

static bool gives_stored_clips(const reread *r, const vx_clip_spec *rule) {
    const vx_video *v = r->stored;
    vx_clip_spec resolved =
        vx_clip_resolve(rule, v->duration_s, r->job->backfill->params.extractor->shots);
    VX_AUTO_FREE vx_span *spans = NULL;
    size_t n = 0;
    if (!(v->duration_s > 0) || vx_clip_needs_shots(&resolved) ||
        vx_clip_cut(&resolved, v->duration_s, &spans, &n, NULL) || n != v->n_clips)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_near(spans[i].start_s, v->clips[i].start_s, 1e-3) ||
            !is_near(spans[i].end_s, v->clips[i].end_s, 1e-3))
            return false;
    return true;
}

/* The rule by which it was cut. Where nobody noted it: whole or fixed, if that explains the clips; else the
 * server's. */
static vx_clip_spec rule_of(const reread *r) {
    const vx_video *v = r->stored;
    vx_clip_spec rule = r->job->backfill->params.extractor->clip, guess;
    if (v->clip_rule[0] && !vx_clip_parse(v->clip_rule, &guess, NULL))
        return guess;
    if (gives_stored_clips(r, &rule))
        return rule;
    guess = (vx_clip_spec){.mode = VX_CLIP_WHOLE};
    if (v->n_clips > 1) {
        double length_s = v->clips[0].end_s - v->clips[0].start_s;
        guess = (vx_clip_spec){.mode = VX_CLIP_FIXED,
                               .length_s = length_s,
                               .stride_s = v->clips[1].start_s - v->clips[0].start_s,
                               .minimum_s = fmin(2, length_s)};
    }
    return (guess.mode == VX_CLIP_WHOLE || guess.stride_s > 0) && gives_stored_clips(r, &guess)
               ? guess
               : rule;
}

/* ---- making everything anew ---- */

static vx_outcome extract(reread *r, vx_err *err) {
    const vx_video *v = r->stored;
    r->rule = rule_of(r);
    VX_AUTO_FREE vx_span *spans = vx_new_array(v->n_clips, sizeof *spans);
    if (!spans) {
        VX_FAIL(err, -ENOMEM, "no memory for %zu clips", v->n_clips);
        return VX_OUTCOME_BUSY;
    }
    for (size_t i = 0; i < v->n_clips; i++)
        spans[i] = (vx_span){v->clips[i].start_s, v->clips[i].end_s};
    vx_extract_watch watch = {.cancelled = must_end, .ctx = r->job};
    const vx_extract_params params = {.path = r->path,
                                      .table_path = r->table_path,
                                      .clip = r->same_times ? NULL : &r->rule,
                                      .spans = spans,
                                      .n_spans = v->n_clips,
                                      .models = VX_EXTRACT_ALL_MODELS,
                                      .frames = v->frames,
                                      .fingerprints = true,
                                      .decode_threads = r->decode_threads,
                                      .watch = &watch};
    const vx_extractor *extractor = r->job->backfill->params.extractor;
    vx_outcome outcome = vx_extract_run(extractor, &params, &r->found, err);
    for (int m = 0; m < extractor->models->n && !outcome; m++) {
        const vx_model *model = &extractor->models->items[m];
        if (r->found.vectors[m] || !vx_index_has(model->index, v->clips[0].row))
            continue; /* nothing of it would be lost */
        VX_FAIL(err, -EIO, "the model %s failed on it", model->info->name);
        outcome = VX_OUTCOME_INTERNAL;
    }
    return outcome;
}

/* ---- the row ---- */

static int note_media(reread *r, const vx_media_info *info, vx_err *err) {
    vx_video *now = r->now = vx_new(vx_video);
    size_t n = r->has_changed ? r->found.n_clips : 0;
    if (now)
        now->clips = vx_new_array(n + 1, sizeof *now->clips);
    if (!now || !now->clips)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", n);
    now->row = r->stored->row;
    strcpy(now->id, r->stored->id);
    strcpy(now->container, info->container);
    strcpy(now->codec, info->codec);
    now->width_px = info->width_px;
    now->height_px = info->height_px;
    now->fps = info->fps;
    now->duration_s = info->duration_s;
    now->sample_aspect_ratio = info->sample_aspect_ratio;
    now->rotation_deg = info->rotation_deg;
    strcpy(now->hdr, vx_media_hdr_name(info->hdr));
    strcpy(now->clip_rule, r->stored->clip_rule);
    if (!r->same_times)
        vx_clip_describe(&r->rule, now->clip_rule);
    snprintf(now->decode_path, sizeof now->decode_path, "%s",
             r->has_changed ? r->found.decode_path : r->stored->decode_path);
    now->frames_decoded =
        r->has_changed ? r->found.stats.frames_decoded : r->stored->frames_decoded;
    now->frames_total = r->has_changed ? r->found.stats.frames_total : r->stored->frames_total;
    now->rules = VX_MEDIA_RULES;
    now->fingerprints = r->has_changed ? (int)r->found.fingerprints : r->stored->fingerprints;
    now->frames = r->has_changed ? r->found.frames : r->stored->frames;
    now->n_clips = n;
    for (size_t i = 0; i < n; i++)
        now->clips[i] = (vx_clip){.index = (int)i,
                                  .start_s = r->found.spans[i].start_s,
                                  .end_s = r->found.spans[i].end_s};
    return 0;
}

static vx_collection_data data_of(reread *r) {
    return (vx_collection_data){.vectors = r->found.vectors,
                                .fingerprint = r->found.fingerprint.stored,
                                .n_frames = r->found.fingerprint.n_stored};
}

/* On the writer's thread, in one transaction. */
static int apply(void *ctx, vx_err *err) {
    reread *r = ctx;
    vx_collection *collection = r->job->backfill->params.collection;
    const vx_collection_data data = data_of(r);
    if (!r->has_changed)
        return vx_catalog_set_media(collection->catalog, r->now, err);
    int rc = vx_collection_replace(collection, r->now, &data, err);
    return rc ? rc : vx_catalog_mark_rejudged(collection->catalog, r->now->row, r->now->id, err);
}

/* After that transaction, on the same thread, so that no deletion comes between. */
static int apply_to_indexes(void *ctx, vx_err *err) {
    reread *r = ctx;
    vx_collection *collection = r->job->backfill->params.collection;
    const vx_collection_data data = data_of(r);
    bool stored = false;
    int rc = vx_catalog_has_video(collection->catalog, r->now->row, &stored, err);
    if (stored)
        vx_collection_reindex(collection, r->stored, r->now, &data);
    return rc;
}

static vx_outcome write_down(reread *r, vx_err *err) {
    vx_writer *writer = r->job->backfill->params.writer;
    int rc = vx_writer_run(writer, apply, NULL, r, err);
    if (!rc && r->has_changed)
        vx_writer_run(writer, apply_to_indexes, NULL, r, NULL); /* else at the next start */
    return rc == VX_CATALOG_NOT_FOUND ? VX_OUTCOME_NOT_FOUND : vx_outcome_of_error(rc, err);
}

vx_outcome vx_backfill_reread(vx_backfill_job *job, const vx_video *video, const char *path,
                              const char *table_path, int decode_threads, bool *ret_changed,
                              vx_err *err) {
    __attribute__((cleanup(reread_done))) reread r = {.job = job,
                                                      .stored = video,
                                                      .path = path,
                                                      .table_path = table_path,
                                                      .decode_threads = decode_threads};
    vx_media_info info;
    vx_outcome outcome = read_header(&r, &info, err);
    if (outcome)
        return outcome;
    vx_fingerprints wanted =
        vx_fingerprints_of_frames(job->backfill->params.extractor->fingerprints, video->frames);
    r.same_times = has_same_times(video, &info);
    r.has_changed =
        !r.same_times || !has_same_pictures(video, &info) || video->fingerprints < (int)wanted;
    if (r.has_changed) {
        outcome = extract(&r, err);
        if (outcome)
            return outcome;
    }
    int rc = note_media(&r, &info, err);
    *ret_changed = r.has_changed;
    return rc ? vx_outcome_of_error(rc, err) : write_down(&r, err);
}
