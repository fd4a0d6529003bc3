/* verdict.h — what a new video is to the stored ones, asked for in two steps.
 *
 * Verdict and insert are one step on the committer thread, and there is one committer: what it reads
 * for one video, all others wait for. But a look at every stored vector and fingerprint takes the
 * longer the more there are (figures: tests/bench/README.md). So the worker that made the vectors looks
 * first, beside other workers; the committer then needs only the videos that came since, a few, and
 * the verdict is the one that a look at everything would give in that moment.
 *
 * Threads: look from any; note and decide on the committer thread.
 */
#pragma once

#include "extract/extract.h"

#define VX_VERDICT_COPIES 16 /* candidates, of the video as it is and of its mirror image each */

/* What one look found; all zero is a look at nothing. */
typedef struct vx_verdict_look {
    unsigned long long n_seen; /* newcomers before it began */
    vx_neighbour *near;        /* the nearest stored clips of each clip, [n_clips, ...]; owned */
    size_t *n_near;            /* [n_clips]; owned */
    int64_t copies[2 * VX_VERDICT_COPIES];
    size_t n_copies;
    bool more_copies; /* there may be others behind them */
} vx_verdict_look;
void vx_verdict_look_clear(vx_verdict_look *look);

/* Reads all vectors of the default model and all fingerprints. ret_look is cleared by the caller, also
 * after a failure. */
int vx_verdict_look_up(vx_server *server, const vx_extract *extract, vx_verdict_look *ret_look,
                       vx_err *err);

/* A video's vectors or fingerprints have just entered the indexes. */
void vx_verdict_note(vx_server *server, int64_t video_row);

/* Inside the committer's transaction. ret_of: gives the stored video that the verdict names; NULL for
 * a new one. The verdict `similar` is the default model's alone, by its threshold: thresholds of
 * different spaces mean different things, and one that a server was started with must not change what
 * another model decides. */
int vx_verdict_decide(vx_server *server, const vx_extract *extract, const vx_verdict_look *look,
                      vx_verdict_row *ret_verdict, vx_video **ret_of, vx_err *err);
