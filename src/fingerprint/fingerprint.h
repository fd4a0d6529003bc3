/* fingerprint.h — perceptual hashes of frames: tells a copy from a similar scene.
 *
 * PDQ (Facebook/Meta, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm",
 * 2019): 256 bits per frame, Hamming distance 0..256, smaller = nearer; <= 31 is a match. Quality
 * 0..100 says how much gradient a frame has; frames below VX_FP_MIN_QUALITY (black, flat) say
 * nothing and are left out of every comparison.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define VX_FP_MATCH_DISTANCE 31
#define VX_FP_MIN_QUALITY 50

typedef struct vx_fp_frame {
    float time_s;
    uint8_t quality;  /* 0..100 */
    bool inside;      /* of the picture inside its black bars (vx_fp_track) */
    uint8_t hash[32]; /* bit 0 of byte 0 is PDQ's bit 0 (its hex string reads from the end) */
} vx_fp_frame;

/* Hashes one picture: luma uint8 [h, w], full range. mirrored, if not NULL, receives the hash of
 * the picture flipped left to right (it comes out of the same DCT). Sets quality and hash alone. */
int vx_fp_hash(const uint8_t *luma, int w_px, int h_px, int stride_bytes, vx_fp_frame *ret_frame,
               vx_fp_frame *ret_mirrored, vx_err *err);

/* A video's fingerprint: its frames in ascending time and, if it has black bars, behind them once
 * more those with the picture inside the bars (`inside`), also in ascending time. */
typedef struct vx_fp_video {
    vx_fp_frame *stored; /* [n_stored] owned, like the others */
    size_t n_stored;
    vx_fp_frame *frames, *mirrored; /* [n_frames] all, those to be stored among them; and flipped */
    size_t n_frames;
} vx_fp_video;
void vx_fp_video_clear(vx_fp_video *video);

/* Makes it picture by picture; track.c has the rule for bars. 100 bytes a picture, with bars twice
 * that. Threads: one at a time. */
typedef struct vx_fp_track vx_fp_track;
int vx_fp_track_new(vx_fp_track **ret_track, vx_err *err);
vx_fp_track *vx_fp_track_free(vx_fp_track *track);
VX_DEFINE_AUTO(vx_fp_track, vx_fp_track_free)
/* Pictures in ascending time, as for vx_fp_hash (borrows); stored: it is one of those to be kept. */
int vx_fp_track_add(vx_fp_track *track, const uint8_t *luma, int w_px, int h_px, int stride_bytes,
                    double time_s, bool stored, vx_err *err);
double vx_fp_track_last_s(const vx_fp_track *track); /* of the last picture; -inf before */
int vx_fp_track_finish(const vx_fp_track *track, vx_fp_video *ret_video, vx_err *err);

typedef struct vx_fp_match {
    float share;    /* time that matches at the best offset, of the shorter sequence's usable time,
                       0..1; a still weighs as much as 2 s, however long it lasts */
    float offset_s; /* time in b minus time in a of the same content */
    int n_matched;  /* frames behind the share */
    int n_distinct; /* different pictures among them: a still that lasts a minute counts once */
} vx_fp_match;

/* Compares two videos' frames (in the order of vx_fp_video, any length, any rates; borrows both);
 * of those with bars, as they are and inside the bars, what matches best. The best offset is
 * reported, the smaller one where a still matches everywhere; nothing usable in common gives zeros.
 * To find mirrored copies, compare again with one side's mirrored hashes.
 * Cost: 256 hashes against the longer sequence: about 1 ms for an hour, 0.1 s for 24 h, for each
 * way to compare. -ENOMEM;
 * -EINVAL when times are not finite or not ascending. */
int vx_fp_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                  vx_fp_match *ret_match, vx_err *err);
/* Whether a match means "copy": thresholds measured in models/README.md. */
bool vx_fp_is_copy(const vx_fp_match *match);

/* Every stored frame's hash, by video, for finding candidates. In memory, derived from the catalog.
 *
 * A multi-index: each hash is filed under its 16 chunks of 16 bits, and a query frame is compared
 * with the frames that share a chunk with it. Every frame within distance 15 is met, and of those
 * within 31 nine in ten; a video is many frames, so hardly a copy is missed. Frames below
 * VX_FP_MIN_QUALITY and frames nearly equal to the one stored before them are not stored.
 *
 * Memory  104 bytes a stored frame; 4 MB when empty
 * Cost    add: 0.15 µs a frame; candidates: 7 µs a query frame with 1 M frames stored, 52 µs with
 *         6 M; remove: the frames are marked, and when half of all are, the index is compacted
 *         (50 ms for 1 M)
 * Threads  any; searches run beside each other, add and remove are exclusive (lock inside) */
typedef struct vx_fp_index vx_fp_index;
int vx_fp_index_new(vx_fp_index **ret_index, vx_err *err);
vx_fp_index *vx_fp_index_free(vx_fp_index *index);
VX_DEFINE_AUTO(vx_fp_index, vx_fp_index_free)

/* Adds a video's frames (borrows; in the order of vx_fp_video). -EEXIST: the video is there already.
 * On failure nothing is added. */
int vx_fp_index_add(vx_fp_index *index, int64_t video, const vx_fp_frame *frames, size_t n,
                    vx_err *err);
/* Removes a video; one that is not there is no error. */
int vx_fp_index_remove(vx_fp_index *index, int64_t video, vx_err *err);

/* The videos that share the most frames with the query at one offset, best first (ties: smaller
 * id). ret_videos [max], ret_n gets how many. Of a query of more than 512 different frames, 512
 * spread over it are looked up. What comes back are candidates: vx_fp_compare decides. */
int vx_fp_index_candidates(vx_fp_index *index, const vx_fp_frame *frames, size_t n, size_t max,
                           int64_t *ret_videos, size_t *ret_n, vx_err *err);

typedef struct vx_fp_index_stats {
    size_t videos, frames; /* live */
    size_t bytes;          /* memory held */
} vx_fp_index_stats;
void vx_fp_index_get_stats(vx_fp_index *index, vx_fp_index_stats *ret_stats);
