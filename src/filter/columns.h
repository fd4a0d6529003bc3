/* columns.h — the columns of all fields, and which slot a video has (private to src/filter). */
#pragma once

#include "base/thread.h"
#include "column.h"

/* The clips of all videos: those of one video lie side by side, in no other order. */
typedef struct vx_clip_slots {
    int64_t *rows;    /* [n] of the clips */
    uint32_t *videos; /* [n] slot of the video; VX_NO_SLOT: the clip is gone */
    vx_column columns[VX_CLIP_FIELDS];
    size_t n, capacity, n_dead;
    int64_t first_row, last_row; /* that ever were among `rows` */
    bool is_rising;              /* rows rise */
} vx_clip_slots;
#define VX_NO_SLOT UINT32_MAX

typedef struct vx_clips_of_video {
    uint32_t first, n; /* in vx_clip_slots */
} vx_clips_of_video;

struct vx_filter_columns {
    vx_rwlock lock;              /* for everything below */
    uint64_t key;                /* random, for the hashes of values */
    int64_t *rows;               /* [n_slots] of videos, rising */
    uint64_t *alive;             /* a bit per slot: the video is there */
    vx_clips_of_video *clips_of; /* [n_slots] */
    size_t n_slots, capacity, n_dead;
    vx_column *fixed;    /* [vx_n_video_fields()] of every video */
    vx_column *declared; /* [n_declared] of the metadata, by name */
    size_t n_declared;
    uint64_t generation; /* counts up whenever fields are declared, or all videos taken out */
    vx_clip_slots clips;
};

/* clip_slots.c */
void vx_clip_slots_init(vx_clip_slots *clips);
void vx_clip_slots_done(vx_clip_slots *clips);
/* Room for n more. False: no memory. */
bool vx_clip_slots_reserve(vx_clip_slots *clips, size_t n);
/* Appends a clip, for which there is room. False: no memory. */
bool vx_clip_slots_append(vx_clip_slots *clips, uint32_t video_slot, const vx_clip *clip,
                          uint64_t key);
void vx_clip_slots_remove(vx_clip_slots *clips, vx_clips_of_video which);
/* The video that had slot `from` has slot `to`. */
void vx_clip_slots_move(vx_clip_slots *clips, vx_clips_of_video which, uint32_t to);

/* The first of n rising rows that is not below this one; n: all are. Where the rows follow each other without gaps,
 * no row is looked at; with gaps as many places as there are. */
static inline size_t vx_find_row(const int64_t *rows, size_t n, int64_t row) {
    if (!n || row <= rows[0] || row > rows[n - 1])
        return n && row > rows[n - 1] ? n : 0;
    size_t high = (size_t)(row - rows[0]), gaps = (size_t)(rows[n - 1] - rows[0]) - (n - 1);
    size_t low = high > gaps ? high - gaps : 0;
    high = high < n ? high : n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (rows[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first slot whose row is not below this one. */
static inline size_t vx_columns_slot(const vx_filter_columns *columns, int64_t row) {
    return vx_find_row(columns->rows, columns->n_slots, row);
}

static inline bool vx_columns_is_alive(const vx_filter_columns *columns, size_t slot) {
    return columns->alive[slot / 64] >> (slot % 64) & 1;
}
