/* Pictures on a card: its memory, hashes and model input made there, and what happens where it cannot. The
 * card is that of nvdec_fake.h; its kernels are their twins on the CPU. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <libavutil/pixfmt.h>

#include "card_fake.h"
#include "extract/extract_card.h"
#include "media/picture.h"

enum { MAX_FRAMES = 40, OUT = 32 };

static void close_card(vx_card *card) {
    vx_card_free(card);
    assert_true(fake_is_empty());
}

/* ---- memory ---- */

static void buffers_are_kept_and_bounded(void **state) {
    (void)state;
    vx_card *card = fake_card(1000 << 10);
    vx_card_buffer *a = vx_card_take(card, 400 << 10), *b = vx_card_take(card, 400 << 10);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(vx_card_take(card, 400 << 10));
    vx_card_memory m = vx_card_get_memory(card);
    assert_int_equal(m.bytes, 800 << 10);
    assert_int_equal(m.used_bytes, 800 << 10);
    assert_int_equal(m.n_refused, 1);
    uint8_t *address = a->address;
    vx_card_give(card, a);
    a = vx_card_take(card, 400 << 10);
    assert_ptr_equal(a->address, address);
    vx_card_give(card, a);
    vx_card_buffer *large = vx_card_take(card, 600 << 10); /* in place of the idle one */
    assert_non_null(large);
    assert_int_equal(vx_card_get_memory(card).bytes, 1000 << 10);
    vx_card_give(card, large);
    vx_card_give(card, b);
    close_card(card);
}

static void full_card_refuses_and_does_not_count(void **state) {
    (void)state;
    vx_card *card = fake_card(0);
    assert_int_equal(vx_card_get_memory(card).max_bytes, (INT64_C(80) << 30) / 24);
    fake.no_memory = 1;
    assert_null(vx_card_take(card, 1000));
    assert_int_equal(vx_card_get_memory(card).bytes, 0);
    fake.no_memory = 0;
    vx_card_buffer *a = vx_card_take(card, 1000);
    assert_non_null(a);
    vx_card_give(card, a);
    close_card(card);
}

static void trimmed_card_gives_back_and_takes_no_more_for_a_while(void **state) {
    (void)state;
    vx_card *card = fake_card(0);
    vx_card_buffer *used = vx_card_take(card, 1000), *idle = vx_card_take(card, 2000);
    vx_card_give(card, idle);
    vx_card_trim(card, INT64_C(3600) * 1000000);
    assert_int_equal(vx_card_get_memory(card).bytes, 1024);
    assert_null(vx_card_take(card, 2000));
    vx_card_give(card, used);
    used = vx_card_take(card, 1000); /* what is there is lent again */
    assert_non_null(used);
    vx_card_give(card, used);
    vx_card_trim(card, 0);
    vx_card_buffer *again = vx_card_take(card, 2000);
    assert_non_null(again);
    vx_card_give(card, again);
    close_card(card);
}

static void trimmed_card_gives_back_what_ended_work_has_kept(void **state) {
    (void)state;
    vx_card *card = fake_card(0);
    vx_card_work *work;
    vx_err err;
    void *scratch;
    assert_int_equal(vx_card_begin(card, &work, &err), 0);
    assert_int_equal(vx_card_scratch(work, 1000, &scratch, &err), 0);
    vx_card_trim(card, 0); /* it is in use */
    assert_int_equal(vx_card_get_memory(card).used_bytes, 1 << 20);
    vx_card_end(work);
    vx_card_trim(card, 0);
    assert_int_equal(vx_card_get_memory(card).bytes, 0);
    assert_int_equal(vx_card_get_memory(card).used_bytes, 0);
    assert_int_equal(vx_card_begin(card, &work, &err), 0);
    assert_int_equal(vx_card_scratch(work, 1000, &scratch, &err), 0);
    vx_card_end(work);
    close_card(card);
}

static void absent_kernels_have_a_reason(void **state) {
    (void)state;
    vx_card_driver driver = fake_driver;
    driver.has_kernels = false;
    const vx_card_image none = {.name = "some.cu"}, some = {"other.cu", (const void *)"x", 1};
    const vx_card_params params = {.driver = &driver};
    vx_card *card = NULL;
    vx_err err = {0};
    fake_reset();
    assert_int_equal(vx_card_open(&params, &card, NULL), 0);
    assert_int_equal(vx_card_load(card, &none, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "built without some.cu"));
    fake.fail_at[FAKE_LOAD_MODULE] = 1;
    assert_int_equal(vx_card_load(card, &some, &err), -ENODEV);
    assert_non_null(strstr(err.msg, "the driver cannot load other.cu"));
    assert_int_equal(vx_card_load(card, &some, &err), -ENODEV); /* it is not tried again */
    assert_int_equal(fake.calls[FAKE_LOAD_MODULE], 1);
    close_card(card);
}

