/* dedup.c — vidx dedup: duplicates among the videos of folders, of an output of vidx embed, or of the data folder
 * of a stopped server. batch/ reads what is new, duplicates/ compares. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/whole_file.h"
#include "batch/batch.h"
#include "batch_run.h"
#include "cli.h"
#include "duplicates/duplicates.h"
#include "interrupt.h"
#include "models_folder.h"
#include "options.h"
#include "server/server.h"

#define EXIT_SKIPPED 3

typedef struct settings {
    const char *index, *state, *models, *model, *device, *keep, *format, *list;
    double min_score;
    int64_t threads;
    bool similar, all, quiet, fast;
    /* What was named, sorted: absolute, without symbolic links; none with --index. */
    const char **places; /* [n_places] */
    size_t n_places;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"state", VX_OPTION_TEXT, AT(state), NULL, "DIR",
     "where what is known of videos is kept between runs (default: vidx/dedup in $XDG_STATE_HOME, "
     "or in "
     "~/.local/state)"},
    {"index", VX_OPTION_TEXT, AT(index), NULL, "DIR",
     "instead of PLACE: output folder of vidx embed, or data folder of a server that is stopped"},
    {"models", VX_OPTION_TEXT, AT(models), NULL, "DIR", VX_MODELS_HELP},
    {"model", VX_OPTION_TEXT, AT(model), NULL, "NAME",
     "model package whose vectors are compared (default: as vidx embed or vidx serve has it)"},
    {"device", VX_OPTION_TEXT, AT(device), "auto", "DEVICE", "auto, cpu or cuda:N"},
    {"keep", VX_OPTION_TEXT, AT(keep), "largest_picture", "POLICY",
     "largest_picture, highest_bitrate, longest, oldest, newest, path:FOLDER[,FOLDER] or "
     "metadata:FIELD"},
    {"similar", VX_OPTION_FLAG, AT(similar), NULL, NULL, "also videos that are only similar"},
    {"min-score", VX_OPTION_REAL, AT(min_score), NULL, "COSINE",
     "of similar videos, at least this score"},
    {"list", VX_OPTION_TEXT, AT(list), NULL, "FILE",
     "also write the groups to FILE: CSV, or JSON lines if its name ends in .jsonl"},
    {"fast", VX_OPTION_FLAG, AT(fast), NULL, NULL,
     "skip the deep look, which also finds crops, pictures inside a frame and excerpts, but takes "
     "some seconds per video"},
    {"format", VX_OPTION_TEXT, AT(format), "text", "NAME",
     "what is printed: text, csv, jsonl, or paths: only the files that may go"},
    {"all", VX_OPTION_FLAG, AT(all), NULL, NULL, "also groups that were decided before"},
    {"threads", VX_OPTION_COUNT, AT(threads), NULL, "N",
     "threads that compare vectors, and videos read at once (0 means as many as suit the machine)"},
    {"quiet", VX_OPTION_FLAG, AT(quiet), NULL, NULL, "print only the result and what went wrong"},
};

static const char usage[] =
    "usage: vidx dedup [options] PLACE...\n"
    "       vidx dedup [options] --index DIR\n\n"
    "Finds duplicate videos in folders, and below them, and among files. Reads what is new, "
    "compares\n"
    "all videos with each other and prints groups of duplicates, with the one to keep and why.\n"
    "Nothing is deleted. Run again, also after an interruption, it reads and compares only what "
    "came\n"
    "since. Links are not followed; which files are videos: vidx embed.\n\n"
    "A video may go only if a kept one holds all of it: it has the same bytes, is a copy or a "
    "part\n"
    "of that one. One in a trash or hidden folder never wins. --format paths prints the files "
    "that\n"
    "may go, one a line (none whose name has a line break); with --index as they are stored: "
    "relative\n"
    "to the folder that vidx embed read.\n\n"
    "Exit code: 0 done; 1 failed; 2 wrong usage; 3 done, but some files could not be read (STATE/\n"
    "failed.jsonl says why); 130 interrupted.";

static bool is_over(void *ctx) {
    (void)ctx;
    return vx_interrupted();
}

typedef struct progress {
    const char *what; /* it is doing */
    bool quiet, is_terminal;
    int64_t started_us, told_us;
} progress;

