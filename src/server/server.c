/* server.c — start and stop of every part, in the order data flows. */
#include "server.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

static int open_store_and_catalog(vx_server *server, vx_err *err) {
    const vx_server_params *p = &server->params;
    char path[PATH_MAX];
    vx_store_params store = {
        .data_dir = p->data_dir,
        .max_upload_bytes = p->max_upload_bytes,
        .reserve_bytes = p->reserve_bytes,
    };
    int rc = vx_store_open(&store, &server->store, err);
    if (rc)
        return rc;
    if (snprintf(path, sizeof path, "%s/catalog.db", p->data_dir) >= (int)sizeof path)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", p->data_dir);
    rc = vx_catalog_open(path, 0, &server->catalog, err);
    const vx_folders_params folders = {.folders = p->folders,
                                       .data_dir = p->data_dir,
                                       .quiet_us = (int64_t)(fmin(p->folder_quiet_s, 1e6) * 1e6),
                                       .keep_us = (int64_t)(fmin(p->folder_keep_days, 1e5) * 864e8),
                                       .walk_every_us =
                                           (int64_t)(fmin(p->folder_walk_s, 1e9) * 1e6),
                                       .catalog = server->catalog,
                                       .store = server->store};
    return rc || p->no_clients ? rc : vx_folders_open(&folders, &server->folders, err);
}

static void on_deleted(void *server) {
    vx_folders_wake(((const vx_server *)server)->folders);
}

/* Only a rule that asks for shots cannot do without their model. */
static int open_shots(vx_server *server, vx_err *err) {
    const vx_server_params *p = &server->params;
    int64_t start_us = vx_clock_monotonic_us();
    vx_devices devices;
    vx_model_get_devices(&server->models->items[0], &devices);
    const char *device = devices.n > 1 ? devices.names[0] : p->device;
    int rc = vx_shots_open(p->models_dir, device, &server->shots, err);
    if (rc && !vx_clip_needs_shots(&server->extractor.clip)) {
        vx_log_failed(rc == VX_SHOTS_NO_PACKAGE ? VX_LOG_INFO : VX_LOG_WARN, "shots", err,
                      "model=" VX_SHOTS_MODEL " used=no");
        return 0;
    }
    if (!rc) {
        const vx_shots_info *info = vx_shots_get_info(server->shots);
        vx_log(VX_LOG_INFO, "shots", "model=" VX_SHOTS_MODEL " device=%s dtype=%s ms=%.1f",
               info->device, info->dtype, (double)(vx_clock_monotonic_us() - start_us) / 1e3);
    }
    return rc;
}

static int open_collection(vx_server *server, vx_err *err) {
    const vx_server_params *p = &server->params;
    return vx_collection_open(server->catalog, server->models, p->search_threads,
                              !p->no_clients && !p->no_index_gpu, &server->collection, err);
}

/* A core decodes one video at a time, a card many. */
static int count_decodes(const vx_server *server) {
    enum { MOST = 128 }; /* twice as many is all that a pool has */
    vx_decoder_stats card = {0};
    vx_decoders_get_stats(&server->decoders, &card);
    int n = server->params.ingest_threads;
    n = n ? n : vx_thread_cores() + 1 + card.max_clips;
    return server->params.no_clients || n < MOST ? n : MOST;
}

/* The turns of decodes are for clients that wait. */
static int open_slots(vx_server *server, vx_err *err) {
    enum { QUANTUM_US = 100000 };
    server->n_decodes = count_decodes(server);
    return server->params.no_clients
               ? 0
               : vx_slots_new(server->n_decodes, QUANTUM_US, &server->slots, err);
}

/* Where it cannot, the CPU does. n_cards: that share its cores. */
static void open_decoder(vx_server *server, const char *device, int n_cards) {
    int cores = vx_thread_cores() / n_cards;
    vx_decoder *decoder = NULL;
    vx_err err = {0};
    const vx_decoder_params params = {.device = atoi(device + 5),
                                      .hybrid = !server->params.no_hybrid,
                                      .cpu_clips = cores > 0 ? cores : 1};
    if (vx_decoder_open(&params, &decoder, &err) != 0) {
        vx_log_failed(VX_LOG_WARN, "decoder", &err, "device=%s used=no", device);
        return;
    }
    server->decoders.items[server->decoders.n++] = decoder;
    if (vx_extract_check_card(decoder, &err) != 0) {
        snprintf(server->kernels_note, sizeof server->kernels_note, "%s", err.msg);
        vx_log_failed(VX_LOG_WARN, "kernels", &err, "device=%s used=no", device);
    }
    vx_decoder_stats stats;
    char card[2 * sizeof stats.card];
    vx_decoder_get_stats(decoder, &stats);
    vx_log(VX_LOG_INFO, "decoder", "device=%s card=%s decoders=%d hybrid=%s", device,
           vx_log_quote(stats.card, card, sizeof card), stats.max_decoders,
           params.hybrid ? "auto" : "off");
}

