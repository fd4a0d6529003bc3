/* media.h — video files in, exact pictures out. FFmpeg is used in this folder and nowhere else.
 *
 * A vx_media is one opened file whose packets have been scanned once: the presentation time of
 * every frame is known before anything is decoded, so a caller chooses frames by time and only the
 * packets that those frames depend on are decoded. The pictures are bit-identical to decoding all:
 * starting points and pictures nobody refers to are proven from the packets' own bytes (H.264, HEVC,
 * VP8, VP9, AV1, MPEG-1/2/4, intra codecs), never taken from the container's key frame marks; other
 * codecs, and streams with missing timestamps or changing parameters, are decoded from the start.
 *
 * Units    times in seconds from the first presented frame (edit lists applied); sizes in pixels
 * Errs     vx_media_outcome (> 0) when the file is at fault, -errno when we are
 * Threads  a vx_media belongs to one thread at a time; different objects are independent
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef enum vx_media_outcome {
    VX_MEDIA_UNSUPPORTED = 1, /* not a video file, or a codec or pixel format we do not decode */
    VX_MEDIA_NO_VIDEO,        /* a whole media file without a video stream, or without frames */
    VX_MEDIA_DAMAGED,         /* a video file that breaks off or cannot be decoded */
    VX_MEDIA_TOO_LARGE,       /* over a limit below; the message names it */
    VX_MEDIA_NO_ENCODER,      /* vx_media_cut_clip: none that may be used is there */
    VX_MEDIA_STOPPED,         /* vx_media_cut_clip: go_on said so */
} vx_media_outcome;

typedef struct vx_media_limits {
    int max_side_px;       /* longest picture side; 0 = 8192 */
    double max_duration_s; /* 0 = 24 h */
    int64_t max_frames;    /* 0 = 6 million (24 h at 60 a second); 40 bytes of memory a frame */
} vx_media_limits;

typedef struct vx_media_info {
    char container[32]; /* FFmpeg's demuxer name, first of its list: mov, matroska, avi, mpegts … */
    char codec[32];     /* h264, hevc, vp9, av1, mpeg4 … */
    int width_px, height_px; /* as shown: turned, but not stretched to square pixels */
    int rotation_deg;        /* clockwise turn that was applied: 0, 90, 180, 270 */
    double fps;              /* average */
    double duration_s;       /* last presented frame's time plus one frame, from the first frame */
    int64_t n_frames;        /* presented frames */
} vx_media_info;

typedef struct vx_media vx_media;

/* Opens and probes a local file and reads its packets once. path is borrowed. Pictures of less than
 * 16x16 pixels are unsupported. A file that breaks off: an MP4 is damaged when it ends inside its
 * index, or inside that of a fragment, or holds fewer pictures than these list (so one that ends
 * between two fragments is whole); in containers without such an index (Matroska, MPEG-TS, AVI and
 * others) the pictures that are there count, and only a file without any is damaged. */
int vx_media_open(const char *path, const vx_media_limits *limits, vx_media **ret_media,
                  vx_err *err);
vx_media *vx_media_free(vx_media *media);
VX_DEFINE_AUTO(vx_media, vx_media_free)

const vx_media_info *vx_media_get_info(const vx_media *media); /* borrows from media */

/* Time in seconds of presented frame i (0 <= i < n_frames). */
double vx_media_frame_time(const vx_media *media, int64_t frame);

/* Chooses frames among those of [start_s, end_s) at target_fps: sample times t0, t0 + 1/fps, … below
 * the last frame's time + 0.5/fps, where t0 is the time of the span's first frame; each takes the
 * frame with the nearest timestamp, ties to the earlier; a frame may be chosen several times when
 * the source is slower than target_fps. A span without a frame takes the one shown in it.
 * (The rule of NeMo Curator's ClipFrameExtractionStage, in its float32 arithmetic.)
 *   ret_frames  gives an ascending array of presented-frame numbers (free()), at least one entry
 *   ret_n       its length */
int vx_media_choose(const vx_media *media, double start_s, double end_s, double target_fps,
                    int64_t **ret_frames, int64_t *ret_n, vx_err *err);

/* How many of the stream's pictures must be decoded for these frames (ascending, unique). Nothing is
 * decoded; the stream's packet table is walked once. */
int vx_media_cost(const vx_media *media, const int64_t *frames, int64_t n, int64_t *ret_n_pictures,
                  vx_err *err);

/* One decoded picture, valid during the callback. Opaque: conversions happen on demand. */
typedef struct vx_picture vx_picture;

/* Full-range luma, uint8 [h, w], rows `stride` bytes apart, upright. Borrows from the picture. */
int vx_picture_luma(vx_picture *picture, const uint8_t **ret_pixels, int *ret_w, int *ret_h,
                    int *ret_stride, vx_err *err);
