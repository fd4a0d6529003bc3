/* neighbour.h — what a search gives, and what may filter it; for index.h and the files below it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct vx_neighbour {
    int64_t id;
    float score;
} vx_neighbour;

/* Decides which ids may be returned. Called once for every vector, from several threads at once and
 * under a lock: it must not block, nor call into this index. */
typedef bool (*vx_index_filter)(void *ctx, int64_t id);
