/* decide.c — see verdict.h. Why the writer may rest on a scan that another thread made earlier:
 *
 * What enters the indexes is noted afterwards, in a list that counts up (collection/). A scan remembers
 * the count from before it began: whatever was not in the indexes yet when they were read is noted
 * later than that, and so is among the recent inserts. A video that is met twice does no harm. A video
 * that was deleted since is not found in the catalog (rows are never given out twice), and may have
 * taken the place of another; then, and when too many videos were inserted, everything is scanned
 * again.
 */
#include "verdict.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "fingerprint/fingerprint.h"
#include "verdict_internal.h"

#define NEIGHBOURS_PER_CLIP 8
#define SIMILAR_MAX 64
/* Scores of pairs of clips, 0.2 us each at 1280 dimensions: with more, another scan is faster. */
#define RECENT_PAIRS_MAX ((size_t)1 << 20)

/* What the verdict is made of. */
typedef struct findings {
    vx_rule_similar similar[SIMILAR_MAX];
    size_t n_similar;
    int64_t copies[2 * VX_VERDICT_COPIES + VX_RECENT_MAX + VX_VERDICT_MORE];
    size_t n_copies;
    bool outdated; /* only another scan can find what it lacks */
} findings;

void vx_verdict_candidates_clear(vx_verdict_candidates *candidates) {
    free(candidates->near);
    free(candidates->n_near);
    *candidates = (vx_verdict_candidates){0};
}

/* The stored videos that share frames with the new one as it is, and with its mirror image. */
static int find_copies(vx_collection *collection, const vx_fp_video *fingerprint,
                       vx_verdict_candidates *candidates, vx_err *err) {
    const vx_fp_frame *sides[2] = {fingerprint->frames, fingerprint->mirrored};
    int rc = 0;
    for (int side = 0; side < 2 && !rc; side++) {
        size_t n = 0;
        if (!sides[side])
            continue;
        rc = vx_fp_index_candidates(collection->fingerprints, sides[side], fingerprint->n_frames,
                                    VX_VERDICT_COPIES, candidates->copies + candidates->n_copies,
                                    &n, err);
        candidates->n_copies += n;
        candidates->more_copies |= n == VX_VERDICT_COPIES;
    }
    return rc;
}

int vx_verdict_find_candidates(vx_collection *collection, const vx_verdict_subject *subject,
                               vx_verdict_candidates *ret_candidates, vx_err *err) {
    const vx_model *model = &collection->models->items[0];
    *ret_candidates = (vx_verdict_candidates){
        .n_recent = atomic_load(&collection->recent.n),
        .near = vx_new_array(subject->n_clips, NEIGHBOURS_PER_CLIP * sizeof *ret_candidates->near),
        .n_near = vx_new_array(subject->n_clips, sizeof *ret_candidates->n_near),
    };
    if (!ret_candidates->near || !ret_candidates->n_near)
        return VX_FAIL(err, -ENOMEM, "no memory for the verdict");
    int rc = find_copies(collection, subject->fingerprint, ret_candidates, err);
    vx_index_query query = {.vectors = subject->vectors,
                            .n = subject->n_clips,
                            .k = NEIGHBOURS_PER_CLIP,
                            .min_score = model->info->similar_threshold,
                            .is_patient = true,
                            .before_id = subject->before_row ? subject->before_clip : 0};
    if (!rc && subject->n_clips)
        rc = vx_index_search(model->index, &query, ret_candidates->near, ret_candidates->n_near,
                             NULL, err);
    return rc;
}

/* ---- findings ---- */

/* The best score of each video; of more than fit, the best videos. */
static void add_similar(findings *e, int64_t video, float score) {
    size_t at = 0, least = 0;
    for (; at < e->n_similar && e->similar[at].video != video; at++)
        if (e->similar[at].score < e->similar[least].score)
            least = at;
    if (at == SIMILAR_MAX)
        at = least;
    else if (at == e->n_similar)
        e->similar[e->n_similar++] = (vx_rule_similar){video, score};
    if (score > e->similar[at].score)
        e->similar[at] = (vx_rule_similar){video, score};
}

/* The best cosine between the new clips and those of one stored video; NaN if it has no vectors. */
static float best_score(vx_collection *collection, const vx_verdict_subject *subject,
                        const vx_video *video) {
    float best = NAN;
    for (size_t i = 0; i < video->n_clips && subject->n_clips; i++) {
        float score;
        if (!vx_index_score(collection->models->items[0].index, video->clips[i].row,
                            subject->vectors, subject->n_clips, &score, NULL) &&
            !(best >= score))
            best = score;
    }
    return best;
}

