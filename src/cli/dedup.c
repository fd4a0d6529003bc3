/* dedup.c — vidx dedup: duplicates among the videos of a folder that vidx embed has read, or of the data folder
 * of a stopped server; duplicates/ does the work. */
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli.h"
#include "duplicates/duplicates.h"
#include "models_folder.h"
#include "options.h"
#include "server/server.h"

#define EXIT_INTERRUPTED 130

typedef struct settings {
    const char *index, *models, *model, *device, *keep, *format;
    double min_score;
    int64_t threads;
    bool similar, all, quiet;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"index", VX_OPTION_TEXT, AT(index), NULL, "DIR",
     "output folder of vidx embed, or data folder of a server that is stopped"},
    {"models", VX_OPTION_TEXT, AT(models), NULL, "DIR", VX_MODELS_HELP},
    {"model", VX_OPTION_TEXT, AT(model), NULL, "NAME",
     "model package whose vectors are compared (default: as vidx embed or vidx serve has it)"},
    {"device", VX_OPTION_TEXT, AT(device), "cpu", "DEVICE", "auto, cpu or cuda:N"},
    {"keep", VX_OPTION_TEXT, AT(keep), "largest_picture", "POLICY",
     "largest_picture, highest_bitrate, longest, oldest, newest, path:FOLDER[,FOLDER] or "
     "metadata:FIELD"},
    {"similar", VX_OPTION_FLAG, AT(similar), NULL, NULL, "also videos that are only similar"},
    {"min-score", VX_OPTION_REAL, AT(min_score), NULL, "COSINE",
     "of similar videos, at least this score"},
    {"format", VX_OPTION_TEXT, AT(format), "csv", "NAME",
     "csv, jsonl, or paths: only the files that may go"},
    {"all", VX_OPTION_FLAG, AT(all), NULL, NULL, "also groups that were decided before"},
    {"threads", VX_OPTION_COUNT, AT(threads), NULL, "N",
     "threads that compare vectors (0 means one per core)"},
    {"quiet", VX_OPTION_FLAG, AT(quiet), NULL, NULL, "print only the result and what went wrong"},
};

static const char usage[] =
    "usage: vidx dedup --index DIR [options]\n\n"
    "Compares all videos with each other and prints groups of duplicates, with the one to keep.\n"
    "Nothing is deleted. Run vidx embed on a folder first; or name the data folder of a server\n"
    "that is stopped. Run again, it only compares what came since.\n\n"
    "A video may go only if a kept one holds all of it: it is a copy or a part of that one. One in "
    "a\n"
    "trash or hidden folder never wins. --format paths prints the files that may go, one a line,\n"
    "relative to the folder that vidx embed read.\n\n"
    "Exit code: 0 done; 1 failed; 2 wrong usage; 130 interrupted.";

static atomic_bool interrupted;

