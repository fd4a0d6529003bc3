#include "idset.h"

#include <errno.h>
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

vx_idset *vx_idset_free(vx_idset *set) {
    if (!set)
        return NULL;
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
    *bits =
        (vx_idset_bits){.set = set, .bits = set->bits, .first = set->first, .n_bits = set->n_bits};
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
