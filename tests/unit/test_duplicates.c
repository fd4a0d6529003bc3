/* What a scan and its groups stand on: which video is kept and why, the nearest of a video, disjoint sets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "duplicates/keeper.h"
#include "duplicates/near.h"
#include "duplicates/sets.h"

/* ---- which video is kept ---- */

static vx_group_video plain(const char *id) {
    vx_group_video v = {.filename = (char *)"a.mp4",
                        .bytes = 1000000,
                        .width_px = 320,
                        .height_px = 180,
                        .duration_s = 8,
                        .created_us = 1000};
    strcpy(v.id, id);
    return v;
}

/* The first is kept, with these words, whichever of the two is asked about. */
static void check(const char *text, vx_group_video best, vx_group_video second, double best_value,
                  double second_value, const char *why) {
    vx_keep_policy policy;
    vx_err err;
    char found[256];
    assert_int_equal(vx_keep_policy_parse(text, &policy, &err), 0);
    const vx_keep_facts a = {.video = &best,
                             .filename = vx_keep_choose_file(&policy, &best),
                             .no_file = best.no_file,
                             .metadata = best_value};
    const vx_keep_facts b = {.video = &second,
                             .filename = vx_keep_choose_file(&policy, &second),
                             .no_file = second.no_file,
                             .metadata = second_value};
    assert_true(vx_keep_compare(&policy, &a, &b) < 0);
    assert_true(vx_keep_compare(&policy, &b, &a) > 0);
    vx_keep_explain(&policy, &a, &b, found, sizeof found);
    assert_string_equal(found, why);
}

static void each_policy_keeps_by_its_measure_and_says_so(void **state) {
    (void)state;
    vx_group_video a = plain("a"), b = plain("b");
    b.width_px = 640;
    check("largest_picture", b, a, NAN, NAN,
          "it has the largest picture: 640 × 180, the next has 320 × 180");
    b = plain("b");
    b.bytes = 2000000;
    check("highest_bitrate", b, a, NAN, NAN,
          "it has the highest bit rate: 2000 kbit/s, the next has 1000 kbit/s");
    b = plain("b");
    b.duration_s = 9.25;
    check("longest", b, a, NAN, NAN, "it is the longest: 9.2 s, the next has 8.0 s");
    b = plain("b");
    b.created_us = 999;
    check("oldest", b, a, NAN, NAN, "it is the oldest");
    check("newest", a, b, NAN, NAN, "it is the newest");
    b = plain("b");
    b.filename = (char *)"x/best/b.mp4";
    check("path:y,x/best", b, a, NAN, NAN, "it is in the folder x/best");
    check("metadata:stars", plain("b"), a, 5, 4, "it has the greatest metadata.stars");
    check("metadata:stars", plain("b"), a, (double)-INFINITY, NAN,
          "it has the greatest metadata.stars");
}

static void what_is_equal_by_the_policy_is_decided_by_the_next_measure(void **state) {
    (void)state;
    vx_group_video a = plain("a"), b = plain("b");
    b.bytes = 2000000;
    check("largest_picture", b, a, NAN, NAN,
          "none has a larger picture; of the equal ones it has the highest bit rate: 2000 kbit/s, "
          "the "
          "next has 1000 kbit/s");
    check("oldest", b, a, NAN, NAN,
          "none is older; of the equal ones it has the highest bit rate: 2000 kbit/s, the next has "
          "1000 kbit/s");
    check(
        "path:x", b, a, NAN, NAN,
        "none is in the folders of your list; of all it has the highest bit rate: 2000 kbit/s, the "
        "next has 1000 kbit/s");
    check("metadata:stars", b, a, 3, 3,
          "none has a greater metadata.stars; of the equal ones it has the highest bit rate: 2000 "
          "kbit/s, the next has 1000 kbit/s");
    check("longest", plain("a"), plain("b"), NAN, NAN,
          "none is longer; of the equal ones its id comes first, as they are equal in all else");
}

static void video_without_a_file_or_in_the_trash_wins_by_no_policy(void **state) {
    (void)state;
    static const char *const policies[] = {"largest_picture", "highest_bitrate", "longest",
                                           "oldest",          "newest",          "path:Trash",
                                           "metadata:stars"};
    for (size_t i = 0; i < VX_LEN(policies); i++) {
        vx_group_video good = plain("good"), bad = plain("bad");
        bad.width_px = 7680;
        bad.bytes = INT64_C(1) << 40;
        bad.duration_s = 9;
        bad.created_us = strcmp(policies[i], "newest") ? 1 : 5000;
        bad.filename = (char *)"Trash/bad.mp4";
        bad.set_aside = true;
        check(policies[i], good, bad, 1, 2, "the others are in trash or hidden folders");
        bad.set_aside = false;
        bad.no_file = true;
        check(policies[i], good, bad, 1, 2, "the others have no file");
    }
}

