/* column.h — the values of one field for many videos (private to src/filter).
 *
 * A value is kept once, however many videos have it: `values` are the distinct cells, `codes` says for
 * each slot (a video's place, which columns.c gives out) which one it has. Values are found by a hash
 * with a random key, so that no client can choose values that fall on one place.
 * Threads: external lock.
 */
#pragma once

#include "filter_internal.h"

/* Codes without a value: the metadata must be read. */
#define VX_CODE_UNKNOWN 0U /* not told yet */
#define VX_CODE_LONG 1U    /* too long to be kept */
#define VX_CODE_FIRST 2U   /* of those with a value */

typedef struct vx_column_value {
    uint64_t hash;
    uint32_t n_videos; /* 0: free, and `next_free` is the next such value */
    uint32_t n_bytes;
    union {
        unsigned char inside[16]; /* up to 16 bytes */
        size_t at;                /* of a longer one, in vx_column.bytes */
        uint32_t next_free;
    };
} vx_column_value;

/* How the texts of 64 slots begin (starts.c). */
typedef struct vx_column_starts {
    uint64_t are_texts; /* bit i: the value of slot i is one text */
    uint32_t n_common;
    unsigned char common[116]; /* [n_common] that all of them begin with, and perhaps more */
    int64_t next[64];          /* the 8 bytes behind that, in the order of texts */
} vx_column_starts;

typedef struct vx_column {
    vx_field field;  /* owned */
    uint32_t *codes; /* [capacity] per slot */
    size_t capacity;
    vx_column_value *values; /* [n_values] from VX_CODE_FIRST on */
    double *numbers; /* [capacity] vx_cell_number() of each slot's value; NULL: none is a number */
    /* vx_cell_marks() of the slots' values, 64 slots beside each other: word i of those says which have mark i.
     * A slot without a value has all. NULL: too few values for it to save anything, or none has marks. */
    uint64_t *marks;          /* [capacity / 64, 64] */
    vx_column_starts *starts; /* [capacity / 64]; NULL: few values, or none is a text */
    size_t n_values, values_capacity, n_used;
    size_t n_arrays; /* values that are arrays */
    size_t n_long;   /* slots with VX_CODE_LONG */
    /* Counts up whenever a code can mean another value than before, and `values` are enlarged. */
    uint64_t version;
    uint32_t first_free; /* 0 = none */
    uint32_t *table;     /* [table_size] codes by hash, 0 = empty; a power of two */
    size_t table_size;
    /* Longer values behind each other, in the order in which they came: a test of all of them goes through
     * memory once. What values were given up leave is closed once it is half. */
    unsigned char *bytes; /* [bytes_capacity], owned */
    size_t n_bytes, n_unused_bytes, bytes_capacity;
} vx_column;

static inline bool vx_column_is_inside(const vx_column_value *value) {
    return value->n_bytes <= sizeof value->inside;
}

static inline const unsigned char *vx_column_cell(const vx_column *column,
                                                  const vx_column_value *value) {
    return vx_column_is_inside(value) ? value->inside : column->bytes + value->at;
}

void vx_column_done(vx_column *column);
/* Without slots and values; keeps the field. */
void vx_column_empty(vx_column *column);
/* Room for that many slots; false: no memory. New slots are unknown. */
bool vx_column_reserve(vx_column *column, size_t slots);
/* The slot gets this cell in place of the one it has. False: no memory, and nothing has changed. */
bool vx_column_set(vx_column *column, size_t slot, const vx_cell *cell, uint64_t key);
/* The slot is unknown again. */
void vx_column_clear(vx_column *column, size_t slot);
/* A slot gets the value of another one, which is unknown then. */
void vx_column_move(vx_column *column, size_t from, size_t to);

/* starts.c: the slot's value has become another one. */
void vx_starts_set(vx_column *column, size_t slot);
/* Whether a condition can be told by starts: $prefix, or an order of a text. */
bool vx_starts_can_test(const vx_condition *condition);
/* What it says of 64 slots: which pass, and which may. */
void vx_starts_test(const vx_column_starts *starts, const vx_condition *condition,
                    uint64_t *ret_yes, uint64_t *ret_maybe);

/* The code of that value; 0: no slot has it. */
uint32_t vx_column_find(const vx_column *column, const unsigned char *cell, size_t n, uint64_t key);
/* Of the slots 64 * window and on those that have all the marks that are needed; of lists, any of the others. Of a
 * column with marks. */
uint64_t vx_column_find_marked(const vx_column *column, size_t window, uint64_t needed,
                               uint64_t any);
size_t vx_column_memory_bytes(const vx_column *column);
