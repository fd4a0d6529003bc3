/* The verdict, from invented candidates. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "verdict/rule.h"

enum { N = 20, STORED = 4 };

/* Stored videos 1..4: different noise; the new one and its mirror are built from them. */
static vx_fp_frame stored[STORED + 1][N];
static int n_loads;

static void fill(vx_fp_frame *frames, uint32_t seed) {
    for (int i = 0; i < N; i++) {
        frames[i] = (vx_fp_frame){.time_s = (float)i / 2, .quality = 100};
        for (int k = 0; k < 32; k++)
            frames[i].hash[k] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    }
}

static int setup(void **state) {
    (void)state;
    for (uint32_t v = 1; v <= STORED; v++)
        fill(stored[v], v * 1000);
    n_loads = 0;
    return 0;
}

static int load(void *ctx, int64_t video, vx_fp_frame **ret_frames, size_t *ret_n,
                double *ret_length_s, vx_err *err) {
    if (video == *(const int64_t *)ctx)
        return VX_FAIL(err, -EIO, "bad sector");
    n_loads++;
    *ret_length_s = N / 2.0;
    *ret_n = video <= STORED ? N : 0;
    *ret_frames = NULL;
    if (*ret_n && !(*ret_frames = malloc(sizeof stored[video])))
        return -ENOMEM;
    if (*ret_n)
        memcpy(*ret_frames, stored[video], sizeof stored[video]);
    return 0;
}

static int64_t unreadable;
static const int64_t all[] = {3, 1, 2, 1, 9};

static vx_rule_input input(const vx_fp_frame *frames) {
    unreadable = 0;
    return (vx_rule_input){.frames = frames,
                           .n_frames = N,
                           .length_s = N / 2.0,
                           .candidates = all,
                           .n_candidates = VX_LEN(all),
                           .similar_threshold = 0.9f,
                           .load = load,
                           .load_ctx = &unreadable};
}

static vx_verdict decide(const vx_rule_input *in) {
    vx_verdict verdict;
    assert_int_equal(vx_rule_decide(in, &verdict, NULL), 0);
    return verdict;
}

static void verdict_without_candidates_is_new(void **state) {
    (void)state;
    vx_rule_input in = input(stored[1]);
    in.n_candidates = 0;
    vx_verdict v = decide(&in);
    assert_int_equal(v.kind, VX_VERDICT_NEW);
    assert_int_equal(v.of, 0);
    assert_true(isnan(v.score) && isnan(v.share) && isnan(v.offset_s));
}

static void verdict_with_strange_candidates_is_new(void **state) {
    (void)state;
    vx_fp_frame other[N];
    fill(other, 77);
    vx_rule_input in = input(other);
    const vx_rule_similar similar = {4, 0.89f};
    in.similar = &similar;
    in.n_similar = 1;
    assert_int_equal(decide(&in).kind, VX_VERDICT_NEW);
    assert_int_equal(n_loads, 5); /* 3, 1, 2, 9 and 4: each once */
}

static void verdict_copy_wins_over_higher_similar_and_has_its_score(void **state) {
    (void)state;
    vx_rule_input in = input(stored[2]);
    const vx_rule_similar similar[] = {{4, 0.99f}, {2, 0.5f}};
    in.similar = similar;
    in.n_similar = 2;
    vx_verdict v = decide(&in);
    assert_int_equal(v.kind, VX_VERDICT_COPY);
    assert_int_equal(v.of, 2);
    assert_float_equal(v.score, 0.5, 1e-6);
    assert_float_equal(v.share, 1, 1e-6);
    assert_float_equal(v.offset_s, 0, 1e-6);
    assert_false(v.mirrored);
}

static void verdict_copy_found_only_by_vector_is_a_copy(void **state) {
    (void)state;
    vx_rule_input in = input(stored[4]);
    const vx_rule_similar similar = {4, 0.2f};
    in.similar = &similar;
    in.n_similar = 1;
    vx_verdict v = decide(&in);
    assert_int_equal(v.kind, VX_VERDICT_COPY);
    assert_int_equal(v.of, 4);
}

