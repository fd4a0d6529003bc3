/* Media: which frames are chosen, which packets they need, what packet bytes prove. The pictures
 * themselves are compared with another decoder in tests/media. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <math.h>

#include "media/classify.h"
#include "media/plan.h"

/* ---- choosing ---- */

static vx_media with_times(double *times, int64_t n) {
    vx_media media = {.times = times};
    media.info.n_frames = n;
    return media;
}

static void expect_chosen(double *times, int64_t n, double start_s, double end_s, double fps,
                          const int64_t *expected, int64_t n_expected) {
    vx_media media = with_times(times, n);
    VX_AUTO_FREE int64_t *frames = NULL;
    int64_t n_frames = 0;
    assert_int_equal(vx_media_choose(&media, start_s, end_s, fps, &frames, &n_frames, NULL), 0);
    assert_int_equal(n_frames, n_expected);
    assert_memory_equal(frames, expected, (size_t)n_expected * sizeof(*frames));
}
#define EXPECT_CHOSEN(times, start_s, end_s, fps, ...)                                             \
    expect_chosen(times, VX_LEN(times), start_s, end_s, fps, (int64_t[]){__VA_ARGS__},             \
                  VX_LEN(((int64_t[]){__VA_ARGS__})))

static void choose_tie_goes_to_the_earlier(void **state) {
    (void)state;
    double times[] = {0, 1, 2, 3};
    EXPECT_CHOSEN(times, 0, 10, 2, 0, 0, 1, 1, 2, 2, 3);
}

static void choose_last_sample_is_below_half_a_step_behind_the_end(void **state) {
    (void)state;
    double times[] = {0, 0.25, 0.5, 0.75, 1.0, 1.24};
    EXPECT_CHOSEN(times, 0, 10, 2, 0, 2, 4); /* 1.5 is not below 1.24 + 0.25 */
    times[5] = 1.26;
    EXPECT_CHOSEN(times, 0, 10, 2, 0, 2, 4, 5);
}

static void choose_one_frame_is_chosen_alone(void **state) {
    (void)state;
    double times[] = {0};
    EXPECT_CHOSEN(times, 0, 10, 2, 0);
}

static void choose_slow_source_repeats_frames(void **state) {
    (void)state;
    double times[] = {0, 1};
    EXPECT_CHOSEN(times, 0, 10, 4, 0, 0, 0, 1, 1);
}

static void choose_span_counts_from_its_first_frame(void **state) {
    (void)state;
    double times[] = {0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4};
    EXPECT_CHOSEN(times, 0.5, 2.0, 2.5, 2, 3, 4);
    EXPECT_CHOSEN(times, 2.0, 2.4, 1, 5);
}

/* Frames 0..n-1 in decode order; `points` says which are key frames. */
static void expect_keys(const double *times, const char *points, double start_s, double end_s,
                        const int64_t *wanted, const int64_t *expected, int64_t n) {
    vx_packet packets[16];
    int64_t shown[16], taken[8], n_keys = 0, total = (int64_t)strlen(points);
    for (int64_t i = 0; i < total; i++) {
        packets[i] = (vx_packet){.flags = points[i] == 'K' ? VX_PACKET_POINT : 0};
        shown[i] = i;
    }
    vx_media media = with_times((double *)times, total);
    media.packets = packets;
    media.shown = shown;
    VX_AUTO_FREE int64_t *keys = NULL;
    assert_int_equal(vx_media_key_frames(&media, 0, &keys, &n_keys, NULL), 0);
    memcpy(taken, wanted, (size_t)n * sizeof *taken);
    vx_media_take_key_frames(&media, keys, n_keys, start_s, end_s, taken, n);
    assert_memory_equal(taken, expected, (size_t)n * sizeof *taken);
}
#define WANT(...) ((int64_t[]){__VA_ARGS__})

