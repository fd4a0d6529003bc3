/* pages.h — one column of a row group, page by page (private to src/parquet). */
#pragma once

#include "layout.h"
#include "levels.h"

/* What all columns of a file share. */
typedef struct vx_page_source {
    int fd;                /* borrowed */
    int64_t unpacked_left; /* bytes that the rest of the file may unpack to */
    int64_t open_bytes;    /* of pages and dictionaries that are in memory */
    uint8_t *packed;       /* [packed_capacity]; owned: the page that is being read */
    size_t packed_capacity;
} vx_page_source;

typedef struct vx_block {
    uint8_t *bytes; /* [n]; owned */
    size_t n, capacity;
} vx_block;

/* PLAIN values are read from `at` on; those of a dictionary through `places`. */
typedef struct vx_column_cursor {
    const vx_leaf *leaf; /* borrows */
    int codec;
    int64_t at, end;     /* in the file: the next page */
    int64_t levels_left; /* of the row group */
    int64_t page_levels; /* of the page; 0: another must be read */
    vx_levels repetition, definition, places;
    int peeked; /* the next repetition level, or -1 */
    int encoding;
    vx_block page, dictionary;
    const uint8_t *values, *values_end;
    size_t n_split, split_at; /* BYTE_STREAM_SPLIT: values of the page, the next one */
    uint32_t *offsets;        /* [n_entries + 1] of texts in the dictionary; owned */
    size_t n_entries;
} vx_column_cursor;

/* Parquet's Encoding. */
enum {
    VX_ENCODING_PLAIN = 0,
    VX_ENCODING_PLAIN_DICTIONARY = 2,
    VX_ENCODING_RLE = 3,
    VX_ENCODING_DICTIONARY = 8,
    VX_ENCODING_SPLIT = 9
};

int vx_physical_bytes(int physical); /* of a value; 0 = they differ */
/* Begins with a row group. */
void vx_cursor_begin(vx_column_cursor *cursor, const vx_column_part *part);
/* Reads pages until there is a level: 1; 0: the row group has no more. VX_PARQUET_BAD, -EIO, -ENOMEM. */
int vx_cursor_fill(vx_column_cursor *cursor, vx_page_source *source, vx_err *err);
void vx_cursor_done(vx_column_cursor *cursor);
