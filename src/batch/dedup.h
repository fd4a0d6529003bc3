/* batch_dedup.h — near-duplicates among the clips of one batch: `vidx embed --dedup THRESHOLD`.
 *
 * Every pair is compared, exactly (index/). The clips are ranked: more pixels first, then by path
 * and place in the video; in that order a clip is kept unless its cosine with a clip kept before it
 * is at least the threshold. So every removed clip names a kept one that is that near to it, and
 * the answer depends on the clips alone, not on the order in which they were stored.
 *
 *   pairwise_results/cluster_0.parquet  id, max_id: string, cosine_sim_score: float. A row a clip, in
 *                                       rank order: the nearest clip kept before it, and how near
 *                                       that is; itself and 0 where there is none
 *   duplicates/cluster_0.parquet        id: string, sorted: the clips to remove, which are those
 *                                       with a score of at least the threshold
 *
 * The shape is that of NeMo Curator's semantic deduplication with eps = 1 - threshold. Two things
 * differ: it compares within k-means clusters only, and lets a clip that is removed itself remove
 * others, so that a chain of small steps can lose clips which resemble none that is kept.
 *
 * Threads: one at a time, with no ingest running; searches use all cores. Memory: a second copy of
 * the kept clips' vectors and 100 bytes a clip. Cost: kept clips times clips, dim multiplications each.
 */
#pragma once

#include "clips.h"
#include "index/index.h"

typedef struct vx_batch_match {
    size_t of;   /* of the clips array: the nearest clip kept before; the clip itself = none */
    float score; /* 0..1; >= the threshold: it is a duplicate */
} vx_batch_match;

/* Fills matches [n] of clips [n]; ret_rank [n]: the clips' numbers in rank order. */
int vx_batch_match_clips(vx_index *index, const vx_batch_clip *clips, size_t n, float threshold,
                         size_t *ret_rank, vx_batch_match *ret_matches, vx_err *err);

/* Matches the clips and writes both files into <output>. ret_removed: how many are duplicates. */
int vx_batch_dedup(vx_index *index, const vx_batch_clips *clips, float threshold,
                   const char *output, size_t *ret_removed, vx_err *err);
/* Removes what an earlier run with --dedup wrote. */
int vx_batch_dedup_remove(const char *output, vx_err *err);
