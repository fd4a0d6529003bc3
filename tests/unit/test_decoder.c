/* Decoding on a card and, where it gives up, on the CPU: what a caller of
 * vx_media_decode sees. The card is that of nvdec_fake.h, whose pictures are
 * grey; the clips are real ones. The file is long because all ways through one call share its receiver. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "base/thread.h"
#include "clip_fixture.h"
#include "media/media.h"
#include "nvdec_fake.h"

enum { W = CLIP_W, H = CLIP_H, N_FRAMES = CLIP_FRAMES, MAX_GOT = 2 * N_FRAMES };

typedef struct receiver {
    int64_t numbers[MAX_GOT];
    int luma[MAX_GOT]; /* of the top left sample */
    bool extra[MAX_GOT];
    bool takes_card; /* what lies on it */
    int n, n_on_card, fail_at;
    int asked, stop_at;
} receiver;

static int receive(receiver *r, int64_t number, vx_picture *picture, bool extra, vx_err *err) {
    const vx_frame *f = vx_picture_frame(picture);
    bool on_card = f->device != VX_FRAME_HOST;
    assert_true(!on_card || r->takes_card);
    assert_int_equal(f->layout, on_card ? VX_FRAME_YUV_SEMIPLANAR : VX_FRAME_YUV_PLANAR);
    r->n_on_card += on_card;
    assert_int_equal(f->width_px, W);
    assert_int_equal(f->height_px, H);
    assert_true(r->n < MAX_GOT);
    r->numbers[r->n] = number;
    r->luma[r->n] = f->planes[0][0];
    r->extra[r->n] = extra;
    return ++r->n == r->fail_at ? VX_FAIL(err, 7, "enough") : 0;
}

static int on_picture(void *ctx, int64_t number, double time_s, vx_picture *picture, vx_err *err) {
    (void)time_s;
    return receive(ctx, number, picture, false, err);
}

static int on_extra(void *ctx, int64_t number, double time_s, vx_picture *picture, vx_err *err) {
    (void)time_s;
    return receive(ctx, number, picture, true, err);
}

static bool goes_on(void *ctx) {
    receiver *r = ctx;
    return ++r->asked != r->stop_at;
}

/* Decodes every step-th frame. decoder: NULL = the CPU alone. */
static int decode(vx_decoder *decoder, int step, bool extras, receiver *r, vx_media_stats *stats,
                  vx_err *err) {
    VX_AUTO(vx_media) media = NULL;
    int64_t frames[N_FRAMES], n = 0;
    assert_int_equal(vx_media_open(clip_path, NULL, &media, err), 0);
    assert_int_equal(vx_media_get_info(media)->n_frames, N_FRAMES);
    for (int64_t i = 0; i < N_FRAMES; i += step)
        frames[n++] = i;
    const vx_media_decode_params params = {.frames = frames,
                                           .n = n,
                                           .threads = 1,
                                           .decoder = decoder,
                                           .on_card = r->takes_card,
                                           .keep_going = goes_on,
                                           .on_picture = on_picture,
                                           .on_extra = extras ? on_extra : NULL,
                                           .ctx = r};
    return vx_media_decode(media, &params, stats, err);
}

static vx_decoder *open_decoder(void) {
    if (access(clip_path, R_OK) != 0)
        skip();
    fake_reset();
    fake.whole = 1;
    vx_decoder *decoder = NULL;
    const vx_decoder_params params = {.hybrid = true, .driver = &fake_driver};
    assert_int_equal(vx_decoder_open(&params, &decoder, NULL), 0);
    return decoder;
}

static void close_decoder(vx_decoder *decoder) {
    vx_decoder_free(decoder);
    assert_true(fake_is_empty());
}

static void expect_all_once_in_order(const receiver *r, int step) {
    assert_int_equal(r->n, N_FRAMES / step);
    for (int i = 0; i < r->n; i++)
        assert_int_equal(r->numbers[i], i * step);
}

