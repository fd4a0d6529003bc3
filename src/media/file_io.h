/* file_io.h — a local file as FFmpeg's input (private to src/media).
 *
 * FFmpeg's demuxers treat a failed read as the end of the file. This reader remembers the error, so
 * that a disk that fails is not taken for a video that ends. Threads: one at a time.
 */
#pragma once

#include <libavformat/avformat.h>
#include <stdbool.h>

#include "base/err.h"

typedef struct vx_file_io {
    AVIOContext *avio; /* NULL: closed */
    int fd;
    int error;                     /* errno of the first read or seek that failed; 0 = none */
    int64_t deadline_us;           /* monotonic; reads after it return AVERROR_EXIT. 0 = none */
    int64_t blocked_us;            /* time spent waiting for the disk since the deadline was set */
    bool (*keep_going)(void *ctx); /* may be NULL; called per read, false = AVERROR_EXIT */
    void *ctx;
    bool stopped; /* keep_going returned false */
} vx_file_io;

/* Opens path into a zeroed io, which must not move afterwards. Returns 0 or -errno. */
int vx_file_io_open(vx_file_io *io, const char *path, vx_err *err);
void vx_file_io_close(vx_file_io *io);
/* Sets the deadline to that many microseconds from now. */
void vx_file_io_limit(vx_file_io *io, int64_t us);
