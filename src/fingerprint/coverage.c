/* coverage.c — how much of each of two videos the other one holds, once vx_fp_compare has found that they
 * share pictures.
 *
 * At one offset, the frames of the sparser video are walked. The share of the match counts only frames
 * within VX_FP_MATCH_DISTANCE; a strongly compressed copy has few of these. So a frame speaks against the
 * match only above AGAINST_DISTANCE: over ten scenes of the film in tests/recall, all aligned frames of
 * re-encoded, halved, barred and darkened copies are within 56, and the nearest frames of two different scenes
 * within DRIFT_S are at 92 and more. Frames that speak against it for longer than BRIDGE_S end a segment; so
 * do frames that only one side has.
 *
 * Two things say nothing. A picture that only one side counts as flat is close to the other's, or of like
 * quality, in a darker or smaller copy. And hashes inside bars begin with the first picture that fills them
 * (track.c): what was before is bridged as a gap is, up to BRIDGE_S.
 *
 * What no segment covers is compared again, at its own best offset: a film with an advertisement in the
 * middle, shots in another order, and a copy at another speed have several segments. No part of either
 * video is used twice; so a loop contains its one turn, and is not the same as it.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fingerprint.h"
#include "hash256.h"

enum { NONE = 257, AGAINST_DISTANCE = 80, PASSES = 12, SEGMENTS_MAX = 64, FLAT_DIFFERENCE = 20 };
static const double BRIDGE_S = 1.5; /* three stored frames */
static const double EDGE_S = 1.0;   /* two: how much of an end may be hidden by a cut or a fade */
static const double DRIFT_S = 0.6;  /* how far a copy at another speed may stray from the offset */
static const double WHOLE_S = 0.5;  /* one: what an encoder may add or drop at an end */

typedef struct segment {
    double from_s[2], to_s[2]; /* in a, in b */
} segment;

/* One side at work: its frames inside the bars, or the others, that no segment covers yet. */
typedef struct side {
    vx_fp_frame *frames; /* [n] owned */
    size_t n;
    double length_s, step_s;
    double blind_s; /* until then there are pictures, but no hashes inside the bars */
} side;

typedef struct coverage {
    side sides[2];
    segment segments[SEGMENTS_MAX];
    int n;
} coverage;

static int side_init(side *s, const vx_fp_frame *frames, size_t n, bool inside, double length_s,
                     vx_err *err) {
    s->frames = vx_new_array(n ? n : 1, sizeof *s->frames);
    if (!s->frames)
        return VX_FAIL(err, -ENOMEM, "out of memory for comparing %zu frames", n);
    for (size_t i = 0; i < n; i++)
        if (frames[i].inside == inside)
            s->frames[s->n++] = frames[i];
    double last_s = s->n ? (double)s->frames[s->n - 1].time_s : 0;
    s->step_s = s->n > 1 && last_s > 0 ? last_s / (double)(s->n - 1) : 0.5;
    s->length_s = length_s >= last_s ? length_s : last_s + s->step_s; /* NaN too */
    double first_s = s->n ? (double)s->frames[0].time_s : 0;
    s->blind_s = inside && first_s <= BRIDGE_S + s->step_s ? first_s : 0;
    return 0;
}

typedef enum vote { NOTHING_THERE, AGAINST, NEUTRAL, FOR } vote;

/* What a frame says about the other's frames around time_s. *from moves on to the first of them. */
static vote vote_of(const vx_fp_frame *frame, const side *other, double time_s, size_t *from) {
    const double tolerance_s = fmax(1.1 * other->step_s, DRIFT_S);
    const vx_hash256 needle = vx_hash256_load(frame->hash);
    bool flat = frame->quality < VX_FP_MIN_QUALITY, found = false, like_quality = false;
    int nearest = NONE, nearest_flat = NONE;
    while (*from < other->n && (double)other->frames[*from].time_s < time_s - tolerance_s)
        ++*from;
    for (size_t k = *from; k < other->n; k++) {
        const vx_fp_frame *there = &other->frames[k];
        if ((double)there->time_s > time_s + tolerance_s)
            break;
        found = true;
        like_quality |= abs(there->quality - frame->quality) < FLAT_DIFFERENCE;
        const vx_hash256 hash = vx_hash256_load(there->hash);
        int distance = vx_hash256_distance(&needle, &hash);
        if (flat || there->quality < VX_FP_MIN_QUALITY)
            nearest_flat = distance < nearest_flat ? distance : nearest_flat;
        else
            nearest = distance < nearest ? distance : nearest;
    }
    if (nearest <= VX_FP_MATCH_DISTANCE)
        return FOR;
    bool blind = time_s >= 0 && time_s < other->blind_s;
    if (nearest <= AGAINST_DISTANCE || nearest_flat <= AGAINST_DISTANCE || blind)
        return NEUTRAL;
    if (!found)
        return NOTHING_THERE;
    bool flat_on_a_side = nearest == NONE;
    return flat_on_a_side && like_quality ? NEUTRAL : AGAINST;
}

/* Times of the counted side; its ends move to those of the overlap if they are near. */
static void add_segment(coverage *c, int counted, double offset_s, double from_s, double to_s) {
    const side *own = &c->sides[counted], *other = &c->sides[!counted];
    double first_s = fmax(0, -offset_s), last_s = fmin(own->length_s, other->length_s - offset_s);
    from_s = from_s - EDGE_S <= fmax(first_s, own->blind_s) ? first_s : from_s - own->step_s / 2;
    to_s = to_s + own->step_s + EDGE_S >= last_s ? last_s : to_s + own->step_s / 2;
    if (c->n == SEGMENTS_MAX || to_s <= from_s)
        return;
    segment *s = &c->segments[c->n++];
    s->from_s[counted] = from_s;
    s->to_s[counted] = to_s;
    s->from_s[!counted] = from_s + offset_s;
    s->to_s[!counted] = to_s + offset_s;
}

