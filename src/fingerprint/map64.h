/* map64.h — a hash map from 64-bit keys to counts (private to src/fingerprint).
 *
 * Open addressing, at most 3/4 full. A cell with value 0 is empty, so values start at 1; nothing is
 * ever taken out, only cleared. Threads: external lock.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct vx_map64_cell {
    uint64_t key;
    uint32_t value; /* 0 = empty cell */
    uint32_t mark;  /* the caller's */
} vx_map64_cell;

typedef struct vx_map64 {
    vx_map64_cell *cell; /* [capacity], a power of two; NULL while capacity is 0 */
    size_t capacity, n;
} vx_map64;

/* Makes room for n_more keys beyond those there. */
int vx_map64_reserve(vx_map64 *map, size_t n_more, vx_err *err);
/* The key's cell, or the empty cell where it belongs (key set, value 0, counted): the caller gives
 * it a value. There must be room. */
vx_map64_cell *vx_map64_put(vx_map64 *map, uint64_t key);
/* The key's cell, or NULL. */
vx_map64_cell *vx_map64_get(const vx_map64 *map, uint64_t key);
void vx_map64_clear(vx_map64 *map); /* keeps the memory */
void vx_map64_done(vx_map64 *map);
