/* media.h — video files in, exact pictures out. FFmpeg is used in this folder and nowhere else.
 *
 * A vx_media is one opened file whose packets have been scanned once. The presentation time of every
 * frame is known before anything is decoded, so a caller chooses frames by time, and only the packets
 * that those frames depend on are decoded. The pictures are bit-identical to decoding everything:
 * starting points and unreferenced pictures are proven from the packets' own bytes (H.264, HEVC, VP8,
 * VP9, AV1, MPEG-1/2/4, intra codecs), never taken from the container's key frame marks. Other codecs,
 * and streams with missing timestamps or changing parameters, are decoded from the start.
 *
 * Border   Demuxing and software decoding read what strangers wrote, and are to move into a process of
 *          their own. In go an opened file, limits and the numbers of the wanted frames; out come the
 *          packet table (packet_table.h), packets and vx_frames, all plain data that shared memory can
 *          hold. What does not fit yet: file_io.c, mp4_check.c and truncation.c each open the path, and
 *          a vx_frame's reference holds an AVFrame of the same process.
 *
 * Units    times in seconds from the first presented frame (edit lists applied); sizes in pixels
 * Errs     vx_media_outcome (> 0) when the file is at fault, -errno when the server is
 * Threads  a vx_media belongs to one thread at a time; different objects are independent
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "card/card.h"
#include "frame/frame.h"

typedef enum vx_media_outcome {
    VX_MEDIA_UNSUPPORTED =
        VX_CODES_MEDIA,  /* not a video file, or a codec or pixel format we do not decode */
    VX_MEDIA_NO_VIDEO,   /* a whole media file without a video stream, or without frames */
    VX_MEDIA_DAMAGED,    /* a video file that breaks off or cannot be decoded */
    VX_MEDIA_TOO_LARGE,  /* over a limit below; the message names it */
    VX_MEDIA_NO_ENCODER, /* vx_media_cut_clip: no allowed encoder is available */
    VX_MEDIA_STOPPED,    /* keep_going returned false */
} vx_media_outcome;

typedef struct vx_media_limits {
    int max_side_px;       /* longest picture side; 0 = 8192 */
    double max_duration_s; /* 0 = 24 h */
    int64_t max_frames;    /* 0 = 6 million (24 h at 60 a second); 48 bytes of memory a frame */
} vx_media_limits;

/* By which rules this folder reads a file; stored with each video. Counts up when some files come out
 * differently than before: other times, another stream or turn, other pictures. What changed at each:
 *   0  nobody noted it
 *   1  one timeline for all; jumps of the clock are joined and outliers left out; the last frame's own
 *      duration counts; the default stream that moves; PQ and HLG pictures come out as SDR */
#define VX_MEDIA_RULES 1

typedef enum vx_media_hdr { VX_MEDIA_SDR, VX_MEDIA_PQ, VX_MEDIA_HLG } vx_media_hdr;
/* What pictures with this transfer characteristic (H.273) are. */
vx_media_hdr vx_media_hdr_of(int transfer);
const char *vx_media_hdr_name(vx_media_hdr hdr); /* "sdr", "pq", "hlg" */

typedef struct vx_media_info {
    char container[32]; /* FFmpeg's demuxer name, first of its list: mov, matroska, avi, mpegts … */
    char codec[32];     /* h264, hevc, vp9, av1, mpeg4 … */
    int width_px, height_px;    /* as shown: turned, but not scaled to square pixels */
    int rotation_deg;           /* clockwise turn that was applied: 0, 90, 180, 270 */
    double sample_aspect_ratio; /* of a shown pixel, width to height; 1 = square, or not stated */
    vx_media_hdr hdr;  /* pictures of PQ and HLG are given as SDR. Where only the stream says
                                   it, known once a picture was decoded */
    double fps;        /* average */
    double duration_s; /* from the first frame to the end of the last one: its own duration where
                                the container states it, else the average */
    int64_t n_frames;  /* presented frames */
} vx_media_info;

typedef struct vx_media vx_media;

/* Opens a local file, probes it and reads its packets once. Pictures under 16x16 pixels are
 * unsupported. A truncated MP4 is damaged if it ends inside its index or that of a fragment, or holds
 * fewer pictures than these list; one that ends between two fragments is whole. In containers without
 * such an index (Matroska, MPEG-TS, AVI and others) the pictures that are there count, and only a file
 * without any is damaged.
 *   path       borrows, until return
 *   params     borrows, until return; NULL = all zero
 *   ret_media  gives; vx_media_free()
 * Returns 0, a vx_media_outcome or -errno. */
