/* second.c — the second look (see verdict.h): searches by vectors of the new video's moments, and compares the pictures
 * of what is nearest.
 *
 * A vector of the whole new video says little of a compilation, and one of the whole picture little of a picture in a
 * picture. So the stored clips near each moment are taken in turn, the nearest of every moment first.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "verdict_internal.h"

enum {
    NEIGHBOURS = 8, /* of each vector */
    CLIPS = 16,     /* of the new video's clips, evenly spread */
    MOMENTS = 16,   /* of the new video, at most */
    VIEWS = 9,      /* of a picture */
    VIEW_TIMES = 2,
    MOST = CLIPS + MOMENTS + VIEWS * VIEW_TIMES, /* VX_PICTURES_MAX, too */
};
static const double MOMENT_S = 4; /* one in each so many seconds */

/* What the stored videos are searched by. */
typedef struct probe {
    double time_s; /* in the new video */
    const float *vector;
} probe;

/* A stored clip or picture near one. */
typedef struct hit {
    int64_t video, id; /* catalog row; of the clip, or in the copy model's index */
    size_t rank;       /* among those near the probe */
    double time_s;     /* of the probe */
    float score;
    bool by_copy_model; /* it is a picture */
} hit;

typedef struct second {
    vx_collection *collection;
    const vx_verdict_subject *subject;
    const vx_verdict_files *files;
    vx_windows windows;
    int64_t seen[3 * MOST * NEIGHBOURS]; /* [n_seen] that were met, with a file or without */
    size_t n_seen, n_looks;
    int64_t *unrelated; /* [n_unrelated] that people said are; owned */
    size_t n_unrelated;
    vx_verdict_looks *looks;
} second;

static bool is_cancelled(void *ctx) {
    const second *s = ctx;
    return s->files->cancelled && s->files->cancelled(s->files->ctx);
}

/* ---- the new video's vectors ---- */

/* The spans of single moments. Returns how many. */
static size_t choose_moments(double length_s, vx_span ret_spans[MOMENTS]) {
    double wanted = ceil(length_s / MOMENT_S);
    size_t n = wanted < 3 ? 3 : wanted > MOMENTS ? MOMENTS : (size_t)wanted;
    for (size_t i = 0; i < n; i++)
        ret_spans[i] = vx_moment_at(length_s * ((double)i + 0.5) / (double)n, length_s);
    return n;
}

/* Whole, the centre, four quarters that overlap, the band of a wide film, and both quarter turns. */
static size_t choose_views(const vx_verdict_subject *subject, vx_extract_view ret_views[VIEWS]) {
    const float quarter = 0.55f;
    float aspect = subject->width_px > 0 && subject->height_px > 0
                       ? (float)subject->width_px / (float)subject->height_px
                       : 16 / 9.0f;
    float band = fminf(1, aspect * 9 / 16) / 2; /* half its height */
    const vx_extract_view views[VIEWS] = {
        {0, 0, 1, 1, 0},
        {0.2f, 0.2f, 0.8f, 0.8f, 0},
        {0, 0, quarter, quarter, 0},
        {1 - quarter, 0, 1, quarter, 0},
        {0, 1 - quarter, quarter, 1, 0},
        {1 - quarter, 1 - quarter, 1, 1, 0},
        {0, 0.5f - band, 1, 0.5f + band, 0},
        {0, 0, 1, 1, 1},
        {0, 0, 1, 1, -1},
    };
    memcpy(ret_views, views, sizeof views);
    return VIEWS;
}

/* ---- what is near ---- */

/* The nearest of every probe first. */
static int by_rank(const void *a, const void *b) {
    const hit *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->video < y->video ? -1 : x->video > y->video;
}

