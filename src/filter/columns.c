/* columns.c — keeps the columns: videos come, change and go; fields are declared. */
#include "columns.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/random.h>

#define MAY_BE_DEAD 1024 /* slots; beyond that, half of them */

int vx_filter_columns_new(vx_filter_columns **ret_columns, vx_err *err) {
    VX_AUTO(vx_filter_columns) columns = vx_new(vx_filter_columns);
    if (!columns)
        return VX_FAIL(err, -ENOMEM, "no memory for the columns of filters");
    vx_rwlock_init(&columns->lock);
    vx_clip_slots_init(&columns->clips);
    columns->fixed = vx_new_array(vx_n_video_fields(), sizeof *columns->fixed);
    if (!columns->fixed)
        return VX_FAIL(err, -ENOMEM, "no memory for the columns of filters");
    for (size_t i = 0; i < vx_n_video_fields(); i++)
        columns->fixed[i].field.row = (int)i;
    if (getrandom(&columns->key, sizeof columns->key, 0) != sizeof columns->key)
        return VX_FAIL_ERRNO(err, "random bytes for the columns of filters");
    *ret_columns = vx_take(columns);
    return 0;
}

vx_filter_columns *vx_filter_columns_free(vx_filter_columns *columns) {
    if (!columns)
        return NULL;
    for (size_t i = 0; columns->fixed && i < vx_n_video_fields(); i++)
        vx_column_done(&columns->fixed[i]);
    for (size_t i = 0; i < columns->n_declared; i++)
        vx_column_done(&columns->declared[i]);
    free(columns->fixed);
    free(columns->declared);
    vx_clip_slots_done(&columns->clips);
    free(columns->rows);
    free(columns->alive);
    free(columns->clips_of);
    vx_rwlock_done(&columns->lock);
    free(columns);
    return NULL;
}

/* ---- slots ---- */

static void set_alive(vx_filter_columns *columns, size_t slot, bool alive) {
    uint64_t bit = UINT64_C(1) << (slot % 64);
    columns->alive[slot / 64] = (columns->alive[slot / 64] & ~bit) | (alive ? bit : 0);
}

static bool reserve(vx_filter_columns *columns, size_t slots) {
    if (slots > columns->capacity) {
        size_t capacity = columns->capacity ? 2 * columns->capacity : 64;
        int64_t *rows = vx_regrow(columns->rows, capacity, sizeof *rows);
        if (rows)
            columns->rows = rows;
        uint64_t *alive = rows ? vx_regrow(columns->alive, capacity / 64, sizeof *alive) : NULL;
        if (alive)
            columns->alive = alive;
        vx_clips_of_video *clips_of =
            alive ? vx_regrow(columns->clips_of, capacity, sizeof *clips_of) : NULL;
        if (!clips_of)
            return false;
        columns->clips_of = clips_of;
        columns->capacity = capacity;
    }
    bool fine = true;
    for (size_t i = 0; i < vx_n_video_fields() && fine; i++)
        fine = vx_column_reserve(&columns->fixed[i], slots);
    for (size_t i = 0; i < columns->n_declared && fine; i++)
        fine = vx_column_reserve(&columns->declared[i], slots);
    return fine;
}

/* The slot of a row, made if it has none: rows rise, so that is behind all others. */
static int slot_of(vx_filter_columns *columns, int64_t row, size_t *ret_slot, vx_err *err) {
    size_t slot = vx_columns_slot(columns, row);
    if (slot < columns->n_slots && columns->rows[slot] != row)
        return VX_FAIL(err, -EINVAL, "video %lld enters the columns out of turn", (long long)row);
    if (slot == columns->n_slots) {
        if (!reserve(columns, slot + 1))
            return VX_FAIL(err, -ENOMEM, "no memory for the columns of filters");
        columns->rows[slot] = row;
        columns->clips_of[slot] = (vx_clips_of_video){0, 0};
        set_alive(columns, slot, false);
        columns->n_slots++;
        columns->n_dead++;
    }
    *ret_slot = slot;
    return 0;
}

/* Closes the gaps of dead slots, once they are half of all. */
static void compact(vx_filter_columns *columns) {
    if (columns->n_dead <= MAY_BE_DEAD || columns->n_dead <= columns->n_slots / 2)
        return;
    size_t n = 0;
    for (size_t slot = 0; slot < columns->n_slots; slot++) {
        if (!vx_columns_is_alive(columns, slot))
            continue;
        if (n < slot) {
            columns->rows[n] = columns->rows[slot];
            columns->clips_of[n] = columns->clips_of[slot];
            vx_clip_slots_move(&columns->clips, columns->clips_of[n], (uint32_t)n);
            set_alive(columns, slot, false);
            set_alive(columns, n, true);
            for (size_t i = 0; i < vx_n_video_fields(); i++)
                vx_column_move(&columns->fixed[i], slot, n);
            for (size_t i = 0; i < columns->n_declared; i++)
                vx_column_move(&columns->declared[i], slot, n);
        }
        n++;
    }
    columns->n_slots = n;
    columns->n_dead = 0;
}

