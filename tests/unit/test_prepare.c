/* Pictures of a decoder on a GPU, prepared by the twin of the kernels, against the CPU's own path. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libavutil/pixdesc.h>

#include "media/av_frame.h"
#include "media/picture.h"
#include "preprocess/prepare.h"

enum { OUT = 56 };

typedef struct setting {
    int w, h, depth, matrix;
    int transfer; /* 0: SDR */
    bool full;
    vx_orientation orientation;
    vx_resize_filter filter;
    vx_resize_fit fit;
} setting;

static vx_preprocess_spec spec_of(const setting *s) {
    return (vx_preprocess_spec){.width_px = OUT,
                                .height_px = OUT,
                                .filter = s->filter,
                                .fit = s->fit,
                                .mean = {0.485f, 0.456f, 0.406f},
                                .std = {0.229f, 0.224f, 0.225f}};
}

/* What a decoder on the CPU gives: waves and noise, planar. */
static AVFrame *planar(const setting *s) {
    AVFrame *f = av_frame_alloc();
    f->format = s->depth == 8 ? AV_PIX_FMT_YUV420P : AV_PIX_FMT_YUV420P10LE;
    f->width = s->w;
    f->height = s->h;
    f->colorspace = (enum AVColorSpace)s->matrix;
    f->color_trc =
        s->transfer ? (enum AVColorTransferCharacteristic)s->transfer : AVCOL_TRC_UNSPECIFIED;
    f->color_range = s->full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    unsigned seed = (unsigned)(s->w * s->h + s->depth);
    for (int plane = 0; plane < 3; plane++) {
        int w = plane ? (s->w + 1) / 2 : s->w, h = plane ? (s->h + 1) / 2 : s->h;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                double wave = 128 + 70 * sin(x * 0.11 + plane) * cos(y * 0.07) +
                              (double)(rand_r(&seed) % 40) - 20;
                uint8_t *row = f->data[plane] + y * f->linesize[plane];
                if (s->depth == 8)
                    row[x] = (uint8_t)wave;
                else
                    ((uint16_t *)(void *)row)[x] = (uint16_t)(wave * 4);
            }
    }
    return f;
}

/* The same samples as NVDEC lays them: NV12, or P010 with the value in the high bits. */
static vx_frame *semiplanar(const setting *s, const AVFrame *f, uint8_t *memory) {
    int bytes = s->depth == 8 ? 1 : 2, columns = (s->w + 1) / 2, rows = (s->h + 1) / 2;
    ptrdiff_t pitch = (2 * columns * bytes + 255) / 256 * 256;
    vx_frame like = {.device = VX_FRAME_HOST,
                     .planes = {memory, memory + pitch * s->h},
                     .pitch_bytes = {pitch, pitch},
                     .width_px = s->w,
                     .height_px = s->h,
                     .layout = VX_FRAME_YUV_SEMIPLANAR,
                     .bit_depth = s->depth,
                     .sample_bytes = bytes,
                     .low_bits = s->depth == 8 ? 0 : 16 - s->depth,
                     .chroma_log2_w = 1,
                     .chroma_log2_h = 1,
                     .matrix = s->matrix,
                     .transfer = s->transfer ? s->transfer : VX_TRANSFER_UNSPECIFIED,
                     .full_range = s->full,
                     .orientation = s->orientation};
    for (int plane = 0; plane < 3; plane++)
        for (int y = 0; y < (plane ? rows : s->h); y++)
            for (int x = 0; x < (plane ? columns : s->w); x++) {
                const uint8_t *from = f->data[plane] + y * f->linesize[plane];
                uint8_t *to = memory + (plane ? pitch * s->h : 0) + y * pitch;
                int at = plane ? 2 * x + plane - 1 : x;
                if (bytes == 1)
                    to[at] = from[x];
                else
                    ((uint16_t *)(void *)to)[at] =
                        (uint16_t)(((const uint16_t *)(const void *)from)[x] << like.low_bits);
            }
    vx_frame *frame;
    assert_int_equal(vx_frame_new(&like, NULL, NULL, &frame, NULL), 0);
    return frame;
}

