/* letterbox.h — where the picture lies between black bars (private to src/fingerprint). Threads: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "box.h"

/* The part of a picture inside its black bars; luma uint8 [h, w], full range. */
vx_fp_box vx_fp_box_inside_bars(const uint8_t *luma, int w_px, int h_px, int stride_bytes);
/* The smallest box around both; an empty one adds nothing. */
vx_fp_box vx_fp_box_union(vx_fp_box a, vx_fp_box b);
/* Whether no side differs by more than a cell of PDQ's 64x64 grid over a w x h picture. */
bool vx_fp_box_is_near(vx_fp_box a, vx_fp_box b, int w_px, int h_px);
