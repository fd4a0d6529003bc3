/* NVDEC without a card: which decoders live, and what one of them makes of its packets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "media/nvdec_session.h"
#include "nvdec_fixture.h"

/* ---- the pool ---- */

typedef struct pool_fixture {
    vx_nvdec_caps caps;
    vx_nvdec_pool pool;
} pool_fixture;

static void pool_begin(pool_fixture *f, int max_decoders, int64_t max_bytes) {
    fake_reset();
    vx_nvdec_caps_init(&f->caps, &fake_driver);
    vx_nvdec_pool_init(&f->pool, &f->caps, max_decoders, max_bytes);
}

static void pool_end(pool_fixture *f) {
    vx_nvdec_pool_done(&f->pool);
    vx_nvdec_caps_done(&f->caps);
    assert_true(fake_is_empty());
}

static int take_error(pool_fixture *f, cudaVideoCodec codec, unsigned w, unsigned h,
                      vx_nvdec_decoder **ret) {
    vx_nvdec_format format = {codec, cudaVideoChromaFormat_420, 8, w, h};
    vx_nvdec_geometry g = {w, h, FAKE_SURFACES};
    return vx_nvdec_pool_take(&f->pool, &format, &g, ret, NULL);
}

static vx_nvdec_decoder *take(pool_fixture *f, cudaVideoCodec codec, unsigned w, unsigned h) {
    vx_nvdec_decoder *decoder = NULL;
    assert_int_equal(take_error(f, codec, w, h, &decoder), 0);
    return decoder;
}

static void a_decoder_is_used_again_and_reconfigured_for_another_size(void **state) {
    (void)state;
    pool_fixture f;
    pool_begin(&f, 4, INT64_MAX);
    vx_nvdec_decoder *d = take(&f, cudaVideoCodec_H264, 1920, 1088);
    vx_nvdec_pool_give(&f.pool, d, false);
    assert_ptr_equal(take(&f, cudaVideoCodec_H264, 1920, 1088), d);
    assert_int_equal(fake.calls[FAKE_RECONFIGURE], 0);
    vx_nvdec_pool_give(&f.pool, d, false);
    assert_ptr_equal(take(&f, cudaVideoCodec_H264, 320, 240), d);
    assert_int_equal(fake.calls[FAKE_RECONFIGURE], 1);
    assert_int_equal(fake.calls[FAKE_CREATE_DECODER], 1);
    vx_nvdec_pool_give(&f.pool, d, false);
    pool_end(&f);
}

static void a_larger_class_and_another_codec_have_their_own_decoders(void **state) {
    (void)state;
    pool_fixture f;
    pool_begin(&f, 8, INT64_MAX);
    static const unsigned sizes[][2] = {
        {1920, 1088}, {1088, 1920}, {3840, 2160}, {2160, 3840}, {4096, 4096}};
    for (size_t i = 0; i < VX_LEN(sizes); i++)
        vx_nvdec_pool_give(&f.pool, take(&f, cudaVideoCodec_H264, sizes[i][0], sizes[i][1]), false);
    vx_nvdec_pool_give(&f.pool, take(&f, cudaVideoCodec_HEVC, 1920, 1088), false);
    assert_int_equal(fake.decoders, 6);
    pool_end(&f);
}

static void an_idle_decoder_of_another_codec_gives_way(void **state) {
    (void)state;
    pool_fixture f;
    pool_begin(&f, 2, INT64_MAX);
    vx_nvdec_decoder *a = take(&f, cudaVideoCodec_H264, 1920, 1088);
    vx_nvdec_decoder *b = take(&f, cudaVideoCodec_H264, 1920, 1088);
    vx_nvdec_pool_give(&f.pool, a, false);
    vx_nvdec_decoder *c = take(&f, cudaVideoCodec_HEVC, 1920, 1088);
    assert_int_equal(fake.decoders, 2);
    vx_nvdec_pool_give(&f.pool, b, false);
    vx_nvdec_pool_give(&f.pool, c, false);
    assert_int_equal(fake.most_decoders, 2);
    pool_end(&f);
}

static void *give_soon(void *ctx) {
    void **a = ctx;
    pool_fixture *f = a[0];
    usleep(50000);
    vx_nvdec_pool_give(&f->pool, a[1], false);
    return NULL;
}

