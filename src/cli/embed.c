/* command_embed.c — vidx embed: a folder of videos to vectors, without HTTP. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "batch/batch.h"
#include "batch/curator/tree.h"
#include "batch/cuts.h"
#include "batch/dedup.h"
#include "batch/missing.h"
#include "batch/store.h"
#include "batch/write.h"
#include "cli.h"
#include "options.h"

#define DEFAULT_MODEL "efficientnet-lite0"
#define VARIANT_OF "cosmos-embed1-"
#define EXIT_SKIPPED 3
#define WORKERS_MAX 256
#define EXIT_INTERRUPTED 130 /* as a shell says of a program that SIGINT ended */

typedef struct settings {
    const char *input, *output, *models, *model, *variant, *device, *clip, *layout, *encoder;
    int64_t threads, max_side;
    double max_duration, dedup;
    bool no_fingerprints, write_clips, quiet;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"input", VX_OPTION_TEXT, AT(input), NULL, "DIR", "folder of videos, with all below it"},
    {"output", VX_OPTION_TEXT, AT(output), NULL, "DIR", "where the vectors go; made if absent"},
    {"models", VX_OPTION_TEXT, AT(models), "models", "DIR", "where the model packages are"},
    {"model", VX_OPTION_TEXT, AT(model), NULL, "NAME[,NAME]",
     "the model packages to use (default " DEFAULT_MODEL ")"},
    {"variant", VX_OPTION_TEXT, AT(variant), NULL, "SIZE",
     "224p, 336p or 448p: short for --model " VARIANT_OF "SIZE"},
    {"device", VX_OPTION_TEXT, AT(device), "auto", "DEVICE", "auto, cpu or cuda:N"},
    {"clip", VX_OPTION_TEXT, AT(clip), "auto", "RULE", VX_CLIP_RULES},
    {"layout", VX_OPTION_TEXT, AT(layout), "vidx", "NAME", "what is written: vidx or curator"},
    {"dedup", VX_OPTION_REAL, AT(dedup), NULL, "COSINE",
     "also list near-duplicate clips: those this near to one that is kept"},
    {"write-clips", VX_OPTION_FLAG, AT(write_clips), NULL, NULL,
     "also write every clip as a file, clips/<clip>.mp4"},
    {"encoder", VX_OPTION_TEXT, AT(encoder), "auto", "NAME",
     "of FFmpeg, for these files: auto, libx264, libopenh264, mpeg4, h264_nvenc"},
    {"no-fingerprints", VX_OPTION_FLAG, AT(no_fingerprints), NULL, NULL,
     "do not hash frames: no copy verdicts"},
    {"threads", VX_OPTION_COUNT, AT(threads), NULL, "N", "videos at once; 0: cores + 1"},
    {"max-side", VX_OPTION_COUNT, AT(max_side), "8192", "PX", "longest picture side"},
    {"max-duration", VX_OPTION_REAL, AT(max_duration), "86400", "S", "longest video"},
    {"quiet", VX_OPTION_FLAG, AT(quiet), NULL, NULL, "say only what went wrong"},
};

static const char usage[] =
    "usage: vidx embed --input DIR --output DIR [options]\n\n"
    "Embeds every video below a folder. Run it again to go on after an interruption or to follow\n"
    "changes of the folder: what is known is not read again, what is gone is removed.\n\n"
    "--layout vidx     video_index.faiss, embeddings.npy and clips.jsonl, row for row\n"
    "--layout curator  the tree of NeMo Curator: <model>_embd, <model>_embd_parquet, metas/v0,\n"
    "                  processed_videos, processed_clip_chunks\n"
    "--write-clips adds clips/<clip>.mp4 to both, cut out of the source and encoded.\n"
    "Both have failed.jsonl, the videos that could not be read, and with --dedup\n"
    "duplicates/cluster_0.parquet (the ids to leave out) and pairwise_results/cluster_0.parquet\n"
    "(what each is near to). Of near-duplicates the clip with most pixels is kept, then the first\n"
    "by path.\n\n"
    "Several models: each video is decoded once for all. The files of the first lie in the\n"
    "output folder as if it were alone; it gives the verdicts and --dedup, and must stay the\n"
    "first. Those of a further one lie in a folder of its name. One that is added later gets what\n"
    "it lacks; one that is left out loses its folder, but not its vectors. --layout curator takes\n"
    "one.\n\n"
    "Exit code: 0 done; 1 failed; 2 wrong usage; 3 done, but some videos were skipped; 130\n"
    "interrupted.";

