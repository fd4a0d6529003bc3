/* metrics.c — GET /v1/metrics (Prometheus text 0.0.4) and GET /v1/stats (the same as JSON). */
#include "api/metrics.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon.h"
#include "api/reply.h"
#include "api/resources.h"
#include "base/clock.h"
#include "server/server.h"

/* ---- Counting ---- */

/* Upper bounds in seconds: from answers out of memory to the embedding of a long film. */
static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                0.5,   1,      2.5,   5,    10,    30,   60,  300};
#define N_BUCKETS (VX_LEN(bounds) + 1)
#define N_STATUSES 600
#define MAX_ROUTES 64

typedef struct route_traffic {
    atomic_llong by_status[N_STATUSES];
    atomic_llong buckets[N_BUCKETS];
    atomic_llong total_us;
} route_traffic;

struct vx_traffic {
    route_traffic routes[MAX_ROUTES + 1]; /* the last: no route matched */
};

vx_traffic *vx_traffic_new(void) {
    return vx_route_count() <= MAX_ROUTES ? vx_new(vx_traffic) : NULL;
}

vx_traffic *vx_traffic_free(vx_traffic *traffic) {
    free(traffic);
    return NULL;
}

void vx_traffic_count(vx_traffic *traffic, const vx_route *route, unsigned status, int64_t us) {
    route_traffic *r = &traffic->routes[route ? vx_route_index(route) : MAX_ROUTES];
    size_t bucket = 0;
    while (bucket < VX_LEN(bounds) && (double)us > bounds[bucket] * 1e6)
        bucket++;
    atomic_fetch_add_explicit(&r->by_status[status < N_STATUSES ? status : 0], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&r->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->total_us, us, memory_order_relaxed);
}

/* ---- Gathering ---- */

typedef struct model_report {
    const vx_model_info *info;
    vx_embedder_stats embedder;
    int64_t vectors, missing, index_bytes, failures;
} model_report;

typedef struct report {
    vx_ingest_stats ingest;
    vx_search_stats query;
    model_report models[VX_MODELS_MAX];
    int n_models;
    int64_t videos, memory_bytes, disk_free_bytes, connections, waiting;
    double uptime_s;
} report;

static int64_t resident_bytes(void) {
    long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    int n = fscanf(file, "%lld %lld", &pages, &resident);
    fclose(file);
    return n == 2 ? resident * sysconf(_SC_PAGESIZE) : 0;
}

static int gather_model(vx_server *server, vx_model *model, model_report *ret_report, vx_err *err) {
    ret_report->info = model->info;
    ret_report->vectors = vx_index_count(model->index);
    ret_report->index_bytes = (int64_t)vx_index_memory_bytes(model->index);
    ret_report->failures = atomic_load(&model->failures);
    vx_embedder_get_stats(model->embedder, &ret_report->embedder);
    return vx_models_count_missing(model, server->catalog, &ret_report->missing, err);
}

static int gather(vx_request *request, report *ret_report, vx_err *err) {
    vx_server *server = request->server;
    vx_ingest_get_stats(server->ingest, &ret_report->ingest);
    vx_search_get_stats(server->search, &ret_report->query);
    ret_report->memory_bytes = resident_bytes();
    ret_report->connections = atomic_load(&request->http->active);
    ret_report->waiting = atomic_load(&request->http->waiting);
    ret_report->uptime_s = (double)(vx_clock_monotonic_us() - server->started_us) / 1e6;
    int rc = vx_catalog_count_videos(server->catalog, &ret_report->videos, err);
    if (!rc)
        rc = vx_store_get_free(server->store, &ret_report->disk_free_bytes, err);
    for (int i = 0; i < server->models->n && !rc; i++)
        rc = gather_model(server, &server->models->items[i], &ret_report->models[i], err);
    ret_report->n_models = server->models->n;
    return rc;
}

/* ---- Prometheus ---- */

static void head(vx_out *out, const char *name, const char *type, const char *help) {
    vx_out_text(out, "# HELP vidx_%s %s\n# TYPE vidx_%s %s\n", name, help, name, type);
}

static void single(vx_out *out, const char *name, const char *type, const char *help,
                   double value) {
    head(out, name, type, help);
    vx_out_text(out, "vidx_%s %.15g\n", name, value);
}

static void labels(char *ret_text, size_t capacity, size_t route) {
    if (route == MAX_ROUTES)
        snprintf(ret_text, capacity, "method=\"\",route=\"none\"");
    else
        snprintf(ret_text, capacity, "method=\"%s\",route=\"%s\"", vx_route_at(route)->method,
                 vx_route_at(route)->path);
}

static int64_t requests_of(const route_traffic *r) {
    int64_t n = 0;
    for (size_t i = 0; i < N_BUCKETS; i++)
        n += atomic_load_explicit(&r->buckets[i], memory_order_relaxed);
    return n;
}

