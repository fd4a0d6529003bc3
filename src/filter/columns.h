/* columns.h — the columns of all fields, and which slot a video has (private to src/filter). */
#pragma once

#include "base/thread.h"
#include "column.h"

struct vx_filter_columns {
    vx_rwlock lock;  /* for everything below */
    uint64_t key;    /* random, for the hashes of values */
    int64_t *rows;   /* [n_slots] of videos, rising */
    uint64_t *alive; /* a bit per slot: the video is there */
    size_t n_slots, capacity, n_dead;
    vx_column *fixed;    /* [vx_n_fields] of every video */
    vx_column *declared; /* [n_declared] of the metadata, by name */
    size_t n_declared;
};

/* The first slot whose row is not below this one. */
static inline size_t vx_columns_slot(const vx_filter_columns *columns, int64_t row) {
    size_t low = 0, high = columns->n_slots;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (columns->rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static inline bool vx_columns_is_alive(const vx_filter_columns *columns, size_t slot) {
    return columns->alive[slot / 64] >> (slot % 64) & 1;
}
