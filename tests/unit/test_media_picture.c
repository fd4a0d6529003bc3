/* Media pictures: luma, RGB and turning, against arithmetic written out pixel by pixel. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libavutil/display.h>
#include <libavutil/pixdesc.h>
#include <math.h>

#include "media/av_frame.h"
#include "media/packet_table.h"

/* Gives the picture the frame, which the caller keeps until the next one. */
static vx_frame *show(vx_picture *picture, const AVFrame *f, vx_orientation orientation) {
    vx_frame *frame;
    assert_int_equal(vx_av_frame_wrap(f, orientation, 0, 0, &frame, NULL), 0);
    vx_picture_set(picture, frame);
    return frame;
}

static AVFrame *new_frame(enum AVPixelFormat format, int w, int h) {
    AVFrame *f = av_frame_alloc();
    f->format = format;
    f->width = w;
    f->height = h;
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    return f;
}

/* Luma samples of all values that fit the depth, other planes in the middle. */
static AVFrame *ramp_frame(enum AVPixelFormat format, int w, int h) {
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(format);
    AVFrame *f = new_frame(format, w, h);
    int depth = desc->comp[0].depth;
    for (int plane = 1; plane < 4 && f->data[plane]; plane++) {
        int rows = AV_CEIL_RSHIFT(h, desc->log2_chroma_h);
        for (int i = 0; i < rows * f->linesize[plane]; i++)
            f->data[plane][i] = 128;
    }
    for (int y = 0; y < h; y++) {
        uint8_t *row = f->data[0] + y * f->linesize[0];
        for (int x = 0; x < w; x++) {
            unsigned value = (unsigned)(y * w + x) * 37 & ((1u << depth) - 1);
            if (depth == 8)
                row[x] = (uint8_t)value;
            else
                ((uint16_t *)(void *)row)[x] = (uint16_t)(value << desc->comp[0].shift);
        }
    }
    return f;
}

static void expect_luma_ramp(enum AVPixelFormat format, int depth, bool full) {
    enum { W = 61, H = 40 };
    VX_AUTO(vx_picture) picture = vx_picture_new();
    AVFrame *f = ramp_frame(format, W, H);
    f->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_UNSPECIFIED;
    VX_AUTO(vx_frame) frame = show(picture, f, (vx_orientation){0});
    assert_non_null(frame);
    const vx_frame *luma;
    assert_int_equal(vx_picture_luma(picture, &luma, NULL), 0);
    assert_int_equal(luma->width_px, W);
    assert_int_equal(luma->height_px, H);
    double top = (1 << depth) - 1, unit = 1 << (depth - 8);
    for (int i = 0; i < W * H; i++) {
        double value = i * 37 & ((1 << depth) - 1);
        value = full ? value * 255 / top : (value - 16 * unit) * 255 / (219 * unit);
        value = fmin(fmax(floor(value + 0.5), 0), 255);
        assert_int_equal(luma->planes[0][i / W * luma->pitch_bytes[0] + i % W], (int)value);
    }
    av_frame_free(&f);
}

static void luma_of_every_depth_and_range_is_stretched_to_a_byte(void **state) {
    (void)state;
    for (int full = 0; full < 2; full++) {
        expect_luma_ramp(AV_PIX_FMT_YUV420P, 8, full);
        expect_luma_ramp(AV_PIX_FMT_NV12, 8, full);
        expect_luma_ramp(AV_PIX_FMT_GRAY8, 8, full);
        expect_luma_ramp(AV_PIX_FMT_YUV422P10LE, 10, full);
        expect_luma_ramp(AV_PIX_FMT_P010LE, 10, full);
        expect_luma_ramp(AV_PIX_FMT_YUV444P12LE, 12, full);
    }
}

static void luma_of_other_layouts_goes_through_conversion(void **state) {
    (void)state;
    const enum AVPixelFormat formats[] = {AV_PIX_FMT_RGB24, AV_PIX_FMT_GBRP, AV_PIX_FMT_BGRA};
    for (size_t i = 0; i < VX_LEN(formats); i++) {
        VX_AUTO(vx_picture) picture = vx_picture_new();
        AVFrame *f = new_frame(formats[i], 32, 32);
        for (int plane = 0; plane < 4 && f->data[plane]; plane++)
            memset(f->data[plane], 200, (size_t)(f->linesize[plane] * 32));
        VX_AUTO(vx_frame) frame = show(picture, f, (vx_orientation){0});
        assert_non_null(frame);
        const vx_frame *luma;
        assert_int_equal(vx_picture_luma(picture, &luma, NULL), 0);
        for (int k = 0; k < 32 * 32; k++)
            assert_in_range(luma->planes[0][k / 32 * luma->pitch_bytes[0] + k % 32], 199, 201);
        av_frame_free(&f);
    }
}

