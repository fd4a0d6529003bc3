/* packet_table.h — the video stream of one file as a table of its packets (private to src/media).
 *
 * Terms   packet   one entry of the video stream, numbered in decode order
 *         shown    a packet whose picture is presented; shown frames are numbered by time
 *         point    a packet at which decoding may start (VX_PACKET_POINT)
 *         GOP      a point and the packets up to the next point
 *
 * scan.c reads the file once and fills the table. plan.c works on the table alone and says which
 * packets a set of frames needs. decode.c reads the file again and decodes just those packets.
 */
#pragma once

#include <libavcodec/avcodec.h>

#include "media.h"
#include "picture.h"

typedef enum vx_packet_flag {
    VX_PACKET_POINT = 1 << 0,   /* decoding from here gives everything shown after it exactly */
    VX_PACKET_CLOSED = 1 << 1,  /* a point, and also what is decoded after and shown before it */
    VX_PACKET_NONREF = 1 << 2,  /* no other picture depends on it */
    VX_PACKET_RASL = 1 << 3,    /* HEVC leading picture that needs the GOP before */
    VX_PACKET_RADL = 1 << 4,    /* HEVC leading picture that does not */
    VX_PACKET_DISCARD = 1 << 5, /* outside the edit list: decoded, never shown */
    VX_PACKET_HIDDEN = 1 << 6,  /* has no picture of its own */
    VX_PACKET_SETS = 1 << 7,    /* carries parameter sets */
    VX_PACKET_MARKED = 1 << 8,  /* marked as a key frame by the container, which proves nothing */
    VX_PACKET_LAYER_SHIFT = 9,  /* HEVC temporal id, 3 bits */
} vx_packet_flag;

typedef struct vx_packet {
    int64_t pts; /* stream ticks; AV_NOPTS_VALUE only in a table that is `by_order` */
    int64_t dts;
    int64_t pos; /* byte of the file at which the demuxer says that it starts; -1 = unknown */
    uint32_t n_bytes;
    uint32_t flags;
} vx_packet;

/* The packets from `first` on have `shift` added to the timestamps of the file (see times.h). */
typedef struct vx_segment {
    int64_t first, shift;
} vx_segment;

struct vx_media {
    char *path;
    int stream; /* index of the video stream in the file */
    vx_media_limits limits;
    vx_media_info info;
    AVCodecParameters *par;
    AVRational time_base;
    vx_orientation orientation;
    vx_packet *packets; /* [n_packets] */
    int64_t n_packets;
    vx_segment *segments; /* [n_segments] ascending by first; none = nothing was moved */
    size_t n_segments;
    int64_t *shown;     /* [info.n_frames] packet of each shown frame, by ascending time */
    double *times;      /* [info.n_frames] seconds from the first shown frame */
    int64_t changed_px; /* GIF: pixels that its pictures draw, all together; -1 = another format */
    int reorder;        /* the most packets a picture waits for in the decoder before it is shown */
    bool by_order;      /* timestamps are missing: the n-th decoded picture is frame n */
    double
        peak_nits; /* vx_frame.peak_nits of a decoder that does not tell it; -1 = not looked up */
    bool kept;     /* read from a table file */
    bool may_skip; /* the flags are proven for every packet, so packets may be left out */
};

/* What was added to the timestamps of that packet. */
static inline int64_t vx_media_shift_of(const vx_media *media, int64_t packet) {
    int64_t shift = 0;
    for (size_t i = 0; i < media->n_segments && media->segments[i].first <= packet; i++)
        shift = media->segments[i].shift;
    return shift;
}
