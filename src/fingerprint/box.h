/* box.h — a part of a picture (private to src/fingerprint). */
#pragma once

typedef struct vx_fp_box {
    int x_px, y_px, w_px, h_px; /* no width or height: all black */
} vx_fp_box;
