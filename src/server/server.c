/* server.c — start and stop of every part, in the order data flows. */
#include "server.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "backfill/backfill.h"
#include "base/clock.h"
#include "base/log.h"
#include "cutter/cutter.h"
#include "embeddings/embeddings.h"
#include "fingerprint/fingerprint.h"
#include "ingest/ingest_internal.h"
#include "jobs/jobs.h"
#include "library/upkeep.h"
#include "search/search.h"

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
    return vx_catalog_open(path, 0, &server->catalog, err);
}

/* ---- the derived state: rebuilt from the catalog at every start ---- */

static int load_fingerprint(void *ctx, int64_t video_row, const void *blob, size_t bytes,
                            vx_err *err) {
    VX_AUTO_FREE vx_fp_frame *frames = NULL;
    size_t n;
    int rc = vx_fp_unpack(blob, bytes, &frames, &n, err);
    return rc ? rc : vx_fp_index_add(((vx_server *)ctx)->fingerprints, video_row, frames, n, err);
}

static int rebuild_indexes(vx_server *server, vx_err *err) {
    int rc = vx_server_load_vectors(server, err);
    if (rc)
        return rc;
    int64_t start_us = vx_clock_monotonic_us();
    rc = vx_fp_index_new(&server->fingerprints, err);
    if (!rc)
        rc = vx_catalog_scan_fingerprints(server->catalog, load_fingerprint, server, err);
    if (rc)
        return VX_WRAP(err, "rebuilding the index of fingerprints"), rc;
    vx_log(VX_LOG_INFO, "index", "fingerprints_ms=%.1f",
           (double)(vx_clock_monotonic_us() - start_us) / 1e3);
    return 0;
}

/* ---- what a crash left behind ---- */

typedef struct resume {
    vx_server *server;
    vx_ingest_item **items;
    size_t n;
} resume;

static bool is_known(void *ctx, const uint8_t sha256[32]) {
    bool stored = true;
    vx_err err;
    int rc = vx_catalog_has_sha256(((resume *)ctx)->server->catalog, sha256, &stored, &err);
    return rc || stored; /* in doubt a file stays */
}

static bool is_wanted(void *ctx, const char *name) {
    const resume *r = ctx;
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(vx_upload_name(r->items[i]->upload), name))
            return true;
    return false;
}

static int sweep_and_resume(vx_server *server, resume *r, vx_err *err) {
    int64_t removed = 0;
    int rc = vx_jobs_load(server, &r->items, &r->n, err);
    if (!rc)
        rc = vx_store_sweep(server->store, is_known, is_wanted, r, &removed, err);
    if (!rc && (removed || r->n))
        vx_log(VX_LOG_INFO, "recover", "removed_files=%lld resumed_jobs=%zu", (long long)removed,
               r->n);
    return rc;
}

/* Only a rule that asks for shots cannot do without their model. */
static int open_shots(vx_server *server, vx_err *err) {
    const vx_server_params *p = &server->params;
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_shots_open(p->models_dir, p->device, &server->shots, err);
    if (rc && !vx_clip_needs_shots(&server->clip)) {
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

static int start_threads(vx_server *server, const resume *r, vx_err *err) {
    int rc = vx_commit_start(server, err);
    if (!rc)
        rc = vx_housekeeper_start(server, err);
    if (!rc)
        rc = vx_ingest_start(server, r->n, err);
    if (!rc)
        rc = vx_query_start(server, err);
    if (!rc)
        rc = vx_cutter_start(server, err);
    if (!rc)
        rc = vx_backfill_start(server, err);
    if (!rc)
        rc = vx_embeddings_start(server, err);
    return rc;
}

static int open_parts(vx_server *server, resume *r, vx_err *err) {
    int rc = open_store_and_catalog(server, err);
    if (!rc)
        rc = vx_clip_parse(server->params.clip ? server->params.clip : "auto", &server->clip, err);
    if (!rc)
        rc = vx_jobs_start(server, err);
    if (!rc)
        rc = sweep_and_resume(server, r, err);
    if (!rc)
        rc = vx_server_open_models(server, err);
    if (!rc)
        rc = open_shots(server, err);
    if (!rc)
        rc = rebuild_indexes(server, err);
    if (!rc)
        rc = start_threads(server, r, err);
    return rc;
}

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
    resume r = {.server = server};
    int rc = open_parts(server, &r, err);
    for (size_t i = 0; i < r.n; i++) {
        if (rc) /* kept files stay for the next start */
            vx_ingest_item_free(r.items[i]);
        else if (vx_ingest_submit(server, r.items[i]))
            vx_log(VX_LOG_WARN, "recover",
                   "job left queued for the next start: no memory to begin it");
    }
    free(r.items);
    atomic_store(&server->ready, rc == 0);
    return rc;
}

int vx_server_open(const vx_server_params *params, vx_server **ret_server, vx_err *err) {
    VX_AUTO(vx_server) server = NULL;
    int rc = vx_server_new(params, &server, err);
    if (!rc)
        rc = vx_server_start(server, err);
    if (!rc)
        *ret_server = vx_take(server);
    return rc;
}

vx_server *vx_server_close(vx_server *server) {
    if (!server)
        return NULL;
    atomic_store(&server->stopping, true);
    vx_housekeeper_stop(server);
    vx_embeddings_stop(server);
    vx_query_stop(server);
    vx_backfill_stop(server);
    vx_ingest_stop(server);
    vx_commit_stop(server);
    vx_housekeeper_free(server);
    vx_cutter_stop(server); /* deletions, on the committer's thread, look for it */
    vx_ingest_free(server);
    vx_jobs_stop(server);
    vx_fp_index_free(server->fingerprints);
    vx_shots_free(server->shots);
    vx_server_close_models(server);
    vx_catalog_close(server->catalog);
    vx_store_close(server->store);
    free(server);
    return NULL;
}
