/* geometry.h — how one picture lies in another: scale, turn, shift and mirror, from pairs of ORB features
 * (private to src/evidence). Threads: any. */
#pragma once

#include <stdbool.h>

#include "orb.h"

/* Takes a point of picture a to the same point of picture b: (x, y) to (cx - sy + dx, sx + cy + dy), where x counts
 * from the right edge if `mirrored` (a was flipped before its features were found). Pixels, pixel centres at halves. */
typedef struct vx_similarity {
    double c,
        s; /* scale times cosine and sine of the turn; y points down, so a positive turn is clockwise */
    double dx, dy;
    bool mirrored;
    int n_inliers; /* pairs that agree, at most two for each 16-px cell of either picture; 0 = nothing found */
} vx_similarity;

#define VX_GEOMETRY_MIN_SCALE 0.25
#define VX_GEOMETRY_MAX_SCALE 4.0
#define VX_GEOMETRY_ERROR_PX 4.0 /* in b */

/* Finds the similarity by RANSAC with a fixed seed over the pairs of vx_orb_match_pairs, and fits it to all that
 * agree. The same features give the same result. mirrored: noted in the result, a being flipped already.
 * Cost: 0.2 ms. */
void vx_geometry_find(const vx_orb *a, const vx_orb *b, bool mirrored,
                      vx_similarity *ret_similarity);

double vx_similarity_scale(const vx_similarity *similarity);
double vx_similarity_turn_deg(const vx_similarity *similarity); /* -180..180, clockwise */
