/* column.c — see the header. Open addressing with linear steps; a value that is given up closes its gap. */
#include "column.h"

#include <math.h>
#include <string.h>

#define MAX_CELL_BYTES 1024 /* longer ones are few, and read from the metadata */

#define MIN_UNUSED_BYTES ((size_t)64 * 1024)
/* From so many values on a column has marks. To test fewer takes some microseconds, whatever has them. */
#define MANY_VALUES 1024

void vx_column_empty(vx_column *column) {
    free(column->values);
    free(column->numbers);
    free(column->marks);
    free(column->starts);
    free(column->bytes);
    free(column->table);
    free(column->codes);
    *column = (vx_column){.field = column->field};
}

void vx_column_done(vx_column *column) {
    vx_column_empty(column);
    vx_field_done(&column->field);
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
    double *numbers =
        column->numbers ? vx_regrow(column->numbers, capacity, sizeof *numbers) : NULL;
    if (column->numbers && !numbers)
        return false;
    column->numbers = numbers;
    for (size_t slot = column->capacity; numbers && slot < capacity; slot++)
        numbers[slot] = NAN;
    uint64_t *marks = column->marks ? vx_regrow(column->marks, capacity, sizeof *marks) : NULL;
    if (column->marks && !marks)
        return false;
    column->marks = marks;
    if (marks)
        memset(marks + column->capacity, 0xff, (capacity - column->capacity) * sizeof *marks);
    size_t windows = column->capacity / 64;
    vx_column_starts *starts =
        column->starts ? vx_regrow(column->starts, capacity / 64, sizeof *starts) : NULL;
    if (column->starts && !starts)
        return false;
    column->starts = starts;
    if (starts)
        memset(starts + windows, 0, (capacity / 64 - windows) * sizeof *starts);
    column->capacity = capacity;
    return true;
}

size_t vx_column_memory_bytes(const vx_column *column) {
    size_t of_slot = sizeof *column->codes + (column->numbers ? sizeof *column->numbers : 0) +
                     (column->marks ? sizeof *column->marks : 0) +
                     (column->starts ? sizeof *column->starts / 64 : 0);
    return column->capacity * of_slot + column->values_capacity * sizeof *column->values +
           column->table_size * sizeof *column->table + column->bytes_capacity;
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
                                   !memcmp(vx_column_cell(column, value), bytes, n)))
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
    column->values = grown;
    grown[VX_CODE_UNKNOWN] = grown[VX_CODE_LONG] = (vx_column_value){0};
    column->values_capacity = capacity;
    column->version++;
    return true;
}

/* A code that no video has; 0: no memory. */
static uint32_t free_code(vx_column *column) {
    uint32_t code = column->first_free;
    if (code) {
        column->first_free = column->values[code].next_free;
        column->version++;
        return code;
    }
    size_t n = column->n_values ? column->n_values : VX_CODE_FIRST;
    if (n >= UINT32_MAX || (n >= column->values_capacity && !grow_values(column)))
        return 0;
    column->n_values = n + 1;
    return (uint32_t)n;
}

/* Room for n more long bytes. */
static bool reserve_bytes(vx_column *column, size_t n) {
    size_t wanted = column->n_bytes + n;
    if (wanted <= column->bytes_capacity)
        return true;
    unsigned char *grown = vx_regrow(column->bytes, 2 * wanted, 1);
    if (grown) {
        column->bytes = grown;
        column->bytes_capacity = 2 * wanted;
    }
    return grown != NULL;
}

/* If memory runs out, the gaps stay until the next call. */
static void close_gaps(vx_column *column) {
    size_t n_live = column->n_bytes - column->n_unused_bytes, n = 0;
    if (column->n_unused_bytes < MIN_UNUSED_BYTES || column->n_unused_bytes < n_live)
        return;
    unsigned char *bytes = malloc(2 * n_live + 1);
    if (!bytes)
        return;
    for (size_t code = VX_CODE_FIRST; code < column->n_values; code++) {
        vx_column_value *value = &column->values[code];
        if (!value->n_videos || vx_column_is_inside(value))
            continue;
        memcpy(bytes + n, column->bytes + value->at, value->n_bytes);
        value->at = n;
        n += value->n_bytes;
    }
    free(column->bytes);
    column->bytes = bytes;
    column->bytes_capacity = 2 * n_live + 1;
    column->n_bytes = n;
    column->n_unused_bytes = 0;
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
    vx_column_value fresh = {.hash = hash, .n_videos = 1, .n_bytes = (uint32_t)n};
    if (!vx_column_is_inside(&fresh) && !reserve_bytes(column, n))
        return 0;
    uint32_t code = free_code(column);
    if (!code)
        return 0;
    if (vx_column_is_inside(&fresh)) {
        memcpy(fresh.inside, bytes, n);
    } else {
        fresh.at = column->n_bytes;
        memcpy(column->bytes + column->n_bytes, bytes, n);
        column->n_bytes += n;
    }
    column->values[code] = fresh;
    column->n_arrays += *bytes == VX_CELL_ARRAY;
    column->table[place] = code;
    column->n_used++;
    return code;
}

uint32_t vx_column_find(const vx_column *column, const unsigned char *cell, size_t n,
                        uint64_t key) {
    return column->n_used ? column->table[place_of(column, hash_of(cell, n, key), cell, n)] : 0;
}

/* ---- marks ---- */

