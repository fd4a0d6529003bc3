/* pool.h — a fixed set of threads that take items off a bounded queue.
 *
 * Threads: try_push and count from any; new and free from one that owns the pool.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "mem.h"

typedef struct vx_pool vx_pool;

typedef struct vx_pool_params {
    const char *name;                   /* of the threads: up to 15 characters; borrows */
    int n_threads;                      /* from 1; no more than 256 are started */
    size_t capacity;                    /* items that may wait, from 1 */
    void (*run)(void *ctx, void *item); /* on one of the threads; takes item */
    void *ctx;
    int nice; /* of the threads, and of those that they start; 0 as others */
} vx_pool_params;

/* 0, -EINVAL, -ENOMEM or why a thread cannot be started; then none is left running. */
int vx_pool_new(const vx_pool_params *params, vx_pool **ret_pool, vx_err *err);
/* No more pushes; runs what waits, then ends the threads. */
vx_pool *vx_pool_free(vx_pool *pool);
VX_DEFINE_AUTO(vx_pool, vx_pool_free)

/* False when too many wait. Takes item on true. */
bool vx_pool_try_push(vx_pool *pool, void *item);
/* Items that wait. */
size_t vx_pool_count(vx_pool *pool);
