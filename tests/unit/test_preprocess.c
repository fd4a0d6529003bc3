/* Resize and normalisation; tests/fingerprint compares with Pillow and OpenCV themselves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "preprocess/preprocess.h"

static const vx_preprocess_spec plain = {
    .width_px = 4, .height_px = 4, .mean = {0, 0, 0}, .std = {1, 1, 1}};

static int resize(const vx_preprocess_spec *spec, const uint8_t *rgb, int w, int h, int stride,
                  uint8_t *ret_rgb, vx_err *err) {
    const vx_frame picture = vx_frame_view(VX_FRAME_RGB, rgb, w, h, stride);
    return vx_preprocess_resize(spec, &picture, ret_rgb, err);
}

static int frame(const vx_preprocess_spec *spec, const uint8_t *rgb, int w, int h, int stride,
                 float *ret_tensor, vx_err *err) {
    const vx_frame picture = vx_frame_view(VX_FRAME_RGB, rgb, w, h, stride);
    return vx_preprocess_frame(spec, &picture, ret_tensor, err);
}

static uint8_t *noise(int w, int h, int stride) {
    uint8_t *rgb = vx_new_array((size_t)h * (size_t)stride, 1);
    assert_non_null(rgb);
    uint32_t seed = 7;
    for (int i = 0; i < h; i++)
        for (int k = 0; k < 3 * w; k++)
            rgb[i * stride + k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    return rgb;
}

static void resize_to_same_size_is_identity(void **state) {
    (void)state;
    VX_AUTO_FREE uint8_t *rgb = noise(37, 23, 3 * 37);
    uint8_t out[37 * 23 * 3];
    for (int filter = 0; filter < 3; filter++) {
        vx_preprocess_spec spec = {.width_px = 37, .height_px = 23, .filter = filter};
        assert_int_equal(resize(&spec, rgb, 37, 23, 3 * 37, out, NULL), 0);
        assert_memory_equal(out, rgb, sizeof out);
    }
}

static void resize_by_half_averages_a_triangle(void **state) {
    (void)state;
    /* One row, 8 → 4: inner outputs weigh four pixels 1:3:3:1. */
    uint8_t row[8 * 3], out[4 * 3];
    for (int i = 0; i < 8; i++)
        memset(row + 3 * i, i * 16, 3);
    vx_preprocess_spec spec = {.width_px = 4, .height_px = 1};
    assert_int_equal(resize(&spec, row, 8, 1, sizeof row, out, NULL), 0);
    assert_int_equal(out[3], (16 * 1 + 32 * 3 + 48 * 3 + 64 * 1 + 4) / 8);
    assert_int_equal(out[6], (48 * 1 + 64 * 3 + 80 * 3 + 96 * 1 + 4) / 8);
    spec.filter = VX_RESIZE_BILINEAR; /* no antialias: the two pixels at the centre */
    assert_int_equal(resize(&spec, row, 8, 1, sizeof row, out, NULL), 0);
    assert_int_equal(out[3], (32 + 48) / 2);
}

static void resize_with_padded_rows_ignores_the_padding(void **state) {
    (void)state;
    VX_AUTO_FREE uint8_t *tight = noise(61, 40, 3 * 61);
    VX_AUTO_FREE uint8_t *padded = vx_new_array(40, 256);
    memset(padded, 0xee, 40 * 256);
    for (int i = 0; i < 40; i++)
        memcpy(padded + i * 256, tight + i * 3 * 61, 3 * 61);
    uint8_t a[4 * 4 * 3], b[4 * 4 * 3];
    for (int filter = 0; filter < 3; filter++) {
        vx_preprocess_spec spec = plain;
        spec.filter = filter;
        assert_int_equal(resize(&spec, tight, 61, 40, 3 * 61, a, NULL), 0);
        assert_int_equal(resize(&spec, padded, 61, 40, 256, b, NULL), 0);
        assert_memory_equal(a, b, sizeof a);
    }
}

static void crop_fit_equals_squash_of_the_centre(void **state) {
    (void)state;
    /* 64x48 → 24x24: scaled to 32x24, columns 4..27 kept: input columns 8..55 and no others. */
    VX_AUTO_FREE uint8_t *rgb = noise(64, 48, 3 * 64);
    uint8_t cropped[24 * 24 * 3], whole[32 * 24 * 3];
    vx_preprocess_spec spec = {.width_px = 24, .height_px = 24, .fit = VX_FIT_CROP};
    assert_int_equal(resize(&spec, rgb, 64, 48, 3 * 64, cropped, NULL), 0);
    spec = (vx_preprocess_spec){.width_px = 32, .height_px = 24};
    assert_int_equal(resize(&spec, rgb, 64, 48, 3 * 64, whole, NULL), 0);
    for (int i = 0; i < 24; i++)
        assert_memory_equal(cropped + i * 24 * 3, whole + (i * 32 + 4) * 3, 24 * 3);
}

