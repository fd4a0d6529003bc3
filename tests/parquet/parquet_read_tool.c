/* The Parquet reader for the Python tests: one process reads many files.
 *
 *   parquet_read_tool FILE…    for each a line {"rows": [[embedding, text, real], …], "error": text or null, "code"},
 *                              then one with the most memory that the process had, in KiB
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "parquet/read.h"

static const vx_parquet_wanted wanted[] = {{"embedding", VX_PARQUET_WANT_FLOATS},
                                           {"text", VX_PARQUET_WANT_TEXT},
                                           {"real", VX_PARQUET_WANT_REAL}};

static json_t *number(double value) {
    return isfinite(value) ? json_real(value)
                           : json_string(isnan(value) ? "nan"
                                         : value < 0  ? "-inf"
                                                      : "inf");
}

static json_t *cell(size_t column, const vx_parquet_value *value) {
    if (value->is_null)
        return json_null();
    if (wanted[column].type == VX_PARQUET_WANT_TEXT)
        return json_stringn(value->text, value->n);
    if (wanted[column].type == VX_PARQUET_WANT_REAL)
        return number(value->real);
    json_t *list = json_array();
    for (size_t i = 0; i < value->n; i++)
        json_array_append_new(list, number((double)value->floats[i]));
    return list;
}

static void read_file(const char *path) {
    VX_AUTO(vx_parquet_reader) reader = NULL;
    vx_parquet_value values[VX_LEN(wanted)];
    vx_err err = {0};
    json_t *rows = json_array();
    int rc = vx_parquet_open(path, wanted, VX_LEN(wanted), &reader, &err);
    while (!rc && (rc = vx_parquet_next(reader, values, &err)) == 1) {
        json_t *row = json_array();
        for (size_t i = 0; i < VX_LEN(wanted); i++)
            json_array_append_new(row, cell(i, &values[i]));
        json_array_append_new(rows, row);
        rc = 0;
    }
    json_t *line =
        json_pack("{s:o, s:s?, s:i}", "rows", rows, "error", rc ? err.msg : NULL, "code", rc);
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(line);
}

int main(int argc, char **argv) {
    char line[256];
    long kib = 0;
    for (int i = 1; i < argc; i++)
        read_file(argv[i]);
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        sscanf(line, "VmHWM: %ld", &kib);
    printf("%ld\n", kib);
    return status ? fclose(status) : 1;
}