static void key_frame_is_the_nearest_and_of_two_the_earlier(void **state) {
    (void)state;
    const double times[] = {0, 1, 2, 3, 4, 5, 6, 7};
    expect_keys(times, "K---K---", 0, 8, WANT(0, 1, 2, 3, 5, 7), WANT(0, 0, 0, 4, 4, 4), 6);
    const double uneven[] = {0, 1, 1.9, 2.1, 4};
    expect_keys(uneven, "K---K", 0, 9, WANT(2, 3), WANT(0, 4), 2);
}

static void key_frame_is_of_the_span_if_that_has_one(void **state) {
    (void)state;
    const double times[] = {0, 1, 2, 3, 4, 5, 6, 7};
    expect_keys(times, "K-K----K", 3, 8, WANT(3, 4, 6), WANT(7, 7, 7), 3);
    expect_keys(times, "K-K----K", 0, 2, WANT(0, 1), WANT(0, 0), 2); /* the end is without */
    expect_keys(times, "K-K----K", 3, 7, WANT(3, 4, 5, 6), WANT(2, 2, 7, 7), 4); /* it has none */
}

static void key_frame_is_none_where_no_start_is_known(void **state) {
    (void)state;
    const double times[] = {0, 1, 2};
    expect_keys(times, "---", 0, 3, WANT(0, 2), WANT(0, 2), 2);
}

static void choose_span_between_two_frames_takes_the_one_shown(void **state) {
    (void)state;
    double times[] = {0, 1, 5, 6};
    EXPECT_CHOSEN(times, 2, 4, 2, 1);
    EXPECT_CHOSEN(times, 100, 200, 2, 3);
}

static void choose_nonsense_is_refused(void **state) {
    (void)state;
    double times[] = {0, 1};
    vx_media media = with_times(times, 2);
    int64_t *frames = NULL, n;
    const double fps[] = {0, -1, NAN, INFINITY, 1e9};
    for (size_t i = 0; i < VX_LEN(fps); i++)
        assert_int_equal(vx_media_choose(&media, 0, 1, fps[i], &frames, &n, NULL), -EINVAL);
    assert_int_equal(vx_media_choose(&media, 2, 1, 2, &frames, &n, NULL), -EINVAL);
    assert_int_equal(vx_media_choose(&media, NAN, 1, 2, &frames, &n, NULL), -EINVAL);
    assert_null(frames);
}

/* ---- planning: a model of a decoder says whether what was sent suffices ---- */

enum { MAX_PACKETS = 200, MAX_DEPENDENCIES = 2 };

typedef struct model {
    vx_packet packets[MAX_PACKETS];
    int depends[MAX_PACKETS][MAX_DEPENDENCIES]; /* -1: none */
    int64_t shown[MAX_PACKETS];
    int n;
} model;

static void add(model *m, int64_t pts, uint32_t flags, int a, int b) {
    m->packets[m->n] = (vx_packet){.pts = pts, .flags = flags};
    m->depends[m->n][0] = a;
    m->depends[m->n][1] = b;
    m->n++;
}

/* GOPs of an anchor chain with up to three B pictures before each anchor, the middle one a
 * reference for its neighbours; before an open point the B pictures look behind it. */
static void random_stream(model *m, unsigned *seed) {
    *m = (model){0};
    int previous = -1;
    int64_t pts = 0;
    while (m->n < 120) {
        bool closed = previous < 0 || rand_r(seed) % 2;
        int n_anchors = 1 + rand_r(seed) % 6;
        for (int i = 0; i < n_anchors; i++) {
            bool point = i == 0;
            int n_b = point && closed ? 0 : rand_r(seed) % 4;
            int anchor = m->n;
            uint32_t flags = point ? VX_PACKET_POINT | (closed ? VX_PACKET_CLOSED : 0) : 0;
            add(m, pts + n_b, flags, point ? -1 : previous, -1);
            int middle = n_b == 3 ? m->n : anchor;
            if (n_b == 3)
                add(m, pts + 1, 0, previous, anchor);
            for (int b = 0; b < n_b; b++)
                if (n_b != 3 || b != 1)
                    add(m, pts + b, VX_PACKET_NONREF, b == 2 ? anchor : previous, middle);
            previous = anchor;
            pts += n_b + 1;
        }
    }
    for (int i = 0; i < m->n; i++)
        m->shown[m->packets[i].pts] = i; /* every tick has one picture */
}

