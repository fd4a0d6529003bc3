/* rule.h — the rule of the verdict: a pure decision over candidates that the caller brings, with a way
 * to load their fingerprints. So it sees one state of the catalog, under whatever lock or transaction
 * the caller holds.
 *
 *   copy            the fingerprints agree (vx_fp_is_copy), as they are or mirrored, over all of both videos
 *   part_of         ... over all of the new one, and the stored one has more
 *   contains        ... over all of the stored one, and the new one has more
 *   shared_segment  ... over a part of each
 *   similar         only the vectors agree: score >= the model's threshold
 *   new             none of these
 * in this order; of several candidates the one that shares most counts, of equal ones the older.
 *
 * Threads: any. Cost: two comparisons of sequences for each candidate (see vx_fp_compare).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "catalog/catalog.h"
#include "fingerprint/fingerprint.h"

/* What the pictures of two videos say: the kind is what a is to b. */
typedef struct vx_relation {
    vx_verdict_kind kind; /* COPY, PART_OF, CONTAINS, SHARED_SEGMENT; NEW: nothing of the kind */
    vx_fp_match match;
    vx_fp_coverage coverage; /* valid unless NEW */
    bool mirrored;           /* found with a flipped left to right */
} vx_relation;

typedef struct vx_rule_side {
    const vx_fp_frame *frames; /* borrows [n] */
    size_t n;
    double length_s; /* NaN: not known */
} vx_rule_side;

/* Compares two videos. mirrored: NULL, or a's frames flipped left to right, [a->n]; borrows.
 * Returns 0 or what vx_fp_compare does. */
int vx_rule_relate(const vx_rule_side *a, const vx_fp_frame *mirrored, const vx_rule_side *b,
                   vx_relation *ret_relation, vx_err *err);

/* A stored video near the new one: the highest cosine between two of their clips. */
typedef struct vx_rule_similar {
    int64_t video; /* catalog row, > 0 */
    float score;
} vx_rule_similar;

/* Loads a stored video's frames: gives ret_frames (free(); NULL with ret_n 0 when it has none), and its
 * length in seconds (NaN: not known).
 * Non-zero ends the decision and is returned. */
typedef int (*vx_rule_load)(void *ctx, int64_t video, vx_fp_frame **ret_frames, size_t *ret_n,
                            double *ret_length_s, vx_err *err);

typedef struct vx_rule_input {            /* borrows everything, for the call */
    const vx_fp_frame *frames, *mirrored; /* [n_frames] of the new video; mirrored may be NULL */
    size_t n_frames;
    double length_s;           /* of the new video; NaN: not known */
    const int64_t *candidates; /* [n_candidates] from vx_fp_index_candidates; repeats do no harm */
    size_t n_candidates;
    const int64_t *
        other_takes; /* [n_other_takes] whose pictures match and which are no copies all the same */
    size_t n_other_takes;
    bool no_pictures; /* no match of pictures counts */
    const vx_rule_similar
        *similar; /* [n_similar], any order; their fingerprints are compared too */
    size_t n_similar;
    float similar_threshold; /* of the model, cosine */
    vx_rule_load load;
    void *load_ctx;
} vx_rule_input;

typedef struct vx_verdict {
    vx_verdict_kind kind;
    int64_t of;                          /* catalog row; 0 when new */
    float score;                         /* cosine, where the candidate came with one; else NaN */
    float share;                         /* pictures match: see vx_fp_match; else NaN */
    float share_of_new, share_of_stored; /* pictures match: see vx_fp_coverage; else NaN */
    float
        offset_s; /* pictures match: time in the stored video minus time in the new one, to the millisecond;
                       else NaN */
    bool mirrored; /* pictures match: flipped left to right */
} vx_verdict;

/* How close a relation is: copy 4, part_of 3, contains 2, shared_segment 1; all else 0. */
int vx_rule_closeness(vx_verdict_kind kind);

int vx_rule_decide(const vx_rule_input *in, vx_verdict *ret_verdict, vx_err *err);