static void pictures_of_the_card_come_in_order_and_in_host_memory(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    receiver r = {0};
    vx_media_stats stats;
    assert_int_equal(decode(decoder, 1, false, &r, &stats, NULL), 0);
    expect_all_once_in_order(&r, 1);
    assert_int_equal(stats.path, VX_MEDIA_ON_CARD);
    assert_null(stats.refused);
    assert_int_equal(stats.frames_decoded, N_FRAMES);
    assert_int_equal(r.luma[5] - r.luma[0], 5); /* fake pictures, numbered by their decoder */
    close_decoder(decoder);
}

static void pq_is_decoded_by_the_card_once_its_brightness_was_read(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    char usual[sizeof clip_path];
    receiver r = {.takes_card = true};
    vx_media_stats stats;
    strcpy(usual, clip_path);
    strcpy(clip_path, CLIP_TEMPLATE);
    clip_encode(clip_path, AVCOL_TRC_SMPTE2084);
    int rc = decode(decoder, 1, false, &r, &stats, NULL);
    unlink(clip_path);
    strcpy(clip_path, usual);
    assert_int_equal(rc, 0);
    expect_all_once_in_order(&r, 1);
    assert_int_equal(stats.path, VX_MEDIA_ON_CARD);
    assert_int_equal(r.n_on_card, N_FRAMES);
    close_decoder(decoder);
}

/* ---- frames that the caller makes on the card's threads ---- */

typedef struct small_receiver {
    int64_t numbers[MAX_GOT];
    int n, n_small, fail_from;
    atomic_int n_made;
} small_receiver;

static int make_small(void *ctx, const vx_frame *frame, vx_card *card, vx_frame **ret_frame,
                      vx_err *err) {
    small_receiver *r = ctx;
    assert_non_null(card);
    if (frame->device == VX_FRAME_HOST || atomic_fetch_add(&r->n_made, 1) + 1 >= r->fail_from)
        return VX_FAIL(err, -ENOTSUP, "no");
    vx_frame like = vx_frame_view(VX_FRAME_RGB, (const uint8_t *)"\1\2\3", 1, 1, 3);
    like.number = frame->number;
    return vx_frame_new(&like, NULL, NULL, ret_frame, err);
}

static int on_small_picture(void *ctx, int64_t number, double time_s, vx_picture *picture,
                            vx_err *err) {
    small_receiver *r = ctx;
    const vx_frame *f = vx_picture_frame(picture);
    (void)time_s, (void)err;
    r->n_small += f->width_px == 1;
    assert_int_equal(f->width_px == 1 ? f->planes[0][2] : 3, 3);
    r->numbers[r->n++] = number;
    return 0;
}

/* All pictures, of which the card makes small ones until it fails. */
static void decode_small(small_receiver *r, vx_media_stats *stats) {
    VX_AUTO(vx_media) media = NULL;
    vx_decoder *decoder = open_decoder();
    int64_t frames[N_FRAMES];
    for (int64_t i = 0; i < N_FRAMES; i++)
        frames[i] = i;
    assert_int_equal(vx_media_open(clip_path, NULL, &media, NULL), 0);
    const vx_media_decode_params params = {.frames = frames,
                                           .n = N_FRAMES,
                                           .threads = 1,
                                           .decoder = decoder,
                                           .on_card_frame = make_small,
                                           .on_picture = on_small_picture,
                                           .ctx = r};
    assert_int_equal(vx_media_decode(media, &params, stats, NULL), 0);
    assert_int_equal(r->n, N_FRAMES);
    for (int i = 0; i < N_FRAMES; i++)
        assert_int_equal(r->numbers[i], i);
    close_decoder(decoder);
}

static void frames_that_the_caller_makes_of_pictures_come_in_order(void **state) {
    (void)state;
    small_receiver r = {.fail_from = N_FRAMES + 1};
    vx_media_stats stats;
    decode_small(&r, &stats);
    assert_int_equal(stats.path, VX_MEDIA_ON_CARD);
    assert_int_equal(r.n_small, N_FRAMES);
    assert_int_equal(fake.calls[FAKE_COPY], 0); /* nothing else left the card */
}

