#include "rule.h"

#include <math.h>

/* The candidate's vector score, or NaN. */
static float score_of(const vx_rule_input *in, int64_t video) {
    float score = NAN;
    for (size_t i = 0; i < in->n_similar; i++)
        if (in->similar[i].video == video && !(in->similar[i].score <= score))
            score = in->similar[i].score;
    return score;
}

typedef struct best_copy {
    int64_t video; /* 0 = none yet */
    vx_relation relation;
} best_copy;

static vx_verdict_kind relation_of(const vx_fp_coverage *coverage) {
    if (coverage->whole_a) /* shots in another order are an edit, of which nothing is new */
        return coverage->whole_b && coverage->in_order ? VX_VERDICT_COPY : VX_VERDICT_PART_OF;
    return coverage->whole_b ? VX_VERDICT_CONTAINS : VX_VERDICT_SHARED_SEGMENT;
}

int vx_rule_closeness(vx_verdict_kind kind) {
    static const int closeness[VX_VERDICT_KINDS] = {
        [VX_VERDICT_COPY] = 4,
        [VX_VERDICT_PART_OF] = 3,
        [VX_VERDICT_CONTAINS] = 2,
        [VX_VERDICT_SHARED_SEGMENT] = 1,
    };
    return closeness[kind];
}

/* < 0: a is the closer relation; of equal ones the one that matches more. */
static int compare_relations(const vx_relation *a, const vx_relation *b) {
    if (a->kind != b->kind)
        return vx_rule_closeness(b->kind) - vx_rule_closeness(a->kind);
    if (a->kind != VX_VERDICT_COPY && a->kind != VX_VERDICT_PART_OF &&
        a->coverage.share_of_a != b->coverage.share_of_a)
        return a->coverage.share_of_a > b->coverage.share_of_a ? -1 : 1;
    if (a->match.share != b->match.share)
        return a->match.share > b->match.share ? -1 : 1;
    return b->match.n_matched - a->match.n_matched;
}

int vx_rule_relate(const vx_rule_side *a, const vx_fp_frame *mirrored, const vx_rule_side *b,
                   vx_relation *ret_relation, vx_err *err) {
    const vx_fp_frame *sides[2] = {a->frames, mirrored};
    *ret_relation = (vx_relation){.kind = VX_VERDICT_NEW};
    for (int side = 0; side < 2; side++) {
        vx_relation found = {.mirrored = side == 1};
        if (!sides[side])
            continue;
        int rc = vx_fp_compare(sides[side], a->n, b->frames, b->n, &found.match, err);
        if (!rc && !vx_fp_is_copy(&found.match))
            continue;
        if (!rc)
            rc = vx_fp_cover(sides[side], a->n, a->length_s, b->frames, b->n, b->length_s,
                             &found.match, &found.coverage, err);
        if (rc)
            return rc;
        found.kind = relation_of(&found.coverage);
        if (compare_relations(&found, ret_relation) < 0)
            *ret_relation = found;
    }
    return 0;
}

static int try_candidate(const vx_rule_input *in, int64_t video, best_copy *best, vx_err *err) {
    VX_AUTO_FREE vx_fp_frame *stored = NULL;
    const vx_rule_side own = {in->frames, in->n_frames, in->length_s};
    vx_rule_side other = {.length_s = NAN};
    best_copy found = {.video = video};
    int rc = in->load(in->load_ctx, video, &stored, &other.n, &other.length_s, err);
    other.frames = stored;
    if (!rc)
        rc = vx_rule_relate(&own, in->mirrored, &other, &found.relation, err);
    if (rc || found.relation.kind == VX_VERDICT_NEW)
        return rc;
    int order = best->video ? compare_relations(&found.relation, &best->relation) : -1;
    if (order < 0 || (order == 0 && video < best->video))
        *best = found;
    return 0;
}

static bool is_other_take(const vx_rule_input *in, int64_t video) {
    for (size_t i = 0; i < in->n_other_takes; i++)
        if (in->other_takes[i] == video)
            return true;
    return false;
}

static int find_copy(const vx_rule_input *in, best_copy *best, vx_err *err) {
    for (size_t i = 0; i < in->n_candidates + in->n_similar && !in->no_pictures; i++) {
        int64_t video =
            i < in->n_candidates ? in->candidates[i] : in->similar[i - in->n_candidates].video;
        bool seen = false; /* lists are a few dozen long: no set needed */
        for (size_t k = 0; k < i && !seen; k++)
            seen = video == (k < in->n_candidates ? in->candidates[k]
                                                  : in->similar[k - in->n_candidates].video);
        int rc = seen || is_other_take(in, video) ? 0 : try_candidate(in, video, best, err);
        if (rc)
            return rc;
    }
    return 0;
}

static const vx_rule_similar *find_similar(const vx_rule_input *in) {
    const vx_rule_similar *best = NULL;
    for (size_t i = 0; i < in->n_similar; i++) {
        const vx_rule_similar *s = &in->similar[i];
        if (s->score >= in->similar_threshold &&
            (!best || s->score > best->score ||
             (s->score == best->score && s->video < best->video)))
            best = s;
    }
    return best;
}

int vx_rule_decide(const vx_rule_input *in, vx_verdict *ret_verdict, vx_err *err) {
    vx_verdict verdict = {.kind = VX_VERDICT_NEW,
                          .score = NAN,
                          .share = NAN,
                          .share_of_new = NAN,
                          .share_of_stored = NAN,
                          .offset_s = NAN};
    best_copy copy = {0};
    int rc = find_copy(in, &copy, err);
    if (rc)
        return VX_WRAP(err, "comparing with stored videos"), rc;
    const vx_rule_similar *similar = find_similar(in);
    if (copy.video) {
        const vx_relation *r = &copy.relation;
        verdict.kind = r->kind;
        verdict.of = copy.video;
        verdict.score = score_of(in, copy.video);
        verdict.share = r->match.share;
        verdict.share_of_new = r->coverage.share_of_a;
        verdict.share_of_stored = r->coverage.share_of_b;
        /* a mean over frames: what lies behind the millisecond is noise; + 0 makes -0 into 0 */
        verdict.offset_s = roundf(r->match.offset_s * 1e3f) / 1e3f + 0.0f;
        verdict.mirrored = r->mirrored;
    } else if (similar) {
        verdict.kind = VX_VERDICT_SIMILAR;
        verdict.of = similar->video;
        verdict.score = similar->score;
    }
    *ret_verdict = verdict;
    return 0;
}
