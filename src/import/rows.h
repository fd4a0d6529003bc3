/* rows.h — the rows of the files of an import, one after the other (private to src/import). */
#pragma once

#include <openssl/evp.h>
#include <stdio.h>

#include "base/mem.h"
#include "import.h"
#include "parquet/read.h"

/* Vectors behind each other in a file, and perhaps ids. */
typedef struct vx_vector_file {
    FILE *file;     /* stands at the next vector; NULL: the vectors are in the lines */
    FILE *ids_file; /* stands at the next id; NULL: none */
    int64_t n;
    int dim;
} vx_vector_file;

/* What a file is, by its first bytes: FAISS or NumPy, Parquet, or else JSON lines. */
typedef enum vx_import_kind { VX_IMPORT_ARRAY, VX_IMPORT_PARQUET, VX_IMPORT_LINES } vx_import_kind;

/* Recognises the file and, of an array, checks its header against its size; of another kind *ret_file stays
 * empty. VX_IMPORT_BAD; -errno. */
int vx_vector_file_open(const char *path, vx_vector_file *ret_file, vx_import_kind *ret_kind,
                        vx_err *err);
void vx_vector_file_close(vx_vector_file *file);

typedef struct vx_import_row {
    int64_t number; /* from 1 on */
    float *vector;  /* [dim] of the reader */
    json_t *facts;  /* an object; borrowed until the next row */
    int64_t id;     /* of FAISS; -1 = none */
} vx_import_row;

typedef struct vx_import_reader {
    const vx_import_params *params;
    vx_vector_file vectors;
    FILE *lines;                /* NULL: there are none */
    vx_parquet_reader *parquet; /* NULL: it is none */
    char *line;
    size_t line_capacity;
    /* SHA-256, to be begun again: finding it in libcrypto takes longer than a row. */
    EVP_MD_CTX *digest;
    vx_import_row row;
} vx_import_reader;

/* *reader is zeroed. */
int vx_import_reader_open(vx_import_reader *reader, const vx_import_params *params, vx_err *err);
void vx_import_reader_close(vx_import_reader *reader);
/* 1: reader->row is the next one; 0: no more. VX_IMPORT_ROW_BAD: the row cannot be used, err says why, and the
 * next call goes on behind it. < 0 */
#define VX_IMPORT_ROW_BAD (VX_CODES_IMPORT + 2)
int vx_import_reader_next(vx_import_reader *reader, vx_err *err);
/* How many there are; 0: that is known at their end. */
int64_t vx_import_reader_rows(const vx_import_reader *reader);

/* ---- parquet_source.c ---- */

/* Opens it, and looks whether it has vectors. VX_IMPORT_BAD; -errno. */
int vx_import_open_parquet(vx_import_reader *reader, vx_err *err);
/* The vector, not checked yet, and facts of the next row. As vx_import_reader_next; VX_IMPORT_BAD: the file is
 * damaged from there on. */
int vx_import_next_parquet(vx_import_reader *reader, vx_err *err);