static void the_cpu_goes_on_where_the_caller_makes_none(void **state) {
    (void)state;
    small_receiver r = {.fail_from = 25};
    vx_media_stats stats;
    decode_small(&r, &stats);
    assert_int_not_equal(stats.path, VX_MEDIA_ON_CARD);
    assert_in_range(r.n_small, 0, 24);
}

static void extras_are_those_that_are_decoded_anyway(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    receiver r = {0};
    assert_int_equal(decode(decoder, 4, true, &r, NULL, NULL), 0);
    for (int i = 0; i < r.n; i++) {
        assert_int_equal(r.extra[i], r.numbers[i] % 4 != 0);
        assert_true(i == 0 || r.numbers[i] > r.numbers[i - 1]);
    }
    /* Without B pictures all up to the last wanted one of each ten. */
    assert_int_equal(r.n, 9 + 7 + 9 + 7 + 9 + 7);
    close_decoder(decoder);
}

static void what_the_card_gives_up_on_the_cpu_goes_on_with(void **state) {
    (void)state;
    receiver plain = {0};
    vx_decoder *decoder = open_decoder();
    assert_int_equal(decode(NULL, 1, false, &plain, NULL, NULL), 0);
    for (int at = 1; at <= N_FRAMES; at += 9) {
        receiver r = {0};
        vx_media_stats stats;
        fake.calls[FAKE_PARSE] = 0;
        fake.lose_at = at;
        assert_int_equal(decode(decoder, 1, false, &r, &stats, NULL), 0);
        expect_all_once_in_order(&r, 1);
        assert_int_not_equal(stats.path, VX_MEDIA_ON_CARD);
        assert_string_equal(stats.refused, "damaged");
        bool on_cpu = false; /* from one picture on */
        for (int i = 0; i < r.n; i++) {
            on_cpu |= r.luma[i] == plain.luma[i];
            assert_true(!on_cpu || r.luma[i] == plain.luma[i]);
        }
        assert_true(on_cpu);
    }
    vx_decoder_stats all;
    vx_decoder_get_stats(decoder, &all);
    assert_int_equal(all.n_clips[VX_MEDIA_ON_CARD], 0);
    assert_int_equal(all.n_clips[VX_MEDIA_ON_CPU] + all.n_clips[VX_MEDIA_ON_BOTH], 7);
    for (int i = 0; i < all.n_reasons; i++)
        assert_int_equal(all.n_refused[i], strcmp(all.reasons[i], "damaged") ? 0 : 7);
    close_decoder(decoder);
}

static void no_picture_comes_twice_when_the_cpu_goes_on(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    for (int at = 1; at <= 48; at += 5) {
        receiver r = {0};
        fake.calls[FAKE_PARSE] = 0;
        fake.lose_at = at;
        assert_int_equal(decode(decoder, 4, true, &r, NULL, NULL), 0);
        int n_requested = 0;
        for (int i = 0; i < r.n; i++) {
            n_requested += !r.extra[i];
            assert_int_equal(r.extra[i], r.numbers[i] % 4 != 0);
            assert_true(i == 0 || r.numbers[i] > r.numbers[i - 1]);
        }
        assert_int_equal(n_requested, N_FRAMES / 4);
    }
    close_decoder(decoder);
}

static void a_card_that_fails_leaves_all_to_the_cpu(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    receiver r = {0};
    vx_media_stats stats;
    fake.fail_at[FAKE_CREATE_DECODER] = 1;
    fake.fail_with = VX_CUDA_OUT_OF_MEMORY;
    fake.memory_for = -1;
    assert_int_equal(decode(decoder, 1, true, &r, &stats, NULL), 0);
    expect_all_once_in_order(&r, 1);
    assert_int_equal(stats.path, VX_MEDIA_ON_CPU);
    assert_string_equal(stats.refused, "memory");
    close_decoder(decoder);
}

static void what_the_receiver_returns_ends_the_decode(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    for (int at = 1; at <= N_FRAMES; at += 13) {
        receiver r = {.fail_at = at};
        vx_err err = {0};
        assert_int_equal(decode(decoder, 1, false, &r, NULL, &err), 7);
        assert_string_equal(err.msg, "enough");
        assert_int_equal(r.n, at);
    }
    close_decoder(decoder);
}