static void on_signal(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

static bool is_over(void *ctx) {
    (void)ctx;
    return atomic_load(&interrupted);
}

static void on_progress(void *ctx, int64_t done, int64_t total) {
    const settings *s = ctx;
    if (!s->quiet && total && isatty(STDERR_FILENO))
        fprintf(stderr, "\rcomparing: %d %%", (int)(100 * done / total));
}

/* The folder of the catalog: vidx embed has it in .vidx. */
static int find_data(const settings *s, char ret_path[PATH_MAX], bool *ret_embedded, vx_err *err) {
    static const char *const below[] = {"/.vidx", ""};
    for (int i = 0; i < 2; i++) {
        char catalog[PATH_MAX];
        int n = snprintf(catalog, sizeof catalog, "%s%s/catalog.db", s->index, below[i]);
        if (n >= PATH_MAX)
            return VX_FAIL(err, 1, "--index is too long a path");
        if (access(catalog, R_OK))
            continue;
        snprintf(ret_path, PATH_MAX, "%.*s", n - (int)strlen("/catalog.db"), catalog);
        *ret_embedded = i == 0;
        return 0;
    }
    return VX_FAIL(err, 1,
                   "%s has no catalog: it is neither an output folder of vidx embed nor a data "
                   "folder of a server",
                   s->index);
}

static int print_groups(const settings *s, const vx_group_page *page, vx_err *err) {
    if (strcmp(s->format, "paths"))
        return vx_groups_write(page, strcmp(s->format, "csv") ? VX_GROUPS_JSONL : VX_GROUPS_CSV,
                               stdout, err);
    for (size_t g = 0; g < page->n; g++)
        for (size_t i = 0; i < page->groups[g]->n_videos; i++)
            if (!page->groups[g]->videos[i].keep)
                puts(page->groups[g]->videos[i].filename);
    return ferror(stdout) ? VX_FAIL(err, 1, "cannot write the result") : 0;
}

/* In a large group not every video was compared with the one that is kept; then it is now. */
static int complete(vx_duplicates *duplicates, const vx_group_query *query, vx_group_page *page,
                    vx_err *err) {
    int rc = 0;
    for (size_t g = 0; g < page->n && !rc; g++) {
        VX_AUTO(vx_group) group = NULL;
        bool unchecked = false;
        for (size_t i = 0; i < page->groups[g]->n_videos; i++)
            unchecked |= page->groups[g]->videos[i].unchecked;
        if (!unchecked)
            continue;
        rc = vx_duplicates_plan(duplicates, query, page->groups[g]->id, &group, err);
        if (rc)
            break;
        page->total_removable_bytes += group->removable_bytes - page->groups[g]->removable_bytes;
        vx_group_free(page->groups[g]);
        page->groups[g] = vx_take(group);
    }
    return rc;
}

static int list_groups(const settings *s, const vx_keep_policy *policy, vx_duplicates *duplicates,
                       vx_err *err) {
    vx_group_page page;
    const vx_group_query query = {.kinds =
                                      VX_GROUP_KINDS | (s->similar ? 1U << VX_VERDICT_SIMILAR : 0),
                                  .min_score = (float)s->min_score,
                                  .policy = policy,
                                  .state = s->all ? -1 : VX_GROUP_OPEN};
    int rc = vx_duplicates_list(duplicates, &query, &page, err);
    if (rc)
        return rc;
    rc = complete(duplicates, &query, &page, err);
    if (!rc)
        rc = print_groups(s, &page, err);
    if (!rc && !s->quiet)
        fprintf(stderr, "%lld groups, %.1f MB to free\n", (long long)page.total,
                (double)page.total_removable_bytes / 1e6);
    vx_group_page_clear(&page);
    return rc;
}

static int scan(const settings *s, const vx_keep_policy *policy, vx_server *server, vx_err *err) {
    const vx_duplicates_params params = {.collection = server->collection,
                                         .writer = server->writer,
                                         .library = server->library,
                                         .store = server->store,
                                         .extractor = &server->extractor,
                                         .threads = (int)(s->threads < 256 ? s->threads : 256)};
    const vx_scan_watch watch = {
        .is_over = is_over, .on_progress = on_progress, .ctx = (void *)(uintptr_t)s};
    vx_scan_report report;
    vx_duplicates *duplicates = NULL;
    int rc = vx_duplicates_new(&params, &duplicates, err);
    if (rc)
        return rc;
    rc = vx_duplicates_scan(&params, NULL, &watch, &report, err);
    if (!s->quiet && !rc)
        fprintf(stderr, "%scompared %lld new videos with %lld\n", isatty(STDERR_FILENO) ? "\r" : "",
                (long long)report.videos, (long long)report.among);
    if (!rc)
        rc = list_groups(s, policy, duplicates, err);
    vx_duplicates_free(duplicates);
    return rc;
}

static int dedup(const settings *s, const vx_keep_policy *policy, vx_err *err) {
    char data[PATH_MAX], models[PATH_MAX];
    bool embedded = false;
    VX_AUTO(vx_server) server = NULL;
    int rc = find_data(s, data, &embedded, err);
    if (!rc)
        rc = vx_models_folder_find(s->models, models, err);
    if (rc)
        return rc;
    const vx_server_params params = {.data_dir = data,
                                     .models_dir = models,
                                     .model = s->model   ? s->model
                                              : embedded ? "efficientnet-lite0"
                                                         : "auto",
                                     .device = s->device,
                                     .media = {.max_side_px = 8192, .max_duration_s = 86400},
                                     .fingerprints = true,
                                     .evidence = VX_EVIDENCE_FAST,
                                     .no_clients = true};
    rc = vx_server_new(&params, &server, err);
    if (!rc)
        rc = vx_server_start(server, err);
    if (rc)
        return rc;
    const struct sigaction action = {.sa_handler = on_signal,
                                     .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return scan(s, policy, server, err);
}

static int check_settings(const settings *s, vx_keep_policy *policy, vx_err *err) {
    if (!s->index)
        return VX_FAIL(err, VX_OPTION_WRONG, "--index DIR is needed; see --help");
    if (strcmp(s->format, "csv") && strcmp(s->format, "jsonl") && strcmp(s->format, "paths"))
        return VX_FAIL(err, VX_OPTION_WRONG, "--format must be csv, jsonl or paths, not '%s'",
                       s->format);
    if (s->min_score > 1)
        return VX_FAIL(err, VX_OPTION_WRONG, "--min-score must be a cosine from 0 to 1, not %g",
                       s->min_score);
    return vx_keep_policy_parse(s->keep, policy, err);
}

int vx_command_dedup(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    vx_keep_policy policy = {0};
    int rc = vx_options_parse(usage, table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    bool wrong = rc || (rc = check_settings(&s, &policy, &err));
    vx_log_set_level(VX_LOG_ERROR);
    if (!wrong)
        rc = dedup(&s, &policy, &err);
    if (!rc)
        return 0;
    fprintf(stderr, "vidx dedup: %s\n", err.msg);
    return wrong ? 2 : atomic_load(&interrupted) ? EXIT_INTERRUPTED : 1;
}
