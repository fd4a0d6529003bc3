/* idset.h — a set of row numbers, such as the videos that pass a filter.
 *
 * A sorted array, or a bitmap of the rows from the first to the last: who makes the set chooses. A filter
 * makes bitmaps, 125 KB for a million rows, where the array would take 8 MB and most of the filter's time.
 * Who must test millions of numbers prepares the set (vx_idset_bits). A compressed bitmap (CRoaring) is
 * smaller, but sets are made, read by one search and freed.
 *
 * A bitmap may be lazy: it has a source, which finds 64 bits when somebody asks for the first of them. A search
 * mostly asks for few: those of rows that are near enough to be results.
 *
 * Threads: any may read one set at once; who changes or frees it is alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"

typedef struct vx_idset {
    int64_t *ids; /* [n], rising, none twice; owned; NULL: a bitmap */
    size_t n, capacity;
    uint64_t *bits; /* [n_bits / 64 + 1] bit i: first + i; owned; NULL: an array */
    int64_t first;
    uint64_t n_bits;
    struct vx_idset_lazy *lazy; /* owned; NULL: all bits are there. Else `n` is not known */
} vx_idset;

/* The set of these numbers (int64 [n], any order, repeats allowed; borrows). NULL: no memory. */
vx_idset *vx_idset_new(const int64_t *ids, size_t n);
/* An empty bitmap for the numbers first..last, whose bits and n the caller fills in. NULL: no memory, or they
 * lie so far apart that a bitmap for n of them would be much larger than an array. */
vx_idset *vx_idset_new_bitmap(int64_t first, int64_t last, size_t n);
/* Finds bits. Threads: any at once, each between begin() and end(), which keep what the source reads as it is. */
typedef struct vx_idset_source {
    void (*begin)(void *ctx);
    void (*end)(void *ctx);
    /* The bits of the numbers from `first` (of the set, or 64, 128, … behind it) to first + 63, as far as they are
     * wanted. False: they can no longer be told. */
    bool (*find)(void *ctx, int64_t first, uint64_t wanted, uint64_t *ret_bits);
    void (*free)(void *ctx);
    void *ctx; /* owned: given to free() with the set */
} vx_idset_source;
/* A lazy bitmap for the numbers first..last; takes the source. NULL, and the source stays the caller's: as
 * vx_idset_new_bitmap() has it. It is read by vx_idset_bits alone. */
vx_idset *vx_idset_new_lazy(int64_t first, int64_t last, size_t n, const vx_idset_source *source);
/* False: some bits could not be told, and count as 0. Of what was read from the set nothing is certain then. */
bool vx_idset_is_sound(const vx_idset *set);
/* Finds all bits of a lazy set, and n; whether it is sound. */
bool vx_idset_complete(vx_idset *set);
vx_idset *vx_idset_free(vx_idset *set);
VX_DEFINE_AUTO(vx_idset, vx_idset_free)

/* Adds a number to an array: one that is greater than all in it, or the greatest again. 0, -ENOMEM, or
 * -EINVAL: it is smaller. Nothing changes on failure. */
int vx_idset_append(vx_idset *set, int64_t id);

bool vx_idset_contains(const vx_idset *set, int64_t id);

/* ---- many look-ups ---- */

/* A set prepared for look-ups in constant time: a bit for each number from the smallest to the
 * greatest. Where these lie so far apart that the bitmap would be much larger than the set, look-ups
 * search the set. */
typedef struct vx_idset_bits {
    const vx_idset *set;  /* borrowed */
    const uint64_t *bits; /* bit i: first + i; NULL: search the set; the set's, or `own` */
    uint64_t *own;        /* owned */
    int64_t first;
    uint64_t n_bits;
    bool is_lazy;
} vx_idset_bits;

/* Borrows the set, which must stay as it is. 0 or -ENOMEM. */
int vx_idset_bits_init(vx_idset_bits *bits, const vx_idset *set);
void vx_idset_bits_done(vx_idset_bits *bits);

/* Look-ups in a lazy set come between these two of the same thread, which must not wait for others there: it
 * holds up changes of what the source reads. */
void vx_idset_bits_begin(const vx_idset_bits *bits);
void vx_idset_bits_end(const vx_idset_bits *bits);

/* Bits 64 * word and on, as far as they are wanted, of a lazy set. */
uint64_t vx_idset_ask(const vx_idset *set, uint64_t word, uint64_t wanted);

static inline uint64_t vx_idset_bits_word(const vx_idset_bits *bits, uint64_t word,
                                          uint64_t wanted) {
    return bits->is_lazy ? vx_idset_ask(bits->set, word, wanted) : bits->bits[word];
}

static inline bool vx_idset_bits_have(const vx_idset_bits *bits, int64_t id) {
    if (!bits->bits)
        return vx_idset_contains(bits->set, id);
    uint64_t at = (uint64_t)id - (uint64_t)bits->first;
    return at < bits->n_bits &&
           (vx_idset_bits_word(bits, at / 64, UINT64_C(1) << at % 64) >> at % 64 & 1);
}

/* Bit i: first + i is in the set, of a bitmap (bits->bits). */
static inline uint64_t vx_idset_bits_64(const vx_idset_bits *bits, int64_t first) {
    uint64_t at = (uint64_t)first - (uint64_t)bits->first, word = 0;
    if (at < bits->n_bits) {
        word = vx_idset_bits_word(bits, at / 64, UINT64_MAX) >> at % 64;
        if (at % 64 && (at | 63) + 1 < bits->n_bits)
            word |= vx_idset_bits_word(bits, at / 64 + 1, UINT64_MAX) << (64 - at % 64);
    } else if (-at < 64 && bits->n_bits) { /* the set begins among them */
        word = vx_idset_bits_word(bits, 0, UINT64_MAX) << -at;
    }
    return word;
}
