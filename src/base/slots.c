#include "slots.h"

#include <errno.h>
#include <stdatomic.h>

#include "clock.h"

struct vx_slots {
    int64_t quantum_us;
    atomic_int n_waiting; /* length of the line; read without the lock by offers */
    vx_mutex mu;
    int n_free VX_GUARDED;
    vx_turn *first VX_GUARDED, *last VX_GUARDED; /* the line; nobody waits while a slot is free */
};

int vx_slots_new(int n, int64_t quantum_us, vx_slots **ret_slots, vx_err *err) {
    vx_slots *slots = n < 1 ? NULL : vx_new(vx_slots);
    if (!slots)
        return VX_FAIL(err, n < 1 ? -EINVAL : -ENOMEM, "no memory for %d slots", n);
    slots->quantum_us = quantum_us;
    vx_mutex_init(&slots->mu);
    vx_mutex_lock(&slots->mu);
    slots->n_free = n;
    vx_mutex_unlock(&slots->mu);
    *ret_slots = slots;
    return 0;
}

vx_slots *vx_slots_free(vx_slots *slots) {
    if (!slots)
        return NULL;
    vx_mutex_done(&slots->mu);
    free(slots);
    return NULL;
}

int vx_slots_waiting(const vx_slots *slots) {
    return atomic_load(&slots->n_waiting);
}

static void stand_in_line_locked(vx_slots *slots, vx_turn *turn) VX_REQUIRES(&slots->mu) {
    turn->next = NULL;
    if (slots->first)
        slots->last->next = turn;
    else
        slots->first = turn;
    slots->last = turn;
    atomic_fetch_add(&slots->n_waiting, 1);
    vx_cond_init(&turn->granted);
    while (!turn->held)
        vx_cond_wait(&turn->granted, &slots->mu);
    vx_cond_done(&turn->granted);
}

/* The slot goes to the first in line, who need not be awake to have it: nobody can come between. */
static void hand_on_locked(vx_slots *slots, vx_turn *turn) VX_REQUIRES(&slots->mu) {
    vx_turn *next = slots->first;
    turn->held = false;
    if (!next) {
        slots->n_free++;
        return;
    }
    slots->first = next->next;
    atomic_fetch_sub(&slots->n_waiting, 1);
    next->held = true;
    vx_cond_signal(&next->granted);
}

void vx_turn_begin(vx_turn *turn) {
    vx_slots *slots = turn->slots;
    if (!slots || turn->held)
        return;
    vx_mutex_lock(&slots->mu);
    if (slots->n_free > 0) {
        slots->n_free--;
        turn->held = true;
    } else {
        stand_in_line_locked(slots, turn);
    }
    vx_mutex_unlock(&slots->mu);
    turn->since_us = vx_clock_monotonic_us();
}

void vx_turn_offer(vx_turn *turn) {
    vx_slots *slots = turn->slots;
    if (!slots || !turn->held || !vx_slots_waiting(slots) ||
        vx_clock_monotonic_us() - turn->since_us < slots->quantum_us)
        return;
    vx_mutex_lock(&slots->mu);
    if (slots->first) {
        hand_on_locked(slots, turn);
        stand_in_line_locked(slots, turn);
    }
    vx_mutex_unlock(&slots->mu);
    turn->since_us = vx_clock_monotonic_us();
}

void vx_turn_end(vx_turn *turn) {
    vx_slots *slots = turn->slots;
    if (!slots || !turn->held)
        return;
    vx_mutex_lock(&slots->mu);
    hand_on_locked(slots, turn);
    vx_mutex_unlock(&slots->mu);
}
