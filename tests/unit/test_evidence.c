/* src/evidence on pictures and videos of any shape and content: what no file of tests/evidence has. Under the sanitizers this
 * is the test that nothing is read outside. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "evidence/layout.h"
#include "evidence/orb.h"

static uint64_t rng = 1;

static uint32_t next_random(void) {
    uint64_t z = rng += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(z ^ (z >> 31));
}

static int between(int low, int high) {
    return low + (int)(next_random() % (uint32_t)(high - low + 1));
}

/* Blocks of random grey: corners at any place, those at the edges too. */
static void paint(uint8_t *pixels, int w, int h) {
    int block = between(1, 9);
    uint8_t greys[64];
    for (int i = 0; i < 64; i++)
        greys[i] = (uint8_t)next_random();
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            pixels[y * w + x] = greys[(x / block * 7 + y / block * 13) % 64];
}

static vx_footage make_footage(int n, int w, int h) {
    vx_footage f;
    assert_int_equal(vx_footage_new(n, w, h, &f, NULL), 0);
    for (f.n = 0; f.n < n; f.n++) {
        paint(vx_footage_picture(&f, f.n), w, h);
        f.time_s[f.n] = f.n / 2.0;
    }
    return f;
}

static void features_lie_in_pictures_of_any_size(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        vx_luma luma;
        vx_orb orb;
        int w = between(1, 320), h = between(1, 200), most = between(1, VX_ORB_MAX);
        assert_int_equal(vx_luma_new(w, h, &luma, NULL), 0);
        paint(luma.pixels, w, h);
        const vx_orb_params params = {.max_features = most};
        assert_int_equal(vx_orb_find(&luma, &params, &orb, NULL), 0);
        assert_true(orb.n <= (size_t)most);
        for (size_t i = 0; i < orb.n; i++) {
            assert_true(orb.features[i].x_px >= 0 && orb.features[i].x_px < (float)w);
            assert_true(orb.features[i].y_px >= 0 && orb.features[i].y_px < (float)h);
        }
        vx_similarity same;
        vx_geometry_find(&orb, &orb, false, &same);
        assert_true(isfinite(same.c + same.s + same.dx + same.dy));
        vx_orb_clear(&orb);
        vx_luma_clear(&luma);
    }
}

static void any_similarity_gives_a_grid_inside_both_pictures_or_none(void **state) {
    (void)state;
    int n_laid = 0;
    for (int trial = 0; trial < 200; trial++) {
        vx_footage a = make_footage(2, between(1, 320), between(1, 320));
        vx_footage b = make_footage(2, between(1, 320), between(1, 320)), on_a = {0}, on_b = {0};
        double scale = exp((between(0, 2000) - 1000) / 720.0), turn = between(0, 360) * M_PI / 180;
        const vx_similarity similarity = {.c = scale * cos(turn),
                                          .s = scale * sin(turn),
                                          .dx = between(-600, 600),
                                          .dy = between(-600, 600),
                                          .mirrored = trial % 2};
        const double box_a[4] = {0, 0, a.w_px, a.h_px}, box_b[4] = {0, 0, b.w_px, b.h_px};
        vx_layout layout = vx_layout_boxes(box_a, box_b, trial % 2, trial % 3 - 1);
        uint8_t *mask = NULL;
        vx_motion motion;
        const vx_perspective perspective = vx_perspective_of(&similarity, a.w_px);
        if (trial % 5 == 0 || vx_layout_of(&a, &b, &perspective, &layout)) {
            n_laid++;
            assert_in_range(layout.w, 1, VX_MOTION_WIDTH_PX);
            assert_in_range(layout.h, 1, VX_MOTION_WIDTH_PX);
            assert_int_equal(vx_layout_apply(&layout, &a, &b, &on_a, &on_b, &mask, NULL), 0);
            const vx_motion_params params = {.mask = mask, .min_pairs = 1};
            assert_int_equal(vx_motion_compare(&on_a, &on_b, &params, &motion, NULL), 0);
        }
        free(mask);
        vx_footage_clear(&a);
        vx_footage_clear(&b);
        vx_footage_clear(&on_a);
        vx_footage_clear(&on_b);
    }
    assert_true(n_laid > 50);
}

