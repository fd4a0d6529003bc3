/* rows.h — the rows of the files of an import, one after the other (private to src/import). */
#pragma once

#include <stdio.h>

#include "base/mem.h"
#include "import.h"

/* Vectors behind each other in a file, and perhaps ids. */
typedef struct vx_vector_file {
    FILE *file;     /* stands at the next vector; NULL: the vectors are in the lines */
    FILE *ids_file; /* stands at the next id; NULL: none */
    int64_t n;
    int dim;
} vx_vector_file;

/* Recognises the file and checks its header against its size. VX_IMPORT_BAD; -errno. *ret_is_lines: it is
 * neither FAISS nor NumPy, so JSON lines. */
int vx_vector_file_open(const char *path, vx_vector_file *ret_file, bool *ret_is_lines,
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
    FILE *lines; /* NULL: there are none */
    char *line;
    size_t line_capacity;
    vx_import_row row;
} vx_import_reader;

/* *reader is zeroed. */
int vx_import_reader_open(vx_import_reader *reader, const vx_import_params *params, vx_err *err);
void vx_import_reader_close(vx_import_reader *reader);
/* 1: reader->row is the next one; 0: no more. VX_IMPORT_ROW_BAD: the row cannot be used, err says why, and the
 * next call goes on behind it. < 0 */
#define VX_IMPORT_ROW_BAD (VX_CODES_IMPORT + 1)
int vx_import_reader_next(vx_import_reader *reader, vx_err *err);