/* The cards that run the first model decode, too. */
static void open_decoders(vx_server *server) {
    vx_devices devices;
    vx_model_get_devices(&server->models->items[0], &devices);
    for (int i = 0; i < devices.n; i++)
        if (!strncmp(devices.names[i], "cuda:", 5))
            open_decoder(server, devices.names[i], devices.n);
    if (server->decoders.n)
        vx_models_on_no_memory(server->models, vx_decoders_relieve, &server->decoders);
}

static int open_models(vx_server *server, vx_err *err) {
    const vx_server_params *p = &server->params;
    vx_models_params models = {.catalog = server->catalog,
                               .models_dir = p->models_dir,
                               .names = p->model,
                               .copy = p->copy_model,
                               .device = p->device,
                               .reproducible = p->reproducible};
    vx_extractor *extractor = &server->extractor;
    int rc = vx_clip_parse(p->clip ? p->clip : "auto", &extractor->clip, err);
    if (!rc)
        rc = vx_models_open(&models, &server->models, err);
    if (!rc)
        rc = open_shots(server, err);
    if (!rc)
        open_decoders(server);
    if (!rc)
        rc = open_slots(server, err);
    extractor->decoders = &server->decoders;
    extractor->slots = server->slots;
    extractor->models = server->models;
    extractor->shots = server->shots;
    extractor->limits = p->media;
    extractor->fingerprints = p->fingerprints;
    extractor->frames = p->frames;
    extractor->evidence = p->evidence;
    return rc;
}

/* ---- the parts that have threads ---- */

static int open_writing_parts(vx_server *server, vx_err *err) {
    const vx_server_params *p = &server->params;
    int rc = vx_writer_start(server->catalog, server->store, &server->writer, err);
    if (!rc)
        rc = vx_jobs_new(server->catalog, server->writer, &server->jobs, err);
    const vx_verify_params verify = {.collection = server->collection,
                                     .store = server->store,
                                     .writer = server->writer,
                                     .jobs = server->jobs,
                                     .extractor = &server->extractor};
    if (!rc)
        rc = vx_verify_new(&verify, &server->verify, err);
    /* Twice as many in work as decode, and half of those long: see ingest/long_videos.c. */
    int n_decodes = server->n_decodes;
    vx_ingest_params ingest = {.collection = server->collection,
                               .store = server->store,
                               .writer = server->writer,
                               .jobs = server->jobs,
                               .verify = server->verify,
                               .extractor = &server->extractor,
                               .threads = p->no_clients ? n_decodes : 2 * n_decodes,
                               .long_videos = n_decodes,
                               .capacity = p->queue_capacity};
    if (!rc)
        rc = vx_ingest_new(&ingest, &server->ingest, err);
    vx_cutter_params cutter = {.catalog = server->catalog,
                               .data_dir = p->data_dir,
                               .encoder = p->encoder,
                               .reserve_bytes = p->reserve_bytes,
                               .limits = p->media};
    if (!rc && !p->no_clients)
        rc = vx_cutter_start(&cutter, &server->cutter, err);
    vx_library_params library = {.collection = server->collection,
                                 .store = server->store,
                                 .writer = server->writer,
                                 .jobs = server->jobs,
                                 .verify = server->verify,
                                 .cutter = server->cutter,
                                 .judges = p->no_clients ? vx_thread_cores() : 1,
                                 .on_deleted = server->folders ? on_deleted : NULL,
                                 .on_deleted_ctx = server};
    return rc ? rc : vx_library_start(&library, &server->library, err);
}