/* Runs the plan through the model: a picture comes out right if the decoder holds, since its last
 * restart, right pictures of all that it depends on. What is sent is right, unless the plan says
 * that it need not be. */
static void expect_plan_suffices(const model *m, const int64_t *frames, int64_t n_frames,
                                 const uint8_t *action, int64_t n) {
    bool wanted[MAX_PACKETS] = {false}, right[MAX_PACKETS] = {false};
    for (int64_t i = 0; i < n_frames; i++)
        wanted[m->shown[frames[i]]] = true;
    for (int i = 0; i < m->n; i++) {
        bool sent = i < n && action[i] != VX_PLAN_DROP;
        if (sent && action[i] == VX_PLAN_RESTART)
            memset(right, 0, sizeof(right));
        right[i] = sent;
        for (int k = 0; k < MAX_DEPENDENCIES; k++)
            right[i] &= m->depends[i][k] < 0 || right[m->depends[i][k]];
        assert_true(right[i] || !wanted[i]);
        assert_true(right[i] || !sent || action[i] == VX_PLAN_INEXACT);
        assert_true(wanted[i] || !sent || !(m->packets[i].flags & VX_PACKET_NONREF));
    }
}

static void plan_of_random_streams_sends_all_that_wanted_frames_need(void **state) {
    (void)state;
    int64_t n_sent = 0, n_total = 0;
    for (unsigned round = 0; round < 300; round++) {
        unsigned seed = round * 7919 + 1;
        model m;
        random_stream(&m, &seed);
        vx_media media = {
            .packets = m.packets, .n_packets = m.n, .shown = m.shown, .may_skip = true};
        media.info.n_frames = m.n;
        int64_t frames[MAX_PACKETS], n_frames = 0, n;
        unsigned rarity = 1 + rand_r(&seed) % 40;
        for (int i = 0; i < m.n; i++)
            if (rand_r(&seed) % rarity == 0)
                frames[n_frames++] = i;
        VX_AUTO_FREE uint8_t *action = NULL;
        assert_int_equal(vx_media_plan(&media, frames, n_frames, &action, &n, NULL), 0);
        expect_plan_suffices(&m, frames, n_frames, action, n);
        for (int64_t i = 0; i < n; i++)
            n_sent += action[i] != VX_PLAN_DROP;
        n_total += m.n;
    }
    assert_true(n_sent < n_total / 2); /* and it is worth the trouble */
}

/* A plan for a stream given as one letter a packet: I closed point, O open point, P, B. */
static void expect_plan(const char *types, const int64_t *pts, const int64_t *wanted_packets,
                        int64_t n_wanted, bool may_skip, const char *expected) {
    vx_packet packets[32];
    int64_t shown[32], frames[32], n, count = (int64_t)strlen(types);
    for (int64_t i = 0; i < count; i++) {
        uint32_t flags = types[i] == 'I'   ? VX_PACKET_POINT | VX_PACKET_CLOSED
                         : types[i] == 'O' ? VX_PACKET_POINT
                         : types[i] == 'B' ? VX_PACKET_NONREF
                                           : 0;
        packets[i] = (vx_packet){.pts = pts[i], .flags = flags};
        shown[pts[i]] = i;
    }
    for (int64_t i = 0; i < n_wanted; i++)
        frames[i] = pts[wanted_packets[i]];
    vx_media media = {.packets = packets, .n_packets = count, .shown = shown, .may_skip = may_skip};
    media.info.n_frames = count;
    VX_AUTO_FREE uint8_t *action = NULL;
    assert_int_equal(vx_media_plan(&media, frames, n_wanted, &action, &n, NULL), 0);
    const char letters[] = {[VX_PLAN_DROP] = '.',
                            [VX_PLAN_SEND] = '+',
                            [VX_PLAN_RESTART] = '^',
                            [VX_PLAN_INEXACT] = '!'};
    char got[33] = {0};
    for (int64_t i = 0; i < count; i++)
        got[i] = i < n ? letters[action[i]] : '.';
    assert_string_equal(got, expected);
}

