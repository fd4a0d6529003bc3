/* yuv.h — planar YUV of 8 to 12 bits to RGB (private to src/media). Threads: any. */
#pragma once

#include "frame/frame.h"

/* Whether vx_yuv_to_rgb takes frames of this layout. */
bool vx_yuv_is_planar(const vx_frame *frame);
/* Converts a frame by its weights (vx_frame_yuv_weights) to full-range RGB, [h, w, 3], rows `stride` bytes
 * apart: uint8 (sample_bytes 1) or uint16 in native order (2). Returns 0 or -ENOMEM. */
int vx_yuv_to_rgb(const vx_frame *frame, const vx_yuv_weights *weights, int sample_bytes,
                  uint8_t *rgb, int stride, vx_err *err);