static void decoders_of_two_codecs_in_use_do_not_push_each_other_out(void **state) {
    (void)state;
    pool_fixture f;
    pthread_t thread;
    pool_begin(&f, 2, INT64_MAX);
    vx_nvdec_decoder *h264 = take(&f, cudaVideoCodec_H264, 1920, 1088);
    vx_nvdec_decoder *hevc = take(&f, cudaVideoCodec_HEVC, 1920, 1088);
    vx_nvdec_pool_give(&f.pool, hevc, false);
    /* The second of H.264 waits for the first, although that of HEVC is idle. */
    f.pool.patience_us = INT64_MAX;
    void *ctx[] = {&f, h264};
    pthread_create(&thread, NULL, give_soon, ctx);
    assert_ptr_equal(take(&f, cudaVideoCodec_H264, 1920, 1088), h264);
    pthread_join(thread, NULL);
    assert_int_equal(fake.calls[FAKE_CREATE_DECODER], 2);
    /* Unless it has been idle for long. */
    f.pool.patience_us = 1000;
    vx_nvdec_decoder *second = take(&f, cudaVideoCodec_H264, 1920, 1088);
    assert_int_equal(fake.calls[FAKE_CREATE_DECODER], 3);
    assert_int_equal(fake.most_decoders, 2);
    vx_nvdec_pool_give(&f.pool, h264, false);
    vx_nvdec_pool_give(&f.pool, second, false);
    pool_end(&f);
}

static void decoders_stay_within_the_memory_that_they_may_take(void **state) {
    (void)state;
    pool_fixture f;
    const vx_nvdec_class small = {cudaVideoCodec_H264, 8, 1920, 1088},
                         large = {cudaVideoCodec_H264, 8, 4096, 4096};
    pool_begin(&f, 8, vx_nvdec_class_bytes(&large));
    vx_nvdec_pool_give(&f.pool, take(&f, cudaVideoCodec_H264, 1920, 1088), false);
    vx_nvdec_pool_give(&f.pool, take(&f, cudaVideoCodec_H264, 4096, 4096), false);
    assert_int_equal(fake.decoders, 1);
    assert_int_equal(vx_nvdec_pool_get_stats(&f.pool).bytes, vx_nvdec_class_bytes(&large));
    pool_end(&f);
    pool_begin(&f, 8, vx_nvdec_class_bytes(&small) - 1);
    vx_nvdec_decoder *d;
    assert_int_equal(take_error(&f, cudaVideoCodec_H264, 1920, 1088, &d), -ENOMEM);
    pool_end(&f);
}

static void *give_later(void *ctx) {
    void **a = ctx;
    pool_fixture *f = a[0];
    while (fake.calls[FAKE_CREATE_DECODER] < 2) /* the other has tried to make one */
        usleep(1000);
    vx_nvdec_pool_give(&f->pool, a[1], false);
    return NULL;
}

static void a_full_card_makes_the_taker_wait_for_a_decoder(void **state) {
    (void)state;
    pool_fixture f;
    pool_begin(&f, 8, INT64_MAX);
    fake.memory_for = 1;
    vx_nvdec_decoder *d = take(&f, cudaVideoCodec_H264, 1920, 1088);
    void *ctx[] = {&f, d};
    pthread_t thread;
    pthread_create(&thread, NULL, give_later, ctx);
    assert_ptr_equal(take(&f, cudaVideoCodec_H264, 1920, 1088), d);
    pthread_join(thread, NULL);
    assert_true(vx_nvdec_pool_get_stats(&f.pool).n_refused >= 1);
    vx_nvdec_pool_give(&f.pool, d, false);
    pool_end(&f);
}

static void a_card_without_memory_for_one_decoder_is_an_error(void **state) {
    (void)state;
    pool_fixture f;
    pool_begin(&f, 8, INT64_MAX);
    fake.fail_at[FAKE_CREATE_DECODER] = 1;
    fake.fail_with = VX_CUDA_OUT_OF_MEMORY;
    vx_nvdec_decoder *d;
    assert_int_equal(take_error(&f, cudaVideoCodec_H264, 1920, 1088, &d), -ENOMEM);
    pool_end(&f);
}

static void trimming_gives_back_idle_decoders_only(void **state) {
    (void)state;
    pool_fixture f;
    pool_begin(&f, 8, INT64_MAX);
    vx_nvdec_decoder *d[3];
    for (int i = 0; i < 3; i++)
        d[i] = take(&f, cudaVideoCodec_H264, 1920, 1088);
    vx_nvdec_pool_give(&f.pool, d[0], false);
    vx_nvdec_pool_give(&f.pool, d[1], false);
    vx_nvdec_pool_trim(&f.pool, 0, 0);
    assert_int_equal(fake.decoders, 1);
    vx_nvdec_pool_give(&f.pool, d[2], false);
    pool_end(&f);
}