/* As vidx embed: a line that is drawn again and again, or, where no terminal is, one every ten seconds. */
static void on_progress(void *ctx, int64_t done, int64_t total) {
    progress *p = ctx;
    int64_t now_us = vx_clock_monotonic_us();
    if (p->quiet || !total || now_us - p->told_us < (p->is_terminal ? 200000 : 10000000))
        return;
    char eta[VX_CLOCK_LENGTH_BYTES];
    double elapsed_s = (double)(now_us - p->started_us) / 1e6, share = (double)done / (double)total;
    p->told_us = now_us;
    vx_clock_length(done ? elapsed_s / share - elapsed_s : (double)NAN, eta);
    fprintf(stderr, p->is_terminal ? "\r%s: %.0f %%, ETA %s\033[K" : "%s: %.0f %%, ETA %s\n",
            p->what, 100 * share, *eta ? eta : "-");
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

static vx_groups_format format_of(const char *name) {
    return !strcmp(name, "csv")     ? VX_GROUPS_CSV
           : !strcmp(name, "jsonl") ? VX_GROUPS_JSONL
           : !strcmp(name, "paths") ? VX_GROUPS_PATHS
                                    : VX_GROUPS_TEXT;
}

static int write_list(const char *path, const vx_group_page *page, vx_err *err) {
    vx_whole_file file;
    size_t n = strlen(path);
    bool lines = n >= 6 && !strcmp(path + n - 6, ".jsonl");
    int rc = vx_whole_file_open(&file, path, err);
    if (rc)
        return rc;
    rc = vx_groups_write(page, lines ? VX_GROUPS_JSONL : VX_GROUPS_CSV, file.stream, err);
    return vx_whole_file_end(&file, rc, err);
}

static int list_groups(const settings *s, const vx_group_query *query, vx_duplicates *duplicates,
                       vx_err *err) {
    vx_group_page page;
    int rc = vx_duplicates_list(duplicates, query, &page, err);
    if (rc)
        return rc;
    rc = vx_groups_write(&page, format_of(s->format), stdout, err);
    if (!rc && fflush(stdout))
        rc = VX_FAIL_ERRNO(err, "writing the result");
    if (!rc && s->list)
        rc = write_list(s->list, &page, err);
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
                                         .threads = (int)(s->threads < 256 ? s->threads : 256),
                                         .listed = true,
                                         .places = s->places,
                                         .n_places = s->n_places};
    progress p = {.what = "comparing",
                  .quiet = s->quiet,
                  .is_terminal = isatty(STDERR_FILENO),
                  .started_us = vx_clock_monotonic_us(),
                  .told_us = vx_clock_monotonic_us()};
    const vx_scan_watch watch = {.is_over = is_over, .on_progress = on_progress, .ctx = &p};
    const vx_group_query query = {.kinds =
                                      VX_GROUP_KINDS | (s->similar ? 1U << VX_VERDICT_SIMILAR : 0),
                                  .min_score = (float)s->min_score,
                                  .policy = policy,
                                  .state = s->all ? -1 : VX_GROUP_OPEN,
                                  .watch = &watch};
    vx_scan_report report;
    vx_duplicates *duplicates = NULL;
    int rc = vx_duplicates_new(&params, &duplicates, err);
    if (rc)
        return rc;
    rc = vx_duplicates_scan(&params, NULL, &watch, &report, err);
    p.started_us = vx_clock_monotonic_us();
    p.what = "looking";
    if (!rc && !s->fast)
        rc = vx_duplicates_look_deeper(&params, &watch, &report, err);
    if (!rc)
        rc = vx_duplicates_complete(duplicates, &query, err);
    if (!s->quiet && !rc)
        fprintf(stderr, "%scompared %lld new videos with %lld\n", p.is_terminal ? "\r\033[K" : "",
                (long long)report.videos, (long long)report.among);
    if (!rc)
        rc = list_groups(s, &query, duplicates, err);
    vx_duplicates_free(duplicates);
    return rc;
}

/* ---- what is compared: an index that is there, or folders and files ---- */

static int open_server(const settings *s, const char *data, const char *models, const char *model,
                       vx_server **ret_server, vx_err *err) {
    const vx_server_params params = {
        .data_dir = data,
        .models_dir = models,
        .model = model,
        .device = s->device,
        .no_hybrid = true,
        .ingest_threads =
            (int)(s->threads < VX_BATCH_WORKERS_MAX ? s->threads : VX_BATCH_WORKERS_MAX),
        .queue_capacity = VX_BATCH_QUEUE,
        .media = {.max_side_px = 8192, .max_duration_s = 86400},
        .fingerprints = VX_FINGERPRINTS_FULL,
        .evidence = VX_EVIDENCE_FAST,
        .reproducible = true,
        .no_clients = true};
    int rc = vx_server_new(&params, ret_server, err);
    if (!rc)
        rc = vx_server_start(*ret_server, err);
    vx_interrupt_catch();
    return rc;
}

static int dedup_index(const settings *s, const vx_keep_policy *policy, const char *models,
                       vx_err *err) {
    char data[PATH_MAX];
    bool embedded = false;
    VX_AUTO(vx_server) server = NULL;
    int rc = find_data(s, data, &embedded, err);
    const char *model = s->model ? s->model : embedded ? VX_DEFAULT_MODEL : "auto";
    if (!rc)
        rc = open_server(s, data, models, model, &server, err);
    return rc ? rc : scan(s, policy, server, err);
}

static int find_state(const settings *s, char ret_path[PATH_MAX], vx_err *err) {
    const char *base = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = s->state                 ? snprintf(ret_path, PATH_MAX, "%s", s->state)
            : base && base[0] == '/' ? snprintf(ret_path, PATH_MAX, "%s/vidx/dedup", base)
            : home && *home ? snprintf(ret_path, PATH_MAX, "%s/.local/state/vidx/dedup", home)
                            : PATH_MAX;
    return n < PATH_MAX
               ? 0
               : VX_FAIL(err, VX_OPTION_WRONG,
                         "no folder for what is known between runs: --state DIR is needed");
}

