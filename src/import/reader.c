/* reader.c — a vector and a line for each row. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "rows.h"

#define MAX_LINE_BYTES ((size_t)4 << 20)
#define UNIT_TOLERANCE 1e-3

void vx_import_reader_close(vx_import_reader *reader) {
    vx_vector_file_close(&reader->vectors);
    if (reader->lines)
        fclose(reader->lines);
    vx_parquet_close(reader->parquet);
    EVP_MD_CTX_free(reader->digest);
    json_decref(reader->row.facts);
    free(reader->row.vector);
    free(reader->line);
    *reader = (vx_import_reader){0};
}

int vx_import_reader_open(vx_import_reader *reader, const vx_import_params *params, vx_err *err) {
    const char *name = params->name ? params->name : params->vectors_path;
    vx_import_kind kind = VX_IMPORT_ARRAY;
    reader->params = params;
    reader->row.id = -1;
    reader->row.vector = vx_new_array((size_t)params->dim, sizeof(float));
    reader->digest = EVP_MD_CTX_new();
    if (!reader->row.vector || !reader->digest ||
        !EVP_DigestInit_ex2(reader->digest, EVP_sha256(), NULL))
        return VX_FAIL(err, -ENOMEM, "no memory for a row");
    int rc = vx_vector_file_open(params->vectors_path, &reader->vectors, &kind, err);
    if (!rc && kind == VX_IMPORT_PARQUET)
        rc = vx_import_open_parquet(reader, err);
    if (rc)
        return VX_WRAP(err, "%.200s", name), rc;
    if (kind == VX_IMPORT_ARRAY && reader->vectors.dim != params->dim)
        return VX_FAIL(err, VX_IMPORT_BAD, "%.200s has vectors of %d numbers, and the model has %d",
                       name, reader->vectors.dim, params->dim);
    if (kind != VX_IMPORT_ARRAY && params->rows_path)
        return VX_FAIL(err, VX_IMPORT_BAD,
                       "%.200s is no file of FAISS or NumPy, and says itself what its vectors are "
                       "of: leave out the second file",
                       name);
    const char *path = kind == VX_IMPORT_LINES ? params->vectors_path : params->rows_path;
    if (path && !(reader->lines = fopen(path, "re")))
        return VX_FAIL_ERRNO(err, "opening %s", path);
    return 0;
}

/* The next line, without its end. Of a longer one MAX_LINE_BYTES are kept, and *ret_n tells how long it is.
 * 1, 0: no more, or < 0. */
static int read_bytes(vx_import_reader *reader, size_t *ret_n, vx_err *err) {
    size_t n = 0;
    int c;
    while ((c = getc_unlocked(reader->lines)) != EOF && c != '\n') {
        if (n < MAX_LINE_BYTES) {
            if (!vx_make_room(reader->line, n, reader->line_capacity))
                return VX_FAIL(err, -ENOMEM, "no memory for a line");
            reader->line[n] = (char)c;
        }
        n++;
    }
    *ret_n = n;
    if (ferror(reader->lines))
        return VX_FAIL_ERRNO(err, "reading the lines");
    return c != EOF || n;
}

/* 1, 0: no more, VX_IMPORT_ROW_BAD, or < 0. */
static int read_line(vx_import_reader *reader, vx_err *err) {
    size_t n = 0;
    int rc = read_bytes(reader, &n, err);
    if (rc != 1)
        return rc;
    json_error_t where;
    json_decref(reader->row.facts);
    reader->row.facts = NULL;
    if (n > MAX_LINE_BYTES)
        return VX_FAIL(err, VX_IMPORT_ROW_BAD, "the line has more than %zu bytes", MAX_LINE_BYTES);
    reader->row.facts = json_loadb(n ? reader->line : "", n, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(reader->row.facts))
        return VX_FAIL(err, VX_IMPORT_ROW_BAD, "the line is no JSON object%s%s",
                       reader->row.facts ? "" : ": ", reader->row.facts ? "" : where.text);
    return 1;
}

static int take_embedding(vx_import_reader *reader, vx_err *err) {
    const json_t *list = json_object_get(reader->row.facts, "embedding");
    size_t dim = (size_t)reader->params->dim;
    if (json_array_size(list) != dim)
        return VX_FAIL(err, VX_IMPORT_ROW_BAD,
                       "embedding must be an array of %zu numbers, as the model has", dim);
    for (size_t i = 0; i < dim; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_number(number))
            return VX_FAIL(err, VX_IMPORT_ROW_BAD, "embedding[%zu] is no number", i);
        reader->row.vector[i] = (float)json_number_value(number);
    }
    return 1;
}

/* Finite and of unit length, or made so. */
static int check_vector(const vx_import_reader *reader, vx_err *err) {
    float *vector = reader->row.vector;
    double square = 0;
    for (int i = 0; i < reader->params->dim; i++) {
        if (!isfinite(vector[i]))
            return VX_FAIL(err, VX_IMPORT_ROW_BAD, "number %d of the vector is not finite", i);
        square += (double)vector[i] * vector[i];
    }
    double length = sqrt(square);
    if (!isfinite(length) || length < 1e-12)
        return VX_FAIL(err, VX_IMPORT_ROW_BAD, "the vector has the length %g", length);
    if (fabs(length - 1) <= UNIT_TOLERANCE)
        return 1;
    if (!reader->params->normalize)
        return VX_FAIL(err, VX_IMPORT_ROW_BAD, "the vector has the length %g, not 1", length);
    for (int i = 0; i < reader->params->dim; i++)
        vector[i] = (float)(vector[i] / length);
    return 1;
}

/* The vector of the next row, unless it is in the line. 1, 0 or < 0. */
static int read_vector(vx_import_reader *reader, vx_err *err) {
    vx_vector_file *v = &reader->vectors;
    if (reader->row.number > v->n)
        return 0;
    if (fread(reader->row.vector, sizeof(float), (size_t)v->dim, v->file) != (size_t)v->dim ||
        (v->ids_file && fread(&reader->row.id, sizeof reader->row.id, 1, v->ids_file) != 1))
        return VX_FAIL(err, -EIO, "reading vector %" PRId64 ": the file has become shorter",
                       reader->row.number);
    return 1;
}

int vx_import_reader_next(vx_import_reader *reader, vx_err *err) {
    reader->row.number++;
    if (reader->parquet) {
        int rc = vx_import_next_parquet(reader, err);
        return rc == 1 ? check_vector(reader, err) : rc;
    }
    int has_vector = reader->vectors.file ? read_vector(reader, err) : 1;
    if (has_vector < 0)
        return has_vector;
    int has_line = reader->lines ? read_line(reader, err) : has_vector;
    if (has_line < 0 || (!has_line && (!has_vector || !reader->vectors.file)))
        return has_line;
    if (!has_vector || !has_line)
        return VX_FAIL(err, VX_IMPORT_BAD, "there are %s lines than vectors",
                       has_line ? "more" : "fewer");
    if (has_line == VX_IMPORT_ROW_BAD)
        return has_line;
    int rc = reader->vectors.file ? 1 : take_embedding(reader, err);
    return rc == 1 ? check_vector(reader, err) : rc;
}

int64_t vx_import_reader_rows(const vx_import_reader *reader) {
    return reader->parquet        ? vx_parquet_rows(reader->parquet)
           : reader->vectors.file ? reader->vectors.n
                                  : 0;
}