static atomic_bool interrupted;

static void on_signal(int number) {
    (void)number;
    atomic_store(&interrupted, true);
}

/* Not before the model is loaded: until then the signal may simply end the process. The handler
 * goes with its first call, so a second signal ends it too; nothing stored can be lost by that. */
static void catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* ---- folders ---- */

static int find_folder(const char *path, char ret_path[PATH_MAX], vx_err *err) {
    struct stat info;
    if (!realpath(path, ret_path) || stat(ret_path, &info))
        return VX_FAIL_ERRNO(err, "cannot read the folder %s", path);
    return S_ISDIR(info.st_mode) ? 0 : VX_FAIL(err, -ENOTDIR, "%s is not a folder", path);
}

/* ---- the steps ---- */

typedef struct job {
    const settings *s;
    const char *model;
    bool curator;
    char input[PATH_MAX], output[PATH_MAX], data[PATH_MAX];
    vx_batch_files *files;
    vx_batch_failures *failures;
    vx_batch_cuts *cuts; /* NULL: no clip is cut */
    int64_t told_us;     /* when a person last heard how many */
    vx_batch_progress progress;
    int workers;
    int64_t started_us;
} job;

static void say_skipped(void *ctx, const char *path, const char *reason) {
    (void)ctx;
    vx_batch_say(NULL, "skipped: %s: %s", path, reason);
}

static void on_problem(void *ctx, const char *path, const char *reason) {
    job *j = ctx;
    vx_err err;
    say_skipped(NULL, path, reason);
    if (vx_batch_failures_add(j->failures, path, "unreadable", reason, &err))
        vx_batch_say(NULL, "vidx embed: %s", err.msg);
}

static int look(job *j, vx_err *err) {
    int rc = find_folder(j->s->input, j->input, err);
    if (!rc)
        rc = vx_batch_make_folders(j->s->output, err);
    if (!rc)
        rc = find_folder(j->s->output, j->output, err);
    if (!rc && snprintf(j->data, sizeof j->data, "%s/.vidx", j->output) >= (int)sizeof j->data)
        rc = VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", j->output);
    if (!rc)
        rc = vx_batch_walk(j->input, on_problem, j, &j->files, err);
    if (rc || j->s->quiet)
        return rc;
    vx_batch_say(NULL, "%zu videos, %.1f MB in %s", j->files->n, (double)j->files->bytes / 1e6,
                 j->input);
    if (j->files->links)
        vx_batch_say(NULL, "%zu symbolic links are not followed", j->files->links);
    return 0;
}

static int open_server(job *j, vx_server **ret_server, vx_err *err) {
    const settings *s = j->s;
    int workers = s->threads ? (int)s->threads : vx_thread_cores() + 1;
    j->workers = workers < WORKERS_MAX ? workers : WORKERS_MAX;
    vx_server_params params = {
        .data_dir = j->data,
        .models_dir = s->models,
        .model = j->model,
        .device = s->device,
        .clip = s->clip,
        .ingest_threads = j->workers,
        .queue_capacity = 4 * WORKERS_MAX, /* never full: at most 2 * workers are inside, and
                                              for a moment those that have just ended */
        .media = {.max_side_px = (int)s->max_side, .max_duration_s = s->max_duration},
        .fingerprints = !s->no_fingerprints,
        .no_clients = true,
    };
    int rc = vx_server_new(&params, ret_server, err);
    return rc ? rc : vx_server_start(*ret_server, err);
}

