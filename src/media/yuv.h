/* yuv.h — 8-bit planar YUV to RGB (private to src/media). Threads: any. */
#pragma once

#include "frame/frame.h"

/* Whether vx_yuv_to_rgb takes frames of this layout. */
bool vx_yuv_is_planar8(const vx_frame *frame);
/* Converts a frame to RGB, uint8 [h, w, 3], rows `stride` bytes apart; kr and kb are the luma
 * weights of its colour matrix. Returns 0 or -ENOMEM. */
int vx_yuv_to_rgb(const vx_frame *frame, double kr, double kb, uint8_t *rgb, int stride,
                  vx_err *err);