/* ---- RGB of planar YUV ---- */

static double clamp_byte(double value) {
    return fmin(fmax(value, 0), 255);
}

static double sample_of(const AVFrame *f, int plane, int x, int y) {
    const uint8_t *row = f->data[plane] + y * f->linesize[plane];
    bool deep = av_pix_fmt_desc_get(f->format)->comp[0].depth > 8;
    return deep ? ((const uint16_t *)(const void *)row)[x] : row[x];
}

/* Chroma minus that of grey at luma position (x, y): linear between samples that lie on even columns and
 * half-way between rows. */
static double chroma_at(const AVFrame *f, int plane, int x, int y) {
    double grey = 1 << (av_pix_fmt_desc_get(f->format)->comp[0].depth - 1);
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(f->format);
    int columns = AV_CEIL_RSHIFT(f->width, desc->log2_chroma_w);
    int rows = AV_CEIL_RSHIFT(f->height, desc->log2_chroma_h);
    double u = desc->log2_chroma_w ? x / 2.0 : x, v = desc->log2_chroma_h ? (y - 0.5) / 2 : y;
    double sum = 0;
    for (int dy = 0; dy < 2; dy++) {
        for (int dx = 0; dx < 2; dx++) {
            int i = (int)floor(u) + dx, j = (int)floor(v) + dy;
            double weight = (1 - fabs(u - i)) * (1 - fabs(v - j));
            i = i < columns ? i : columns - 1;
            j = j < 0 ? 0 : j < rows ? j : rows - 1;
            sum += weight * (sample_of(f, plane, i, j) - grey);
        }
    }
    return sum;
}

static void expect_rgb_by_the_book(enum AVPixelFormat format, int matrix, double kr, double kb,
                                   bool full) {
    enum { W = 51, H = 38 };
    AVFrame *f = new_frame(format, W, H);
    unsigned seed = (unsigned)format * 31 + (unsigned)matrix;
    int depth = av_pix_fmt_desc_get(format)->comp[0].depth;
    int chroma_rows = AV_CEIL_RSHIFT(H, av_pix_fmt_desc_get(format)->log2_chroma_h);
    for (int plane = 0; plane < 3; plane++)
        for (int i = 0; i < f->linesize[plane] * (plane ? chroma_rows : H); i++)
            f->data[plane][i] = (uint8_t)rand_r(&seed);
    for (int plane = 0; plane < 3 && depth > 8; plane++)
        for (int i = 0; i < f->linesize[plane] / 2 * (plane ? chroma_rows : H); i++)
            ((uint16_t *)(void *)f->data[plane])[i] &= (uint16_t)((1 << depth) - 1);
    f->colorspace = matrix;
    f->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    VX_AUTO(vx_picture) picture = vx_picture_new();
    VX_AUTO(vx_frame) frame = show(picture, f, (vx_orientation){0});
    assert_non_null(frame);
    const vx_frame *rgb;
    assert_int_equal(vx_picture_rgb(picture, &rgb, NULL), 0);
    for (int i = 0; i < W * H; i++) {
        int x = i % W, y = i / W;
        double unit = 1 << (depth - 8), top = (1 << depth) - 1, luma = sample_of(f, 0, x, y);
        double c = full ? 255 / top : 255 / (224 * unit);
        luma = full ? luma * 255 / top : (luma - 16 * unit) * 255 / (219 * unit);
        double cb = c * chroma_at(f, 1, x, y), cr = c * chroma_at(f, 2, x, y);
        double r = luma + 2 * (1 - kr) * cr, b = luma + 2 * (1 - kb) * cb;
        double g = (luma - kr * r - kb * b) / (1 - kr - kb);
        const uint8_t *got = rgb->planes[0] + y * rgb->pitch_bytes[0] + 3 * x;
        assert_true(fabs(got[0] - clamp_byte(r)) < 1);
        assert_true(fabs(got[1] - clamp_byte(g)) < 1);
        assert_true(fabs(got[2] - clamp_byte(b)) < 1);
    }
    av_frame_free(&f);
}