/* A disk that is not mounted looks like a folder without videos. */
static int check_not_emptied(const job *j, const vx_batch_library *library, vx_err *err) {
    size_t stored = vx_batch_library_count(library);
    if (j->files->n || !stored || !j->files->complete)
        return 0;
    return VX_FAIL(err, -ENOENT,
                   "%s holds no video any more, %s has %zu: is a disk not mounted? "
                   "Remove %s to begin anew",
                   j->s->input, j->s->output, stored, j->data);
}

/* ---- the outputs ---- */

/* The name by which outputs call a folder: as it was typed, so that names made from paths are those
 * that another program makes from the same words; where that depends on the place, the real path. */
static void spell(const char *typed, const char *real, char ret_path[PATH_MAX]) {
    snprintf(ret_path, PATH_MAX, "%s", typed[0] == '/' ? typed : real);
    for (size_t n = strlen(ret_path); n && ret_path[n - 1] == '/'; n--)
        ret_path[n - 1] = '\0';
}

static int write_tree(job *j, vx_server *server, const vx_batch_library *library,
                      vx_batch_clips *clips, vx_err *err) {
    VX_AUTO_FREE char *names = malloc((size_t)2 * PATH_MAX);
    if (!names)
        return VX_FAIL(err, -ENOMEM, "no memory");
    spell(j->s->input, j->input, names);
    spell(j->s->output, j->output, names + PATH_MAX);
    vx_batch_tree_params params = {
        .server = server,
        .library = library,
        .failures = j->failures,
        .cuts = j->cuts,
        .input = j->input,
        .output = j->output,
        .source = names,
        .location = names + PATH_MAX,
        .on_skipped = say_skipped,
    };
    vx_batch_tree_result r;
    int rc = vx_batch_tree_write(&params, clips, &r, err);
    if (!rc && !j->s->quiet)
        vx_batch_say(NULL, "%zu clips of %zu videos in %s: %zu files written, %zu removed", r.clips,
                     r.videos, j->output, r.written, r.removed);
    return rc;
}

static int write_index(job *j, vx_server *server, const vx_batch_library *library,
                       vx_batch_clips *clips, vx_err *err) {
    bool written;
    size_t rows;
    int rc = j->cuts ? vx_batch_cut_clips(server, library, j->cuts, on_problem, j, err) : 0;
    for (int m = 0; m < server->models->n && !rc; m++) {
        const vx_model *model = &server->models->items[m];
        rc = vx_batch_write(server, model, library, j->output, &written, &rows, err);
        if (!rc && !j->s->quiet)
            vx_batch_say(NULL, "%zu rows in %s%s%s%s", rows, j->output, m ? "/" : "",
                         m ? model->info->name : "", written ? "" : ", unchanged");
    }
    if (!rc)
        rc = vx_batch_forget_models(server, j->output, err);
    if (!rc && j->s->dedup > 0)
        rc = vx_batch_list_clips(server, library, clips, err);
    return rc;
}

static int write_duplicates(job *j, vx_server *server, const vx_batch_clips *clips, vx_err *err) {
    size_t removed;
    if (!(j->s->dedup > 0))
        return vx_batch_dedup_remove(j->output, err);
    int rc = vx_batch_dedup(server->models->items[0].index, clips, (float)j->s->dedup, j->output,
                            &removed, err);
    if (!rc && !j->s->quiet)
        vx_batch_say(NULL, "%zu of %zu clips are near-duplicates of kept ones: %s/duplicates",
                     removed, clips->n, j->output);
    return rc;
}

/* ---- clips as files ---- */

#define TELL_US 10000000

static void on_cut(void *ctx, size_t n_cut) {
    job *j = ctx;
    int64_t now_us = vx_clock_monotonic_us();
    if (j->s->quiet || now_us - j->told_us < TELL_US)
        return;
    j->told_us = now_us;
    vx_batch_say(NULL, "%zu clips written to %s/clips", n_cut, j->output);
}