/* The largest difference, in grey levels, of the twin to the CPU's path. */
static double difference(const setting *s) {
    static uint8_t memory[4 << 20];
    static float expected[3 * OUT * OUT], got[3 * OUT * OUT];
    const vx_preprocess_spec spec = spec_of(s);
    AVFrame *f = planar(s);
    VX_AUTO(vx_picture) picture = vx_picture_new();
    VX_AUTO(vx_frame) decoded = NULL;
    assert_int_equal(vx_av_frame_wrap(f, s->orientation, 0, 0, &decoded, NULL), 0);
    vx_picture_set(picture, decoded);
    const vx_frame *rgb;
    assert_int_equal(vx_picture_rgb(picture, &rgb, NULL), 0);
    assert_int_equal(vx_preprocess_frame(&spec, rgb, expected, NULL), 0);

    VX_AUTO(vx_frame) frame = semiplanar(s, f, memory);
    VX_AUTO(vx_prepare_plan) plan = NULL;
    const vx_preprocess_job job = {frame, got};
    assert_int_equal(vx_prepare_plan_new(&spec, &job, 1, false, &plan, NULL), 0);
    assert_int_equal(vx_prepare_twin(plan, NULL), 0);
    av_frame_free(&f);
    double most = 0;
    for (int i = 0; i < 3 * OUT * OUT; i++) {
        double levels =
            fabs((double)(expected[i] - got[i])) * 255 * (double)spec.std[i / (OUT * OUT)];
        most = levels > most ? levels : most;
    }
    return most;
}

static void nv12_is_prepared_as_on_the_cpu_to_the_bit(void **state) {
    (void)state;
    const setting settings[] = {
        {.w = 320, .h = 240, .depth = 8, .matrix = VX_MATRIX_UNSPECIFIED},
        {.w = 640, .h = 360, .depth = 8, .matrix = VX_MATRIX_BT709},
        {.w = 201, .h = 131, .depth = 8, .matrix = VX_MATRIX_SMPTE170M},
        {.w = 64, .h = 720, .depth = 8, .matrix = VX_MATRIX_UNSPECIFIED, .full = true},
        {.w = 17, .h = 33, .depth = 8, .matrix = VX_MATRIX_BT2020_NCL}, /* enlarged */
        {.w = 640, .h = 360, .depth = 8, .matrix = VX_MATRIX_BT709, .fit = VX_FIT_CROP},
        {.w = 640,
         .h = 360,
         .depth = 8,
         .matrix = VX_MATRIX_BT709,
         .filter = VX_RESIZE_BICUBIC_ANTIALIAS},
        {.w = 640, .h = 360, .depth = 8, .matrix = VX_MATRIX_BT709, .filter = VX_RESIZE_BILINEAR},
        {.w = 31, .h = 720, .depth = 8, .matrix = VX_MATRIX_BT709, .filter = VX_RESIZE_BILINEAR},
    };
    for (size_t i = 0; i < VX_LEN(settings); i++)
        assert_true(difference(&settings[i]) == 0);
}

static void turned_pictures_are_prepared_upright(void **state) {
    (void)state;
    for (int turn = 0; turn < 8; turn++) {
        const setting s = {.w = 161,
                           .h = 90,
                           .depth = 8,
                           .matrix = VX_MATRIX_BT709,
                           .orientation = {turn & 1, turn & 2, turn & 4}};
        assert_true(difference(&s) == 0);
    }
}

static void p010_is_prepared_as_on_the_cpu_to_the_bit(void **state) {
    (void)state;
    const setting settings[] = {
        {.w = 640, .h = 360, .depth = 10, .matrix = VX_MATRIX_BT709},
        {.w = 320, .h = 240, .depth = 10, .matrix = VX_MATRIX_SMPTE170M, .full = true},
        {.w = 201, .h = 131, .depth = 10, .matrix = VX_MATRIX_BT709, .filter = VX_RESIZE_BILINEAR},
        {.w = 640, .h = 360, .depth = 10, .matrix = VX_MATRIX_BT2020_NCL, .fit = VX_FIT_CROP},
    };
    for (size_t i = 0; i < VX_LEN(settings); i++)
        assert_true(difference(&settings[i]) == 0);
}

static void hdr_is_prepared_as_on_the_cpu_to_the_bit(void **state) {
    (void)state;
    for (int hlg = 0; hlg < 2; hlg++) {
        const setting settings[] = {
            {.w = 320, .h = 240, .depth = 10, .matrix = VX_MATRIX_BT2020_NCL},
            {.w = 201,
             .h = 131,
             .depth = 10,
             .matrix = VX_MATRIX_BT2020_NCL,
             .orientation = {1, 1, 0}},
            {.w = 320, .h = 240, .depth = 8, .matrix = VX_MATRIX_BT709, .full = true},
            {.w = 160,
             .h = 90,
             .depth = 10,
             .matrix = VX_MATRIX_BT2020_NCL,
             .filter = VX_RESIZE_BILINEAR},
        };
        for (size_t i = 0; i < VX_LEN(settings); i++) {
            setting s = settings[i];
            s.transfer = hlg ? VX_TRANSFER_HLG : VX_TRANSFER_PQ;
            assert_true(difference(&s) == 0);
        }
    }
}