static void of_files_with_the_same_bytes_one_stays(void **state) {
    (void)state;
    vx_keep_policy policy;
    vx_err err;
    char why[256];
    vx_group_file same[] = {{.path = (char *)"b/c.mp4"}, {.path = (char *)"Trash/b/c.mp4"}};
    vx_group_video v = plain("a");
    v.same = same;
    v.n_same = 2;
    static const struct {
        const char *policy, *stays, *why;
    } cases[] = {
        {"largest_picture", "a.mp4", "all have the same bytes, and its path comes first"},
        {"path:b", "b/c.mp4", "it is in the folder b"},
        {"path:Trash", "a.mp4", "all have the same bytes, and its path comes first"},
        {"path:x", "a.mp4", "all have the same bytes, and its path comes first"},
    };
    for (size_t i = 0; i < VX_LEN(cases); i++) {
        assert_int_equal(vx_keep_policy_parse(cases[i].policy, &policy, &err), 0);
        const vx_keep_facts facts = {.video = &v, .filename = vx_keep_choose_file(&policy, &v)};
        assert_string_equal(facts.filename, cases[i].stays);
        vx_keep_explain(&policy, &facts, NULL, why, sizeof why);
        assert_string_equal(why, cases[i].why);
    }
    v.n_same = 1;
    v.same = same + 1;
    assert_int_equal(vx_keep_policy_parse("oldest", &policy, &err), 0);
    const vx_keep_facts facts = {.video = &v, .filename = v.filename};
    vx_keep_explain(&policy, &facts, NULL, why, sizeof why);
    assert_string_equal(why, "the others are in trash or hidden folders");
}

static void words_that_do_not_fit_are_cut(void **state) {
    (void)state;
    vx_keep_policy policy;
    vx_err err;
    vx_group_video a = plain("a"), b = plain("b");
    a.bytes++;
    assert_int_equal(vx_keep_policy_parse("largest_picture", &policy, &err), 0);
    const vx_keep_facts best = {.video = &a, .filename = a.filename},
                        second = {.video = &b, .filename = b.filename};
    for (size_t capacity = 1; capacity < 120; capacity++) {
        char *text = malloc(capacity); /* for the sanitizer */
        vx_keep_explain(&policy, &best, &second, text, capacity);
        assert_true(strlen(text) < capacity);
        free(text);
    }
}

static void wrong_policy_is_refused_and_a_right_one_is_split(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "", "best", "oldest:x", "path", "path:", "path:a,,b", "path:,", "metadata:", "metadata"};
    vx_keep_policy policy;
    vx_err err;
    char text[VX_KEEP_MAX_BYTES + 2] = "path:";
    for (size_t i = 0; i < VX_LEN(wrong); i++)
        assert_int_not_equal(vx_keep_policy_parse(wrong[i], &policy, &err), 0);
    assert_int_equal(vx_keep_policy_parse("path:films,a b/c", &policy, &err), 0);
    assert_int_equal(policy.n_folders, 2);
    assert_string_equal(policy.folders[1], "a b/c");
    for (int i = 0; i <= VX_KEEP_FOLDERS_MAX; i++)
        strcat(text, i ? ",x" : "x");
    assert_int_not_equal(vx_keep_policy_parse(text, &policy, &err), 0);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text, "path:", 5);
    assert_int_not_equal(vx_keep_policy_parse(text, &policy, &err), 0);
    text[VX_KEEP_MAX_BYTES] = '\0';
    assert_int_equal(vx_keep_policy_parse(text, &policy, &err), 0);
}

static void metadata_field_is_a_number_or_ranks_below_all_numbers(void **state) {
    (void)state;
    vx_keep_policy policy;
    vx_err err;
    assert_int_equal(vx_keep_policy_parse("metadata:a.b", &policy, &err), 0);
    assert_true(vx_keep_read_metadata(&policy, "{\"a\":{\"b\":2.5}}") == 2.5);
    assert_true(vx_keep_read_metadata(&policy, "{\"a\":{\"b\":true}}") == 1);
    assert_true(vx_keep_read_metadata(&policy, "{\"a\":{\"b\":\"x\"}}") == -INFINITY);
    static const char *const none[] = {"{\"a\":{\"b\":null}}", "{\"a\":5}", "{}", "[", NULL};
    for (size_t i = 0; i < VX_LEN(none); i++)
        assert_true(isnan(vx_keep_read_metadata(&policy, none[i])));
}

