/* embed.c — vidx embed: settings, signals and exit codes; batch/ does the work. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/thread.h"
#include "base/trace.h"
#include "batch/batch.h"
#include "batch_run.h"
#include "cli.h"
#include "interrupt.h"
#include "models_folder.h"
#include "options.h"
#include "server/server.h"

#define VARIANT_OF "cosmos-embed1-"
#define EXIT_SKIPPED 3

typedef struct settings {
    const char *input, *output, *models, *model, *variant, *device, *hybrid, *clip, *layout,
        *encoder, *fingerprints, *frames, *evidence, *trace;
    int64_t threads, max_side;
    double max_duration, dedup;
    bool write_clips, quiet;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"input", VX_OPTION_TEXT, AT(input), NULL, "DIR", "folder of videos; subfolders are included"},
    {"output", VX_OPTION_TEXT, AT(output), NULL, "DIR",
     "folder for the results; created if it does not exist"},
    {"models", VX_OPTION_TEXT, AT(models), NULL, "DIR", VX_MODELS_HELP},
    {"model", VX_OPTION_TEXT, AT(model), NULL, "NAME[,NAME]",
     "model packages to use (default " VX_DEFAULT_MODEL ")"},
    {"variant", VX_OPTION_TEXT, AT(variant), NULL, "SIZE",
     "224p, 336p or 448p: short for --model " VARIANT_OF "SIZE"},
    {"device", VX_OPTION_TEXT, AT(device), "auto", "DEVICE", VX_DEVICE_HELP},
    {"hybrid", VX_OPTION_TEXT, AT(hybrid), "off", "auto|off",
     "auto: cores decode videos beside a GPU that has more to decode than it can"},
    {"clip", VX_OPTION_TEXT, AT(clip), "auto", "RULE", VX_CLIP_HELP},
    {"layout", VX_OPTION_TEXT, AT(layout), "vidx", "NAME", "which files to write: vidx or curator"},
    {"dedup", VX_OPTION_REAL, AT(dedup), NULL, "COSINE",
     "also list near-duplicates: clips whose cosine to a kept clip is at least COSINE"},
    {"write-clips", VX_OPTION_FLAG, AT(write_clips), NULL, NULL,
     "also write every clip as a file, clips/<clip>.mp4"},
    {"encoder", VX_OPTION_TEXT, AT(encoder), "auto", "NAME",
     "FFmpeg video encoder for --write-clips: auto, libx264, libopenh264, mpeg4, h264_nvenc"},
    {"fingerprints", VX_OPTION_TEXT, AT(fingerprints), "full", "full|frames|off",
     VX_FINGERPRINTS_HELP},
    {"frames", VX_OPTION_TEXT, AT(frames), "exact", "exact|keyframes",
     "keyframes: show the model the nearest key frames, which are much faster to decode"},
    {"evidence", VX_OPTION_TEXT, AT(evidence), "fast", "off|fast",
     "fast: look at the pictures of both videos before a verdict counts; off: hashes alone"},
    {"threads", VX_OPTION_COUNT, AT(threads), NULL, "N",
     "videos processed at once (0 means cores + 1, and 28 more with a GPU that decodes)"},
    {"max-side", VX_OPTION_COUNT, AT(max_side), "8192", "PX",
     "skip videos whose picture is wider or higher"},
    {"max-duration", VX_OPTION_REAL, AT(max_duration), "86400", "S", "skip longer videos"},
    {"trace", VX_OPTION_TEXT, AT(trace), NULL, "FILE",
     "write what each thread did when, for Perfetto (ui.perfetto.dev) or chrome://tracing"},
    {"quiet", VX_OPTION_FLAG, AT(quiet), NULL, NULL, "print only what went wrong"},
};

static const char usage[] =
    "usage: vidx embed --input DIR --output DIR [options]\n\n"
    "Turns every video below a folder into vectors. Run the same command again to go on after an\n"
    "interruption or to follow changes of the folder: unchanged videos are not read again, and\n"
    "videos that are gone are removed from the results.\n\n"
    "--layout vidx     video_index.faiss, embeddings.npy and clips.jsonl, row for row\n"
    "--layout curator  the files of NeMo Curator: <model>_embd, <model>_embd_parquet, metas/v0,\n"
    "                  processed_videos, processed_clip_chunks\n"
    "Both also write failed.jsonl, which lists the videos that could not be read and why.\n\n"
    "--write-clips also cuts every clip out of its video and encodes it: clips/<clip>.mp4.\n\n"
    "--dedup also writes duplicates/cluster_0.parquet (the clips to leave out) and\n"
    "pairwise_results/cluster_0.parquet (the nearest kept clip of each). Of near-duplicates it\n"
    "keeps one outside trash and hidden folders before one inside, then the one with the most\n"
    "pixels, then the first by path.\n\n"
    "Several models: --model a,b. Each video is decoded once for both. Results of a go to the\n"
    "output folder, results of b to its subfolder b. Verdicts and --dedup use the first model,\n"
    "which must stay the first. You can add a model later; only its vectors are computed. If\n"
    "you leave one out, its subfolder is removed, but its vectors are kept. --layout curator\n"
    "takes one model.\n\n"
    "Exit code: 0 done; 1 failed; 2 wrong usage; 3 done, but some videos were skipped; 130\n"
    "interrupted.";

static int find_model(const settings *s, const char **ret_model, vx_err *err) {
    static const char *const models[] = {VARIANT_OF "224p", VARIANT_OF "336p", VARIANT_OF "448p"};
    *ret_model = s->model ? s->model : VX_DEFAULT_MODEL;
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
    if (strcmp(s->hybrid, "auto") && strcmp(s->hybrid, "off"))
        return VX_FAIL(err, VX_OPTION_WRONG, "--hybrid must be auto or off, not '%s'", s->hybrid);
    vx_fingerprints fingerprints;
    if (!vx_fingerprints_of_name(s->fingerprints, &fingerprints))
        return VX_FAIL(err, VX_OPTION_WRONG, "--fingerprints must be full, frames or off, not '%s'",
                       s->fingerprints);
    vx_clip_frames frames;
    if (!vx_clip_frames_of_name(s->frames, &frames))
        return VX_FAIL(err, VX_OPTION_WRONG, "--frames must be exact or keyframes, not '%s'",
                       s->frames);
    if (strcmp(s->evidence, "off") && strcmp(s->evidence, "fast"))
        return VX_FAIL(err, VX_OPTION_WRONG, "--evidence must be off or fast, not '%s'",
                       s->evidence);
    vx_clip_spec clip;
    int rc = vx_clip_parse(s->clip, &clip, err);
    if (rc)
        return VX_WRAP(err, "--clip"), rc;
    if (s->dedup > 1)
        return VX_FAIL(err, VX_OPTION_WRONG, "--dedup must be a cosine from 0 to 1, not %g",
                       s->dedup);
    if (s->model && strchr(s->model, ',') && !strcmp(s->layout, "curator"))
        return VX_FAIL(err, VX_OPTION_WRONG,
                       "--layout curator takes one --model: its files hold the vectors of one");
    return find_model(s, ret_model, err);
}

static int embed(const settings *s, const char *model, vx_batch_end *ret_end, vx_err *err) {
    int workers = s->threads < VX_BATCH_WORKERS_MAX ? (int)s->threads : VX_BATCH_WORKERS_MAX;
    char models[PATH_MAX];
    vx_batch_params params = {
        .input = s->input,
        .output = s->output,
        .models_dir = models,
        .layout = strcmp(s->layout, "curator") ? VX_BATCH_LAYOUT_VIDX : VX_BATCH_LAYOUT_CURATOR,
        .dedup_threshold = s->dedup,
        .write_clips = s->write_clips,
        .encoder = s->encoder,
        .quiet = s->quiet,
        .interrupted = vx_interrupted,
    };
    VX_AUTO(vx_batch) batch = NULL;
    VX_AUTO(vx_server) server = NULL; /* declared after the batch, which uses it: closed first */
    int rc = vx_models_folder_find(s->models, models, err);
    if (!rc)
        rc = vx_batch_open(&params, &batch, err);
    if (rc)
        return rc;
    vx_server_params server_params = {
        .data_dir = vx_batch_data_dir(batch),
        .models_dir = models,
        .model = model,
        .device = s->device,
        .no_hybrid = !strcmp(s->hybrid, "off"),
        .clip = s->clip,
        .ingest_threads = workers,
        .queue_capacity = VX_BATCH_QUEUE,
        .media = {.max_side_px = (int)s->max_side, .max_duration_s = s->max_duration},
        .evidence = strcmp(s->evidence, "off") ? VX_EVIDENCE_FAST : VX_EVIDENCE_OFF,
        .reproducible = true,
        .no_clients = true,
    };
    vx_fingerprints_of_name(s->fingerprints, &server_params.fingerprints);
    vx_clip_frames_of_name(s->frames, &server_params.frames);
    rc = vx_server_new(&server_params, &server, err);
    if (!rc)
        rc = vx_server_start(server, err);
    if (rc)
        return rc;
    vx_interrupt_catch(); /* not earlier: while the model is loaded, a signal may simply end the process */
    return vx_batch_run_in_server(batch, server, ret_end, err);
}

int vx_command_embed(int argc, char **argv) {
    static const int exit_codes[] = {[VX_BATCH_DONE] = 0,
                                     [VX_BATCH_SOME_SKIPPED] = EXIT_SKIPPED,
                                     [VX_BATCH_SOME_FAILED] = 1,
                                     [VX_BATCH_INTERRUPTED] = VX_EXIT_INTERRUPTED};
    settings s = {0};
    vx_err err = {0};
    const char *model = NULL;
    int rc = vx_options_parse(usage, table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (!rc)
        rc = check_settings(&s, &model, &err);
    if (rc) {
        vx_batch_print_error("vidx embed", &err);
        return 2;
    }
    vx_log_set_level(VX_LOG_ERROR); /* batch/ reports on single videos */
    signal(SIGPIPE, SIG_IGN);
    vx_batch_end end;
    rc = s.trace ? vx_trace_open(s.trace, &err) : 0;
    if (!rc)
        rc = embed(&s, model, &end, &err);
    if (!rc)
        rc = vx_trace_close(&err);
    if (rc) {
        vx_batch_print_error("vidx embed", &err);
        return 1;
    }
    return exit_codes[end];
}