/* b is a box of a, mirrored first and turned then: on the grid both are the same. */
static void boxes_lie_on_each_other_however_they_are_turned(void **state) {
    (void)state;
    enum { W = 60, H = 40, LEFT = 12, TOP = 8 };
    for (int turn = -1; turn <= 1; turn++)
        for (int mirrored = 0; mirrored < 2; mirrored++) {
            int w_b = turn ? H : W, h_b = turn ? W : H;
            vx_footage a = make_footage(1, LEFT + W + 5, TOP + H + 3),
                       b = make_footage(1, w_b, h_b);
            vx_footage on_a = {0}, on_b = {0};
            uint8_t *mask = NULL;
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) {
                    int flipped = mirrored ? W - 1 - x : x;
                    int to_x = turn > 0 ? H - 1 - y : turn < 0 ? y : flipped;
                    int to_y = turn > 0 ? flipped : turn < 0 ? W - 1 - flipped : y;
                    vx_footage_picture(&b, 0)[to_y * w_b + to_x] =
                        vx_footage_picture(&a, 0)[(TOP + y) * a.w_px + LEFT + x];
                }
            const double box_a[4] = {LEFT, TOP, LEFT + W, TOP + H}, box_b[4] = {0, 0, w_b, h_b};
            const vx_layout layout = vx_layout_boxes(box_a, box_b, mirrored, turn);
            assert_int_equal(vx_layout_apply(&layout, &a, &b, &on_a, &on_b, &mask, NULL), 0);
            int n_far = 0;
            for (int i = 0; i < layout.w * layout.h; i++)
                n_far += abs(on_a.luma[i] - on_b.luma[i]) > 40;  /* places are rounded to 1/16 */
            assert_in_range(n_far, 0, layout.w * layout.h / 10); /* the edges of the box */
            free(mask);
            vx_footage_clear(&a);
            vx_footage_clear(&b);
            vx_footage_clear(&on_a);
            vx_footage_clear(&on_b);
        }
}

static void fill(vx_footage *f, int i, int left, int top, int right, int bottom, int grey) {
    for (int y = top; y < bottom; y++)
        for (int x = left; x < right; x++)
            vx_footage_picture(f, i)[y * f->w_px + x] = (uint8_t)(grey + (x + y) % 3);
}

static void assert_content(const vx_footage *f, double left, double top, double right,
                           double bottom) {
    double box[4];
    vx_layout_find_content(f, box);
    assert_float_equal(box[0], left, 2);
    assert_float_equal(box[1], top, 2);
    assert_float_equal(box[2], right, 2);
    assert_float_equal(box[3], bottom, 2);
}

static void bars_of_one_passage_are_seen(void **state) {
    (void)state;
    vx_footage f = make_footage(20, 320, 180);
    for (int i = 0; i < f.n; i++) /* paint may give a line of one grey */
        for (int k = 0; k < 320 * 180; k++)
            vx_footage_picture(&f, i)[k] = (uint8_t)(60 + next_random() % 128);
    assert_content(&f, 0, 0, 320, 180);
    for (int i = 7; i < 10; i++) {
        fill(&f, i, 0, 0, 40, 180, 200);
        fill(&f, i, 280, 0, 320, 180, 200);
    }
    assert_content(&f, 0, 0, 320, 180); /* three pictures may be chance */
    fill(&f, 10, 0, 0, 40, 180, 16);
    fill(&f, 10, 280, 0, 320, 180, 16);
    assert_content(&f, 40, 0, 280, 180);
    for (int i = 0; i < f.n; i++)
        fill(&f, i, 0, 0, 320, 20, 16);
    for (int i = 0; i < f.n; i++)
        fill(&f, i, 0, 150, 320, 180, 16);
    assert_content(&f, 0, 20, 320, 150); /* most have these */
    for (int i = 0; i < f.n; i++)
        fill(&f, i, 0, 0, 320, 180, 16);
    assert_content(&f, 0, 0, 320, 180); /* all black is no bar */
    vx_footage_clear(&f);
}

