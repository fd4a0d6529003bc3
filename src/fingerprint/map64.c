#include "map64.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

/* The finaliser of splitmix64: every bit of the key reaches the low bits. */
static size_t home_of(const vx_map64 *map, uint64_t key) {
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return (size_t)(key ^ (key >> 31)) & (map->capacity - 1);
}

static vx_map64_cell *find(const vx_map64 *map, uint64_t key) {
    size_t i = home_of(map, key);
    while (map->cell[i].value && map->cell[i].key != key)
        i = (i + 1) & (map->capacity - 1);
    return &map->cell[i];
}

int vx_map64_reserve(vx_map64 *map, size_t n_more, vx_err *err) {
    size_t capacity = map->capacity ? map->capacity : 64;
    while (capacity / 4 * 3 < map->n + n_more)
        capacity *= 2;
    if (capacity == map->capacity)
        return 0;
    vx_map64 larger = {.capacity = capacity, .n = map->n};
    larger.cell = vx_new_array(capacity, sizeof *larger.cell);
    if (!larger.cell)
        return VX_FAIL(err, -ENOMEM, "out of memory for a table of %zu entries", capacity);
    for (size_t i = 0; i < map->capacity; i++)
        if (map->cell[i].value)
            *find(&larger, map->cell[i].key) = map->cell[i];
    free(map->cell);
    *map = larger;
    return 0;
}

vx_map64_cell *vx_map64_put(vx_map64 *map, uint64_t key) {
    vx_map64_cell *cell = find(map, key);
    if (!cell->value) {
        cell->key = key;
        map->n++;
    }
    return cell;
}

vx_map64_cell *vx_map64_get(const vx_map64 *map, uint64_t key) {
    if (!map->capacity)
        return NULL;
    vx_map64_cell *cell = find(map, key);
    return cell->value ? cell : NULL;
}

void vx_map64_clear(vx_map64 *map) {
    if (map->capacity)
        memset(map->cell, 0, map->capacity * sizeof *map->cell);
    map->n = 0;
}

void vx_map64_done(vx_map64 *map) {
    free(map->cell);
    *map = (vx_map64){0};
}