static void write_statuses(vx_out *out, vx_traffic *traffic) {
    char where[160];
    head(out, "http_requests_total", "counter", "Answers by route and status (499: client left).");
    for (size_t i = 0; i <= MAX_ROUTES; i++) {
        if (i >= vx_route_count() && i != MAX_ROUTES)
            continue;
        labels(where, sizeof where, i);
        for (int status = 0; status < N_STATUSES; status++) {
            long long n = atomic_load(&traffic->routes[i].by_status[status]);
            if (n)
                vx_out_text(out, "vidx_http_requests_total{%s,status=\"%d\"} %lld\n", where, status,
                            n);
        }
    }
}

static void write_durations(vx_out *out, vx_traffic *traffic) {
    char where[160];
    head(out, "http_request_seconds", "histogram", "Time from the request line to the last byte.");
    for (size_t i = 0; i <= MAX_ROUTES; i++) {
        const route_traffic *r = &traffic->routes[i];
        if (!requests_of(r))
            continue;
        labels(where, sizeof where, i);
        long long sum = 0;
        for (size_t b = 0; b < N_BUCKETS; b++) {
            char bound[24] = "+Inf";
            if (b < VX_LEN(bounds))
                snprintf(bound, sizeof bound, "%g", bounds[b]);
            sum += atomic_load(&r->buckets[b]);
            vx_out_text(out, "vidx_http_request_seconds_bucket{%s,le=\"%s\"} %lld\n", where, bound,
                        sum);
        }
        vx_out_text(out, "vidx_http_request_seconds_sum{%s} %.6f\n", where,
                    (double)atomic_load(&r->total_us) / 1e6);
        vx_out_text(out, "vidx_http_request_seconds_count{%s} %lld\n", where, sum);
    }
}

static void write_ingest(vx_out *out, const vx_ingest_stats *ingest) {
    head(out, "ingest_finished_total", "counter", "Videos whose way ended, by outcome.");
    for (int i = 0; i <= VX_OUTCOME_INTERNAL; i++)
        vx_out_text(out, "vidx_ingest_finished_total{outcome=\"%s\"} %lld\n",
                    vx_outcome_name((vx_outcome)i), (long long)ingest->finished[i]);
    head(out, "ingest_verdicts_total", "counter", "Duplicate verdicts of stored uploads.");
    for (int i = 0; i < 4; i++)
        vx_out_text(out, "vidx_ingest_verdicts_total{verdict=\"%s\"} %lld\n",
                    vx_verdict_name((vx_verdict_kind)i), (long long)ingest->verdicts[i]);
    head(out, "ingest_phase_seconds_total", "counter", "Time spent, by phase.");
    for (int i = 0; i < VX_PHASE_DONE; i++)
        vx_out_text(out, "vidx_ingest_phase_seconds_total{phase=\"%s\"} %.6f\n",
                    vx_phase_name((vx_phase)i), (double)ingest->phase_us[i] / 1e6);
    head(out, "ingest_phase_videos", "gauge", "Videos in each phase now.");
    for (int i = 0; i < VX_PHASE_DONE; i++)
        vx_out_text(out, "vidx_ingest_phase_videos{phase=\"%s\"} %lld\n",
                    vx_phase_name((vx_phase)i), (long long)ingest->phase_now[i]);
    single(out, "ingest_queue_videos", "gauge", "Videos that wait for the ingest pool.",
           (double)ingest->queued);
    single(out, "ingest_bytes_total", "counter", "Bytes of the videos taken in.",
           (double)ingest->bytes);
    single(out, "ingest_frames_decoded_total", "counter", "Frames decoded.",
           (double)ingest->frames_decoded);
    single(out, "ingest_frames_total", "counter", "Frames in the videos taken in.",
           (double)ingest->frames_total);
    single(out, "ingest_clips_total", "counter", "Clips embedded.", (double)ingest->clips);
}

static double model_figure(const model_report *m, int which) {
    const double figures[] = {
        (double)m->vectors,        (double)m->missing,          (double)m->index_bytes,
        (double)m->embedder.clips, (double)m->embedder.batches, (double)m->embedder.busy_us / 1e6,
        (double)m->failures,       (double)m->embedder.batch,   (double)m->embedder.out_of_memory};
    return figures[which];
}

static void write_models(vx_out *out, const report *r) {
    static const struct {
        const char *name, *type, *help;
    } rows[] = {
        {"index_vectors", "gauge", "Vectors in the index, by model."},
        {"index_missing_vectors", "gauge", "Stored clips without a vector, by model."},
        {"index_bytes", "gauge", "Memory of the index, by model."},
        {"model_clips_total", "counter", "Clips run through the model."},
        {"model_batches_total", "counter", "Batches run through the model."},
        {"model_busy_seconds_total", "counter", "Time inside the model."},
        {"model_failures_total", "counter", "Videos stored without vectors as the model failed."},
        {"model_batch_clips", "gauge", "Clips that the model runs at once at most."},
        {"model_out_of_memory_total", "counter", "Runs that the device had no room for."},
    };
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        head(out, rows[i].name, rows[i].type, rows[i].help);
        for (int m = 0; m < r->n_models; m++)
            vx_out_text(out, "vidx_%s{model=\"%s\"} %.15g\n", rows[i].name, r->models[m].info->name,
                        model_figure(&r->models[m], (int)i));
    }
}