static void verdict_of_trimmed_copy_has_its_offset(void **state) {
    (void)state;
    vx_rule_input in = input(stored[3] + 8); /* 4 s cut off; times count from the new start */
    vx_fp_frame cut[N - 8];
    memcpy(cut, stored[3] + 8, sizeof cut);
    for (int i = 0; i < N - 8; i++)
        cut[i].time_s -= 4;
    in.frames = cut;
    in.n_frames = N - 8;
    in.length_s = (N - 8) / 2.0;
    vx_verdict v = decide(&in);
    assert_int_equal(v.kind, VX_VERDICT_PART_OF);
    assert_float_equal(v.share_of_new, 1, 1e-6);
    assert_float_equal(v.share_of_stored, 0.6, 1e-3);
    assert_int_equal(v.of, 3);
    assert_float_equal(v.offset_s, 4, 1e-3);
    assert_true(isnan(v.score));
}

/* The frames [from, to) of a stored video, put behind what is there. */
static size_t append(vx_fp_frame *frames, size_t n, const vx_fp_frame *source, int from, int to) {
    for (int i = from; i < to; i++, n++) {
        frames[n] = source[i];
        frames[n].time_s = (float)n / 2;
    }
    return n;
}

static vx_verdict decide_between(const vx_fp_frame *frames, size_t n) {
    vx_rule_input in = input(frames);
    in.n_frames = n;
    in.length_s = (double)n / 2;
    return decide(&in);
}

static void verdict_of_compilation_is_contains(void **state) {
    (void)state;
    vx_fp_frame other[N], film[3 * N];
    fill(other, 77);
    size_t n = append(film, 0, other, 0, 8);
    n = append(film, n, stored[2], 0, N);
    n = append(film, n, other, 8, N);
    vx_verdict v = decide_between(film, n);
    assert_int_equal(v.kind, VX_VERDICT_CONTAINS);
    assert_int_equal(v.of, 2);
    assert_float_equal(v.offset_s, -4, 1e-3);
    assert_float_equal(v.share_of_new, 0.5, 0.03);
    assert_float_equal(v.share_of_stored, 1, 1e-6);
}

static void verdict_of_episodes_with_one_intro_is_shared_segment(void **state) {
    (void)state;
    vx_fp_frame other[N], episode[N];
    fill(other, 77);
    append(episode, append(episode, 0, stored[2], 0, 8), other, 8, N);
    vx_verdict v = decide_between(episode, N);
    assert_int_equal(v.kind, VX_VERDICT_SHARED_SEGMENT);
    assert_int_equal(v.of, 2);
    assert_float_equal(v.share_of_new, 0.4, 0.03);
    assert_float_equal(v.share_of_stored, 0.4, 0.03);
}

static void verdict_of_loop_is_contains(void **state) {
    (void)state;
    vx_fp_frame loop[3 * N];
    size_t n = 0;
    for (int turn = 0; turn < 3; turn++)
        n = append(loop, n, stored[2], 0, N);
    vx_verdict v = decide_between(loop, n);
    assert_int_equal(v.kind, VX_VERDICT_CONTAINS);
    assert_float_equal(v.share_of_new, 1.0 / 3, 0.03);
}

static void verdict_of_shots_in_another_order_is_part_of(void **state) {
    (void)state;
    vx_fp_frame shuffled[N];
    append(shuffled, append(shuffled, 0, stored[2], 8, N), stored[2], 0, 8);
    vx_verdict v = decide_between(shuffled, N);
    assert_int_equal(v.kind, VX_VERDICT_PART_OF);
    assert_float_equal(v.share_of_new, 1, 1e-6);
}

static void verdict_of_film_with_an_advertisement_in_it_is_contains(void **state) {
    (void)state;
    vx_fp_frame other[N], film[2 * N];
    fill(other, 77);
    size_t n = append(film, 0, stored[2], 0, 10);
    n = append(film, n, other, 0, 8);
    n = append(film, n, stored[2], 10, N);
    vx_verdict v = decide_between(film, n);
    assert_int_equal(v.kind, VX_VERDICT_CONTAINS);
    assert_float_equal(v.share_of_new, 20.0 / 28, 0.05);
}