/* ---- one part ---- */

typedef struct script {
    const char *const *packets; /* operations of the fake parser; NULL ends */
    int64_t at;
    AVPacket packet;
} script;

static const AVPacket *script_next(void *ctx, int64_t *ret_number) {
    script *s = ctx;
    const char *text = s->packets[s->at];
    if (!text)
        return NULL;
    *ret_number = s->at++;
    s->packet.data = (uint8_t *)(uintptr_t)text;
    s->packet.size = (int)strlen(text);
    return &s->packet;
}

typedef struct receiver {
    char got[400]; /* frame:picture of the decoder, as "3:7 " */
    int fail_at;   /* this picture is refused with 7 */
    int n;
    vx_frame last;
} receiver;

static int receive(void *ctx, const vx_frame *frame, bool requested, vx_err *err) {
    receiver *r = ctx;
    sprintf(r->got + strlen(r->got), "%s%lld:%llu ", requested ? "" : "+", (long long)frame->number,
            (unsigned long long)(uintptr_t)frame->planes[0] / 4096 - 1);
    r->last = *frame;
    return ++r->n == r->fail_at ? VX_FAIL(err, 7, "the receiver had enough") : 0;
}

typedef struct outcome {
    int rc;
    vx_nvdec_reason reason;
    vx_nvdec_session_stats stats;
    vx_err err;
} outcome;

/* Runs the packets; take has a letter a packet: x requested, + extra, space ignored. */
static outcome run_script(table *t, const char *const *packets, const char *take, receiver *r) {
    uint8_t marks[400];
    int64_t number[400];
    int64_t next = 0;
    pool_fixture f;
    outcome o = {0};
    for (int64_t i = 0; i < t->media.n_packets; i++) {
        marks[i] = take[i] == 'x'   ? VX_NVDEC_REQUESTED
                   : take[i] == '+' ? VX_NVDEC_EXTRA
                                    : VX_NVDEC_IGNORE;
        number[i] = t->packets[i].flags & VX_PACKET_HIDDEN ? -1 : next++;
    }
    fake_state wanted;
    memcpy(&wanted, &fake, sizeof fake);
    pool_begin(&f, 2, INT64_MAX);
    memcpy(&fake, &wanted, sizeof fake);
    script s = {.packets = packets};
    const vx_nvdec_source source = {script_next, &s};
    const vx_nvdec_clip clip = {.media = &t->media,
                                .take = marks,
                                .number = number,
                                .headers = (const uint8_t *)"....",
                                .headers_bytes = 4,
                                .on_frame = receive,
                                .ctx = r};
    o.rc = vx_nvdec_session_run(&clip, &f.pool, &source, &o.stats, &o.reason, &o.err);
    assert_int_equal(fake.mapped, 0);
    assert_int_equal(fake.parsers, 0);
    pool_end(&f);
    return o;
}

static void wanted_pictures_are_handed_on_and_no_others_are_mapped(void **state) {
    (void)state;
    table t;
    receiver r = {0};
    static const char *const packets[] = {HD "P", "P", "P", "P", "P", "P", NULL};
    fake_reset();
    make_table(&t, "IPPPPP");
    outcome o = run_script(&t, packets, " x +x ", &r);
    assert_int_equal(o.reason, VX_NVDEC_ACCEPTED);
    assert_int_equal(o.rc, 0);
    assert_string_equal(r.got, "1:1 +3:3 4:4 ");
    assert_int_equal(o.stats.n_fed, 6);
    assert_int_equal(o.stats.n_requested, 2);
    assert_int_equal(fake.calls[FAKE_MAP], 3);
}

static void a_frame_tells_what_the_stream_says_of_it(void **state) {
    (void)state;
    table t;
    receiver r = {0};
    static const char *const packets[] = {"Sx\xc4\x0aP", NULL}; /* 8 rows hidden, 10 bits */
    fake_reset();
    make_table(&t, "I");
    t.par.codec_id = AV_CODEC_ID_HEVC;
    t.par.color_space = AVCOL_SPC_BT2020_NCL;
    t.par.color_trc = AVCOL_TRC_ARIB_STD_B67;
    t.media.orientation.transpose = true;
    assert_int_equal(run_script(&t, packets, "x", &r).reason, VX_NVDEC_ACCEPTED);
    const vx_frame *f = &r.last;
    assert_int_equal(f->device, 0);
    assert_int_equal(f->width_px, 1920);
    assert_int_equal(f->height_px, 1080);
    assert_int_equal(f->layout, VX_FRAME_YUV_SEMIPLANAR);
    assert_int_equal(f->bit_depth, 10);
    assert_int_equal(f->sample_bytes, 2);
    assert_int_equal(f->low_bits, 6);
    assert_int_equal(f->planes[1] - f->planes[0], 2048 * 1088);
    assert_int_equal(f->matrix, VX_MATRIX_BT2020_NCL);
    assert_int_equal(f->transfer, VX_TRANSFER_HLG);
    assert_true(f->orientation.transpose);
    assert_non_null(f->stream);
}

