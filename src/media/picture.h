/* picture.h — a decoded frame and how it is turned (private to src/media; the conversions are in
 * media.h). Threads: a vx_picture belongs to one thread at a time. */
#pragma once

#include <libavformat/avformat.h>

#include "media.h"

/* How the stream's display matrix wants its pictures turned, and the same in clockwise degrees. */
vx_orientation vx_orientation_of(const AVStream *stream, int *ret_rotation_deg);

/* vx_picture_rgb as it lies in the file: not turned, and scaled to w x h. */
int vx_picture_rgb_as_stored(vx_picture *picture, int w, int h, const uint8_t **ret_pixels,
                             int *ret_stride, vx_err *err);
/* vx_picture_rgb with square pixels, scaled down (area mean) so that its longer side is at most
 * max_side_px; never scaled up.
 *   aspect  of a shown pixel, width to height */
int vx_picture_rgb_within(vx_picture *picture, double aspect, int max_side_px,
                          const vx_frame **ret_rgb, vx_err *err);