static int open_answering_parts(vx_server *server, vx_err *err) {
    const vx_server_params *p = &server->params;
    if (p->no_clients)
        return 0;
    vx_backfill_params backfill = {.collection = server->collection,
                                   .extractor = &server->extractor,
                                   .store = server->store,
                                   .writer = server->writer,
                                   .jobs = server->jobs,
                                   .library = server->library};
    vx_duplicates_params duplicates = {.collection = server->collection,
                                       .writer = server->writer,
                                       .jobs = server->jobs,
                                       .library = server->library,
                                       .store = server->store,
                                       .extractor = &server->extractor};
    const vx_clusterings_params clusterings = {.collection = server->collection,
                                               .writer = server->writer,
                                               .jobs = server->jobs,
                                               .memory_bytes = p->cluster_memory_bytes};
    int rc = vx_backfill_new(&backfill, &server->backfill, err);
    const vx_remote_params remote = {
        .url = p->search_url, .access = p->stores, .dim = server->models->items[0].info->dim};
    if (!rc && p->search_url)
        rc = vx_remote_open(&remote, &server->remote, err);
    if (!rc)
        rc = vx_clusterings_new(&clusterings, &server->clusterings, err);
    const vx_imports_params imports = {.collection = server->collection,
                                       .store = server->store,
                                       .writer = server->writer,
                                       .jobs = server->jobs};
    if (!rc)
        rc = vx_imports_new(&imports, &server->imports, err);
    if (!rc)
        rc = vx_duplicates_new(&duplicates, &server->duplicates, err);
    if (!rc)
        rc = vx_search_start(server->collection, &server->extractor, server->remote,
                             p->search_threads, &server->search, err);
    return rc ? rc
              : vx_embeddings_start(&server->extractor, server->store, server->search, &p->fetch,
                                    &server->embeddings, err);
}

/* ---- what a crash left behind ---- */

static bool is_known(void *ctx, const uint8_t sha256[32]) {
    bool stored = true;
    vx_err err;
    int rc = vx_catalog_has_sha256(((vx_server *)ctx)->catalog, sha256, &stored, &err);
    bool needed = vx_ingest_needs_bytes(((vx_server *)ctx)->ingest, sha256);
    return rc || stored || needed; /* in doubt a file stays */
}

static bool is_needed(void *ctx, const char *name) {
    const vx_server *server = ctx;
    return vx_ingest_needs_file(server->ingest, name) ||
           (server->imports && vx_imports_needs_file(server->imports, name));
}

/* Half of the places in the write path are left to uploads. */
static int start_folders(vx_server *server, vx_err *err) {
    const vx_folders_work work = {.ingest = server->ingest,
                                  .library = server->library,
                                  .writer = server->writer,
                                  .collection = server->collection,
                                  .clip = server->extractor.clip,
                                  .n_at_once = server->n_decodes};
    return vx_folders_start(server->folders, &work, err);
}

/* Unfinished jobs are found and what nobody needs is removed, before anything new is accepted. */
static int recover(vx_server *server, vx_err *err) {
    int64_t removed = 0;
    size_t n_jobs = 0;
    int rc = vx_jobs_load(server->jobs, &n_jobs, err);
    if (!rc)
        rc = vx_store_sweep(server->store, is_known, is_needed, server, &removed, err);
    if (!rc && (removed || n_jobs))
        vx_log(VX_LOG_INFO, "recover", "removed_files=%lld resumed_jobs=%zu", (long long)removed,
               n_jobs);
    if (!rc)
        rc = vx_ingest_start(server->ingest, err);
    if (!rc && !server->params.no_clients)
        rc = vx_verify_start(server->verify, err);
    if (!rc && server->clusterings)
        rc = vx_clusterings_start(server->clusterings, err);
    if (!rc && server->imports)
        rc = vx_imports_start(server->imports, err);
    if (!rc && server->backfill)
        rc = vx_backfill_start(server->backfill, err);
    if (!rc && server->duplicates)
        rc = vx_duplicates_start(server->duplicates, err);
    const vx_stores_params stores = {.catalog = server->catalog,
                                     .writer = server->writer,
                                     .models = server->models,
                                     .access = server->params.stores};
    if (!rc && !server->params.no_clients)
        rc = vx_stores_start(&stores, &server->stores, err);
    if (!rc)
        rc = vx_jobs_start(server->jobs, err);
    if (!rc && server->folders)
        rc = start_folders(server, err);
    int64_t outdated = 0;
    if (!rc)
        rc = vx_catalog_count_outdated(server->catalog, VX_MEDIA_RULES,
                                       (int)server->extractor.fingerprints, &outdated, err);
    if (!rc && outdated && server->backfill)
        vx_log(VX_LOG_WARN, "outdated",
               "videos=%lld hint=\"an older version read them by other rules, or fewer of their "
               "frames were "
               "hashed than --fingerprints says; POST /v1/reread reads them again\"",
               (long long)outdated);
    char damage[256], quoted[2 * sizeof damage];
    if (!rc && !vx_catalog_health(server->catalog, damage, sizeof damage))
        vx_log(VX_LOG_ERROR, "damaged",
               "reason=%s hint=\"stop the server and run vidx check --repair\"",
               vx_log_quote(damage, quoted, sizeof quoted));
    return rc;
}

