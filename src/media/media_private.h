/* media_private.h — what the files of src/media share.
 *
 * Words   packet   one entry of the video stream, numbered in decode order
 *         shown    a packet whose picture is presented, numbered in presentation order
 *         point    a packet at which a decoder may start (see vx_packet_flag)
 *         GOP      a point and the packets up to the next one
 * A file is read once by scan.c, which fills the table; plan.c says from the table alone which
 * packets a set of wanted frames needs; decode.c reads the file again and sends just those.
 */
#pragma once

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdatomic.h>

#include "media.h"

typedef enum vx_packet_flag {
    VX_PACKET_POINT = 1 << 0,   /* from here on everything shown after it decodes exactly */
    VX_PACKET_CLOSED = 1 << 1,  /* a point: and so does what is decoded after and shown before it */
    VX_PACKET_NONREF = 1 << 2,  /* leaving it out changes no other picture */
    VX_PACKET_RASL = 1 << 3,    /* HEVC leading picture that needs the GOP before */
    VX_PACKET_RADL = 1 << 4,    /* HEVC leading picture that does not */
    VX_PACKET_DISCARD = 1 << 5, /* outside the edit list: decoded, never shown */
    VX_PACKET_HIDDEN = 1 << 6,  /* gives no picture of its own */
    VX_PACKET_SETS = 1 << 7,    /* carries parameter sets */
    VX_PACKET_MARKED = 1 << 8,  /* the container calls it a key frame; not proof of anything */
    VX_PACKET_LAYER_SHIFT = 9,  /* HEVC temporal id, 3 bits */
} vx_packet_flag;

typedef struct vx_packet {
    int64_t pts; /* stream ticks; AV_NOPTS_VALUE only in a table that is `by_order` */
    int64_t dts;
    uint32_t n_bytes;
    uint32_t flags;
} vx_packet;

typedef struct vx_orientation {
    bool transpose; /* first, then the flips */
    bool flip_x;
    bool flip_y;
} vx_orientation;

struct vx_media {
    char *path;
    vx_media_limits limits;
    vx_media_info info;
    AVCodecParameters *par;
    AVRational time_base;
    vx_orientation orientation;
    vx_packet *packets;
    int64_t n_packets;
    int64_t *shown; /* packet of each presented frame; ascending time */
    double *times;  /* seconds of each presented frame from the first */
    int reorder;    /* the most packets a picture waits for in the decoder before it is shown */
    bool by_order;  /* timestamps are missing: the n-th decoded picture is frame n */
    bool may_skip;  /* the table's flags can be trusted for every packet */
};

/* ---- extent.c: how long a container says it is ---- */

typedef struct vx_extent {
    const char *kind;     /* MP4, Matroska, AVI; NULL = another, which states no length */
    int64_t have_bytes;   /* of the file */
    int64_t stated_bytes; /* how long it is at least, by what it says; 0 = it does not */
    char box[4];          /* MP4: the box in which the file ends too early */
} vx_extent;

vx_extent vx_extent_of(const char *path);
bool vx_extent_breaks_off(const vx_extent *extent);
/* MP4: inside what lists the pictures, so that FFmpeg sees fewer of them than there were. */
bool vx_extent_breaks_off_in_index(const vx_extent *extent);
/* VX_MEDIA_DAMAGED for a file that breaks off; before: what is missing, as in "before its index". */
int vx_extent_fail(const vx_extent *extent, const char *before, vx_err *err);

/* ---- claims.c ---- */

/* Refuses an MP4 whose tables FFmpeg would make far more of than the file can hold, or could hide
 * such tables from a look at them. Reads all of the file but the media.
 * Returns 0, VX_MEDIA_DAMAGED, VX_MEDIA_UNSUPPORTED, VX_MEDIA_TOO_LARGE or -errno. */
int vx_claims_check(const char *path, vx_err *err);

/* ---- demux.c: an opened container of an accepted kind and its video stream ---- */

typedef struct vx_demux {
    AVFormatContext *fmt;
    AVStream *stream; /* borrows from fmt */
    AVPacket *packet; /* the packet of the last read */
    vx_extent extent;
    int64_t deadline_us;
    bool probed;
} vx_demux;

int vx_demux_open(const char *path, const vx_media_limits *limits, vx_demux **ret_demux,
                  vx_err *err);
vx_demux *vx_demux_free(vx_demux *demux);
VX_DEFINE_AUTO(vx_demux, vx_demux_free)
/* Lets FFmpeg look into packets for what the header did not say; once (FFmpeg crashes else). */
int vx_demux_probe(vx_demux *demux, const vx_media_limits *limits, vx_err *err);
/* Next packet of the video stream into demux->packet. 0, AVERROR_EOF, or another AVERROR. Its times
 * are at most VX_DEMUX_LAST_TIME from 0, or AV_NOPTS_VALUE. */