typedef struct vx_media_open_params {
    const vx_media_limits *limits; /* borrows; NULL = defaults */
    /* Borrows; may be NULL. A file in which the packet table is kept: if it has the table of this
     * video, the packets are not read again, else it is written. Its folder must exist. */
    const char *table_path;
    bool (*keep_going)(void *ctx); /* may be NULL; called while reading, false stops */
    void *ctx;
} vx_media_open_params;

int vx_media_open(const char *path, const vx_media_open_params *params, vx_media **ret_media,
                  vx_err *err);
vx_media *vx_media_free(vx_media *media);
VX_DEFINE_AUTO(vx_media, vx_media_free)

const vx_media_info *vx_media_get_info(const vx_media *media); /* borrows from media */

/* Time in seconds of presented frame i (0 <= i < n_frames). */
double vx_media_frame_time(const vx_media *media, int64_t frame);

/* Chooses frames of [start_s, end_s) at target_fps (0 < fps <= 1000). Sample times are t0, t0 + 1/fps,
 * … below the last frame's time + 0.5/fps, where t0 is the time of the span's first frame. Each takes
 * the frame with the nearest timestamp, ties to the earlier; a frame may be chosen several times when
 * the source is slower than target_fps. A span without a frame takes the one shown in it.
 * (The rule of NeMo Curator's ClipFrameExtractionStage, in its float32 arithmetic.)
 *   ret_frames  gives an ascending array of presented-frame numbers (free()), at least one entry
 *   ret_n       its length */
int vx_media_choose(const vx_media *media, double start_s, double end_s, double target_fps,
                    int64_t **ret_frames, int64_t *ret_n, vx_err *err);

/* The frames at which decoding can start, each at least least_step_s after the one before: every one of them
 * is decoded by itself.
 *   ret_frames  gives an ascending array (free()), which may have no entry
 *   ret_n       its length */
int vx_media_key_frames(const vx_media *media, double least_step_s, int64_t **ret_frames,
                        int64_t *ret_n, vx_err *err);

/* Replaces each of n frames (ascending before and after) by the key frame nearest in time, ties to the earlier:
 * of those shown in [start_s, end_s) if there are any, else of all. keys: [n_keys] as vx_media_key_frames gives
 * them; without any nothing is replaced. */
void vx_media_take_key_frames(const vx_media *media, const int64_t *keys, int64_t n_keys,
                              double start_s, double end_s, int64_t *frames, int64_t n);

/* How many pictures must be decoded to get these frames (ascending, unique; borrowed). Decodes
 * nothing; walks the packet table once. */
int vx_media_cost(const vx_media *media, const int64_t *frames, int64_t n, int64_t *ret_n_pictures,
                  vx_err *err);

/* One decoded picture, valid during the callback, with its conversions, which happen on demand. */
typedef struct vx_picture vx_picture;

/* One's own, to convert frames that were kept. Holds the converters and buffers that all its pictures
 * share; belongs to one thread at a time. NULL: no memory. */
vx_picture *vx_picture_new(void);
vx_picture *vx_picture_free(vx_picture *picture);
VX_DEFINE_AUTO(vx_picture, vx_picture_free)
/* Points the picture at a frame (borrows until the next call). */
void vx_picture_set(vx_picture *picture, const vx_frame *frame);

/* The picture as it left the decoder (borrows from the picture; vx_frame_ref keeps it longer). */
const vx_frame *vx_picture_frame(const vx_picture *picture);

/* Conversions of a picture; one on a card is copied to host memory for the first of them. Each gives a
 * view that holds until the next conversion: upright, 8 bits, full range, in host memory.
 * Pictures of PQ and HLG streams come out as SDR: SDR white is 203 nits (BT.2408), what is brighter is
 * compressed (BT.2390). vx_picture_rgb_small alone leaves them as they are. */

/* Luma, VX_FRAME_GRAY. */
int vx_picture_luma(vx_picture *picture, const vx_frame **ret_luma, vx_err *err);
/* VX_FRAME_RGB; the stream's colour matrix and range are honoured (unspecified: vx_frame_matrix). */
int vx_picture_rgb(vx_picture *picture, const vx_frame **ret_rgb, vx_err *err);
/* VX_FRAME_RGB of this size, scaled without keeping the aspect ratio, exactly as the ffmpeg program
 * does by default (bicubic; BT.601 where the stream names no matrix): the input of networks that
 * were trained on its output. */
int vx_picture_rgb_small(vx_picture *picture, int width_px, int height_px, const vx_frame **ret_rgb,
                         vx_err *err);

/* Called once per requested frame in ascending order, on the caller's thread or, beside a card, on one that
 * it waits for. Non-zero stops decoding and is returned. */
typedef int (*vx_media_on_picture)(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                                   vx_err *err);

/* Where pictures are decoded: a card (NVDEC) and the CPU beside it. A clip that the card does not
 * decode exactly, or at all, or that is damaged, goes to the CPU; with `hybrid` also what the card has
 * no room for. The pictures are the same to the bit. Threads: any. */
