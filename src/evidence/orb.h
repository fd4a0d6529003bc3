/* orb.h — ORB features of a grey picture, and which of two pictures belong together (private to src/evidence).
 *
 * Rublee, Rabaud, Konolige and Bradski, "ORB: an efficient alternative to SIFT or SURF" (2011): corners by FAST
 * (nine of the sixteen pixels of a circle), the best by Harris' measure, on eight sizes of the picture, each 1.2
 * times smaller than the one before; each with the direction to its patch's centre of mass; described by 256
 * comparisons of smoothed pixels around it, turned to that direction. The comparisons are our own choice by the
 * paper's method (tests/tools/learn_orb_pattern.py).
 *
 * Threads: any.
 */
#pragma once

#include "luma.h"

enum { VX_ORB_LEVELS = 8, VX_ORB_MAX = 1024 /* features of a picture */ };
#define VX_ORB_MATCH_DISTANCE 64 /* bits of 256 */

extern const int8_t
    vx_orb_pattern[256][4]; /* x, y of the pixel that is to be darker, and of the other */

typedef struct vx_orb_feature {
    float x_px, y_px; /* of the corner, 0 = centre of the first pixel of the whole picture */
    float angle_rad;  /* of its patch; y points down */
    float response;   /* Harris */
    int level;        /* 0 = the whole picture */
    uint64_t bits[4];
} vx_orb_feature;

typedef struct vx_orb {
    vx_orb_feature *features; /* [n] level by level, the best of each first; owned */
    size_t n;
    int w_px, h_px; /* of the picture */
} vx_orb;
void vx_orb_clear(vx_orb *orb);

typedef struct vx_orb_params {
    int max_features;   /* 1..VX_ORB_MAX; the levels share them by their length of a side */
    int n_levels;       /* 1..VX_ORB_LEVELS; 0 = all */
    int fast_threshold; /* grey levels; 0 = 8: night has corners too, and the best are taken anyhow */
} vx_orb_params;

/* Finds the features of a picture. ret_orb: the caller clears it, also after a failure. Cost: 3 ms for 320 x 180.
 * -ENOMEM. */
int vx_orb_find(const vx_luma *luma, const vx_orb_params *params, vx_orb *ret_orb, vx_err *err);

typedef struct vx_orb_match {
    int a, b; /* features */
} vx_orb_match;

/* Pairs of features that are each other's nearest, ties to the earlier, at most VX_ORB_MATCH_DISTANCE apart.
 *   ret_matches  [min(a->n, b->n)] of the caller, in the order of a
 * Returns how many. Cost: 0.3 ms for 300 against 500. */
size_t vx_orb_match_pairs(const vx_orb *a, const vx_orb *b, vx_orb_match *ret_matches);