/* Gives ret_hits [ret_n], best first. Vectors of clips have no floor; what the copy model names is meant to be a copy. */
static int find_hits(second *s, bool by_copy_model, const probe *probes, size_t n, hit **ret_hits,
                     size_t *ret_n, vx_err *err) {
    const vx_models *models = s->collection->models;
    const vx_model *model = by_copy_model ? &models->copy->items[0] : &models->items[0];
    const vx_verdict_subject *subject = s->subject;
    int64_t before = by_copy_model ? vx_picture_id(subject->before_row, 0) : subject->before_clip;
    size_t dim = (size_t)model->info->dim, n_near[MOST];
    VX_AUTO_FREE float *vectors = vx_new_array(n, dim * sizeof *vectors);
    VX_AUTO_FREE vx_neighbour *near = vx_new_array(n, NEIGHBOURS * sizeof *near);
    VX_AUTO_FREE hit *hits = vx_new_array(n, NEIGHBOURS * sizeof *hits);
    if (!vectors || !near || !hits)
        return VX_FAIL(err, -ENOMEM, "no memory to search by %zu vectors", n);
    for (size_t i = 0; i < n; i++)
        memcpy(vectors + i * dim, probes[i].vector, dim * sizeof *vectors);
    const vx_index_query query = {.vectors = vectors,
                                  .n = n,
                                  .k = NEIGHBOURS,
                                  .min_score = by_copy_model ? model->info->similar_threshold : -2,
                                  .by_group = true,
                                  .is_patient = true,
                                  .before_id = subject->before_row ? before : 0};
    int rc = n ? vx_index_search(model->index, &query, near, n_near, NULL, err) : 0;
    if (rc)
        return rc;
    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_near[i]; k++) {
            const vx_neighbour *found = &near[i * NEIGHBOURS + k];
            hits[(*ret_n)++] =
                (hit){found->group, found->id, k, probes[i].time_s, found->score, by_copy_model};
        }
    qsort(hits, *ret_n, sizeof *hits, by_rank);
    *ret_hits = vx_take(hits);
    return 0;
}

/* ---- one look ---- */

static double middle_of_hit(const vx_video *video, const hit *at) {
    if (at->by_copy_model)
        return vx_picture_time(video->duration_s, at->id % VX_PICTURES_MAX);
    for (size_t i = 0; i < video->n_clips; i++)
        if (video->clips[i].row == at->id)
            return (video->clips[i].start_s + video->clips[i].end_s) / 2;
    return video->duration_s / 2;
}

/* All of a video that is short enough, else a part around a time. */
static vx_evidence_window window_at(double length_s, double whole_s, double part_s,
                                    double middle_s) {
    double start_s = fmax(0, fmin(middle_s - part_s / 2, length_s - part_s));
    return length_s <= whole_s ? (vx_evidence_window){.end_s = length_s}
                               : (vx_evidence_window){.start_s = start_s,
                                                      .end_s = fmin(start_s + part_s, length_s)};
}

/* Whether the videos also move alike along the line of `e` around a time of the new one. */
static int holds_at(second *s, const vx_video *of, const vx_evidence *e, double time_s,
                    bool *ret_holds, vx_err *err) {
    const vx_evidence_params params = {.mirrored = e->mirrored, .passage = true};
    vx_evidence_window of_new = window_at(s->subject->length_s, 0, 8, time_s);
    vx_evidence_window of_stored =
        window_at(of->duration_s, 0, 24, e->speed * time_s + e->offset_s);
    vx_evidence found;
    vx_evidence_set_rates(&of_new, &of_stored);
    int rc = vx_windows_compare(&s->windows, &of_new, of, &of_stored, &params, &found, err);
    double off_s = e->speed * time_s + e->offset_s - found.speed * time_s - found.offset_s;
    *ret_holds = !rc && found.kind == VX_EVIDENCE_COPY && fabs(off_s) <= 1;
    return rc;
}

/* Where the line of `e` is in both videos, in times of the new one. */
static vx_span span_of_line(const vx_evidence *e, double new_s, double stored_s) {
    double ends[2] = {-e->offset_s / e->speed, (stored_s - e->offset_s) / e->speed};
    return (vx_span){fmax(0, fmin(ends[0], ends[1])), fmin(new_s, fmax(ends[0], ends[1]))};
}

vx_span vx_verdict_span(const vx_evidence *e, double new_s, double stored_s) {
    const double moment_s = 1.25;
    const vx_span line = span_of_line(e, new_s, stored_s);
    return (vx_span){e->first_s - line.start_s <= moment_s ? line.start_s : e->first_s,
                     line.end_s - e->last_s <= moment_s ? line.end_s : e->last_s};
}

