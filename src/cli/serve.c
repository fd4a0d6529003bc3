/* serve.c — vidx serve: settings, start, wait for a signal, stop. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/http/http.h"
#include "api/resources/resources.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli.h"
#include "models_folder.h"
#include "options.h"
#include "server/server.h"

typedef struct settings {
    const char *listen, *data, *models, *model, *copy_model, *device, *hybrid, *evidence,
        *index_gpu, *clip, *encoder, *fingerprints, *log_level, *host, *allow_origin;
    int64_t ingest_threads, search_threads, http_threads, queue, max_connections, idle_timeout;
    int64_t max_upload, reserve, cluster_memory, max_side, max_json, max_embeddings_json, fetch_max;
    double max_duration, fetch_timeout;
    const char *fetch_hosts, *fetch_private;
    bool fetch_http;
    const char *store_hosts, *store_folders, *store_keys, *store_ca, *search;
    const char *folders;
    double folder_quiet, folder_keep, folder_walk;
} settings;

#define AT(field) offsetof(settings, field)
static const vx_option table[] = {
    {"listen", VX_OPTION_TEXT, AT(listen), "127.0.0.1:8000", "HOST:PORT",
     "address and port to serve on"},
    {"data", VX_OPTION_TEXT, AT(data), "data", "DIR",
     "folder for the videos and the database; created if it does not exist"},
    {"models", VX_OPTION_TEXT, AT(models), NULL, "DIR", VX_MODELS_HELP},
    {"model", VX_OPTION_TEXT, AT(model), "auto", "NAME[,NAME...]",
     "model packages to load, the first is the default; auto: the best one that runs here"},
    {"copy-model", VX_OPTION_TEXT, AT(copy_model), NULL, "NAME",
     "a model package of the role copy, such as sscd: it also names videos whose pictures the "
     "second look compares, for edits that neither hashes nor vectors see; needs --evidence full "
     "or deep (default: none)"},
    {"encoder", VX_OPTION_TEXT, AT(encoder), "auto", "NAME",
     "FFmpeg video encoder used when a clip is exported as MP4: auto, libx264, libopenh264, mpeg4, "
     "h264_nvenc"},
    {"device", VX_OPTION_TEXT, AT(device), "auto", "DEVICE", VX_DEVICE_HELP},
    {"hybrid", VX_OPTION_TEXT, AT(hybrid), "off", "auto|off",
     "auto: cores decode videos beside a GPU that has more to decode than it can"},
    {"index-gpu", VX_OPTION_TEXT, AT(index_gpu), "auto", "auto|off",
     "auto: a GPU that runs a model also searches its vectors, as long as it has memory to spare"},
    {"clip", VX_OPTION_TEXT, AT(clip), "auto", "RULE", VX_CLIP_HELP},
    {"fingerprints", VX_OPTION_TEXT, AT(fingerprints), "full", "full|frames|off",
     VX_FINGERPRINTS_HELP},
    {"evidence", VX_OPTION_TEXT, AT(evidence), "full", "off|fast|full|deep",
     "full: before a video is called a copy by its frames' hashes, look at the pictures of both "
     "again, to tell it from another recording of the same camera; after the answer, a job also "
     "looks at up to eight of the nearest videos for what hashes do not see, which takes seconds "
     "a video and mostly rests while there are uploads. deep: that job also searches by parts of "
     "the "
     "pictures, and by turned ones. fast: no job; two similar videos are looked at before the "
     "answer. off: hashes and vectors decide alone"},
    {"ingest-threads", VX_OPTION_COUNT, AT(ingest_threads), NULL, "N",
     "videos decoded at once; they take turns (0 means cores + 1, and 28 more with a GPU that "
     "decodes)"},
    {"search-threads", VX_OPTION_COUNT, AT(search_threads), NULL, "N",
     "searches answered at once, and threads in each index (0 means cores + 30, and one per core)"},
    {"http-threads", VX_OPTION_COUNT, AT(http_threads), NULL, "N", "threads for HTTP (0 means 8)"},
    {"queue", VX_OPTION_COUNT, AT(queue), "1024", "N",
     "most videos waiting or being processed; further uploads get 503"},
    {"max-connections", VX_OPTION_COUNT, AT(max_connections), "4096", "N",
     "most HTTP requests in work at once; fewer if the limit of open files is too low for it"},
    {"idle-timeout", VX_OPTION_COUNT, AT(idle_timeout), "120", "S",
     "close a connection that sends or takes next to nothing for this long"},
    {"max-upload", VX_OPTION_BYTES, AT(max_upload), "64g", "BYTES",
     "largest file that is accepted (0 means no limit)"},
    {"max-json", VX_OPTION_BYTES, AT(max_json), "1m", "BYTES", "largest JSON body"},
    {"max-embeddings-json", VX_OPTION_BYTES, AT(max_embeddings_json), "32m", "BYTES",
     "largest body of /v1/embeddings, whose videos are base64"},
    {"fetch-hosts", VX_OPTION_TEXT, AT(fetch_hosts), NULL, "LIST",
     "hosts that clients' URLs may name, *.example.org for all below it (default: all public "
     "ones)"},
    {"fetch-private", VX_OPTION_TEXT, AT(fetch_private), NULL, "LIST",
     "hosts that they may name although the address is private"},
    {"fetch-http", VX_OPTION_FLAG, AT(fetch_http), NULL, NULL,
     "also accept http URLs, not only https"},
    {"fetch-max", VX_OPTION_BYTES, AT(fetch_max), "1g", "BYTES",
     "largest file that is downloaded from a URL"},
    {"fetch-timeout", VX_OPTION_REAL, AT(fetch_timeout), "60", "S", "longest download from a URL"},
    {"cluster-memory", VX_OPTION_BYTES, AT(cluster_memory), "4g", "BYTES",
     "most memory for one job that clusters, beside the index"},
    {"reserve", VX_OPTION_BYTES, AT(reserve), "256m", "BYTES",
     "disk space that uploads must leave free; an upload that would not gets 507"},
    {"store-hosts", VX_OPTION_TEXT, AT(store_hosts), NULL, "LIST",
     "vector databases that clients may name in /v1/stores: HOST (the default port of its kind), "
     "HOST:PORT, or http://HOST:PORT to allow them without TLS; private ones too, *.example.org "
     "for all below it (default: none)"},
    {"store-folder", VX_OPTION_LINES, AT(store_folders), NULL, "NAME=DIR",
     VX_STORE_FOLDER_HELP ", in /v1/stores; may be given several times (in VIDX_STORE_FOLDER one a "
                          "line; default: none)"},
    {"store-keys", VX_OPTION_TEXT, AT(store_keys), NULL, "FILE", VX_STORE_KEYS_HELP},
    {"store-ca", VX_OPTION_TEXT, AT(store_ca), NULL, "FILE", VX_STORE_CA_HELP},
    {"search", VX_OPTION_TEXT, AT(search), NULL, "URL",
     "let this Milvus answer searches in place of memory: milvus://HOST:PORT/COLLECTION, which "
     "another vidx keeps equal"},
    {"folder", VX_OPTION_LINES, AT(folders), NULL, "[NAME=]DIR[:trash]",
     "index the videos in this folder where they lie, and follow what changes in it; may be given "
     "several times (in VIDX_FOLDER one a line). With :trash, videos that are deleted are moved to "
     "the trash of the folder; else their files stay as they are"},
    {"folder-quiet", VX_OPTION_REAL, AT(folder_quiet), "10", "S",
     "a file in a folder is read when it has not changed for this long"},
    {"folder-keep", VX_OPTION_REAL, AT(folder_keep), "30", "DAYS",
     "a video whose file is missing from its folder is deleted after this"},
    {"folder-walk", VX_OPTION_REAL, AT(folder_walk), "86400", "S",
     "longest time between two walks over all of a folder"},
    {"max-side", VX_OPTION_COUNT, AT(max_side), "8192", "PX",
     "refuse videos whose picture is wider or higher"},
    {"max-duration", VX_OPTION_REAL, AT(max_duration), "86400", "S", "refuse longer videos"},
    {"host", VX_OPTION_TEXT, AT(host), NULL, "NAME[,NAME...]",
     "names the server answers to besides IP addresses and localhost, for example its public name "
     "behind a reverse proxy"},
    {"allow-origin", VX_OPTION_TEXT, AT(allow_origin), NULL, "URL[,URL...]",
     "let these sites use the server, for example https://videos.example.com; *: every site"},
    {"log-level", VX_OPTION_TEXT, AT(log_level), "info", "LEVEL", "debug, info, warn or error"},
};

static int fail(const vx_err *err, int code) {
    fprintf(stderr, "vidx serve: %s\n", err->msg);
    return code;
}

#define ENDED SIGUSR2 /* what the thread that starts the server sends at its end */
#define BREAK_OFF_S 5 /* a model's file that hangs must not keep the process */

