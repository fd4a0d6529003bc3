/* Aligned comparison of two frame sequences.
 *
 * 1. Usable frames of both are packed. The one with fewer is "the shorter".
 * 2. Up to 256 anchors, different pictures spread over the shorter, are looked up in all of the
 *    longer. Each place where an anchor matches votes for its offset, and an anchor that matches in
 *    m places gives each 1/m: a still picture matches everywhere and so decides nothing.
 * 3. At the offsets with most votes all frames of the shorter are compared; the offset at which
 *    most frames match wins.
 *
 * A title card of a minute is one picture, not 120 witnesses: frames of a still weigh so much less
 * that it counts as STILL_FRAMES frames, in the choice of the offset and in the share.
 *
 * Only step 2 depends on both lengths, as 256 x n. Comparing every frame with every frame would
 * need 3e10 steps for two recordings of a day.
 */
#include "fingerprint/fingerprint.h"

#include <errno.h>
#include <math.h>

#include "base/simd.h"
#include "fingerprint/hash256.h"

enum { MAX_ANCHORS = 256, MAX_OFFSETS = 16, STILL_FRAMES = 4 };
/* Frames of a copy are sampled at other moments than the original's: at 2 frames a second the
 * nearest is up to 0.25 s away, and an offset is known to half a bin. */
static const float BIN_S = 0.5f, TOLERANCE_S = 0.55f;
static const double MAX_SPAN_S = 1 << 20; /* 12 days; bounds the histogram at 16 MB */

typedef struct sequence {
    vx_hash256 *hash; /* [n] */
    float *time_s;    /* [n] ascending */
    float *weight;    /* [n] 0..1 */
    double weight_sum;
    size_t n;
} sequence;

static void sequence_done(sequence *seq) {
    free(seq->hash);
    free(seq->time_s);
    free(seq->weight);
}

/* A still is a run of frames that match its first one. */
static void weigh(sequence *seq) {
    for (size_t from = 0, to; from < seq->n; from = to) {
        for (to = from + 1; to < seq->n; to++)
            if (vx_hash256_distance(&seq->hash[from], &seq->hash[to]) > VX_FP_MATCH_DISTANCE)
                break;
        size_t n = to - from;
        for (size_t i = from; i < to; i++)
            seq->weight[i] = n > STILL_FRAMES ? (float)STILL_FRAMES / (float)n : 1.f;
        seq->weight_sum += (double)(n > STILL_FRAMES ? STILL_FRAMES : n);
    }
}

static int sequence_init(sequence *seq, const vx_fp_frame *frames, size_t n, vx_err *err) {
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
    weigh(seq);
    return 0;
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
    v->lowest_s = lowest - 2 * (double)BIN_S;
    v->n_bins = (size_t)((highest - lowest) / (double)BIN_S) + 5;
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
            size_t bin = (size_t)((offset_s - v->lowest_s) / (double)BIN_S + 0.5);
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

/* The frame of seq that is nearest in Hamming distance among those within the tolerance around
 * time_s; *from moves on to the first of them. Returns the distance, 257 when there is none. */
static int nearest_around(const sequence *seq, const vx_hash256 *needle, double time_s,
                          size_t *from, double *ret_time_s) {
    int nearest = 257;
    while (*from < seq->n && (double)seq->time_s[*from] < time_s - (double)TOLERANCE_S)
        ++*from;
    for (size_t k = *from; k < seq->n; k++) {
        if ((double)seq->time_s[k] > time_s + (double)TOLERANCE_S)
            break;
        int distance = vx_hash256_distance(&seq->hash[k], needle);
        if (distance < nearest) {
            nearest = distance;
            *ret_time_s = (double)seq->time_s[k];
        }
    }
    return nearest;
}

/* All frames of the shorter against the frames of the longer at that offset. */
static vx_fp_match match_at(const sequence *shorter, const sequence *longer, double offset_s) {
    vx_fp_match match = {0};
    double offset_sum = 0, weight = 0;
    size_t from = 0;
    const vx_hash256 *last_distinct = NULL;
    for (size_t i = 0; i < shorter->n; i++) {
        const vx_hash256 *hash = &shorter->hash[i];
        double own_s = (double)shorter->time_s[i], found_s = 0;
        if (nearest_around(longer, hash, own_s + offset_s, &from, &found_s) > VX_FP_MATCH_DISTANCE)
            continue;
        match.n_matched++;
        weight += (double)shorter->weight[i];
        offset_sum += found_s - own_s;
        if (!last_distinct || vx_hash256_distance(hash, last_distinct) > VX_FP_MATCH_DISTANCE) {
            match.n_distinct++;
            last_distinct = hash;
        }
    }
    match.share = (float)fmin(weight / shorter->weight_sum, 1);
    if (match.n_matched)
        match.offset_s = (float)(offset_sum / match.n_matched);
    return match;
}

static bool is_better(const vx_fp_match *a, const vx_fp_match *b) {
    if (a->share != b->share)
        return a->share > b->share;
    return fabsf(a->offset_s) < fabsf(b->offset_s);
}

static int best_match(const sequence *shorter, const sequence *longer, vx_fp_match *ret_match,
                      vx_err *err) {
    votes v = {0};
    VX_AUTO_FREE uint32_t *scratch = vx_new_array(longer->n + 1, sizeof *scratch);
    if (!scratch)
        return VX_FAIL(err, -ENOMEM, "out of memory for comparing fingerprints");
    int rc = votes_init(&v, shorter, longer, err);
    if (rc)
        return rc;
    votes_cast(&v, shorter, longer, scratch);
    for (int k = 0; k < MAX_OFFSETS; k++) {
        size_t bin = votes_take_best(&v);
        if (!bin)
            break;
        vx_fp_match match = match_at(shorter, longer, v.lowest_s + (double)bin * (double)BIN_S);
        if (is_better(&match, ret_match))
            *ret_match = match;
    }
    free(v.weight);
    return 0;
}

int vx_fp_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                  vx_fp_match *ret_match, vx_err *err) {
    sequence seq_a = {0}, seq_b = {0};
    vx_fp_match match = {0};
    int rc = sequence_init(&seq_a, a, n_a, err);
    if (!rc)
        rc = sequence_init(&seq_b, b, n_b, err);
    if (!rc && seq_a.n && seq_b.n) {
        bool swapped = seq_a.n > seq_b.n;
        rc = best_match(swapped ? &seq_b : &seq_a, swapped ? &seq_a : &seq_b, &match, err);
        if (swapped)
            match.offset_s = -match.offset_s;
    }
    sequence_done(&seq_a);
    sequence_done(&seq_b);
    if (!rc)
        *ret_match = match;
    return rc;
}

bool vx_fp_is_copy(const vx_fp_match *match) {
    return match->n_matched >= 3 && match->n_distinct >= 2 && match->share >= 0.5f;
}