/* A clip goes with its video alone, and rows are never given out twice: so one look at each video says
 * whether all its clips are still there. The neighbours of a film mostly share few videos. */
static int weigh_neighbours(vx_collection *collection, const vx_verdict_subject *subject,
                            const vx_verdict_candidates *candidates, findings *e, vx_err *err) {
    enum { SEEN = 1024 };
    int64_t seen[SEEN] = {0}; /* videos that are there, each at its row % SEEN */
    for (size_t c = 0; c < subject->n_clips; c++) {
        for (size_t i = 0; i < candidates->n_near[c]; i++) {
            const vx_neighbour *near = &candidates->near[c * NEIGHBOURS_PER_CLIP + i];
            int64_t video = near->group;
            bool has = seen[video % SEEN] == video;
            int rc = has ? 0 : vx_catalog_has_video(collection->catalog, video, &has, err);
            if (rc)
                return rc;
            if (!has) {
                e->outdated = true;
                continue;
            }
            seen[video % SEEN] = video;
            add_similar(e, video, near->score);
        }
    }
    return 0;
}

static int weigh_copies(vx_collection *collection, const vx_verdict_candidates *candidates,
                        findings *e, vx_err *err) {
    memcpy(e->copies, candidates->copies, candidates->n_copies * sizeof *candidates->copies);
    e->n_copies = candidates->n_copies;
    for (size_t i = 0; i < candidates->n_copies && candidates->more_copies; i++) {
        bool has;
        int rc = vx_catalog_has_video(collection->catalog, candidates->copies[i], &has, err);
        if (rc)
            return rc;
        e->outdated |= !has;
    }
    return 0;
}

static int weigh_recent(vx_collection *collection, const vx_verdict_subject *subject,
                        const vx_verdict_candidates *candidates, findings *e, vx_err *err) {
    const vx_recent_inserts *recent = &collection->recent;
    unsigned long long n = atomic_load(&recent->n);
    e->outdated |= n - candidates->n_recent > VX_RECENT_MAX;
    size_t n_pairs = 0;
    for (unsigned long long i = candidates->n_recent; i < n && !e->outdated; i++) {
        VX_AUTO(vx_video) video = NULL;
        int rc = vx_catalog_get_video_by_row(collection->catalog, recent->videos[i % VX_RECENT_MAX],
                                             &video, err);
        if (rc == VX_CATALOG_NOT_FOUND) /* deleted again, or its group failed */
            continue;
        if (rc)
            return rc;
        n_pairs += subject->n_clips * video->n_clips;
        e->outdated = n_pairs > RECENT_PAIRS_MAX;
        float score = e->outdated ? NAN : best_score(collection, subject, video);
        if (score >= collection->models->items[0].info->similar_threshold)
            add_similar(e, video->row, score);
        e->copies[e->n_copies++] = video->row;
    }
    return 0;
}

static int weigh(vx_collection *collection, const vx_verdict_subject *subject,
                 const vx_verdict_candidates *candidates, findings *ret_findings, vx_err *err) {
    *ret_findings = (findings){0};
    int rc = weigh_neighbours(collection, subject, candidates, ret_findings, err);
    if (!rc)
        rc = weigh_copies(collection, candidates, ret_findings, err);
    for (size_t i = 0; i < subject->n_more && !rc; i++)
        ret_findings->copies[ret_findings->n_copies++] = subject->more[i];
    if (rc || subject->before_row) /* what is recent is not older */
        return rc;
    return weigh_recent(collection, subject, candidates, ret_findings, err);
}

/* As of now, on the thread that alone changes the indexes. What is still outdated then was deleted
 * earlier in this group. */
static int scan_again(vx_collection *collection, const vx_verdict_subject *subject,
                      findings *ret_findings, vx_err *err) {
    vx_verdict_candidates candidates = {0};
    int rc = vx_verdict_find_candidates(collection, subject, &candidates, err);
    if (!rc)
        rc = weigh(collection, subject, &candidates, ret_findings, err);
    vx_verdict_candidates_clear(&candidates);
    return rc;
}

/* ---- the verdict ---- */