static int dedup_places(const settings *s, const vx_keep_policy *policy, const char *models,
                        vx_batch_end *ret_end, vx_err *err) {
    char state[PATH_MAX];
    VX_AUTO(vx_batch) batch = NULL;
    VX_AUTO(vx_server) server = NULL; /* declared after the batch, which uses it: closed first */
    int rc = find_state(s, state, err);
    const vx_batch_params params = {.output = state,
                                    .places = s->places,
                                    .n_places = s->n_places,
                                    .models_dir = models,
                                    .layout = VX_BATCH_LAYOUT_NONE,
                                    .quiet = s->quiet,
                                    .interrupted = vx_interrupted};
    if (!rc)
        rc = vx_batch_open(&params, &batch, err);
    if (!rc)
        rc = open_server(s, vx_batch_data_dir(batch), models,
                         s->model ? s->model : VX_DEFAULT_MODEL, &server, err);
    if (!rc)
        rc = vx_batch_run_in_server(batch, server, ret_end, err);
    return rc || *ret_end == VX_BATCH_INTERRUPTED ? rc : scan(s, policy, server, err);
}

/* ---- settings ---- */

static int check_settings(const settings *s, size_t n_places, vx_err *err) {
    if (!s->index == !n_places)
        return VX_FAIL(err, VX_OPTION_WRONG,
                       "name the folders and files to look at, or --index DIR; see --help");
    if (strcmp(s->format, "text") && format_of(s->format) == VX_GROUPS_TEXT)
        return VX_FAIL(err, VX_OPTION_WRONG, "--format must be text, csv, jsonl or paths, not '%s'",
                       s->format);
    if (s->min_score > 1)
        return VX_FAIL(err, VX_OPTION_WRONG, "--min-score must be a cosine from 0 to 1, not %g",
                       s->min_score);
    return 0;
}

static int compare_texts(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Real paths, so that a place has one name whatever it was called. They live until the process ends. */
static int find_places(settings *s, char *const *names, size_t n, vx_err *err) {
    s->places = n ? vx_new_array(n, sizeof *s->places) : NULL;
    if (n && !s->places)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu places", n);
    for (size_t i = 0; i < n; i++)
        if (!(s->places[s->n_places++] = realpath(names[i], NULL)))
            return VX_FAIL_ERRNO(err, "cannot read %s", names[i]);
    if (n)
        qsort(s->places, n, sizeof *s->places, compare_texts);
    return 0;
}

/* Files have their real paths, so folders of path: that exist get theirs. */
static int read_policy(const settings *s, vx_keep_policy *ret_policy, vx_err *err) {
    char text[VX_KEEP_MAX_BYTES + 1] = "path";
    int rc = vx_keep_policy_parse(s->keep, ret_policy, err);
    if (rc || ret_policy->by != VX_KEEP_PATH || !s->n_places)
        return rc;
    size_t n = strlen(text);
    for (size_t i = 0; i < ret_policy->n_folders; i++) {
        VX_AUTO_FREE char *real = realpath(ret_policy->folders[i], NULL);
        n += (size_t)snprintf(text + n, sizeof text - n, "%c%s", i ? ',' : ':',
                              real ? real : ret_policy->folders[i]);
        if (n >= sizeof text || (real && strchr(real, ',')))
            return VX_FAIL(
                err, VX_OPTION_WRONG,
                "--keep: the real paths of the folders have a comma, or more than %d bytes",
                VX_KEEP_MAX_BYTES);
    }
    return vx_keep_policy_parse(text, ret_policy, err);
}

static int run(settings *s, char *const *names, size_t n_names, vx_batch_end *ret_end,
               vx_err *err) {
    char models[PATH_MAX];
    vx_keep_policy policy = {0};
    int rc = find_places(s, names, n_names, err);
    if (!rc && (rc = read_policy(s, &policy, err)))
        return VX_OPTION_WRONG;
    if (!rc)
        rc = vx_models_folder_find(s->models, models, err);
    if (rc)
        return rc;
    return s->index ? dedup_index(s, &policy, models, err)
                    : dedup_places(s, &policy, models, ret_end, err);
}

int vx_command_dedup(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    vx_batch_end end = VX_BATCH_DONE;
    int first = argc;
    int rc = vx_options_parse_operands(usage, table, VX_LEN(table), argc, argv, &s, &first, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    vx_log_set_level(VX_LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    if (!rc)
        rc = check_settings(&s, (size_t)(argc - first), &err);
    if (!rc)
        rc = run(&s, argv + first, (size_t)(argc - first), &end, &err);
    if (end == VX_BATCH_INTERRUPTED || (rc && vx_interrupted()))
        return VX_EXIT_INTERRUPTED;
    if (rc)
        vx_batch_print_error("vidx dedup", &err);
    return rc == VX_OPTION_WRONG ? 2 : rc ? 1 : end == VX_BATCH_DONE ? 0 : EXIT_SKIPPED;
}
