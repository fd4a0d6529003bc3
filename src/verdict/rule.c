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
    vx_fp_match match;
    bool mirrored;
} best_copy;

static bool is_better_copy(const vx_fp_match *match, int64_t video, const best_copy *best) {
    if (!best->video || match->share != best->match.share)
        return !best->video || match->share > best->match.share;
    if (match->n_matched != best->match.n_matched)
        return match->n_matched > best->match.n_matched;
    return video < best->video;
}

static int try_candidate(const vx_rule_input *in, int64_t video, best_copy *best, vx_err *err) {
    VX_AUTO_FREE vx_fp_frame *stored = NULL;
    size_t n_stored = 0;
    int rc = in->load(in->load_ctx, video, &stored, &n_stored, err);
    if (rc)
        return rc;
    const vx_fp_frame *sides[2] = {in->frames, in->mirrored};
    for (int side = 0; side < 2; side++) {
        vx_fp_match match;
        if (!sides[side])
            continue;
        if ((rc = vx_fp_compare(sides[side], in->n_frames, stored, n_stored, &match, err)))
            return rc;
        if (vx_fp_is_copy(&match) && is_better_copy(&match, video, best))
            *best = (best_copy){video, match, side == 1};
    }
    return 0;
}

static int find_copy(const vx_rule_input *in, best_copy *best, vx_err *err) {
    for (size_t i = 0; i < in->n_candidates + in->n_similar; i++) {
        int64_t video =
            i < in->n_candidates ? in->candidates[i] : in->similar[i - in->n_candidates].video;
        bool seen = false; /* lists are a few dozen long: no set needed */
        for (size_t k = 0; k < i && !seen; k++)
            seen = video == (k < in->n_candidates ? in->candidates[k]
                                                  : in->similar[k - in->n_candidates].video);
        int rc = seen ? 0 : try_candidate(in, video, best, err);
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
    vx_verdict verdict = {.kind = VX_VERDICT_NEW, .score = NAN, .share = NAN, .offset_s = NAN};
    best_copy copy = {0};
    int rc = find_copy(in, &copy, err);
    if (rc)
        return VX_WRAP(err, "comparing with stored videos"), rc;
    const vx_rule_similar *similar = find_similar(in);
    if (copy.video) {
        verdict.kind = VX_VERDICT_COPY;
        verdict.of = copy.video;
        verdict.score = score_of(in, copy.video);
        verdict.share = copy.match.share;
        /* a mean over frames: what lies behind the millisecond is noise; + 0 makes -0 into 0 */
        verdict.offset_s = roundf(copy.match.offset_s * 1e3f) / 1e3f + 0.0f;
        verdict.mirrored = copy.mirrored;
    } else if (similar) {
        verdict.kind = VX_VERDICT_SIMILAR;
        verdict.of = similar->video;
        verdict.score = similar->score;
    }
    *ret_verdict = verdict;
    return 0;
}