static int open_cuts(job *j, const vx_server *server, vx_err *err) {
    if (!j->s->write_clips)
        return 0;
    vx_batch_cuts_params params = {
        .input = j->input,
        .output = j->output,
        .encoder = j->s->encoder,
        .limits = &server->params.media,
        .interrupted = &interrupted,
        .on_cut = on_cut,
        .ctx = j,
    };
    j->told_us = vx_clock_monotonic_us();
    int rc = vx_batch_open_staging(j->output, err);
    return rc ? rc : vx_batch_cuts_open(&params, &j->cuts, err);
}

static int finish_cuts(job *j, vx_err *err) {
    size_t written, removed;
    if (!j->cuts)
        return 0;
    int rc = vx_batch_cuts_finish(j->cuts, &written, &removed, err);
    if (!rc && !j->s->quiet)
        vx_batch_say(NULL, "%zu clips written to %s/clips, %zu removed", written, j->output,
                     removed);
    return rc;
}

static int write_outputs(job *j, vx_server *server, vx_batch_library *library,
                         const vx_batch_result *result, vx_err *err) {
    size_t removed = 0;
    vx_batch_clips clips = {0};
    int rc = vx_batch_library_prune(library, &removed, err);
    if (!rc)
        rc = open_cuts(j, server, err);
    if (!rc)
        rc = j->curator ? write_tree(j, server, library, &clips, err)
                        : write_index(j, server, library, &clips, err);
    if (!rc)
        rc = finish_cuts(j, err);
    if (!rc)
        rc = write_duplicates(j, server, &clips, err);
    vx_batch_clips_done(&clips);
    if (!rc)
        rc = vx_batch_failures_write(j->failures, j->output, err);
    if (rc || j->s->quiet)
        return rc;
    size_t skipped = vx_batch_failures_count(j->failures);
    vx_batch_say(NULL,
                 "%zu videos embedded, %zu known, %zu with the bytes of another, %zu removed, "
                 "%zu skipped, in %.1f s",
                 result->embedded, result->known, result->duplicates, removed, skipped,
                 (double)(vx_clock_monotonic_us() - j->started_us) / 1e6);
    if (result->filled)
        vx_batch_say(NULL, "%zu videos got vectors that they lacked", result->filled);
    if (skipped)
        vx_batch_say(NULL, "what was skipped, and why: %s/failed.jsonl", j->output);
    return 0;
}

static int embed_videos(job *j, vx_server *server, vx_batch_library *library,
                        vx_batch_result *ret_result, vx_err *err) {
    vx_batch_params params = {
        .server = server,
        .input = j->input,
        .files = j->files,
        .library = library,
        .failures = j->failures,
        .progress = &j->progress,
        .interrupted = &interrupted,
        .workers = j->workers,
    };
    int rc = vx_batch_run(&params, ret_result, err);
    if (!rc && !ret_result->interrupted)
        rc = vx_batch_fill_missing(&params, ret_result, err);
    return rc;
}

static int run(job *j, int *ret_exit, vx_err *err) {
    VX_AUTO(vx_server) server = NULL;
    VX_AUTO(vx_batch_library) library = NULL;
    int rc = open_server(j, &server, err);
    if (rc)
        return rc;
    for (int m = 0; m < server->models->n && !j->s->quiet; m++) {
        const vx_model_info *info = server->models->items[m].info;
        vx_batch_say(NULL, "%s on %s, %s", info->name, info->device, info->dtype);
    }
    catch_signals();
    rc = vx_batch_library_open(server, j->files, &library, err);
    if (rc)
        return VX_WRAP(err, "%s", j->s->output), rc;
    rc = check_not_emptied(j, library, err);
    vx_batch_result result;
    if (!rc)
        rc = embed_videos(j, server, library, &result, err);
    if (rc)
        return rc;
    if (result.interrupted) {
        vx_batch_say(NULL, "interrupted with %zu of %zu videos done: run the same command to go on",
                     result.known + result.embedded + result.duplicates - result.lacking,
                     j->files->n);
        *ret_exit = EXIT_INTERRUPTED;
        return 0;
    }
    rc = write_outputs(j, server, library, &result, err);
    if (rc == VX_MEDIA_STOPPED) {
        vx_batch_say(NULL, "interrupted while clips were written: run the same command to go on");
        *ret_exit = EXIT_INTERRUPTED;
        return 0;
    }
    *ret_exit = result.internal ? 1 : vx_batch_failures_count(j->failures) ? EXIT_SKIPPED : 0;
    return rc;
}

