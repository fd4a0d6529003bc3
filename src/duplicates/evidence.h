/* evidence.h — what a scan judges pairs of videos by, beside their vectors (private to duplicates/).
 *
 * A source of evidence names videos that may be related to one, and says what two videos are to each other.
 * Today there is one, the pictures' fingerprints, with the rule that verdicts at insert follow (verdict/rule.h).
 * A further one (geometry, motion) is a row of vx_pair_evidence_sources: the first source that says something about
 * a pair is believed.
 *
 * Threads: any.
 */
#pragma once

#include "catalog/catalog.h"
#include "collection/collection.h"
#include "verdict/verdict.h"

/* A stored video at work. */
typedef struct vx_pair_evidence_video {
    vx_video *video;       /* without clips; owned */
    vx_fp_frame *frames;   /* [n_frames] as stored; NULL: it has none; owned */
    vx_fp_frame *mirrored; /* the same flipped; NULL until needed; owned */
    size_t n_frames;
} vx_pair_evidence_video;
/* VX_CATALOG_NOT_FOUND: it was deleted. */
int vx_pair_evidence_load(vx_collection *collection, int64_t row, vx_pair_evidence_video *ret_video,
                          vx_err *err);
void vx_pair_evidence_done(vx_pair_evidence_video *video);

typedef struct vx_pair_evidence {
    const char *name;
    /* Adds rows of videos that may be related, best first: up to max, from *ret_n on; repeats do no harm. */
    int (*find)(vx_collection *collection, vx_pair_evidence_video *video, int64_t *rows, size_t max,
                size_t *ret_n, vx_err *err);
    /* What b is to a: sets kind, share, share_of_a, share_of_b, offset_s, mirrored and gives the segments of a
     * pair that is `new` otherwise; leaves it untouched where this says nothing. The answer depends on the two
     * videos alone, not on which is a. */
    int (*judge)(vx_pair_evidence_video *a, vx_pair_evidence_video *b, vx_duplicate_pair *pair,
                 vx_err *err);
} vx_pair_evidence;

/* Looks at the pictures of a pair that is judged a copy, a part or a whole (verdict/). If one is another take of the
 * other, the pair is `new` again, without segments. b is the newer one. -ECANCELED: files->cancelled. */
int vx_pair_evidence_check(const vx_pair_evidence_video *a, const vx_pair_evidence_video *b,
                           const vx_verdict_files *files, vx_duplicate_pair *pair, vx_err *err);
/* Makes a pair `new` again and frees its segments; keeps a, b and the score. */
void vx_pair_evidence_drop(vx_duplicate_pair *pair);
/* Whether a video may go by such a pair. */
static inline bool vx_pair_evidence_is_strong(vx_verdict_kind kind) {
    return kind == VX_VERDICT_EXACT || kind == VX_VERDICT_COPY || kind == VX_VERDICT_PART_OF ||
           kind == VX_VERDICT_CONTAINS;
}

extern const vx_pair_evidence *const vx_pair_evidence_sources[]; /* NULL behind the last */
