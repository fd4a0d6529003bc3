/* sets.h — disjoint sets of small numbers, joined one by one (private to duplicates/).
 *
 * Union by smaller number with path halving: the representative of a set is its least member, whatever the
 * order of joins. Source: Tarjan and van Leeuwen, Worst-case analysis of set union algorithms, 1984.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* parent [n], each its own at first; NULL: no memory. free(). */
static inline uint32_t *vx_sets_new(size_t n) {
    uint32_t *parent = vx_new_array(n + 1, sizeof *parent);
    for (size_t i = 0; parent && i < n; i++)
        parent[i] = (uint32_t)i;
    return parent;
}

static inline uint32_t vx_sets_find(uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

/* The same without shortening any path: by several threads at once, while nobody joins. */
static inline uint32_t vx_sets_look(const uint32_t *parent, uint32_t i) {
    while (parent[i] != i)
        i = parent[i];
    return i;
}

/* False: they were in one set already. */
static inline bool vx_sets_join(uint32_t *parent, uint32_t a, uint32_t b) {
    a = vx_sets_find(parent, a);
    b = vx_sets_find(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
    return a != b;
}
