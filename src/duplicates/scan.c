/* scan.c — one scan: finds the pairs of videos that are related, block by block.
 *
 * The videos stand in one order: first those that an earlier scan has compared with each other, then the new
 * ones, each by age. A block of new videos is compared with all before it:
 *   1. dedup/ gives every pair of clips whose cosine reaches the model's threshold. Of each new video the
 *      nearest videos are noted (near.h); of the others only those that join two groups.
 *   2. Each source of evidence (evidence.h) names more videos, before or behind it in the order.
 *   3. Each candidate is judged: by the evidence, or as similar. Hashes take another take of one fixed camera for
 *      a copy, so the pictures of what may make a video go are looked at again, as at upload (verdict/).
 * Then one write stores the block's pairs and marks its videos. A scan that stops goes on from the marks.
 *
 * Groups under way are kept as disjoint sets. Once a video has VX_DUPLICATES_PAIRS pairs, a candidate that is
 * in its set of copies already is not judged: a hundred thousand copies of one clip need some pairs each, not
 * five billion. A video that has as many copies is not looked up by evidence either: what is related to it is
 * related to its copies, and is found from their side or from its own. (In such a crowd a look-up costs most and
 * finds least, see MAX_STEPS in fingerprint/multi_index.c.) The video is marked as capped, so that it is compared
 * again if one of its pairs goes.
 *
 * Memory: 24 bytes a video, 12 a clip, and what a block needs.
 *
 * The file is long because the steps of a block share its lists.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dedup/dedup.h"
#include "duplicates.h"
#include "evidence.h"
#include "near.h"
#include "sets.h"
#include "unrelated.h"

/* Raised when the same videos would be judged otherwise. */
#define RULE_VERSION 2
#define BLOCK_VIDEOS 512
#define FOUND_MAX 128 /* videos that a source of evidence may name */
#define SCORED_MAX                                                                                 \
    ((size_t)1024) /* pairs of clips, for the score of a pair that vectors did not find */

typedef struct scan {
    const vx_duplicates_params *p;
    const vx_scan_watch *watch;
    vx_scan_report *report;
    const vx_model *model;
    bool partial;    /* by a filter: marks nothing */
    int64_t *videos; /* [n_videos] rows: known ones, then new ones, each rising */
    size_t n_videos, n_known;
    int64_t *clips;  /* [n_clips] index ids, by video */
    size_t *first;   /* [n_videos + 1] of a video's clips */
    uint32_t *owner; /* [n_clips] video of each */
    size_t n_clips;
    uint32_t *copies,
        *groups; /* disjoint sets [n_videos]: by copies, parts and wholes; by any pair */
    vx_unrelated unrelated;
    vx_dedup *dedup;
    vx_verdict_decoded *decoded;
    int64_t done, total;
    /* the block: */
    size_t block, n_block; /* its first video, and how many */
    vx_near *near;         /* [BLOCK_VIDEOS] */
    bool capped[BLOCK_VIDEOS];
    size_t n_pairs_of[BLOCK_VIDEOS], n_copies_of[BLOCK_VIDEOS];
    vx_near_video *joins; /* [n_joins]: what near has no room for, but joins two groups */
    uint32_t *join_of;    /* [n_joins]: the block's video */
    size_t n_joins, joins_capacity, join_of_capacity;
    vx_duplicate_pair *pairs; /* [n_pairs]; their segments are owned */
    size_t n_pairs, pairs_capacity;
} scan;

static void clear_block(scan *s) {
    for (size_t i = 0; i < s->n_pairs; i++)
        free(s->pairs[i].segments);
    s->n_pairs = s->n_joins = 0;
    memset(s->capped, 0, sizeof s->capped);
    memset(s->n_pairs_of, 0, sizeof s->n_pairs_of);
    memset(s->n_copies_of, 0, sizeof s->n_copies_of);
    for (size_t i = 0; i < BLOCK_VIDEOS; i++)
        s->near[i].n = 0;
}