static uint64_t get_marks(const vx_column *column, size_t slot) {
    const uint64_t *words = column->marks + slot / 64 * 64;
    uint64_t marks = 0;
    for (unsigned i = 0; i < 64; i++)
        marks |= (words[i] >> slot % 64 & 1) << i;
    return marks;
}

static void set_marks(vx_column *column, size_t slot, uint64_t marks) {
    uint64_t *words = column->marks + slot / 64 * 64, bit = UINT64_C(1) << slot % 64;
    for (unsigned i = 0; i < 64; i++)
        words[i] = (words[i] & ~bit) | ((marks >> i & 1) << slot % 64);
}

/* From here on the column has marks. False: no memory. */
static bool begin_marks(vx_column *column) {
    VX_AUTO_FREE uint64_t *of_values = vx_new_array(column->n_values + 1, sizeof *of_values);
    uint64_t *marks = of_values ? vx_new_array(column->capacity, sizeof *marks) : NULL;
    if (!marks)
        return false;
    of_values[VX_CODE_UNKNOWN] = of_values[VX_CODE_LONG] = UINT64_MAX;
    for (size_t code = VX_CODE_FIRST; code < column->n_values; code++)
        if (column->values[code].n_videos)
            of_values[code] = vx_cell_marks(vx_column_cell(column, &column->values[code]),
                                            column->values[code].n_bytes);
    column->marks = marks;
    for (size_t slot = 0; slot < column->capacity; slot++)
        set_marks(column, slot, of_values[column->codes[slot]]);
    return true;
}

static bool begin_starts(vx_column *column) {
    column->starts = vx_new_array(column->capacity / 64, sizeof *column->starts);
    for (size_t slot = 0; column->starts && slot < column->capacity; slot++)
        vx_starts_set(column, slot);
    return column->starts != NULL;
}

uint64_t vx_column_find_marked(const vx_column *column, size_t window, uint64_t needed,
                               uint64_t any) {
    const uint64_t *words = column->marks + window * 64;
    uint64_t lists = words[63], all = UINT64_MAX, some = 0;
    for (; needed; needed &= needed - 1)
        all &= words[__builtin_ctzll(needed)];
    for (; any && lists; any &= any - 1)
        some |= words[__builtin_ctzll(any)];
    return (lists & some) | (~lists & all);
}

/* ---- slots ---- */

static void give_up_code(vx_column *column, uint32_t code) {
    column->n_long -= code == VX_CODE_LONG;
    if (code < VX_CODE_FIRST || --column->values[code].n_videos)
        return;
    vx_column_value *value = &column->values[code];
    empty_place(column,
                place_of(column, value->hash, vx_column_cell(column, value), value->n_bytes));
    column->n_arrays -= *vx_column_cell(column, value) == VX_CELL_ARRAY;
    column->n_unused_bytes += vx_column_is_inside(value) ? 0 : value->n_bytes;
    *value = (vx_column_value){.next_free = column->first_free};
    column->first_free = code;
    column->n_used--;
    close_gaps(column);
}

void vx_column_clear(vx_column *column, size_t slot) {
    uint32_t code = column->codes[slot];
    column->codes[slot] = VX_CODE_UNKNOWN;
    if (column->numbers)
        column->numbers[slot] = NAN;
    if (column->marks)
        set_marks(column, slot, UINT64_MAX);
    if (column->starts)
        vx_starts_set(column, slot);
    give_up_code(column, code);
}

void vx_column_move(vx_column *column, size_t from, size_t to) {
    column->codes[to] = column->codes[from];
    column->codes[from] = VX_CODE_UNKNOWN;
    if (column->marks) {
        set_marks(column, to, get_marks(column, from));
        set_marks(column, from, UINT64_MAX);
    }
    if (column->starts) {
        vx_starts_set(column, to);
        vx_starts_set(column, from);
    }
    if (!column->numbers)
        return;
    column->numbers[to] = column->numbers[from];
    column->numbers[from] = NAN;
}

/* From here on the column has numbers. False: no memory. */
static bool begin_numbers(vx_column *column) {
    column->numbers = vx_new_array(column->capacity, sizeof *column->numbers);
    for (size_t slot = 0; column->numbers && slot < column->capacity; slot++)
        column->numbers[slot] = NAN;
    return column->numbers != NULL;
}

bool vx_column_set(vx_column *column, size_t slot, const vx_cell *cell, uint64_t key) {
    uint32_t code = VX_CODE_LONG;
    double number = vx_cell_number(cell->bytes, cell->n);
    bool has_many = column->n_used >= MANY_VALUES;
    uint64_t marks = column->marks || has_many ? vx_cell_marks(cell->bytes, cell->n) : 0;
    if ((number == number && !column->numbers && !begin_numbers(column)) ||
        (marks && !column->marks && !begin_marks(column)) ||
        (marks && !(marks & VX_MARK_LIST) && !column->starts && !begin_starts(column)))
        return false;
    /* A field of every video has no other source. */
    if (cell->n <= MAX_CELL_BYTES || column->field.row >= 0) {
        code = take_code(column, cell->bytes, cell->n, key);
        if (!code)
            return false;
    }
    uint32_t before = column->codes[slot];
    column->codes[slot] = code;
    column->n_long += code == VX_CODE_LONG;
    if (column->numbers)
        column->numbers[slot] = number;
    if (column->marks)
        set_marks(column, slot, code == VX_CODE_LONG ? UINT64_MAX : marks);
    if (column->starts)
        vx_starts_set(column, slot);
    give_up_code(column, before);
    return true;
}
