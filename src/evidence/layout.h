/* layout.h — two videos put on one grid, so that their pixels can be compared (private to src/evidence). */
#pragma once

#include "motion.h"
#include "perspective.h"

/* A grid of at most VX_MOTION_WIDTH_PX a side over what two pictures share. */
typedef struct vx_layout {
    int w, h;
    vx_perspective in_a, in_b; /* where a place of the grid lies in a picture */
    double box_a[4], box_b[4]; /* that part: left, top, right, bottom in pixels */
} vx_layout;

/* Boxes of both, whatever their shapes. quarter_turns: -1, 0 or 1 clockwise from a to b. */
vx_layout vx_layout_boxes(const double box_a[4], const double box_b[4], bool mirrored,
                          int quarter_turns);
/* The box between bars of one colour that most pictures with bars have: one passage of a video may have some, and the
 * others none. The whole picture if fewer than 4 pictures have the same bars. */
void vx_layout_find_content(const vx_footage *footage, double ret_box[4]);
/* The part of a that the perspective (pictures of a to those of b) takes into b. False: it is under 1/64 of both, or the
 * camera would stand between them. */
bool vx_layout_of(const vx_footage *a, const vx_footage *b, const vx_perspective *perspective,
                  vx_layout *ret_layout);

/* Both videos on the grid: ret_a, ret_b (the caller clears them), and in ret_mask, uint8 [h, w] (free()), which
 * places lie in both. -ENOMEM. */
int vx_layout_apply(const vx_layout *layout, const vx_footage *a, const vx_footage *b,
                    vx_footage *ret_a, vx_footage *ret_b, uint8_t **ret_mask, vx_err *err);
