/* export.c — vidx export: the vectors of a model as a file, beside a server or without one. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/whole_file.h"
#include "cli.h"
#include "export/export.h"
#include "options.h"
#include "spaces.h"

typedef struct settings {
    const char *data, *format, *output, *model, *clustering, *filter;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR", "the data folder of vidx serve"},
    {"format", VX_OPTION_TEXT, AT(format), "jsonl", "NAME", "faiss, npy, jsonl, parquet or labels"},
    {"output", VX_OPTION_TEXT, AT(output), "-", "FILE",
     "where to write it; - is the standard output"},
    {"model", VX_OPTION_TEXT, AT(model), NULL, "NAME",
     "whose vectors (default: the only model that has some)"},
    {"clustering", VX_OPTION_TEXT, AT(clustering), NULL, "ID",
     "jsonl and parquet: also the cluster of each clip in this clustering; labels: int32 [rows], "
     "the "
     "cluster of each row of npy, -1 in none"},
    {"filter", VX_OPTION_TEXT, AT(filter), NULL, "JSON",
     "only what passes, for example '{\"metadata.camera\": \"front\"}'; see Filters in "
     "openapi.yaml"},
};

static int read_format(const char *name, vx_export_format *ret_format, vx_err *err) {
    static const char *const names[] = {"faiss", "npy", "jsonl", "parquet", "labels"};
    for (size_t i = 0; i < VX_LEN(names); i++)
        if (!strcmp(name, names[i])) {
            *ret_format = (vx_export_format)i;
            return 0;
        }
    return VX_FAIL(err, VX_OPTION_WRONG,
                   "--format must be faiss, npy, jsonl, parquet or labels, not '%s'", name);
}

static int read_filter(const char *text, vx_filter **ret_filter, vx_err *err) {
    json_error_t where;
    char pointer[VX_FILTER_POINTER_BYTES];
    if (!text)
        return 0;
    json_t *json = json_loads(text, 0, &where);
    if (!json)
        return VX_FAIL(err, VX_OPTION_WRONG, "--filter is no JSON: %s", where.text);
    int rc = vx_filter_parse(json, NULL, ret_filter, pointer, err);
    json_decref(json);
    if (rc == VX_FILTER_BAD) {
        VX_WRAP(err, "--filter at '%s'", pointer);
        rc = VX_OPTION_WRONG;
    }
    return rc;
}

static int write_pieces(vx_export *export, FILE *file, vx_err *err) {
    const void *bytes;
    size_t n = 1;
    while (n) {
        int rc = vx_export_next(export, &bytes, &n, err);
        if (rc)
            return rc;
        if (n && fwrite(bytes, n, 1, file) != 1)
            return VX_FAIL_ERRNO(err, "writing the export");
    }
    return fflush(file) ? VX_FAIL_ERRNO(err, "writing the export") : 0;
}

static int write_file(vx_export *export, const char *path, vx_err *err) {
    vx_whole_file file;
    int rc = vx_whole_file_open(&file, path, err);
    return rc ? rc : vx_whole_file_end(&file, write_pieces(export, file.stream, err), err);
}

static int run(const settings *s, vx_err *err) {
    VX_AUTO(vx_filter) filter = NULL;
    VX_AUTO(vx_catalog) catalog = NULL;
    VX_AUTO(vx_export) export = NULL;
    vx_export_format format = VX_EXPORT_JSONL;
    vx_vector_space space = {0};
    char path[PATH_MAX];
    int rc = read_format(s->format, &format, err);
    const char *refused = rc ? NULL : vx_export_refuses(format, s->clustering);
    if (refused)
        rc = VX_FAIL(err, VX_OPTION_WRONG, "--format %s", refused);
    if (!rc)
        rc = read_filter(s->filter, &filter, err);
    if (!rc)
        rc = vx_spaces_catalog(s->data, path, err);
    if (!rc)
        rc = vx_catalog_open_to_read(path, &catalog, err);
    if (!rc)
        rc = vx_spaces_find(catalog, s->model, &space, err);
    const vx_export_params params = {.catalog = catalog,
                                     .model = space.model,
                                     .space = space.row,
                                     .dim = space.dim,
                                     .format = format,
                                     .clustering = s->clustering,
                                     .filter = filter};
    if (!rc)
        rc = vx_export_open(&params, &export, err);
    if (!rc)
        rc = strcmp(s->output, "-") ? write_file(export, s->output, err)
                                    : write_pieces(export, stdout, err);
    if (!rc)
        fprintf(stderr, "%lld vectors of %s\n", (long long)vx_export_rows(export), space.model);
    return rc;
}

int vx_command_export(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    int rc = vx_options_parse("usage: vidx export [options]\n\nWrites the vectors of a model, with "
                              "what they are of, as one "
                              "file. All of it is of one\nmoment; a server may go on meanwhile. "
                              "Exit status: 0 done, 1 failed, "
                              "2 wrong usage.",
                              table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc)
        rc = run(&s, &err);
    if (rc)
        fprintf(stderr, "vidx export: %s\n", err.msg);
    return rc == VX_OPTION_WRONG ? 2 : rc ? 1 : 0;
}