static void verdict_names_the_whole_before_the_excerpt(void **state) {
    (void)state;
    memset(stored[1], 0, sizeof stored[1]);
    append(stored[1], 0, stored[2], 4,
           12); /* the older one is an excerpt; the rest of it is flat */
    for (int i = 8; i < N; i++)
        stored[1][i].time_s = (float)i / 2;
    vx_verdict v = decide_between(stored[2], N);
    assert_int_equal(v.kind, VX_VERDICT_COPY);
    assert_int_equal(v.of, 2);
}

static void verdict_of_mirrored_trim_is_part_of(void **state) {
    (void)state;
    vx_fp_frame other[N], trim[N];
    fill(other, 77);
    size_t n = append(trim, 0, stored[3], 4, 14);
    vx_rule_input in = input(other);
    in.mirrored = trim;
    in.n_frames = n;
    in.length_s = (double)n / 2;
    vx_verdict v = decide(&in);
    assert_int_equal(v.kind, VX_VERDICT_PART_OF);
    assert_true(v.mirrored);
    assert_float_equal(v.offset_s, 2, 1e-3);
}

/* Hashes of pictures with little contrast are there, but too weak to speak for a match. */
static void verdict_of_copy_whose_end_is_flat_for_being_darker_is_copy(void **state) {
    (void)state;
    vx_fp_frame darker[N];
    memcpy(darker, stored[2], sizeof darker);
    for (int i = 12; i < N; i++)
        darker[i].quality = 38;
    assert_int_equal(decide_between(darker, N).kind, VX_VERDICT_COPY);
    for (int i = 12; i < N; i++) /* flat, and another picture */
        memset(darker[i].hash, 0x5a, 32);
    assert_int_equal(decide_between(darker, N).kind, VX_VERDICT_SHARED_SEGMENT);
}

/* Other hashes for all frames, then those of stored[2] inside bars, from frame `from` on. */
static vx_verdict_kind decide_with_bars_seen_from(int from) {
    vx_fp_frame barred[2 * N];
    fill(barred, 77);
    size_t n = N;
    for (int i = from; i < N; i++) {
        barred[n] = stored[2][i];
        barred[n++].inside = true;
    }
    vx_rule_input in = input(barred);
    in.n_frames = n;
    return decide(&in).kind;
}

static void verdict_of_copy_with_bars_that_are_seen_late_is_copy(void **state) {
    (void)state;
    assert_int_equal(decide_with_bars_seen_from(4), VX_VERDICT_COPY);
    assert_int_equal(decide_with_bars_seen_from(6), VX_VERDICT_SHARED_SEGMENT);
}

static void verdict_of_half_a_second_less_is_still_copy(void **state) {
    (void)state;
    assert_int_equal(decide_between(stored[2], N - 1).kind, VX_VERDICT_COPY);
    assert_int_equal(decide_between(stored[2], N - 2).kind, VX_VERDICT_PART_OF);
}

static void verdict_of_flipped_copy_says_mirrored(void **state) {
    (void)state;
    vx_fp_frame other[N];
    fill(other, 77);
    vx_rule_input in = input(other);
    in.mirrored = stored[1];
    vx_verdict v = decide(&in);
    assert_int_equal(v.kind, VX_VERDICT_COPY);
    assert_int_equal(v.of, 1);
    assert_true(v.mirrored);
}

static void verdict_of_equal_copies_names_the_oldest(void **state) {
    (void)state;
    memcpy(stored[2], stored[1], sizeof stored[1]);
    memcpy(stored[3], stored[1], sizeof stored[1]);
    vx_rule_input in = input(stored[1]);
    assert_int_equal(decide(&in).of, 1);
}

static void verdict_of_copies_of_like_share_names_the_one_with_more_frames(void **state) {
    (void)state;
    memcpy(stored[2], stored[1], sizeof stored[1]);
    for (int i = N / 2; i < N; i++)
        stored[1][i].quality = 0; /* what is left of it matches whole */
    vx_rule_input in = input(stored[2]);
    vx_verdict v = decide(&in);
    assert_int_equal(v.of, 2);
    assert_float_equal(v.share, 1, 1e-6);
}