typedef struct vx_decoder vx_decoder;

struct vx_card_driver;
typedef struct vx_decoder_params {
    int device;                          /* N of cuda:N */
    bool hybrid;                         /* cores decode clips beside a card that is busy */
    int card_clips;                      /* clips at a time on the card; 0 = 28 */
    int cpu_clips;                       /* and on the CPU; 0 = one per core */
    const struct vx_card_driver *driver; /* borrows; NULL = NVIDIA's. For tests */
} vx_decoder_params;

/* Returns 0, -ENODEV (no driver, no such card, or a build without it), -ENOMEM or -EIO. */
int vx_decoder_open(const vx_decoder_params *params, vx_decoder **ret_decoder, vx_err *err);
vx_decoder *vx_decoder_free(vx_decoder *decoder); /* nothing may be decoding */
VX_DEFINE_AUTO(vx_decoder, vx_decoder_free)

typedef enum vx_media_path {
    VX_MEDIA_ON_CPU,
    VX_MEDIA_ON_CARD,
    VX_MEDIA_ON_BOTH, /* the card gave up in the middle */
    VX_MEDIA_N_PATHS,
} vx_media_path;

/* In logs and metrics: cpu, nvdec, mixed; static. */
const char *vx_media_path_name(vx_media_path path);

typedef struct vx_decoder_stats {
    char card[64]; /* its name */
    int max_clips; /* at a time on the card */
    int n_decoders, max_decoders;
    int64_t card_bytes, max_card_bytes; /* that the decoders take, about */
    vx_card_memory pictures;            /* that stay on the card */
    int64_t n_clips[VX_MEDIA_N_PATHS];
    /* [n_reasons] clips that the card left to the CPU, and why: codec, chroma, bit_depth, size, stream,
     * damaged … (static). */
    int64_t n_refused[16];
    const char *reasons[16];
    int n_reasons;
} vx_decoder_stats;
void vx_decoder_get_stats(vx_decoder *decoder, vx_decoder_stats *ret_stats);
/* The models lack memory on the card: frees what no decode is using, and takes hardly any for ten seconds.
 * ctx: the vx_decoder. */
void vx_decoder_relieve(void *ctx);
/* The card that decodes (borrows from decoder). NULL: a build without it. */
vx_card *vx_decoder_get_card(const vx_decoder *decoder);

/* Videos that this decoder has in work, or that wait for it. */
int vx_decoder_count_busy(vx_decoder *decoder);

/* The decoders of several cards, one each. Plain data; constant while anything is decoded. Threads: any. */
enum { VX_DECODERS_MAX = 16 };
typedef struct vx_decoders {
    vx_decoder *items[VX_DECODERS_MAX]; /* [n]; owned */
    int n;                              /* 0: the CPU decodes */
} vx_decoders;
/* The one for the next video: with the fewest in work. Borrowed; NULL: there is none. */
vx_decoder *vx_decoders_pick(const vx_decoders *decoders);
/* The sums; the card of the first. */
void vx_decoders_get_stats(const vx_decoders *decoders, vx_decoder_stats *ret_stats);
void vx_decoders_relieve(void *ctx); /* vx_decoder_relieve of each; ctx: the vx_decoders */
void vx_decoders_free(vx_decoders *decoders);

typedef struct vx_media_stats {
    int64_t frames_decoded; /* pictures the decoder produced */
    int64_t frames_total;   /* pictures in the stream */
    int n_passes;           /* 2: not all came out, so everything was decoded once more */
    vx_media_path path;
    const char *refused; /* static: why the card did not decode all of it; NULL = it did, or was not
                            asked */
} vx_media_stats;

typedef struct vx_media_decode_params {
    const int64_t *frames; /* [n] requested frames, ascending, unique; borrowed for the call */
    int64_t n;
    int threads;         /* of the decoder; 0 = one per core; fewer where pictures are very large */
    vx_decoder *decoder; /* borrows; NULL = the CPU alone */
    bool on_card; /* pictures that a card decodes may come in its memory, not all of them need to */
    /* May be NULL. Makes another frame of a picture that a card decoded, at once, instead of a copy of it: a small
     * one, so that any number can wait for their turn and all decoders of the card work for one video.
     * vx_picture_frame() of on_picture is that frame. Called on threads of the card, several at a time.
     *   frame      borrows; on the card, complete
     *   ret_frame  gives, in host memory
     * After a failure the CPU decodes the rest. */
    int (*on_card_frame)(void *ctx, const vx_frame *frame, vx_card *card, vx_frame **ret_frame,
                         vx_err *err);
    bool (*keep_going)(void *ctx); /* may be NULL; called per packet, false stops */
    vx_media_on_picture on_picture;
    /* May be NULL. Called for pictures before the last requested one that were decoded only because
     * others depend on them. They cost nothing until they are converted and are as exact as the
     * requested ones; each comes at most once, in one ascending order with those. Which ones there
     * are depends on the stream. Costs 8 bytes of memory per frame of the file. */
    vx_media_on_picture on_extra;
    void *ctx; /* for all */
} vx_media_decode_params;

