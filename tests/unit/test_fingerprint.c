/* Fingerprints: what PDQ must keep, the comparison against a brute-force one, the index against
 * looking at every frame. tests/fingerprint compares the hash with PyPI's pdqhash. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fingerprint/fingerprint.h"

static uint64_t rng = 1;

/* splitmix64: its low bits are as good as its high ones, unlike a linear generator's. */
static uint32_t next_random(void) {
    uint64_t z = rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z ^ (z >> 31));
}

/* ---- hash ---- */

enum { W = 320, H = 180 };

/* A picture with waves of all the frequencies that the hash looks at; another for each seed. */
static void paint(uint8_t *luma, uint32_t seed) {
    enum { WAVES = 60 };
    double wave[WAVES][3];
    rng = seed;
    for (int i = 0; i < WAVES; i++) {
        wave[i][0] = (double)(next_random() % 1600) / 100 * M_PI / W;
        wave[i][1] = (double)(next_random() % 1600) / 100 * M_PI / H;
        wave[i][2] = next_random() % 628 / 100.0;
    }
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            double v = 128;
            for (int i = 0; i < WAVES; i++)
                v += 12 * cos(x * wave[i][0] + y * wave[i][1] + wave[i][2]);
            luma[y * W + x] = (uint8_t)fmin(fmax(v, 0), 255);
        }
}

static int distance(const uint8_t a[32], const uint8_t b[32]) {
    int bits = 0;
    for (int i = 0; i < 256; i++)
        bits += (a[i / 8] ^ b[i / 8]) >> (i % 8) & 1;
    return bits;
}

static int hash(const uint8_t *luma, int w, int h, int stride, vx_fp_frame *ret_frame,
                vx_fp_frame *ret_mirrored, vx_err *err) {
    const vx_frame picture = vx_frame_view(VX_FRAME_GRAY, luma, w, h, stride);
    return vx_fp_hash(&picture, ret_frame, ret_mirrored, err);
}

static void hash_sets_half_of_the_bits_and_leaves_the_time(void **state) {
    (void)state;
    static uint8_t luma[W * H];
    const uint8_t none[32] = {0};
    paint(luma, 3);
    vx_fp_frame frame = {.time_s = 7.5f};
    assert_int_equal(hash(luma, W, H, W, &frame, NULL, NULL), 0);
    assert_int_equal(distance(frame.hash, none), 128);
    assert_true(frame.quality >= VX_FP_MIN_QUALITY);
    assert_float_equal(frame.time_s, 7.5, 0);
}

static void hash_of_brighter_picture_stays_and_of_another_moves(void **state) {
    (void)state;
    static uint8_t luma[W * H], brighter[W * H], other[W * H];
    paint(luma, 3);
    paint(other, 4);
    for (int i = 0; i < W * H; i++)
        brighter[i] = (uint8_t)(luma[i] * 0.8 + 20);
    vx_fp_frame a, b, c;
    assert_int_equal(hash(luma, W, H, W, &a, NULL, NULL), 0);
    assert_int_equal(hash(brighter, W, H, W, &b, NULL, NULL), 0);
    assert_int_equal(hash(other, W, H, W, &c, NULL, NULL), 0);
    assert_in_range(distance(a.hash, b.hash), 0, 10);
    assert_in_range(distance(a.hash, c.hash), VX_FP_MATCH_DISTANCE + 1, 256);
}

static void hash_mirrored_is_the_hash_of_the_flipped_picture(void **state) {
    (void)state;
    static uint8_t luma[W * H], flipped[W * H];
    paint(luma, 3);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            flipped[y * W + x] = luma[y * W + W - 1 - x];
    vx_fp_frame a, mirrored, b;
    assert_int_equal(hash(luma, W, H, W, &a, &mirrored, NULL), 0);
    assert_int_equal(hash(flipped, W, H, W, &b, NULL, NULL), 0);
    assert_in_range(distance(mirrored.hash, b.hash), 0, 12);
    assert_in_range(distance(a.hash, b.hash), VX_FP_MATCH_DISTANCE + 1, 256);
    assert_int_equal(mirrored.quality, a.quality);
}

