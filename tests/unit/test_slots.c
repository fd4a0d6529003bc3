/* Slots: never more users at once than there are, and everybody's turn comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/slots.h"

enum { USERS = 6 };

static vx_slots *make_slots(int n, int64_t quantum_us) {
    vx_slots *slots = NULL;
    vx_err err;
    assert_int_equal(vx_slots_new(n, quantum_us, &slots, &err), 0);
    return slots;
}

static pthread_t start(void *(*run)(void *), void *ctx) {
    pthread_t thread;
    assert_int_equal(vx_thread_start(&thread, "user", run, ctx, NULL), 0);
    return thread;
}

/* ---- many users ---- */

typedef struct crowd {
    vx_slots *slots;
    atomic_int inside, most;
} crowd;

static void work(crowd *c) {
    int inside = atomic_fetch_add(&c->inside, 1) + 1, most = atomic_load(&c->most);
    while (inside > most && !atomic_compare_exchange_weak(&c->most, &most, inside))
        continue;
    atomic_fetch_sub(&c->inside, 1);
}

static void *use(void *ctx) {
    crowd *c = ctx;
    vx_turn turn = {.slots = c->slots};
    for (int i = 0; i < 200; i++) {
        vx_turn_begin(&turn);
        for (int piece = 0; piece < 5; piece++) {
            work(c);
            vx_turn_offer(&turn);
        }
        vx_turn_end(&turn);
    }
    return NULL;
}

static void slots_are_never_held_by_more_than_there_are(void **state) {
    (void)state;
    crowd c = {.slots = make_slots(2, 0)};
    pthread_t users[USERS];
    for (int i = 0; i < USERS; i++)
        users[i] = start(use, &c);
    for (int i = 0; i < USERS; i++)
        pthread_join(users[i], NULL);
    assert_in_range(atomic_load(&c.most), 1, 2);
    vx_slots_free(c.slots);
}

/* ---- one that does not end by itself ---- */

typedef struct film {
    vx_turn turn;
    atomic_bool holds, enough;
} film;

static void *play(void *ctx) {
    film *f = ctx;
    vx_turn_begin(&f->turn);
    atomic_store(&f->holds, true);
    while (!atomic_load(&f->enough))
        vx_turn_offer(&f->turn);
    vx_turn_end(&f->turn);
    return NULL;
}

static void user_that_never_ends_lets_others_in_when_its_turn_is_over(void **state) {
    (void)state;
    film f = {.turn.slots = make_slots(1, 1000)};
    pthread_t player = start(play, &f);
    while (!atomic_load(&f.holds))
        continue;
    for (int i = 0; i < 10; i++) { /* hangs where it does not hold */
        vx_turn turn = {.slots = f.turn.slots};
        vx_turn_begin(&turn);
        vx_turn_end(&turn);
    }
    atomic_store(&f.enough, true);
    pthread_join(player, NULL);
    vx_slots_free(f.turn.slots);
}

static void turn_is_kept_while_nobody_waits(void **state) {
    (void)state;
    vx_turn turn = {.slots = make_slots(1, 0)};
    vx_turn_begin(&turn);
    for (int i = 0; i < 3; i++)
        vx_turn_offer(&turn);
    assert_true(turn.held);
    vx_turn_begin(&turn); /* has one already */
    vx_turn_end(&turn);
    vx_turn_end(&turn);
    vx_turn_begin(&turn); /* and did not give back two */
    vx_turn_end(&turn);
    vx_slots_free(turn.slots);
}

/* ---- the line ---- */

typedef struct guest {
    vx_slots *slots;
    atomic_int *order;
    int place;
} guest;

static void *visit(void *ctx) {
    guest *g = ctx;
    vx_turn turn = {.slots = g->slots};
    vx_turn_begin(&turn);
    g->place = atomic_fetch_add(g->order, 1);
    vx_turn_end(&turn);
    return NULL;
}

static void those_that_wait_are_served_in_the_order_of_their_coming(void **state) {
    (void)state;
    atomic_int order = 0;
    vx_turn host = {.slots = make_slots(1, INT64_C(3600) * 1000000)};
    guest guests[USERS];
    pthread_t threads[USERS];
    vx_turn_begin(&host);
    for (int i = 0; i < USERS; i++) {
        guests[i] = (guest){host.slots, &order, -1};
        threads[i] = start(visit, &guests[i]);
        while (vx_slots_waiting(host.slots) <= i)
            continue;
    }
    vx_turn_offer(&host); /* not yet: its quantum is an hour */
    assert_int_equal(atomic_load(&order), 0);
    vx_turn_end(&host);
    for (int i = 0; i < USERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < USERS; i++)
        assert_int_equal(guests[i].place, i);
    vx_slots_free(host.slots);
}

static void no_slots_at_all_are_refused_and_no_limit_is_none(void **state) {
    (void)state;
    vx_slots *slots = NULL;
    vx_err err;
    assert_true(vx_slots_new(0, 0, &slots, &err) < 0);
    assert_null(slots);
    vx_turn turn = {0};
    vx_turn_begin(&turn);
    vx_turn_offer(&turn);
    vx_turn_end(&turn);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_never_held_by_more_than_there_are),
        cmocka_unit_test(user_that_never_ends_lets_others_in_when_its_turn_is_over),
        cmocka_unit_test(turn_is_kept_while_nobody_waits),
        cmocka_unit_test(those_that_wait_are_served_in_the_order_of_their_coming),
        cmocka_unit_test(no_slots_at_all_are_refused_and_no_limit_is_none),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
