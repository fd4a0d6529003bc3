/* The Parquet writer for the Python tests.
 *
 *   parquet_tool FILE < LINES    the first line: [[name, type], ...]; each further one a row: an
 *                                array of null, text, number, or array of numbers. A number may be
 *                                text too ("nan", "inf").
 */
#include <jansson.h>
#include <string.h>

#include "parquet/parquet.h"

enum { MAX_COLUMNS = 64 };

static const char *const types[] = {"utf8",   "int64",      "float",
                                    "double", "list_float", "list_double"};

static void check(int rc, const vx_err *err) {
    if (!rc)
        return;
    fprintf(stderr, "%s\n", err->msg);
    exit(1);
}

static int to_file(void *ctx, const void *bytes, size_t n, vx_err *err) {
    return fwrite(bytes, 1, n, ctx) == n ? 0 : VX_FAIL(err, -5, "cannot write");
}

static double number(const json_t *json) {
    return json_is_string(json) ? strtod(json_string_value(json), NULL) : json_number_value(json);
}

/* floats: room for the elements, grown as needed and kept for the next row. */
static vx_parquet_value value_of(const json_t *json, float **floats) {
    vx_parquet_value value = {.is_null = json_is_null(json),
                              .text = json_string_value(json),
                              .integer = json_integer_value(json),
                              .real = number(json),
                              .n = json_array_size(json)};
    if (value.n && !(*floats = vx_regrow(*floats, value.n, sizeof(**floats))))
        exit(2);
    for (size_t i = 0; i < value.n; i++)
        (*floats)[i] = (float)number(json_array_get(json, i));
    value.floats = *floats;
    return value;
}

static size_t read_columns(json_t *json, vx_parquet_column *columns) {
    size_t n = json_array_size(json);
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(json_array_get(json, i), 1));
        columns[i].name = json_string_value(json_array_get(json_array_get(json, i), 0));
        while (strcmp(types[columns[i].type], type))
            columns[i].type++;
    }
    return n;
}

int main(int argc, char **argv) {
    vx_err err;
    vx_parquet *writer = NULL;
    vx_parquet_column columns[MAX_COLUMNS] = {0};
    vx_parquet_value values[MAX_COLUMNS];
    float *floats[MAX_COLUMNS] = {0};
    FILE *file = argc == 2 ? fopen(argv[1], "wb") : NULL;
    json_t *head = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL), *row;
    if (!file || !head)
        return 2;
    size_t n = read_columns(head, columns);
    check(vx_parquet_new(columns, n, to_file, file, &writer, &err), &err);
    while ((row = json_loadf(stdin, JSON_DISABLE_EOF_CHECK, NULL))) {
        for (size_t i = 0; i < n; i++)
            values[i] = value_of(json_array_get(row, i), &floats[i]);
        check(vx_parquet_write(writer, values, &err), &err);
        json_decref(row);
    }
    check(vx_parquet_finish(writer, &err), &err);
    vx_parquet_free(writer);
    for (size_t i = 0; i < n; i++)
        free(floats[i]);
    json_decref(head);
    return fclose(file);
}