static void point_goes_to_the_other_picture_and_back(void **state) {
    (void)state;
    const vx_similarity m = {.c = 0.6, .s = -0.8, .dx = 12, .dy = -7, .mirrored = true};
    double x, y;
    vx_perspective there = vx_perspective_of(&m, 320), back;
    assert_true(vx_perspective_invert(&there, &back));
    assert_true(vx_perspective_apply(&there, 30, 40, &x, &y));
    assert_true(vx_perspective_apply(&back, x, y, &x, &y));
    assert_float_equal(x, 30, 1e-9);
    assert_float_equal(y, 40, 1e-9);
    assert_float_equal(vx_similarity_scale(&m), 1, 1e-9);
}

static void fitted_size_keeps_the_shape_and_one_pixel(void **state) {
    (void)state;
    const int cases[][4] = {{1920, 1080, 320, 180}, {1080, 1920, 180, 320}, {160, 90, 320, 180},
                            {8192, 16, 320, 1},     {176, 144, 320, 262},   {16, 9, 32, 18}};
    for (size_t i = 0; i < VX_LEN(cases); i++) {
        int w = cases[i][0], h = cases[i][1];
        vx_luma_fit(&w, &h, 320);
        assert_int_equal(w, cases[i][2]);
        assert_int_equal(h, cases[i][3]);
    }
}

/* Features of two pictures of which one is the other filmed at an angle, every fifth in a wrong place. */
static void place_features(const vx_perspective *seen, vx_orb *a, vx_orb *b) {
    for (size_t i = 0; i < a->n; i++) {
        vx_orb_feature *p = &a->features[i], *q = &b->features[i];
        double x = between(10, 310), y = between(10, 170), u, v;
        assert_true(vx_perspective_apply(seen, x, y, &u, &v));
        for (int k = 0; k < 4; k++)
            p->bits[k] = q->bits[k] = (uint64_t)next_random() << 32 | next_random();
        p->x_px = (float)x - 0.5f;
        p->y_px = (float)y - 0.5f;
        q->x_px = (float)(i % 5 ? u : between(0, 320)) - 0.5f;
        q->y_px = (float)(i % 5 ? v : between(0, 180)) - 0.5f;
    }
}

static double worst_corner(const vx_perspective *found, const vx_perspective *truth) {
    double worst = 0, x, y, u, v;
    for (int corner = 0; corner < 4; corner++) {
        double at_x = (corner & 1) * 320, at_y = (corner >> 1) * 180;
        assert_true(vx_perspective_apply(found, at_x, at_y, &x, &y));
        assert_true(vx_perspective_apply(truth, at_x, at_y, &u, &v));
        worst = fmax(worst, hypot(x - u, y - v));
    }
    return worst;
}

static void picture_filmed_at_an_angle_has_its_perspective_and_others_none(void **state) {
    (void)state;
    enum { N = 200 };
    const vx_perspective cases[] = {{{{0.9, 0.05, 12}, {-0.04, 0.85, 20}, {-4e-4, 3e-4, 1}}},
                                    {{{1.1, -0.1, 5}, {0.02, 1.05, -12}, {6e-4, -5e-4, 1}}},
                                    {{{0.8, -0.1, 30}, {0.1, 0.8, 10}, {0, 0, 1}}}};
    for (size_t i = 0; i < VX_LEN(cases); i++) {
        vx_orb_feature of_a[N] = {0}, of_b[N] = {0};
        vx_orb a = {of_a, N, 320, 180}, b = {of_b, N, 320, 180};
        vx_similarity similarity;
        vx_perspective found;
        place_features(&cases[i], &a, &b);
        vx_geometry_find(&a, &b, false, &similarity);
        const vx_perspective start = vx_perspective_of(&similarity, 320);
        bool angle = cases[i].m[2][0] != 0;
        assert_int_equal(vx_perspective_find(&a, &b, &similarity, &found), angle);
        assert_true(worst_corner(&start, &cases[i]) > 8 || !angle);
        assert_true(worst_corner(angle ? &found : &start, &cases[i]) < 0.5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(features_lie_in_pictures_of_any_size),
        cmocka_unit_test(any_similarity_gives_a_grid_inside_both_pictures_or_none),
        cmocka_unit_test(boxes_lie_on_each_other_however_they_are_turned),
        cmocka_unit_test(bars_of_one_passage_are_seen),
        cmocka_unit_test(point_goes_to_the_other_picture_and_back),
        cmocka_unit_test(picture_filmed_at_an_angle_has_its_perspective_and_others_none),
        cmocka_unit_test(fitted_size_keeps_the_shape_and_one_pixel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