/* ---- start and stop ---- */

int vx_server_new(const vx_server_params *params, vx_server **ret_server, vx_err *err) {
    vx_server *server = vx_new(vx_server);
    if (!server)
        return VX_FAIL(err, -ENOMEM, "no memory for the server");
    server->params = *params;
    server->started_us = vx_clock_monotonic_us();
    *ret_server = server;
    return 0;
}

int vx_server_start(vx_server *server, vx_err *err) {
    static int (*const steps[])(vx_server * server, vx_err * err) = {
        open_store_and_catalog, open_models,          open_collection,
        open_writing_parts,     open_answering_parts, recover,
    };
    int rc = 0;
    for (size_t i = 0; i < VX_LEN(steps) && !rc; i++)
        rc = atomic_load(&server->stopping) ? VX_FAIL(err, -ESHUTDOWN, "the start was broken off")
                                            : steps[i](server, err);
    atomic_store(&server->ready, rc == 0);
    return rc;
}

void vx_server_break_off_start(vx_server *server) {
    atomic_store(&server->stopping, true);
}

void vx_server_begin_stop(vx_server *server) {
    atomic_store(&server->stopping, true);
    if (server->writer)
        vx_writer_begin_stop(server->writer);
    if (server->folders)
        vx_folders_begin_stop(server->folders);
    if (server->ingest)
        vx_ingest_begin_stop(server->ingest);
    if (server->verify)
        vx_verify_begin_stop(server->verify);
    if (server->search)
        vx_search_begin_stop(server->search);
    if (server->embeddings)
        vx_embeddings_begin_stop(server->embeddings);
    if (server->clusterings)
        vx_clusterings_begin_stop(server->clusterings);
    if (server->imports)
        vx_imports_begin_stop(server->imports);
    if (server->cutter)
        vx_cutter_begin_stop(server->cutter);
    if (server->backfill)
        vx_backfill_begin_stop(server->backfill);
    if (server->duplicates)
        vx_duplicates_begin_stop(server->duplicates);
    if (server->stores)
        vx_stores_begin_stop(server->stores);
}

void vx_server_release_abandoned(vx_server *server) {
    if (atomic_load(&server->ready))
        vx_ingest_release_void(server->ingest);
}

vx_server *vx_server_close(vx_server *server) {
    if (!server)
        return NULL;
    vx_server_begin_stop(server);
    vx_jobs_stop(server->jobs);
    vx_folders_stop(server->folders);
    vx_library_stop(server->library);
    vx_verify_stop(server->verify);
    vx_embeddings_stop(server->embeddings);
    vx_search_stop(server->search);
    vx_remote_close(server->remote);
    vx_backfill_stop(server->backfill);
    vx_duplicates_stop(server->duplicates);
    vx_clusterings_stop(server->clusterings);
    vx_imports_stop(server->imports);
    vx_ingest_stop(server->ingest);
    vx_stores_end(server->stores);
    vx_writer_stop(server->writer);
    vx_library_free(server->library);
    vx_verify_free(server->verify);
    vx_cutter_stop(server->cutter); /* deletions, on the writer's thread, call it */
    vx_stores_free(server->stores);
    vx_jobs_free(server->jobs);
    vx_backfill_free(server->backfill);
    vx_clusterings_free(server->clusterings);
    vx_imports_free(server->imports);
    vx_duplicates_free(server->duplicates);
    vx_ingest_free(server->ingest);
    vx_folders_free(server->folders);
    vx_collection_close(server->collection);
    vx_slots_free(server->slots);
    vx_decoders_free(&server->decoders);
    vx_shots_free(server->shots);
    vx_models_free(server->models);
    vx_catalog_close(server->catalog);
    vx_store_close(server->store);
    free(server);
    return NULL;
}