/* Full-range RGB, uint8 [h, w, 3] interleaved, upright; the stream's colour matrix and range are
 * honoured (unspecified: BT.601 below 720 lines of height, as players do, else BT.709). */
int vx_picture_rgb(vx_picture *picture, const uint8_t **ret_pixels, int *ret_w, int *ret_h,
                   int *ret_stride, vx_err *err);

/* Upright RGB, uint8 [height_px, width_px, 3], squashed to that size exactly as the ffmpeg program
 * does by default (bicubic; a stream that names no matrix is taken for BT.601): what networks were
 * trained on that read its pipe. */
int vx_picture_rgb_small(vx_picture *picture, int width_px, int height_px,
                         const uint8_t **ret_pixels, int *ret_stride, vx_err *err);

/* Called once per wanted frame in ascending order. Non-zero stops decoding and is returned. */
typedef int (*vx_media_on_picture)(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                                   vx_err *err);

typedef struct vx_media_stats {
    int64_t frames_decoded; /* pictures the decoder produced */
    int64_t frames_total;   /* pictures in the stream */
    int n_passes;           /* 2: not all came out, so everything was decoded once more */
} vx_media_stats;

typedef struct vx_media_wish {
    const int64_t *frames; /* [n] wanted frames, ascending, unique; borrowed for the call */
    int64_t n;
    int threads; /* of the decoder; 0 = one per core */
    vx_media_on_picture on_picture;
    /* If not NULL: called for pictures before the last wanted one that nobody wants but that were
     * decoded on the way to one. They cost nothing until they are converted, are as exact as the
     * wanted ones, and each frame comes at most once, in one ascending order with those; which ones
     * there are depends on the stream. 8 bytes of memory a frame of the file. */
    vx_media_on_picture on_extra;
    void *ctx; /* for both */
} vx_media_wish;

/* Decodes the wanted frames and calls on_picture for each. A wanted picture that no decoder gives is
 * replaced by the one before it, as a player shows it, for at most one in ten; beyond that
 * VX_MEDIA_DAMAGED. */
int vx_media_decode(vx_media *media, const vx_media_wish *wish, vx_media_stats *ret_stats,
                    vx_err *err);

/* What the container claims, in the numbers of ffprobe; nothing is read through or measured. Where
 * these and vx_media_info differ, vx_media_info is right. */
typedef struct vx_media_header {
    int width_px, height_px;          /* as coded: not turned */
    double fps;                       /* the average it claims; 0 = none */
    double duration_s;                /* of the stream, else of the file; 0 = none */
    char codec[32], pixel_format[32]; /* "" = not known */
    char audio_codec[32];             /* of the last audio stream; "" = none */
} vx_media_header;
int vx_media_read_header(const char *path, const vx_media_limits *limits,
                         vx_media_header *ret_header, vx_err *err);

/* JPEG (4:2:0, quality about 85) of the frame nearest to time_s, its longest side at most
 * max_side_px. ret_jpeg gives malloc'ed bytes. Opens the file itself and seeks: needs no scan. */
int vx_media_thumbnail(const char *path, double time_s, int max_side_px, uint8_t **ret_jpeg,
                       size_t *ret_bytes, vx_err *err);

/* One JPEG picture of n bytes in memory (borrowed): calls on_picture once, with frame and time 0. A
 * side may have max_side_px. VX_MEDIA_UNSUPPORTED for anything but JPEG; EXIF is not looked at. */
int vx_media_jpeg(const void *bytes, size_t n, int max_side_px, vx_media_on_picture on_picture,
                  void *ctx, vx_err *err);

/* ---- clips as files ---- */

typedef struct vx_media_cut {
    double start_s, end_s; /* frames at these times and between, the end excluded; at least one */
    const char *encoder;   /* FFmpeg's name of one; NULL or "auto": the first that starts of
                              h264_nvenc, libx264, libopenh264, mpeg4. Borrows */
    bool may_copy; /* packets are copied where the span is whole groups of pictures of H.264 or
                              HEVC in MP4 or Matroska: no loss, but not every player has HEVC */
    int threads;   /* 0 = one per core */
    bool (*go_on)(void *ctx); /* may be NULL; asked once a frame, false stops */
    void *ctx;
} vx_media_cut;

typedef struct vx_media_cut_info {
    bool copied;
    char encoder[32];
    int64_t n_frames;
} vx_media_cut_info;

/* Writes the span as an MP4 that can be played while it loads, from its first frame on; sound that
 * MP4 holds is copied. Pictures keep their size (odd sides lose a pixel), times and turn; they become
 * 8-bit 4:2:0. `to` does not exist after a failure. ret_info may be NULL. */
int vx_media_cut_clip(const char *path, const vx_media_limits *limits, const vx_media_cut *want,
                      const char *to, vx_media_cut_info *ret_info, vx_err *err);