static void kill_slot(vx_filter_columns *columns, size_t slot) {
    columns->n_dead += vx_columns_is_alive(columns, slot);
    set_alive(columns, slot, false);
    for (size_t i = 0; i < vx_n_video_fields(); i++)
        vx_column_clear(&columns->fixed[i], slot);
    for (size_t i = 0; i < columns->n_declared; i++)
        vx_column_clear(&columns->declared[i], slot);
    vx_clip_slots_remove(&columns->clips, columns->clips_of[slot]);
    columns->clips_of[slot] = (vx_clips_of_video){0, 0};
    compact(columns);
}

/* ---- videos ---- */

static bool set_column(vx_filter_columns *columns, vx_column *column, size_t slot,
                       const vx_video *video, const json_t *metadata, vx_cell *cell) {
    return vx_field_read(&column->field, video, NULL, metadata, cell) &&
           vx_column_set(column, slot, cell, columns->key);
}

static int put(vx_filter_columns *columns, const vx_video *video, const json_t *metadata,
               vx_err *err) {
    size_t slot = 0;
    int rc = slot_of(columns, video->row, &slot, err);
    if (rc)
        return rc;
    vx_cell cell = {0};
    bool fine = true;
    for (size_t i = 0; i < vx_n_video_fields() && fine; i++)
        fine = set_column(columns, &columns->fixed[i], slot, video, NULL, &cell);
    for (size_t i = 0; i < columns->n_declared && fine; i++)
        if (metadata)
            fine = set_column(columns, &columns->declared[i], slot, video, metadata, &cell);
        else
            vx_column_clear(&columns->declared[i], slot);
    vx_cell_done(&cell);
    if (!fine) {
        kill_slot(columns, slot);
        return VX_FAIL(err, -ENOMEM, "no memory for the columns of filters");
    }
    columns->n_dead -= !vx_columns_is_alive(columns, slot);
    set_alive(columns, slot, true);
    return 0;
}

int vx_filter_columns_put(vx_filter_columns *columns, const vx_video *video, vx_err *err) {
    vx_rwlock_read(&columns->lock);
    bool wanted = columns->n_declared > 0;
    vx_rwlock_end_read(&columns->lock);
    /* Without it, fields that are declared meanwhile do not know this video until they are filled. */
    json_t *metadata =
        wanted ? json_loads(video->metadata ? video->metadata : "{}", 0, NULL) : NULL;
    vx_rwlock_write(&columns->lock);
    int rc = put(columns, video, metadata, err);
    vx_rwlock_end_write(&columns->lock);
    json_decref(metadata);
    return rc;
}

void vx_filter_columns_remove(vx_filter_columns *columns, int64_t video_row) {
    vx_rwlock_write(&columns->lock);
    size_t slot = vx_columns_slot(columns, video_row);
    if (slot < columns->n_slots && columns->rows[slot] == video_row)
        kill_slot(columns, slot);
    vx_rwlock_end_write(&columns->lock);
}

void vx_filter_columns_clear(vx_filter_columns *columns) {
    vx_rwlock_write(&columns->lock);
    for (size_t i = 0; i < vx_n_video_fields(); i++)
        vx_column_empty(&columns->fixed[i]);
    for (size_t i = 0; i < columns->n_declared; i++)
        vx_column_empty(&columns->declared[i]);
    vx_clip_slots_done(&columns->clips);
    free(columns->rows);
    free(columns->alive);
    free(columns->clips_of);
    columns->rows = NULL;
    columns->alive = NULL;
    columns->clips_of = NULL;
    columns->n_slots = columns->capacity = columns->n_dead = 0;
    columns->generation++;
    vx_rwlock_end_write(&columns->lock);
}

/* ---- declared fields ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const vx_column *)a)->field.name, ((const vx_column *)b)->field.name);
}

static vx_column *find_declared(const vx_filter_columns *columns, const char *name) {
    for (size_t i = 0; i < columns->n_declared; i++)
        if (!strcmp(columns->declared[i].field.name, name))
            return &columns->declared[i];
    return NULL;
}

/* Columns without a value yet, for the fields that are new. */
static int new_columns(const vx_filter_columns *columns, const char *const *fields, size_t n,
                       vx_column *ret_fresh, vx_err *err) {
    for (size_t i = 0; i < n; i++) {
        ret_fresh[i].field.row = -1;
        int rc = vx_field_parse(fields[i], &ret_fresh[i].field, err);
        if (!rc && ret_fresh[i].field.row >= 0)
            rc = VX_FAIL(err, VX_FILTER_BAD, "%s has a column already", fields[i]);
        if (!rc && !vx_column_reserve(&ret_fresh[i], columns->capacity))
            rc = VX_FAIL(err, -ENOMEM, "no memory for a column");
        if (rc)
            return rc;
    }
    return 0;
}

/* Fresh ones in place of the old, of which those that stay keep their values. */
static void exchange(vx_filter_columns *columns, vx_column *fresh, size_t n) {
    for (size_t i = 0; i < n; i++) {
        vx_column *old = find_declared(columns, fresh[i].field.name);
        if (old) {
            vx_column swapped = *old;
            *old = fresh[i];
            fresh[i] = swapped;
        }
    }
    for (size_t i = 0; i < columns->n_declared; i++)
        vx_column_done(&columns->declared[i]);
    free(columns->declared);
    qsort(fresh, n, sizeof *fresh, by_name);
    columns->declared = fresh;
    columns->n_declared = n;
    columns->generation++;
}