static void frame_is_channel_major_and_normalised(void **state) {
    (void)state;
    uint8_t rgb[4 * 4 * 3];
    for (int i = 0; i < 16; i++) {
        rgb[3 * i] = (uint8_t)i;
        rgb[3 * i + 1] = 128;
        rgb[3 * i + 2] = 255;
    }
    vx_preprocess_spec spec = plain;
    memcpy(spec.mean, (float[3]){0.485f, 0.456f, 0.406f}, sizeof spec.mean);
    memcpy(spec.std, (float[3]){0.229f, 0.224f, 0.225f}, sizeof spec.std);
    float tensor[3 * 16];
    assert_int_equal(frame(&spec, rgb, 4, 4, 12, tensor, NULL), 0);
    for (int i = 0; i < 16; i++) {
        assert_float_equal(tensor[i], ((double)i / 255 - 0.485) / 0.229, 1e-6);
        assert_float_equal(tensor[16 + i], (128.0 / 255 - 0.456) / 0.224, 1e-6);
        assert_float_equal(tensor[32 + i], (1 - 0.406) / 0.225, 1e-6);
    }
}

static void shapes_out_of_range_are_refused(void **state) {
    (void)state;
    uint8_t rgb[12] = {0};
    float tensor[64];
    const struct {
        int w, h, stride, out_w, out_h;
    } bad[] = {{0, 1, 12, 4, 4},     {1, 0, 12, 4, 4},   {-1, 1, 12, 4, 4}, {8193, 1, 30000, 4, 4},
               {1, 8193, 12, 4, 4},  {4, 1, 11, 4, 4},   {1, 1, -3, 4, 4},  {1, 1, 12, 0, 4},
               {1, 1, 12, 4, -2000}, {1, 1, 12, 1025, 4}};
    for (size_t i = 0; i < VX_LEN(bad); i++) {
        vx_preprocess_spec spec = plain;
        spec.width_px = bad[i].out_w;
        spec.height_px = bad[i].out_h;
        vx_err err;
        assert_int_equal(frame(&spec, rgb, bad[i].w, bad[i].h, bad[i].stride, tensor, &err),
                         VX_PREPROCESS_BAD_SHAPE);
        assert_true(strlen(err.msg) > 10);
    }
}

static void pictures_that_are_not_rgb_in_host_memory_are_refused(void **state) {
    (void)state;
    uint8_t pixels[48] = {0};
    float tensor[64];
    vx_frame gray = vx_frame_view(VX_FRAME_GRAY, pixels, 4, 4, 12);
    vx_frame on_device = vx_frame_view(VX_FRAME_RGB, pixels, 4, 4, 12);
    on_device.device = 0;
    assert_int_equal(vx_preprocess_frame(&plain, &gray, tensor, NULL), VX_PREPROCESS_BAD_SHAPE);
    assert_int_equal(vx_preprocess_frame(&plain, &on_device, tensor, NULL),
                     VX_PREPROCESS_BAD_SHAPE);
}

static void one_pixel_picture_fills_the_frame(void **state) {
    (void)state;
    const uint8_t rgb[3] = {10, 20, 30};
    uint8_t out[4 * 4 * 3];
    for (int filter = 0; filter < 3; filter++)
        for (int fit = 0; fit < 2; fit++) {
            vx_preprocess_spec spec = plain;
            spec.filter = filter;
            spec.fit = fit;
            assert_int_equal(resize(&spec, rgb, 1, 1, 3, out, NULL), 0);
            for (int i = 0; i < 16; i++)
                assert_memory_equal(out + 3 * i, rgb, 3);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_to_same_size_is_identity),
        cmocka_unit_test(resize_by_half_averages_a_triangle),
        cmocka_unit_test(resize_with_padded_rows_ignores_the_padding),
        cmocka_unit_test(crop_fit_equals_squash_of_the_centre),
        cmocka_unit_test(frame_is_channel_major_and_normalised),
        cmocka_unit_test(shapes_out_of_range_are_refused),
        cmocka_unit_test(pictures_that_are_not_rgb_in_host_memory_are_refused),
        cmocka_unit_test(one_pixel_picture_fills_the_frame),
    };
    return cmocka_run_group_tests_name("preprocess", tests, NULL, NULL);
}
