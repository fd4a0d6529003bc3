/* evidence.h — looks at the pictures of two videos again, to tell a copy from another take of the same camera.
 *
 * Hashes and vectors say that pictures look alike. Here two videos are decoded again and asked two things:
 *
 *   geometry  how the pictures of one lie in those of the other: whole, cropped, smaller inside a frame, turned,
 *             mirrored (orb.h, geometry.h; without corners, place.h)
 *   movement  whether, once they lie on each other, the same things move in both (motion.h)
 *
 * What moves alike is a copy. What lies on each other and moves otherwise is another take of the same camera,
 * whatever the hashes say. Where nothing moves, pictures alone cannot tell, and nothing is said.
 *
 * Nothing is stored: a video is a window of some 30 s of the file, in small grey pictures.
 *
 * Times    seconds from the first presented frame, as in media.h
 * Errs     vx_media_outcome (> 0) where a file is at fault; -errno
 * Threads  a vx_evidence_video belongs to one thread at a time, and so do two in one check
 * Memory   26 MB at most for a video, and 9 while two are compared
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/media.h"

/* A part of a video, decoded. */
typedef struct vx_evidence_video vx_evidence_video;

/* Which part of a file, and how densely. */
typedef struct vx_evidence_window {
    double start_s, end_s;
    double fps; /* pictures a second; no more than 256 are taken, the last ones are left out */
} vx_evidence_window;

typedef struct vx_evidence_source {
    const char *path;
    const char *table_path; /* as in vx_media_open_params; may be NULL */
    const vx_media_limits *limits;
    vx_decoder *decoder;           /* NULL: the CPU */
    int decode_threads;            /* 0 = one per core */
    bool (*keep_going)(void *ctx); /* may be NULL; called per packet and picture, false stops */
    void *ctx;
} vx_evidence_source;

/* Decodes a window (all borrowed). Gives *ret_video. Returns 0, a vx_media_outcome (VX_MEDIA_STOPPED if keep_going
 * said so) or -errno. */
int vx_evidence_open(const vx_evidence_source *source, const vx_evidence_window *window,
                     vx_evidence_video **ret_video, vx_err *err);
vx_evidence_video *vx_evidence_video_free(vx_evidence_video *video);
VX_DEFINE_AUTO(vx_evidence_video, vx_evidence_video_free)
/* How many pictures it has. */
int vx_evidence_n_pictures(const vx_evidence_video *video);

/* Sets how densely two windows are to be looked at: 2 pictures a second of the new video and 4 of the stored one, and four
 * times as many where one of them is shorter than 4 s, for few would be shared else. (Where they share more, more pictures say
 * no more: of 375 wrong pairs two more were called related when windows of up to 8 s were looked at so.) */
void vx_evidence_set_rates(vx_evidence_window *of_new, vx_evidence_window *of_stored);

/* The windows that vx_evidence_compare wants of two videos that match at an offset: of the new one up to 32 s in
 * the middle of what they share, of the stored one up to 64 s around it. Where scenes stand still, a match says
 * little about the offset; so of a stored video that is short enough all is taken.
 *   offset_s  time in the stored video minus time in the new one */
void vx_evidence_windows(double new_length_s, double stored_length_s, double offset_s,
                         vx_evidence_window *ret_new, vx_evidence_window *ret_stored);

typedef enum vx_evidence_kind {
    VX_EVIDENCE_NOTHING, /* they do not lie on each other, or the windows are too short: nothing is said */
    VX_EVIDENCE_COPY,       /* the same things move in both */
    VX_EVIDENCE_OTHER_TAKE, /* they lie on each other, and other things move */
    VX_EVIDENCE_STILL,      /* they lie on each other, and nothing moves in either */
    VX_EVIDENCE_KINDS,
} vx_evidence_kind;
const char *vx_evidence_kind_name(vx_evidence_kind kind); /* static */

/* A box of a picture, in shares of its width and height: 0..1. */
typedef struct vx_evidence_box {
    float left, top, right, bottom;
} vx_evidence_box;

typedef struct vx_evidence {
    vx_evidence_kind kind;
    float motion;     /* correlation of what moves, -1..1, along the best line; NaN: not measured */
    bool contradicts; /* part of the line moves alike, and in another part other things move */
    float still;      /* of the pictures that met on it */
    int n_new;        /* pictures of the new video */
    int n_meet;       /* those whose time on the line is in the stored one's window */
    int n_pairs;      /* those that met a picture there that looks alike */
    int n_between;    /* all from the first of these to the last */
    double speed,
        offset_s; /* the line: time in the stored video = speed times time in the new one + offset */
    double first_s,
        last_s; /* times in the new video of the first and the last picture that met one */
    float change_new,
        change_stored; /* how much moves: mean variance over time, grey levels squared */
    /* How they lie on each other. */
    bool plain;    /* without features: as they are, between bars, by a quarter turn, or placed */
    int n_inliers; /* of the second-best picture; 0 too if it was plain before that was asked */
    bool mirrored;
    float scale, turn_deg;             /* of the new one in the stored one; clockwise */
    vx_evidence_box in_new, in_stored; /* what they share */
} vx_evidence;

/* Pictures of a passage, at least: four seconds of the new video. */
#define VX_EVIDENCE_PASSAGE_PAIRS 8

typedef struct vx_evidence_params {
    bool mirrored;   /* the new one is flipped left to right */
    bool either_way; /* that is not known: both are tried */
    bool
        passage; /* a stretch that they share is enough; else half of the new one's pictures must meet */
} vx_evidence_params;

/* Compares two videos (borrows); params NULL: all zero. Deterministic. Returns 0 or -ENOMEM. */
int vx_evidence_compare(vx_evidence_video *fresh, vx_evidence_video *stored,
                        const vx_evidence_params *params, vx_evidence *ret_evidence, vx_err *err);
