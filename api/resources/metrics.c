/* metrics.c — GET /v1/metrics (Prometheus text 0.0.4) and GET /v1/stats (JSON), from one table. */
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/http/daemon.h"
#include "api/http/reply.h"
#include "api/http/traffic.h"
#include "api/resources/handlers.h"
#include "base/clock.h"
#include "server/server.h"

/* ---- The figures ---- */

typedef struct model_report {
    const char *name;
    vx_embedder_stats embedder;
    int64_t vectors, missing, index_bytes, index_gpu_bytes, failures, batch;
} model_report;

typedef struct store_report {
    char name[VX_STORE_NAME_CHARS + 1];
    int64_t equal, waiting, lag_us, sent, removed, refused, failures;
} store_report;

typedef struct report {
    vx_ingest_stats ingest;
    vx_search_stats query;
    vx_verify_stats verify;
    vx_duplicates_stats duplicates;
    vx_imports_stats imports;
    vx_exports_stats exports;
    vx_decoder_stats decoder;           /* zeros without a card */
    model_report models[VX_MODELS_MAX]; /* [n_models], the default first */
    int n_models;
    store_report stores[VX_STORES_MAX]; /* [n_stores] */
    int n_stores;
    int64_t folder_files[VX_FOLDER_STATES], folder_bytes[VX_FOLDER_STATES], folders, folders_away,
        folders_limited;
    int64_t jobs_parked, jobs_waiting, clusterings;
    int64_t filter_bytes, filter_rebuilding;
    int64_t copy_pictures, copy_index_bytes, copy_failures; /* zeros without a copy model */
    int64_t videos, videos_outdated, missing_files, memory_bytes, disk_free_bytes, active, waiting,
        uptime_us;
    int64_t one; /* 1, for metrics whose labels are the information */
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

static int gather_stores(vx_server *server, report *r, vx_err *err) {
    VX_AUTO_FREE vx_store_view *views = NULL;
    size_t n = 0;
    int rc = vx_stores_list(server->stores, &views, &n, err);
    for (size_t i = 0; i < n && i < VX_LEN(r->stores); i++) {
        const vx_store_view *view = &views[i];
        store_report *s = &r->stores[r->n_stores++];
        memcpy(s->name, view->name, sizeof s->name);
        s->equal = view->state == VX_STORE_EQUAL;
        s->waiting = view->waiting_videos;
        s->lag_us = view->behind_us;
        s->sent = view->sent;
        s->removed = view->removed;
        s->refused = view->refused;
        s->failures = view->failures;
    }
    return rc;
}

static int gather_folders(vx_server *server, report *r, vx_err *err) {
    vx_folder_view *views = NULL;
    size_t n = 0;
    int rc = vx_folders_list(server->folders, NULL, &views, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        bool is_given = views[i].health != VX_FOLDER_UNUSED;
        r->folders += is_given;
        r->folders_away += views[i].health == VX_FOLDER_AWAY || views[i].health == VX_FOLDER_EMPTY;
        r->folders_limited += views[i].limited;
        for (int k = 0; k < VX_FOLDER_STATES; k++) {
            r->folder_files[k] += views[i].files[k];
            r->folder_bytes[k] += views[i].bytes[k];
        }
    }
    if (!rc)
        vx_folder_views_free(views, n);
    return rc;
}

static void gather_copy_model(const vx_server *server, report *r) {
    if (!server->models->copy)
        return;
    vx_model *copy = &server->models->copy->items[0];
    r->copy_pictures = vx_index_count(copy->index);
    r->copy_index_bytes = (int64_t)vx_index_memory_bytes(copy->index);
    r->copy_failures = atomic_load(&copy->failures);
}

static int gather(vx_request *request, report *r, vx_err *err) {
    vx_server *server = request->server;
    vx_ingest_get_stats(server->ingest, &r->ingest);
    vx_search_get_stats(server->search, &r->query);
    vx_duplicates_get_stats(server->duplicates, &r->duplicates);
    vx_imports_get_stats(server->imports, &r->imports);
    r->exports = vx_exports_get_stats();
    r->missing_files = vx_collection_count_missing_files(server->collection);
    r->filter_bytes = (int64_t)vx_filter_columns_memory_bytes(server->collection->columns);
    r->filter_rebuilding = vx_collection_has_lost_columns(server->collection);
    vx_decoders_get_stats(&server->decoders, &r->decoder);
    r->memory_bytes = resident_bytes();
    r->active = atomic_load(&request->http->active);
    r->waiting = atomic_load(&request->http->waiting);
    r->uptime_us = vx_clock_monotonic_us() - server->started_us;
    r->one = 1;
    r->n_models = server->models->n;
    gather_copy_model(server, r);
    int rc = vx_catalog_count_videos(server->catalog, &r->videos, err);
    if (!rc)
        rc = vx_catalog_count_outdated(server->catalog, VX_MEDIA_RULES,
                                       (int)server->extractor.fingerprints, &r->videos_outdated,
                                       err);
    if (!rc)
        rc = vx_verify_get_stats(server->verify, &r->verify, err);
    if (!rc)
        rc = vx_catalog_count_jobs(server->catalog, &r->jobs_parked, &r->jobs_waiting, err);
    if (!rc)
        rc = vx_catalog_count_clusterings(server->catalog, &r->clusterings, err);
    if (!rc)
        rc = vx_store_get_free(server->store, &r->disk_free_bytes, err);
    if (!rc)
        rc = gather_stores(server, r, err);
    if (!rc)
        rc = gather_folders(server, r, err);
    for (int i = 0; i < server->models->n && !rc; i++) {
        vx_model *model = &server->models->items[i];
        model_report *m = &r->models[i];
        m->name = model->info->name;
        m->vectors = vx_index_count(model->index);
        m->index_bytes = (int64_t)vx_index_memory_bytes(model->index);
        vx_index_gpu_state on_gpu;
        vx_index_get_gpu_state(model->index, &on_gpu);
        m->index_gpu_bytes = on_gpu.bytes;
        m->failures = atomic_load(&model->failures);
        vx_embedder_get_stats(model->embedder, &m->embedder);
        m->batch = m->embedder.batch;
        rc = vx_models_count_missing(model, server->catalog, &m->missing, err);
    }
    return rc;
}

/* ---- The table ---- */

/* Which label a metric has; it has one value for each value of the label. */
typedef enum label {
    NONE,
    OUTCOME,
    VERDICT,
    PHASE,
    MODEL,
    PATH,
    REASON,
    VERSION,
    STORE,
    EVIDENCE,
    FOLDER_STATE,
    N_LABELS
} label;

static const char *const label_names[N_LABELS] = {
    [OUTCOME] = "outcome", [VERDICT] = "verdict",    [PHASE] = "phase",     [MODEL] = "model",
    [PATH] = "path",       [REASON] = "reason",      [VERSION] = "version", [STORE] = "store",
    [EVIDENCE] = "result", [FOLDER_STATE] = "state",
};

static int label_count(label kind, const report *r) {
    return kind == OUTCOME        ? VX_OUTCOME_INTERNAL + 1
           : kind == VERDICT      ? (int)VX_LEN(r->ingest.verdicts)
           : kind == PHASE        ? VX_PHASE_DONE
           : kind == MODEL        ? r->n_models
           : kind == PATH         ? VX_MEDIA_N_PATHS
           : kind == REASON       ? r->decoder.n_reasons
           : kind == STORE        ? r->n_stores
           : kind == EVIDENCE     ? VX_EVIDENCE_KINDS
           : kind == FOLDER_STATE ? VX_FOLDER_STATES
                                  : 1;
}

static const char *label_value(label kind, int i, const report *r) {
    switch (kind) {
    case OUTCOME:
        return vx_outcome_name((vx_outcome)i);
    case VERDICT:
        return vx_verdict_name((vx_verdict_kind)i);
    case PHASE:
        return vx_phase_name((vx_phase)i);
    case MODEL:
        return r->models[i].name;
    case PATH:
        return vx_media_path_name((vx_media_path)i);
    case REASON:
        return r->decoder.reasons[i];
    case STORE:
        return r->stores[i].name;
    case EVIDENCE:
        return vx_evidence_kind_name((vx_evidence_kind)i);
    case FOLDER_STATE:
        return vx_folder_state_name((vx_folder_state)i);
    case VERSION:
        return VX_VERSION;
    default:
        return "";
    }
}

typedef enum unit { COUNT, SECONDS } unit; /* SECONDS: kept in microseconds */

typedef struct metric {
    const char *name; /* in Prometheus, after "vidx_"; NULL: only in JSON */
    const char *type, *help;
    const char *path; /* in JSON: names from the top, "*" is the label; NULL: only in Prometheus */
    size_t offset;    /* of the int64_t in report; for the label's first value */
    label label;
    unit unit;
    /* For metrics by route, which have more labels; instead of offset and label. */
    void (*write)(vx_out *out, const char *name, const struct vx_http *http);
} metric;

static void write_replies(vx_out *out, const char *name, const struct vx_http *http);
static void write_durations(vx_out *out, const char *name, const struct vx_http *http);

#define GAUGE "gauge"
#define COUNTER "counter"
#define AT(field) offsetof(report, field)
#define BY_STORE(field) offsetof(report, stores[0].field), STORE
#define BY_MODEL(field) offsetof(report, models[0].field), MODEL

/* The order is that of the members in JSON. */
static const metric metrics[] = {
    {"uptime_seconds", GAUGE, "Time since the server started.", "uptime_s", AT(uptime_us), NONE,
     SECONDS},
    {"videos", GAUGE, "Videos stored.", "videos", AT(videos)},
    {"videos_outdated", GAUGE,
     "Videos that an older version read by other rules; POST /v1/reread reads them again.",
     "videos_outdated", AT(videos_outdated)},
    {"missing_files", GAUGE,
     "Videos whose stored file is gone or cut off, as of the last look (at start and every hour).",
     "missing_files", AT(missing_files)},
    {NULL, NULL, NULL, "vectors", AT(models[0].vectors)},
    {"process_resident_memory_bytes", GAUGE, "Resident memory.", "memory_bytes", AT(memory_bytes)},
    {"disk_free_bytes", GAUGE, "Free space on the data disk; below --reserve uploads get 507.",
     NULL, AT(disk_free_bytes)},
    {"build_info", GAUGE, "Version of the program, as a label.", NULL, AT(one), VERSION},

    {"http_requests_active", GAUGE, "Requests that are being read or answered.", "requests.active",
     AT(active)},
    {"http_requests_waiting", GAUGE, "Requests that are suspended until their work ends.",
     "requests.waiting", AT(waiting)},
    {"http_requests_total", COUNTER, "Replies by route and status (499: the client left).",
     .write = write_replies},
    {"http_request_seconds", "histogram", "Time from the request line to the last byte.",
     .write = write_durations},

    {"exports_active", GAUGE, "Exports that are being prepared or sent.", NULL, AT(exports.active)},
    {"export_bytes_total", COUNTER, "Bytes of exports sent.", NULL, AT(exports.bytes)},
    {"exports_broken_off_total", COUNTER, "Exports that were not sent to their end.", NULL,
     AT(exports.broken_off)},

    {"ingest_queue_videos", GAUGE, "Videos that wait for the ingest pool.", "ingest.queued",
     AT(ingest.queued)},
    {"ingest_bytes_total", COUNTER, "Bytes of the videos ingested.", "ingest.bytes",
     AT(ingest.bytes)},
    {"ingest_clips_total", COUNTER, "Clips embedded.", "ingest.clips", AT(ingest.clips)},
    {"ingest_frames_decoded_total", COUNTER, "Frames decoded.", "ingest.frames_decoded",
     AT(ingest.frames_decoded)},
    {"ingest_frames_total", COUNTER, "Frames in the videos ingested.", "ingest.frames_total",
     AT(ingest.frames_total)},
    {"ingest_finished_total", COUNTER, "Videos that left the pipeline, by outcome.",
     "ingest.finished.*", AT(ingest.finished), OUTCOME},
    {"ingest_verdicts_total", COUNTER, "Duplicate verdicts of stored uploads.", "ingest.verdicts.*",
     AT(ingest.verdicts), VERDICT},
    {"ingest_evidence_checks_total", COUNTER,
     "Matches of uploads whose pictures were looked at again, by what that said.",
     "ingest.evidence.checks.*", AT(ingest.checks), EVIDENCE},
    {"ingest_evidence_seconds_total", COUNTER, "Time that took.", "ingest.evidence.seconds",
     AT(ingest.checks_us), NONE, SECONDS},
    {"ingest_phase_videos", GAUGE, "Videos in each phase now.", "ingest.phases.*.now",
     AT(ingest.phase_now), PHASE},
    {"ingest_phase_seconds_total", COUNTER, "Time spent, by phase.", "ingest.phases.*.total_s",
     AT(ingest.phase_us), PHASE, SECONDS},

    {"evidence_pending_videos", GAUGE, "Videos that wait for the second look at their pictures.",
     "evidence.pending", AT(verify.pending)},
    {"evidence_lag_seconds", GAUGE, "For how long the oldest of these has waited.",
     "evidence.lag_s", AT(verify.lag_us), NONE, SECONDS},
    {"evidence_videos_total", COUNTER, "Videos that were looked at a second time.",
     "evidence.videos", AT(verify.videos)},
    {"evidence_revised_total", COUNTER, "Verdicts that this revised.", "evidence.revised",
     AT(verify.revised)},
    {"evidence_failed_total", COUNTER,
     "Videos that were given up, because the server ended each time it looked at them.",
     "evidence.failed", AT(verify.failed)},
    {"evidence_looks_total", COUNTER,
     "Stored videos that they were compared with, by what that said.", "evidence.looks.*",
     AT(verify.looks), EVIDENCE},
    {"evidence_seconds_total", COUNTER, "Time that took.", "evidence.seconds", AT(verify.looks_us),
     NONE, SECONDS},
    {"copy_pictures", GAUGE, "Pictures, described by the copy model, that videos are found by.",
     "copy_model.pictures", AT(copy_pictures)},
    {"copy_index_bytes", GAUGE, "Memory of their index.", "copy_model.index_bytes",
     AT(copy_index_bytes)},
    {"copy_described_videos_total", COUNTER, "Videos that the copy model described.",
     "copy_model.described", AT(verify.described)},
    {"copy_undescribed_videos", GAUGE,
     "Videos of before the start that the copy model has yet to describe.",
     "copy_model.undescribed", AT(verify.undescribed)},
    {"copy_failures_total", COUNTER, "Videos on which the copy model failed.",
     "copy_model.failures", AT(copy_failures)},

    {"decoded_videos_total", COUNTER,
     "With a GPU: videos decoded, by path (mixed: the GPU gave up).", NULL, AT(decoder.n_clips),
     PATH},
    {"decode_refusals_total", COUNTER, "With a GPU: videos that it left to the CPU, by reason.",
     NULL, AT(decoder.n_refused), REASON},

    {"jobs_waiting", GAUGE,
     "Jobs that failed by a fault of the server and wait for their next try.", "jobs.waiting",
     AT(jobs_waiting)},
    {"jobs_parked", GAUGE, "Jobs that were tried too often and wait for POST /v1/jobs/{id}/retry.",
     "jobs.parked", AT(jobs_parked)},

    {"duplicate_scans_finished_total", COUNTER, "Scans for duplicates that ended, by outcome.",
     "duplicates.scans.*", AT(duplicates.scans), OUTCOME},
    {"duplicate_videos_scanned_total", COUNTER, "Videos that scans compared with all others.",
     "duplicates.videos_scanned", AT(duplicates.videos_scanned)},
    {"duplicate_pairs_compared_total", COUNTER, "Pairs of videos whose pictures scans compared.",
     "duplicates.pairs_compared", AT(duplicates.pairs_compared)},
    {"duplicate_pairs_found_total", COUNTER, "Related pairs that scans stored.",
     "duplicates.pairs_found", AT(duplicates.pairs_found)},
    {"duplicate_decisions_total", COUNTER, "Decisions about duplicates.", "duplicates.decisions",
     AT(duplicates.decisions)},
    {"duplicate_decisions_undone_total", COUNTER, "Decisions that were undone.",
     "duplicates.decisions_undone", AT(duplicates.undone)},
    {"duplicate_videos_deleted_total", COUNTER, "Videos deleted by decisions.",
     "duplicates.videos_deleted", AT(duplicates.videos_deleted)},
    {"duplicate_bytes_deleted_total", COUNTER, "Bytes of their files.", "duplicates.bytes_deleted",
     AT(duplicates.bytes_deleted)},
    {"duplicate_deletions_failed_total", COUNTER, "Times that deleting failed; it is tried again.",
     "duplicates.deletions_failed", AT(duplicates.deletions_failed)},

    {"imports_finished_total", COUNTER, "Imports that ended, by outcome.", "imports.finished.*",
     AT(imports.finished), OUTCOME},
    {"import_rows_total", COUNTER, "Rows that imports read.", "imports.rows", AT(imports.rows)},
    {"import_rows_refused_total", COUNTER, "Rows that imports refused.", "imports.rows_refused",
     AT(imports.refused)},
    {"import_videos_total", COUNTER, "Videos that imports stored.", "imports.videos",
     AT(imports.videos)},
    {"import_vectors_total", COUNTER, "Vectors that imports stored.", "imports.vectors",
     AT(imports.vectors)},
    {"import_seconds_total", COUNTER, "Time spent importing.", "imports.total_s",
     AT(imports.total_us), NONE, SECONDS},

    {"folders", GAUGE, "Folders that are indexed in place.", "folders.given", AT(folders)},
    {"folders_away", GAUGE, "Of these, such that are not there, or are empty: not mounted.",
     "folders.away", AT(folders_away)},
    {"folders_limited", GAUGE, "Of these, such that inotify has too few watches for.",
     "folders.limited", AT(folders_limited)},
    {"folder_files", GAUGE, "Files in folders in place, by state.", "folders.files.*",
     AT(folder_files), FOLDER_STATE},
    {"folder_bytes", GAUGE, "Their bytes.", "folders.bytes.*", AT(folder_bytes), FOLDER_STATE},

    {"clusterings", GAUGE, "Clusterings that are stored.", "clusterings", AT(clusterings)},

    {"search_queue", GAUGE, "Searches that wait.", "search.queued", AT(query.queued)},
    {NULL, NULL, NULL, "search.finished", AT(query.finished[VX_OUTCOME_OK])},
    {"search_finished_total", COUNTER, "Searches that ended, by outcome.", NULL, AT(query.finished),
     OUTCOME},
    {"search_seconds_total", COUNTER, "Time spent searching.", "search.total_s", AT(query.total_us),
     NONE, SECONDS},

    {"filter_columns_bytes", GAUGE, "Memory of the columns that filters read.",
     "filters.columns_bytes", AT(filter_bytes)},
    {"filter_columns_rebuilding", GAUGE,
     "1 while filters read the catalog, since their columns missed a change and are read again.",
     "filters.rebuilding", AT(filter_rebuilding)},

    {"index_vectors", GAUGE, "Vectors in the index.", "models.*.vectors", BY_MODEL(vectors)},
    {"index_missing_vectors", GAUGE, "Stored clips without a vector.", "models.*.missing",
     BY_MODEL(missing)},
    {"index_bytes", GAUGE, "Memory of the index.", "models.*.index_bytes", BY_MODEL(index_bytes)},
    {"index_gpu_bytes", GAUGE, "Memory of the index's copy on a GPU.", "models.*.index_gpu_bytes",
     BY_MODEL(index_gpu_bytes)},
    {"model_clips_total", COUNTER, "Clips embedded by the model.", "models.*.clips",
     BY_MODEL(embedder.clips)},
    {"model_batches_total", COUNTER, "Batches embedded by the model.", "models.*.batches",
     BY_MODEL(embedder.batches)},
    {"model_busy_seconds_total", COUNTER, "Time spent inside the model.", "models.*.busy_s",
     BY_MODEL(embedder.busy_us), SECONDS},
    {"model_failures_total", COUNTER, "Videos stored without vectors because the model failed.",
     "models.*.failures", BY_MODEL(failures)},
    {"model_batch_clips", GAUGE, "Most clips that the model embeds at once.", NULL,
     BY_MODEL(batch)},
    {"model_out_of_memory_total", COUNTER, "Batches that the device had too little memory for.",
     NULL, BY_MODEL(embedder.out_of_memory)},

    {"store_equal", GAUGE, "1: the outside store has everything.", "stores.*.equal",
     BY_STORE(equal)},
    {"store_waiting_videos", GAUGE, "Changed videos that the store has yet to hear of.",
     "stores.*.waiting_videos", BY_STORE(waiting)},
    {"store_lag_seconds", GAUGE, "For how long the store has not been equal.", "stores.*.lag_s",
     BY_STORE(lag_us), SECONDS},
    {"store_sent_clips_total", COUNTER, "Clips sent to the store.", "stores.*.sent_clips",
     BY_STORE(sent)},
    {"store_deleted_clips_total", COUNTER, "Clips deleted from the store.",
     "stores.*.deleted_clips", BY_STORE(removed)},
    {"store_refused_clips", GAUGE, "Clips that the store would not take since its last check.",
     "stores.*.refused_clips", BY_STORE(refused)},
    {"store_failures_total", COUNTER, "Rounds that failed: the store was away, or refused us.",
     "stores.*.failures", BY_STORE(failures)},
};

static int64_t value_of(const metric *m, int i, const report *r) {
    size_t step = m->label == MODEL   ? sizeof r->models[0]
                  : m->label == STORE ? sizeof r->stores[0]
                                      : sizeof(int64_t);
    int64_t value;
    memcpy(&value, (const char *)r + m->offset + (size_t)i * step, sizeof value);
    return value;
}

/* ---- Prometheus ---- */

/* The labels of a route; http->routes->n stands for requests that no route matched. */
static void route_labels(char *ret_text, size_t capacity, const struct vx_http *http,
                         size_t route) {
    bool none = route == http->routes->n;
    const vx_route *row = none ? NULL : &http->routes->items[route];
    snprintf(ret_text, capacity, "method=\"%s\",route=\"%s\"", none ? "" : row->method,
             none ? "none" : row->path);
}

static void write_replies(vx_out *out, const char *name, const struct vx_http *http) {
    char labels[160];
    for (size_t i = 0; i <= http->routes->n; i++) {
        route_labels(labels, sizeof labels, http, i);
        for (unsigned status = 0; status < VX_TRAFFIC_STATUSES; status++) {
            int64_t n = vx_traffic_replies(http->traffic, i, status);
            if (n)
                vx_out_text(out, "vidx_%s{%s,status=\"%u\"} %lld\n", name, labels, status,
                            (long long)n);
        }
    }
}

static void write_durations(vx_out *out, const char *name, const struct vx_http *http) {
    char labels[160];
    for (size_t i = 0; i <= http->routes->n; i++) {
        int64_t buckets[VX_TRAFFIC_BUCKETS], n = 0;
        double sum_s;
        vx_traffic_durations(http->traffic, i, buckets, &sum_s);
        for (size_t b = 0; b < VX_TRAFFIC_BUCKETS; b++)
            n += buckets[b];
        if (!n)
            continue;
        route_labels(labels, sizeof labels, http, i);
        int64_t so_far = 0; /* buckets are cumulative in Prometheus */
        for (size_t b = 0; b < VX_TRAFFIC_BUCKETS; b++) {
            char bound[24] = "+Inf";
            if (b < VX_LEN(vx_traffic_bounds))
                snprintf(bound, sizeof bound, "%g", vx_traffic_bounds[b]);
            so_far += buckets[b];
            vx_out_text(out, "vidx_%s_bucket{%s,le=\"%s\"} %lld\n", name, labels, bound,
                        (long long)so_far);
        }
        vx_out_text(out, "vidx_%s_sum{%s} %.6f\n", name, labels, sum_s);
        vx_out_text(out, "vidx_%s_count{%s} %lld\n", name, labels, (long long)n);
    }
}

static void write_prometheus(vx_out *out, const metric *m, const report *r,
                             const struct vx_http *http) {
    vx_out_text(out, "# HELP vidx_%s %s\n# TYPE vidx_%s %s\n", m->name, m->help, m->name, m->type);
    if (m->write) {
        m->write(out, m->name, http);
        return;
    }
    for (int i = 0; i < label_count(m->label, r); i++) {
        vx_out_text(out, "vidx_%s", m->name);
        if (m->label)
            vx_out_text(out, "{%s=\"%s\"}", label_names[m->label], label_value(m->label, i, r));
        int64_t value = value_of(m, i, r);
        if (m->unit == SECONDS)
            vx_out_text(out, " %.6f\n", (double)value / 1e6);
        else
            vx_out_text(out, " %lld\n", (long long)value);
    }
}

void vx_metrics_get(vx_request *request) {
    report r = {0};
    vx_err err;
    if (gather(request, &r, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    for (size_t i = 0; i < VX_LEN(metrics); i++)
        if (metrics[i].name)
            write_prometheus(&out, &metrics[i], &r, request->http);
    if (out.failed) {
        request->failed = true;
        return;
    }
    size_t n = out.n;
    vx_reply_bytes(request, vx_take(out.text), n, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- JSON ---- */

/* Puts a value at a path of names separated by dots; "*" stands for the label. Takes the value. False:
 * out of memory. */
static bool put(json_t *root, const char *path, const char *label_text, json_t *value) {
    json_t *object = root;
    for (;;) {
        char name[64];
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        const char *key = strcmp(name, "*") ? name : label_text;
        if (!path[n])
            return !json_object_set_new(object, key, value);
        json_t *child = json_object_get(object, key);
        if (!child && json_object_set_new(object, key, json_object())) {
            json_decref(value);
            return false;
        }
        object = json_object_get(object, key);
        path += n + 1;
    }
}

void vx_stats_get(vx_request *request) {
    report r = {0};
    vx_err err;
    if (gather(request, &r, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    json_t *root = json_pack("{s:s}", "version", VX_VERSION);
    bool complete = root;
    for (size_t k = 0; k < VX_LEN(metrics) && complete; k++) {
        const metric *m = &metrics[k];
        for (int i = 0; m->path && i < label_count(m->label, &r) && complete; i++) {
            int64_t value = value_of(m, i, &r);
            complete =
                put(root, m->path, label_value(m->label, i, &r),
                    m->unit == SECONDS ? json_real((double)value / 1e6) : json_integer(value));
        }
    }
    /* 15 digits: the shortest text of a number of microseconds in seconds. */
    VX_AUTO_FREE char *text =
        complete ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(root);
    VX_AUTO_OUT out = {0};
    if (text)
        vx_out_json(&out, NULL, text);
    else
        out.failed = true;
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}
