/* unrelated.h — which stored videos people said are no duplicates of each other, for quick look-ups (private
 * to duplicates/). Threads: external lock; looking up: any. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "catalog/catalog.h"

typedef struct vx_unrelated_entry {
    int64_t video, decision;
    bool to_all; /* to every other video of the decision; else to those alone that are so */
} vx_unrelated_entry;

typedef struct vx_unrelated {
    vx_unrelated_entry *entries; /* [n] by video, then decision; owned */
    size_t n;
} vx_unrelated;

int vx_unrelated_load(vx_catalog *catalog, vx_unrelated *ret_unrelated, vx_err *err);
void vx_unrelated_done(vx_unrelated *unrelated);
bool vx_unrelated_has(const vx_unrelated *unrelated, int64_t a, int64_t b);