static void offset_below_a_millisecond_is_zero_without_a_sign(void **state) {
    (void)state;
    vx_fp_frame later[N];
    memcpy(later, stored[2], sizeof later);
    for (int i = 0; i < N; i++)
        later[i].time_s += 1e-4f;
    vx_rule_input in = input(later);
    vx_verdict v = decide(&in);
    assert_true(v.of == 2 && v.offset_s == 0 && !signbit(v.offset_s));
}

static void verdict_similar_names_the_best_score_then_the_oldest(void **state) {
    (void)state;
    vx_fp_frame other[N];
    fill(other, 77);
    vx_rule_input in = input(other);
    const vx_rule_similar similar[] = {{4, 0.95f}, {3, 0.97f}, {2, 0.97f}, {1, 0.3f}};
    in.similar = similar;
    in.n_similar = VX_LEN(similar);
    vx_verdict v = decide(&in);
    assert_int_equal(v.kind, VX_VERDICT_SIMILAR);
    assert_int_equal(v.of, 2);
    assert_float_equal(v.score, 0.97, 1e-6);
    assert_true(isnan(v.share));
    in.similar_threshold = 0.97f;
    assert_int_equal(decide(&in).kind, VX_VERDICT_SIMILAR);
}

static void verdict_when_loading_fails_passes_the_error_on(void **state) {
    (void)state;
    vx_rule_input in = input(stored[1]);
    unreadable = 2;
    vx_verdict verdict;
    vx_err err;
    assert_int_equal(vx_rule_decide(&in, &verdict, &err), -EIO);
    assert_non_null(strstr(err.msg, "bad sector"));
    assert_int_equal(vx_rule_decide(&in, &verdict, NULL), -EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(verdict_without_candidates_is_new, setup),
        cmocka_unit_test_setup(verdict_with_strange_candidates_is_new, setup),
        cmocka_unit_test_setup(verdict_copy_wins_over_higher_similar_and_has_its_score, setup),
        cmocka_unit_test_setup(verdict_copy_found_only_by_vector_is_a_copy, setup),
        cmocka_unit_test_setup(verdict_of_trimmed_copy_has_its_offset, setup),
        cmocka_unit_test_setup(verdict_of_compilation_is_contains, setup),
        cmocka_unit_test_setup(verdict_of_episodes_with_one_intro_is_shared_segment, setup),
        cmocka_unit_test_setup(verdict_of_loop_is_contains, setup),
        cmocka_unit_test_setup(verdict_of_shots_in_another_order_is_part_of, setup),
        cmocka_unit_test_setup(verdict_of_film_with_an_advertisement_in_it_is_contains, setup),
        cmocka_unit_test_setup(verdict_names_the_whole_before_the_excerpt, setup),
        cmocka_unit_test_setup(verdict_of_mirrored_trim_is_part_of, setup),
        cmocka_unit_test_setup(verdict_of_copy_whose_end_is_flat_for_being_darker_is_copy, setup),
        cmocka_unit_test_setup(verdict_of_copy_with_bars_that_are_seen_late_is_copy, setup),
        cmocka_unit_test_setup(verdict_of_half_a_second_less_is_still_copy, setup),
        cmocka_unit_test_setup(verdict_of_flipped_copy_says_mirrored, setup),
        cmocka_unit_test_setup(verdict_of_equal_copies_names_the_oldest, setup),
        cmocka_unit_test_setup(verdict_of_copies_of_like_share_names_the_one_with_more_frames,
                               setup),
        cmocka_unit_test_setup(offset_below_a_millisecond_is_zero_without_a_sign, setup),
        cmocka_unit_test_setup(verdict_similar_names_the_best_score_then_the_oldest, setup),
        cmocka_unit_test_setup(verdict_when_loading_fails_passes_the_error_on, setup),
    };
    return cmocka_run_group_tests_name("dedup", tests, NULL, NULL);
}
