/* idset.h — a set of row numbers, such as the videos that pass a filter.
 *
 * A sorted array and nothing else: a set is made once (SQLite gives rows in rising order), combined
 * a few times, read by one search and freed. A compressed bitmap (CRoaring) is smaller, but every
 * step would cost more: a million rows take 8 MB here and combine in about a millisecond. Who must
 * test millions of numbers makes a bitmap first (vx_idset_bits): one bit a number then.
 *
 * Threads: any may read one set at once; who changes or frees it is alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

typedef struct vx_idset {
    int64_t *ids; /* [n], rising, none twice; owned */
    size_t n, capacity;
} vx_idset;

/* The set of these numbers (int64 [n], any order, repeats allowed; borrows). NULL: no memory. */
vx_idset *vx_idset_new(const int64_t *ids, size_t n);
vx_idset *vx_idset_free(vx_idset *set);
VX_DEFINE_AUTO(vx_idset, vx_idset_free)

/* Adds a number that is greater than all in the set, or the greatest again. 0, -ENOMEM, or -EINVAL:
 * it is smaller. Nothing changes on failure. */
int vx_idset_append(vx_idset *set, int64_t id);

bool vx_idset_contains(const vx_idset *set, int64_t id);

/* New sets: what is in both, in either, in the first alone ("not" is `all` without the set).
 * NULL: no memory. */
vx_idset *vx_idset_and(const vx_idset *a, const vx_idset *b);
vx_idset *vx_idset_or(const vx_idset *a, const vx_idset *b);
vx_idset *vx_idset_without(const vx_idset *a, const vx_idset *b);

/* ---- many look-ups ---- */

/* A set prepared for look-ups in constant time: a bit for each number from the smallest to the
 * greatest. Where these lie so far apart that the bitmap would be much larger than the set, look-ups
 * search the set. */
typedef struct vx_idset_bits {
    const vx_idset *set; /* borrowed */
    uint64_t *bits;      /* bit i: first + i; NULL: search the set; owned */
    int64_t first;
    uint64_t n_bits;
} vx_idset_bits;

/* Borrows the set, which must stay as it is. 0 or -ENOMEM. */
int vx_idset_bits_init(vx_idset_bits *bits, const vx_idset *set);
void vx_idset_bits_done(vx_idset_bits *bits);

static inline bool vx_idset_bits_have(const vx_idset_bits *bits, int64_t id) {
    if (!bits->bits)
        return vx_idset_contains(bits->set, id);
    uint64_t at = (uint64_t)id - (uint64_t)bits->first;
    return at < bits->n_bits && (bits->bits[at / 64] >> at % 64 & 1);
}