static void scan_done(scan *s) {
    if (s->near)
        clear_block(s);
    vx_dedup_free(s->dedup);
    vx_verdict_decoded_free(s->decoded);
    vx_unrelated_done(&s->unrelated);
    free(s->videos);
    free(s->clips);
    free(s->first);
    free(s->owner);
    free(s->copies);
    free(s->groups);
    free(s->near);
    free(s->joins);
    free(s->join_of);
    free(s->pairs);
}

static int check_over(const scan *s, vx_err *err) {
    return s->watch->is_over && s->watch->is_over(s->watch->ctx)
               ? VX_FAIL(err, -ECANCELED, "the scan was stopped")
               : 0;
}

static void tell_progress(const scan *s) {
    if (s->watch->on_progress)
        s->watch->on_progress(s->watch->ctx, s->done, s->total);
}

static bool is_over(void *ctx) {
    const scan *s = ctx;
    return s->watch->is_over && s->watch->is_over(s->watch->ctx);
}

/* ---- what is to be compared ---- */

typedef struct gathering {
    scan *scan;
    const vx_idset *selected; /* NULL: all */
    int64_t *rows, *clips;    /* of every clip that has a vector, and (clip 0) of every video */
    size_t n, rows_capacity, clips_capacity;
    int64_t *known, *known_vectors; /* [n_known] as marked */
    size_t n_known, known_capacity, vectors_capacity;
} gathering;

static int note_clip(void *ctx, int64_t video, const vx_clip *clip, vx_err *err) {
    gathering *g = ctx;
    if (g->selected && !vx_idset_contains(g->selected, video))
        return 0;
    bool first = !g->n || g->rows[g->n - 1] != video;
    bool indexed = vx_index_has(g->scan->model->index, clip->row);
    for (int i = 0; i < first + indexed; i++) {
        if (!vx_make_room(g->rows, g->n, g->rows_capacity) ||
            !vx_make_room(g->clips, g->n, g->clips_capacity))
            return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu clips", g->n + 1);
        g->rows[g->n] = video;
        g->clips[g->n++] = first && i == 0 ? -1 : clip->row;
    }
    return first ? check_over(g->scan, err) : 0;
}

