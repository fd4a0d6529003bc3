/* From invented probabilities to spans: where a cut lies, what is joined, divided and dropped. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clip/clip.h"
#include "media/packet_table.h"

enum { N = 100 };

static const vx_clip_spec shots = {
    .mode = VX_CLIP_SHOTS, .threshold = 0.5, .shortest_s = 2, .longest_s = 30};
static const vx_clip_spec curator = {
    .mode = VX_CLIP_CURATOR, .threshold = 0.5, .shortest_s = 2, .longest_s = 4, .crop_s = 0.5};

/* A video of N frames, ten a second, that are likely as given and else not at all the last of a
 * shot. */
typedef struct likely {
    int frame;
    float p;
} likely;

static void expect(const vx_clip_spec *spec, const likely *peaks, size_t n_peaks,
                   const vx_span *expected, size_t n) {
    double times[N];
    float p[N] = {0};
    for (int i = 0; i < N; i++)
        times[i] = i / 10.0;
    for (size_t i = 0; i < n_peaks; i++)
        p[peaks[i].frame] = peaks[i].p;
    vx_media media = {.times = times, .info = {.n_frames = N, .duration_s = 10, .fps = 10}};
    VX_AUTO_FREE vx_span *spans = NULL;
    size_t got;
    assert_int_equal(vx_clip_cut_shots(spec, &media, p, &spans, &got, NULL), 0);
    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++) {
        assert_float_equal(spans[i].start_s, expected[i].start_s, 1e-9);
        assert_float_equal(spans[i].end_s, expected[i].end_s, 1e-9);
    }
}

#define PEAKS(...) ((const likely[]){__VA_ARGS__}), VX_LEN(((const likely[]){__VA_ARGS__}))
#define SPANS(...) ((const vx_span[]){__VA_ARGS__}), VX_LEN(((const vx_span[]){__VA_ARGS__}))

static void cut_lies_behind_the_likeliest_frame_of_a_run(void **state) {
    (void)state;
    expect(&shots, PEAKS({29, 0.6f}, {30, 0.9f}, {31, 0.7f}), SPANS({0, 3.1}, {3.1, 10}));
    expect(&shots, PEAKS({29, 0.8f}, {30, 0.8f}), SPANS({0, 3}, {3, 10}));
}

static void frame_at_the_threshold_is_no_cut_and_ends_a_run(void **state) {
    (void)state;
    expect(&shots, PEAKS({50, 0.5f}), SPANS({0, 10}));
    expect(&shots, PEAKS({29, 0.6f}, {30, 0.5f}, {31, 0.9f}), SPANS({0, 3}, {3, 10}));
}

static void shot_of_just_the_shortest_length_stays(void **state) {
    (void)state;
    expect(&shots, PEAKS({19, 0.9f}), SPANS({0, 2}, {2, 10}));
    expect(&shots, PEAKS({18, 0.9f}), SPANS({0, 10}));
    expect(&shots, PEAKS({18, 0.9f}, {25, 0.9f}), SPANS({0, 2.6}, {2.6, 10}));
    expect(&shots, PEAKS({79, 0.9f}), SPANS({0, 8}, {8, 10}));
    expect(&shots, PEAKS({80, 0.9f}), SPANS({0, 10}));
}

static void long_shot_is_divided_into_the_fewest_equal_parts(void **state) {
    (void)state;
    vx_clip_spec spec = shots;
    spec.longest_s = 4;
    expect(&spec, NULL, 0, SPANS({0, 3.4}, {3.4, 6.7}, {6.7, 10}));
    spec.longest_s = 5;
    expect(&spec, NULL, 0, SPANS({0, 5}, {5, 10}));
}

static void curator_crops_before_it_drops_what_is_short(void **state) {
    (void)state;
    /* [0,30) leaves just two seconds; [32,99) is divided, and of its rest too little is left */
    expect(&curator, PEAKS({30, 0.9f}, {31, 0.9f}), SPANS({0.5, 2.5}, {3.7, 6.7}));
    /* the last shot ends before the last frame: [70,99) is one frame short */
    expect(&curator, PEAKS({28, 0.9f}, {29, 0.9f}), SPANS({3.5, 6.5}));
}

static void video_of_which_curator_leaves_nothing_is_one_clip(void **state) {
    (void)state;
    vx_clip_spec spec = curator;
    spec.shortest_s = 11;
    expect(&spec, NULL, 0, SPANS({0, 10}));
}

static void clips_up_to_the_most_are_given_and_one_more_is_refused(void **state) {
    (void)state;
    enum { MANY = VX_CLIP_MAX + 1 };
    vx_clip_spec spec = {.mode = VX_CLIP_CURATOR, .threshold = 0.5, .longest_s = 1};
    VX_AUTO_FREE double *times = vx_new_array(MANY, sizeof *times);
    VX_AUTO_FREE float *p = vx_new_array(MANY, sizeof *p);
    for (int i = 0; i < MANY; i++)
        times[i] = i;
    for (int over = 0; over <= 1; over++) {
        VX_AUTO_FREE vx_span *spans = NULL;
        size_t n = 0;
        vx_err err;
        vx_media media = {.times = times, .info = {.n_frames = VX_CLIP_MAX + over, .fps = 1}};
        assert_int_equal(vx_clip_cut_shots(&spec, &media, p, &spans, &n, &err),
                         over ? VX_CLIP_TOO_MANY : 0);
        assert_int_equal(n, over ? 0 : VX_CLIP_MAX);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_lies_behind_the_likeliest_frame_of_a_run),
        cmocka_unit_test(frame_at_the_threshold_is_no_cut_and_ends_a_run),
        cmocka_unit_test(shot_of_just_the_shortest_length_stays),
        cmocka_unit_test(long_shot_is_divided_into_the_fewest_equal_parts),
        cmocka_unit_test(curator_crops_before_it_drops_what_is_short),
        cmocka_unit_test(video_of_which_curator_leaves_nothing_is_one_clip),
        cmocka_unit_test(clips_up_to_the_most_are_given_and_one_more_is_refused),
    };
    return cmocka_run_group_tests_name("clip_shots", tests, NULL, NULL);
}
