/* Clip rules: what they accept, and which spans they cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "clip/clip.h"

static vx_clip_spec parsed(const char *text) {
    vx_clip_spec spec;
    vx_err err = {0};
    assert_int_equal(vx_clip_parse(text, &spec, &err), 0);
    return spec;
}

static void rule_refused(const char *text, const char *part_of_message) {
    vx_clip_spec spec;
    vx_err err = {0};
    assert_int_equal(vx_clip_parse(text, &spec, &err), VX_CLIP_BAD_SPEC);
    assert_non_null(strstr(err.msg, part_of_message));
}

static void expect_spans(const char *rule, double duration_s, const vx_span *expected, size_t n) {
    vx_clip_spec spec = parsed(rule);
    VX_AUTO_FREE vx_span *spans = NULL;
    size_t got;
    assert_int_equal(vx_clip_cut(&spec, duration_s, &spans, &got, NULL), 0);
    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++) {
        assert_float_equal(spans[i].start_s, expected[i].start_s, 1e-9);
        assert_float_equal(spans[i].end_s, expected[i].end_s, 1e-9);
    }
}

static void whole_of_any_length_is_one_clip(void **state) {
    (void)state;
    expect_spans("whole", 0.04, (vx_span[]){{0, 0.04}}, 1);
    expect_spans("whole", 7200, (vx_span[]){{0, 7200}}, 1);
}

static void fixed_without_stride_tiles_the_video(void **state) {
    (void)state;
    expect_spans("fixed:10", 30, (vx_span[]){{0, 10}, {10, 20}, {20, 30}}, 3);
}

static void fixed_last_piece_is_kept_from_the_minimum_on(void **state) {
    (void)state;
    expect_spans("fixed:10", 23, (vx_span[]){{0, 10}, {10, 20}, {20, 23}}, 3);
    expect_spans("fixed:10", 21.9, (vx_span[]){{0, 10}, {10, 20}}, 2);
    expect_spans("fixed:10,10,5", 24.9, (vx_span[]){{0, 10}, {10, 20}}, 2);
}

static void fixed_with_stride_overlaps_or_leaves_gaps(void **state) {
    (void)state;
    expect_spans("fixed:4,2", 8, (vx_span[]){{0, 4}, {2, 6}, {4, 8}, {6, 8}}, 4);
    expect_spans("fixed:2,5", 12, (vx_span[]){{0, 2}, {5, 7}, {10, 12}}, 3);
}

static void fixed_video_shorter_than_minimum_is_one_clip(void **state) {
    (void)state;
    expect_spans("fixed:10", 1.5, (vx_span[]){{0, 1.5}}, 1);
}

static void fixed_starts_do_not_drift_over_a_day(void **state) {
    (void)state;
    vx_clip_spec spec = parsed("fixed:10.1");
    VX_AUTO_FREE vx_span *spans = NULL;
    size_t n;
    assert_int_equal(vx_clip_cut(&spec, 86400, &spans, &n, NULL), 0);
    assert_float_equal(spans[n - 1].start_s, (double)(n - 1) * 10.1, 1e-9);
}

static void rule_giving_too_many_clips_is_refused(void **state) {
    (void)state;
    vx_clip_spec spec = parsed("fixed:0.1");
    vx_span *spans = NULL;
    size_t n;
    vx_err err = {0};
    assert_int_equal(vx_clip_cut(&spec, 86400, &spans, &n, &err), VX_CLIP_TOO_MANY);
    assert_non_null(strstr(err.msg, "longer stride"));
}

static void rule_with_wrong_text_is_refused_with_the_reason(void **state) {
    (void)state;
    rule_refused("", "whole, fixed");
    rule_refused("shot", "whole, fixed");
    rule_refused("shots-", "whole, fixed");
    rule_refused("fixed:", "length");
    rule_refused("fixed:ten", "length");
    rule_refused("fixed:-1", "length");
    rule_refused("fixed:nan", "length");
    rule_refused("fixed:inf", "length");
    rule_refused("fixed:0", "length");
    rule_refused("fixed:10,x", "stride");
    rule_refused("fixed:10,5,2,1", "three numbers");
    rule_refused("fixed:10,", "comma");
    rule_refused("fixed:3600,0.1", "1/16");
    rule_refused("fixed:5,5,10", "minimum");
    rule_refused("shots:", "threshold");
    rule_refused("shots:1", "threshold");
    rule_refused("shots:nan", "threshold");
    rule_refused("shots:0.5,x", "shortest");
    rule_refused("shots:0.5,2,3", "twice");
    rule_refused("shots:0.5,2,30,1", "three numbers");
    rule_refused("shots-curator:0.5,2,30,1,1", "four numbers");
}

static void rule_described_reads_back_as_itself(void **state) {
    (void)state;
    static const char *const rules[][2] = {
        {"whole", "whole"},
        {"auto", "auto"},
        {"fixed:10", "fixed:10,10,2"},
        {"fixed:0.333333333,0.25", "fixed:0.333333333,0.25,0.333333333"},
        {"shots", "shots:0.5,2,30"},
        {"shots:0.25,1", "shots:0.25,1,30"},
        {"shots-curator", "shots-curator:0.4,2,10,0.5"},
        {"shots-curator:0.5,1,8,0", "shots-curator:0.5,1,8,0"},
    };
    for (size_t i = 0; i < VX_LEN(rules); i++) {
        char text[96];
        vx_clip_spec spec = parsed(rules[i][0]);
        vx_clip_describe(&spec, text);
        assert_string_equal(text, rules[i][1]);
        vx_clip_spec again = parsed(text);
        assert_memory_equal(&again, &spec, sizeof spec);
    }
}

static void auto_takes_what_the_length_and_the_models_allow(void **state) {
    (void)state;
    vx_clip_spec rule = parsed("auto");
    char text[96];
    const struct {
        double duration_s;
        bool has_shots;
        const char *expected;
    } cases[] = {{30, true, "whole"},
                 {30, false, "whole"},
                 {30.01, true, "shots:0.5,2,30"},
                 {30.01, false, "fixed:10,10,2"}};
    for (size_t i = 0; i < VX_LEN(cases); i++) {
        vx_clip_spec now = vx_clip_resolve(&rule, cases[i].duration_s, cases[i].has_shots);
        vx_clip_describe(&now, text);
        assert_string_equal(text, cases[i].expected);
    }
    rule = parsed("whole");
    assert_int_equal(vx_clip_resolve(&rule, 7200, true).mode, VX_CLIP_WHOLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_of_any_length_is_one_clip),
        cmocka_unit_test(fixed_without_stride_tiles_the_video),
        cmocka_unit_test(fixed_last_piece_is_kept_from_the_minimum_on),
        cmocka_unit_test(fixed_with_stride_overlaps_or_leaves_gaps),
        cmocka_unit_test(fixed_video_shorter_than_minimum_is_one_clip),
        cmocka_unit_test(fixed_starts_do_not_drift_over_a_day),
        cmocka_unit_test(rule_giving_too_many_clips_is_refused),
        cmocka_unit_test(rule_with_wrong_text_is_refused_with_the_reason),
        cmocka_unit_test(rule_described_reads_back_as_itself),
        cmocka_unit_test(auto_takes_what_the_length_and_the_models_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
