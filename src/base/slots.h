/* slots.h — a fixed number of slots that more users than these take turns in.
 *
 * For work that comes in pieces, as a decode does: a user holds a slot while it computes, and offers it
 * between pieces. Nothing happens while nobody waits. If others wait and it has held the slot for a
 * quantum, it goes to the end of their line. So a user with a minute of work among n that wait gets its
 * first turn after n / slots quanta at most, however long the others take.
 *
 * First come, first served, and not the least served first: a stream of short users would keep a long
 * one out for ever.
 *
 * Threads: any; a turn belongs to one thread at a time. Nothing may be locked while one waits here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"
#include "thread.h"

typedef struct vx_slots vx_slots;

/* n: slots, from 1. quantum_us: how long a turn may be while others wait. */
int vx_slots_new(int n, int64_t quantum_us, vx_slots **ret_slots, vx_err *err);
vx_slots *vx_slots_free(vx_slots *slots); /* nobody has or awaits a turn. NULL-safe */
VX_DEFINE_AUTO(vx_slots, vx_slots_free)
int vx_slots_waiting(const vx_slots *slots); /* users that stand in line */

/* One user of the slots; a user that has no turn is all zero but for `slots`. */
typedef struct vx_turn {
    vx_slots *slots; /* borrows; NULL: no limit, and the functions below do nothing */
    /* private to slots.c */
    bool held;
    int64_t since_us;
    vx_cond granted;
    struct vx_turn *next;
} vx_turn;

/* Waits for a slot. */
void vx_turn_begin(vx_turn *turn);
/* Between two pieces of work: if the turn is over, waits for the next one. Cheap. */
void vx_turn_offer(vx_turn *turn);
/* Gives the slot up; nothing if there is none. */
void vx_turn_end(vx_turn *turn);
