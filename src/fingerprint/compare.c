/* compare.c — aligned comparison of two frame sequences.
 *
 * 1. The usable frames of both are packed and weighted by the time that they stand for.
 * 2. Up to 256 anchors, different pictures spread over the shorter sequence, are searched in all of
 *    the longer one. Each match votes for its offset; an anchor that matches in m places gives each
 *    1/m, so a still picture, which matches everywhere, decides nothing.
 * 3. At the offsets with the most votes all frames are compared; the offset at which the most time
 *    matches wins.
 *
 * The two may be sampled at different rates. Then the frames of the sparser one are counted and
 * matched against the denser one: in fast motion a frame matches only frames a few hundredths of a
 * second away, so a dense sequence finds a sparse one at any offset, but two sparse ones only match
 * at offsets near a multiple of their step.
 *
 * A title card of a minute is one picture, not 120 independent matches: a still weighs at most STILL_S
 * seconds, in the choice of the offset and in the share.
 *
 * Only step 2 depends on both lengths, as 256 x n. Comparing every frame with every frame would
 * need 3e10 steps for two recordings of a day.
 */
#include "fingerprint.h"

#include <errno.h>
#include <math.h>

#include "base/simd.h"
#include "hash256.h"

enum { MAX_ANCHORS = 256, MAX_OFFSETS = 16 };
static const double BIN_S = 0.5; /* of offsets that votes are gathered in */
static const double STILL_S = 2;
static const double MAX_SPAN_S = 1 << 20; /* 12 days; bounds the histogram at 16 MB */

typedef struct sequence {
    vx_hash256 *hash; /* [n] usable frames */
    float *time_s;    /* [n] ascending */
    float *weight;    /* [n] seconds that the frame stands for */
    double weight_sum;
    double step_s; /* between frames, the unusable ones included */
    size_t n;
} sequence;

static void sequence_done(sequence *seq) {
    free(seq->hash);
    free(seq->time_s);
    free(seq->weight);
}

/* A still is a run of frames that match its first one. */
static void set_weights(sequence *seq) {
    for (size_t from = 0, to; from < seq->n; from = to) {
        for (to = from + 1; to < seq->n; to++)
            if (vx_hash256_distance(&seq->hash[from], &seq->hash[to]) > VX_FP_MATCH_DISTANCE)
                break;
        double lasts_s = fmin((double)(to - from) * seq->step_s, STILL_S);
        for (size_t i = from; i < to; i++)
            seq->weight[i] = (float)(lasts_s / (double)(to - from));
        seq->weight_sum += lasts_s;
    }
}

/* From the frames hashed inside bars, or from the others. */
static int sequence_init(sequence *seq, const vx_fp_frame *frames, size_t n, bool inside,
                         vx_err *err) {
    while (n && frames[n - 1].inside != inside) /* whole pictures come first */
        n--;
    for (; n && frames->inside != inside; n--)
        frames++;
    seq->hash = vx_new_array(n ? n : 1, sizeof *seq->hash);
    seq->time_s = vx_new_array(n ? n : 1, sizeof *seq->time_s);
    seq->weight = vx_new_array(n ? n : 1, sizeof *seq->weight);
    if (!seq->hash || !seq->time_s || !seq->weight)
        return VX_FAIL(err, -ENOMEM, "out of memory for comparing %zu frames", n);
    for (size_t i = 0; i < n; i++) {
        float time_s = frames[i].time_s;
        if (!(fabs((double)time_s) < MAX_SPAN_S) || (i && !(time_s >= frames[i - 1].time_s)))
            return VX_FAIL(err, -EINVAL, "frame %zu's time %g s is not in order", i,
                           (double)time_s);
        if (frames[i].quality < VX_FP_MIN_QUALITY)
            continue;
        seq->hash[seq->n] = vx_hash256_load(frames[i].hash);
        seq->time_s[seq->n++] = time_s;
    }
    double span_s = n > 1 ? (double)frames[n - 1].time_s - (double)frames[0].time_s : 0;
    seq->step_s = span_s > 0 ? span_s / (double)(n - 1) : BIN_S;
    set_weights(seq);
    return 0;
}

static double span_s(const sequence *seq) {
    return (double)seq->time_s[seq->n - 1] - (double)seq->time_s[0];
}

/* Which of hay's hashes match the needle: their numbers into ret_found [n]. */
VX_SIMD_CLONES static size_t find_matches(const vx_hash256 *needle, const vx_hash256 *hay, size_t n,
                                          uint32_t *ret_found) {
    size_t n_found = 0;
    for (size_t i = 0; i < n; i++) {
        ret_found[n_found] = (uint32_t)i;
        n_found += vx_hash256_distance(needle, &hay[i]) <= VX_FP_MATCH_DISTANCE;
    }
    return n_found;
}