/* Every thread inherits the mask: only sigwait below takes these. */
static void block_signals(sigset_t *ret_set) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR1, SIG_IGN); /* tools send it to ask for a report, and would end the process */
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, ENDED);
    pthread_sigmask(SIG_BLOCK, ret_set, NULL);
}

/* A second one ends the process at once: nothing acknowledged can be lost by it. */
static void note_stop(int number, const sigset_t *set) {
    vx_log(VX_LOG_INFO, "stopping", "signal=%d", number);
    signal(ENDED, SIG_IGN);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
}

static void wait_for_signal(const sigset_t *set) {
    int number = ENDED;
    while (number == ENDED)
        sigwait(set, &number);
    note_stop(number, set);
}

/* ---- the start, on a thread of its own: this one waits for signals ---- */

typedef struct starter {
    vx_server *server;
    pthread_t thread, waits;
    int rc;
    vx_err err;
    atomic_bool ended;
} starter;

static void *run_start(void *ctx) {
    starter *s = ctx;
    s->rc = vx_server_start(s->server, &s->err);
    atomic_store(&s->ended, true);
    pthread_kill(s->waits, ENDED);
    return NULL;
}

/* Lets the step end that the start is in. Nothing is acknowledged before the server is ready, and the
 * catalog stands a crash: a step that does not end may be left to itself. */