/* What they share: that span, and on to where the line leaves one of the videos if pictures there meet too. */
static int find_span(second *s, const vx_video *of, const vx_evidence_window *of_new,
                     const vx_evidence *e, vx_span *ret_span, vx_err *err) {
    const double window_edge_s = 1;
    const vx_span line = span_of_line(e, s->subject->length_s, of->duration_s);
    *ret_span = vx_verdict_span(e, s->subject->length_s, of->duration_s);
    bool starts = ret_span->start_s <= line.start_s, ends = ret_span->end_s >= line.end_s;
    int rc = 0;
    if (!starts && e->first_s - of_new->start_s <= window_edge_s)
        rc = holds_at(s, of, e, line.start_s + 4, &starts, err);
    if (!rc && !ends && of_new->end_s - e->last_s <= window_edge_s)
        rc = holds_at(s, of, e, line.end_s - 4, &ends, err);
    if (starts)
        ret_span->start_s = line.start_s;
    if (ends)
        ret_span->end_s = line.end_s;
    return rc;
}

/* Where features do not say how pictures lie on each other, because they are flat (clouds, water, fog), many are alike: it
 * takes all that meet on the line, and more where that is no usual one. */
static bool is_sure_though_flat(const vx_evidence *e) {
    float least = e->turn_deg != 0 ? 0.9f : e->speed != 1 ? 0.75f : 0.6f;
    return e->motion >= least && (float)e->n_pairs >= 0.85f * (float)e->n_meet;
}

/* Among a thousand clips of two seconds, none of them a copy, three pairs moved alike in four pictures. */
static bool is_sure_though_short(const vx_evidence *e) {
    const int dense = 12;
    if (e->n_pairs < dense)
        return e->motion >= 0.9f && e->still >= 0.9f;
    return e->motion >= 0.75f && e->still >= 0.75f && (float)e->n_pairs >= 0.85f * (float)e->n_meet;
}

/* Enough pictures met, and of those between the first and the last most. The fewer they are, half a second from each other,
 * the more alike must they move: chance does that too, in scenes of one film by 0.57 in six pictures, and by 0.52 in eleven
 * of which one film runs backwards. */
bool vx_verdict_is_sure(const vx_evidence *e) {
    const float least_share = 0.8f;
    const int least = 4;
    const float few = 6, many = 12, fps = 2;
    float n = fminf((float)e->n_pairs, (float)(e->last_s - e->first_s) * fps + 1);
    if (e->n_pairs < least || (float)e->n_pairs < least_share * (float)e->n_between)
        return false;
    if (n < few - 0.2f && !is_sure_though_short(e))
        return false;
    if (n < many && e->motion < 0.49f + 0.02f * (many - n))
        return false;
    if (e->speed != 1 && e->motion < 0.6f)
        return false;
    float most = fmaxf(e->change_new, e->change_stored), ratio = 16;
    return most <= ratio * fmaxf(1, fminf(e->change_new, e->change_stored)) &&
           (!e->plain || e->n_inliers >= 10 || is_sure_though_flat(e));
}

/* look->found stays new, unless they are related. */
static int compare(second *s, const hit *at, const vx_video *of, vx_verdict_look *look,
                   vx_err *err) {
    const vx_evidence_params params = {.either_way = true, .passage = true};
    const double new_s = s->subject->length_s;
    vx_evidence_window of_new = window_at(new_s, 32, 16, at->time_s);
    vx_evidence_window of_stored = window_at(of->duration_s, 64, 64, middle_of_hit(of, at));
    vx_evidence_set_rates(&of_new, &of_stored);
    int rc =
        vx_windows_compare(&s->windows, &of_new, of, &of_stored, &params, &look->evidence, err);
    if (rc || look->evidence.kind != VX_EVIDENCE_COPY || !vx_verdict_is_sure(&look->evidence))
        return rc;
    rc = find_span(s, of, &of_new, &look->evidence, &look->in_new, err);
    if (!rc)
        look->in_stored =
            vx_windows_relate(&look->evidence, &look->in_new, new_s, of->duration_s, &look->found);
    return rc;
}

static void keep_closest(vx_verdict_looks *looks, const vx_verdict_found *found) {
    vx_verdict_found *best = &looks->found;
    int closer = vx_rule_closeness(found->kind) - (best->of ? vx_rule_closeness(best->kind) : 0);
    if (closer > 0 || (closer == 0 && best->of && found->motion > best->motion))
        *best = *found;
}