static void stopping_ends_the_decode(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    for (int at = 1; at < N_FRAMES; at += 7) {
        receiver r = {.stop_at = at};
        assert_int_equal(decode(decoder, 1, false, &r, NULL, NULL), VX_MEDIA_STOPPED);
    }
    close_decoder(decoder);
}

static void pictures_stay_on_the_card_for_who_takes_them(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    receiver host = {0}, card = {.takes_card = true};
    assert_int_equal(decode(decoder, 2, false, &host, NULL, NULL), 0);
    assert_int_equal(host.n_on_card, 0);
    assert_int_equal(decode(decoder, 2, false, &card, NULL, NULL), 0);
    expect_all_once_in_order(&card, 2);
    assert_int_equal(card.n_on_card, N_FRAMES / 2);
    assert_int_equal(vx_card_get_memory(vx_decoder_get_card(decoder)).used_bytes, 0);
    close_decoder(decoder);
}

static void without_memory_for_them_pictures_come_in_that_of_the_host(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    receiver r = {.takes_card = true};
    fake.no_memory = 1;
    assert_int_equal(decode(decoder, 2, false, &r, NULL, NULL), 0);
    expect_all_once_in_order(&r, 2);
    assert_int_equal(r.n_on_card, 0);
    close_decoder(decoder);
}

static void after_the_card_gave_up_pictures_come_in_host_memory(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    receiver plain = {0};
    assert_int_equal(decode(NULL, 1, false, &plain, NULL, NULL), 0);
    for (int at = 1; at <= N_FRAMES; at += 9) {
        receiver r = {.takes_card = true};
        fake.calls[FAKE_PARSE] = 0;
        fake.lose_at = at;
        assert_int_equal(decode(decoder, 1, false, &r, NULL, NULL), 0);
        expect_all_once_in_order(&r, 1);
        for (int i = r.n_on_card; i < r.n; i++)
            assert_int_equal(r.luma[i], plain.luma[i]);
    }
    close_decoder(decoder);
}

static void what_cannot_be_copied_is_decoded_by_the_cpu(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    receiver plain = {0};
    assert_int_equal(decode(NULL, 1, false, &plain, NULL, NULL), 0);
    for (int at = 1; at <= 2 * N_FRAMES; at += 17) { /* two planes a picture */
        receiver r = {.takes_card = at % 2};
        vx_media_stats stats;
        fake.calls[FAKE_COPY] = 0;
        fake.fail_at[FAKE_COPY] = at;
        assert_int_equal(decode(decoder, 1, false, &r, &stats, NULL), 0);
        expect_all_once_in_order(&r, 1);
        assert_string_equal(stats.refused, "driver");
        assert_int_not_equal(stats.path, VX_MEDIA_ON_CARD);
        assert_int_equal(r.luma[N_FRAMES - 1], plain.luma[N_FRAMES - 1]);
    }
    close_decoder(decoder);
}

/* A clip that stays on the card until it is let go. */
typedef struct slow_clip {
    vx_decoder *decoder;
    vx_mutex lock;
    vx_cond changed;
    bool begun VX_GUARDED, let_go VX_GUARDED;
    int path;
} slow_clip;

static int on_slow_picture(void *ctx, int64_t number, double time_s, vx_picture *picture,
                           vx_err *err) {
    slow_clip *c = ctx;
    (void)number, (void)time_s, (void)picture, (void)err;
    vx_mutex_lock(&c->lock);
    c->begun = true;
    vx_cond_broadcast(&c->changed);
    while (!c->let_go)
        vx_cond_wait(&c->changed, &c->lock);
    vx_mutex_unlock(&c->lock);
    return 0;
}

static void *decode_slowly(void *ctx) {
    slow_clip *c = ctx;
    VX_AUTO(vx_media) media = NULL;
    vx_media_stats stats;
    const int64_t frame = 0;
    if (vx_media_open(clip_path, NULL, &media, NULL) != 0)
        return NULL;
    const vx_media_decode_params params = {
        .frames = &frame, .n = 1, .decoder = c->decoder, .on_picture = on_slow_picture, .ctx = c};
    if (vx_media_decode(media, &params, &stats, NULL) == 0)
        c->path = (int)stats.path;
    return NULL;
}