/* ---- pictures ---- */

typedef struct picture_kind {
    int w, h, depth;
    bool full;
    int transfer; /* 0: SDR */
    vx_orientation orientation;
    int bar; /* rows of black above and below */
} picture_kind;

static int pixel_of(const picture_kind *k, int number, int x, int y) {
    if (y < k->bar || y >= k->h - k->bar)
        return k->full ? 2 : 17;
    double wave = 120 + 60 * sin(x * (0.02 + 0.003 * number) + number) * cos(y * 0.031 + number) +
                  30 * sin((x + 2 * y) * 0.11);
    return (int)wave;
}

/* A frame as a decoder on the card gives it. */
static vx_frame *on_card(const picture_kind *k, int number) {
    int bytes = k->depth == 8 ? 1 : 2, rows = k->h + (k->h + 1) / 2;
    ptrdiff_t pitch = (2 * ((k->w + 1) / 2) * bytes + 255) / 256 * 256;
    uint8_t *memory = calloc((size_t)rows, (size_t)pitch);
    vx_frame like = {.device = 0,
                     .planes = {memory, memory + pitch * k->h},
                     .pitch_bytes = {pitch, pitch},
                     .width_px = k->w,
                     .height_px = k->h,
                     .layout = VX_FRAME_YUV_SEMIPLANAR,
                     .bit_depth = k->depth,
                     .sample_bytes = bytes,
                     .low_bits = k->depth == 8 ? 0 : 16 - k->depth,
                     .chroma_log2_w = 1,
                     .chroma_log2_h = 1,
                     .matrix = VX_MATRIX_BT709,
                     .transfer = k->transfer ? k->transfer : VX_TRANSFER_UNSPECIFIED,
                     .full_range = k->full,
                     .orientation = k->orientation,
                     .number = number,
                     .time_s = number * 0.5};
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < k->w; x++) {
            int value = y < k->h ? pixel_of(k, number, x, y) : 128;
            if (bytes == 1)
                memory[y * pitch + x] = (uint8_t)value;
            else
                ((uint16_t *)(void *)(memory + y * pitch))[x] =
                    (uint16_t)(value << (k->depth - 8) << like.low_bits);
        }
    vx_frame *frame;
    assert_int_equal(vx_frame_new(&like, free, memory, &frame, NULL), 0);
    return frame;
}

/* Plane c of f, one sample after the other. */
static uint8_t *unpack(const vx_frame *f, int c, int w, int h, uint8_t *to) {
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, to += f->sample_bytes) {
            const uint8_t *row = f->planes[c > 0] + y * f->pitch_bytes[c > 0];
            int at = c ? 2 * x + c - 1 : x;
            if (f->sample_bytes == 1)
                *to = row[at];
            else
                *(uint16_t *)(void *)to =
                    (uint16_t)(((const uint16_t *)(const void *)row)[at] >> f->low_bits);
        }
    return to;
}

/* The same in host memory, planar. */
static int fetch(const vx_frame *f, vx_frame **ret, vx_err *err) {
    int w = f->width_px, h = f->height_px, cw = (w + 1) / 2, ch = (h + 1) / 2;
    uint8_t *memory = malloc((size_t)f->sample_bytes * (size_t)(w * h + 2 * cw * ch));
    vx_frame like = *f;
    like.device = VX_FRAME_HOST;
    like.layout = VX_FRAME_YUV_PLANAR;
    like.native_format = f->bit_depth == 8 ? AV_PIX_FMT_YUV420P : AV_PIX_FMT_YUV420P10;
    like.low_bits = 0;
    like.planes[0] = memory;
    like.planes[1] = unpack(f, 0, w, h, memory);
    like.planes[2] = unpack(f, 1, cw, ch, memory + (like.planes[1] - memory));
    unpack(f, 2, cw, ch, memory + (like.planes[2] - memory));
    like.pitch_bytes[0] = w * f->sample_bytes;
    like.pitch_bytes[1] = like.pitch_bytes[2] = cw * f->sample_bytes;
    return vx_frame_new(&like, free, memory, ret, err);
}

