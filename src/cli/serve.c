/* serve.c — vidx serve: settings, start, wait for a signal, stop. */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/http/http.h"
#include "api/resources/resources.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli.h"
#include "models_folder.h"
#include "options.h"
#include "server/server.h"

typedef struct settings {
    const char *listen, *data, *models, *model, *device, *clip, *encoder, *log_level, *host,
        *allow_origin;
    int64_t ingest_threads, search_threads, http_threads, queue, max_connections, idle_timeout;
    int64_t max_upload, reserve, max_side, max_json, max_embeddings_json, fetch_max;
    double max_duration, fetch_timeout;
    const char *fetch_hosts, *fetch_private;
    bool fetch_http;
    bool no_fingerprints;
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
    {"encoder", VX_OPTION_TEXT, AT(encoder), "auto", "NAME",
     "FFmpeg video encoder used when a clip is exported as MP4: auto, libx264, libopenh264, mpeg4, "
     "h264_nvenc"},
    {"device", VX_OPTION_TEXT, AT(device), "auto", "DEVICE", "auto, cpu or cuda:N"},
    {"clip", VX_OPTION_TEXT, AT(clip), "auto", "RULE", VX_CLIP_HELP},
    {"no-fingerprints", VX_OPTION_FLAG, AT(no_fingerprints), NULL, NULL, VX_NO_FINGERPRINTS_HELP},
    {"ingest-threads", VX_OPTION_COUNT, AT(ingest_threads), NULL, "N",
     "videos processed at once (0 means cores + 1)"},
    {"search-threads", VX_OPTION_COUNT, AT(search_threads), NULL, "N",
     "searches answered at once (0 means cores + 1)"},
    {"http-threads", VX_OPTION_COUNT, AT(http_threads), NULL, "N", "threads for HTTP (0 means 8)"},
    {"queue", VX_OPTION_COUNT, AT(queue), "1024", "N",
     "most videos waiting or being processed; further uploads get 503"},
    {"max-connections", VX_OPTION_COUNT, AT(max_connections), "4096", "N",
     "most HTTP connections open at once"},
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
    {"reserve", VX_OPTION_BYTES, AT(reserve), "256m", "BYTES",
     "disk space that uploads must leave free; an upload that would not gets 507"},
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

/* Every thread inherits the mask: only sigwait below takes these. */
static void block_signals(sigset_t *ret_set) {
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, ret_set, NULL);
}

static void wait_for_signal(const sigset_t *set) {
    int number = 0;
    sigwait(set, &number);
    vx_log(VX_LOG_INFO, "stopping", "signal=%d", number);
    /* A second one ends the process at once: nothing acknowledged can be lost by it. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
}

/* Probes are answered meanwhile: alive, not ready. Nothing is acknowledged before its end, so a signal
 * may end the process at once. */
static int start(const settings *s, vx_server *server, const vx_http *http, const sigset_t *signals,
                 vx_err *err) {
    char data[PATH_MAX], models[PATH_MAX];
    int n_host = (int)(strrchr(s->listen, ':') - s->listen); /* with a colon: it was listened on */
    vx_log(VX_LOG_INFO, "starting", "version=" VX_VERSION " url=http://%.*s:%d data=%s models=%s",
           n_host, s->listen, vx_http_port(http), vx_log_quote(s->data, data, sizeof data),
           vx_log_quote(server->params.models_dir, models, sizeof models));
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    int rc = vx_server_start(server, err);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    if (!rc)
        vx_log(VX_LOG_INFO, "listening", "url=http://%.*s:%d model=%s start_ms=%.0f", n_host,
               s->listen, vx_http_port(http), server->models->items[0].info->name,
               (double)(vx_clock_monotonic_us() - server->started_us) / 1e3);
    return rc;
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
        .device = s->device,
        .clip = s->clip,
        .encoder = s->encoder,
        .ingest_threads = (int)s->ingest_threads,
        .search_threads = (int)s->search_threads,
        .queue_capacity = (int)s->queue,
        .max_upload_bytes = s->max_upload,
        .reserve_bytes = s->reserve,
        .media = {.max_side_px = (int)s->max_side, .max_duration_s = s->max_duration},
        .fetch = {.hosts = s->fetch_hosts,
                  .private_hosts = s->fetch_private,
                  .allow_http = s->fetch_http,
                  .max_bytes = s->fetch_max,
                  .timeout_s = s->fetch_timeout},
        .fingerprints = !s->no_fingerprints,
    };
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
    rc = vx_http_start(server, &vx_resource_routes, &http_params, &http, err);
    if (!rc)
        rc = start(s, server, http, signals, err);
    if (!rc)
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
    vx_clip_spec clip;
    if (vx_clip_parse(s.clip, &clip, &err)) {
        VX_WRAP(&err, "--clip");
        return fail(&err, 2);
    }
    if (vx_http_check_params(&(vx_http_params){.hosts = s.host, .allow_origin = s.allow_origin},
                             &err))
        return fail(&err, 2);
    vx_log_set_level((vx_log_level)level);
    sigset_t signals;
    block_signals(&signals);
    return serve(&s, &signals, &err) ? fail(&err, 1) : 0;
}
