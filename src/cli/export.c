/* export.c — vidx export: the vectors of a model as a file, or as files for Pinecone, beside a server or without one. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/whole_file.h"
#include "cli.h"
#include "export/export.h"
#include "options.h"
#include "spaces.h"

typedef struct settings {
    const char *data, *format, *output, *model, *clustering, *filter, *space;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR", "the data folder of vidx serve"},
    {"format", VX_OPTION_TEXT, AT(format), "jsonl", "NAME",
     "faiss, npy, jsonl, parquet, labels or pinecone"},
    {"output", VX_OPTION_TEXT, AT(output), "-", "FILE",
     "where to write it; - is the standard output. pinecone: a folder, in which the folder of the "
     "namespace must not exist yet"},
    {"namespace", VX_OPTION_TEXT, AT(space), "__default__", "NAME",
     "pinecone: the namespace, which names the folder of the files"},
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
    static const char *const names[] = {"faiss", "npy", "jsonl", "parquet", "labels", "pinecone"};
    for (size_t i = 0; i < VX_LEN(names); i++)
        if (!strcmp(name, names[i])) {
            *ret_format = (vx_export_format)i;
            return 0;
        }
    return VX_FAIL(err, VX_OPTION_WRONG,
                   "--format must be faiss, npy, jsonl, parquet, labels or pinecone, not '%s'",
                   name);
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

static int write_file(vx_export *export, const char *path, vx_err *err) {
    vx_whole_file file;
    int rc = vx_whole_file_open(&file, path, err);
    return rc ? rc : vx_whole_file_end(&file, vx_export_write(export, file.stream, err), err);
}

/* ---- Pinecone: DIR/NAMESPACE/0.parquet, 1.parquet, … ---- */

#define PINECONE_ROWS                                                                              \
    500000 /* of a file: with 1,280 numbers a row some 3 of the 10 GB that it takes */

typedef struct pinecone_files {
    char folder[PATH_MAX];
    int n;
    int64_t rows;
} pinecone_files;

/* The videos of the range, in one file or, if they are too many, in those of its halves. */
static int write_range(const vx_export_params *range, pinecone_files *files, vx_err *err) {
    VX_AUTO(vx_export) export = NULL;
    char path[PATH_MAX + 32];
    int rc = vx_export_open(range, &export, err);
    int64_t rows = rc ? 0 : vx_export_rows(export);
    if (rc || !rows)
        return rc;
    if (rows > PINECONE_ROWS && range->first_video < range->last_video) {
        vx_export_params half = *range;
        export = vx_export_free(export); /* its snapshot is for one at a time */
        half.last_video = range->first_video + (range->last_video - range->first_video) / 2;
        rc = write_range(&half, files, err);
        half.first_video = half.last_video + 1;
        half.last_video = range->last_video;
        return rc ? rc : write_range(&half, files, err);
    }
    snprintf(path, sizeof path, "%s/%d.parquet", files->folder, files->n++);
    files->rows += rows;
    return write_file(export, path, err);
}

static bool is_namespace(const char *name) {
    return *name && *name != '.' && strlen(name) <= 200 && !strchr(name, '/');
}

/* In NAMESPACE.partial, which gets its name once all is written. */
static int write_pinecone(const settings *s, vx_export_params *params, int64_t *ret_rows,
                          vx_err *err) {
    VX_AUTO(vx_snapshot) snapshot = NULL;
    pinecone_files files = {.n = 0};
    char place[PATH_MAX];
    if (!is_namespace(s->space))
        return VX_FAIL(err, VX_OPTION_WRONG,
                       "--namespace must be a name without / and no dot first");
    if (snprintf(place, sizeof place, "%s/%s", s->output, s->space) >= (int)sizeof place ||
        snprintf(files.folder, sizeof files.folder, "%s.partial", place) >=
            (int)sizeof files.folder)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", s->output);
    if (!access(place, F_OK))
        return VX_FAIL(err, -EEXIST, "%s exists: remove it, or name another folder", place);
    if ((mkdir(s->output, 0777) && errno != EEXIST) || mkdir(files.folder, 0777))
        return VX_FAIL_ERRNO(err, "making the folder %s", files.folder);
    int rc = vx_catalog_open_snapshot(params->catalog, &snapshot, err);
    params->snapshot = snapshot;
    params->first_video = 1;
    if (!rc)
        rc = vx_snapshot_last_video(snapshot, &params->last_video, err);
    if (!rc && params->last_video)
        rc = write_range(params, &files, err);
    if (!rc && rename(files.folder, place))
        rc = VX_FAIL_ERRNO(err, "naming the folder %s", place);
    *ret_rows = files.rows;
    return rc ? rc : vx_sync_folder(s->output, err);
}

/* ---- the command ---- */

static int write_one(const settings *s, const vx_export_params *params, int64_t *ret_rows,
                     vx_err *err) {
    VX_AUTO(vx_export) export = NULL;
    int rc = vx_export_open(params, &export, err);
    if (rc)
        return rc;
    *ret_rows = vx_export_rows(export);
    return strcmp(s->output, "-") ? write_file(export, s->output, err)
                                  : vx_export_write(export, stdout, err);
}

static int run(const settings *s, vx_err *err) {
    VX_AUTO(vx_filter) filter = NULL;
    VX_AUTO(vx_catalog) catalog = NULL;
    vx_export_format format = VX_EXPORT_JSONL;
    vx_vector_space space = {0};
    char path[PATH_MAX];
    int64_t rows = 0;
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
    vx_export_params params = {.catalog = catalog,
                               .model = space.model,
                               .space = space.row,
                               .dim = space.dim,
                               .format = format,
                               .clustering = s->clustering,
                               .filter = filter};
    bool is_folder = format == VX_EXPORT_PINECONE && strcmp(s->output, "-") != 0;
    if (!rc)
        rc = is_folder ? write_pinecone(s, &params, &rows, err) : write_one(s, &params, &rows, err);
    if (!rc)
        fprintf(stderr, "%lld vectors of %s\n", (long long)rows, space.model);
    return rc;
}

int vx_command_export(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    int rc = vx_options_parse(
        "usage: vidx export [options]\n\nWrites a model's vectors and the clips they belong to "
        "into one "
        "file (for Pinecone: a folder\nof files). The export is a snapshot; a server may keep "
        "running.\nExit status: 0 done, 1 failed, 2 wrong usage.",
        table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc)
        rc = run(&s, &err);
    if (rc)
        fprintf(stderr, "vidx export: %s\n", err.msg);
    return rc == VX_OPTION_WRONG ? 2 : rc ? 1 : 0;
}