/* The luma that the CPU hashes, by the book. */
static void sdr_luma(const vx_frame *f, uint8_t *memory) {
    vx_samples s;
    assert_true(vx_frame_samples(f, &s));
    int unit = 1 << (f->bit_depth - 8), w = s.transpose ? s.h : s.w, h = s.transpose ? s.w : s.h;
    double black = f->full_range ? 0 : 16 * unit;
    double white = f->full_range ? (1 << f->bit_depth) - 1 : 235 * unit;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int sx, sy;
            vx_samples_find(&s, x, y, &sx, &sy);
            double value = round((vx_samples_luma(&s, sx, sy) - black) * 255 / (white - black));
            memory[y * w + x] = (uint8_t)fmax(0, fmin(255, value));
        }
}

/* That of HDR, as media/ makes it of the same picture in host memory. */
static void hdr_luma(const vx_frame *f, uint8_t *memory) {
    VX_AUTO(vx_frame) here = NULL;
    VX_AUTO(vx_picture) picture = vx_picture_new();
    const vx_frame *luma;
    assert_int_equal(fetch(f, &here, NULL), 0);
    vx_picture_set(picture, here);
    assert_int_equal(vx_picture_luma(picture, &luma, NULL), 0);
    for (int y = 0; y < luma->height_px; y++)
        memcpy(memory + y * luma->width_px, luma->planes[0] + y * luma->pitch_bytes[0],
               (size_t)luma->width_px);
}

static vx_frame upright_luma(const vx_frame *f, uint8_t *memory) {
    bool turned = f->orientation.transpose;
    int w = turned ? f->height_px : f->width_px, h = turned ? f->width_px : f->height_px;
    if (vx_frame_is_hdr(f))
        hdr_luma(f, memory);
    else
        sdr_luma(f, memory);
    vx_frame luma = vx_frame_view(VX_FRAME_GRAY, memory, w, h, w);
    luma.time_s = f->time_s;
    return luma;
}

static int bits_apart(const uint8_t *a, const uint8_t *b) {
    int n = 0;
    for (int i = 0; i < 32; i++)
        n += __builtin_popcount(a[i] ^ b[i]);
    return n;
}

/* Hashes n pictures both ways, `at_once` of them in a batch. Returns how many bits differ in all. */
static int compare_hashes(const picture_kind *kinds, size_t n_kinds, int n, int at_once,
                          size_t *ret_n_inside) {
    static uint8_t memory[4 << 20];
    vx_card *card = fake_card(0);
    vx_frame *frames[MAX_FRAMES];
    VX_AUTO(vx_fp_track) expected = NULL;
    VX_AUTO(vx_fp_track) got = NULL;
    vx_fp_track_new(&expected, NULL);
    vx_fp_track_new(&got, NULL);
    for (int i = 0; i < n; i++) {
        frames[i] = on_card(&kinds[(size_t)i % n_kinds], i);
        vx_frame luma = upright_luma(frames[i], memory);
        assert_int_equal(vx_fp_track_add(expected, &luma, i % 2 == 0, NULL), 0);
    }
    for (int from = 0; from < n; from += at_once) {
        vx_fp_picture pictures[MAX_FRAMES];
        int many = n - from < at_once ? n - from : at_once;
        for (int i = 0; i < many; i++)
            pictures[i] = (vx_fp_picture){frames[from + i], (from + i) % 2 == 0};
        VX_AUTO(vx_card_work) work = NULL;
        VX_AUTO(vx_fp_batch) batch = NULL;
        assert_int_equal(vx_card_begin(card, &work, NULL), 0);
        assert_int_equal(vx_fp_batch_begin(got, pictures, many, work, &batch, NULL), 0);
        assert_int_equal(vx_card_wait(work, NULL), 0);
        assert_int_equal(vx_fp_batch_add(batch, NULL), 0);
    }
    vx_fp_video a, b;
    assert_int_equal(vx_fp_track_finish(expected, &a, NULL), 0);
    assert_int_equal(vx_fp_track_finish(got, &b, NULL), 0);
    assert_int_equal(a.n_frames, b.n_frames);
    assert_int_equal(a.n_stored, b.n_stored);
    int differ = 0;
    *ret_n_inside = 0;
    for (size_t i = 0; i < a.n_frames; i++) {
        assert_true(a.frames[i].time_s == b.frames[i].time_s);
        assert_int_equal(a.frames[i].inside, b.frames[i].inside);
        *ret_n_inside += a.frames[i].inside;
        differ += bits_apart(a.frames[i].hash, b.frames[i].hash) +
                  bits_apart(a.mirrored[i].hash, b.mirrored[i].hash);
    }
    vx_fp_video_clear(&a);
    vx_fp_video_clear(&b);
    for (int i = 0; i < n; i++)
        vx_frame_unref(frames[i]);
    close_card(card);
    return differ;
}