int vx_filter_columns_declare(vx_filter_columns *columns, const char *const *fields, size_t n,
                              vx_err *err) {
    if (n > VX_FILTER_MAX_DECLARED)
        return VX_FAIL(err, VX_FILTER_BAD, "at most %d fields can be declared",
                       VX_FILTER_MAX_DECLARED);
    vx_column *fresh = vx_new_array(n ? n : 1, sizeof *fresh);
    if (!fresh)
        return VX_FAIL(err, -ENOMEM, "no memory for a column");
    vx_rwlock_write(&columns->lock);
    int rc = new_columns(columns, fields, n, fresh, err);
    if (!rc)
        exchange(columns, fresh, n);
    vx_rwlock_end_write(&columns->lock);
    for (size_t i = 0; rc && i < n; i++)
        vx_column_done(&fresh[i]);
    if (rc)
        free(fresh);
    return rc;
}

static bool is_known(const vx_filter_columns *columns, size_t slot) {
    for (size_t i = 0; i < columns->n_declared; i++)
        if (columns->declared[i].codes[slot] == VX_CODE_UNKNOWN)
            return false;
    return true;
}

size_t vx_filter_columns_find_unfilled(vx_filter_columns *columns, int64_t above_row, size_t max,
                                       int64_t *ret_rows) {
    size_t n = 0;
    vx_rwlock_read(&columns->lock);
    for (size_t slot = vx_columns_slot(columns, above_row + 1); slot < columns->n_slots && n < max;
         slot++)
        if (vx_columns_is_alive(columns, slot) && !is_known(columns, slot))
            ret_rows[n++] = columns->rows[slot];
    vx_rwlock_end_read(&columns->lock);
    return n;
}

int vx_filter_columns_fill(vx_filter_columns *columns, int64_t video_row, const char *metadata,
                           vx_err *err) {
    json_t *parsed = json_loads(metadata, 0, NULL);
    vx_cell cell = {0};
    bool fine = true;
    vx_rwlock_write(&columns->lock);
    size_t slot = vx_columns_slot(columns, video_row);
    bool there = slot < columns->n_slots && columns->rows[slot] == video_row &&
                 vx_columns_is_alive(columns, slot);
    for (size_t i = 0; there && i < columns->n_declared && fine; i++)
        if (columns->declared[i].codes[slot] == VX_CODE_UNKNOWN)
            fine = set_column(columns, &columns->declared[i], slot, NULL, parsed, &cell);
    vx_rwlock_end_write(&columns->lock);
    vx_cell_done(&cell);
    json_decref(parsed);
    return fine ? 0 : VX_FAIL(err, -ENOMEM, "no memory for the columns of filters");
}

/* ---- what there is ---- */

static void show(const vx_filter_columns *columns, const vx_column *column,
                 vx_filter_column_state *ret_state) {
    *ret_state = (vx_filter_column_state){.bytes = vx_column_memory_bytes(column)};
    snprintf(ret_state->field, sizeof ret_state->field, "%s", column->field.name);
    for (size_t slot = 0; slot < columns->n_slots; slot++)
        if (vx_columns_is_alive(columns, slot)) {
            bool known = column->codes[slot] != VX_CODE_UNKNOWN;
            ret_state->videos += known;
            ret_state->long_values += column->codes[slot] == VX_CODE_LONG;
            ret_state->missing += !known;
        }
}

int vx_filter_columns_list(vx_filter_columns *columns, vx_filter_column_state **ret_states,
                           size_t *ret_n, vx_err *err) {
    vx_rwlock_read(&columns->lock);
    size_t n = columns->n_declared;
    vx_filter_column_state *states = vx_new_array(n ? n : 1, sizeof *states);
    for (size_t i = 0; states && i < n; i++)
        show(columns, &columns->declared[i], &states[i]);
    vx_rwlock_end_read(&columns->lock);
    if (!states)
        return VX_FAIL(err, -ENOMEM, "no memory to list the columns");
    *ret_states = states;
    *ret_n = n;
    return 0;
}

size_t vx_filter_columns_memory_bytes(vx_filter_columns *columns) {
    vx_rwlock_read(&columns->lock);
    size_t bytes =
        columns->capacity * (sizeof *columns->rows + sizeof *columns->clips_of + 1) +
        columns->clips.capacity * (sizeof *columns->clips.rows + sizeof *columns->clips.videos);
    for (size_t i = 0; i < VX_CLIP_FIELDS; i++)
        bytes += vx_column_memory_bytes(&columns->clips.columns[i]);
    for (size_t i = 0; i < vx_n_video_fields(); i++)
        bytes += vx_column_memory_bytes(&columns->fixed[i]);
    for (size_t i = 0; i < columns->n_declared; i++)
        bytes += vx_column_memory_bytes(&columns->declared[i]);
    vx_rwlock_end_read(&columns->lock);
    return bytes;
}
