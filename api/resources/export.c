/* export.c — GET /v1/export: the vectors of a model as a file, of one moment, streamed. */
#include <stdio.h>
#include <string.h>

#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/resources/filters.h"
#include "api/resources/handlers.h"
#include "base/clock.h"
#include "base/log.h"
#include "export/export.h"
#include "server/server.h"

#define BLOCK_BYTES ((size_t)64 * 1024)
#define MAX_AT_ONCE                                                                                \
    4 /* each holds a connection to the catalog and keeps its log from being emptied */

static atomic_int n_running; /* exports that are being prepared or sent */
static _Atomic int64_t n_bytes, n_broken_off;

vx_exports_stats vx_exports_get_stats(void) {
    return (vx_exports_stats){.active = atomic_load(&n_running),
                              .bytes = atomic_load(&n_bytes),
                              .broken_off = atomic_load(&n_broken_off)};
}

typedef struct export_request {
    vx_request *request;
    vx_export_params params;
    vx_filter *filter; /* NULL: all */
    vx_export *export; /* once it is open; owned until it streams */
    bool streams;      /* the reply counts it from here on */
    bool refused;      /* no search thread took it */
    int rc;
    vx_err err;
} export_request;

static void free_request(void *state) {
    export_request *e = state;
    if (!e->streams) {
        vx_export_free(e->export);
        atomic_fetch_sub(&n_running, 1);
    }
    vx_filter_free(e->filter);
    free(e);
}

/* ---- the stream ---- */

#define SLOWEST_BYTES_PER_S ((int64_t)64 * 1024)
#define STRETCH_US (60 * INT64_C(1000000)) /* over which it is measured */

typedef struct stream {
    vx_export *export;
    const char *bytes; /* [n] still to be sent, from `sent` on */
    size_t n, sent;
    int64_t stretch_us;    /* its start, later by the time that the export itself has taken */
    int64_t stretch_bytes; /* taken since then */
} stream;

static void free_stream(void *ctx) {
    stream *s = ctx;
    vx_export_free(s->export);
    atomic_fetch_sub(&n_running, 1);
    free(s);
}

/* Who takes a little now and then would hold the snapshot for ever, and the catalog's log with it. */
static bool is_too_slow(stream *s) {
    int64_t now_us = vx_clock_monotonic_us(), us = now_us - s->stretch_us;
    if (us < STRETCH_US)
        return false;
    bool slow = s->stretch_bytes < us / 1000000 * SLOWEST_BYTES_PER_S;
    s->stretch_us = now_us;
    s->stretch_bytes = 0;
    return slow;
}

static ssize_t break_off(void) {
    atomic_fetch_add(&n_broken_off, 1);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static ssize_t read_stream(void *ctx, uint64_t at, char *buffer, size_t capacity) {
    (void)at;
    stream *s = ctx;
    vx_err err;
    if (is_too_slow(s)) {
        vx_log(VX_LOG_WARN, "export",
               "message=\"broken off: the client takes less than 64 KiB a second\"");
        return break_off();
    }
    if (s->sent == s->n) {
        const void *bytes;
        int64_t start_us = vx_clock_monotonic_us();
        int rc = vx_export_next(s->export, &bytes, &s->n, &err);
        s->stretch_us += vx_clock_monotonic_us() - start_us;
        s->sent = 0;
        if (rc) {
            vx_log_failed(VX_LOG_WARN, "export", &err, "hint=\"the reply is broken off\"");
            return break_off();
        }
        if (!s->n)
            return MHD_CONTENT_READER_END_OF_STREAM;
        s->bytes = bytes;
    }
    size_t n = s->n - s->sent < capacity ? s->n - s->sent : capacity;
    memcpy(buffer, s->bytes + s->sent, n);
    s->sent += n;
    s->stretch_bytes += (int64_t)n;
    atomic_fetch_add(&n_bytes, (int64_t)n);
    return (ssize_t)n;
}

static void add_headers(vx_request *request, vx_export_format format, int64_t rows) {
    static const char *const names[] = {"video_index.faiss",  "embeddings.npy", "clips.jsonl",
                                        "embeddings.parquet", "labels.npy",     "0.parquet"};
    char text[96];
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, vx_export_content_type(format));
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    snprintf(text, sizeof text, "attachment; filename=\"%s\"", names[format]);
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_DISPOSITION, text);
    snprintf(text, sizeof text, "%lld", (long long)rows);
    vx_reply_header(request, "X-Rows", text);
}

static void finish(vx_request *request) {
    export_request *e = request->state;
    if (e->refused) {
        vx_reply_problem(request, VX_PROBLEM_BUSY, NULL);
        return;
    }
    if (e->rc == VX_CATALOG_NOT_FOUND) {
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND, "Not found: %s.", e->err.msg);
        return;
    }
    if (e->rc) {
        vx_reply_failure(request, &e->err);
        return;
    }
    stream *s = vx_new(stream);
    if (!s) {
        request->failed = true;
        return;
    }
    s->export = e->export;
    s->stretch_us = vx_clock_monotonic_us();
    e->streams = true;
    int64_t rows = vx_export_rows(s->export);
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                                      read_stream, s, free_stream);
    if (!response)
        free_stream(s);
    vx_reply_response(request, VX_SUCCESS_OK, response, -1);
    add_headers(request, e->params.format, rows);
}

/* ---- the request ---- */

static void run(void *ctx) {
    export_request *e = ctx;
    e->rc = vx_export_open(&e->params, &e->export, &e->err);
    vx_request_wake(e->request);
}

/* False after a reply. */
static bool read_request(vx_request *request, export_request *e) {
    vx_server *server = request->server;
    vx_err err;
    int format;
    if (!vx_params_choice(request, "format", VX_EXPORT_FORMATS, VX_EXPORT_JSONL, &format) ||
        !vx_filters_read_value(request, NULL, &e->filter))
        return false;
    vx_model *model = vx_models_find(server->models, vx_request_value(request, "model"), &err);
    if (!model) {
        vx_reply_problem(request, VX_PROBLEM_WRONG_SPACE, "%s", err.msg);
        return false;
    }
    const char *clustering = vx_request_value(request, "clustering");
    const char *refused = vx_export_refuses((vx_export_format)format, clustering);
    if (refused) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "format: %s", refused);
        return false;
    }
    e->request = request;
    e->params = (vx_export_params){.catalog = server->catalog,
                                   .model = model->info->name,
                                   .space = model->space,
                                   .dim = model->info->dim,
                                   .format = (vx_export_format)format,
                                   .clustering = clustering,
                                   .filter = e->filter,
                                   .stop = &server->stopping};
    return true;
}

void vx_export_get(vx_request *request) {
    if (atomic_fetch_add(&n_running, 1) >= MAX_AT_ONCE) {
        atomic_fetch_sub(&n_running, 1);
        vx_reply_problem(request, VX_PROBLEM_BUSY, "%d exports run already.", MAX_AT_ONCE);
        return;
    }
    export_request *e = request->state = vx_new(export_request);
    if (!e) {
        atomic_fetch_sub(&n_running, 1);
        request->failed = true;
        return;
    }
    request->state_free = free_request;
    if (!read_request(request, e))
        return;
    vx_request_wait(request, finish);
    if (!vx_search_run(request->server->search, run, e)) {
        e->refused = true;
        vx_request_wake(request);
    }
}
