/* Fingerprints of videos with black bars: the hashes inside must be those of the picture that the
 * bars were put around. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fingerprint/fingerprint.h"

enum { W = 320, H = 240, TOP = 40, LEFT = 30, N = 12 };

/* Soft blobs of 60..255, others for each seed: nothing at the edges is dark. */
static void paint(uint8_t *luma, int w, int h, unsigned seed) {
    uint8_t cell[10][10];
    srand(seed);
    for (int i = 0; i < 100; i++)
        cell[i / 10][i % 10] = (uint8_t)(60 + rand() % 196);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            luma[y * w + x] = cell[y * 10 / h][x * 10 / w];
}

/* A black picture with `inner`, uint8 [h, w], in its middle. */
static void frame_it(uint8_t *luma, const uint8_t *inner, int w, int h) {
    memset(luma, 2, W * H);
    for (int y = 0; y < h; y++)
        memcpy(luma + ((H - h) / 2 + y) * W + (W - w) / 2, inner + y * w, (size_t)w);
}

static void add(vx_fp_track *track, const uint8_t *luma, int w, int h, int i) {
    vx_frame picture = vx_frame_view(VX_FRAME_GRAY, luma, w, h, w);
    picture.time_s = i * 0.5;
    assert_int_equal(vx_fp_track_add(track, &picture, i % 2 == 0, NULL), 0);
}

static vx_fp_video finish(vx_fp_track *track) {
    vx_fp_video video;
    assert_int_equal(vx_fp_track_finish(track, &video, NULL), 0);
    vx_fp_track_free(track);
    return video;
}

static vx_fp_track *new_track(void) {
    vx_fp_track *track;
    assert_int_equal(vx_fp_track_new(&track, NULL), 0);
    return track;
}

/* N pictures of w x h in the middle of W x H ones; edit, if any, changes picture i. */
static vx_fp_video framed_video(int w, int h, void (*edit)(uint8_t *luma, int i)) {
    static uint8_t inner[W * H], luma[W * H];
    vx_fp_track *track = new_track();
    for (int i = 0; i < N; i++) {
        paint(inner, w, h, (unsigned)i + 1);
        frame_it(luma, inner, w, h);
        if (edit)
            edit(luma, i);
        add(track, luma, W, H, i);
    }
    return finish(track);
}

static vx_fp_video plain_video(int w, int h) {
    static uint8_t luma[W * H];
    vx_fp_track *track = new_track();
    for (int i = 0; i < N; i++) {
        paint(luma, w, h, (unsigned)i + 1);
        add(track, luma, w, h, i);
    }
    return finish(track);
}

static void assert_inside_is(const vx_fp_video *framed, const vx_fp_video *plain) {
    assert_int_equal(plain->n_frames, N);
    assert_int_equal(framed->n_frames, 2 * N);
    assert_int_equal(framed->n_stored, N);
    for (size_t i = 0; i < N; i++) {
        const vx_fp_frame *inside = &framed->frames[N + i];
        assert_false(framed->frames[i].inside);
        assert_true(inside->inside);
        assert_float_equal(inside->time_s, plain->frames[i].time_s, 0);
        assert_int_equal(inside->quality, plain->frames[i].quality);
        assert_memory_equal(inside->hash, plain->frames[i].hash, 32);
        assert_memory_equal(framed->mirrored[N + i].hash, plain->mirrored[i].hash, 32);
    }
}

static void framed_as(int w, int h, void (*edit)(uint8_t *luma, int i)) {
    vx_fp_video framed = framed_video(w, h, edit), plain = plain_video(w, h);
    assert_inside_is(&framed, &plain);
    vx_fp_video_clear(&framed);
    vx_fp_video_clear(&plain);
}

static void bars_leave_the_hashes_of_the_picture_inside(void **state) {
    (void)state;
    framed_as(W, H - 2 * TOP, NULL);            /* letterbox */
    framed_as(W - 2 * LEFT, H, NULL);           /* pillarbox */
    framed_as(W - 2 * LEFT, H - 2 * TOP, NULL); /* both */
    framed_as(W * 3 / 10, H, NULL);             /* an upright video in a wide one */
}

/* Letters cover a half of the lines that they stand on. */
static void write_text(uint8_t *luma, int i) {
    for (int y = H - TOP + 8; i % 3 && y < H - TOP + 24; y++)
        for (int x = 40; x < W - 40; x++)
            luma[y * W + x] = x / 4 % 2 ? 235 : 2;
}

static void subtitles_in_a_bar_leave_it_a_bar(void **state) {
    (void)state;
    framed_as(W, H - 2 * TOP, write_text);
}

static void start_black(uint8_t *luma, int i) {
    if (i < 3)
        memset(luma, 5, W * H);
}

static void black_pictures_say_nothing_about_bars(void **state) {
    (void)state;
    vx_fp_video video = framed_video(W, H - 2 * TOP, start_black);
    assert_int_equal(video.n_frames, N + N - 3);
    vx_fp_video_clear(&video);
    static uint8_t black[W * H];
    vx_fp_track *track = new_track();
    for (int i = 0; i < N; i++)
        add(track, black, W, H, i);
    video = finish(track);
    assert_int_equal(video.n_frames, N);
    vx_fp_video_clear(&video);
}

/* All is dark but a lamp; then it is day. */
static void start_dark(uint8_t *luma, int i) {
    for (int y = 0; i < 3 && y < H; y++)
        for (int x = 0; x < W; x++)
            if (y < 60 || y > 180 || x < 60 || x > 200)
                luma[y * W + x] = 10;
}