static void let_go(slow_clip *c) {
    vx_mutex_lock(&c->lock);
    c->let_go = true;
    vx_cond_broadcast(&c->changed);
    vx_mutex_unlock(&c->lock);
}

/* Asked while the other clip waits for its place. */
static bool let_go_and_wait(void *ctx) {
    let_go(ctx);
    return true;
}

static int ignore(void *ctx, int64_t number, double time_s, vx_picture *picture, vx_err *err) {
    (void)ctx, (void)number, (void)time_s, (void)picture, (void)err;
    return 0;
}

/* The path of a clip that comes while the card, which takes one, has another. */
static int path_beside_another(bool hybrid) {
    if (access(clip_path, R_OK) != 0)
        skip();
    fake_reset();
    fake.whole = 1;
    slow_clip c = {.path = -1};
    VX_AUTO(vx_media) media = NULL;
    vx_media_stats stats;
    vx_decoder_stats all;
    pthread_t slow;
    const int64_t frames[] = {0, 10, 20};
    const vx_decoder_params params = {
        .hybrid = hybrid, .card_clips = 1, .cpu_clips = 1, .driver = &fake_driver};
    assert_int_equal(vx_decoder_open(&params, &c.decoder, NULL), 0);
    assert_int_equal(vx_media_open(clip_path, NULL, &media, NULL), 0);
    vx_mutex_init(&c.lock);
    vx_cond_init(&c.changed);
    pthread_create(&slow, NULL, decode_slowly, &c);
    vx_mutex_lock(&c.lock);
    while (!c.begun)
        vx_cond_wait(&c.changed, &c.lock);
    vx_mutex_unlock(&c.lock);
    const vx_media_decode_params beside = {.frames = frames,
                                           .n = 3,
                                           .threads = 1,
                                           .decoder = c.decoder,
                                           .keep_going = hybrid ? NULL : let_go_and_wait,
                                           .on_picture = ignore,
                                           .ctx = &c};
    assert_int_equal(vx_media_decode(media, &beside, &stats, NULL), 0);
    let_go(&c);
    pthread_join(slow, NULL);
    assert_int_equal(c.path, VX_MEDIA_ON_CARD);
    assert_null(stats.refused);
    vx_decoder_get_stats(c.decoder, &all);
    assert_int_equal(all.max_clips, 1);
    assert_int_equal(all.n_clips[VX_MEDIA_ON_CARD], hybrid ? 1 : 2);
    assert_int_equal(all.n_clips[VX_MEDIA_ON_CPU], hybrid ? 1 : 0);
    vx_cond_done(&c.changed);
    vx_mutex_done(&c.lock);
    close_decoder(c.decoder);
    return (int)stats.path;
}

static void cores_decode_beside_a_card_that_is_busy(void **state) {
    (void)state;
    assert_int_equal(path_beside_another(true), VX_MEDIA_ON_CPU);
}

static void without_hybrid_a_clip_waits_for_the_card(void **state) {
    (void)state;
    assert_int_equal(path_beside_another(false), VX_MEDIA_ON_CARD);
}

typedef struct converted {
    int n, luma[N_FRAMES];
} converted;

static int convert(void *ctx, int64_t number, double time_s, vx_picture *picture, vx_err *err) {
    converted *c = ctx;
    const vx_frame *luma, *rgb;
    (void)number, (void)time_s;
    assert_int_equal(vx_picture_luma(picture, &luma, err), 0);
    assert_int_equal(luma->device, VX_FRAME_HOST);
    c->luma[c->n++] = luma->planes[0][0];
    assert_int_equal(vx_picture_rgb(picture, &rgb, err), 0);
    assert_int_equal(rgb->width_px, W);
    return 0;
}