static void plan_leaves_out_what_is_decoded_later_and_restarts_behind_it(void **state) {
    (void)state;
    const int64_t in_order[] = {0, 1, 2, 3, 4, 5, 6, 7};
    expect_plan("IPPPIPPP", in_order, (int64_t[]){1, 5}, 2, true, "++..^+..");
    expect_plan("IPPPIPPP", in_order, (int64_t[]){3, 5}, 2, true, "++++++..");
    expect_plan("IPPPIPPP", in_order, (int64_t[]){6}, 1, true, "....^++.");
}

static void plan_with_doubt_sends_everything_up_to_the_last_wanted(void **state) {
    (void)state;
    const int64_t in_order[] = {0, 1, 2, 3, 4, 5, 6, 7};
    expect_plan("IPBPIPBP", in_order, (int64_t[]){5}, 1, false, "++++++..");
}

static void plan_leading_picture_of_an_open_gop_needs_the_gop_before(void **state) {
    (void)state;
    /* shown:               I  P  B  P  B  O  B  P */
    const int64_t pts[] = {0, 2, 1, 4, 3, 6, 5, 7};
    expect_plan("IPBPBOBP", pts, (int64_t[]){6}, 1, true, "++.+.++.");
    expect_plan("IPBPBOBP", pts, (int64_t[]){7}, 1, true, ".....^.+");
    expect_plan("IPBPBIBP", pts, (int64_t[]){6}, 1, true, ".....^+.");
}

static void plan_leading_reference_is_exact_only_with_the_gop_before(void **state) {
    (void)state;
    /* shown:               I  P  O  P  P  I  P */
    const int64_t pts[] = {0, 1, 3, 2, 4, 5, 6};
    expect_plan("IPOPPIP", pts, (int64_t[]){4}, 1, true, "..^!+..");
    expect_plan("IPOPPIP", pts, (int64_t[]){3, 4}, 2, true, "+++++..");
    expect_plan("IPIPPIP", pts, (int64_t[]){4}, 1, true, "..^++..");
}

static void cost_is_what_the_plan_sends(void **state) {
    (void)state;
    vx_packet packets[6];
    int64_t shown[6], cost = 0;
    for (int64_t i = 0; i < 6; i++) { /* I P P I P P */
        packets[i] = (vx_packet){.pts = i, .flags = i % 3 ? 0 : VX_PACKET_POINT | VX_PACKET_CLOSED};
        shown[i] = i;
    }
    vx_media media = {.packets = packets, .n_packets = 6, .shown = shown, .may_skip = true};
    media.info.n_frames = 6;
    assert_int_equal(vx_media_cost(&media, (int64_t[]){1, 3}, 2, &cost, NULL), 0);
    assert_int_equal(cost, 3);
    media.may_skip = false;
    assert_int_equal(vx_media_cost(&media, (int64_t[]){1, 3}, 2, &cost, NULL), 0);
    assert_int_equal(cost, 4);
}

/* ---- classifying ---- */

static uint32_t classify(vx_classifier *c, const uint8_t *bytes, int n_bytes) {
    uint8_t padded[256] = {0};
    memcpy(padded, bytes, (size_t)n_bytes);
    AVPacket *packet = av_packet_alloc();
    packet->data = padded;
    packet->size = n_bytes;
    uint32_t flags = vx_classify(c, packet);
    packet->data = NULL;
    av_packet_free(&packet);
    return flags;
}
#define CLASSIFY(c, ...)                                                                           \
    classify(c, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static vx_classifier classifier(enum AVCodecID codec) {
    AVCodecParameters *par = avcodec_parameters_alloc();
    par->codec_id = codec;
    vx_classifier c;
    vx_classifier_init(&c, par);
    avcodec_parameters_free(&par);
    return c;
}

static void h264_idr_is_a_closed_point_and_other_i_pictures_are_none(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_H264);
    assert_int_equal(CLASSIFY(&c, 0, 0, 0, 1, 0x65, 0x88), VX_PACKET_POINT | VX_PACKET_CLOSED);
    assert_int_equal(CLASSIFY(&c, 0, 0, 0, 1, 0x61, 0x88), 0);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0x01, 0x9a), VX_PACKET_NONREF);
    /* a picture with one reference slice is a reference */
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0x01, 0x9a, 0, 0, 1, 0x41, 0x9a), 0);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 9, 0xf0), VX_PACKET_HIDDEN);
    assert_true(c.may_skip);
}

