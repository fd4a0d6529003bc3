/* read.h — reads Apache Parquet: some columns of a file, row by row, in bounded memory.
 *
 * In       a regular file. Of the columns that are asked for: flat ones, and lists of float or double in the
 *          two- and three-level forms. Data pages of both versions; PLAIN, dictionary and BYTE_STREAM_SPLIT
 *          values; no compression, Snappy, gzip or Zstandard. Other columns may be of any kind: they are skipped
 * Out      vx_parquet_value as the writer takes it; of text, n is its length in bytes. A null inside a list is
 *          NaN
 * Errs     VX_PARQUET_BAD (> 0): the file is damaged, contradicts itself, is larger than the limits below or uses
 *          what is not read here; err says what and, behind the footer, in which row. -EIO, -ENOMEM
 * Limits   nothing is allocated because a header says so: every size is checked against the file's, a page unpacks
 *          to at most 64 MiB, those open at once to 256 MiB, all of a file to 64 times its size and 256 MiB;
 *          a text has at most 4 MiB, a list 65536 numbers, a footer 64 MiB and 100,000
 *          row groups
 * Threads  external lock
 *
 * Own code: Debian 12 has no libparquet or parquet-glib, and Arrow's own packages are C++ libraries of 60 MB
 * from a registry of their own, for a subset that is a few hundred lines here. What unpacks pages are the
 * libraries of the formats. Source: github.com/apache/parquet-format (parquet.thrift, Encodings.md).
 */
#pragma once

#include "parquet.h"

#define VX_PARQUET_BAD VX_CODES_PARQUET

typedef enum vx_parquet_wanted_type {
    VX_PARQUET_WANT_TEXT,   /* BYTE_ARRAY */
    VX_PARQUET_WANT_REAL,   /* FLOAT, DOUBLE, INT32, INT64 */
    VX_PARQUET_WANT_FLOATS, /* a list of FLOAT or DOUBLE; doubles are narrowed */
} vx_parquet_wanted_type;

typedef struct vx_parquet_wanted {
    const char *name;
    vx_parquet_wanted_type type;
} vx_parquet_wanted;

#define VX_PARQUET_WANTED_MAX 16

typedef struct vx_parquet_reader vx_parquet_reader;
/* Reads the footer. A wanted column that is not there is null in every row. Borrows wanted until return. */
int vx_parquet_open(const char *path, const vx_parquet_wanted *wanted, size_t n_wanted,
                    vx_parquet_reader **ret_reader, vx_err *err);
vx_parquet_reader *vx_parquet_close(vx_parquet_reader *reader);
VX_DEFINE_AUTO(vx_parquet_reader, vx_parquet_close)

int64_t vx_parquet_rows(const vx_parquet_reader *reader);
bool vx_parquet_has(const vx_parquet_reader *reader, size_t column);
/* The next row: values [n_wanted], borrowed until the next call. 1, 0: no more, VX_PARQUET_BAD, < 0. */
int vx_parquet_next(vx_parquet_reader *reader, vx_parquet_value *values, vx_err *err);