static void hash_of_flat_picture_has_no_quality(void **state) {
    (void)state;
    static uint8_t luma[W * H];
    memset(luma, 90, sizeof luma);
    vx_fp_frame frame;
    assert_int_equal(hash(luma, W, H, W, &frame, NULL, NULL), 0);
    assert_int_equal(frame.quality, 0);
}

static void hash_with_padded_rows_ignores_the_padding(void **state) {
    (void)state;
    static uint8_t luma[W * H], padded[(W + 32) * H];
    paint(luma, 3);
    memset(padded, 255, sizeof padded);
    for (int y = 0; y < H; y++)
        memcpy(padded + y * (W + 32), luma + y * W, W);
    vx_fp_frame a, b;
    assert_int_equal(hash(luma, W, H, W, &a, NULL, NULL), 0);
    assert_int_equal(hash(padded, W, H, W + 32, &b, NULL, NULL), 0);
    assert_memory_equal(a.hash, b.hash, 32);
}

static void hash_of_impossible_shape_is_refused(void **state) {
    (void)state;
    uint8_t luma[4] = {0};
    vx_fp_frame frame;
    assert_int_equal(hash(luma, 1, 1, 1, &frame, NULL, NULL), 0);
    assert_int_equal(hash(luma, 0, 1, 1, &frame, NULL, NULL), -EINVAL);
    assert_int_equal(hash(luma, 4, -1, 4, &frame, NULL, NULL), -EINVAL);
    assert_int_equal(hash(luma, 4, 1, 3, &frame, NULL, NULL), -EINVAL);
    assert_int_equal(hash(luma, 9000, 1, 9000, &frame, NULL, NULL), -EINVAL);
}

/* ---- compare ---- */

static void random_frames(vx_fp_frame *frames, size_t n) {
    for (size_t i = 0; i < n; i++) {
        frames[i] = (vx_fp_frame){.time_s = (float)i / 2, .quality = 100};
        for (int k = 0; k < 32; k++)
            frames[i].hash[k] = (uint8_t)next_random();
    }
}

