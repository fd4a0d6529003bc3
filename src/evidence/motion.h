/* motion.h — whether two videos in one geometry show the same movement (private to src/evidence).
 *
 * Two takes of one fixed camera look alike in every picture; what moves in them differs. So the mean over time of
 * each pixel is taken away from both videos, and what is left is correlated over pixels and time along each line
 * (time in b = speed times time in a + offset) on which the pictures could meet.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { VX_MOTION_MAX = 256, VX_MOTION_WIDTH_PX = 96, VX_MOTION_MIN_PAIRS = 4 };

/* A video as small grey pictures of one size, in ascending time. */
typedef struct vx_footage {
    uint8_t *luma;  /* uint8 [n, h, w]; owned */
    double *time_s; /* [n] owned */
    int n, w_px, h_px;
} vx_footage;
void vx_footage_clear(vx_footage *footage);
/* Room for n pictures, n not set. -ENOMEM. */
int vx_footage_new(int n, int w_px, int h_px, vx_footage *ret_footage, vx_err *err);
static inline uint8_t *vx_footage_picture(const vx_footage *footage, int i) {
    return footage->luma + (size_t)i * (size_t)footage->w_px * (size_t)footage->h_px;
}

typedef struct vx_motion_params {
    const double *speeds; /* [n_speeds] borrows; NULL: 1 alone */
    int n_speeds;
    const uint8_t
        *mask;     /* uint8 [h, w] borrows: 0 = a pixel that does not count; NULL: all count */
    int min_pairs; /* lines with fewer pairs of pictures do not count; 0 = VX_MOTION_MIN_PAIRS */
    bool passage;  /* of a line only the stretch counts whose pictures look alike */
} vx_motion_params;

typedef struct vx_motion {
    int n_pairs; /* pictures that were compared; 0: no line has enough, and the rest says nothing */
    float correlation; /* of what changes, -1..1 */
    float still;       /* of the pictures, their mean */
    float change_a,
        change_b; /* mean variance over time of the pixels that count, grey levels squared */
    double speed, offset_s;
    double first_s, last_s; /* times in a of the first and the last of the pairs */
} vx_motion;

/* By which one line is better than another: on the true one of a slow scene many pictures agree well, on some others
 * a few do, or all of them a little. -infinity: it has no pairs. */
float vx_motion_agreement(const vx_motion *motion);

/* Below this variance a video does not move: what is left is the encoder's noise. */
#define VX_MOTION_LEAST_CHANGE 1.5f

/* Compares two videos of one size (borrows; at most VX_MOTION_MAX pictures each); sides under 4 px compare to nothing. Cost: 10 ms for 64 pictures
 * against 128 at one speed. Returns 0 or -ENOMEM. */
int vx_motion_compare(const vx_footage *a, const vx_footage *b, const vx_motion_params *params,
                      vx_motion *ret_motion, vx_err *err);

/* One line alone, for its pairs [n]: pictures i of a and k of b. Only n_pairs to change_b are set, but for still. -ENOMEM. */
typedef struct vx_motion_pair {
    int a, b;
} vx_motion_pair;
int vx_motion_along(const vx_footage *a, const vx_footage *b, const vx_motion_pair *pairs, int n,
                    const uint8_t *mask, vx_motion *ret_motion, vx_err *err);
