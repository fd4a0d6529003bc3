/* near.h — of one video of a block: the stored videos whose vectors are nearest (private to duplicates/).
 *
 * The VX_NEAR_MAX best, by score, then by age, whatever the order in which they come.
 * Threads: external lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VX_NEAR_MAX 64 /* as many as the verdict at insert weighs */

typedef struct vx_near_video {
    uint32_t video; /* its number in the scan */
    float score;
} vx_near_video;

typedef struct vx_near {
    vx_near_video items[VX_NEAR_MAX]; /* [n] in no order */
    uint32_t n, worst;                /* worst: valid when full */
} vx_near;

static inline bool vx_near_is_better(vx_near_video a, vx_near_video b) {
    return a.score > b.score || (a.score == b.score && a.video < b.video);
}

static inline void vx_near_find_worst(vx_near *near) {
    near->worst = 0;
    for (uint32_t i = 1; i < near->n; i++)
        if (vx_near_is_better(near->items[near->worst], near->items[i]))
            near->worst = i;
}

/* Whether one that comes now may still get a place, if its score is no greater than this. */
static inline bool vx_near_may_take(const vx_near *near, vx_near_video found) {
    return near->n < VX_NEAR_MAX || vx_near_is_better(found, near->items[near->worst]);
}

/* False: a video has no place, now or any more: *ret_left. The same video counts once, with its best score. */
static inline bool vx_near_push(vx_near *near, vx_near_video found, vx_near_video *ret_left) {
    bool full = near->n == VX_NEAR_MAX;
    *ret_left = found;
    if (!vx_near_may_take(near, found))
        return near->items[near->worst].video == found.video;
    for (uint32_t i = 0; i < near->n; i++) {
        if (near->items[i].video != found.video)
            continue;
        if (found.score > near->items[i].score)
            near->items[i].score = found.score;
        if (full)
            vx_near_find_worst(near);
        return true;
    }
    if (full)
        *ret_left = near->items[near->worst];
    near->items[full ? near->worst : near->n++] = found;
    if (near->n == VX_NEAR_MAX)
        vx_near_find_worst(near);
    return !full;
}
