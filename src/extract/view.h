/* view.h — a part of a picture, turned: what extract.h may let a model see. Threads: any. */
#pragma once

#include "frame/frame.h"
#include "preprocess/preprocess.h"

/* A box in shares of a picture's width and height, 0..1, then turned. */
typedef struct vx_extract_view {
    float left, top, right, bottom;
    int quarter_turn; /* 0, 1: clockwise, -1 */
} vx_extract_view;

/* Prepares what the view shows of a picture (VX_FRAME_RGB, host) as vx_preprocess_frame does. Private to
 * src/extract. */
int vx_extract_prepare_view(const vx_preprocess_spec *spec, const vx_frame *rgb,
                            const vx_extract_view *view, float *ret_tensor, vx_err *err);