static void dark_opening_of_a_video_without_bars_leaves_none(void **state) {
    (void)state;
    vx_fp_video video = framed_video(W, H, start_dark);
    assert_int_equal(video.n_frames, N);
    assert_int_equal(video.n_stored, N / 2);
    vx_fp_video_clear(&video);
}

static void dark_opening_between_bars_is_left_out_inside(void **state) {
    (void)state;
    vx_fp_video video = framed_video(W, H - 2 * TOP, start_dark),
                plain = plain_video(W, H - 2 * TOP);
    assert_int_equal(video.n_frames, N + N - 3);
    for (size_t i = N; i < video.n_frames; i++)
        assert_memory_equal(video.frames[i].hash, plain.frames[i - N + 3].hash, 32);
    vx_fp_video_clear(&video);
    vx_fp_video_clear(&plain);
}

static void picture_of_another_size_ends_the_search_for_bars(void **state) {
    (void)state;
    static uint8_t luma[W * H], inner[W * H];
    vx_fp_track *track = new_track();
    paint(inner, W, H - 2 * TOP, 1);
    frame_it(luma, inner, W, H - 2 * TOP);
    for (int i = 0; i < N; i++)
        add(track, luma, i < 5 ? W : W / 2, H, i);
    vx_fp_video video = finish(track);
    assert_int_equal(video.n_frames, N);
    vx_fp_video_clear(&video);
}

static vx_fp_match compare(const vx_fp_video *asked, const vx_fp_video *stored) {
    vx_fp_match match;
    assert_int_equal(vx_fp_compare(asked->frames, asked->n_frames, stored->stored, stored->n_stored,
                                   &match, NULL),
                     0);
    return match;
}

static void videos_are_compared_each_way_that_there_is(void **state) {
    (void)state;
    vx_fp_video wide = framed_video(W, H - 2 * TOP, NULL), plain = plain_video(W, H - 2 * TOP);
    vx_fp_video both = framed_video(W - 2 * LEFT, H - 2 * TOP, NULL);
    const vx_fp_video *all[] = {&wide, &plain, &both};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            vx_fp_match match = compare(all[i], all[k]);
            assert_true(vx_fp_is_copy(&match) && match.share > 0.9f);
            assert_float_equal(match.offset_s, 0, 0.01);
        }
    wide.n_stored = N / 2; /* as stored before there was a look at bars */
    vx_fp_match match = compare(&wide, &wide);
    assert_true(vx_fp_is_copy(&match));
    match = compare(&plain, &wide);
    assert_false(vx_fp_is_copy(&match));
    vx_fp_video_clear(&wide);
    vx_fp_video_clear(&plain);
    vx_fp_video_clear(&both);
}

/* Inside the bars one picture matches for all of the time, which is no copy; without looking at bars
 * three pictures do for half of it. */
static void no_copy_inside_does_not_hide_a_copy(void **state) {
    (void)state;
    vx_fp_frame a[16] = {0}, b[16] = {0};
    srand(3);
    for (int i = 0; i < 16; i++) {
        a[i] = (vx_fp_frame){.time_s = (float)(i % 8), .quality = 100, .inside = i >= 8};
        for (int k = 0; k < 32; k++)
            a[i].hash[k] = (uint8_t)(i > 8 ? a[8].hash[k] : rand());
        b[i] = a[i];
        for (int k = 0; i < 4 && k < 32; k++)
            b[i].hash[k] = (uint8_t)rand();
    }
    vx_fp_match match;
    assert_int_equal(vx_fp_compare(a + 8, 8, b + 8, 8, &match, NULL), 0);
    assert_false(vx_fp_is_copy(&match));
    assert_int_equal(vx_fp_compare(a, 16, b, 16, &match, NULL), 0);
    assert_true(vx_fp_is_copy(&match));
}

static void packed_frames_come_back(void **state) {
    (void)state;
    vx_fp_video video = framed_video(W, H - 2 * TOP, NULL);
    void *blob;
    size_t bytes, n;
    vx_fp_frame *back;
    assert_int_equal(vx_fp_pack(video.frames, video.n_frames, &blob, &bytes, NULL), 0);
    assert_int_equal(vx_fp_unpack(blob, bytes, &back, &n, NULL), 0);
    assert_int_equal(n, video.n_frames);
    for (size_t i = 0; i < n; i++) {
        assert_float_equal(back[i].time_s, video.frames[i].time_s, 0);
        assert_int_equal(back[i].quality, video.frames[i].quality);
        assert_int_equal(back[i].inside, video.frames[i].inside);
        assert_memory_equal(back[i].hash, video.frames[i].hash, 32);
    }
    free(blob);
    free(back);
    vx_fp_video_clear(&video);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bars_leave_the_hashes_of_the_picture_inside),
        cmocka_unit_test(subtitles_in_a_bar_leave_it_a_bar),
        cmocka_unit_test(black_pictures_say_nothing_about_bars),
        cmocka_unit_test(dark_opening_of_a_video_without_bars_leaves_none),
        cmocka_unit_test(dark_opening_between_bars_is_left_out_inside),
        cmocka_unit_test(picture_of_another_size_ends_the_search_for_bars),
        cmocka_unit_test(videos_are_compared_each_way_that_there_is),
        cmocka_unit_test(no_copy_inside_does_not_hide_a_copy),
        cmocka_unit_test(packed_frames_come_back),
    };
    return cmocka_run_group_tests_name("fingerprint_bars", tests, NULL, NULL);
}
