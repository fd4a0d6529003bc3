/* av_frame.h — FFmpeg's frames as vx_frames (private to src/media). Threads: any. */
#pragma once

#include <libavutil/frame.h>

#include "frame/frame.h"

/* A vx_frame of a decoded AVFrame in host memory, which it references.
 *   number, time_s  of the presented frame
 * Returns 0 or -ENOMEM. */
int vx_av_frame_wrap(const AVFrame *av, vx_orientation orientation, int64_t number, double time_s,
                     vx_frame **ret_frame, vx_err *err);
/* The AVFrame behind a frame that vx_av_frame_wrap made (borrows from it); NULL for another one. */
const AVFrame *vx_av_frame_of(const vx_frame *frame);
