/* Pictures at 48x27 as a card makes them, by the twins of its kernels, against libswscale, which makes those of the
 * CPU. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "card_fake.h"
#include "clip/small_pictures.h"
#include "clip_fixture.h"
#include "media/av_frame.h"
#include "media/picture.h"

typedef enum pattern { NOISE, BLOCKS, N_PATTERNS } pattern;

/* What a decoder on the CPU gives. */
static AVFrame *planar(int w, int h, int matrix, bool full, pattern kind) {
    AVFrame *f = av_frame_alloc();
    f->format = AV_PIX_FMT_YUV420P;
    f->width = w;
    f->height = h;
    f->colorspace = (enum AVColorSpace)matrix;
    f->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    assert_int_equal(av_frame_get_buffer(f, 0), 0);
    unsigned seed = (unsigned)(w * h + matrix);
    for (int plane = 0; plane < 3; plane++)
        for (int y = 0; y < (plane ? (h + 1) / 2 : h); y++)
            for (int x = 0; x < (plane ? (w + 1) / 2 : w); x++)
                f->data[plane][y * f->linesize[plane] + x] =
                    kind == NOISE ? (uint8_t)(rand_r(&seed) % 256)
                                  : (uint8_t)((x / (13 + plane) + y / (9 + plane)) % 2 ? 240 : 16);
    return f;
}

/* The same as a card's decoder lays it. */
static vx_frame nv12_of(const AVFrame *f, uint8_t *memory) {
    int w = (f->width + 1) / 2, h = (f->height + 1) / 2;
    ptrdiff_t pitch = (2 * w + 255) / 256 * 256;
    uint8_t *chroma = memory + pitch * f->height;
    for (int y = 0; y < f->height; y++)
        memcpy(memory + y * pitch, f->data[0] + y * f->linesize[0], (size_t)f->width);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < 2 * w; x++)
            chroma[y * pitch + x] = f->data[1 + x % 2][y * f->linesize[1 + x % 2] + x / 2];
    return (vx_frame){.device = 0,
                      .planes = {memory, chroma},
                      .pitch_bytes = {pitch, pitch},
                      .width_px = f->width,
                      .height_px = f->height,
                      .layout = VX_FRAME_YUV_SEMIPLANAR,
                      .bit_depth = 8,
                      .sample_bytes = 1,
                      .chroma_log2_w = 1,
                      .chroma_log2_h = 1,
                      .matrix = (int)f->colorspace,
                      .full_range = f->color_range == AVCOL_RANGE_JPEG};
}

/* By libswscale. */
static void expect_of_cpu(AVFrame *f, const uint8_t *rgb, const char *what) {
    VX_AUTO(vx_frame) frame = NULL;
    vx_picture *picture = vx_picture_new();
    const vx_frame *wanted;
    assert_int_equal(vx_av_frame_wrap(f, (vx_orientation){0}, 0, 0, &frame, NULL), 0);
    vx_picture_set(picture, frame);
    assert_int_equal(vx_picture_rgb_small(picture, VX_SMALL_WIDTH, VX_SMALL_HEIGHT, &wanted, NULL),
                     0);
    for (int y = 0; y < VX_SMALL_HEIGHT; y++)
        if (memcmp(rgb + y * VX_SMALL_WIDTH * 3, wanted->planes[0] + y * wanted->pitch_bytes[0],
                   VX_SMALL_WIDTH * 3))
            fail_msg("%s: row %d differs", what, y);
    vx_picture_free(picture);
}

