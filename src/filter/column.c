/* column.c — see the header. Open addressing with linear steps; a value that is given up closes its gap. */
#include "column.h"

#include <string.h>

#define MAX_CELL_BYTES 1024 /* longer ones are few, and read from the metadata */

const unsigned char *vx_column_cell(const vx_column_value *value) {
    return value->n_bytes <= sizeof value->inside ? value->inside : value->bytes;
}

void vx_column_done(vx_column *column) {
    for (size_t i = VX_CODE_FIRST; i < column->n_values; i++)
        if (column->values[i].n_videos &&
            column->values[i].n_bytes > sizeof column->values[i].inside)
            free(column->values[i].bytes);
    free(column->values);
    free(column->table);
    free(column->codes);
    vx_field_done(&column->field);
    *column = (vx_column){.field = {.row = -1}};
}

bool vx_column_reserve(vx_column *column, size_t slots) {
    if (slots <= column->capacity)
        return true;
    size_t capacity = column->capacity ? column->capacity : 64;
    while (capacity < slots)
        capacity *= 2;
    uint32_t *grown = vx_regrow(column->codes, capacity, sizeof *grown);
    if (!grown)
        return false;
    memset(grown + column->capacity, 0, (capacity - column->capacity) * sizeof *grown);
    column->codes = grown;
    column->capacity = capacity;
    return true;
}

size_t vx_column_memory_bytes(const vx_column *column) {
    return column->capacity * sizeof *column->codes +
           column->values_capacity * sizeof *column->values +
           column->table_size * sizeof *column->table + column->n_bytes;
}

/* ---- the table ---- */

/* Multiply, and fold the high half into the low one (as wyhash does); a step for each 8 bytes. */
static uint64_t hash_of(const unsigned char *bytes, size_t n, uint64_t key) {
    uint64_t hash = key ^ n;
    for (size_t at = 0; at < n; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, n - at < 8 ? n - at : 8);
        unsigned __int128 product =
            (unsigned __int128)(word ^ hash) * (key | 1) + UINT64_C(0x9e3779b97f4a7c15);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return hash ^ (hash >> 32);
}

/* Where the cell is in the table, or the empty place where it belongs. */
static size_t place_of(const vx_column *column, uint64_t hash, const unsigned char *bytes,
                       size_t n) {
    size_t mask = column->table_size - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        const vx_column_value *value = &column->values[column->table[at]];
        if (!column->table[at] || (value->hash == hash && value->n_bytes == n &&
                                   !memcmp(vx_column_cell(value), bytes, n)))
            return at;
    }
}

static bool grow_table(vx_column *column) {
    if (column->n_used + 1 <= column->table_size / 4 * 3)
        return true;
    size_t size = column->table_size ? 2 * column->table_size : 16;
    uint32_t *table = vx_new_array(size, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < column->table_size; i++)
        if (column->table[i]) {
            size_t at = column->values[column->table[i]].hash & (size - 1);
            while (table[at])
                at = (at + 1) & (size - 1);
            table[at] = column->table[i];
        }
    free(column->table);
    column->table = table;
    column->table_size = size;
    return true;
}

/* Empties a place and moves up what stands behind it only because it was taken. */
static void empty_place(vx_column *column, size_t gap) {
    size_t mask = column->table_size - 1;
    column->table[gap] = 0;
    for (size_t at = (gap + 1) & mask; column->table[at]; at = (at + 1) & mask) {
        size_t home = column->values[column->table[at]].hash & mask;
        if (((at - home) & mask) < ((at - gap) & mask))
            continue; /* its home lies behind the gap */
        column->table[gap] = column->table[at];
        column->table[at] = 0;
        gap = at;
    }
}

/* ---- values ---- */

static bool grow_values(vx_column *column) {
    size_t capacity = column->values_capacity ? 2 * column->values_capacity : 16;
    vx_column_value *grown = vx_regrow(column->values, capacity, sizeof *grown);
    if (!grown)
        return false;
    grown[VX_CODE_UNKNOWN] = grown[VX_CODE_LONG] = (vx_column_value){0};
    column->values = grown;
    column->values_capacity = capacity;
    return true;
}

/* A code that no video has; 0: no memory. */
static uint32_t free_code(vx_column *column) {
    uint32_t code = column->first_free;
    if (code) {
        column->first_free = column->values[code].next_free;
        return code;
    }
    size_t n = column->n_values ? column->n_values : VX_CODE_FIRST;
    if (n >= UINT32_MAX || (n >= column->values_capacity && !grow_values(column)))
        return 0;
    column->n_values = n + 1;
    return (uint32_t)n;
}

/* The code of a cell, whose value counts one video more. 0: no memory. */
static uint32_t take_code(vx_column *column, const unsigned char *bytes, size_t n, uint64_t key) {
    uint64_t hash = hash_of(bytes, n, key);
    if (!grow_table(column))
        return 0;
    size_t place =
        column->n_used ? place_of(column, hash, bytes, n) : hash & (column->table_size - 1);
    if (column->table[place]) {
        column->values[column->table[place]].n_videos++;
        return column->table[place];
    }
    unsigned char *outside = n > sizeof column->values->inside ? malloc(n) : NULL;
    uint32_t code = n > sizeof column->values->inside && !outside ? 0 : free_code(column);
    if (!code) {
        free(outside);
        return 0;
    }
    vx_column_value *value = &column->values[code];
    *value = (vx_column_value){.hash = hash, .n_videos = 1, .n_bytes = (uint32_t)n};
    if (outside)
        value->bytes = outside;
    memcpy(outside ? outside : value->inside, bytes, n);
    column->n_bytes += outside ? n : 0;
    column->table[place] = code;
    column->n_used++;
    return code;
}

void vx_column_clear(vx_column *column, size_t slot) {
    uint32_t code = column->codes[slot];
    column->codes[slot] = VX_CODE_UNKNOWN;
    if (code < VX_CODE_FIRST || --column->values[code].n_videos)
        return;
    vx_column_value *value = &column->values[code];
    empty_place(column, place_of(column, value->hash, vx_column_cell(value), value->n_bytes));
    if (value->n_bytes > sizeof value->inside) {
        column->n_bytes -= value->n_bytes;
        free(value->bytes);
    }
    *value = (vx_column_value){.next_free = column->first_free};
    column->first_free = code;
    column->n_used--;
}

bool vx_column_set(vx_column *column, size_t slot, const vx_cell *cell, uint64_t key) {
    uint32_t code = VX_CODE_LONG;
    /* A field of every video has no other source. */
    if (cell->n <= MAX_CELL_BYTES || column->field.row >= 0) {
        code = take_code(column, cell->bytes, cell->n, key);
        if (!code)
            return false;
    }
    vx_column_clear(column, slot);
    column->codes[slot] = code;
    return true;
}