static void rgb_of_planar_yuv_is_by_the_book(void **state) {
    (void)state;
    const enum AVPixelFormat formats[] = {
        AV_PIX_FMT_YUV420P,   AV_PIX_FMT_YUV422P,   AV_PIX_FMT_YUV444P,   AV_PIX_FMT_YUV440P,
        AV_PIX_FMT_YUV420P10, AV_PIX_FMT_YUV422P10, AV_PIX_FMT_YUV444P12, AV_PIX_FMT_YUV420P12};
    for (size_t i = 0; i < VX_LEN(formats); i++) {
        for (int full = 0; full < 2; full++) {
            expect_rgb_by_the_book(formats[i], AVCOL_SPC_BT709, 0.2126, 0.0722, full);
            expect_rgb_by_the_book(formats[i], AVCOL_SPC_SMPTE170M, 0.299, 0.114, full);
            expect_rgb_by_the_book(formats[i], AVCOL_SPC_BT2020_NCL, 0.2627, 0.0593, full);
        }
    }
    expect_rgb_by_the_book(AV_PIX_FMT_YUV420P, AVCOL_SPC_UNSPECIFIED, 0.299, 0.114, false);
    expect_rgb_by_the_book(AV_PIX_FMT_YUVJ420P, AVCOL_SPC_BT709, 0.2126, 0.0722, true);
}

/* ---- turning ---- */

/* The stream's display matrix turned into where a stored pixel is shown. */
static void expect_turned(int a, int b, int c, int d, int rotation_deg) {
    enum { W = 70, H = 45 };
    AVFormatContext *fmt = avformat_alloc_context();
    AVStream *stream = avformat_new_stream(fmt, NULL);
    int32_t matrix[9] = {a * 65536, b * 65536, 0, c * 65536, d * 65536, 0, 0, 0, 1 << 30};
#if LIBAVCODEC_VERSION_MAJOR >= 61
    AVCodecParameters *par = stream->codecpar;
    AVPacketSideData *side =
        av_packet_side_data_new(&par->coded_side_data, &par->nb_coded_side_data,
                                AV_PKT_DATA_DISPLAYMATRIX, sizeof(matrix), 0);
    memcpy(side->data, matrix, sizeof(matrix));
#else
    memcpy(av_stream_new_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, sizeof(matrix)), matrix,
           sizeof(matrix));
#endif
    int got_deg;
    vx_orientation orientation = vx_orientation_of(stream, &got_deg);
    VX_AUTO(vx_picture) picture = vx_picture_new();
    assert_int_equal(got_deg, rotation_deg);
    AVFrame *f = ramp_frame(AV_PIX_FMT_GRAY8, W, H);
    f->color_range = AVCOL_RANGE_JPEG;
    VX_AUTO(vx_frame) frame = show(picture, f, orientation);
    assert_non_null(frame);
    const vx_frame *luma;
    assert_int_equal(vx_picture_luma(picture, &luma, NULL), 0);
    int w = luma->width_px, h = luma->height_px;
    assert_int_equal(w, a ? W : H);
    assert_int_equal(h, a ? H : W);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            int to_x = a * x + c * y, to_y = b * x + d * y;
            to_x += to_x < 0 || a + c < 0 ? w - 1 : 0;
            to_y += to_y < 0 || b + d < 0 ? h - 1 : 0;
            assert_int_equal(luma->planes[0][to_y * luma->pitch_bytes[0] + to_x],
                             f->data[0][y * f->linesize[0] + x]);
        }
    }
    av_frame_free(&f);
    avformat_free_context(fmt);
}

static void turning_follows_the_display_matrix(void **state) {
    (void)state;
    expect_turned(1, 0, 0, 1, 0);
    expect_turned(0, 1, -1, 0, 90);
    expect_turned(-1, 0, 0, -1, 180);
    expect_turned(0, -1, 1, 0, 270);
    expect_turned(-1, 0, 0, 1, 0); /* mirrored */
    expect_turned(1, 0, 0, -1, 180);
    expect_turned(0, 1, 1, 0, 270);
    expect_turned(0, -1, -1, 0, 90);
}

static void one_picture_serves_frames_of_changing_size_and_format(void **state) {
    (void)state;
    VX_AUTO(vx_picture) picture = vx_picture_new();
    const int sizes[][2] = {{64, 32}, {200, 300}, {16, 16}, {31, 17}};
    const enum AVPixelFormat formats[] = {AV_PIX_FMT_YUV420P, AV_PIX_FMT_YUVJ422P,
                                          AV_PIX_FMT_YUV420P10LE, AV_PIX_FMT_RGB24};
    for (size_t i = 0; i < VX_LEN(sizes); i++) {
        AVFrame *f = new_frame(formats[i], sizes[i][0], sizes[i][1]);
        for (int plane = 0; plane < 4 && f->buf[plane]; plane++)
            memset(f->buf[plane]->data, 0x02, (size_t)f->buf[plane]->size);
        VX_AUTO(vx_frame) frame = show(picture, f, (vx_orientation){.transpose = true});
        assert_non_null(frame);
        const vx_frame *view;
        assert_int_equal(vx_picture_rgb(picture, &view, NULL), 0);
        assert_int_equal(view->width_px, sizes[i][1]);
        assert_int_equal(view->height_px, sizes[i][0]);
        assert_true(view->pitch_bytes[0] >= 3 * view->width_px);
        assert_int_equal(vx_picture_luma(picture, &view, NULL), 0);
        assert_int_equal(view->width_px, sizes[i][1]);
        assert_true(view->pitch_bytes[0] >= view->width_px);
        assert_int_equal(vx_picture_rgb_within(picture, 1, 10, &view, NULL), 0);
        assert_int_equal(view->width_px > view->height_px ? view->width_px : view->height_px, 10);
        av_frame_free(&f);
    }
}