static void pictures_of_the_card_are_those_of_the_cpu_to_the_bit(void **state) {
    (void)state;
    static const struct {
        int w, h, matrix;
        bool full;
    } cases[] = {
        {1920, 1080, VX_MATRIX_BT709, false},    {1920, 1079, VX_MATRIX_UNSPECIFIED, false},
        {1279, 721, VX_MATRIX_BT2020_NCL, true}, {720, 1280, VX_MATRIX_SMPTE170M, true},
        {160, 90, VX_MATRIX_UNSPECIFIED, false}, {95, 53, VX_MATRIX_BT470BG, false}};
    vx_card *card = fake_card(0);
    for (size_t i = 0; i < VX_LEN(cases); i++)
        for (pattern kind = 0; kind < N_PATTERNS; kind++) {
            uint8_t rgb[VX_SMALL_BYTES], twin[VX_SMALL_BYTES];
            char what[64];
            VX_AUTO(vx_small_plan) plan = NULL;
            AVFrame *f = planar(cases[i].w, cases[i].h, cases[i].matrix, cases[i].full, kind);
            VX_AUTO_FREE uint8_t *memory =
                malloc((size_t)(cases[i].w + 512) * (size_t)(cases[i].h + 2) * 2);
            vx_frame frame = nv12_of(f, memory);
            assert_int_equal(vx_small_plan_new(cases[i].w, cases[i].h, &plan, NULL), 0);
            assert_int_equal(vx_small_on_card(plan, &frame, card, rgb, NULL), 0);
            assert_int_equal(vx_small_twin(plan, &frame, twin, NULL), 0);
            assert_memory_equal(rgb, twin, sizeof rgb);
            snprintf(what, sizeof what, "%dx%d, pattern %d", cases[i].w, cases[i].h, (int)kind);
            expect_of_cpu(f, rgb, what);
            av_frame_free(&f);
        }
    vx_card_free(card);
    assert_true(fake_is_empty());
}

static void pictures_that_the_card_does_not_make_are_refused(void **state) {
    (void)state;
    uint8_t memory[640 * 480 * 2] = {0}, rgb[VX_SMALL_BYTES];
    VX_AUTO(vx_small_plan) plan = NULL;
    VX_AUTO(vx_small_plan) none = NULL;
    AVFrame *f = planar(640, 360, VX_MATRIX_BT709, false, NOISE);
    const vx_frame good = nv12_of(f, memory);
    av_frame_free(&f);
    assert_int_equal(vx_small_plan_new(640, 360, &plan, NULL), 0);
    vx_frame bad[6] = {good, good, good, good, good, good};
    bad[0].bit_depth = 10;
    bad[1].orientation.transpose = true;
    bad[2].orientation.flip_x = true;
    bad[3].width_px = 638;
    bad[4].matrix = 4; /* FCC */
    bad[5].layout = VX_FRAME_YUV_PLANAR;
    assert_int_equal(vx_small_twin(plan, &good, rgb, NULL), 0);
    for (size_t i = 0; i < VX_LEN(bad); i++)
        assert_int_equal(vx_small_twin(plan, &bad[i], rgb, NULL), -ENOTSUP);
    assert_int_equal(vx_small_plan_new(93, 53, &none, NULL), -ENOTSUP);
    assert_int_equal(vx_small_plan_new(3840, 2160, &none, NULL), -ENOTSUP);
}

static void each_call_of_the_card_may_fail(void **state) {
    (void)state;
    uint8_t rgb[VX_SMALL_BYTES];
    VX_AUTO_FREE uint8_t *memory = malloc(640 * 480 * 2);
    VX_AUTO(vx_small_plan) plan = NULL;
    AVFrame *f = planar(640, 360, VX_MATRIX_BT709, false, NOISE);
    vx_frame frame = nv12_of(f, memory);
    av_frame_free(&f);
    assert_int_equal(vx_small_plan_new(640, 360, &plan, NULL), 0);
    for (int call = FAKE_MEM_ALLOC; call <= FAKE_LAUNCH; call++) {
        vx_card *card = fake_card(0);
        fake.fail_at[call] = 1;
        vx_err err = {0};
        assert_true(vx_small_on_card(plan, &frame, card, rgb, &err) < 0);
        assert_true(err.msg[0]);
        vx_card_free(card);
        assert_true(fake_is_empty());
    }
}

/* ---- the ring ---- */

