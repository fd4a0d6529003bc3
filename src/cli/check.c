/* check.c — vidx check: verifies a data folder and, with --repair, mends what can be mended. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "check/check.h"
#include "cli.h"
#include "options.h"

typedef struct settings {
    const char *data;
    bool repair, json;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR", "the data folder of vidx serve"},
    {"repair", VX_OPTION_FLAG, AT(repair), NULL, NULL,
     "rebuild what is derived, remove what nothing refers to, drop damaged vectors"},
    {"json", VX_OPTION_FLAG, AT(json), NULL, NULL, "write one JSON object instead of text"},
};

static void print_problem(void *ctx, const vx_check_problem *problem) {
    (void)ctx;
    printf("%s: %s%s\n", problem->kind, problem->text, problem->repaired ? " [repaired]" : "");
}

static void add_problem(void *ctx, const vx_check_problem *problem) {
    json_array_append_new(ctx, json_pack("{s:s, s:s, s:b}", "kind", problem->kind, "detail",
                                         problem->text, "repaired", (int)problem->repaired));
}

static void print_report(const vx_check_report *r) {
    printf("%lld videos, %lld clips, %lld stored files (%.1f MB)%s\n", (long long)r->videos,
           (long long)r->clips, (long long)r->files, (double)r->bytes / 1e6,
           r->in_use ? "; a server is using them" : "");
    if (r->missing_vectors)
        printf("%lld vectors are missing: a backfill of the model computes them\n",
               (long long)r->missing_vectors);
    if (r->in_place_away)
        printf("%lld videos in folders that are indexed in place: their files are not there now\n",
               (long long)r->in_place_away);
    if (r->problems)
        printf("%lld problems, %lld repaired\n", (long long)r->problems, (long long)r->repaired);
    else
        printf("no problems\n");
}

static bool print_json(const settings *s, const vx_check_report *r, json_t *problems) {
    json_t *object = json_pack(
        "{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:O}", "data", s->data, "ok",
        r->problems == r->repaired, "in_use", (int)r->in_use, "videos", (json_int_t)r->videos,
        "clips", (json_int_t)r->clips, "files", (json_int_t)r->files, "bytes", (json_int_t)r->bytes,
        "in_place_away", (json_int_t)r->in_place_away, "missing_vectors",
        (json_int_t)r->missing_vectors, "repaired", (json_int_t)r->repaired, "problems", problems);
    bool written = object && !json_dumpf(object, stdout, JSON_INDENT(2)) && puts("") >= 0;
    json_decref(object);
    return written;
}

int vx_command_check(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    int rc = vx_options_parse("usage: vidx check [options]\n\n"
                              "Verifies the catalog, the stored files and the vectors against each "
                              "other.\nExit status: 0 no problems are left, 1 problems are left or "
                              "the check failed, 2 wrong usage.",
                              table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (rc) {
        fprintf(stderr, "vidx check: %s\n", err.msg);
        return 2;
    }
    json_t *problems = json_array();
    vx_check_params params = {.data_dir = s.data,
                              .repair = s.repair,
                              .on_problem = s.json ? add_problem : print_problem,
                              .ctx = problems};
    vx_check_report report;
    rc = vx_check_run(&params, &report, &err);
    if (rc) {
        fprintf(stderr, "vidx check: %s\n", err.msg);
        json_decref(problems);
        return rc > 0 ? 2 : 1;
    }
    bool written = true;
    if (s.json)
        written = print_json(&s, &report, problems);
    else
        print_report(&report);
    json_decref(problems);
    return written && !fflush(stdout) && report.problems == report.repaired ? 0 : 1;
}