/* Finds the segments at one offset (time in b minus time in a). */
static void add_segments(coverage *c, double offset_of_b_s) {
    int counted = c->sides[1].step_s > 1.5 * c->sides[0].step_s;
    if (!counted && c->sides[0].step_s <= 1.5 * c->sides[1].step_s)
        counted = c->sides[1].n < c->sides[0].n;
    const side *own = &c->sides[counted], *other = &c->sides[!counted];
    double offset_s = counted ? -offset_of_b_s : offset_of_b_s, from_s = NAN, to_s = NAN;
    double after_s =
        NAN; /* the frame after the one at to_s, which may be far when few are stored */
    size_t at = 0;
    int n_for = 0;
    for (size_t i = 0; i < own->n; i++) {
        double time_s = (double)own->frames[i].time_s;
        vote v = vote_of(&own->frames[i], other, time_s + offset_s, &at);
        if (v <= AGAINST)
            continue;
        if (!(time_s - after_s <= BRIDGE_S)) {
            if (n_for >= 2)
                add_segment(c, counted, offset_s, from_s, to_s);
            from_s = time_s;
            n_for = 0;
        }
        to_s = time_s;
        after_s = i + 1 < own->n ? (double)own->frames[i + 1].time_s : time_s;
        n_for += v == FOR;
    }
    if (n_for >= 2)
        add_segment(c, counted, offset_s, from_s, to_s);
}

static void drop_covered(coverage *c, int which, int first_segment) {
    side *s = &c->sides[which];
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        double time_s = (double)s->frames[i].time_s;
        bool covered = false;
        for (int k = first_segment; k < c->n && !covered; k++)
            covered =
                time_s >= c->segments[k].from_s[which] && time_s <= c->segments[k].to_s[which];
        if (!covered)
            s->frames[n++] = s->frames[i];
    }
    s->n = n;
}

/* Seconds of a side that no segment covers; short gaps between two segments do not count. */
static double uncovered_s(const coverage *c, int which, double *ret_longest_s) {
    double at_s = 0, sum_s = 0;
    *ret_longest_s = 0;
    for (;;) {
        int next = -1;
        double reach_s = at_s;
        for (int k = 0; k < c->n; k++) {
            const segment *s = &c->segments[k];
            if (s->from_s[which] <= at_s && s->to_s[which] > reach_s)
                reach_s = s->to_s[which];
            else if (s->from_s[which] > at_s &&
                     (next < 0 || s->from_s[which] < c->segments[next].from_s[which]))
                next = k;
        }
        if (reach_s > at_s) {
            at_s = reach_s;
            continue;
        }
        double end_s = next < 0 ? c->sides[which].length_s : c->segments[next].from_s[which];
        double gap_s = fmax(end_s - at_s, 0);
        bool inner = next >= 0 && at_s > 0;
        if (!inner || gap_s > BRIDGE_S)
            sum_s += gap_s;
        if (!inner || gap_s > BRIDGE_S)
            *ret_longest_s = fmax(*ret_longest_s, gap_s);
        if (next < 0)
            return sum_s;
        at_s = end_s;
    }
}

static void summarise(const coverage *c, vx_fp_coverage *ret) {
    ret->in_order = true;
    for (int i = 0; i < c->n; i++)
        for (int k = 0; k < i; k++)
            ret->in_order &= (c->segments[i].from_s[0] < c->segments[k].from_s[0]) ==
                             (c->segments[i].from_s[1] < c->segments[k].from_s[1]);
    float *shares[2] = {&ret->share_of_a, &ret->share_of_b};
    bool *whole[2] = {&ret->whole_a, &ret->whole_b};
    for (int which = 0; which < 2; which++) {
        double length_s = c->sides[which].length_s, longest_s;
        double missing_s = uncovered_s(c, which, &longest_s);
        *whole[which] = c->n && longest_s <= fmin(WHOLE_S, length_s / 8);
        *shares[which] = *whole[which] ? 1 : (float)fmax(1 - missing_s / length_s, 0);
    }
}

int vx_fp_cover(const vx_fp_frame *a, size_t n_a, double a_length_s, const vx_fp_frame *b,
                size_t n_b, double b_length_s, const vx_fp_match *match,
                vx_fp_coverage *ret_coverage, vx_err *err) {
    coverage *c = vx_new(coverage);
    if (!c)
        return VX_FAIL(err, -ENOMEM, "out of memory for comparing fingerprints");
    *ret_coverage = (vx_fp_coverage){0};
    int rc = side_init(&c->sides[0], a, n_a, match->a_inside, a_length_s, err);
    if (!rc)
        rc = side_init(&c->sides[1], b, n_b, match->b_inside, b_length_s, err);
    vx_fp_match next = *match;
    for (int pass = 0; pass < PASSES && !rc; pass++) {
        int before = c->n;
        add_segments(c, (double)next.offset_s);
        summarise(c, ret_coverage);
        if (c->n == before || ret_coverage->whole_a || ret_coverage->whole_b)
            break;
        for (int which = 0; which < 2; which++) {
            drop_covered(c, which, before);
            c->sides[which].blind_s = 0;
        }
        rc = vx_fp_compare(c->sides[0].frames, c->sides[0].n, c->sides[1].frames, c->sides[1].n,
                           &next, err);
        if (next.n_distinct < 2)
            break;
    }
    free(c->sides[0].frames);
    free(c->sides[1].frames);
    free(c);
    return rc;
}
