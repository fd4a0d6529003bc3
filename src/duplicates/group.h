/* group.h — makes one group of a snapshot: its videos in the order of the policy, and what may go (private to
 * duplicates/). Threads: one a build. */
#pragma once

#include "duplicates_internal.h"
#include "keeper.h"
#include "snapshot.h"
#include "verdict/verdict.h"

typedef struct vx_group_members { /* borrows */
    const uint32_t *videos;       /* [n_videos] numbers of videos of the snapshot */
    const uint32_t *pairs;        /* [n_pairs] and of pairs, of these alone */
    size_t n_videos, n_pairs;
} vx_group_members;

/* Zero but for the first four; vx_group_build_done(). */
typedef struct vx_group_build {
    vx_duplicates *duplicates;   /* borrows all */
    const vx_group_query *query; /* its watch ends a build: -ECANCELED */
    const vx_scan_snapshot *snapshot;
    bool compare; /* what has no pair is judged now, up to query->max_looks by decoded pictures */
    vx_group *group;             /* what was made; the caller's */
    vx_keep_facts *facts;        /* [n_videos] in the order of the policy; owned */
    vx_verdict_decoded *decoded; /* owned */
    vx_duplicate_pair *found;    /* [n_found] by comparing; owned, with their segments */
    size_t n_found, found_capacity, n_compared, n_looks;
} vx_group_build;

int vx_group_build_run(vx_group_build *build, const vx_group_members *members, vx_err *err);
void vx_group_build_done(vx_group_build *build);

/* The name that a group of these has, and its revision: in ret. */
void vx_group_name(const vx_scan_snapshot *snapshot, const vx_group_members *members,
                   vx_group *ret);