int vx_demux_read(vx_demux *demux);
/* A time as a file has it; one out of the range, in which differences fit, counts as none. The range
 * holds nanoseconds since 1970. */
int64_t vx_demux_time(int64_t ticks);
#define VX_DEMUX_LAST_TIME (INT64_C(1) << 61)
/* Limits with the zero fields filled in. */
vx_media_limits vx_media_limits_or_default(const vx_media_limits *limits);
/* "…: <text of an AVERROR>" */
int vx_media_fail_av(vx_err *err, int code, int averror, const char *what);

/* ---- classify.c: what a packet's bytes prove about its dependencies ---- */

typedef struct vx_classifier {
    enum AVCodecID codec;
    int nal_length_bytes; /* H.264, HEVC: 0 = start codes */
    bool may_skip;        /* false once something makes leaving packets out unsafe */
    bool after_end;       /* HEVC: at the start or after an end-of-sequence NAL unit */
    bool rasl_hidden;     /* HEVC: decoders drop the RASL pictures of the current point */
    bool has_tables;      /* MJPEG: an earlier picture defined Huffman tables */
    uint64_t sets_hash;   /* of the parameter sets seen inside packets; 0 = none yet */
    uint32_t max_layer;   /* HEVC: highest temporal id */
} vx_classifier;

void vx_classifier_init(vx_classifier *c, const AVCodecParameters *par);
/* vx_packet_flag bits of one packet, in decode order; all but DISCARD. */
uint32_t vx_classify(vx_classifier *c, const AVPacket *packet);
/* After the last packet: takes back what only the whole stream could disprove. */
void vx_classifier_finish(const vx_classifier *c, vx_packet *packets, int64_t n);

/* classify_nal.c */
uint32_t vx_classify_h264(vx_classifier *c, const uint8_t *data, size_t n_bytes);
uint32_t vx_classify_hevc(vx_classifier *c, const uint8_t *data, size_t n_bytes);
/* Notes parameter sets found in a packet; two that differ forbid skipping. Returns SETS. */
uint32_t vx_note_sets(vx_classifier *c, uint64_t hash);
/* FNV-1a, continued from `hash`. */
uint64_t vx_hash_bytes(uint64_t hash, const uint8_t *data, size_t n_bytes);
#define VX_HASH_START UINT64_C(0xcbf29ce484222325)
/* Next 00 00 01 of [p, end): points at the byte after it; NULL if there is none. */
const uint8_t *vx_next_start_code(const uint8_t *p, const uint8_t *end);

/* ---- plan.c ---- */

enum {
    VX_PLAN_DROP,
    VX_PLAN_SEND,
    VX_PLAN_RESTART, /* send to an emptied decoder */
    VX_PLAN_WRONG,   /* send, for those that depend on it: its own picture is not exact */
};

/* Which packets the shown frames `frames` need.
 *   ret_action   gives one VX_PLAN_* per packet (free())
 *   ret_n        packets from here on are all dropped */
int vx_media_plan(const vx_media *media, const int64_t *frames, int64_t n, uint8_t **ret_action,
                  int64_t *ret_n, vx_err *err);

/* ---- choose.c ---- */

/* The rule of vx_media_choose over ascending float32 timestamps, n >= 1. */
int vx_choose_nearest(const float *times, int64_t n, double target_fps, int64_t **ret_frames,
                      int64_t *ret_n, vx_err *err);

/* ---- yuv.c ---- */

struct AVPixFmtDescriptor;
bool vx_yuv_is_planar8(const struct AVPixFmtDescriptor *desc);
/* A frame of such a format to RGB [h, w, 3] with the luma weights kr and kb of its matrix. */
int vx_yuv_to_rgb(const AVFrame *frame, double kr, double kb, bool full_range, uint8_t *rgb,
                  int stride, vx_err *err);

/* ---- picture.c ---- */

/* How the stream's display matrix wants its pictures turned, and the same as clockwise degrees. */
vx_orientation vx_orientation_of(const AVStream *stream, int *ret_rotation_deg);

/* One per decoding run: holds the converters and buffers that all its pictures share. */
vx_picture *vx_picture_new(vx_orientation orientation);
vx_picture *vx_picture_free(vx_picture *picture);
VX_DEFINE_AUTO(vx_picture, vx_picture_free)
/* Points the picture at a decoded frame (borrows until the next call). */
void vx_picture_set(vx_picture *picture, const AVFrame *frame);
/* vx_picture_rgb scaled down (area mean) so that its longer side is at most max_side_px. */
int vx_picture_rgb_within(vx_picture *picture, int max_side_px, const uint8_t **ret_pixels,
                          int *ret_w, int *ret_h, int *ret_stride, vx_err *err);
const AVFrame *vx_picture_frame(const vx_picture *picture); /* borrows until the next set */