static void hashes_are_those_of_the_cpu(void **state) {
    (void)state;
    const picture_kind kinds[] = {
        {.w = 320, .h = 240, .depth = 8},
        {.w = 640, .h = 360, .depth = 10},
        {.w = 201, .h = 133, .depth = 8},
        {.w = 96, .h = 700, .depth = 8, .full = true},
        {.w = 320, .h = 240, .depth = 12, .full = true},
    };
    size_t n_inside;
    for (size_t i = 0; i < VX_LEN(kinds); i++)
        assert_true(compare_hashes(&kinds[i], 1, 8, 3, &n_inside) <= 2);
    assert_true(compare_hashes(kinds, VX_LEN(kinds), 10, 10, &n_inside) <= 2); /* sizes mixed */
}

static void hashes_of_hdr_pictures_are_those_of_the_cpu(void **state) {
    (void)state;
    const picture_kind kinds[] = {
        {.w = 320, .h = 240, .depth = 10, .transfer = VX_TRANSFER_HLG},
        {.w = 322, .h = 180, .depth = 10, .transfer = VX_TRANSFER_PQ, .orientation = {1, 0, 1}},
        {.w = 320, .h = 240, .depth = 10, .transfer = VX_TRANSFER_HLG, .bar = 30},
        {.w = 320, .h = 240, .depth = 10},
    };
    size_t n_inside;
    for (size_t i = 0; i < VX_LEN(kinds); i++)
        assert_true(compare_hashes(&kinds[i], 1, 8, 3, &n_inside) <= 2);
    assert_true(compare_hashes(kinds, VX_LEN(kinds), 10, 10, &n_inside) <= 2); /* kinds mixed */
}

static void hashes_of_turned_pictures_are_those_of_the_cpu(void **state) {
    (void)state;
    size_t n_inside;
    for (int turn = 0; turn < 8; turn++) {
        const picture_kind kind = {
            .w = 322, .h = 180, .depth = 8, .orientation = {turn & 1, turn & 2, turn & 4}};
        assert_true(compare_hashes(&kind, 1, 4, 4, &n_inside) <= 2);
    }
}

static void pictures_with_bars_are_hashed_inside_them_too(void **state) {
    (void)state;
    const picture_kind kind = {.w = 320, .h = 240, .depth = 8, .bar = 30};
    size_t n_inside;
    for (int at_once = 1; at_once <= 12; at_once += 5) {
        assert_true(compare_hashes(&kind, 1, 12, at_once, &n_inside) <= 3);
        assert_int_equal(n_inside, 12);
    }
    /* Bars that end: the hashes inside them are dropped. */
    const picture_kind kinds[] = {kind, kind, {.w = 320, .h = 240, .depth = 8}};
    assert_true(compare_hashes(kinds, 3, 12, 5, &n_inside) <= 3);
    assert_int_equal(n_inside, 0);
}

static void what_the_card_does_not_hash_is_refused(void **state) {
    (void)state;
    VX_AUTO(vx_frame) frame = on_card(&(picture_kind){.w = 64, .h = 64, .depth = 8}, 0);
    vx_samples samples;
    assert_true(vx_frame_samples(frame, &samples));
    frame->matrix = 8; /* YCgCo */
    assert_false(vx_frame_samples(frame, &samples));
    frame->matrix = VX_MATRIX_BT709;
    frame->bit_depth = 16;
    assert_false(vx_frame_samples(frame, &samples));
}

/* ---- held pictures ---- */

static const vx_preprocess_spec SPEC = {
    .width_px = OUT, .height_px = OUT, .mean = {0.5f, 0.5f, 0.5f}, .std = {0.25f, 0.25f, 0.25f}};

