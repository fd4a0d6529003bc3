/* fingerprint.h — perceptual hashes of frames, to tell a copy of a video from a similar scene.
 *
 * PDQ (Facebook/Meta, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm",
 * 2019): 256 bits per frame, Hamming distance 0..256, smaller = nearer; <= 31 is a match. Quality
 * 0..100 measures how much gradient a frame has; frames below VX_FP_MIN_QUALITY (black, flat) carry
 * no information and are left out of every comparison.
 *
 * Times  seconds from the first frame    Errs  -errno only
 * Threads  pure functions: any; objects say theirs
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "card/card.h"
#include "frame/frame.h"

#define VX_FP_MATCH_DISTANCE 31
#define VX_FP_MIN_QUALITY 50

typedef struct vx_fp_frame {
    float time_s;
    uint8_t quality;  /* 0..100 */
    bool inside;      /* hash of the picture inside its black bars (vx_fp_track) */
    uint8_t hash[32]; /* bit 0 of byte 0 is PDQ's bit 0 (its hex string reads from the end) */
} vx_fp_frame;

/* Hashes one picture: VX_FRAME_GRAY, 8 bits, full range, upright, in host memory. mirrored, if not NULL, receives the hash of
 * the picture flipped left to right (the same DCT gives both). Sets only quality and hash. Sides
 * 1..8192 px. Returns 0, -EINVAL or -ENOMEM. */
int vx_fp_hash(const vx_frame *luma, vx_fp_frame *ret_frame, vx_fp_frame *ret_mirrored,
               vx_err *err);

/* Turns stored frames into those of the video flipped left to right. Flipping a picture negates every second
 * coefficient behind a hash, and the median that they are compared with is close to 0: so a few of the 256
 * bits may differ from what vx_fp_hash gives for the flipped picture. */
void vx_fp_mirror(vx_fp_frame *frames, size_t n);

/* A video's fingerprint: its frames in ascending time and, if it has black bars, after them the same
 * frames hashed inside the bars (`inside`), also in ascending time. */
typedef struct vx_fp_video {
    vx_fp_frame *stored; /* [n_stored] owned, like the others */
    size_t n_stored;
    vx_fp_frame *frames, *mirrored; /* [n_frames] all frames, the stored ones too; and flipped */
    size_t n_frames;
} vx_fp_video;
void vx_fp_video_clear(vx_fp_video *video);

/* Builds a fingerprint picture by picture; track.c has the rule for bars. Memory: 100 bytes a picture,
 * twice that with bars. Threads: one at a time. */
typedef struct vx_fp_track vx_fp_track;
int vx_fp_track_new(vx_fp_track **ret_track, vx_err *err);
vx_fp_track *vx_fp_track_free(vx_fp_track *track);
VX_DEFINE_AUTO(vx_fp_track, vx_fp_track_free)
/* Adds a picture, as for vx_fp_hash (borrows), with its time; times ascend. stored: also goes into
 * video.stored. */
int vx_fp_track_add(vx_fp_track *track, const vx_frame *luma, bool stored, vx_err *err);
/* The same for pictures that lie on a card, many at a time: hashes equal those of vx_fp_track_add but for a
 * bit or two in a thousand of them. begin puts the work into its order; after vx_card_wait, add takes the
 * hashes into the track. In between nothing else may be added. */
typedef struct vx_fp_picture {
    const vx_frame *frame; /* borrows; as decoded; one that vx_frame_samples takes */
    bool stored;
} vx_fp_picture;
typedef struct vx_fp_batch vx_fp_batch;
/* Whether the card has the kernels; -ENODEV with the reason. */
int vx_fp_check_card(vx_card *card, vx_err *err);
/* Borrows all until the batch is freed. ret_batch: gives. -ENOMEM, -EIO; -EINVAL for other pictures. */
int vx_fp_batch_begin(vx_fp_track *track, const vx_fp_picture *pictures, int n, vx_card_work *work,
                      vx_fp_batch **ret_batch, vx_err *err);
/* May use the work, and wait for it, again. On failure nothing was added. */
int vx_fp_batch_add(vx_fp_batch *batch, vx_err *err);
vx_fp_batch *vx_fp_batch_free(vx_fp_batch *batch);
VX_DEFINE_AUTO(vx_fp_batch, vx_fp_batch_free)
/* Gives the arrays in *ret_video (vx_fp_video_clear). */
int vx_fp_track_finish(const vx_fp_track *track, vx_fp_video *ret_video, vx_err *err);

