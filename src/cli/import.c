/* import.c — vidx import: vectors that were computed elsewhere, into a data folder that no server uses. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "cli.h"
#include "import/import.h"
#include "options.h"
#include "spaces.h"

typedef struct settings {
    const char *data, *input, *rows, *model, *source;
    bool normalize;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR", "the data folder of vidx serve"},
    {"input", VX_OPTION_TEXT, AT(input), NULL, "FILE",
     "FAISS (IndexFlatIP), NumPy (float32), Parquet or JSON lines with embedding"},
    {"rows", VX_OPTION_TEXT, AT(rows), NULL, "FILE",
     "JSON lines that tell what each vector of FAISS or NumPy is of"},
    {"model", VX_OPTION_TEXT, AT(model), NULL, "NAME",
     "that computed them; a server must have run with it on this folder"},
    {"source", VX_OPTION_TEXT, AT(source), NULL, "NAME",
     "part of the ids of videos without a SHA-256 (default: the name of the input)"},
    {"normalize", VX_OPTION_FLAG, AT(normalize), NULL, NULL,
     "bring vectors to length 1 instead of refusing other lengths"},
};

static void print_report(const vx_import_report *r, double seconds) {
    printf(
        "%lld rows in %.1f s: %lld videos are new, %lld were stored already; %lld vectors stored\n",
        (long long)r->rows, seconds, (long long)r->stored, (long long)r->existing,
        (long long)r->vectors);
    if (r->unlike)
        printf("%lld stored videos got no vectors: their clips begin or end elsewhere than the "
               "rows say\n",
               (long long)r->unlike);
}

static void print_refusals(const vx_import_report *r) {
    for (int64_t i = 0; i < r->refused && i < VX_IMPORT_REFUSALS; i++)
        fprintf(stderr, "row %lld: %s\n", (long long)r->refusals[i].row, r->refusals[i].why);
    if (r->refused > VX_IMPORT_REFUSALS)
        fprintf(stderr, "and %lld more rows\n", (long long)(r->refused - VX_IMPORT_REFUSALS));
}

static int run(const settings *s, vx_err *err) {
    VX_AUTO(vx_catalog) catalog = NULL;
    vx_vector_space space = {0};
    vx_import_report report = {0};
    char path[PATH_MAX];
    if (!s->input || !s->model)
        return VX_FAIL(err, VX_OPTION_WRONG, "--input and --model are needed");
    int rc = vx_spaces_catalog(s->data, path, err);
    if (!rc)
        rc = vx_catalog_open(path, 0, &catalog, err);
    if (!rc)
        rc = vx_spaces_find(catalog, s->model, &space, err);
    if (rc)
        return rc;
    const char *name = strrchr(s->input, '/') ? strrchr(s->input, '/') + 1 : s->input;
    const vx_import_params params = {.catalog = catalog,
                                     .vectors_path = s->input,
                                     .rows_path = s->rows,
                                     .source = s->source ? s->source : name,
                                     .space = space.row,
                                     .dim = space.dim,
                                     .normalize = s->normalize};
    int64_t start_us = vx_clock_monotonic_us();
    rc = vx_import_run(&params, &report, err);
    if (rc)
        print_refusals(&report);
    else
        print_report(&report, (double)(vx_clock_monotonic_us() - start_us) / 1e6);
    vx_import_report_done(&report);
    return rc;
}

int vx_command_import(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    int rc = vx_options_parse("usage: vidx import --input FILE --model NAME [options]\n\nStores "
                              "vectors that were computed "
                              "elsewhere, as videos without a file: searches find them.\nStop the "
                              "server first. Files with a bad "
                              "row are refused whole. After an interruption the\nsame command goes "
                              "on. Exit status: 0 done, 1 "
                              "failed or refused, 2 wrong usage.",
                              table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc)
        rc = run(&s, &err);
    if (rc)
        fprintf(stderr, "vidx import: %s\n", err.msg);
    return rc == VX_OPTION_WRONG ? 2 : rc ? 1 : 0;
}