static void break_off(starter *s, int number, const sigset_t *signals) {
    note_stop(number, signals);
    vx_server_break_off_start(s->server);
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int64_t until_us = vx_clock_monotonic_us() + BREAK_OFF_S * 1000000LL;
    while (!atomic_load(&s->ended) && vx_clock_monotonic_us() < until_us)
        nanosleep(&pause, NULL);
    if (atomic_load(&s->ended))
        return;
    vx_log(VX_LOG_WARN, "stopping", "start=unfinished");
    _exit(0);
}

/* Probes are answered meanwhile: alive, not ready. *ret_stopped: a signal came. */
static int start(const settings *s, vx_server *server, const vx_http *http, const sigset_t *signals,
                 bool *ret_stopped, vx_err *err) {
    char data[PATH_MAX], models[PATH_MAX];
    int n_host = (int)(strrchr(s->listen, ':') - s->listen); /* with a colon: it was listened on */
    vx_log(VX_LOG_INFO, "starting", "version=" VX_VERSION " url=http://%.*s:%d data=%s models=%s",
           n_host, s->listen, vx_http_port(http), vx_log_quote(s->data, data, sizeof data),
           vx_log_quote(server->params.models_dir, models, sizeof models));
    starter run = {.server = server, .waits = pthread_self()};
    int rc = vx_thread_start(&run.thread, "vx-start", run_start, &run, err);
    if (rc)
        return rc;
    int number = ENDED;
    do
        sigwait(signals, &number);
    while (number == ENDED && !atomic_load(&run.ended));
    *ret_stopped = number != ENDED;
    if (*ret_stopped)
        break_off(&run, number, signals);
    pthread_join(run.thread, NULL);
    *err = run.err;
    if (!run.rc && !*ret_stopped)
        vx_log(VX_LOG_INFO, "listening", "url=http://%.*s:%d model=%s start_ms=%.0f", n_host,
               s->listen, vx_http_port(http), server->models->items[0].info->name,
               (double)(vx_clock_monotonic_us() - server->started_us) / 1e3);
    return *ret_stopped ? 0 : run.rc;
}

/* OFF for what is no level, too. */
static vx_evidence_level level_of_evidence(const char *name) {
    return !strcmp(name, "deep")   ? VX_EVIDENCE_DEEP
           : !strcmp(name, "full") ? VX_EVIDENCE_FULL
           : !strcmp(name, "fast") ? VX_EVIDENCE_FAST
                                   : VX_EVIDENCE_OFF;
}