typedef struct vx_fp_match {
    float share;    /* time that matches at the best offset, of the shorter sequence's usable time,
                       0..1; a still weighs as much as 2 s, however long it lasts */
    float offset_s; /* time in b minus time in a of the same content */
    int n_matched;  /* frames behind the share */
    int n_distinct; /* different pictures among them: a still that lasts a minute counts once */
    bool a_inside, b_inside; /* found with the hashes inside the bars */
} vx_fp_match;

/* Compares two videos' frames (in the order of vx_fp_video, any length, any rates; borrows both). A
 * video with bars is compared both as it is and inside its bars, and the better match counts. Reports
 * the best offset, the smaller one where a still matches everywhere; zeros if nothing usable matches.
 * To find mirrored copies, compare again with one side's mirrored hashes.
 * Cost: 256 hashes against the longer sequence, about 1 ms for an hour and 0.1 s for 24 h, for each
 * combination of bars. Returns 0, -ENOMEM, or -EINVAL when times are not finite or not ascending. */
int vx_fp_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                  vx_fp_match *ret_match, vx_err *err);
/* Whether a match means "copy": thresholds measured in models/README.md. */
bool vx_fp_is_copy(const vx_fp_match *match);

/* A part of each video that is the same, in seconds. */
typedef struct vx_fp_segment {
    float a_from_s, a_to_s, b_from_s, b_to_s;
} vx_fp_segment;

#define VX_FP_SEGMENTS_MAX 64
typedef struct vx_fp_coverage {
    float share_of_a, share_of_b; /* time that the other one holds too, of the whole length, 0..1 */
    bool whole_a, whole_b; /* all of it is in the other one; but for half a second at an end */
    bool in_order;         /* what matches comes in the same order in both */
    int n_segments;
    vx_fp_segment segments[VX_FP_SEGMENTS_MAX]; /* [n_segments] rising in a */
} vx_fp_coverage;

/* How much of each video the other one holds, around a match that vx_fp_is_copy accepts: over one segment or
 * several, each at an offset of its own (borrows all).
 *   a_length_s, b_length_s  durations; NaN: up to the last frame
 * Cost: that of vx_fp_compare, up to twelve times. Errors as there. */
int vx_fp_cover(const vx_fp_frame *a, size_t n_a, double a_length_s, const vx_fp_frame *b,
                size_t n_b, double b_length_s, const vx_fp_match *match,
                vx_fp_coverage *ret_coverage, vx_err *err);

/* ---- stored form ----
 *
 * Little-endian records of 37 bytes: float32 time in seconds, uint8 quality (with 0x80: hash of the
 * picture inside its bars), 32 bytes of PDQ; in the order of vx_fp_video. Fingerprints stored before
 * bars were detected have no records with 0x80; their videos with bars match only copies with the
 * same bars. */

/* Packs n frames. Gives *ret_blob (free()). Returns 0 or -ENOMEM. */
int vx_fp_pack(const vx_fp_frame *frames, size_t n, void **ret_blob, size_t *ret_bytes,
               vx_err *err);
/* Gives *ret_frames (free()). -EINVAL when the size is not a whole number of records. */
int vx_fp_unpack(const void *blob, size_t bytes, vx_fp_frame **ret_frames, size_t *ret_n,
                 vx_err *err);

/* An index of all stored frame hashes that finds candidates for a copy. In memory, derived from the
 * catalog.
 *
 * A multi-index: each hash is filed under its 16 chunks of 16 bits, and a query frame is compared
 * with the frames that share a chunk with it. That finds every frame within distance 15 and nine in
 * ten of those within 31; a video has many frames, so hardly a copy is missed. Frames below
 * VX_FP_MIN_QUALITY and frames nearly equal to the previous one are not added.
 *
 * Memory  104 bytes a stored frame; 4 MB when empty
 * Cost    add: 0.15 µs a frame; candidates: 7 µs a query frame with 1 M frames stored, 52 µs with
 *         6 M; remove: frames are marked, and the index is compacted when half of them are
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
 * id). ret_videos [max] is the caller's; *ret_n of them are set. A query of more than 512 different
 * frames is thinned evenly to 512. These are candidates: vx_fp_compare decides. */
int vx_fp_index_candidates(vx_fp_index *index, const vx_fp_frame *frames, size_t n, size_t max,
                           int64_t *ret_videos, size_t *ret_n, vx_err *err);

typedef struct vx_fp_index_stats {
    size_t videos, frames; /* live */
    size_t bytes;          /* memory held */
} vx_fp_index_stats;
void vx_fp_index_get_stats(vx_fp_index *index, vx_fp_index_stats *ret_stats);