/* What a re-encode does: up to n_bits bits of the hash flip. */
static void disturb(vx_fp_frame *frame, int n_bits) {
    for (int i = 0; i < n_bits; i++) {
        uint32_t bit = next_random() % 256;
        frame->hash[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static vx_fp_match compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b) {
    vx_fp_match match;
    assert_int_equal(vx_fp_compare(a, n_a, b, n_b, &match, NULL), 0);
    return match;
}

static void compare_trimmed_copy_finds_share_and_offset_both_ways(void **state) {
    (void)state;
    enum { N = 400, CUT = 150, KEPT = 60 };
    static vx_fp_frame original[N], cut[KEPT];
    rng = 11;
    for (int round = 0; round < 20; round++) {
        random_frames(original, N);
        float phase_s = (float)round * 0.012f; /* sampled at other moments than the original */
        for (int i = 0; i < KEPT; i++) {
            cut[i] = original[CUT + i];
            cut[i].time_s = (float)i / 2 + phase_s;
            disturb(&cut[i], 24);
        }
        vx_fp_match match = compare(cut, KEPT, original, N);
        assert_float_equal(match.share, 1, 1e-6);
        assert_float_equal(match.offset_s, CUT / 2.f - phase_s, 0.01);
        assert_int_equal(match.n_matched, KEPT);
        assert_true(vx_fp_is_copy(&match));
        vx_fp_match back = compare(original, N, cut, KEPT);
        assert_float_equal(back.offset_s, -match.offset_s, 1e-6);
        assert_int_equal(back.n_matched, KEPT);
    }
}

/* A film at 25 frames a second in which every frame is 20 bits away from the one before. */
static void fill_film(vx_fp_frame *film, int n) {
    random_frames(film, 1);
    for (int i = 0; i < n; i++) {
        if (i)
            film[i] = film[i - 1];
        film[i].time_s = (float)i / 25;
        disturb(&film[i], 20);
    }
}

static size_t sample(const vx_fp_frame *film, int from, int to, int step, vx_fp_frame *ret) {
    size_t n = 0;
    for (int i = from; i < to; i += step) {
        ret[n] = film[i];
        ret[n++].time_s -= film[from].time_s;
    }
    return n;
}

static void compare_dense_with_sparse_matches_where_two_sparse_cannot(void **state) {
    (void)state;
    enum { N = 1500 };
    static vx_fp_frame film[N], stored[N], query[N];
    rng = 19;
    fill_film(film, N);
    size_t n_stored = sample(film, 0, N, 12, stored);
    size_t n_sparse = sample(film, 606, 906, 12, query); /* half a step off everywhere */
    vx_fp_match match = compare(query, n_sparse, stored, n_stored);
    assert_true(match.share < 0.1f);
    size_t n_dense = sample(film, 606, 906, 3, query);
    match = compare(query, n_dense, stored, n_stored);
    assert_true(match.share > 0.9f);
    assert_float_equal(match.offset_s, 606 / 25.0, 0.05);
    assert_in_range(match.n_matched, 24, 25);
    assert_true(vx_fp_is_copy(&match));
    /* The other way round, and with the long one dense. */
    match = compare(stored, n_stored, query, n_dense);
    assert_true(match.share > 0.9f);
    assert_float_equal(match.offset_s, -606 / 25.0, 0.05);
    n_stored = sample(film, 0, N, 3, stored);
    n_sparse = sample(film, 607, 907, 12, query);
    match = compare(query, n_sparse, stored, n_stored);
    assert_true(match.share > 0.9f);
    assert_float_equal(match.offset_s, 607 / 25.0, 0.05);
}

static void compare_unrelated_finds_nothing(void **state) {
    (void)state;
    static vx_fp_frame a[300], b[300];
    rng = 12;
    random_frames(a, 300);
    random_frames(b, 300);
    vx_fp_match match = compare(a, 300, b, 300);
    assert_int_equal(match.n_matched, 0);
    assert_float_equal(match.share, 0, 0);
    assert_false(vx_fp_is_copy(&match));
}

static void compare_half_overlap_has_half_share(void **state) {
    (void)state;
    static vx_fp_frame a[100], b[100];
    rng = 13;
    random_frames(a, 100);
    random_frames(b, 100);
    for (int i = 0; i < 50; i++)
        memcpy(b[i].hash, a[50 + i].hash, 32);
    vx_fp_match match = compare(a, 100, b, 100);
    assert_int_equal(match.n_matched, 50);
    assert_float_equal(match.share, 0.5, 1e-6);
    assert_float_equal(match.offset_s, -25, 0.01);
}

/* The same title card for minutes in two films must not make them copies, nor hide where their
 * common part lies. */
static void compare_with_long_stills_aligns_on_what_moves(void **state) {
    (void)state;
    static vx_fp_frame a[400], b[400];
    rng = 14;
    random_frames(a, 400);
    random_frames(b, 400);
    for (int i = 0; i < 300; i++) {
        memcpy(a[i].hash, a[0].hash, 32);
        memcpy(b[(i + 60) % 400].hash, a[0].hash, 32);
    }
    for (int i = 300; i < 360; i++)
        memcpy(b[i - 300].hash, a[i].hash, 32);
    vx_fp_match match = compare(a, 400, b, 400);
    /* At -150 s the 60 moving frames agree; at +30 s 300 of the card, which is but one picture. */
    assert_float_equal(match.offset_s, -150, 0.01);
    assert_in_range(match.n_distinct, 60, 62);
    assert_float_equal(match.share, 60.0 / (100 + 4), 0.05);
}

static void compare_of_one_still_picture_is_no_copy(void **state) {
    (void)state;
    static vx_fp_frame a[40], b[40];
    rng = 15;
    random_frames(a, 40);
    random_frames(b, 40);
    for (int i = 0; i < 40; i++) {
        memcpy(a[i].hash, a[0].hash, 32);
        memcpy(b[i].hash, a[0].hash, 32);
    }
    vx_fp_match match = compare(a, 40, b, 40);
    assert_int_equal(match.n_distinct, 1);
    assert_float_equal(match.offset_s, 0, 0.01);
    assert_false(vx_fp_is_copy(&match));
}

static void compare_leaves_out_flat_frames(void **state) {
    (void)state;
    static vx_fp_frame a[40], b[40];
    rng = 16;
    random_frames(a, 40);
    memcpy(b, a, sizeof b);
    for (int i = 0; i < 30; i++)
        b[i].quality = VX_FP_MIN_QUALITY - 1;
    vx_fp_match match = compare(a, 40, b, 40);
    assert_int_equal(match.n_matched, 10);
    assert_float_equal(match.share, 1, 1e-6);
    for (int i = 0; i < 40; i++)
        b[i].quality = 0;
    match = compare(a, 40, b, 40);
    assert_int_equal(match.n_matched, 0);
    match = compare(a, 0, b, 0);
    assert_int_equal(match.n_matched, 0);
}

static void compare_with_times_out_of_order_is_refused(void **state) {
    (void)state;
    vx_fp_frame a[3];
    vx_fp_match match;
    rng = 17;
    random_frames(a, 3);
    a[1].time_s = 5;
    assert_int_equal(vx_fp_compare(a, 3, a, 3, &match, NULL), -EINVAL);
    a[1].time_s = NAN;
    assert_int_equal(vx_fp_compare(a, 3, a, 3, &match, NULL), -EINVAL);
    a[1].time_s = 1e30f;
    assert_int_equal(vx_fp_compare(a, 2, a, 2, &match, NULL), -EINVAL);
}

/* Two recordings of a day: must be far from the product of their lengths. */
static void compare_of_two_days_ends_soon(void **state) {
    (void)state;
    enum { N = 172800 };
    VX_AUTO_FREE vx_fp_frame *a = vx_new_array(N, sizeof *a);
    VX_AUTO_FREE vx_fp_frame *b = vx_new_array(N, sizeof *b);
    assert_true(a && b);
    rng = 18;
    random_frames(a, N);
    random_frames(b, N);
    for (int i = 0; i < N / 2; i++)
        memcpy(b[i].hash, a[N / 2 + i].hash, 32);
    vx_fp_match match = compare(a, N, b, N);
    assert_float_equal(match.share, 0.5, 1e-3);
    assert_float_equal(match.offset_s, -N / 4, 0.01);
}

/* ---- index ---- */

enum { VIDEOS = 60, PER_VIDEO = 40 };
static vx_fp_frame library[VIDEOS + 1][PER_VIDEO];

static void fill_library(vx_fp_index *index) {
    rng = 21;
    for (int v = 1; v <= VIDEOS; v++) {
        random_frames(library[v], PER_VIDEO);
        if (v % 7 == 0) /* shares half a minute with the video before */
            memcpy(library[v], library[v - 1], PER_VIDEO / 2 * sizeof library[v][0]);
        assert_int_equal(vx_fp_index_add(index, v, library[v], PER_VIDEO, NULL), 0);
    }
}

/* The oracle: for every pair of frames the distance, for every window of offsets the query frames
 * in it. Returns how many of the query's frames match the video at its best offset. */
static int brute_votes(const vx_fp_frame *query, int n, const vx_fp_frame *video) {
    enum { BINS = 40 };
    int votes[2 * BINS + 1] = {0}, best = 0;
    for (int i = 0; i < n; i++) {
        bool hit[2 * BINS + 1] = {false};
        for (int k = 0; k < PER_VIDEO; k++) {
            if (distance(query[i].hash, video[k].hash) > VX_FP_MATCH_DISTANCE)
                continue;
            double offset = (double)video[k].time_s - (double)query[i].time_s;
            for (int bin = -BINS; bin <= BINS; bin++)
                hit[bin + BINS] |= offset >= 2 * bin - 2 && offset < 2 * bin + 2;
        }
        for (int bin = 0; bin <= 2 * BINS; bin++)
            votes[bin] += hit[bin];
    }
    for (int bin = 0; bin <= 2 * BINS; bin++)
        best = votes[bin] > best ? votes[bin] : best;
    return best;
}

static void index_candidates_agree_with_brute_force(void **state) {
    (void)state;
    VX_AUTO(vx_fp_index) index = NULL;
    assert_int_equal(vx_fp_index_new(&index, NULL), 0);
    fill_library(index);
    for (int round = 0; round < 100; round++) {
        int v = 1 + (int)(next_random() % VIDEOS), n = 8 + (int)(next_random() % 20);
        vx_fp_frame query[PER_VIDEO];
        memcpy(query, library[v] + next_random() % 10, (size_t)n * sizeof *query);
        for (int i = 0; i < n; i++)
            disturb(&query[i], 15); /* within the radius in which every frame is met */
        int64_t found[VIDEOS];
        size_t n_found;
        assert_int_equal(
            vx_fp_index_candidates(index, query, (size_t)n, VIDEOS, found, &n_found, NULL), 0);
        int expected[VIDEOS + 1], n_expected = 0;
        for (int w = 1; w <= VIDEOS; w++)
            n_expected += (expected[w] = brute_votes(query, n, library[w])) > 0;
        assert_int_equal(n_found, n_expected);
        for (size_t i = 0; i < n_found; i++)
            assert_true(expected[found[i]] > 0);
        for (size_t i = 1; i < n_found; i++)
            assert_true(expected[found[i - 1]] > expected[found[i]] ||
                        (expected[found[i - 1]] == expected[found[i]] && found[i - 1] < found[i]));
    }
}

static size_t n_candidates(vx_fp_index *index, const vx_fp_frame *frames, size_t n,
                           int64_t *ret_first) {
    int64_t found[8] = {0};
    size_t n_found;
    assert_int_equal(vx_fp_index_candidates(index, frames, n, 8, found, &n_found, NULL), 0);
    *ret_first = found[0];
    return n_found;
}

static void index_removed_video_is_not_found_and_can_come_back(void **state) {
    (void)state;
    VX_AUTO(vx_fp_index) index = NULL;
    int64_t first;
    assert_int_equal(vx_fp_index_new(&index, NULL), 0);
    fill_library(index);
    assert_int_equal(vx_fp_index_add(index, 5, library[5], PER_VIDEO, NULL), -EEXIST);
    assert_int_equal(vx_fp_index_remove(index, 5, NULL), 0);
    assert_int_equal(vx_fp_index_remove(index, 5, NULL), 0);
    assert_int_equal(vx_fp_index_remove(index, 12345, NULL), 0);
    assert_int_equal(n_candidates(index, library[5], PER_VIDEO, &first), 0);
    assert_int_equal(vx_fp_index_add(index, 5, library[5], PER_VIDEO, NULL), 0);
    assert_int_equal(n_candidates(index, library[5], PER_VIDEO, &first), 1);
    assert_int_equal(first, 5);
}

static void index_compaction_keeps_the_living_and_gives_memory_back(void **state) {
    (void)state;
    enum { MANY = 600 };
    VX_AUTO(vx_fp_index) index = NULL;
    VX_AUTO_FREE vx_fp_frame *frames = vx_new_array((size_t)MANY * PER_VIDEO, sizeof *frames);
    assert_non_null(frames);
    assert_int_equal(vx_fp_index_new(&index, NULL), 0);
    rng = 22;
    for (int v = 0; v < MANY; v++) {
        random_frames(frames + v * PER_VIDEO, PER_VIDEO);
        assert_int_equal(vx_fp_index_add(index, v + 1, frames + v * PER_VIDEO, PER_VIDEO, NULL), 0);
    }
    vx_fp_index_stats before, after;
    vx_fp_index_get_stats(index, &before);
    assert_int_equal(before.frames, MANY * PER_VIDEO);
    for (int v = 0; v < MANY; v++)
        if (v % 10)
            assert_int_equal(vx_fp_index_remove(index, v + 1, NULL), 0);
    vx_fp_index_get_stats(index, &after);
    assert_int_equal(after.videos, MANY / 10);
    assert_int_equal(after.frames, MANY / 10 * PER_VIDEO);
    assert_true(after.bytes < before.bytes - 1000000);
    for (int v = 0; v < MANY; v++) {
        int64_t first;
        size_t n = n_candidates(index, frames + v * PER_VIDEO, PER_VIDEO, &first);
        assert_int_equal(n, v % 10 ? 0 : 1);
        if (n)
            assert_int_equal(first, v + 1);
    }
}

static void index_stores_a_still_once(void **state) {
    (void)state;
    VX_AUTO(vx_fp_index) index = NULL;
    vx_fp_frame frames[100];
    vx_fp_index_stats stats;
    assert_int_equal(vx_fp_index_new(&index, NULL), 0);
    rng = 23;
    random_frames(frames, 100);
    for (int i = 10; i < 90; i++)
        memcpy(frames[i].hash, frames[10].hash, 32);
    for (int i = 90; i < 95; i++)
        frames[i].quality = 0;
    assert_int_equal(vx_fp_index_add(index, 1, frames, 100, NULL), 0);
    vx_fp_index_get_stats(index, &stats);
    assert_int_equal(stats.frames, 10 + 1 + 5);
}

/* A logo that every video opens with must not make a search walk all of them. */
static void index_with_a_hash_in_every_video_still_finds_the_right_one(void **state) {
    (void)state;
    enum { MANY = 6000, EACH = 6 };
    VX_AUTO(vx_fp_index) index = NULL;
    VX_AUTO_FREE vx_fp_frame *frames = vx_new_array((size_t)MANY * EACH, sizeof *frames);
    assert_non_null(frames);
    assert_int_equal(vx_fp_index_new(&index, NULL), 0);
    rng = 24;
    for (int v = 0; v < MANY; v++) {
        random_frames(frames + v * EACH, EACH);
        memcpy(frames[v * EACH].hash, frames[0].hash, 32);
        assert_int_equal(vx_fp_index_add(index, v + 1, frames + v * EACH, EACH, NULL), 0);
    }
    for (int v = 0; v < MANY; v += 500) {
        int64_t first;
        assert_int_equal(n_candidates(index, frames + v * EACH, EACH, &first), 8);
        assert_int_equal(first, v + 1);
    }
}

typedef struct race {
    vx_fp_index *index;
    int failures;
} race;

static void *search_while_changing(void *arg) {
    race *r = arg;
    for (int i = 0; i < 300; i++) {
        int v = 1 + i % (VIDEOS / 2); /* never touched by the writer */
        int64_t found[8] = {0};
        size_t n = 0;
        if (vx_fp_index_candidates(r->index, library[v], PER_VIDEO, 8, found, &n, NULL) || !n ||
            (found[0] != v && found[1] != v))
            r->failures++;
    }
    return NULL;
}

static void index_searched_while_changing_stays_right(void **state) {
    (void)state;
    VX_AUTO(vx_fp_index) index = NULL;
    assert_int_equal(vx_fp_index_new(&index, NULL), 0);
    fill_library(index);
    race searcher[2] = {{index, 0}, {index, 0}};
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, search_while_changing, &searcher[i]), 0);
    for (int i = 0; i < 600; i++) {
        int v = VIDEOS / 2 + 1 + i % (VIDEOS / 2);
        assert_int_equal(vx_fp_index_remove(index, v, NULL), 0);
        assert_int_equal(vx_fp_index_add(index, v, library[v], PER_VIDEO, NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(searcher[i].failures, 0);
    }
}

static void copy_of_only_two_pictures_needs_a_third_of_the_time(void **state) {
    (void)state;
    assert_false(vx_fp_is_copy(&(vx_fp_match){.share = 0.3f, .n_matched = 4, .n_distinct = 2}));
    assert_true(vx_fp_is_copy(&(vx_fp_match){.share = 0.34f, .n_matched = 4, .n_distinct = 2}));
    assert_true(vx_fp_is_copy(&(vx_fp_match){.share = 0.21f, .n_matched = 4, .n_distinct = 3}));
    assert_false(vx_fp_is_copy(&(vx_fp_match){.share = 0.19f, .n_matched = 4, .n_distinct = 3}));
    assert_false(vx_fp_is_copy(&(vx_fp_match){.share = 1, .n_matched = 4, .n_distinct = 1}));
}

static void match_at_the_least_share_is_a_copy(void **state) {
    (void)state;
    const struct {
        vx_fp_match match;
        bool is_copy;
    } rows[] = {
        {{.n_matched = 5, .n_distinct = 3, .share = 0.2f}, true},
        {{.n_matched = 5, .n_distinct = 3, .share = 0.199f}, false},
        {{.n_matched = 2, .n_distinct = 2, .share = 0.33f}, true},
        {{.n_matched = 9, .n_distinct = 2, .share = 0.329f}, false},
        {{.n_matched = 9, .n_distinct = 1, .share = 1}, false},
    };
    for (size_t i = 0; i < VX_LEN(rows); i++)
        assert_int_equal(vx_fp_is_copy(&rows[i].match), rows[i].is_copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_sets_half_of_the_bits_and_leaves_the_time),
        cmocka_unit_test(hash_of_brighter_picture_stays_and_of_another_moves),
        cmocka_unit_test(hash_mirrored_is_the_hash_of_the_flipped_picture),
        cmocka_unit_test(hash_of_flat_picture_has_no_quality),
        cmocka_unit_test(hash_with_padded_rows_ignores_the_padding),
        cmocka_unit_test(hash_of_impossible_shape_is_refused),
        cmocka_unit_test(compare_trimmed_copy_finds_share_and_offset_both_ways),
        cmocka_unit_test(compare_dense_with_sparse_matches_where_two_sparse_cannot),
        cmocka_unit_test(compare_unrelated_finds_nothing),
        cmocka_unit_test(compare_half_overlap_has_half_share),
        cmocka_unit_test(compare_with_long_stills_aligns_on_what_moves),
        cmocka_unit_test(compare_of_one_still_picture_is_no_copy),
        cmocka_unit_test(compare_leaves_out_flat_frames),
        cmocka_unit_test(compare_with_times_out_of_order_is_refused),
        cmocka_unit_test(compare_of_two_days_ends_soon),
        cmocka_unit_test(index_candidates_agree_with_brute_force),
        cmocka_unit_test(index_removed_video_is_not_found_and_can_come_back),
        cmocka_unit_test(index_compaction_keeps_the_living_and_gives_memory_back),
        cmocka_unit_test(index_stores_a_still_once),
        cmocka_unit_test(index_with_a_hash_in_every_video_still_finds_the_right_one),
        cmocka_unit_test(index_searched_while_changing_stays_right),
        cmocka_unit_test(copy_of_only_two_pictures_needs_a_third_of_the_time),
        cmocka_unit_test(match_at_the_least_share_is_a_copy),
    };
    return cmocka_run_group_tests_name("fingerprint", tests, NULL, NULL);
}
