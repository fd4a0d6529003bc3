/* demux.h — an opened container of an accepted format and its video stream (private to src/media).
 * Threads: one at a time. */
#pragma once

#include <libavformat/avformat.h>

#include "base/mem.h"
#include "file_io.h"
#include "media.h"
#include "truncation.h"

typedef struct vx_demux {
    vx_file_io io;
    AVFormatContext *fmt;
    AVStream *stream; /* borrows from fmt */
    AVPacket *packet; /* the packet of the last read */
    vx_file_length length;
    bool probed;
} vx_demux;

typedef struct vx_demux_params {
    const vx_media_limits *limits; /* filled in */
    int stream;                    /* index of the video stream; -1 = select it */
    bool with_sound;               /* probe the sound too, where the header does not describe it */
    bool (*keep_going)(void *ctx); /* may be NULL; called while reading, false stops */
    void *ctx;
} vx_demux_params;

/* Opens the file and selects its video stream: one that moves before a still picture, one that can
 * be decoded, the container's default, the largest, the first; in this order.
 * Returns 0, a vx_media_outcome or -errno. */
int vx_demux_open(const char *path, const vx_demux_params *params, vx_demux **ret_demux,
                  vx_err *err);
vx_demux *vx_demux_free(vx_demux *demux);
VX_DEFINE_AUTO(vx_demux, vx_demux_free)

/* Lets FFmpeg read packets to find what the header did not say. Runs once; FFmpeg crashes when it
 * probes the same file twice. */
int vx_demux_probe(vx_demux *demux, const vx_media_limits *limits, vx_err *err);

/* Index of the video stream that comes next in the order above, if the container does not say that
 * it is a still picture; -1 = there is none. */
int vx_demux_next_stream(const vx_demux *demux);

/* Reads the next packet of the video stream into demux->packet. Returns 0, AVERROR_EOF, or another
 * AVERROR. Timestamps are within VX_DEMUX_LAST_TIME of 0, or AV_NOPTS_VALUE. */
int vx_demux_read(vx_demux *demux);

/* Whether what vx_demux_read returned last is the end of what the file holds. Returns 0 for that;
 * -errno when the disk, the memory or the time failed; VX_MEDIA_STOPPED; VX_MEDIA_DAMAGED for a file
 * that a demuxer does not get through. */
int vx_demux_check_end(const vx_demux *demux, int read_rc, vx_err *err);

/* A timestamp from a file; AV_NOPTS_VALUE when it is outside the range in which differences cannot
 * overflow. Nanoseconds since 1970 are inside. */
int64_t vx_demux_time(int64_t ticks);
#define VX_DEMUX_LAST_TIME (INT64_C(1) << 61)

/* Limits with the zero fields filled in. */
vx_media_limits vx_media_limits_or_default(const vx_media_limits *limits);