/* ---- frames ---- */

static void expect_layout(enum AVPixelFormat format, vx_frame_layout layout, int depth,
                          int low_bits, int chroma_log2_w, int chroma_log2_h) {
    VX_AUTO(vx_picture) picture = vx_picture_new();
    AVFrame *f = new_frame(format, 64, 32); /* goes before the frame, which has a reference */
    VX_AUTO(vx_frame) frame = show(picture, f, (vx_orientation){.flip_x = true});
    assert_non_null(frame);
    assert_int_equal(frame->device, VX_FRAME_HOST);
    assert_int_equal(frame->layout, layout);
    assert_int_equal(frame->width_px, 64);
    assert_int_equal(frame->height_px, 32);
    assert_true(frame->orientation.flip_x);
    assert_ptr_equal(frame->planes[0], f->data[0]); /* shared, not copied */
    if (layout != VX_FRAME_OTHER) {
        assert_int_equal(frame->bit_depth, depth);
        assert_int_equal(frame->sample_bytes, depth > 8 ? 2 : 1);
        assert_int_equal(frame->low_bits, low_bits);
        assert_int_equal(frame->chroma_log2_w, chroma_log2_w);
        assert_int_equal(frame->chroma_log2_h, chroma_log2_h);
    }
    av_frame_free(&f);
}

static void frames_tell_how_their_samples_lie(void **state) {
    (void)state;
    expect_layout(AV_PIX_FMT_YUV420P, VX_FRAME_YUV_PLANAR, 8, 0, 1, 1);
    expect_layout(AV_PIX_FMT_YUV420P10LE, VX_FRAME_YUV_PLANAR, 10, 0, 1, 1);
    expect_layout(AV_PIX_FMT_YUV422P, VX_FRAME_YUV_PLANAR, 8, 0, 1, 0);
    expect_layout(AV_PIX_FMT_NV12, VX_FRAME_YUV_SEMIPLANAR, 8, 0, 1, 1);
    expect_layout(AV_PIX_FMT_P010LE, VX_FRAME_YUV_SEMIPLANAR, 10, 6, 1, 1);
    expect_layout(AV_PIX_FMT_GRAY8, VX_FRAME_GRAY, 8, 0, 0, 0);
    expect_layout(AV_PIX_FMT_RGB24, VX_FRAME_OTHER, 0, 0, 0, 0);
    expect_layout(AV_PIX_FMT_NV21, VX_FRAME_OTHER, 0, 0, 0, 0); /* Cr before Cb */
    expect_layout(AV_PIX_FMT_YUVA420P, VX_FRAME_OTHER, 0, 0, 0, 0);
    expect_layout(AV_PIX_FMT_YUV420P10BE, VX_FRAME_OTHER, 0, 0, 0, 0);
}

static void picture_on_a_device_is_not_converted(void **state) {
    (void)state;
    VX_AUTO(vx_picture) picture = vx_picture_new();
    const vx_frame frame = {.device = 0, .width_px = 64, .height_px = 64};
    const vx_frame *view;
    vx_picture_set(picture, &frame);
    assert_ptr_equal(vx_picture_frame(picture), &frame);
    assert_int_equal(vx_picture_rgb(picture, &view, NULL), -EINVAL);
    assert_int_equal(vx_picture_luma(picture, &view, NULL), -EINVAL);
    assert_int_equal(vx_picture_rgb_small(picture, 8, 8, &view, NULL), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_tell_how_their_samples_lie),
        cmocka_unit_test(picture_on_a_device_is_not_converted),
        cmocka_unit_test(luma_of_every_depth_and_range_is_stretched_to_a_byte),
        cmocka_unit_test(luma_of_other_layouts_goes_through_conversion),
        cmocka_unit_test(rgb_of_planar_yuv_is_by_the_book),
        cmocka_unit_test(turning_follows_the_display_matrix),
        cmocka_unit_test(one_picture_serves_frames_of_changing_size_and_format),
    };
    return cmocka_run_group_tests_name("media_picture", tests, NULL, NULL);
}