int vx_verdict_load_fingerprint(void *ctx, int64_t video, vx_fp_frame **ret_frames, size_t *ret_n,
                                double *ret_length_s, vx_err *err) {
    vx_collection *collection = ctx;
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes = 0;
    int rc = vx_catalog_get_fingerprint(collection->catalog, video, &blob, &bytes, err);
    if (!rc)
        rc = vx_catalog_get_duration(collection->catalog, video, ret_length_s, err);
    if (rc == VX_CATALOG_NOT_FOUND || rc == VX_CATALOG_DAMAGED) {
        *ret_frames = NULL;
        *ret_n = 0;
        return 0;
    }
    return rc ? rc : vx_fp_unpack(blob, bytes, ret_frames, ret_n, err);
}

/* Leaves only videos below a row. */
static void keep_older(findings *e, int64_t before_row) {
    size_t n_copies = 0, n_similar = 0;
    for (size_t i = 0; i < e->n_copies; i++)
        if (e->copies[i] < before_row)
            e->copies[n_copies++] = e->copies[i];
    for (size_t i = 0; i < e->n_similar; i++)
        if (e->similar[i].video < before_row)
            e->similar[n_similar++] = e->similar[i];
    e->n_copies = n_copies;
    e->n_similar = n_similar;
}

static bool is_among(const int64_t *rows, size_t n, int64_t row) {
    for (size_t i = 0; i < n; i++)
        if (rows[i] == row)
            return true;
    return false;
}

static bool is_by_pictures(vx_verdict_kind kind) {
    return kind == VX_VERDICT_COPY || kind == VX_VERDICT_PART_OF || kind == VX_VERDICT_CONTAINS ||
           kind == VX_VERDICT_SHARED_SEGMENT;
}

static bool was_seen(const vx_verdict_candidates *candidates, int64_t video) {
    for (size_t i = 0; i < candidates->n_seen; i++)
        if (candidates->seen[i] == video)
            return true;
    return false;
}

/* Drops the videos that people said are unrelated to this one, also *shown (0: none). */
static int drop_unrelated(vx_collection *collection, const char *id, findings *e, int64_t *shown,
                          vx_err *err) {
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n = 0, n_copies = 0, n_similar = 0;
    int rc = vx_catalog_find_unrelated(collection->catalog, id, &rows, &n, err);
    if (rc || !n)
        return rc;
    for (size_t i = 0; i < e->n_copies; i++)
        if (!is_among(rows, n, e->copies[i]))
            e->copies[n_copies++] = e->copies[i];
    for (size_t i = 0; i < e->n_similar; i++)
        if (!is_among(rows, n, e->similar[i].video))
            e->similar[n_similar++] = e->similar[i];
    if (is_among(rows, n, *shown))
        *shown = 0;
    e->n_copies = n_copies;
    e->n_similar = n_similar;
    return 0;
}

/* candidates: NULL, or says what was looked at again. */
static int judge(vx_collection *collection, const vx_verdict_subject *subject, const findings *e,
                 const vx_verdict_candidates *candidates, vx_verdict *ret_verdict, vx_err *err) {
    int64_t other_takes[VX_VERDICT_CHECKS];
    size_t n_other_takes = 0;
    for (size_t i = 0; candidates && i < candidates->n_seen; i++)
        if (candidates->said[i] == VX_EVIDENCE_OTHER_TAKE)
            other_takes[n_other_takes++] = candidates->seen[i];
    vx_rule_input input = {
        .other_takes = other_takes,
        .n_other_takes = n_other_takes,
        .no_pictures = n_other_takes == VX_VERDICT_CHECKS,
        .frames = subject->fingerprint->frames,
        .mirrored = subject->fingerprint->mirrored,
        .n_frames = subject->fingerprint->n_frames,
        .length_s = subject->length_s,
        .candidates = e->copies,
        .n_candidates = e->n_copies,
        .similar = e->similar,
        .n_similar = e->n_similar,
        .similar_threshold = collection->models->items[0].info->similar_threshold,
        .load = vx_verdict_load_fingerprint,
        .load_ctx = collection,
    };
    return vx_rule_decide(&input, ret_verdict, err);
}

