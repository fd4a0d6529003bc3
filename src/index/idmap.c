#include "idmap.h"

#include <errno.h>

#include "base/mem.h"

#define FREE_SLOT (-1)
#define MIN_SLOTS 64

/* The finalizer of splitmix64: sequential ids spread over the whole table. */
static size_t home(const vx_idmap *map, int64_t id) {
    uint64_t x = (uint64_t)id;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (size_t)(x ^ (x >> 31)) & (map->n_slots - 1);
}

/* The slot that holds id, or the free one where it would go. */
static size_t locate(const vx_idmap *map, int64_t id) {
    size_t at = home(map, id);
    while (map->slots[at].id != id && map->slots[at].id != FREE_SLOT)
        at = (at + 1) & (map->n_slots - 1);
    return at;
}

int vx_idmap_reserve(vx_idmap *map, size_t n) {
    size_t wanted, n_slots = map->n_slots ? map->n_slots : MIN_SLOTS;
    if (!vx_add(map->n, n, &wanted))
        return -ENOMEM;
    while (n_slots - n_slots / 4 < wanted) {
        if (!vx_mul(n_slots, 2, &n_slots))
            return -ENOMEM;
    }
    if (n_slots == map->n_slots)
        return 0;
    vx_idmap grown = {.n_slots = n_slots};
    grown.slots = vx_new_array(n_slots, sizeof(*grown.slots));
    if (!grown.slots)
        return -ENOMEM;
    for (size_t i = 0; i < n_slots; i++)
        grown.slots[i].id = FREE_SLOT;
    for (size_t i = 0; i < map->n_slots; i++) {
        if (map->slots[i].id != FREE_SLOT)
            vx_idmap_insert(&grown, map->slots[i].id, map->slots[i].place);
    }
    vx_idmap_done(map);
    *map = grown;
    return 0;
}

bool vx_idmap_insert(vx_idmap *map, int64_t id, vx_place place) {
    size_t at = locate(map, id);
    if (map->slots[at].id == id)
        return false;
    map->slots[at].id = id;
    map->slots[at].place = place;
    map->n++;
    return true;
}

vx_place *vx_idmap_find(const vx_idmap *map, int64_t id) {
    if (map->n == 0 || id < 0)
        return NULL;
    size_t at = locate(map, id);
    return map->slots[at].id == id ? &map->slots[at].place : NULL;
}

/* Closes the gap instead of leaving a tombstone, so that a table with many deletes stays fast:
 * every later entry of the run moves into the gap unless that would put it before its home. */
void vx_idmap_erase(vx_idmap *map, int64_t id) {
    if (!vx_idmap_find(map, id))
        return;
    size_t mask = map->n_slots - 1, gap = locate(map, id);
    for (size_t at = (gap + 1) & mask; map->slots[at].id != FREE_SLOT; at = (at + 1) & mask) {
        size_t from_home = (at - home(map, map->slots[at].id)) & mask;
        if (from_home >= ((at - gap) & mask)) {
            map->slots[gap] = map->slots[at];
            gap = at;
        }
    }
    map->slots[gap].id = FREE_SLOT;
    map->n--;
}

void vx_idmap_done(vx_idmap *map) {
    free(map->slots);
    *map = (vx_idmap){0};
}
