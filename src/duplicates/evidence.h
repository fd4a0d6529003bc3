/* evidence.h — what a scan judges pairs of videos by, beside their vectors (private to duplicates/).
 *
 * A source of evidence names videos that may be related to one, and says what two videos are to each other.
 * Today there is one, the pictures' fingerprints, with the rule that verdicts at insert follow (verdict/rule.h).
 * A further one (geometry, motion) is a row of vx_evidence_sources: the first source that says something about
 * a pair is believed.
 *
 * Threads: any.
 */
#pragma once

#include "catalog/catalog.h"
#include "collection/collection.h"
#include "verdict/verdict.h"

/* A stored video at work. */
typedef struct vx_evidence_video {
    vx_video *video;       /* without clips; owned */
    vx_fp_frame *frames;   /* [n_frames] as stored; NULL: it has none; owned */
    vx_fp_frame *mirrored; /* the same flipped; NULL until needed; owned */
    size_t n_frames;
} vx_evidence_video;
/* VX_CATALOG_NOT_FOUND: it was deleted. */
int vx_evidence_load(vx_collection *collection, int64_t row, vx_evidence_video *ret_video,
                     vx_err *err);
void vx_evidence_done(vx_evidence_video *video);

typedef struct vx_evidence {
    const char *name;
    /* Adds rows of videos that may be related, best first: up to max, from *ret_n on; repeats do no harm. */
    int (*find)(vx_collection *collection, vx_evidence_video *video, int64_t *rows, size_t max,
                size_t *ret_n, vx_err *err);
    /* What b is to a: sets kind, share, share_of_a, share_of_b, offset_s, mirrored and gives the segments of a
     * pair that is `new` otherwise; leaves it untouched where this says nothing. The answer depends on the two
     * videos alone, not on which is a. */
    int (*judge)(vx_evidence_video *a, vx_evidence_video *b, vx_duplicate_pair *pair, vx_err *err);
} vx_evidence;

extern const vx_evidence *const vx_evidence_sources[]; /* NULL behind the last */