/* ---- the settings ---- */

static int find_model(const settings *s, const char **ret_model, vx_err *err) {
    static const char *const models[] = {VARIANT_OF "224p", VARIANT_OF "336p", VARIANT_OF "448p"};
    *ret_model = s->model ? s->model : DEFAULT_MODEL;
    if (!s->variant)
        return 0;
    size_t i = 0;
    while (i < VX_LEN(models) && strcmp(s->variant, models[i] + strlen(VARIANT_OF)))
        i++;
    if (i == VX_LEN(models))
        return VX_FAIL(err, VX_OPTION_WRONG, "--variant must be 224p, 336p or 448p, not '%s'",
                       s->variant);
    *ret_model = models[i];
    if (s->model && strcmp(s->model, models[i]))
        return VX_FAIL(err, VX_OPTION_WRONG, "--variant %s means --model %s: leave one of them out",
                       s->variant, models[i]);
    return 0;
}

static int check_settings(const settings *s, const char **ret_model, vx_err *err) {
    if (!s->input || !s->output)
        return VX_FAIL(err, VX_OPTION_WRONG, "--input DIR and --output DIR are needed; see --help");
    if (strcmp(s->layout, "vidx") && strcmp(s->layout, "curator"))
        return VX_FAIL(err, VX_OPTION_WRONG, "--layout must be vidx or curator, not '%s'",
                       s->layout);
    vx_clip_spec clip;
    int rc = vx_clip_parse(s->clip, &clip, err);
    if (rc)
        return VX_WRAP(err, "--clip %s", s->clip), rc;
    if (s->dedup > 1)
        return VX_FAIL(err, VX_OPTION_WRONG, "--dedup must be a cosine from 0 to 1, not %g",
                       s->dedup);
    if (s->model && strchr(s->model, ',') && !strcmp(s->layout, "curator"))
        return VX_FAIL(err, VX_OPTION_WRONG,
                       "--layout curator takes one --model: its tree holds the vectors of one");
    return find_model(s, ret_model, err);
}

static int embed(const settings *s, const char *model, int *ret_exit, vx_err *err) {
    VX_AUTO(vx_batch_failures) failures = vx_batch_failures_new();
    VX_AUTO_FREE job *j = vx_new(job);
    if (!failures || !j)
        return VX_FAIL(err, -ENOMEM, "no memory");
    *j = (job){.s = s,
               .model = model,
               .curator = !strcmp(s->layout, "curator"),
               .failures = failures,
               .progress.quiet = s->quiet,
               .started_us = vx_clock_monotonic_us()};
    int rc = look(j, err);
    if (!rc)
        rc = run(j, ret_exit, err);
    vx_batch_cuts_free(j->cuts);
    vx_batch_files_free(j->files);
    return rc;
}

int vx_command_embed(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    int exit_code = 0;
    const char *model = NULL;
    int rc = vx_options_parse(usage, table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc)
        rc = check_settings(&s, &model, &err);
    if (rc) {
        vx_batch_say(NULL, "vidx embed: %s", err.msg);
        return 2;
    }
    vx_log_set_level(VX_LOG_ERROR); /* single videos are reported here */
    signal(SIGPIPE, SIG_IGN);
    rc = embed(&s, model, &exit_code, &err);
    if (rc)
        vx_batch_say(NULL, "vidx embed: %s", err.msg);
    return rc ? 1 : exit_code;
}