/* In place of the kernels, as the fake decoder has no pixels: each picture is grey as its decoder numbers it. */
static void numbered(const char *name, int z, void **args) {
    (void)z;
    if (strcmp(name, "vx_small_down_rows"))
        return;
    const vx_small_job *job = &FAKE_ARG(0, const vx_small_job);
    memset(FAKE_ARG(3, uint8_t *), (int)((uintptr_t)job->luma / 4096 % 251), VX_SMALL_BYTES);
}

typedef struct opened {
    vx_media *media;
    vx_decoder *decoder;
    vx_small_pictures *pictures;
} opened;

/* The clip, decoded by a card whose launch number `fail_at` fails; 0: none does. */
static opened open_pictures(int fail_at) {
    opened o = {0};
    if (access(clip_path, R_OK) != 0)
        skip();
    fake_reset();
    fake.whole = 1;
    fake.fail_at[FAKE_LAUNCH] = fail_at;
    fake_kernel = numbered;
    const vx_decoder_params decoder = {.driver = &fake_driver};
    assert_int_equal(vx_decoder_open(&decoder, &o.decoder, NULL), 0);
    assert_int_equal(vx_media_open(clip_path, NULL, &o.media, NULL), 0);
    const vx_small_pictures_params params = {.media = o.media, .decoder = o.decoder};
    assert_int_equal(vx_small_pictures_start(&params, &o.pictures, NULL), 0);
    return o;
}

static void close_pictures(opened *o) {
    vx_small_pictures_free(o->pictures);
    vx_media_free(o->media);
    vx_decoder_free(o->decoder);
    assert_true(fake_is_empty());
}

/* The next one; returns its first byte. */
static int take(opened *o) {
    uint8_t rgb[VX_SMALL_BYTES];
    bool there = false;
    vx_err err = {0};
    while (!there && vx_small_pictures_take(o->pictures, rgb, &there, &err) == 0)
        ;
    if (!there)
        fail_msg("%s", err.msg);
    for (int i = 1; i < VX_SMALL_BYTES; i++)
        assert_true(abs(rgb[i] - rgb[0]) <= 2); /* grey */
    return rgb[0];
}

static void pictures_of_many_decoders_come_in_order(void **state) {
    (void)state;
    opened o = open_pictures(0);
    for (int i = 0, last = 0; i < CLIP_FRAMES; i++) {
        int number = take(&o);
        if (i % CLIP_KEY_EVERY) /* where a decoder begins, it is at a key picture */
            assert_int_equal(number, last + 1);
        last = number;
    }
    assert_int_equal(fake.calls[FAKE_LAUNCH], 2 * CLIP_FRAMES);
    close_pictures(&o);
}

static void the_cpu_makes_the_pictures_that_a_card_fails_at(void **state) {
    (void)state;
    opened o = open_pictures(31);
    int lighter = 0;
    for (int i = 0, last = 0; i < CLIP_FRAMES; i++) {
        int number = take(&o);
        lighter += number > last;
        last = number;
    }
    assert_true(lighter >= CLIP_FRAMES - CLIP_FRAMES / CLIP_KEY_EVERY - 1);
    close_pictures(&o);
}

static void pictures_that_nobody_takes_do_not_hold_up_the_end(void **state) {
    (void)state;
    for (int n = 0; n <= CLIP_FRAMES; n += 12) {
        opened o = open_pictures(0);
        for (int i = 0; i < n; i++)
            take(&o);
        close_pictures(&o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_of_the_card_are_those_of_the_cpu_to_the_bit),
        cmocka_unit_test(pictures_that_the_card_does_not_make_are_refused),
        cmocka_unit_test(each_call_of_the_card_may_fail),
        cmocka_unit_test(pictures_of_many_decoders_come_in_order),
        cmocka_unit_test(the_cpu_makes_the_pictures_that_a_card_fails_at),
        cmocka_unit_test(pictures_that_nobody_takes_do_not_hold_up_the_end),
    };
    return cmocka_run_group_tests(tests, clip_make, clip_remove);
}