static void conversions_of_a_picture_on_the_card_fetch_it(void **state) {
    (void)state;
    vx_decoder *decoder = open_decoder();
    converted by_card = {0}, by_host = {0};
    VX_AUTO(vx_media) media = NULL;
    assert_int_equal(vx_media_open(clip_path, NULL, &media, NULL), 0);
    const int64_t frames[] = {0, 10, 20, 30, 40};
    vx_media_decode_params params = {.frames = frames,
                                     .n = 5,
                                     .decoder = decoder,
                                     .on_card = true,
                                     .on_picture = convert,
                                     .ctx = &by_card};
    assert_int_equal(vx_media_decode(media, &params, NULL, NULL), 0);
    params.on_card = false;
    params.ctx = &by_host;
    assert_int_equal(vx_media_decode(media, &params, NULL, NULL), 0);
    assert_int_equal(by_card.n, 5);
    assert_int_equal(by_host.n, 5);
    close_decoder(decoder);
}

static void the_next_video_goes_to_the_card_with_the_fewest(void **state) {
    (void)state;
    slow_clip c = {.path = -1};
    pthread_t slow;
    vx_decoders cards = {.items = {open_decoder()}, .n = 2};
    const vx_decoder_params second = {.hybrid = true, .driver = &fake_driver};
    assert_int_equal(vx_decoder_open(&second, &cards.items[1], NULL), 0);
    vx_decoder *first = vx_decoders_pick(&cards);
    assert_true(first != vx_decoders_pick(&cards)); /* of equals they take turns */
    c.decoder = cards.items[0];
    vx_mutex_init(&c.lock);
    vx_cond_init(&c.changed);
    pthread_create(&slow, NULL, decode_slowly, &c);
    vx_mutex_lock(&c.lock);
    while (!c.begun)
        vx_cond_wait(&c.changed, &c.lock);
    vx_mutex_unlock(&c.lock);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(vx_decoders_pick(&cards), cards.items[1]);
    let_go(&c);
    pthread_join(slow, NULL);
    vx_decoder_stats one, all;
    vx_decoder_get_stats(cards.items[0], &one);
    vx_decoders_get_stats(&cards, &all);
    assert_int_equal(all.n_clips[VX_MEDIA_ON_CARD], 1);
    assert_int_equal(all.max_clips, 2 * one.max_clips);
    vx_cond_done(&c.changed);
    vx_mutex_done(&c.lock);
    vx_decoders_free(&cards);
    assert_true(fake_is_empty());
    assert_null(vx_decoders_pick(&cards));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_of_the_card_come_in_order_and_in_host_memory),
        cmocka_unit_test(pq_is_decoded_by_the_card_once_its_brightness_was_read),
        cmocka_unit_test(frames_that_the_caller_makes_of_pictures_come_in_order),
        cmocka_unit_test(the_cpu_goes_on_where_the_caller_makes_none),
        cmocka_unit_test(extras_are_those_that_are_decoded_anyway),
        cmocka_unit_test(what_the_card_gives_up_on_the_cpu_goes_on_with),
        cmocka_unit_test(no_picture_comes_twice_when_the_cpu_goes_on),
        cmocka_unit_test(a_card_that_fails_leaves_all_to_the_cpu),
        cmocka_unit_test(what_the_receiver_returns_ends_the_decode),
        cmocka_unit_test(the_next_video_goes_to_the_card_with_the_fewest),
        cmocka_unit_test(stopping_ends_the_decode),
        cmocka_unit_test(pictures_stay_on_the_card_for_who_takes_them),
        cmocka_unit_test(without_memory_for_them_pictures_come_in_that_of_the_host),
        cmocka_unit_test(after_the_card_gave_up_pictures_come_in_host_memory),
        cmocka_unit_test(what_cannot_be_copied_is_decoded_by_the_cpu),
        cmocka_unit_test(cores_decode_beside_a_card_that_is_busy),
        cmocka_unit_test(without_hybrid_a_clip_waits_for_the_card),
        cmocka_unit_test(conversions_of_a_picture_on_the_card_fetch_it),
    };
    return cmocka_run_group_tests(tests, clip_make, clip_remove);
}
