/* footer.c — the metadata structs of Parquet (parquet.thrift), by field number. */
#include <string.h>

#include "parquet_private.h"

enum { OPTIONAL = 1, REPEATED = 2 };                  /* FieldRepetitionType */
enum { INT64 = 2, FLOAT = 4, DOUBLE = 5, BYTES = 6 }; /* Type */
enum { PLAIN = 0, RLE = 3 };                          /* Encoding */
enum { CONVERTED_UTF8 = 0, CONVERTED_LIST = 3 };      /* ConvertedType */
enum { LOGICAL_STRING = 1, LOGICAL_LIST = 3 };        /* LogicalType, a union */

bool vx_parquet_is_list(vx_parquet_type type) {
    return type == VX_PARQUET_LIST_FLOAT || type == VX_PARQUET_LIST_DOUBLE;
}

static int physical_type(vx_parquet_type type) {
    static const int types[] = {[VX_PARQUET_UTF8] = BYTES,       [VX_PARQUET_INT64] = INT64,
                                [VX_PARQUET_FLOAT] = FLOAT,      [VX_PARQUET_DOUBLE] = DOUBLE,
                                [VX_PARQUET_LIST_FLOAT] = FLOAT, [VX_PARQUET_LIST_DOUBLE] = DOUBLE};
    return types[type];
}

void vx_parquet_page_header(vx_buffer *out, size_t bytes, int64_t n_values) {
    vx_thrift t = {.out = out};
    vx_thrift_int(&t, 1, VX_THRIFT_I32, 0); /* DATA_PAGE */
    vx_thrift_int(&t, 2, VX_THRIFT_I32, (int64_t)bytes);
    vx_thrift_int(&t, 3, VX_THRIFT_I32, (int64_t)bytes);
    vx_thrift_open(&t, 5); /* DataPageHeader */
    vx_thrift_int(&t, 1, VX_THRIFT_I32, n_values);
    vx_thrift_int(&t, 2, VX_THRIFT_I32, PLAIN);
    vx_thrift_int(&t, 3, VX_THRIFT_I32, RLE);
    vx_thrift_int(&t, 4, VX_THRIFT_I32, RLE);
    vx_thrift_close(&t);
    vx_thrift_close(&t);
}

/* type or n_children: -1 = the field is absent; so with converted, whose logical type goes along. */
static void schema_element(vx_thrift *t, const char *name, int type, int repetition, int n_children,
                           int converted) {
    vx_thrift_open(t, 0);
    if (type >= 0)
        vx_thrift_int(t, 1, VX_THRIFT_I32, type);
    if (repetition >= 0)
        vx_thrift_int(t, 3, VX_THRIFT_I32, repetition);
    vx_thrift_text(t, 4, name);
    if (n_children >= 0)
        vx_thrift_int(t, 5, VX_THRIFT_I32, n_children);
    if (converted >= 0) {
        vx_thrift_int(t, 6, VX_THRIFT_I32, converted);
        vx_thrift_open(t, 10);
        vx_thrift_open(t, converted == CONVERTED_LIST ? LOGICAL_LIST : LOGICAL_STRING);
        vx_thrift_close(t);
        vx_thrift_close(t);
    }
    vx_thrift_close(t);
}

static void schema(vx_thrift *t, const vx_parquet_column *columns, size_t n_columns) {
    size_t n = 1 + n_columns;
    for (size_t i = 0; i < n_columns; i++)
        n += vx_parquet_is_list(columns[i].type) ? 2 : 0;
    vx_thrift_list(t, 2, VX_THRIFT_STRUCT, n);
    schema_element(t, "schema", -1, -1, (int)n_columns, -1);
    for (size_t i = 0; i < n_columns; i++) {
        const vx_parquet_column *column = &columns[i];
        int type = physical_type(column->type);
        if (!vx_parquet_is_list(column->type)) {
            schema_element(t, column->name, type, OPTIONAL, -1,
                           column->type == VX_PARQUET_UTF8 ? CONVERTED_UTF8 : -1);
            continue;
        }
        schema_element(t, column->name, -1, OPTIONAL, 1, CONVERTED_LIST);
        schema_element(t, "list", -1, REPEATED, 1, -1);
        schema_element(t, "element", type, OPTIONAL, -1, -1);
    }
}

static void column_chunk(vx_thrift *t, const vx_parquet_column *column,
                         const vx_column_chunk *chunk) {
    bool list = vx_parquet_is_list(column->type);
    vx_thrift_open(t, 0);
    vx_thrift_int(t, 2, VX_THRIFT_I64, chunk->offset);
    vx_thrift_open(t, 3); /* ColumnMetaData */
    vx_thrift_int(t, 1, VX_THRIFT_I32, physical_type(column->type));
    vx_thrift_list(t, 2, VX_THRIFT_I32, 2);
    vx_thrift_element_int(t, PLAIN);
    vx_thrift_element_int(t, RLE);
    vx_thrift_list(t, 3, VX_THRIFT_BINARY, list ? 3 : 1);
    vx_thrift_element_text(t, column->name);
    if (list) {
        vx_thrift_element_text(t, "list");
        vx_thrift_element_text(t, "element");
    }
    vx_thrift_int(t, 4, VX_THRIFT_I32, 0); /* UNCOMPRESSED */
    vx_thrift_int(t, 5, VX_THRIFT_I64, chunk->n_values);
    vx_thrift_int(t, 6, VX_THRIFT_I64, chunk->bytes);
    vx_thrift_int(t, 7, VX_THRIFT_I64, chunk->bytes);
    vx_thrift_int(t, 9, VX_THRIFT_I64, chunk->offset);
    vx_thrift_close(t);
    vx_thrift_close(t);
}

static void row_group(vx_thrift *t, const vx_parquet_column *columns, size_t n_columns,
                      const vx_row_group *group) {
    int64_t bytes = 0;
    vx_thrift_open(t, 0);
    vx_thrift_list(t, 1, VX_THRIFT_STRUCT, n_columns);
    for (size_t i = 0; i < n_columns; i++) {
        column_chunk(t, &columns[i], &group->columns[i]);
        bytes += group->columns[i].bytes;
    }
    vx_thrift_int(t, 2, VX_THRIFT_I64, bytes);
    vx_thrift_int(t, 3, VX_THRIFT_I64, group->n_rows);
    vx_thrift_int(t, 5, VX_THRIFT_I64, group->columns[0].offset);
    vx_thrift_int(t, 6, VX_THRIFT_I64, bytes);
    vx_thrift_close(t);
}

void vx_parquet_footer(vx_buffer *out, const vx_parquet_column *columns, size_t n_columns,
                       const vx_row_group *groups, size_t n_groups) {
    size_t start = out->n;
    int64_t n_rows = 0;
    for (size_t i = 0; i < n_groups; i++)
        n_rows += groups[i].n_rows;
    vx_thrift t = {.out = out};
    vx_thrift_int(&t, 1, VX_THRIFT_I32, 1); /* format version */
    schema(&t, columns, n_columns);
    vx_thrift_int(&t, 3, VX_THRIFT_I64, n_rows);
    vx_thrift_list(&t, 4, VX_THRIFT_STRUCT, n_groups);
    for (size_t i = 0; i < n_groups; i++)
        row_group(&t, columns, n_columns, &groups[i]);
    vx_thrift_text(&t, 6, "vidx version " VX_VERSION " (build 0)");
    vx_thrift_close(&t);
    uint32_t bytes = (uint32_t)(out->n - start); /* little-endian, as the values are */
    vx_buffer_append(out, &bytes, sizeof bytes);
    vx_buffer_append(out, "PAR1", 4);
}