static int note_scanned(void *ctx, int64_t video, int64_t vectors, vx_err *err) {
    gathering *g = ctx;
    if (!vx_make_room(g->known, g->n_known, g->known_capacity) ||
        !vx_make_room(g->known_vectors, g->n_known, g->vectors_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", g->n_known + 1);
    g->known[g->n_known] = video;
    g->known_vectors[g->n_known++] = vectors;
    return 0;
}

/* Copies the videos that are known, or the others, behind those that are in the scan. Both lists rise. */
static void take_videos(const gathering *g, bool known) {
    scan *s = g->scan;
    size_t mark = 0;
    for (size_t i = 0, end; i < g->n; i = end) {
        for (end = i + 1; end < g->n && g->rows[end] == g->rows[i];)
            end++;
        while (mark < g->n_known && g->known[mark] < g->rows[i])
            mark++;
        bool is_known = mark < g->n_known && g->known[mark] == g->rows[i] &&
                        g->known_vectors[mark] == (int64_t)(end - i - 1);
        if (is_known != known)
            continue;
        s->videos[s->n_videos] = g->rows[i];
        s->first[s->n_videos] = s->n_clips;
        for (size_t k = i + 1; k < end; k++) {
            s->owner[s->n_clips] = (uint32_t)s->n_videos;
            s->clips[s->n_clips++] = g->clips[k];
        }
        s->n_videos++;
    }
    s->first[s->n_videos] = s->n_clips;
}

static void gathering_done(gathering *g) {
    free(g->rows);
    free(g->clips);
    free(g->known);
    free(g->known_vectors);
}

static int gather(scan *s, const vx_idset *selected, vx_err *err) {
    __attribute__((cleanup(gathering_done))) gathering g = {.scan = s, .selected = selected};
    vx_catalog *catalog = s->p->collection->catalog;
    int rc = vx_catalog_scan_scanned(catalog, note_scanned, &g, err);
    if (!rc)
        rc = vx_catalog_scan_clips(catalog, note_clip, &g, err);
    if (rc)
        return rc;
    s->videos = vx_new_array(g.n + 1, sizeof *s->videos);
    s->first = vx_new_array(g.n + 1, sizeof *s->first);
    s->clips = vx_new_array(g.n + 1, sizeof *s->clips);
    s->owner = vx_new_array(g.n + 1, sizeof *s->owner);
    if (!s->videos || !s->first || !s->clips || !s->owner || g.n > UINT32_MAX)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu clips", g.n);
    take_videos(&g, true);
    s->n_known = s->n_videos;
    take_videos(&g, false);
    return 0;
}

/* A video's number; SIZE_MAX: it is not in this scan. */
static size_t find_video(const scan *s, int64_t row) {
    const size_t starts[] = {0, s->n_known, s->n_videos};
    for (int part = 0; part < 2; part++) {
        size_t low = starts[part], high = starts[part + 1];
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (s->videos[middle] < row)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < starts[part + 1] && s->videos[low] == row)
            return low;
    }
    return SIZE_MAX;
}

/* Groups that earlier scans, or an earlier try of this one, have found. */
static int note_stored_pair(void *ctx, const vx_duplicate_pair *pair, vx_err *err) {
    (void)err;
    scan *s = ctx;
    size_t a = find_video(s, pair->a), b = find_video(s, pair->b);
    if (a == SIZE_MAX || b == SIZE_MAX || vx_unrelated_has(&s->unrelated, pair->a, pair->b))
        return 0;
    vx_sets_join(s->groups, (uint32_t)a, (uint32_t)b);
    if (vx_pair_evidence_is_strong(pair->kind))
        vx_sets_join(s->copies, (uint32_t)a, (uint32_t)b);
    return 0;
}

/* ---- near by vectors ---- */

/* Two videos whose pair is not judged for want of room: it is, if it joins two groups. */
static int leave(scan *s, size_t in_block, vx_near_video left, vx_err *err) {
    size_t video = s->block + in_block;
    s->capped[in_block] = true;
    if (vx_unrelated_has(&s->unrelated, s->videos[video], s->videos[left.video]) ||
        !vx_sets_join(s->groups, (uint32_t)video, left.video))
        return 0;
    if (!vx_make_room(s->joins, s->n_joins, s->joins_capacity) ||
        !vx_make_room(s->join_of, s->n_joins, s->join_of_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu pairs", s->n_joins + 1);
    s->joins[s->n_joins] = left;
    s->join_of[s->n_joins++] = (uint32_t)in_block;
    return 0;
}

/* Not, if it is none of the nearest and joins no groups: on_hits would only mark the video as capped, see find_near. */
static bool wants(void *ctx, size_t row, size_t other_row, float score) {
    const scan *s = ctx;
    uint32_t video = s->owner[row], other = s->owner[other_row];
    return vx_near_may_take(&s->near[video - s->block], (vx_near_video){other, score}) ||
           vx_sets_look(s->groups, video) != vx_sets_look(s->groups, other);
}

static int on_hits(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err) {
    scan *s = ctx;
    for (size_t i = 0; i < n; i++) {
        uint32_t video = s->owner[hits[i].row], other = s->owner[hits[i].other];
        if (video == other)
            continue;
        size_t in_block = video - s->block;
        vx_near_video left;
        int rc = 0;
        if (!vx_near_push(&s->near[in_block], (vx_near_video){other, hits[i].score}, &left))
            rc = leave(s, in_block, left, err);
        if (rc)
            return rc;
    }
    return check_over(s, err);
}

static int find_near(scan *s, vx_err *err) {
    size_t first = s->first[s->block], end = s->first[s->block + s->n_block];
    int rc = check_over(s, err);
    for (size_t n; first < end && !rc; first += n) {
        n = end - first < VX_DEDUP_BLOCK ? end - first : VX_DEDUP_BLOCK;
        rc = vx_dedup_compare(s->dedup, first, n, wants, on_hits, s, err);
    }
    for (size_t i = 0; i < s->n_block && !rc; i++)
        s->capped[i] |= s->near[i].n == VX_NEAR_MAX;
    return rc;
}

/* ---- judging ---- */

/* The video that is judged, and what is known of it. */
typedef struct subject {
    scan *scan;
    size_t in_block;
    vx_pair_evidence_video own;
    int64_t row;
    int64_t *partners; /* [n] rows of its pairs that are stored, rising */
    size_t n, capacity;
    vx_verdict_row inserted; /* its verdict at insert, and the row that this names (0: none) */
    int64_t inserted_of;
    int64_t other_takes[VX_VERDICT_CHECKS + 1]; /* [n_other_takes] rows that were looked at */
    size_t n_other_takes;
} subject;

static void subject_done(subject *v) {
    vx_pair_evidence_done(&v->own);
    free(v->partners);
}

static int add_partner(subject *v, int64_t row, vx_err *err) {
    if (!vx_make_room(v->partners, v->n, v->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu pairs", v->n + 1);
    v->partners[v->n++] = row;
    return 0;
}

static int note_partner(void *ctx, const vx_duplicate_pair *pair, vx_err *err) {
    subject *v = ctx;
    return add_partner(v, pair->a == v->row ? pair->b : pair->a, err);
}

static int load_subject(subject *v, vx_err *err) {
    scan *s = v->scan;
    vx_catalog *catalog = s->p->collection->catalog;
    int rc = vx_pair_evidence_load(s->p->collection, v->row, &v->own, err);
    if (!rc)
        rc = vx_catalog_scan_pairs_of(catalog, v->row, note_partner, v, err);
    for (size_t i = 0; i < s->n_pairs && !rc; i++)
        if (s->pairs[i].a == v->row || s->pairs[i].b == v->row)
            rc = note_partner(v, &s->pairs[i], err);
    if (rc || !v->own.video->duplicate.of[0])
        return rc;
    VX_AUTO(vx_video) of = NULL;
    rc = vx_catalog_get_video(catalog, v->own.video->duplicate.of, &of, err);
    v->inserted = v->own.video->duplicate;
    v->inserted_of = of ? of->row : 0;
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

static bool has_partner(const subject *v, int64_t row) {
    for (size_t i = 0; i < v->n; i++)
        if (v->partners[i] == row)
            return true;
    return false;
}

static bool is_other_take(const subject *v, int64_t row) {
    for (size_t i = 0; i < v->n_other_takes; i++)
        if (v->other_takes[i] == row)
            return true;
    return false;
}

/* The best cosine of two clips; NaN where there are too many, or none. */
static float score_of(const scan *s, size_t a, size_t b) {
    size_t n_a = s->first[a + 1] - s->first[a], n_b = s->first[b + 1] - s->first[b];
    size_t dim = (size_t)s->model->info->dim;
    float best = NAN;
    if (!n_a || !n_b || n_a > SCORED_MAX / n_b)
        return NAN;
    VX_AUTO_FREE float *queries = vx_new_array(n_b, dim * sizeof *queries);
    size_t n = 0;
    for (size_t i = 0; i < n_b && queries; i++)
        n += !vx_index_get(s->model->index, s->clips[s->first[b] + i], queries + n * dim, NULL);
    for (size_t i = 0; i < n_a && n; i++) {
        float score;
        if (!vx_index_score(s->model->index, s->clips[s->first[a] + i], queries, n, &score, NULL) &&
            !(best >= score))
            best = score;
    }
    return best;
}

/* What the verdict at insert said: it saw more frames than are stored, and their mirror images. */
static void use_inserted(const subject *v, int64_t other, vx_duplicate_pair *pair) {
    if (other != v->inserted_of || v->inserted.kind == VX_VERDICT_SIMILAR ||
        v->inserted.kind == VX_VERDICT_NEW || other > v->row)
        return;
    pair->kind = v->inserted.kind;
    pair->share = v->inserted.share;
    pair->share_of_b = v->inserted.share_of_new;
    pair->share_of_a = v->inserted.share_of_stored;
    pair->offset_s = v->inserted.offset_s;
    pair->mirrored = v->inserted.mirrored;
}

/* Of one camera there may be a thousand takes: as at upload, after VX_VERDICT_CHECKS of them no match counts, but for
 * the one that the verdict at insert names. */
static int look_again(subject *v, int64_t other, const vx_pair_evidence_video *a,
                      const vx_pair_evidence_video *b, vx_duplicate_pair *pair, vx_err *err) {
    const scan *s = v->scan;
    const vx_verdict_files files = {.store = s->p->store,
                                    .extractor = s->p->extractor,
                                    .decode_threads = 1,
                                    .decoded = s->decoded,
                                    .cancelled = is_over,
                                    .ctx = v->scan};
    if (!vx_pair_evidence_is_strong(pair->kind))
        return 0;
    if (v->n_other_takes >= VX_VERDICT_CHECKS && other != v->inserted_of) {
        vx_pair_evidence_drop(pair);
        return 0;
    }
    int rc = vx_pair_evidence_check(a, b, &files, pair, err);
    if (!rc && pair->kind == VX_VERDICT_NEW)
        v->other_takes[v->n_other_takes++] = other;
    return rc;
}

static int judge_by_evidence(subject *v, int64_t other, vx_duplicate_pair *pair, vx_err *err) {
    vx_pair_evidence_video loaded = {0};
    int rc = vx_pair_evidence_load(v->scan->p->collection, other, &loaded, err);
    if (rc)
        return rc;
    vx_pair_evidence_video *a = other < v->row ? &loaded : &v->own,
                           *b = a == &loaded ? &v->own : &loaded;
    for (int i = 0; vx_pair_evidence_sources[i] && pair->kind == VX_VERDICT_NEW && !rc; i++)
        rc = vx_pair_evidence_sources[i]->judge(a, b, pair, err);
    if (!rc && pair->kind == VX_VERDICT_NEW)
        use_inserted(v, other, pair);
    if (!rc)
        rc = look_again(v, other, a, b, pair, err);
    vx_pair_evidence_done(&loaded);
    v->scan->report->compared++;
    return rc;
}

static int keep_pair(subject *v, size_t other, const vx_duplicate_pair *pair, vx_err *err) {
    scan *s = v->scan;
    uint32_t own = (uint32_t)(s->block + v->in_block);
    if (!vx_make_room(s->pairs, s->n_pairs, s->pairs_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu pairs", s->n_pairs + 1);
    s->pairs[s->n_pairs++] = *pair;
    s->n_pairs_of[v->in_block]++;
    s->n_copies_of[v->in_block] += pair->kind == VX_VERDICT_COPY;
    if (!vx_unrelated_has(&s->unrelated, pair->a, pair->b)) {
        vx_sets_join(s->groups, own, (uint32_t)other);
        if (vx_pair_evidence_is_strong(pair->kind))
            vx_sets_join(s->copies, own, (uint32_t)other);
    }
    return add_partner(v, s->videos[other], err);
}

/* score: of the vectors, where they found the pair; else NaN. needed: it joins two groups. */
static int judge_candidate(subject *v, size_t other, float score, bool needed, vx_err *err) {
    scan *s = v->scan;
    uint32_t own = (uint32_t)(s->block + v->in_block);
    int64_t row = s->videos[other];
    bool full = s->n_pairs_of[v->in_block] >= VX_DUPLICATES_PAIRS && !needed;
    if (other == own || has_partner(v, row) || is_other_take(v, row))
        return 0;
    if (full && vx_sets_find(s->copies, own) == vx_sets_find(s->copies, (uint32_t)other)) {
        s->capped[v->in_block] = true;
        return 0;
    }
    vx_duplicate_pair pair = {.a = row < v->row ? row : v->row,
                              .b = row < v->row ? v->row : row,
                              .kind = VX_VERDICT_NEW,
                              .score = score,
                              .share = NAN,
                              .share_of_a = NAN,
                              .share_of_b = NAN,
                              .offset_s = NAN};
    int rc = judge_by_evidence(v, row, &pair, err);
    if (rc) {
        free(pair.segments);
        return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
    }
    if (pair.kind == VX_VERDICT_NEW && score >= s->model->info->similar_threshold)
        pair.kind = VX_VERDICT_SIMILAR;
    if (pair.kind == VX_VERDICT_SIMILAR && full &&
        vx_sets_find(s->groups, own) == vx_sets_find(s->groups, (uint32_t)other)) {
        s->capped[v->in_block] = true;
        return 0;
    }
    if (pair.kind == VX_VERDICT_NEW)
        return 0;
    if (isnan(score))
        pair.score = score_of(s, own, other);
    rc = keep_pair(v, other, &pair, err);
    if (rc)
        free(pair.segments);
    return rc;
}

static int by_score(const void *a, const void *b) {
    const vx_near_video *x = a, *y = b;
    return vx_near_is_better(*x, *y) ? -1 : vx_near_is_better(*y, *x);
}

static int judge_near(subject *v, vx_err *err) {
    scan *s = v->scan;
    vx_near *near = &s->near[v->in_block];
    int rc = 0;
    qsort(near->items, near->n, sizeof *near->items, by_score);
    for (uint32_t i = 0; i < near->n && !rc; i++)
        rc = judge_candidate(v, near->items[i].video, near->items[i].score, false, err);
    for (size_t i = 0; i < s->n_joins && !rc; i++)
        if (s->join_of[i] == v->in_block)
            rc = judge_candidate(v, s->joins[i].video, s->joins[i].score, true, err);
    return rc;
}

static int judge_found(subject *v, vx_err *err) {
    scan *s = v->scan;
    int64_t rows[FOUND_MAX + 1];
    size_t n = 0;
    int rc = 0;
    bool crowded = s->n_copies_of[v->in_block] >= VX_DUPLICATES_PAIRS;
    if (v->inserted_of)
        rows[n++] = v->inserted_of;
    s->capped[v->in_block] |= crowded;
    for (int i = 0; vx_pair_evidence_sources[i] && !crowded && !rc; i++)
        rc = vx_pair_evidence_sources[i]->find(s->p->collection, &v->own, rows, VX_LEN(rows), &n,
                                               err);
    for (size_t i = 0; i < n && !rc; i++) {
        size_t other = find_video(s, rows[i]);
        if (other != SIZE_MAX)
            rc = judge_candidate(v, other, NAN, false, err);
    }
    return rc;
}

/* A video that was deleted meanwhile is passed over. */
static int judge_video(scan *s, size_t in_block, vx_err *err) {
    subject v = {.scan = s, .in_block = in_block, .row = s->videos[s->block + in_block]};
    int rc = load_subject(&v, err);
    if (!rc)
        rc = judge_near(&v, err);
    if (!rc)
        rc = judge_found(&v, err);
    subject_done(&v);
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

/* ---- blocks ---- */

static int apply_block(void *ctx, vx_err *err) {
    const scan *s = ctx;
    vx_catalog *catalog = s->p->collection->catalog;
    int rc = vx_catalog_insert_pairs(catalog, s->pairs, s->n_pairs, err);
    for (size_t i = 0; i < s->n_block && !rc && !s->partial; i++) {
        size_t video = s->block + i;
        rc = vx_catalog_set_scanned(catalog, s->videos[video],
                                    (int64_t)(s->first[video + 1] - s->first[video]), s->capped[i],
                                    err);
    }
    return rc;
}

/* Products of the block with what is before it; and each video costs something, too. */
static int64_t cost_of(const scan *s, size_t first_video, size_t n) {
    int64_t clips = (int64_t)(s->first[first_video + n] - s->first[first_video]);
    return clips * ((int64_t)s->first[first_video] + clips / 2) + 1000 * (int64_t)n;
}

static int scan_block(scan *s, vx_err *err) {
    size_t end = s->block + 1;
    while (end < s->n_videos && end - s->block < BLOCK_VIDEOS &&
           s->first[end + 1] - s->first[s->block] <= VX_DEDUP_BLOCK)
        end++;
    s->n_block = end - s->block;
    clear_block(s);
    int rc = find_near(s, err);
    for (size_t i = 0; i < s->n_block && !rc; i++) {
        rc = check_over(s, err);
        if (!rc)
            rc = judge_video(s, i, err);
    }
    if (!rc)
        rc = vx_writer_run(s->p->writer, apply_block, NULL, s, err);
    if (rc)
        return rc;
    s->report->videos += (int64_t)s->n_block;
    s->report->pairs += (int64_t)s->n_pairs;
    s->done += cost_of(s, s->block, s->n_block);
    s->block = end;
    tell_progress(s);
    return 0;
}

static int apply_basis(void *ctx, vx_err *err) {
    const scan *s = ctx;
    char basis[320];
    snprintf(basis, sizeof basis, "rule %d%s, %s %s from %.9g", RULE_VERSION,
             s->p->extractor->evidence ? "" : " without evidence", s->model->info->name,
             s->model->info->digest, (double)s->model->info->similar_threshold);
    return vx_catalog_set_basis(s->p->collection->catalog, basis, err);
}

static int open_scan(scan *s, const vx_filter *filter, vx_err *err) {
    VX_AUTO(vx_idset) selected = NULL;
    int rc = vx_writer_run(s->p->writer, apply_basis, NULL, s, err);
    if (!rc)
        rc = vx_unrelated_load(s->p->collection->catalog, &s->unrelated, err);
    if (!rc && filter)
        rc = vx_collection_select_videos(s->p->collection, filter, &selected, err);
    if (!rc)
        rc = gather(s, selected, err);
    if (rc)
        return rc;
    s->copies = vx_sets_new(s->n_videos);
    s->groups = vx_sets_new(s->n_videos);
    s->near = vx_new_array(BLOCK_VIDEOS, sizeof *s->near);
    s->decoded = vx_verdict_decoded_new(VX_VERDICT_DECODED_MAX);
    if (!s->decoded || !s->copies || !s->groups || !s->near)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu videos", s->n_videos);
    return vx_catalog_scan_pairs(s->p->collection->catalog, note_stored_pair, s, err);
}

int vx_duplicates_scan(const vx_duplicates_params *params, const vx_filter *filter,
                       const vx_scan_watch *watch, vx_scan_report *ret_report, vx_err *err) {
    __attribute__((cleanup(scan_done))) scan s = {.p = params,
                                                  .watch = watch,
                                                  .report = ret_report,
                                                  .model = &params->collection->models->items[0],
                                                  .partial = filter != NULL};
    *ret_report = (vx_scan_report){0};
    int rc = open_scan(&s, filter, err);
    if (rc)
        return rc;
    const vx_dedup_indexed indexed = {.index = s.model->index, .ids = s.clips, .n = s.n_clips};
    const vx_dedup_rows rows = vx_dedup_rows_of_index(&indexed);
    rc = vx_dedup_new(&rows, s.model->info->similar_threshold, params->threads, &s.dedup, err);
    const vx_dedup_gpu gpu = {.device = s.model->info->device, .first = s.first[s.n_known]};
    if (!rc && !strncmp(gpu.device, "cuda", 4))
        vx_dedup_use_gpu(s.dedup, &gpu);
    ret_report->among = (int64_t)s.n_videos;
    s.block = s.n_known;
    s.total = cost_of(&s, s.n_known, s.n_videos - s.n_known);
    tell_progress(&s);
    while (!rc && s.block < s.n_videos)
        rc = scan_block(&s, err);
    return rc;
}