static int look_at(second *s, const hit *at, vx_err *err) {
    VX_AUTO(vx_video) of = NULL;
    int rc = vx_catalog_get_video_by_row(s->collection->catalog, at->video, &of, err);
    if (rc == VX_CATALOG_NOT_FOUND)
        return 0;
    if (rc || !vx_video_has_file(of) || !isfinite(of->duration_s) || of->duration_s <= 0)
        return rc;
    s->n_looks++;
    vx_verdict_look look = {
        .score = at->score, .by_copy_model = at->by_copy_model, .evidence = {.motion = NAN}};
    look.found.kind = VX_VERDICT_NEW;
    strcpy(look.of, of->id);
    rc = compare(s, at, of, &look, err);
    if (rc == VX_MEDIA_STOPPED || rc == -ENOMEM)
        return rc;
    if (rc) {
        vx_log_failed(VX_LOG_DEBUG, "evidence", err, "of=%s", of->id);
        look.unreadable = true;
        look.found.kind = VX_VERDICT_NEW;
    } else if (s->files->on_check) {
        s->files->on_check(s->files->ctx, of, &look.evidence);
    }
    look.found.of = of->row;
    s->looks->items[s->looks->n++] = look;
    keep_closest(s->looks, &look.found);
    return 0;
}

/* ---- all looks ---- */

static bool is_among(const int64_t *rows, size_t n, int64_t row) {
    for (size_t i = 0; i < n; i++)
        if (rows[i] == row)
            return true;
    return false;
}

static bool is_settled(const second *s) {
    return s->looks->found.of && !vx_verdict_wants_look(s->looks->found.kind);
}

static int look_at_nearest(second *s, bool by_copy_model, const probe *probes, size_t n,
                           vx_err *err) {
    VX_AUTO_FREE hit *hits = NULL;
    size_t n_hits = 0, most = s->n_looks + VX_VERDICT_LOOKS;
    int rc = find_hits(s, by_copy_model, probes, n, &hits, &n_hits, err);
    for (size_t i = 0; i < n_hits && s->n_looks < most && !rc && !is_settled(s); i++) {
        if (is_cancelled(s))
            return VX_FAIL(err, VX_MEDIA_STOPPED, "the look was stopped");
        if (is_among(s->seen, s->n_seen, hits[i].video) ||
            is_among(s->unrelated, s->n_unrelated, hits[i].video))
            continue;
        s->seen[s->n_seen++] = hits[i].video;
        rc = look_at(s, &hits[i], err);
    }
    return rc;
}

static int look_by_moments(second *s, vx_err *err) {
    const vx_verdict_subject *subject = s->subject;
    size_t dim = (size_t)s->collection->models->items[0].info->dim, n = 0;
    VX_AUTO_FREE float *vectors = NULL;
    vx_span spans[MOMENTS];
    probe probes[MOST];
    size_t n_moments = choose_moments(subject->length_s, spans);
    const vx_moments moments = {.spans = spans, .n = n_moments};
    int rc = vx_moments_embed(s->files, &moments, &vectors, err);
    size_t n_clips = subject->n_clips < CLIPS ? subject->n_clips : CLIPS;
    for (size_t i = 0; i < n_clips; i++) {
        size_t clip = i * subject->n_clips / n_clips;
        const vx_span *span = subject->spans ? &subject->spans[clip] : NULL;
        double time_s = span ? (span->start_s + span->end_s) / 2 : subject->length_s / 2;
        probes[n++] = (probe){time_s, subject->vectors + clip * dim};
    }
    for (size_t i = 0; i < n_moments && vectors; i++)
        probes[n++] = (probe){(spans[i].start_s + spans[i].end_s) / 2, vectors + i * dim};
    return rc ? rc : look_at_nearest(s, false, probes, n, err);
}

static int look_by_copy_model(second *s, vx_err *err) {
    size_t dim = (size_t)s->collection->models->copy->items[0].info->dim, n = 0;
    VX_AUTO_FREE float *found = NULL;
    const float *vectors = s->subject->pictures;
    probe probes[VX_PICTURES_MAX];
    _Static_assert(VX_PICTURES_MAX <= MOST, "find_hits has room for them");
    int rc = 0;
    if (s->subject->described)
        n = s->subject->n_pictures;
    else
        rc = vx_verdict_get_pictures(s->collection, s->subject, s->files, &found, &n, err);
    vectors = found ? found : vectors;
    for (size_t i = 0; i < n && !rc; i++)
        probes[i] = (probe){vx_picture_time(s->subject->length_s, (int64_t)i), vectors + i * dim};
    return rc ? rc : look_at_nearest(s, true, probes, n, err);
}