/* Different pictures of seq, evenly thinned to MAX_ANCHORS: their numbers into anchors. */
static size_t choose_anchors(const sequence *seq, uint32_t *scratch, uint32_t *anchors) {
    size_t n = 0;
    for (size_t i = 0; i < seq->n; i++)
        if (!n || vx_hash256_distance(&seq->hash[i], &seq->hash[scratch[n - 1]]) >
                      VX_FP_MATCH_DISTANCE / 4)
            scratch[n++] = (uint32_t)i;
    size_t n_anchors = n < MAX_ANCHORS ? n : MAX_ANCHORS;
    for (size_t k = 0; k < n_anchors; k++)
        anchors[k] = scratch[k * n / n_anchors];
    return n_anchors;
}

typedef struct votes {
    float *weight; /* [n_bins], with an empty bin at both ends */
    size_t n_bins;
    double lowest_s; /* offset of bin 0 */
} votes;

static int votes_init(votes *v, const sequence *shorter, const sequence *longer, vx_err *err) {
    double lowest = (double)longer->time_s[0] - (double)shorter->time_s[shorter->n - 1];
    double highest = (double)longer->time_s[longer->n - 1] - (double)shorter->time_s[0];
    v->lowest_s = lowest - 2 * BIN_S;
    v->n_bins = (size_t)((highest - lowest) / BIN_S) + 5;
    v->weight = vx_new_array(v->n_bins, sizeof *v->weight);
    return v->weight ? 0 : VX_FAIL(err, -ENOMEM, "out of memory for comparing fingerprints");
}

static void votes_cast(votes *v, const sequence *shorter, const sequence *longer,
                       uint32_t *scratch) {
    uint32_t anchors[MAX_ANCHORS];
    size_t n_anchors = choose_anchors(shorter, scratch, anchors);
    for (size_t k = 0; k < n_anchors; k++) {
        size_t n_found = find_matches(&shorter->hash[anchors[k]], longer->hash, longer->n, scratch);
        for (size_t f = 0; f < n_found; f++) {
            double offset_s =
                (double)longer->time_s[scratch[f]] - (double)shorter->time_s[anchors[k]];
            size_t bin = (size_t)((offset_s - v->lowest_s) / BIN_S + 0.5);
            v->weight[bin] += 1.f / (float)n_found;
        }
    }
}

/* The bins with most votes (a bin counts its neighbours), best first; 0 = no more. */
static size_t votes_take_best(votes *v) {
    size_t best = 0;
    float best_weight = 0;
    for (size_t i = 1; i + 1 < v->n_bins; i++) {
        float weight = v->weight[i - 1] + 2 * v->weight[i] + v->weight[i + 1];
        if (weight > best_weight) {
            best = i;
            best_weight = weight;
        }
    }
    if (best)
        v->weight[best] = 0;
    return best;
}

/* How far from the expected time a frame may match: half a step because of where the sampling
 * fell, half a step because offsets are tried in steps, and a little. More would let a dancer in
 * front of a fixed camera match one of many poses at any offset. */
static double tolerance_s(const sequence *other) {
    return 1.1 * other->step_s;
}

/* The frame of seq that is nearest in Hamming distance among those within the tolerance around
 * time_s; *from moves on to the first of them. Returns the distance, 257 when there is none. */
static int nearest_around(const sequence *seq, const vx_hash256 *needle, double time_s,
                          size_t *from, double *ret_time_s) {
    const double tolerance = tolerance_s(seq);
    int nearest = 257;
    while (*from < seq->n && (double)seq->time_s[*from] < time_s - tolerance)
        ++*from;
    for (size_t k = *from; k < seq->n; k++) {
        if ((double)seq->time_s[k] > time_s + tolerance)
            break;
        int distance = vx_hash256_distance(&seq->hash[k], needle);
        if (distance < nearest) {
            nearest = distance;
            *ret_time_s = (double)seq->time_s[k];
        }
    }
    return nearest;
}

/* Two sequences in their two roles: by length for the search, by rate for the count. */
typedef struct pairing {
    const sequence *shorter, *longer;
    const sequence *counted, *other; /* the counted one is the sparser; at like rates the shorter */
    double sign;                     /* counted time + sign * offset = other time */
} pairing;

static pairing pair_up(const sequence *a, const sequence *b) {
    const double like = 1.5; /* rates within this factor */
    pairing p = {.shorter = a, .longer = b};
    if (span_s(a) > span_s(b) || (span_s(a) == span_s(b) && a->n > b->n))
        p = (pairing){.shorter = b, .longer = a};
    bool longer_is_sparse = p.longer->step_s > like * p.shorter->step_s;
    p.counted = longer_is_sparse ? p.longer : p.shorter;
    p.other = longer_is_sparse ? p.shorter : p.longer;
    p.sign = longer_is_sparse ? -1 : 1;
    return p;
}