/* Decodes the requested frames and calls on_picture for each. A picture that cannot be decoded is
 * replaced by the one before it, as a player would show it, for at most one in ten; beyond that the
 * result is VX_MEDIA_DAMAGED. VX_MEDIA_TOO_LARGE if the pictures need more memory or far more work than
 * a file of this size justifies; VX_MEDIA_STOPPED. ret_stats may be NULL. */
int vx_media_decode(vx_media *media, const vx_media_decode_params *params,
                    vx_media_stats *ret_stats, vx_err *err);

/* Decodes that frame if the container does not say that the video is HDR; the info tells then. Returns 0
 * also for a frame that cannot be decoded; VX_MEDIA_STOPPED or -errno. */
int vx_media_learn_hdr(vx_media *media, int64_t frame, bool (*keep_going)(void *ctx), void *ctx,
                       vx_err *err);

/* What the container states, in the numbers of ffprobe; packets are not counted or measured. Where
 * this and vx_media_info differ, vx_media_info is right. */
typedef struct vx_media_header {
    int width_px, height_px;          /* as coded: not turned */
    double fps;                       /* stated average; 0 = none */
    double duration_s;                /* of the stream, else of the file; 0 = none */
    char codec[32], pixel_format[32]; /* "" = unknown */
    char audio_codec[32];             /* of the last audio stream; "" = none */
} vx_media_header;
int vx_media_read_header(const char *path, const vx_media_limits *limits,
                         vx_media_header *ret_header, vx_err *err);

typedef struct vx_media_thumbnail_params {
    const char *path;              /* borrows, like all of these */
    const vx_media_limits *limits; /* NULL = defaults */
    const char *table_path;        /* as in vx_media_open_params; NULL: the file is scanned */
    double time_s;
    int max_side_px;               /* of the longer side, >= 1 */
    bool (*keep_going)(void *ctx); /* may be NULL; called while reading, false stops */
    void *ctx;
} vx_media_thumbnail_params;

/* JPEG (4:2:0, quality about 85) of the frame nearest to time_s, on the timeline of
 * vx_media_frame_time. Where reaching that frame would take too long (some 1000 pictures from the
 * nearest starting point), the nearest one that was reached. ret_jpeg gives malloc'ed bytes (free()).
 * Returns 0, a vx_media_outcome or -errno. */
int vx_media_thumbnail(const vx_media_thumbnail_params *params, uint8_t **ret_jpeg,
                       size_t *ret_bytes, vx_err *err);

/* Decodes one JPEG picture of n bytes (borrowed) and calls on_picture once, with frame and time 0. No
 * side may exceed max_side_px. VX_MEDIA_UNSUPPORTED for anything but JPEG; EXIF is ignored. */
int vx_media_jpeg(const void *bytes, size_t n, int max_side_px, vx_media_on_picture on_picture,
                  void *ctx, vx_err *err);

/* ---- clips as files ---- */

typedef struct vx_media_cut_params {
    double start_s, end_s; /* frames of [start_s, end_s); at least the one shown at start_s */
    const char *encoder;   /* name of an FFmpeg encoder; NULL or "auto": the first that starts of
                              h264_nvenc, libx264, libopenh264, mpeg4. Borrows */
    bool may_copy; /* copy packets if the span is whole groups of pictures of H.264 or HEVC in
                              MP4 or Matroska, SDR and of square pixels: no loss, but not every player
                              has HEVC */
    int threads;   /* 0 = one per core */
    const char *table_path;        /* as in vx_media_open_params */
    bool (*keep_going)(void *ctx); /* may be NULL; called once per frame, false stops */
    void *ctx;
} vx_media_cut_params;

typedef struct vx_media_cut_info {
    bool copied;
    char encoder[32];
    int64_t n_frames;
} vx_media_cut_info;

/* Writes the span as an MP4 that can be played while it loads, from its first frame on. Sound is copied
 * if MP4 can hold it. Pictures keep their times and orientation and become 8-bit 4:2:0, SDR as
 * vx_picture_rgb gives them, with square pixels: they keep their size (odd sides lose a pixel), but where
 * pixels are not square the narrower direction is enlarged. The file `to` does not exist after a failure. ret_info may be NULL. */
int vx_media_cut_clip(const char *path, const vx_media_limits *limits,
                      const vx_media_cut_params *params, const char *to,
                      vx_media_cut_info *ret_info, vx_err *err);
