/* parquet_source.c — rows of a Parquet file: those of an export (export/parquet_rows.c), of NeMo Curator
 * (`id`, `embedding`: ce1_embd_parquet and iv2_embd_parquet), and of Pinecone's bulk import (`id`, `values`,
 * `metadata`). */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "rows.h"

enum {
    EMBEDDING,
    VALUES,
    FIRST_TEXT,
    METADATA = FIRST_TEXT,
    ID,
    VIDEO_ID,
    SHA256,
    FILENAME,
    FRAMES,
    FIRST_REAL
};
static const vx_parquet_wanted columns[] = {
    [EMBEDDING] = {"embedding", VX_PARQUET_WANT_FLOATS},
    [VALUES] = {"values", VX_PARQUET_WANT_FLOATS},
    [METADATA] = {"metadata", VX_PARQUET_WANT_TEXT},
    [ID] = {"id", VX_PARQUET_WANT_TEXT},
    [VIDEO_ID] = {"video_id", VX_PARQUET_WANT_TEXT},
    [SHA256] = {"sha256", VX_PARQUET_WANT_TEXT},
    [FILENAME] = {"filename", VX_PARQUET_WANT_TEXT},
    [FRAMES] = {"frames", VX_PARQUET_WANT_TEXT},
    [FIRST_REAL] = {"start_s", VX_PARQUET_WANT_REAL},
    {"end_s", VX_PARQUET_WANT_REAL},
    {"duration_s", VX_PARQUET_WANT_REAL},
};

/* A fault of the file is one of the import. */
static int outcome(int rc) {
    return rc == VX_PARQUET_BAD ? VX_IMPORT_BAD : rc;
}

int vx_import_open_parquet(vx_import_reader *reader, vx_err *err) {
    int rc = vx_parquet_open(reader->params->vectors_path, columns, VX_LEN(columns),
                             &reader->parquet, err);
    if (rc)
        return outcome(rc);
    if (!vx_parquet_has(reader->parquet, EMBEDDING) && !vx_parquet_has(reader->parquet, VALUES))
        return VX_FAIL(err, VX_IMPORT_BAD, "it has no column embedding, a list of float or double");
    return 0;
}

static int set_text(json_t *facts, size_t column, const vx_parquet_value *value, vx_err *err) {
    json_t *text = json_stringn(value->text, value->n);
    if (!text)
        return VX_FAIL(err, VX_IMPORT_ROW_BAD, "%s is not UTF-8 text", columns[column].name);
    return json_object_set_new_nocheck(facts, columns[column].name, text)
               ? VX_FAIL(err, -ENOMEM, "no memory for a row")
               : 0;
}

/* A JSON object in a text, as exports have it. */
static int set_metadata(json_t *facts, const vx_parquet_value *value, vx_err *err) {
    json_error_t where;
    if (value->is_null || !value->n)
        return 0;
    json_t *object = json_loadb(value->text, value->n, JSON_REJECT_DUPLICATES, &where);
    if (!object)
        return VX_FAIL(err, VX_IMPORT_ROW_BAD, "metadata is no JSON object: %.100s", where.text);
    return json_object_set_new_nocheck(facts, "metadata", object)
               ? VX_FAIL(err, -ENOMEM, "no memory for a row")
               : 0;
}

static int set_facts(vx_import_reader *reader, const vx_parquet_value *values, vx_err *err) {
    json_decref(reader->row.facts);
    json_t *facts = reader->row.facts = json_object();
    int rc = facts ? set_metadata(facts, &values[METADATA], err)
                   : VX_FAIL(err, -ENOMEM, "no memory for a row");
    for (size_t i = ID; i < FIRST_REAL && !rc; i++)
        if (!values[i].is_null)
            rc = set_text(facts, i, &values[i], err);
    for (size_t i = FIRST_REAL; i < VX_LEN(columns) && !rc; i++)
        if (!values[i].is_null &&
            json_object_set_new_nocheck(facts, columns[i].name, json_real(values[i].real)))
            rc = VX_FAIL(err, VX_IMPORT_ROW_BAD, "%s must be a number of seconds",
                         columns[i].name); /* JSON has no NaN */
    return rc;
}

int vx_import_next_parquet(vx_import_reader *reader, vx_err *err) {
    vx_parquet_value values[VX_LEN(columns)];
    size_t dim = (size_t)reader->params->dim;
    int rc = vx_parquet_next(reader->parquet, values, err);
    if (rc != 1)
        return outcome(rc);
    const vx_parquet_value *vector = &values[values[EMBEDDING].is_null ? VALUES : EMBEDDING];
    rc = set_facts(reader, values, err);
    if (rc)
        return rc;
    if (vector->is_null || vector->n != dim)
        return VX_FAIL(err, VX_IMPORT_ROW_BAD, "the vector has %zu numbers, and the model has %zu",
                       vector->is_null ? 0 : vector->n, dim);
    memcpy(reader->row.vector, vector->floats, dim * sizeof *vector->floats);
    return 1;
}