static void write_rest(vx_out *out, const report *r) {
    head(out, "search_finished_total", "counter", "Searches that ended, by outcome.");
    for (int i = 0; i <= VX_OUTCOME_INTERNAL; i++)
        vx_out_text(out, "vidx_search_finished_total{outcome=\"%s\"} %lld\n",
                    vx_outcome_name((vx_outcome)i), (long long)r->query.finished[i]);
    single(out, "search_seconds_total", "counter", "Time spent searching.",
           (double)r->query.total_us / 1e6);
    single(out, "search_queue", "gauge", "Searches that wait.", (double)r->query.queued);
    single(out, "videos", "gauge", "Videos stored.", (double)r->videos);
    single(out, "http_requests_active", "gauge", "Requests being read or answered.",
           (double)r->connections);
    single(out, "http_requests_waiting", "gauge", "Requests suspended until their work ends.",
           (double)r->waiting);
    single(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
           (double)r->memory_bytes);
    single(out, "disk_free_bytes", "gauge",
           "Room on the data disk; below --reserve uploads get 507.", (double)r->disk_free_bytes);
    single(out, "uptime_seconds", "gauge", "Time since the server opened.", r->uptime_s);
    head(out, "build_info", "gauge", "The version that runs, as a label.");
    vx_out_text(out, "vidx_build_info{version=\"%s\"} 1\n", VX_VERSION);
}

void vx_metrics_get(vx_request *request) {
    report r = {0};
    vx_err err;
    if (gather(request, &r, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    write_statuses(&out, request->http->traffic);
    write_durations(&out, request->http->traffic);
    write_ingest(&out, &r.ingest);
    write_models(&out, &r);
    write_rest(&out, &r);
    if (out.failed) {
        request->failed = true;
        return;
    }
    size_t n = out.n;
    vx_reply_bytes(request, vx_take(out.text), n, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- JSON ---- */

static void write_ingest_json(vx_out *out, const vx_ingest_stats *ingest) {
    vx_out_begin(out, "ingest", '{');
    vx_out_int(out, "queued", ingest->queued);
    vx_out_int(out, "bytes", ingest->bytes);
    vx_out_int(out, "clips", ingest->clips);
    vx_out_int(out, "frames_decoded", ingest->frames_decoded);
    vx_out_int(out, "frames_total", ingest->frames_total);
    vx_out_begin(out, "finished", '{');
    for (int i = 0; i <= VX_OUTCOME_INTERNAL; i++)
        vx_out_int(out, vx_outcome_name((vx_outcome)i), ingest->finished[i]);
    vx_out_end(out, '}');
    vx_out_begin(out, "verdicts", '{');
    for (int i = 0; i < 4; i++)
        vx_out_int(out, vx_verdict_name((vx_verdict_kind)i), ingest->verdicts[i]);
    vx_out_end(out, '}');
    vx_out_begin(out, "phases", '{');
    for (int i = 0; i < VX_PHASE_DONE; i++) {
        vx_out_begin(out, vx_phase_name((vx_phase)i), '{');
        vx_out_int(out, "now", ingest->phase_now[i]);
        vx_out_number(out, "total_s", (double)ingest->phase_us[i] / 1e6);
        vx_out_end(out, '}');
    }
    vx_out_end(out, '}');
    vx_out_end(out, '}');
}

static void write_models_json(vx_out *out, const report *r) {
    vx_out_begin(out, "models", '{');
    for (int i = 0; i < r->n_models; i++) {
        const model_report *m = &r->models[i];
        vx_out_begin(out, m->info->name, '{');
        vx_out_int(out, "vectors", m->vectors);
        vx_out_int(out, "missing", m->missing);
        vx_out_int(out, "index_bytes", m->index_bytes);
        vx_out_int(out, "clips", m->embedder.clips);
        vx_out_int(out, "batches", m->embedder.batches);
        vx_out_number(out, "busy_s", (double)m->embedder.busy_us / 1e6);
        vx_out_int(out, "failures", m->failures);
        vx_out_end(out, '}');
    }
    vx_out_end(out, '}');
}

void vx_stats_get(vx_request *request) {
    report r = {0};
    vx_err err;
    if (gather(request, &r, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "version", VX_VERSION);
    vx_out_number(&out, "uptime_s", r.uptime_s);
    vx_out_int(&out, "videos", r.videos);
    vx_out_int(&out, "vectors", r.models[0].vectors);
    vx_out_int(&out, "memory_bytes", r.memory_bytes);
    vx_out_begin(&out, "requests", '{');
    vx_out_int(&out, "active", r.connections);
    vx_out_int(&out, "waiting", r.waiting);
    vx_out_end(&out, '}');
    write_ingest_json(&out, &r.ingest);
    vx_out_begin(&out, "search", '{');
    vx_out_int(&out, "queued", r.query.queued);
    vx_out_int(&out, "finished", r.query.finished[VX_OUTCOME_OK]);
    vx_out_number(&out, "total_s", (double)r.query.total_us / 1e6);
    vx_out_end(&out, '}');
    write_models_json(&out, &r);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}
