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

vx_idset *vx_idset_free(vx_idset *set) {
    if (set)
        free(set->ids);
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
    return set->n && bsearch(&id, set->ids, set->n, sizeof id, compare_ids);
}

/* Walks both sets in order and keeps what is only in a, in both, only in b. */
static vx_idset *combine(const vx_idset *a, const vx_idset *b, bool only_a, bool both,
                         bool only_b) {
    vx_idset *set = with_room((only_a || both ? a->n : 0) + (only_b ? b->n : 0));
    if (!set)
        return NULL;
    for (size_t i = 0, j = 0; i < a->n || j < b->n;) {
        bool in_a = j == b->n || (i < a->n && a->ids[i] <= b->ids[j]);
        bool in_b = i == a->n || (j < b->n && b->ids[j] <= a->ids[i]);
        int64_t id = in_a ? a->ids[i] : b->ids[j];
        if (in_a && in_b ? both : in_a ? only_a : only_b)
            set->ids[set->n++] = id;
        i += in_a;
        j += in_b;
    }
    return set;
}

vx_idset *vx_idset_and(const vx_idset *a, const vx_idset *b) {
    return combine(a, b, false, true, false);
}

vx_idset *vx_idset_or(const vx_idset *a, const vx_idset *b) {
    return combine(a, b, true, true, true);
}

vx_idset *vx_idset_without(const vx_idset *a, const vx_idset *b) {
    return combine(a, b, true, false, false);
}

int vx_idset_bits_init(vx_idset_bits *bits, const vx_idset *set) {
    *bits = (vx_idset_bits){.set = set};
    if (!set->n)
        return 0;
    bits->first = set->ids[0];
    uint64_t last = (uint64_t)set->ids[set->n - 1] - (uint64_t)bits->first;
    if (last / BITS_PER_ID >= set->n && last >= BITS_ALWAYS)
        return 0;
    bits->bits = vx_new_array(last / 64 + 1, sizeof *bits->bits);
    if (!bits->bits)
        return -ENOMEM;
    bits->n_bits = last + 1;
    for (size_t i = 0; i < set->n; i++) {
        uint64_t at = (uint64_t)set->ids[i] - (uint64_t)bits->first;
        bits->bits[at / 64] |= (uint64_t)1 << at % 64;
    }
    return 0;
}

void vx_idset_bits_done(vx_idset_bits *bits) {
    free(bits->bits);
    *bits = (vx_idset_bits){0};
}