/* Hashes and prepares n pictures through vx_extract_card. */
static vx_fp_video hold_all(vx_extract_card *c, int n, float places[][3 * OUT * OUT]) {
    VX_AUTO(vx_fp_track) track = NULL;
    vx_fp_video video;
    vx_fp_track_new(&track, NULL);
    c->track = track;
    for (int i = 0; i < n; i++) {
        VX_AUTO(vx_frame) frame = on_card(&(picture_kind){.w = 320, .h = 240, .depth = 8}, i);
        frame->fetch = fetch;
        assert_true(vx_extract_card_takes(c, frame));
        assert_int_equal(vx_extract_card_hash(c, frame, i % 2 == 0, NULL), 0);
        assert_int_equal(vx_extract_card_prepare(c, &SPEC, frame, places[i], NULL), 0);
    }
    assert_int_equal(vx_extract_card_flush(c, NULL), 0);
    assert_int_equal(vx_fp_track_finish(track, &video, NULL), 0);
    return video;
}

static void held_pictures_go_to_the_card_together(void **state) {
    (void)state;
    enum { N = 40 };
    static float places[N][3 * OUT * OUT];
    vx_card *card = fake_card(0);
    vx_extract_card c = {.card = card};
    vx_fp_video video = hold_all(&c, N, places);
    assert_int_equal(video.n_stored, N / 2);
    assert_int_equal(c.n_prepared, N);
    assert_int_equal(c.n_left_to_cpu, 0);
    /* 32 and 8: twice two kernels for the model, one for hashes; bars are looked for at first. */
    assert_int_equal(fake.calls[FAKE_LAUNCH], 2 * 3 + 1);
    vx_fp_video_clear(&video);
    vx_extract_card_clear(&c);
    close_card(card);
}

static void without_memory_on_the_card_the_cpu_does_it(void **state) {
    (void)state;
    enum { N = 5 };
    static float expected[N][3 * OUT * OUT], got[N][3 * OUT * OUT];
    vx_card *card = fake_card(0);
    vx_extract_card c = {.card = card};
    vx_fp_video a = hold_all(&c, N, expected);
    vx_extract_card_clear(&c);
    close_card(card);
    for (int what = 0; what < 3; what++) {
        card = fake_card(0);
        fake.no_memory = what == 0;
        fake.fail_at[FAKE_LAUNCH] = what;
        c = (vx_extract_card){.card = card};
        memset(got, 0, sizeof got);
        vx_fp_video b = hold_all(&c, N, got);
        assert_int_equal(c.n_left_to_cpu, N);
        assert_int_equal(b.n_frames, a.n_frames);
        for (int i = 0; i < N; i++)
            assert_true(bits_apart(a.frames[i].hash, b.frames[i].hash) <= 2);
        assert_memory_equal(expected, got, sizeof got);
        vx_fp_video_clear(&b);
        vx_extract_card_clear(&c);
        close_card(card);
    }
    vx_fp_video_clear(&a);
}

static void forgotten_model_is_not_written(void **state) {
    (void)state;
    static float kept[3 * OUT * OUT], forgotten[3 * OUT * OUT];
    const vx_preprocess_spec other = SPEC;
    vx_card *card = fake_card(0);
    vx_extract_card c = {.card = card};
    VX_AUTO(vx_frame) frame = on_card(&(picture_kind){.w = 320, .h = 240, .depth = 8}, 1);
    assert_int_equal(vx_extract_card_prepare(&c, &other, frame, forgotten, NULL), 0);
    assert_int_equal(vx_extract_card_prepare(&c, &SPEC, frame, kept, NULL), 0);
    vx_extract_card_forget(&c, &other);
    assert_int_equal(vx_extract_card_flush(&c, NULL), 0);
    assert_true(kept[5] != 0);
    assert_true(forgotten[5] == 0);
    vx_extract_card_clear(&c);
    close_card(card);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_are_kept_and_bounded),
        cmocka_unit_test(full_card_refuses_and_does_not_count),
        cmocka_unit_test(trimmed_card_gives_back_and_takes_no_more_for_a_while),
        cmocka_unit_test(trimmed_card_gives_back_what_ended_work_has_kept),
        cmocka_unit_test(absent_kernels_have_a_reason),
        cmocka_unit_test(hashes_are_those_of_the_cpu),
        cmocka_unit_test(hashes_of_hdr_pictures_are_those_of_the_cpu),
        cmocka_unit_test(hashes_of_turned_pictures_are_those_of_the_cpu),
        cmocka_unit_test(pictures_with_bars_are_hashed_inside_them_too),
        cmocka_unit_test(what_the_card_does_not_hash_is_refused),
        cmocka_unit_test(held_pictures_go_to_the_card_together),
        cmocka_unit_test(without_memory_on_the_card_the_cpu_does_it),
        cmocka_unit_test(forgotten_model_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
