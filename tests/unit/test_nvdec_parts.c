/* NVDEC without a card: which packets are fed to which decoder, and which streams go to the CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "media/nvdec_caps.h"
#include "media/nvdec_parts.h"
#include "nvdec_fixture.h"

static uint8_t *plan(const table *t, const int64_t *frames, int64_t n, int64_t *ret_n) {
    uint8_t *action = NULL;
    assert_int_equal(vx_media_plan(&t->media, frames, n, &action, ret_n, NULL), 0);
    vx_nvdec_thin(action, *ret_n);
    return action;
}

/* What is fed for the frames: the stream's letters, '-' for dropped packets, '|' before each part. */
static void expect_parts(const char *stream, const char *wanted, int n_parts,
                         const char *expected) {
    table t;
    make_table(&t, stream);
    int64_t frames[400], n = 0, n_packets;
    for (int64_t i = 0; i < t.media.info.n_frames; i++)
        if (wanted[t.shown[i]] != ' ')
            frames[n++] = i;
    VX_AUTO_FREE uint8_t *action = plan(&t, frames, n, &n_packets);
    VX_AUTO_FREE vx_nvdec_part *parts = NULL;
    size_t n_ranges = 0;
    assert_int_equal(vx_nvdec_divide(&t.media, action, n_packets, n_parts, &parts, &n_ranges, NULL),
                     0);
    char got[1000] = "";
    for (size_t k = 0; k < n_ranges; k++) {
        int64_t n_fed = 0;
        strcat(got, "|");
        for (int64_t i = parts[k].from; i < parts[k].to; i++) {
            got[strlen(got)] = action[i] == VX_PLAN_DROP ? '-' : stream[i]; /* zeros follow */
            n_fed += action[i] != VX_PLAN_DROP;
        }
        assert_int_equal(n_fed, parts[k].n_fed);
    }
    assert_string_equal(got, expected);
}

static void pictures_that_nobody_refers_to_are_dropped_unless_wanted(void **state) {
    (void)state;
    expect_parts("IbPbPbIbPbP", //
                 " x  x      ", 1, "|IbP-P");
}

static void a_gop_without_wanted_pictures_is_not_fed(void **state) {
    (void)state;
    expect_parts("IPPIPPIPP", //
                 "x     x  ", 2, "|I|I");
}

static void parts_are_balanced_by_pictures_fed(void **state) {
    (void)state;
    /* Wanted: one picture each of five GOPs; the last needs six pictures, the others one. */
    expect_parts("IPPPPPIPPPPPIPPPPPIPPPPPIPPPPP", "x     x     x     x          x", 2,
                 "|I-----I-----I-----I|IPPPPP");
}

static void a_leading_picture_keeps_its_gop_with_the_one_before(void **state) {
    (void)state;
    expect_parts("IPPOrPIPP", //
                 "x  xx x  ", 3, "|IPPOr|I");
}

static void leading_references_that_nobody_wants_are_left_out(void **state) {
    (void)state;
    expect_parts("IPPOlrPP", //
                 "x     x ", 3, "|I|O--P");
    expect_parts("IPPOlrPP", //
                 "x    x  ", 3, "|IPPOlr");
}

static void one_long_gop_stays_one_part(void **state) {
    (void)state;
    expect_parts("IPPPPPPP", //
                 "x  x   x", 4, "|IPPPPPPP");
}

static void packets_without_a_picture_are_fed(void **state) {
    (void)state;
    expect_parts("IhPPIP", //
                 "   x  ", 4, "|IhPP");
}

/* Least possible size of the largest of n runs of sizes[0..k), by trying all. */
static int64_t best_split(const int64_t *sizes, size_t k, int n) {
    int64_t all = 0;
    for (size_t i = 0; i < k; i++)
        all += sizes[i];
    if (n == 1 || k <= 1)
        return all;
    int64_t best = all, first = 0;
    for (size_t i = 0; i < k; i++) {
        first += sizes[i];
        int64_t rest = best_split(sizes + i + 1, k - i - 1, n - 1);
        int64_t most = first > rest ? first : rest;
        best = most < best ? most : best;
    }
    return best;
}

