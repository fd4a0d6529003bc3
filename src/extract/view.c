#include "view.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* The pixels of a side from one share of it to another; one at least. */
static void cut(float from, float to, int side_px, int *ret_first, int *ret_n) {
    int first = (int)lroundf(fminf(fmaxf(from, 0), 1) * (float)side_px);
    int end = (int)lroundf(fminf(fmaxf(to, 0), 1) * (float)side_px);
    first = first < side_px ? first : side_px - 1;
    *ret_first = first;
    *ret_n = end > first ? end - first : 1;
}

/* Into w = the source's height and h = its width. */
static void turn(const vx_frame *rgb, bool clockwise, uint8_t *to) {
    int w = rgb->height_px, h = rgb->width_px;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int from_x = clockwise ? y : h - 1 - y, from_y = clockwise ? w - 1 - x : x;
            memcpy(to + 3 * ((size_t)y * (size_t)w + (size_t)x),
                   rgb->planes[0] + from_y * rgb->pitch_bytes[0] + 3 * (ptrdiff_t)from_x, 3);
        }
}

int vx_extract_prepare_view(const vx_preprocess_spec *spec, const vx_frame *rgb,
                            const vx_extract_view *view, float *ret_tensor, vx_err *err) {
    int x, y, w, h;
    cut(view->left, view->right, rgb->width_px, &x, &w);
    cut(view->top, view->bottom, rgb->height_px, &y, &h);
    const uint8_t *pixels = rgb->planes[0] + y * rgb->pitch_bytes[0] + 3 * (ptrdiff_t)x;
    const vx_frame part = vx_frame_view(VX_FRAME_RGB, pixels, w, h, rgb->pitch_bytes[0]);
    if (!view->quarter_turn)
        return vx_preprocess_frame(spec, &part, ret_tensor, err);
    VX_AUTO_FREE uint8_t *turned = vx_new_array((size_t)w * (size_t)h, 3);
    if (!turned)
        return VX_FAIL(err, -ENOMEM, "no memory to turn a picture of %d x %d", w, h);
    turn(&part, view->quarter_turn > 0, turned);
    const vx_frame on_its_side = vx_frame_view(VX_FRAME_RGB, turned, h, w, 3 * (ptrdiff_t)h);
    return vx_preprocess_frame(spec, &on_its_side, ret_tensor, err);
}