/* All counted frames against the other's at that offset (longer's time minus shorter's). */
static vx_fp_match match_at(const pairing *p, double offset_s) {
    const sequence *counted = p->counted, *other = p->other;
    const double end_s = (double)other->time_s[other->n - 1] + tolerance_s(other);
    vx_fp_match match = {0};
    double offset_sum = 0, matched_s = 0;
    size_t from = 0;
    const vx_hash256 *last_distinct = NULL;
    for (size_t i = 0; i < counted->n; i++) {
        const vx_hash256 *hash = &counted->hash[i];
        double own_s = (double)counted->time_s[i], found_s = 0;
        double expected_s = own_s + p->sign * offset_s;
        if (expected_s > end_s)
            break;
        if (nearest_around(other, hash, expected_s, &from, &found_s) > VX_FP_MATCH_DISTANCE)
            continue;
        match.n_matched++;
        matched_s += (double)counted->weight[i];
        offset_sum += p->sign * (found_s - own_s);
        if (!last_distinct || vx_hash256_distance(hash, last_distinct) > VX_FP_MATCH_DISTANCE) {
            match.n_distinct++;
            last_distinct = hash;
        }
    }
    match.share = (float)fmin(matched_s / fmin(counted->weight_sum, other->weight_sum), 1);
    if (match.n_matched)
        match.offset_s = (float)(offset_sum / match.n_matched);
    return match;
}

static bool is_better(const vx_fp_match *a, const vx_fp_match *b) {
    if (a->share != b->share)
        return a->share > b->share;
    return fabsf(a->offset_s) < fabsf(b->offset_s);
}

static int best_match(const pairing *p, vx_fp_match *ret_match, vx_err *err) {
    votes v = {0};
    size_t n = p->shorter->n > p->longer->n ? p->shorter->n : p->longer->n;
    VX_AUTO_FREE uint32_t *scratch = vx_new_array(n + 1, sizeof *scratch);
    if (!scratch)
        return VX_FAIL(err, -ENOMEM, "out of memory for comparing fingerprints");
    int rc = votes_init(&v, p->shorter, p->longer, err);
    if (rc)
        return rc;
    votes_cast(&v, p->shorter, p->longer, scratch);
    for (int k = 0; k < MAX_OFFSETS; k++) {
        size_t bin = votes_take_best(&v);
        if (!bin)
            break;
        double centre_s = v.lowest_s + (double)bin * BIN_S, step_s = fmax(p->other->step_s, 0.02);
        int n_each_side = (int)(BIN_S / 2 / step_s);
        for (int t = -n_each_side; t <= n_each_side; t++) {
            vx_fp_match match = match_at(p, centre_s + t * step_s);
            if (is_better(&match, ret_match))
                *ret_match = match;
        }
    }
    free(v.weight);
    return 0;
}

static int compare_one_way(const vx_fp_frame *a, size_t n_a, bool a_inside, const vx_fp_frame *b,
                           size_t n_b, bool b_inside, vx_fp_match *ret_match, vx_err *err) {
    sequence seq_a = {0}, seq_b = {0};
    vx_fp_match match = {0};
    int rc = sequence_init(&seq_a, a, n_a, a_inside, err);
    if (!rc)
        rc = sequence_init(&seq_b, b, n_b, b_inside, err);
    if (!rc && seq_a.n && seq_b.n) {
        pairing p = pair_up(&seq_a, &seq_b);
        rc = best_match(&p, &match, err);
        if (p.shorter == &seq_b)
            match.offset_s = -match.offset_s;
        match.a_inside = a_inside;
        match.b_inside = b_inside;
    }
    sequence_done(&seq_a);
    sequence_done(&seq_b);
    bool copy = vx_fp_is_copy(&match), copy_before = vx_fp_is_copy(ret_match);
    if (!rc && (copy != copy_before ? copy : is_better(&match, ret_match)))
        *ret_match = match;
    return rc;
}

int vx_fp_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                  vx_fp_match *ret_match, vx_err *err) {
    const bool a_has_bars = n_a && a[n_a - 1].inside, b_has_bars = n_b && b[n_b - 1].inside;
    int rc = 0;
    *ret_match = (vx_fp_match){0};
    for (int i = 0; i <= a_has_bars; i++)
        for (int k = 0; k <= b_has_bars && !rc; k++)
            rc = compare_one_way(a, n_a, i, b, n_b, k, ret_match, err);
    return rc;
}

bool vx_fp_is_copy(const vx_fp_match *match) {
    /* Two pictures alone are often one simple shot that returns: a shadow on a wall. */
    float least_share = match->n_distinct > 2 ? 0.2f : 0.33f;
    return match->n_matched >= 2 && match->n_distinct >= 2 && match->share >= least_share;
}
