/* queue.h — a bounded first-in first-out queue of pointers between threads.
 *
 * The bound is the back-pressure: a full queue answers the client "503, come back", it never grows.
 * Threads: any. Ownership of an item passes with a successful push and pop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "mem.h"

typedef struct vx_queue vx_queue;

int vx_queue_new(size_t capacity, vx_queue **ret_queue, vx_err *err);
vx_queue *vx_queue_free(vx_queue *queue); /* items left inside are the caller's: pop them first */
VX_DEFINE_AUTO(vx_queue, vx_queue_free)

/* False when full or closed. Takes item on true. */
bool vx_queue_try_push(vx_queue *queue, void *item);
/* Waits for room; false when closed. Takes item on true. */
bool vx_queue_push(vx_queue *queue, void *item);
/* Waits for an item; NULL once closed and empty. */
void *vx_queue_pop(vx_queue *queue);
/* Waits for at least one item, then takes up to max that are there; 0 once closed and empty. */
size_t vx_queue_pop_many(vx_queue *queue, void **ret_items, size_t max);
/* No more pushes; what is inside can still be popped. */
void vx_queue_close(vx_queue *queue);
size_t vx_queue_count(vx_queue *queue);