static void h264_recovery_point_is_a_point_only_where_it_is_exact_at_once(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_H264);
    /* SEI type 6, size 1: ue(0) "1", exact 1, broken 0, 00, stop bit: 1100 0100 */
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 6, 6, 1, 0xc4, 0x80, 0, 0, 1, 0x61, 0x88),
                     VX_PACKET_POINT);
    /* not exact; a broken link; recovered only after 1 frame */
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 6, 6, 1, 0x84, 0x80, 0, 0, 1, 0x61, 0x88), 0);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 6, 6, 1, 0xe4, 0x80, 0, 0, 1, 0x61, 0x88), 0);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 6, 6, 1, 0x58, 0x80, 0, 0, 1, 0x61, 0x88), 0);
    /* behind another message, whose bytes hold an emulation prevention byte */
    assert_int_equal(
        CLASSIFY(&c, 0, 0, 1, 6, 5, 3, 0, 0, 3, 1, 6, 1, 0xc4, 0x80, 0, 0, 1, 0x61, 0x88),
        VX_PACKET_POINT);
}

static void h264_changed_parameter_sets_forbid_skipping(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_H264);
    uint32_t point = VX_PACKET_POINT | VX_PACKET_CLOSED;
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 0x88),
                     point | VX_PACKET_SETS);
    assert_int_equal(CLASSIFY(&c, 0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 0x88),
                     point | VX_PACKET_SETS);
    assert_true(c.may_skip);
    CLASSIFY(&c, 0, 0, 1, 0x68, 4, 0, 0, 1, 0x65, 0x88);
    assert_false(c.may_skip);
}

static void point_without_the_parameter_sets_of_others_is_none(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_H264);
    vx_packet packets[2] = {
        {.flags = CLASSIFY(&c, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 0x88)},
        {.flags = CLASSIFY(&c, 0, 0, 1, 0x65, 0x88)},
    };
    vx_classifier_finish(&c, packets, 2);
    assert_true(packets[0].flags & VX_PACKET_POINT);
    assert_false(packets[1].flags & VX_PACKET_POINT);
}

static void nal_length_outside_the_packet_forbids_skipping(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_H264);
    c.nal_length_bytes = 4;
    assert_int_equal(CLASSIFY(&c, 0, 0, 0, 2, 0x65, 0x88), VX_PACKET_POINT | VX_PACKET_CLOSED);
    assert_true(c.may_skip);
    assert_false(CLASSIFY(&c, 0, 0, 0, 3, 0x65, 0x88) & VX_PACKET_HIDDEN);
    assert_false(c.may_skip);
}

#define HEVC_NAL(type, layer) 0, 0, 1, (type) << 1, (layer) + 1, 0x80

static void hevc_cra_is_open_but_at_the_start_and_after_an_end_of_sequence(void **state) {
    (void)state;
    enum { TRAIL_R = 1, RADL_R = 7, RASL_N = 8, RASL_R = 9, IDR_N_LP = 20, CRA = 21, EOS = 36 };
    uint32_t closed = VX_PACKET_POINT | VX_PACKET_CLOSED;
    vx_classifier c = classifier(AV_CODEC_ID_HEVC);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(CRA, 0)), closed);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(RASL_R, 0)), VX_PACKET_RASL | VX_PACKET_HIDDEN);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(RADL_R, 0)), VX_PACKET_RADL);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(TRAIL_R, 0)), 0);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(CRA, 0)), VX_PACKET_POINT);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(RASL_N, 0)), VX_PACKET_RASL | VX_PACKET_NONREF);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(IDR_N_LP, 0), HEVC_NAL(EOS, 0)), closed);
    assert_int_equal(CLASSIFY(&c, HEVC_NAL(CRA, 0)), closed);
}