static int serve(const settings *s, const sigset_t *signals, vx_err *err) {
    char models[PATH_MAX];
    int rc = vx_models_folder_find(s->models, models, err);
    if (rc)
        return rc;
    vx_server_params params = {
        .data_dir = s->data,
        .models_dir = models,
        .model = s->model,
        .copy_model = s->copy_model,
        .device = s->device,
        .no_hybrid = !strcmp(s->hybrid, "off"),
        .no_index_gpu = !strcmp(s->index_gpu, "off"),
        .clip = s->clip,
        .encoder = s->encoder,
        .ingest_threads = (int)s->ingest_threads,
        .search_threads = (int)s->search_threads,
        .queue_capacity = (int)s->queue,
        .max_upload_bytes = s->max_upload,
        .cluster_memory_bytes = s->cluster_memory,
        .reserve_bytes = s->reserve,
        .media = {.max_side_px = (int)s->max_side, .max_duration_s = s->max_duration},
        .fetch = {.hosts = s->fetch_hosts,
                  .private_hosts = s->fetch_private,
                  .allow_http = s->fetch_http,
                  .max_bytes = s->fetch_max,
                  .timeout_s = s->fetch_timeout},
        .stores = {s->store_hosts, s->store_folders, s->store_keys, s->store_ca},
        .evidence = level_of_evidence(s->evidence),
        .search_url = s->search,
        .folders = s->folders,
        .folder_quiet_s = s->folder_quiet,
        .folder_keep_days = s->folder_keep,
        .folder_walk_s = s->folder_walk,
    };
    vx_fingerprints_of_name(s->fingerprints, &params.fingerprints);
    vx_http_params http_params = {
        .listen = s->listen,
        .threads = (int)s->http_threads,
        .max_connections = (int)s->max_connections,
        .idle_timeout_s = (int)s->idle_timeout,
        .max_json_bytes = (size_t)s->max_json,
        .max_embeddings_json_bytes = (size_t)s->max_embeddings_json,
        .hosts = s->host,
        .allow_origin = s->allow_origin,
    };
    VX_AUTO(vx_server) server = NULL;
    rc = vx_server_new(&params, &server, err);
    if (rc)
        return rc;
    VX_AUTO(vx_http) http = NULL; /* declared after server: stopped before it */
    bool stopped = false;
    rc = vx_http_start(server, &vx_resource_routes, &http_params, &http, err);
    if (!rc)
        rc = start(s, server, http, signals, &stopped, err);
    if (!rc && !stopped)
        wait_for_signal(signals);
    return rc;
}

int vx_command_serve(int argc, char **argv) {
    settings s = {0};
    vx_err err = {0};
    int rc = vx_options_parse("usage: vidx serve [options]\n\nServes the video index over HTTP.",
                              table, VX_LEN(table), argc, argv, &s, &err);
    if (rc == VX_OPTION_HELP)
        return 0;
    if (rc)
        return fail(&err, 2);
    int level = vx_log_level_of(s.log_level);
    if (level < 0) {
        VX_FAIL(&err, 1, "--log-level must be debug, info, warn or error, not '%s'", s.log_level);
        return fail(&err, 2);
    }
    if (level_of_evidence(s.evidence) == VX_EVIDENCE_OFF && strcmp(s.evidence, "off") != 0) {
        VX_FAIL(&err, 1, "--evidence must be off, fast, full or deep, not '%s'", s.evidence);
        return fail(&err, 2);
    }
    if (s.copy_model && level_of_evidence(s.evidence) < VX_EVIDENCE_FULL) {
        VX_FAIL(
            &err, 1,
            "--copy-model needs --evidence full or deep: only the second look asks it, and with "
            "%s there is none",
            s.evidence);
        return fail(&err, 2);
    }
    if (strcmp(s.hybrid, "auto") != 0 && strcmp(s.hybrid, "off") != 0) {
        VX_FAIL(&err, 1, "--hybrid must be auto or off, not '%s'", s.hybrid);
        return fail(&err, 2);
    }
    if (strcmp(s.index_gpu, "auto") != 0 && strcmp(s.index_gpu, "off") != 0) {
        VX_FAIL(&err, 1, "--index-gpu must be auto or off, not '%s'", s.index_gpu);
        return fail(&err, 2);
    }
    vx_fingerprints fingerprints;
    if (!vx_fingerprints_of_name(s.fingerprints, &fingerprints)) {
        VX_FAIL(&err, 1, "--fingerprints must be full, frames or off, not '%s'", s.fingerprints);
        return fail(&err, 2);
    }
    vx_clip_spec clip;
    if (vx_clip_parse(s.clip, &clip, &err)) {
        VX_WRAP(&err, "--clip");
        return fail(&err, 2);
    }
    if (vx_folders_check(s.folders, s.data, &err) ||
        vx_stores_check_access(&(vx_store_access){.folders = s.store_folders}, s.data, &err))
        return fail(&err, 2);
    if (vx_http_check_params(&(vx_http_params){.hosts = s.host, .allow_origin = s.allow_origin},
                             &err))
        return fail(&err, 2);
    vx_log_set_level((vx_log_level)level);
    sigset_t signals;
    block_signals(&signals);
    return serve(&s, &signals, &err) ? fail(&err, 1) : 0;
}
