/* idmap.h — hash table from a vector's id to where its row lies (private to index/).
 *
 * Open addressing with linear probing; 16 bytes a slot, at most 3/4 full. Written here because no
 * packaged C library fits: GLib aborts when memory runs out, uthash costs about 100 bytes an
 * entry, Judy has had no release since 2007, khash is not packaged by itself.
 * Threads: the caller locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vx_place {
    uint32_t segment;
    uint32_t row;
} vx_place;

typedef struct vx_idmap {
    struct vx_idmap_slot {
        int64_t id; /* -1 = free */
        vx_place place;
    } * slots;
    size_t n_slots; /* 0 or a power of two */
    size_t n;
} vx_idmap;

/* Makes room for n more ids; afterwards n inserts cannot fail. 0 or -ENOMEM. */
int vx_idmap_reserve(vx_idmap *map, size_t n);
/* false = the id is there already, nothing changed. id >= 0; room must be reserved. */
bool vx_idmap_insert(vx_idmap *map, int64_t id, vx_place place);
/* NULL = not there. Borrowed until the next insert, erase or reserve. */
vx_place *vx_idmap_find(const vx_idmap *map, int64_t id);
void vx_idmap_erase(vx_idmap *map, int64_t id);
void vx_idmap_done(vx_idmap *map);