static void hevc_unreferenced_picture_of_a_lower_layer_is_kept(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_HEVC);
    vx_packet packets[] = {
        {.flags = CLASSIFY(&c, HEVC_NAL(19, 0))},
        {.flags = CLASSIFY(&c, HEVC_NAL(0, 1))},
        {.flags = CLASSIFY(&c, HEVC_NAL(0, 2))},
    };
    vx_classifier_finish(&c, packets, 3);
    assert_false(packets[1].flags & VX_PACKET_NONREF);
    assert_true(packets[2].flags & VX_PACKET_NONREF);
}

static void vp9_and_vp8_hidden_pictures_are_told_from_shown_ones(void **state) {
    (void)state;
    uint32_t closed = VX_PACKET_POINT | VX_PACKET_CLOSED;
    vx_classifier vp9 = classifier(AV_CODEC_ID_VP9);
    assert_int_equal(CLASSIFY(&vp9, 0x82, 0x49, 0x83), closed);           /* key, shown */
    assert_int_equal(CLASSIFY(&vp9, 0x86, 0x00, 0x40), 0);                /* inter, shown */
    assert_int_equal(CLASSIFY(&vp9, 0x84, 0x00, 0x40), VX_PACKET_HIDDEN); /* inter, not shown */
    assert_int_equal(CLASSIFY(&vp9, 0x88), 0);                            /* shows an old one */
    assert_int_equal(CLASSIFY(&vp9, 0x84, 0x00, 0xc1), 0);                /* superframe */
    assert_true(vp9.may_skip);
    vx_classifier vp8 = classifier(AV_CODEC_ID_VP8);
    assert_int_equal(CLASSIFY(&vp8, 0x10, 0x02), closed);
    assert_int_equal(CLASSIFY(&vp8, 0x11, 0x02), 0);
    assert_int_equal(CLASSIFY(&vp8, 0x01, 0x02), VX_PACKET_HIDDEN);
}

static void av1_point_is_a_shown_key_picture(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_AV1);
    uint32_t closed = VX_PACKET_POINT | VX_PACKET_CLOSED;
    assert_int_equal(CLASSIFY(&c, 0x12, 0, 0x0a, 1, 7, 0x32, 1, 0x10), closed | VX_PACKET_SETS);
    assert_int_equal(CLASSIFY(&c, 0x12, 0, 0x32, 1, 0x30), 0); /* inter picture */
    assert_int_equal(CLASSIFY(&c, 0x12, 0, 0x32, 1, 0x00), 0); /* key picture shown later */
    assert_int_equal(CLASSIFY(&c, 0x12, 0, 0x1a, 1, 0x80), 0); /* shows an existing one */
    assert_int_equal(CLASSIFY(&c, 0x12, 0, 0x32, 100, 0x10), VX_PACKET_HIDDEN); /* broken size */
}

static void mpeg4_two_pictures_in_a_packet_forbid_skipping(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_MPEG4);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0xb6, 0x10, 1), VX_PACKET_POINT);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0xb6, 0x50, 1), 0);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0xb6, 0x90, 1), VX_PACKET_NONREF);
    assert_true(c.may_skip);
    CLASSIFY(&c, 0, 0, 1, 0xb6, 0x50, 1, 0, 0, 1, 0xb6, 0x90, 1);
    assert_false(c.may_skip);
}

static void mpeg2_gop_header_says_whether_the_point_is_closed(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_MPEG2VIDEO);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0xb8, 0, 8, 0, 0x40, 0, 0, 1, 0, 0, 0x08, 0),
                     VX_PACKET_POINT | VX_PACKET_CLOSED);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0xb8, 0, 8, 0, 0x00, 0, 0, 1, 0, 0, 0x08, 0),
                     VX_PACKET_POINT);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0, 0, 0x10, 0), 0);
    assert_int_equal(CLASSIFY(&c, 0, 0, 1, 0, 0, 0x18, 0), VX_PACKET_NONREF);
}