/* ---- the nearest of a video ---- */

static uint32_t next_random(uint32_t *seed) {
    return *seed = *seed * 1664525 + 1013904223;
}

static int by_rank(const void *a, const void *b) {
    const vx_near_video *x = a, *y = b;
    return vx_near_is_better(*x, *y) ? -1 : vx_near_is_better(*y, *x);
}

/* Sixty-four best of 300 videos with several scores each, pushed in any order; what has no place is given back. */
static void nearest_are_the_best_whatever_the_order(void **state) {
    (void)state;
    enum { VIDEOS = 300, TIMES = 5 };
    for (uint32_t seed = 1; seed < 40; seed++) {
        uint32_t random = seed;
        vx_near_video best[VIDEOS], pushed[VIDEOS * TIMES];
        for (uint32_t i = 0; i < VIDEOS; i++)
            best[i] = (vx_near_video){i, -1};
        for (uint32_t i = 0; i < VIDEOS * TIMES; i++) {
            pushed[i] = (vx_near_video){i % VIDEOS, (float)(next_random(&random) >> 26) / 64};
            if (pushed[i].score > best[i % VIDEOS].score)
                best[i % VIDEOS] = pushed[i];
        }
        for (size_t i = VIDEOS * TIMES - 1; i > 0; i--) {
            size_t k = next_random(&random) % (i + 1);
            vx_near_video swap = pushed[i];
            pushed[i] = pushed[k];
            pushed[k] = swap;
        }
        vx_near near = {0};
        bool was_left[VIDEOS] = {0};
        for (size_t i = 0; i < VIDEOS * TIMES; i++) {
            vx_near_video left;
            if (!vx_near_push(&near, pushed[i], &left))
                was_left[left.video] = true;
        }
        qsort(best, VIDEOS, sizeof *best, by_rank);
        qsort(near.items, near.n, sizeof *near.items, by_rank);
        assert_int_equal(near.n, VX_NEAR_MAX);
        for (size_t i = 0; i < VX_NEAR_MAX; i++)
            assert_true(near.items[i].video == best[i].video &&
                        near.items[i].score == best[i].score);
        for (size_t i = VX_NEAR_MAX; i < VIDEOS; i++)
            assert_true(was_left[best[i].video]);
    }
}

/* ---- disjoint sets ---- */

static void sets_are_those_of_brute_force_and_named_by_their_least(void **state) {
    (void)state;
    enum { N = 200 };
    for (uint32_t seed = 1; seed < 60; seed++) {
        uint32_t random = seed, label[N];
        uint32_t *parent = vx_sets_new(N);
        for (uint32_t i = 0; i < N; i++)
            label[i] = i;
        for (uint32_t i = 0; i < seed * 4; i++) {
            uint32_t a = next_random(&random) >> 8, b = next_random(&random) >> 8;
            a %= N;
            b %= N;
            uint32_t low = label[a] < label[b] ? label[a] : label[b],
                     high = label[a] ^ label[b] ^ low;
            assert_int_equal(vx_sets_join(parent, a, b), low != high);
            for (uint32_t k = 0; k < N; k++)
                label[k] = label[k] == high ? low : label[k];
        }
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(vx_sets_find(parent, i), label[i]);
        free(parent);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_policy_keeps_by_its_measure_and_says_so),
        cmocka_unit_test(what_is_equal_by_the_policy_is_decided_by_the_next_measure),
        cmocka_unit_test(video_without_a_file_or_in_the_trash_wins_by_no_policy),
        cmocka_unit_test(of_files_with_the_same_bytes_one_stays),
        cmocka_unit_test(words_that_do_not_fit_are_cut),
        cmocka_unit_test(wrong_policy_is_refused_and_a_right_one_is_split),
        cmocka_unit_test(metadata_field_is_a_number_or_ranks_below_all_numbers),
        cmocka_unit_test(nearest_are_the_best_whatever_the_order),
        cmocka_unit_test(sets_are_those_of_brute_force_and_named_by_their_least),
    };
    return cmocka_run_group_tests_name("duplicates", tests, NULL, NULL);
}