static void the_largest_part_is_as_small_as_it_can_be(void **state) {
    (void)state;
    srand(7);
    for (int round = 0; round < 200; round++) {
        char stream[100] = "";
        int64_t sizes[8], frames[100], n_packets, most = 0;
        size_t n_gops = 1 + (size_t)rand() % 8, n = 0;
        for (size_t g = 0; g < n_gops; g++) {
            sizes[g] = 1 + rand() % 10;
            memcpy(stream + strlen(stream), "IPPPPPPPPP", (size_t)sizes[g]); /* zeros follow */
        }
        table t;
        make_table(&t, stream);
        for (; stream[n]; n++)
            frames[n] = (int64_t)n;
        int n_parts = 1 + rand() % 5;
        VX_AUTO_FREE uint8_t *action = plan(&t, frames, (int64_t)n, &n_packets);
        VX_AUTO_FREE vx_nvdec_part *parts = NULL;
        size_t n_ranges;
        assert_int_equal(
            vx_nvdec_divide(&t.media, action, n_packets, n_parts, &parts, &n_ranges, NULL), 0);
        assert_true(n_ranges <= (size_t)n_parts);
        for (size_t k = 0; k < n_ranges; k++)
            most = parts[k].n_fed > most ? parts[k].n_fed : most;
        assert_int_equal(most, best_split(sizes, n_gops, n_parts));
    }
}

/* ---- what the card decodes ---- */

static vx_nvdec_reason check(enum AVCodecID codec, enum AVPixelFormat format, int w, int h) {
    vx_nvdec_caps caps;
    vx_nvdec_caps_init(&caps, &fake_driver);
    AVCodecParameters par = {.codec_id = codec, .format = format, .width = w, .height = h};
    vx_nvdec_reason reason = vx_nvdec_caps_check_stream(&caps, &par);
    vx_nvdec_caps_done(&caps);
    return reason;
}

static void streams_that_the_card_does_not_decode_have_a_reason(void **state) {
    (void)state;
    fake_reset();
    const enum AVPixelFormat nv = AV_PIX_FMT_YUV420P, ten = AV_PIX_FMT_YUV420P10;
    assert_int_equal(check(AV_CODEC_ID_H264, nv, 1920, 1080), VX_NVDEC_ACCEPTED);
    assert_int_equal(check(AV_CODEC_ID_HEVC, ten, 1920, 1080), VX_NVDEC_ACCEPTED);
    assert_int_equal(check(AV_CODEC_ID_H264, AV_PIX_FMT_NONE, 1920, 1080), VX_NVDEC_ACCEPTED);
    assert_int_equal(check(AV_CODEC_ID_H264, ten, 1920, 1080), VX_NVDEC_DEPTH);
    assert_int_equal(check(AV_CODEC_ID_AV1, nv, 1920, 1080), VX_NVDEC_CODEC);
    assert_int_equal(check(AV_CODEC_ID_MPEG2VIDEO, nv, 1920, 1080), VX_NVDEC_CODEC);
    assert_int_equal(check(AV_CODEC_ID_PRORES, nv, 1920, 1080), VX_NVDEC_CODEC);
    assert_int_equal(check(AV_CODEC_ID_H264, AV_PIX_FMT_YUV444P, 1920, 1080), VX_NVDEC_CHROMA);
    assert_int_equal(check(AV_CODEC_ID_H264, AV_PIX_FMT_YUV422P, 1920, 1080), VX_NVDEC_CHROMA);
    assert_int_equal(check(AV_CODEC_ID_H264, nv, 8192, 1080), VX_NVDEC_SIZE);
    assert_int_equal(check(AV_CODEC_ID_H264, nv, 32, 1080), VX_NVDEC_SIZE);
}

static void the_card_is_asked_once_for_each_codec_and_depth(void **state) {
    (void)state;
    fake_reset();
    vx_nvdec_caps caps;
    vx_nvdec_caps_init(&caps, &fake_driver);
    vx_nvdec_format f = {cudaVideoCodec_HEVC, cudaVideoChromaFormat_420, 8, 1920, 1088};
    for (int i = 0; i < 10; i++)
        vx_nvdec_caps_check(&caps, &f);
    assert_int_equal(fake.calls[FAKE_GET_CAPS], 1);
    f.bit_depth = 10;
    assert_int_equal(vx_nvdec_caps_check(&caps, &f), VX_NVDEC_ACCEPTED);
    assert_int_equal(fake.calls[FAKE_GET_CAPS], 2);
    vx_nvdec_caps_done(&caps);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_that_nobody_refers_to_are_dropped_unless_wanted),
        cmocka_unit_test(a_gop_without_wanted_pictures_is_not_fed),
        cmocka_unit_test(parts_are_balanced_by_pictures_fed),
        cmocka_unit_test(a_leading_picture_keeps_its_gop_with_the_one_before),
        cmocka_unit_test(leading_references_that_nobody_wants_are_left_out),
        cmocka_unit_test(one_long_gop_stays_one_part),
        cmocka_unit_test(packets_without_a_picture_are_fed),
        cmocka_unit_test(the_largest_part_is_as_small_as_it_can_be),
        cmocka_unit_test(streams_that_the_card_does_not_decode_have_a_reason),
        cmocka_unit_test(the_card_is_asked_once_for_each_codec_and_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