static void mjpeg_picture_without_its_tables_is_no_point(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_MJPEG);
    assert_true(CLASSIFY(&c, 0xff, 0xd8, 0xff, 0xdb, 0, 3, 0, 0xff, 0xda, 0, 2) & VX_PACKET_POINT);
    assert_int_equal(CLASSIFY(&c, 0xff, 0xd8, 0xff, 0xda, 0, 2, 0, 0), 0);
    assert_true(CLASSIFY(&c, 0xff, 0xd8, 0xff, 0xdb, 0, 2, 0xff, 0xc4, 0, 2, 0xff, 0xda, 0, 2) &
                VX_PACKET_POINT);
    /* now an earlier picture has defined Huffman tables that this one may use */
    assert_int_equal(CLASSIFY(&c, 0xff, 0xd8, 0xff, 0xdb, 0, 3, 0, 0xff, 0xda, 0, 2), 0);
}

static void codec_that_is_not_read_forbids_skipping(void **state) {
    (void)state;
    vx_classifier c = classifier(AV_CODEC_ID_WMV2);
    assert_int_equal(CLASSIFY(&c, 1, 2, 3), 0);
    assert_false(c.may_skip);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_frame_is_the_nearest_and_of_two_the_earlier),
        cmocka_unit_test(key_frame_is_of_the_span_if_that_has_one),
        cmocka_unit_test(key_frame_is_none_where_no_start_is_known),
        cmocka_unit_test(choose_tie_goes_to_the_earlier),
        cmocka_unit_test(choose_last_sample_is_below_half_a_step_behind_the_end),
        cmocka_unit_test(choose_one_frame_is_chosen_alone),
        cmocka_unit_test(choose_slow_source_repeats_frames),
        cmocka_unit_test(choose_span_counts_from_its_first_frame),
        cmocka_unit_test(choose_span_between_two_frames_takes_the_one_shown),
        cmocka_unit_test(choose_nonsense_is_refused),
        cmocka_unit_test(plan_of_random_streams_sends_all_that_wanted_frames_need),
        cmocka_unit_test(plan_leaves_out_what_is_decoded_later_and_restarts_behind_it),
        cmocka_unit_test(plan_with_doubt_sends_everything_up_to_the_last_wanted),
        cmocka_unit_test(plan_leading_picture_of_an_open_gop_needs_the_gop_before),
        cmocka_unit_test(plan_leading_reference_is_exact_only_with_the_gop_before),
        cmocka_unit_test(cost_is_what_the_plan_sends),
        cmocka_unit_test(h264_idr_is_a_closed_point_and_other_i_pictures_are_none),
        cmocka_unit_test(h264_recovery_point_is_a_point_only_where_it_is_exact_at_once),
        cmocka_unit_test(h264_changed_parameter_sets_forbid_skipping),
        cmocka_unit_test(point_without_the_parameter_sets_of_others_is_none),
        cmocka_unit_test(nal_length_outside_the_packet_forbids_skipping),
        cmocka_unit_test(hevc_cra_is_open_but_at_the_start_and_after_an_end_of_sequence),
        cmocka_unit_test(hevc_unreferenced_picture_of_a_lower_layer_is_kept),
        cmocka_unit_test(vp9_and_vp8_hidden_pictures_are_told_from_shown_ones),
        cmocka_unit_test(av1_point_is_a_shown_key_picture),
        cmocka_unit_test(mpeg4_two_pictures_in_a_packet_forbid_skipping),
        cmocka_unit_test(mpeg2_gop_header_says_whether_the_point_is_closed),
        cmocka_unit_test(mjpeg_picture_without_its_tables_is_no_point),
        cmocka_unit_test(codec_that_is_not_read_forbids_skipping),
    };
    return cmocka_run_group_tests_name("media", tests, NULL, NULL);
}
