/* verdict.h — decides what a new video is to the stored ones (kinds: rule.h).
 *
 * (The same bytes, `exact`, are found before anything is decoded: ingest/.) The decision takes two
 * steps. Verdict and insert must be one step on the writer's thread, and there is one writer: while it
 * reads for one video, all others wait. But a scan of every stored vector and fingerprint takes longer
 * the more there are (figures: tests/bench/README.md). So the worker that made the vectors finds the
 * candidates first, beside other workers. The writer then looks only at the few videos that were
 * inserted since, and decides as if it had scanned everything at that moment.
 *
 * A stored video that is judged anew (before_row) is compared with older ones only, of which none is added
 * any more; so it needs neither the writer nor what was inserted since.
 *
 * Threads  find_candidates: any. decide: the writer's thread; with before_row any.
 */
#pragma once

#include "base/err.h"
#include "collection/collection.h"
#include "rule.h"

#define VX_VERDICT_MORE 16   /* candidates that the caller may add */
#define VX_VERDICT_COPIES 16 /* candidates of the video as it is, and as many of its mirror image */

/* The new video. All borrowed. */
typedef struct vx_verdict_subject {
    /* Its id, or "": what people said is unrelated to that video is not named, however alike it is. */
    char id[VX_VIDEO_ID_CHARS + 1];
    const float *vectors; /* of the default model: float32 [n_clips, dim], unit length */
    size_t n_clips;
    const vx_fp_video *fingerprint;
    double length_s;     /* NaN: not known */
    int64_t before_row;  /* compare only with videos of rows below; 0: with all */
    int64_t before_clip; /* and their clips; with before_row alone */
    const int64_t *more; /* [n_more] further candidates, <= VX_VERDICT_MORE; may be gone */
    size_t n_more;
} vx_verdict_subject;

/* Stored videos that may be its copies or similar to it. All zero: nothing was scanned yet. */
typedef struct vx_verdict_candidates {
    unsigned long long n_recent; /* recent inserts before the scan began */
    vx_neighbour *near;          /* the nearest stored clips of each clip, [n_clips, ...]; owned */
    size_t *n_near;              /* [n_clips]; owned */
    int64_t copies[2 * VX_VERDICT_COPIES];
    size_t n_copies;
    bool more_copies; /* the list of copies was full: there may be more */
} vx_verdict_candidates;
void vx_verdict_candidates_clear(vx_verdict_candidates *candidates);

/* Scans all vectors of the default model and all fingerprints. The caller clears ret_candidates, also
 * after a failure. */
int vx_verdict_find_candidates(vx_collection *collection, const vx_verdict_subject *subject,
                               vx_verdict_candidates *ret_candidates, vx_err *err);

/* Inside the writer's transaction; with before_row anywhere.
 *   candidates  NULL: they are found here and now, so that the verdict depends on what is stored and
 *               not on when somebody looked
 *   ret_of  gives the stored video that the verdict names; NULL for a new one
 * `similar` is decided by the default model and its threshold alone: thresholds of different vector
 * spaces mean different things, and a further model that a server was started with must not change
 * verdicts. */
int vx_verdict_decide(vx_collection *collection, const vx_verdict_subject *subject,
                      const vx_verdict_candidates *candidates, vx_verdict_row *ret_verdict,
                      vx_video **ret_of, vx_err *err);