/* What the pictures show goes before what only the vectors say. */
static int prefer_shown(vx_collection *collection, const vx_verdict_found *shown, vx_verdict *found,
                        vx_err *err) {
    bool has = false;
    int rc = vx_catalog_has_video(collection->catalog, shown->of, &has, err);
    if (!rc && has)
        *found = (vx_verdict){.kind = shown->kind,
                              .of = shown->of,
                              .score = NAN,
                              .share = shown->motion,
                              .share_of_new = shown->share_of_new,
                              .share_of_stored = shown->share_of_stored,
                              .offset_s = shown->offset_s,
                              .mirrored = shown->mirrored};
    return rc;
}

int vx_verdict_decide(vx_collection *collection, const vx_verdict_subject *subject,
                      vx_verdict_candidates *candidates, vx_verdict_row *ret_verdict,
                      vx_video **ret_of, vx_err *err) {
    findings e;
    vx_verdict found;
    int64_t shown = candidates ? candidates->shown.of : 0;
    int rc = candidates ? weigh(collection, subject, candidates, &e, err) : 0;
    if (!candidates || (!rc && e.outdated))
        rc = scan_again(collection, subject, &e, err);
    if (!rc && subject->before_row)
        keep_older(&e, subject->before_row);
    if (!rc && subject->id[0])
        rc = drop_unrelated(collection, subject->id, &e, &shown, err);
    if (!rc)
        rc = judge(collection, subject, &e, candidates, &found, err);
    if (rc)
        return rc;
    if (shown && vx_rule_closeness(candidates->shown.kind) > vx_rule_closeness(found.kind)) {
        rc = prefer_shown(collection, &candidates->shown, &found, err);
        if (rc)
            return rc;
    } else if (candidates && candidates->checked && candidates->n_seen < VX_VERDICT_CHECKS &&
               is_by_pictures(found.kind) && !was_seen(candidates, found.of)) {
        candidates->unseen = found.of;
        return VX_FAIL(err, VX_VERDICT_UNSEEN, "a match is to be checked first");
    }
    *ret_verdict = vx_verdict_row_new();
    if (found.kind == VX_VERDICT_NEW)
        return 0;
    rc = vx_catalog_get_video_by_row(collection->catalog, found.of, ret_of, err);
    if (rc)
        return rc == VX_CATALOG_NOT_FOUND ? 0 : rc; /* deleted earlier in this group: new */
    *ret_verdict = (vx_verdict_row){
        .kind = found.kind,
        .score = isnan(found.score) ? best_score(collection, subject, *ret_of) : found.score,
        .share = found.share,
        .share_of_new = found.share_of_new,
        .share_of_stored = found.share_of_stored,
        .offset_s = found.offset_s,
        .mirrored = found.mirrored,
    };
    strcpy(ret_verdict->of, (*ret_of)->id);
    return 0;
}

int vx_verdict_find_match(vx_collection *collection, const vx_verdict_subject *subject,
                          const vx_verdict_candidates *candidates, vx_verdict *ret_match,
                          vx_err *err) {
    findings e = {0};
    *ret_match = (vx_verdict){.kind = VX_VERDICT_NEW};
    int rc = weigh_neighbours(collection, subject, candidates, &e, err);
    if (!rc)
        rc = weigh_copies(collection, candidates, &e, err);
    for (size_t i = 0; i < subject->n_more && !rc; i++)
        e.copies[e.n_copies++] = subject->more[i];
    if (!rc && subject->before_row)
        keep_older(&e, subject->before_row);
    if (!rc && (e.n_copies || e.n_similar))
        rc = judge(collection, subject, &e, candidates, ret_match, err);
    if (!rc && (!is_by_pictures(ret_match->kind) || was_seen(candidates, ret_match->of)))
        ret_match->of = 0;
    return rc;
}

static int by_score(const void *a, const void *b) {
    const vx_rule_similar *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->video < y->video ? -1 : x->video > y->video;
}

int vx_verdict_find_similar(vx_collection *collection, const vx_verdict_subject *subject,
                            const vx_verdict_candidates *candidates, size_t most, int64_t *ret_rows,
                            size_t *ret_n, vx_err *err) {
    findings e = {0};
    int rc = weigh_neighbours(collection, subject, candidates, &e, err);
    *ret_n = 0;
    if (rc)
        return rc;
    if (subject->before_row)
        keep_older(&e, subject->before_row);
    qsort(e.similar, e.n_similar, sizeof *e.similar, by_score);
    for (size_t i = 0; i < e.n_similar && *ret_n < most; i++)
        if (e.similar[i].score >= collection->models->items[0].info->similar_threshold)
            ret_rows[(*ret_n)++] = e.similar[i].video;
    return 0;
}