static void plan_of_many_pictures_gives_each_its_place(void **state) {
    (void)state;
    enum { N = 3 };
    const setting settings[N] = {{.w = 320, .h = 240, .depth = 8, .matrix = VX_MATRIX_BT709},
                                 {.w = 160, .h = 300, .depth = 10, .matrix = VX_MATRIX_BT709},
                                 {.w = 320,
                                  .h = 240,
                                  .depth = 8,
                                  .matrix = VX_MATRIX_BT709,
                                  .orientation = {.flip_x = true}}};
    static uint8_t memory[N][1 << 19];
    static float alone[N][3 * OUT * OUT], together[N][3 * OUT * OUT];
    static uint16_t half[N][3 * OUT * OUT];
    vx_preprocess_job jobs[N];
    const vx_preprocess_spec spec = spec_of(&settings[0]);
    for (int i = 0; i < N; i++) {
        AVFrame *f = planar(&settings[i]);
        jobs[i] = (vx_preprocess_job){semiplanar(&settings[i], f, memory[i]), alone[i]};
        av_frame_free(&f);
        VX_AUTO(vx_prepare_plan) plan = NULL;
        assert_int_equal(vx_prepare_plan_new(&spec, &jobs[i], 1, false, &plan, NULL), 0);
        assert_int_equal(vx_prepare_twin(plan, NULL), 0);
        jobs[i].place = together[i];
    }
    VX_AUTO(vx_prepare_plan) plan = NULL;
    VX_AUTO(vx_prepare_plan) bf16 = NULL;
    assert_int_equal(vx_prepare_plan_new(&spec, jobs, N, false, &plan, NULL), 0);
    assert_int_equal(vx_prepare_twin(plan, NULL), 0);
    assert_memory_equal(alone, together, sizeof alone);
    for (int i = 0; i < N; i++)
        jobs[i].place = half[i];
    assert_int_equal(vx_prepare_plan_new(&spec, jobs, N, true, &bf16, NULL), 0);
    assert_int_equal(vx_prepare_twin(bf16, NULL), 0);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < 3 * OUT * OUT; k++) {
            uint32_t bits = (uint32_t)half[i][k] << 16;
            float value;
            memcpy(&value, &bits, sizeof value);
            assert_true(fabsf(value - alone[i][k]) <= fabsf(alone[i][k]) / 256);
        }
        vx_frame_unref((vx_frame *)(uintptr_t)jobs[i].frame);
    }
}

static void what_only_the_cpu_prepares_is_refused(void **state) {
    (void)state;
    static uint8_t memory[1 << 16];
    static float place[3 * OUT * OUT];
    const setting s = {.w = 64, .h = 64, .depth = 8, .matrix = VX_MATRIX_BT709};
    AVFrame *f = planar(&s);
    VX_AUTO(vx_frame) frame = semiplanar(&s, f, memory);
    av_frame_free(&f);
    const vx_preprocess_job job = {frame, place};
    const vx_preprocess_spec spec = spec_of(&s);
    vx_prepare_plan *plan = NULL;
    frame->matrix = 8; /* YCgCo */
    assert_int_equal(vx_prepare_plan_new(&spec, &job, 1, false, &plan, NULL),
                     VX_PREPROCESS_BAD_SHAPE);
    frame->matrix = VX_MATRIX_BT709;
    frame->layout = VX_FRAME_YUV_PLANAR;
    assert_int_equal(vx_prepare_plan_new(&spec, &job, 1, false, &plan, NULL),
                     VX_PREPROCESS_BAD_SHAPE);
    frame->layout = VX_FRAME_YUV_SEMIPLANAR;
    assert_null(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nv12_is_prepared_as_on_the_cpu_to_the_bit),
        cmocka_unit_test(turned_pictures_are_prepared_upright),
        cmocka_unit_test(p010_is_prepared_as_on_the_cpu_to_the_bit),
        cmocka_unit_test(hdr_is_prepared_as_on_the_cpu_to_the_bit),
        cmocka_unit_test(plan_of_many_pictures_gives_each_its_place),
        cmocka_unit_test(what_only_the_cpu_prepares_is_refused),
    };
    return cmocka_run_group_tests_name("prepare", tests, NULL, NULL);
}