static void no_more_pictures_are_mapped_at_a_time_than_there_is_room_for(void **state) {
    (void)state;
    table t;
    receiver r = {0};
    static const char *packets[41] = {HD "P"};
    fake_reset();
    for (int i = 1; i < 40; i++)
        packets[i] = "P";
    make_table(&t, "IPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPP");
    run_script(&t, packets, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", &r);
    assert_int_equal(r.n, 40);
    assert_int_equal(fake.most_mapped, VX_NVDEC_OUTPUTS);
}

static void two_fields_in_a_packet_are_one_picture(void **state) {
    (void)state;
    table t;
    receiver r = {0};
    static const char *const packets[] = {HD "F", "F", "F", NULL};
    fake_reset();
    make_table(&t, "IPP");
    assert_int_equal(run_script(&t, packets, "x x", &r).reason, VX_NVDEC_ACCEPTED);
    assert_string_equal(r.got, "0:0 2:2 ");
}

static void vp9_packets_may_hide_a_picture_or_show_an_old_one(void **state) {
    (void)state;
    table t;
    receiver r = {0};
    static const char *const packets[] = {HD "V", "HV", "H", "X", "V", NULL};
    fake_reset();
    make_table(&t, "IPhPP");
    t.par.codec_id = AV_CODEC_ID_VP9;
    assert_int_equal(run_script(&t, packets, "xx xx", &r).reason, VX_NVDEC_ACCEPTED);
    assert_string_equal(r.got, "0:0 1:2 2:3 3:4 ");
}

static void parameter_sets_go_before_the_first_packet_unless_it_has_its_own(void **state) {
    (void)state;
    table t;
    receiver r = {0};
    static const char *const packets[] = {HD "P", "P", NULL};
    fake_reset();
    make_table(&t, "IP");
    run_script(&t, packets, "xx", &r);
    assert_int_equal(fake.first_bytes, 4 + 5);
    t.packets[0].flags |= VX_PACKET_SETS;
    fake_reset();
    run_script(&t, packets, "xx", &r);
    assert_int_equal(fake.first_bytes, 5);
}

static void expect_refusal(const char *stream, const char *const *packets, const char *take,
                           vx_nvdec_reason reason, const char *handed_on) {
    table t;
    receiver r = {0};
    fake_reset();
    make_table(&t, stream);
    outcome o = run_script(&t, packets, take, &r);
    assert_int_equal(o.rc, 0);
    assert_string_equal(vx_nvdec_reason_name(o.reason), vx_nvdec_reason_name(reason));
    assert_true(o.err.msg[0] != 0);
    assert_string_equal(r.got, handed_on);
}

static void pq_of_unknown_brightness_goes_to_the_cpu(void **state) {
    (void)state;
    table t;
    receiver r = {0};
    static const char *const packets[] = {HD "P", NULL};
    fake_reset();
    make_table(&t, "I");
    t.par.color_trc = AVCOL_TRC_SMPTE2084;
    t.media.peak_nits = -1;
    assert_int_equal(run_script(&t, packets, "x", &r).reason, VX_NVDEC_HDR);
    assert_int_equal(r.n, 0);
    t.media.peak_nits = 4000;
    assert_int_equal(run_script(&t, packets, "x", &r).reason, VX_NVDEC_ACCEPTED);
    assert_true(r.last.peak_nits == 4000);
}

static void streams_that_do_not_behave_are_refused(void **state) {
    (void)state;
    static const char *const changed[] = {HD "P", "P", "Sx\x22\x08P", "P", NULL},
                             *const lost[] = {HD "P", "P", "?", "P", NULL},
                             *const lone[] = {HD "P", "L", "P", "P", NULL},
                             *const two[] = {HD "P", "PP", "P", "P", NULL},
                             *const deep[] = {"Sx\x44\x0aP", "P", "P", "P", NULL},
                             *const tiny[] = {"S\x01\x01\x08P", "P", "P", "P", NULL};
    expect_refusal("IPPP", changed, "x  x", VX_NVDEC_CHANGED, "0:0 ");
    expect_refusal("IPPP", lost, "x  x", VX_NVDEC_DAMAGED, "0:0 ");
    expect_refusal("IPPP", lone, "x  x", VX_NVDEC_DAMAGED, "0:0 ");
    expect_refusal("IPPP", two, "x  x", VX_NVDEC_DAMAGED, "0:0 ");
    expect_refusal("IPPP", deep, "x  x", VX_NVDEC_DEPTH, "");
    expect_refusal("IPPP", tiny, "x  x", VX_NVDEC_SIZE, "");
}

static void a_picture_whose_reference_is_damaged_is_not_handed_on(void **state) {
    (void)state;
    static const char *const packets[] = {HD "P", "P", "E", "P", "P", NULL};
    expect_refusal("IPPPP", packets, "xx  x", VX_NVDEC_DAMAGED, "0:0 1:1 ");
    /* Also when its surface has been used again meanwhile. */
    static const char *const later[] = {HD "P", "E", "P", "P", "P", "P", "P", NULL};
    expect_refusal("IPPPPPP", later, "x     x", VX_NVDEC_DAMAGED, "0:0 ");
}

static void what_the_receiver_returns_ends_the_part(void **state) {
    (void)state;
    table t;
    receiver r = {.fail_at = 2};
    static const char *const packets[] = {HD "P", "P", "P", NULL};
    fake_reset();
    make_table(&t, "IPP");
    outcome o = run_script(&t, packets, "xxx", &r);
    assert_int_equal(o.rc, 7);
    assert_string_equal(o.err.msg, "the receiver had enough");
    assert_int_equal(r.n, 2);
}

static void each_call_of_the_driver_may_fail_at_any_time(void **state) {
    (void)state;
    static const char *const packets[] = {HD "P", "P", "P", "P", "P", "P",
                                          "P",    "P", "P", "P", "P", NULL};
    for (int call = FAKE_CREATE_DECODER; call < FAKE_N_CALLS; call++) {
        for (int at = 1; at <= 12; at++) {
            table t;
            receiver r = {0};
            fake_reset();
            fake.fail_at[call] = at;
            make_table(&t, "IPPPPPPPPPP");
            outcome o = run_script(&t, packets, "xxxxxxxxxxx", &r);
            bool reached = fake.calls[call] >= at;
            assert_int_equal(o.rc, 0);
            assert_int_equal(o.reason, reached ? VX_NVDEC_FAILED : VX_NVDEC_ACCEPTED);
            assert_int_equal(reached, strstr(o.err.msg, "FAKE_ERROR") != NULL);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decoder_is_used_again_and_reconfigured_for_another_size),
        cmocka_unit_test(a_larger_class_and_another_codec_have_their_own_decoders),
        cmocka_unit_test(an_idle_decoder_of_another_codec_gives_way),
        cmocka_unit_test(decoders_of_two_codecs_in_use_do_not_push_each_other_out),
        cmocka_unit_test(decoders_stay_within_the_memory_that_they_may_take),
        cmocka_unit_test(a_full_card_makes_the_taker_wait_for_a_decoder),
        cmocka_unit_test(a_card_without_memory_for_one_decoder_is_an_error),
        cmocka_unit_test(trimming_gives_back_idle_decoders_only),
        cmocka_unit_test(wanted_pictures_are_handed_on_and_no_others_are_mapped),
        cmocka_unit_test(a_frame_tells_what_the_stream_says_of_it),
        cmocka_unit_test(no_more_pictures_are_mapped_at_a_time_than_there_is_room_for),
        cmocka_unit_test(two_fields_in_a_packet_are_one_picture),
        cmocka_unit_test(vp9_packets_may_hide_a_picture_or_show_an_old_one),
        cmocka_unit_test(parameter_sets_go_before_the_first_packet_unless_it_has_its_own),
        cmocka_unit_test(pq_of_unknown_brightness_goes_to_the_cpu),
        cmocka_unit_test(streams_that_do_not_behave_are_refused),
        cmocka_unit_test(a_picture_whose_reference_is_damaged_is_not_handed_on),
        cmocka_unit_test(what_the_receiver_returns_ends_the_part),
        cmocka_unit_test(each_call_of_the_driver_may_fail_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
