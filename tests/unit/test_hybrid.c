/* Hybrid decoding: which clips go to the card and which to the CPU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "media/hybrid.h"

static int enter(vx_hybrid *h, bool card_can) {
    return vx_hybrid_enter(h, card_can, NULL, NULL);
}

static int waiting(vx_hybrid *h) {
    vx_mutex_lock(&h->lock);
    int n = h->n_waiting;
    vx_mutex_unlock(&h->lock);
    return n;
}

/* A clip that waits in a thread of its own. */
typedef struct clip {
    vx_hybrid *h;
    bool card_can;
    int path;
    pthread_t thread;
} clip;

static void *enter_thread(void *ctx) {
    clip *c = ctx;
    c->path = enter(c->h, c->card_can);
    return NULL;
}

/* Returns once the clip waits as the n-th. */
static void begin_waiting(clip *c, vx_hybrid *h, bool card_can, int n) {
    *c = (clip){.h = h, .card_can = card_can, .path = -2};
    pthread_create(&c->thread, NULL, enter_thread, c);
    while (waiting(h) < n)
        usleep(500);
}

static int path_of(clip *c) {
    pthread_join(c->thread, NULL);
    return c->path;
}

static void the_card_comes_first_and_cores_take_what_it_has_no_room_for(void **state) {
    (void)state;
    vx_hybrid h;
    vx_hybrid_init(&h, 2, 1, true);
    assert_int_equal(enter(&h, true), VX_DECODE_CARD);
    assert_int_equal(enter(&h, true), VX_DECODE_CARD);
    assert_int_equal(enter(&h, true), VX_DECODE_CPU);
    vx_hybrid_leave(&h, VX_DECODE_CARD);
    assert_int_equal(enter(&h, true), VX_DECODE_CARD);
    vx_hybrid_done(&h);
}

static void without_hybrid_a_clip_waits_for_the_card(void **state) {
    (void)state;
    vx_hybrid h;
    clip c;
    vx_hybrid_init(&h, 1, 4, false);
    assert_int_equal(enter(&h, true), VX_DECODE_CARD);
    begin_waiting(&c, &h, true, 1);
    assert_int_equal(enter(&h, false), VX_DECODE_CPU); /* what the card refuses does not wait */
    assert_int_equal(waiting(&h), 1);
    vx_hybrid_leave(&h, VX_DECODE_CARD);
    assert_int_equal(path_of(&c), VX_DECODE_CARD);
    vx_hybrid_done(&h);
}

static void half_of_the_cores_help_a_card_and_all_take_what_it_refuses(void **state) {
    (void)state;
    vx_hybrid h;
    clip c;
    vx_hybrid_init(&h, 1, 4, true);
    assert_int_equal(enter(&h, true), VX_DECODE_CARD);
    assert_int_equal(enter(&h, true), VX_DECODE_CPU);
    assert_int_equal(enter(&h, true), VX_DECODE_CPU);
    begin_waiting(&c, &h, true, 1);
    assert_int_equal(enter(&h, false), VX_DECODE_CPU);
    assert_int_equal(enter(&h, false), VX_DECODE_CPU);
    assert_int_equal(waiting(&h), 1);
    for (int i = 0; i < 2; i++) /* four, three: still more than half */
        vx_hybrid_leave(&h, VX_DECODE_CPU);
    assert_int_equal(waiting(&h), 1);
    vx_hybrid_leave(&h, VX_DECODE_CPU);
    assert_int_equal(path_of(&c), VX_DECODE_CPU);
    vx_hybrid_done(&h);
}

static void without_a_card_all_go_to_the_cpu(void **state) {
    (void)state;
    vx_hybrid h;
    vx_hybrid_init(&h, 0, 2, false);
    assert_int_equal(enter(&h, true), VX_DECODE_CPU);
    assert_int_equal(enter(&h, false), VX_DECODE_CPU);
    vx_hybrid_done(&h);
}

static void places_are_given_in_the_order_of_coming(void **state) {
    (void)state;
    vx_hybrid h;
    clip refused, first, second;
    vx_hybrid_init(&h, 1, 1, true);
    assert_int_equal(enter(&h, true), VX_DECODE_CARD);
    assert_int_equal(enter(&h, true), VX_DECODE_CPU);
    begin_waiting(&refused, &h, false, 1);
    begin_waiting(&first, &h, true, 2);
    begin_waiting(&second, &h, true, 3);
    vx_hybrid_leave(&h, VX_DECODE_CARD); /* no use to the one that came first */
    assert_int_equal(path_of(&first), VX_DECODE_CARD);
    assert_int_equal(second.path, -2);
    vx_hybrid_leave(&h, VX_DECODE_CPU);
    assert_int_equal(path_of(&refused), VX_DECODE_CPU);
    vx_hybrid_leave(&h, VX_DECODE_CPU);
    assert_int_equal(path_of(&second), VX_DECODE_CPU);
    vx_hybrid_done(&h);
}

static bool never(void *ctx) {
    (void)ctx;
    return false;
}

static void a_clip_that_is_cancelled_leaves_the_queue(void **state) {
    (void)state;
    vx_hybrid h;
    clip next;
    vx_hybrid_init(&h, 1, 1, false);
    assert_int_equal(enter(&h, true), VX_DECODE_CARD);
    assert_int_equal(vx_hybrid_enter(&h, true, never, NULL), -1);
    assert_int_equal(waiting(&h), 0);
    begin_waiting(&next, &h, true, 1);
    vx_hybrid_leave(&h, VX_DECODE_CARD);
    assert_int_equal(path_of(&next), VX_DECODE_CARD);
    vx_hybrid_done(&h);
}

static void *pass_through(void *ctx) {
    vx_hybrid *h = ctx;
    for (int i = 0; i < 2000; i++) {
        int path = enter(h, i % 3 != 0);
        vx_hybrid_leave(h, (vx_decode_path)path);
    }
    return NULL;
}

/* Nobody else is left when it looks. */
VX_NO_LOCK_ANALYSIS static void many_threads_never_exceed_the_room(void **state) {
    (void)state;
    vx_hybrid h;
    pthread_t threads[8];
    vx_hybrid_init(&h, 2, 2, true);
    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, pass_through, &h);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(h.busy[0] + h.busy[1], 0);
    assert_int_equal(h.n_clips[0] + h.n_clips[1], 8 * 2000);
    assert_null(h.first);
    vx_hybrid_done(&h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_card_comes_first_and_cores_take_what_it_has_no_room_for),
        cmocka_unit_test(without_hybrid_a_clip_waits_for_the_card),
        cmocka_unit_test(half_of_the_cores_help_a_card_and_all_take_what_it_refuses),
        cmocka_unit_test(without_a_card_all_go_to_the_cpu),
        cmocka_unit_test(places_are_given_in_the_order_of_coming),
        cmocka_unit_test(a_clip_that_is_cancelled_leaves_the_queue),
        cmocka_unit_test(many_threads_never_exceed_the_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
