/* vx_frame: references, views and what follows from the colour description. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "base/thread.h"
#include "frame/frame.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_is_released_with_its_last_reference),
        cmocka_unit_test(threads_may_share_a_frame),
        cmocka_unit_test(matrix_that_no_stream_names_follows_the_height),
    };
    return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
