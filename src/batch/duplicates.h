/* duplicates.h — near-duplicates among the clips of one run: `vidx embed --dedup THRESHOLD`.
 *
 * dedup/ compares every pair. The clips are ranked:
 *   1. those of a file that is not hidden and not in a hidden or trash folder come first
 *      (vx_batch_file_is_set_aside; of files with the same bytes one such file is enough),
 *   2. then those with more pixels,
 *   3. then by path and place in the video.
 * In that order a clip is kept unless its cosine with a clip kept before it is at least the threshold.
 * So every removed clip names a kept one that is that close to it, and the answer depends
 * on the clips alone, not on the order in which they were stored.
 *
 *   pairwise_results/cluster_0.parquet  id, max_id: string, cosine_sim_score: float. One row a clip,
 *                                       in rank order: the nearest clip kept before it, and its
 *                                       score; the clip itself and 0 where there is none
 *   duplicates/cluster_0.parquet        id: string, sorted: the clips to remove, which are those
 *                                       with a score of at least the threshold
 *
 * The files look like those of NeMo Curator's semantic deduplication with eps = 1 - threshold. Two
 * things differ: Curator compares within k-means clusters only, and there a clip that is removed
 * itself can remove others, so that a chain of small steps can lose clips that resemble no kept one.
 *
 * Threads: one at a time, with no ingest running. Memory: dedup/'s, and 100 bytes a clip.
 */
#pragma once

#include "clip_list.h"
#include "dedup/dedup.h"

/* Compares the clips and writes both files into <output>. VX_DEDUP_STOPPED: interrupted() was true.
 *   ret_removed  how many clips are duplicates */
int vx_batch_write_duplicates(vx_index *index, const vx_batch_clip_list *clips, float threshold,
                              const char *output, bool (*interrupted)(void), size_t *ret_removed,
                              vx_err *err);
/* Removes what an earlier run with --dedup wrote. */
int vx_batch_remove_duplicates(const char *output, vx_err *err);
