/* parquet.h — writes Apache Parquet: rows in, one file out through a sink, in constant memory.
 *
 * In       rows of the columns named at the start; floats are IEEE 754, text is UTF-8
 * Out      format version 1, PLAIN values, no compression, no dictionary, no statistics. Every
 *          column is optional (nullable), lists have the three-level form: what pandas and pyarrow
 *          write and every reader knows. A row group is closed at 16 MiB of values.
 * Errs     -ENOMEM, -EINVAL (a value for a column of another type; a text of 1 GiB), and what the
 *          sink returns. After any failure the writer only takes vx_parquet_free.
 * Threads  external lock
 * Cost     a copy of each value; memory 16 MiB plus one row
 *
 * Own code, as no library fits: Debian 12 packages none, pyarrow's and DuckDB's are C++ libraries
 * of 100 MB and more at run time for what are a few hundred lines here. read.h reads.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef enum vx_parquet_type {
    VX_PARQUET_UTF8,
    VX_PARQUET_INT64,
    VX_PARQUET_FLOAT,
    VX_PARQUET_DOUBLE,
    VX_PARQUET_LIST_FLOAT,  /* list<float> */
    VX_PARQUET_LIST_DOUBLE, /* list<double>; the floats given are widened */
} vx_parquet_type;

typedef struct vx_parquet_column {
    const char *name; /* borrowed until vx_parquet_free */
    vx_parquet_type type;
} vx_parquet_column;

/* One cell; which field counts is the column's type's business. */
typedef struct vx_parquet_value {
    bool is_null;
    const char *text;    /* UTF8; NULL is null too */
    int64_t integer;     /* INT64 */
    double real;         /* FLOAT, DOUBLE */
    const float *floats; /* LIST_*: [n] */
    size_t n;
} vx_parquet_value;

/* Takes the next bytes of the file, in order; non-zero ends the writing and is returned. */
typedef int (*vx_parquet_sink)(void *ctx, const void *bytes, size_t n, vx_err *err);

typedef struct vx_parquet vx_parquet;

/* columns: borrowed, names too, until free; 1..64 of them. The sink is first called by a write. */
int vx_parquet_new(const vx_parquet_column *columns, size_t n_columns, vx_parquet_sink sink,
                   void *ctx, vx_parquet **ret_writer, vx_err *err);
vx_parquet *vx_parquet_free(vx_parquet *writer);
VX_DEFINE_AUTO(vx_parquet, vx_parquet_free)

/* values: [n_columns], borrowed until return. */
int vx_parquet_write(vx_parquet *writer, const vx_parquet_value *values, vx_err *err);
/* Writes what is left and the footer; without it the file is none. Once. */
int vx_parquet_finish(vx_parquet *writer, vx_err *err);