static int look_by_views(second *s, vx_err *err) {
    size_t dim = (size_t)s->collection->models->items[0].info->dim, n = 0;
    VX_AUTO_FREE float *vectors = NULL;
    vx_span spans[VIEWS * VIEW_TIMES];
    vx_extract_view views[VIEWS * VIEW_TIMES];
    probe probes[VIEWS * VIEW_TIMES];
    for (int i = 0; i < VIEW_TIMES; i++) {
        double middle_s = s->subject->length_s * (i + 0.5) / VIEW_TIMES;
        size_t end = n + choose_views(s->subject, views + n);
        for (; n < end; n++)
            spans[n] = vx_moment_at(middle_s, s->subject->length_s);
    }
    const vx_moments moments = {.spans = spans, .views = views, .n = n};
    int rc = vx_moments_embed(s->files, &moments, &vectors, err);
    if (rc || !vectors)
        return rc;
    for (size_t i = 0; i < n; i++)
        probes[i] = (probe){(spans[i].start_s + spans[i].end_s) / 2, vectors + i * dim};
    return look_at_nearest(s, false, probes, n, err);
}

int vx_verdict_look_again(vx_collection *collection, const vx_verdict_subject *subject,
                          const vx_verdict_files *files, vx_evidence_level level,
                          vx_verdict_looks *ret_looks, vx_err *err) {
    second s = {.collection = collection,
                .subject = subject,
                .files = files,
                .windows = {.files = files, .turn = {.slots = files->extractor->slots}},
                .looks = ret_looks};
    *ret_looks = (vx_verdict_looks){0};
    if (level < VX_EVIDENCE_FULL || !isfinite(subject->length_s) || subject->length_s <= 0)
        return 0;
    int rc = vx_catalog_find_unrelated(collection->catalog, subject->id, &s.unrelated,
                                       &s.n_unrelated, err);
    if (!rc && collection->models->copy)
        rc = look_by_copy_model(&s, err);
    if (!rc && !is_settled(&s))
        rc = look_by_moments(&s, err);
    if (!rc && !ret_looks->found.of && level == VX_EVIDENCE_DEEP)
        rc = look_by_views(&s, err);
    vx_windows_clear(&s.windows);
    free(s.unrelated);
    return rc;
}

int vx_verdict_may_be_closer(vx_collection *collection, const vx_verdict_subject *subject,
                             const vx_verdict_candidates *candidates, bool *ret_may, vx_err *err) {
    vx_verdict match;
    int rc = vx_verdict_find_match(collection, subject, candidates, &match, err);
    *ret_may =
        !rc && vx_verdict_wants_look(match.kind) &&
        vx_verdict_wants_look(candidates->shown.of ? candidates->shown.kind : VX_VERDICT_NEW);
    return rc;
}

bool vx_verdict_wants_look(vx_verdict_kind kind) {
    return kind != VX_VERDICT_EXACT && kind != VX_VERDICT_COPY && kind != VX_VERDICT_PART_OF;
}

int vx_verdict_revise(vx_collection *collection, const vx_verdict_row *verdict,
                      const vx_verdict_looks *looks, bool *ret_revised, vx_verdict_row *ret_verdict,
                      vx_err *err) {
    const vx_verdict_found *found = &looks->found;
    VX_AUTO(vx_video) of = NULL;
    *ret_revised = false;
    if (!found->of || vx_rule_closeness(found->kind) <= vx_rule_closeness(verdict->kind))
        return 0;
    int rc = vx_catalog_get_video_alone(collection->catalog, found->of, &of, err);
    if (rc)
        return rc;
    *ret_revised = true;
    *ret_verdict = (vx_verdict_row){
        .kind = found->kind,
        .score = strcmp(verdict->of, of->id) != 0 ? NAN : verdict->score,
        .share = found->motion,
        .share_of_new = found->share_of_new,
        .share_of_stored = found->share_of_stored,
        .offset_s = found->offset_s,
        .mirrored = found->mirrored,
    };
    strcpy(ret_verdict->of, of->id);
    return 0;
}
