/* yuv.h — 8-bit planar YUV to RGB (private to src/media). Threads: any. */
#pragma once

#include <libavutil/frame.h>
#include <libavutil/pixdesc.h>
#include <stdbool.h>

#include "base/err.h"

/* Whether vx_yuv_to_rgb takes frames of this format. */
bool vx_yuv_is_planar8(const AVPixFmtDescriptor *desc);
/* Converts a frame to RGB, uint8 [h, w, 3], rows `stride` bytes apart; kr and kb are the luma
 * weights of its colour matrix. Returns 0 or -ENOMEM. */
int vx_yuv_to_rgb(const AVFrame *frame, double kr, double kb, bool full_range, uint8_t *rgb,
                  int stride, vx_err *err);
