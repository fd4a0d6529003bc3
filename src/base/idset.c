#include "idset.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* A bitmap may take this many times the memory of its set, or this many bytes. */
#define BITS_PER_ID 512
#define BITS_ALWAYS ((uint64_t)1 << 23) /* a megabyte */

static int compare_ids(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static vx_idset *with_room(size_t n) {
    VX_AUTO(vx_idset) set = vx_new(vx_idset);
    if (!set)
        return NULL;
    set->ids = vx_new_array(n, sizeof *set->ids);
    set->capacity = n;
    return set->ids ? vx_take(set) : NULL;
}

vx_idset *vx_idset_new(const int64_t *ids, size_t n) {
    vx_idset *set = with_room(n);
    if (!set || !n)
        return set;
    memcpy(set->ids, ids, n * sizeof *ids);
    qsort(set->ids, n, sizeof *ids, compare_ids);
    for (size_t i = 0; i < n; i++)
        if (!set->n || set->ids[set->n - 1] != set->ids[i])
            set->ids[set->n++] = set->ids[i];
    return set;
}

/* Whether bits for the numbers from the first to the first + last are much more than n numbers. */
static bool is_sparse(uint64_t last, size_t n) {
    return last / BITS_PER_ID >= n && last >= BITS_ALWAYS;
}

vx_idset *vx_idset_new_bitmap(int64_t first, int64_t last, size_t n) {
    uint64_t span = (uint64_t)last - (uint64_t)first;
    VX_AUTO(vx_idset) set = is_sparse(span, n) ? NULL : vx_new(vx_idset);
    if (!set || !(set->bits = vx_new_array(span / 64 + 2, sizeof *set->bits)))
        return NULL;
    set->first = first;
    set->n_bits = span + 1;
    return vx_take(set);
}

/* ---- lazy ---- */

enum { BITS_UNKNOWN, BITS_BEING_WRITTEN, BITS_KNOWN };

struct vx_idset_lazy {
    vx_idset_source source;
    _Atomic uint8_t *states; /* of each word; owned */
    atomic_bool failed;
};

vx_idset *vx_idset_new_lazy(int64_t first, int64_t last, size_t n, const vx_idset_source *source) {
    VX_AUTO(vx_idset) set = vx_idset_new_bitmap(first, last, n);
    struct vx_idset_lazy *lazy = set ? vx_new(struct vx_idset_lazy) : NULL;
    if (lazy && !(lazy->states = vx_new_array(set->n_bits / 64 + 1, sizeof *lazy->states)))
        free(lazy), lazy = NULL;
    if (!lazy)
        return NULL;
    lazy->source = *source;
    set->lazy = lazy;
    return vx_take(set);
}

/* Found without a break, as in a part of a search: who wants to change what the source reads need not wait for all. */
#define BITS_AT_ONCE 4096

/* A word of which all is wanted is kept; of two threads that find it at once, by one. */
uint64_t vx_idset_ask(const vx_idset *set, uint64_t word, uint64_t wanted) {
    struct vx_idset_lazy *lazy = set->lazy;
    if (atomic_load_explicit(&lazy->states[word], memory_order_acquire) == BITS_KNOWN)
        return set->bits[word];
    uint64_t found = 0, behind = set->n_bits - word * 64;
    if (atomic_load_explicit(&lazy->failed, memory_order_relaxed))
        return 0;
    if (!lazy->source.find(lazy->source.ctx, set->first + (int64_t)(word * 64), wanted, &found)) {
        atomic_store(&lazy->failed, true);
        return 0;
    }
    if (behind < 64)
        found &= (UINT64_C(1) << behind) - 1;
    uint8_t state = BITS_UNKNOWN;
    if (wanted == UINT64_MAX &&
        atomic_compare_exchange_strong(&lazy->states[word], &state, BITS_BEING_WRITTEN)) {
        set->bits[word] = found;
        atomic_store_explicit(&lazy->states[word], BITS_KNOWN, memory_order_release);
    }
    return found;
}

bool vx_idset_is_sound(const vx_idset *set) {
    return !set->lazy || !atomic_load(&set->lazy->failed);
}

bool vx_idset_complete(vx_idset *set) {
    if (!set->lazy)
        return true;
    set->n = 0;
    for (uint64_t first = 0; first < set->n_bits; first += BITS_AT_ONCE) {
        set->lazy->source.begin(set->lazy->source.ctx);
        for (uint64_t at = first; at < set->n_bits && at < first + BITS_AT_ONCE; at += 64)
            set->n += (size_t)__builtin_popcountll(vx_idset_ask(set, at / 64, UINT64_MAX));
        set->lazy->source.end(set->lazy->source.ctx);
    }
    return vx_idset_is_sound(set);
}

vx_idset *vx_idset_free(vx_idset *set) {
    if (!set)
        return NULL;
    if (set->lazy) {
        set->lazy->source.free(set->lazy->source.ctx);
        free((void *)set->lazy->states);
        free(set->lazy);
    }
    free(set->ids);
    free(set->bits);
    free(set);
    return NULL;
}

int vx_idset_append(vx_idset *set, int64_t id) {
    if (set->n && id <= set->ids[set->n - 1])
        return id == set->ids[set->n - 1] ? 0 : -EINVAL;
    if (!vx_make_room(set->ids, set->n, set->capacity))
        return -ENOMEM;
    set->ids[set->n++] = id;
    return 0;
}

bool vx_idset_contains(const vx_idset *set, int64_t id) {
    uint64_t at = (uint64_t)id - (uint64_t)set->first;
    if (set->bits)
        return at < set->n_bits && (set->bits[at / 64] >> at % 64 & 1);
    return set->n && bsearch(&id, set->ids, set->n, sizeof id, compare_ids);
}

int vx_idset_bits_init(vx_idset_bits *bits, const vx_idset *set) {
    *bits = (vx_idset_bits){.set = set,
                            .bits = set->bits,
                            .first = set->first,
                            .n_bits = set->n_bits,
                            .is_lazy = set->lazy};
    if (set->bits || !set->n)
        return 0;
    bits->first = set->ids[0];
    uint64_t last = (uint64_t)set->ids[set->n - 1] - (uint64_t)bits->first;
    if (is_sparse(last, set->n))
        return 0;
    bits->own = vx_new_array(last / 64 + 1, sizeof *bits->own);
    if (!bits->own)
        return -ENOMEM;
    bits->bits = bits->own;
    bits->n_bits = last + 1;
    for (size_t i = 0; i < set->n; i++) {
        uint64_t at = (uint64_t)set->ids[i] - (uint64_t)bits->first;
        bits->own[at / 64] |= (uint64_t)1 << at % 64;
    }
    return 0;
}

void vx_idset_bits_done(vx_idset_bits *bits) {
    free(bits->own);
    *bits = (vx_idset_bits){0};
}

void vx_idset_bits_begin(const vx_idset_bits *bits) {
    if (bits->is_lazy)
        bits->set->lazy->source.begin(bits->set->lazy->source.ctx);
}

void vx_idset_bits_end(const vx_idset_bits *bits) {
    if (bits->is_lazy)
        bits->set->lazy->source.end(bits->set->lazy->source.ctx);
}
