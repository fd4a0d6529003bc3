/* vx_frame: references, views and what follows from the colour description. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "base/thread.h"
#include "frame/frame.h"
#include "frame/tone.h"

static void count_release(void *owner) {
    atomic_fetch_add((atomic_int *)owner, 1);
}

static void frame_is_released_with_its_last_reference(void **state) {
    (void)state;
    atomic_int n_released = 0;
    vx_frame *frame, like = {.device = 3, .width_px = 64, .time_s = 1.5, .refs = 7};
    assert_int_equal(vx_frame_new(&like, count_release, &n_released, &frame, NULL), 0);
    assert_int_equal(frame->device, 3);
    assert_int_equal(frame->width_px, 64);
    assert_ptr_equal(vx_frame_ref(frame), frame);
    assert_null(vx_frame_unref(frame));
    assert_int_equal(n_released, 0);
    assert_null(vx_frame_unref(frame));
    assert_int_equal(n_released, 1);
    assert_null(vx_frame_unref(NULL));
}

static void *ref_and_unref(void *ctx) {
    for (int i = 0; i < 10000; i++)
        vx_frame_unref(vx_frame_ref(ctx));
    vx_frame_unref(ctx);
    return NULL;
}

static void threads_may_share_a_frame(void **state) {
    (void)state;
    enum { N = 4 };
    atomic_int n_released = 0;
    pthread_t threads[N];
    vx_frame *frame;
    assert_int_equal(vx_frame_new(&(vx_frame){0}, count_release, &n_released, &frame, NULL), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(
            vx_thread_start(&threads[i], "reader", ref_and_unref, vx_frame_ref(frame), NULL), 0);
    vx_frame_unref(frame);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(n_released, 1);
}

static void matrix_that_no_stream_names_follows_the_height(void **state) {
    (void)state;
    vx_frame frame = {.height_px = 719, .matrix = VX_MATRIX_UNSPECIFIED};
    assert_int_equal(vx_frame_matrix(&frame), VX_MATRIX_BT470BG);
    frame.height_px = 720;
    assert_int_equal(vx_frame_matrix(&frame), VX_MATRIX_BT709);
    frame.matrix = VX_MATRIX_BT2020_NCL;
    assert_int_equal(vx_frame_matrix(&frame), VX_MATRIX_BT2020_NCL);
}

/* ---- the tables of HDR ---- */

static const vx_tone *tone_of(int transfer, double peak_nits) {
    const vx_frame frame = {.transfer = transfer, .peak_nits = peak_nits};
    const vx_tone *tone = NULL;
    assert_int_equal(vx_tone_get(&frame, &tone, NULL), 0);
    assert_true(vx_tone_fits(tone, &frame));
    return tone;
}

static void hdr_pictures_of_a_kind_share_their_tables(void **state) {
    (void)state;
    const vx_frame hlg = {.transfer = VX_TRANSFER_HLG}, pq = {.transfer = VX_TRANSFER_PQ};
    const vx_tone *a = tone_of(VX_TRANSFER_HLG, 0), *b = tone_of(VX_TRANSFER_HLG, 4000);
    const vx_tone *c = tone_of(VX_TRANSFER_PQ, 0), *d = tone_of(VX_TRANSFER_PQ, 4000);
    assert_ptr_equal(a, b);                             /* HLG has no peak of its own */
    assert_ptr_equal(c, tone_of(VX_TRANSFER_PQ, 1000)); /* which is what 0 stands for */
    assert_ptr_not_equal(c, d);
    assert_false(vx_tone_fits(a, &pq));
    assert_false(vx_tone_fits(c, &hlg));
    vx_tone_unref(c);
    const vx_tone *all[] = {a, b, c, d};
    for (size_t i = 0; i < VX_LEN(all); i++)
        vx_tone_unref(all[i]);
}

static void tables_in_use_stay_when_many_others_come(void **state) {
    (void)state;
    const vx_tone *used = tone_of(VX_TRANSFER_PQ, 500);
    uint8_t out[3];
    for (int i = 0; i < 12; i++)
        vx_tone_unref(tone_of(VX_TRANSFER_PQ, 2000 + i));
    vx_tone_row(used, (const uint16_t[]){65535, 65535, 65535}, 1,
                out); /* ASan sees it if they went */
    assert_int_equal(out[0], 255);
    const vx_tone *anew = tone_of(VX_TRANSFER_PQ, 500);
    assert_ptr_not_equal(used, anew);
    vx_tone_unref(anew);
    vx_tone_unref(used);
}

static void *get_and_unref_tables(void *ctx) {
    (void)ctx;
    for (int i = 0; i < 40; i++)
        vx_tone_unref(tone_of(i % 3 ? VX_TRANSFER_PQ : VX_TRANSFER_HLG, 3000 + i % 10));
    return NULL;
}

static void threads_may_share_tables(void **state) {
    (void)state;
    enum { N = 3 };
    pthread_t threads[N];
    for (int i = 0; i < N; i++)
        assert_int_equal(vx_thread_start(&threads[i], "tables", get_and_unref_tables, NULL, NULL),
                         0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_is_released_with_its_last_reference),
        cmocka_unit_test(threads_may_share_a_frame),
        cmocka_unit_test(matrix_that_no_stream_names_follows_the_height),
        cmocka_unit_test(hdr_pictures_of_a_kind_share_their_tables),
        cmocka_unit_test(tables_in_use_stay_when_many_others_come),
        cmocka_unit_test(threads_may_share_tables),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
