/* video.h — the pictures of a decoded window and their features (private to src/evidence). */
#pragma once

#include "evidence.h"
#include "geometry.h"
#include "layout.h"
#include "motion.h"

enum {
    VX_EVIDENCE_SIDE_PX = 320, /* of pictures, at most */
    VX_EVIDENCE_ORB_MAX = 32,  /* pictures with features */
};

typedef struct vx_evidence_features {
    vx_orb pictures[VX_EVIDENCE_ORB_MAX]; /* [n] */
    int n;
} vx_evidence_features;

struct vx_evidence_video {
    vx_footage
        footage; /* at most VX_MOTION_MAX pictures of VX_EVIDENCE_SIDE_PX; their times are the file's */
    double content[4]; /* the box between bars, or the whole picture */
    vx_evidence_features
        features[2]; /* as they are, and flipped left to right; found when asked for */
};

/* Finds the features of `most` pictures (at most VX_EVIDENCE_ORB_MAX) that are evenly spread, max_features each, if it
 * was not done before. mirrored: of the flipped pictures. -ENOMEM. */
int vx_evidence_find_features(vx_evidence_video *video, bool mirrored, int most, int max_features,
                              vx_err *err);
