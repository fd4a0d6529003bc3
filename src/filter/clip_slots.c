/* clip_slots.c — the columns of clips. Slots of clips that are gone are closed once they are half of all. */
#include <errno.h>
#include <string.h>

#include "columns.h"

#define MAY_BE_DEAD 4096 /* slots; beyond that, half of them */

void vx_clip_slots_init(vx_clip_slots *clips) {
    *clips = (vx_clip_slots){.is_rising = true};
    for (size_t i = 0; i < VX_CLIP_FIELDS; i++)
        clips->columns[i].field.row = (int)(vx_n_video_fields() + i);
}

void vx_clip_slots_done(vx_clip_slots *clips) {
    for (size_t i = 0; i < VX_CLIP_FIELDS; i++)
        vx_column_done(&clips->columns[i]);
    free(clips->rows);
    free(clips->videos);
    vx_clip_slots_init(clips);
}

bool vx_clip_slots_reserve(vx_clip_slots *clips, size_t n) {
    size_t wanted = clips->n + n;
    if (wanted > clips->capacity) {
        size_t capacity = clips->capacity ? clips->capacity : 64;
        while (capacity < wanted)
            capacity *= 2;
        int64_t *rows = vx_regrow(clips->rows, capacity, sizeof *rows);
        if (rows)
            clips->rows = rows;
        uint32_t *videos = rows ? vx_regrow(clips->videos, capacity, sizeof *videos) : NULL;
        if (!videos)
            return false;
        clips->videos = videos;
        clips->capacity = capacity;
    }
    bool fine = wanted < VX_NO_SLOT;
    for (size_t i = 0; i < VX_CLIP_FIELDS && fine; i++)
        fine = vx_column_reserve(&clips->columns[i], wanted);
    return fine;
}

bool vx_clip_slots_append(vx_clip_slots *clips, uint32_t video_slot, const vx_clip *clip,
                          uint64_t key) {
    vx_cell cell = {0};
    size_t slot = clips->n++;
    bool fine = true;
    clips->is_rising &= !slot || clip->row > clips->rows[slot - 1];
    clips->first_row = !slot || clip->row < clips->first_row ? clip->row : clips->first_row;
    clips->last_row = !slot || clip->row > clips->last_row ? clip->row : clips->last_row;
    clips->rows[slot] = clip->row;
    clips->videos[slot] = video_slot;
    for (size_t i = 0; i < VX_CLIP_FIELDS && fine; i++)
        fine = vx_field_read(&clips->columns[i].field, NULL, clip, NULL, &cell) &&
               vx_column_set(&clips->columns[i], slot, &cell, key);
    vx_cell_done(&cell);
    return fine;
}

void vx_clip_slots_remove(vx_clip_slots *clips, vx_clips_of_video which) {
    for (uint32_t slot = which.first; slot < which.first + which.n; slot++) {
        clips->videos[slot] = VX_NO_SLOT;
        for (size_t i = 0; i < VX_CLIP_FIELDS; i++)
            vx_column_clear(&clips->columns[i], slot);
    }
    clips->n_dead += which.n;
}

void vx_clip_slots_move(vx_clip_slots *clips, vx_clips_of_video which, uint32_t to) {
    for (uint32_t slot = which.first; slot < which.first + which.n; slot++)
        clips->videos[slot] = to;
}

/* The clips of a video stay side by side. */
static void compact(vx_filter_columns *columns) {
    vx_clip_slots *clips = &columns->clips;
    if (clips->n_dead <= MAY_BE_DEAD || clips->n_dead <= clips->n / 2)
        return;
    size_t n = 0;
    uint32_t last = VX_NO_SLOT;
    for (size_t slot = 0; slot < clips->n; slot++) {
        uint32_t video = clips->videos[slot];
        if (video == VX_NO_SLOT)
            continue;
        if (video != last)
            columns->clips_of[video].first = (uint32_t)n;
        last = video;
        if (n < slot) {
            clips->rows[n] = clips->rows[slot];
            clips->videos[n] = video;
            for (size_t i = 0; i < VX_CLIP_FIELDS; i++)
                vx_column_move(&clips->columns[i], slot, n);
        }
        n++;
    }
    clips->n = n;
    clips->n_dead = 0;
}

/* Whether these are the clips that it has: mostly a video changes without them. */
static bool are_the_same(const vx_filter_columns *columns, vx_clips_of_video which,
                         const vx_clip *clips, size_t n) {
    vx_cell cell = {0};
    bool same = which.n == n;
    for (size_t i = 0; i < n && same; i++) {
        const vx_clip_slots *slots = &columns->clips;
        same = slots->rows[which.first + i] == clips[i].row;
        for (size_t k = 0; k < VX_CLIP_FIELDS && same; k++) {
            const vx_column *column = &slots->columns[k];
            const vx_column_value *value = &column->values[column->codes[which.first + i]];
            same = vx_field_read(&column->field, NULL, &clips[i], NULL, &cell) &&
                   cell.n == value->n_bytes &&
                   !memcmp(vx_column_cell(column, value), cell.bytes, cell.n);
        }
    }
    vx_cell_done(&cell);
    return same;
}

static bool put_locked(vx_filter_columns *columns, size_t slot, const vx_clip *clips, size_t n) {
    vx_clips_of_video *of = &columns->clips_of[slot];
    if (are_the_same(columns, *of, clips, n))
        return true;
    vx_clip_slots_remove(&columns->clips, *of);
    *of = (vx_clips_of_video){0, 0};
    compact(columns);
    bool fine = vx_clip_slots_reserve(&columns->clips, n);
    of->first = (uint32_t)columns->clips.n;
    for (size_t i = 0; i < n && fine; i++, of->n++)
        fine = vx_clip_slots_append(&columns->clips, (uint32_t)slot, &clips[i], columns->key);
    if (!fine) {
        of->n = (uint32_t)(columns->clips.n - of->first);
        vx_clip_slots_remove(&columns->clips, *of);
        *of = (vx_clips_of_video){0, 0};
    }
    return fine;
}

int vx_filter_columns_put_clips(vx_filter_columns *columns, int64_t video_row, const vx_clip *clips,
                                size_t n, vx_err *err) {
    vx_rwlock_write(&columns->lock);
    size_t slot = vx_columns_slot(columns, video_row);
    bool there = slot < columns->n_slots && columns->rows[slot] == video_row &&
                 vx_columns_is_alive(columns, slot);
    bool fine = !there || put_locked(columns, slot, clips, n);
    vx_rwlock_end_write(&columns->lock);
    return fine ? 0 : VX_FAIL(err, -ENOMEM, "no memory for the columns of filters");
}
