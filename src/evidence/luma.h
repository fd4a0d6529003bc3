/* luma.h — grey pictures in memory, made smaller or smooth (private to src/evidence). Threads: any. */
#pragma once

#include "frame/frame.h"

/* Grey pixels, uint8 [h, w], rows without padding; owned. */
typedef struct vx_luma {
    uint8_t *pixels;
    int w_px, h_px;
} vx_luma;
void vx_luma_clear(vx_luma *luma);
/* A picture of zeros; -ENOMEM. Sides 1..8192. */
int vx_luma_new(int w_px, int h_px, vx_luma *ret_luma, vx_err *err);

/* Reduces a VX_FRAME_GRAY to w x h pixels, each the exact mean of the area that it covers, rounded; sides are not
 * enlarged (w_px, h_px at most the frame's, those 1..8192). ret_luma: the caller clears it. Cost: 0.6 ms from 1080p. -ENOMEM. */
int vx_luma_reduce(const vx_frame *gray, int w_px, int h_px, vx_luma *ret_luma, vx_err *err);
/* Enlarges a VX_FRAME_GRAY to w x h pixels by bilinear interpolation (sides at least the frame's). ret_luma as above;
 * -ENOMEM. */
int vx_luma_enlarge(const vx_frame *gray, int w_px, int h_px, vx_luma *ret_luma, vx_err *err);
/* The size of a w x h picture made so much smaller that its longer side is at most max_side_px, or so much larger, up to
 * twice, that it is nearly that. */
void vx_luma_fit(int *w_px, int *h_px, int max_side_px);
/* Gaussian of deviation 2 over 7 x 7 pixels, edges reflected. ret_luma as above; -ENOMEM. */
int vx_luma_smooth(const vx_luma *luma, vx_luma *ret_luma, vx_err *err);
/* Flips left to right, in place. */
void vx_luma_mirror(vx_luma *luma);
