/* preprocess.c — resize and normalisation of one picture; resample.c has the passes. */
#include "preprocess.h"

#include <errno.h>
#include <math.h>

#include "base/mem.h"
#include "resample.h"

enum { MAX_INPUT_PX = 8192, MAX_OUTPUT_PX = 1024 };

static int check_shapes(const vx_preprocess_spec *spec, const vx_frame *in, vx_err *err) {
    if (in->layout != VX_FRAME_RGB || in->bit_depth != 8 || in->device != VX_FRAME_HOST)
        return VX_FAIL(err, VX_PREPROCESS_BAD_SHAPE, "the picture is not 8-bit RGB in host memory");
    if (spec->width_px < 1 || spec->width_px > MAX_OUTPUT_PX || spec->height_px < 1 ||
        spec->height_px > MAX_OUTPUT_PX)
        return VX_FAIL(err, VX_PREPROCESS_BAD_SHAPE, "model frame size %dx%d is outside 1..%d",
                       spec->width_px, spec->height_px, MAX_OUTPUT_PX);
    if (in->width_px < 1 || in->width_px > MAX_INPUT_PX || in->height_px < 1 ||
        in->height_px > MAX_INPUT_PX)
        return VX_FAIL(err, VX_PREPROCESS_BAD_SHAPE, "picture size %dx%d is outside 1..%d",
                       in->width_px, in->height_px, MAX_INPUT_PX);
    if (in->pitch_bytes[0] < 3 * in->width_px)
        return VX_FAIL(err, VX_PREPROCESS_BAD_SHAPE, "rows of %td bytes cannot hold %d pixels",
                       in->pitch_bytes[0], in->width_px);
    return 0;
}

/* Half to even, as the training code's centre crop rounds. */
static int half_of(int n) {
    return (int)lrint(n / 2.0);
}

/* The spans of both axes. For a crop, the picture is scaled by one factor until it covers the target;
 * the longer side is rounded down to whole pixels and cropped at the centre. */
static void fit_spans(const vx_preprocess_spec *spec, int w_px, int h_px, vx_axis_span *ret_x,
                      vx_axis_span *ret_y) {
    int full_w = spec->width_px, full_h = spec->height_px;
    if (spec->fit == VX_FIT_CROP) {
        int64_t wide = (int64_t)w_px * full_h, tall = (int64_t)h_px * full_w;
        if (wide > tall)
            full_w = (int)(wide / h_px);
        else
            full_h = (int)(tall / w_px);
    }
    *ret_x = (vx_axis_span){w_px, full_w, half_of(full_w - spec->width_px), spec->width_px};
    *ret_y = (vx_axis_span){h_px, full_h, half_of(full_h - spec->height_px), spec->height_px};
}

static int new_axis(const vx_preprocess_spec *spec, const vx_axis_span *span, vx_axis **ret_axis,
                    vx_err *err) {
    if (spec->filter == VX_RESIZE_BILINEAR)
        return vx_axis_new_two_taps(span, ret_axis, err);
    return vx_axis_new_antialias(span, spec->filter == VX_RESIZE_BICUBIC_ANTIALIAS, ret_axis, err);
}

int vx_preprocess_axes(const vx_preprocess_spec *spec, int w_px, int h_px, vx_axis **ret_x,
                       vx_axis **ret_y, vx_err *err) {
    vx_axis_span x_span, y_span;
    fit_spans(spec, w_px, h_px, &x_span, &y_span);
    int rc = new_axis(spec, &x_span, ret_x, err);
    return rc ? rc : new_axis(spec, &y_span, ret_y, err);
}

void vx_preprocess_values(const vx_preprocess_spec *spec, float ret_values[3][256]) {
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            ret_values[c][v] = ((float)v / 255.f - spec->mean[c]) / spec->std[c];
}

int vx_preprocess_resize(const vx_preprocess_spec *spec, const vx_frame *rgb, uint8_t *ret_rgb,
                         vx_err *err) {
    int rc = check_shapes(spec, rgb, err);
    if (rc)
        return rc;
    VX_AUTO(vx_axis) x = NULL;
    VX_AUTO(vx_axis) y = NULL;
    if ((rc = vx_preprocess_axes(spec, rgb->width_px, rgb->height_px, &x, &y, err)))
        return rc;
    return spec->filter == VX_RESIZE_BILINEAR ? vx_resample_two_taps(rgb, x, y, ret_rgb, err)
                                              : vx_resample_antialias(rgb, x, y, ret_rgb, err);
}

int vx_preprocess_frame(const vx_preprocess_spec *spec, const vx_frame *rgb, float *ret_tensor,
                        vx_err *err) {
    int rc = check_shapes(spec, rgb, err);
    if (rc)
        return rc;
    size_t n = (size_t)spec->width_px * (size_t)spec->height_px;
    VX_AUTO_FREE uint8_t *small = vx_new_array(n, 3);
    if (!small)
        return VX_FAIL(err, -ENOMEM, "out of memory for a %dx%d frame", spec->width_px,
                       spec->height_px);
    if ((rc = vx_preprocess_resize(spec, rgb, small, err)))
        return rc;
    float values[3][256]; /* a pixel has 256 values: the division is done once for each */
    vx_preprocess_values(spec, values);
    for (int c = 0; c < 3; c++) {
        float *plane = ret_tensor + (size_t)c * n;
        for (size_t i = 0; i < n; i++)
            plane[i] = values[c][small[3 * i + (size_t)c]];
    }
    return 0;
}
