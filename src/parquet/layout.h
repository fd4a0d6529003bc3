/* layout.h — where the wanted columns of a Parquet file lie, from its footer (private to src/parquet). */
#pragma once

#include "read.h"

/* Parquet's Type. */
enum {
    VX_PHYSICAL_BOOLEAN = 0,
    VX_PHYSICAL_INT32 = 1,
    VX_PHYSICAL_INT64 = 2,
    VX_PHYSICAL_FLOAT = 4,
    VX_PHYSICAL_DOUBLE = 5,
    VX_PHYSICAL_BYTES = 6
};

/* One column in one row group. */
typedef struct vx_column_part {
    int64_t offset, bytes; /* in the file, checked against its size; with the dictionary */
    int64_t n_values;      /* levels */
    int codec;             /* Parquet's CompressionCodec */
} vx_column_part;

typedef struct vx_leaf {
    int index; /* among the leaves of the schema, which is its place in a row group; -1: not there */
    int physical;       /* VX_PHYSICAL_… */
    int max_definition; /* of a value that is there */
    int max_repetition; /* 0, or 1 of a list */
    int element;        /* of a list: the definition level from which on there is an element */
} vx_leaf;

typedef struct vx_parquet_layout {
    vx_leaf leaves[VX_PARQUET_WANTED_MAX]; /* [n_wanted] */
    size_t n_wanted;
    int64_t n_rows;
    size_t n_groups;
    int64_t *group_rows;   /* [n_groups]; owned */
    vx_column_part *parts; /* [n_groups, n_wanted]; owned */
} vx_parquet_layout;

/* footer: FileMetaData. VX_PARQUET_BAD, -ENOMEM; *ret_layout is zeroed before and may be cleared after. */
int vx_parquet_read_layout(const uint8_t *footer, size_t n_bytes, int64_t file_bytes,
                           const vx_parquet_wanted *wanted, size_t n_wanted,
                           vx_parquet_layout *ret_layout, vx_err *err);
void vx_parquet_layout_clear(vx_parquet_layout *layout);
