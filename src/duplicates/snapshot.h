/* snapshot.h — all pairs and decisions as they were at one moment, and the videos they are about (private to
 * duplicates/). Memory: 150 bytes a video that has a pair, and 48 a pair. */
#pragma once

#include "duplicates.h"
#include "unrelated.h"

typedef struct vx_scan_snapshot_pair {
    uint32_t a, b;          /* numbers of videos, the id of a being the smaller */
    vx_duplicate_pair pair; /* turned to that order; without segments */
} vx_scan_snapshot_pair;

typedef struct vx_settled { /* a video of a decision to keep or delete */
    uint32_t video;
    int64_t decision;
} vx_settled;

typedef struct vx_scan_snapshot {
    atomic_int references;
    unsigned long long video_changes, pair_changes; /* as of which it was read */
    vx_group_video
        *videos; /* [n_videos] by row: those of pairs, and of which several files are listed */
    size_t n_videos;
    vx_scan_snapshot_pair *pairs; /* [n_pairs] by rows; those of unrelated videos are left out */
    size_t n_pairs;
    vx_settled *settled; /* [n_settled] by video, then decision */
    size_t n_settled;
    vx_unrelated unrelated; /* owned */
} vx_scan_snapshot;

int vx_scan_snapshot_load(const vx_duplicates_params *params, vx_scan_snapshot **ret_snapshot,
                          vx_err *err);
/* Another reference; any thread may read through each, and free gives one back. */
vx_scan_snapshot *vx_scan_snapshot_ref(vx_scan_snapshot *snapshot);
vx_scan_snapshot *vx_scan_snapshot_free(vx_scan_snapshot *snapshot);
VX_DEFINE_AUTO(vx_scan_snapshot, vx_scan_snapshot_free)
/* SIZE_MAX: it is not in there. */
size_t vx_scan_snapshot_find(const vx_scan_snapshot *snapshot, int64_t row);
/* The order of settled, for qsort and bsearch. */
int vx_scan_snapshot_compare_settled(const void *a, const void *b);
/* What the same pair says with a and b exchanged. Segments are left as they are. */
void vx_pair_turn(vx_duplicate_pair *pair);
