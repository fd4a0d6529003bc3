/* parquet_private.h — what the files of src/parquet share. */
#pragma once

#include "parquet.h"

/* ---- buffer.c: bytes that grow, in the encodings of Parquet and of Thrift's compact protocol ---- */

/* A failed allocation is remembered: every later append does nothing. */
typedef struct vx_buffer {
    uint8_t *bytes;
    size_t n, capacity;
    bool failed;
} vx_buffer;

void vx_buffer_append(vx_buffer *buffer, const void *bytes, size_t n);
void vx_buffer_varint(vx_buffer *buffer, uint64_t value); /* ULEB128 */

/* Thrift compact: a struct is fields of rising id and a stop byte. */
enum {
    VX_THRIFT_I32 = 5,
    VX_THRIFT_I64 = 6,
    VX_THRIFT_BINARY = 8,
    VX_THRIFT_LIST = 9,
    VX_THRIFT_STRUCT = 12
};

typedef struct vx_thrift {
    vx_buffer *out;
    int last_field[8]; /* of each open struct */
    int depth;
} vx_thrift;

void vx_thrift_open(vx_thrift *t, int field); /* a struct in a field; 0: as an element of a list */
void vx_thrift_close(vx_thrift *t);
void vx_thrift_int(vx_thrift *t, int field, int type, int64_t value);
void vx_thrift_text(vx_thrift *t, int field, const char *text);
void vx_thrift_list(vx_thrift *t, int field, int element_type, size_t n); /* elements follow */
void vx_thrift_element_int(vx_thrift *t, int64_t value);
void vx_thrift_element_text(vx_thrift *t, const char *text);

/* ---- footer.c ---- */

typedef struct vx_column_chunk {
    int64_t offset, bytes, n_values; /* bytes: with the page header */
} vx_column_chunk;

typedef struct vx_row_group {
    int64_t n_rows;
    vx_column_chunk *columns; /* [n_columns] */
} vx_row_group;

bool vx_parquet_is_list(vx_parquet_type type);

/* The page header of n_values PLAIN values in `bytes` of levels and values. */
void vx_parquet_page_header(vx_buffer *out, size_t bytes, int64_t n_values);

/* FileMetaData, its length and the magic: the end of a file. */
void vx_parquet_footer(vx_buffer *out, const vx_parquet_column *columns, size_t n_columns,
                       const vx_row_group *groups, size_t n_groups);
