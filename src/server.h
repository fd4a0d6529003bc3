/* server.h — owns every module: starts them in the order data flows, stops them in reverse.
 *
 * Threads of a running server: HTTP (api/), the ingest pool, one model worker (embed/), one
 * committer (commit.c), the search pool, one housekeeper, main (signals).
 *
 * Lock order, outermost first: in-flight table (ingest.c) → job table (jobs.c) → index /
 * fingerprint index (inside their modules) → catalog reader pool → metrics. No lock is held across
 * a model run, a decode, an fsync or a callback.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "catalog/catalog.h"
#include "clip/clip.h"
#include "embed/embed.h"
#include "fingerprint/fingerprint.h"
#include "index/index.h"
#include "media/media.h"
#include "upload/upload.h"

typedef struct vx_server_params {
    const char *data_dir, *models_dir; /* borrows, for the server's life */
    const char *model;                 /* package name */
    const char *device;                /* auto, cpu, cuda:N */
    const char *clip;                  /* default clip rule */
    int ingest_threads;                /* 0 = cores + 1 */
    int search_threads;                /* 0 = cores */
    int queue_capacity;                /* videos waiting for the ingest pool; 0 = 256 */
    int64_t max_upload_bytes;          /* 0 = no limit */
    int64_t reserve_bytes;             /* free space kept on the data disk */
    vx_media_limits media;
    bool fingerprints; /* false: no copy verdicts, half the CPU work of a frame */
} vx_server_params;

struct vx_ingest;      /* ingest.c */
struct vx_commit;      /* commit.c */
struct vx_query_pool;  /* query.c */
struct vx_housekeeper; /* housekeeper.c */
struct vx_jobs;        /* jobs.c */

/* Plain struct so that ingest.c, query.c, jobs.c and api/ can reach the modules; every field is set
 * by vx_server_open and constant until vx_server_close. */
typedef struct vx_server {
    vx_server_params params;
    vx_clip_spec clip;
    vx_store *store;
    vx_catalog *catalog;
    vx_embedder *embedder;
    int64_t space; /* the catalog's row of this model and digest */
    vx_index *index;
    vx_fp_index *fingerprints;
    struct vx_jobs *jobs;
    struct vx_commit *commit;
    struct vx_ingest *ingest;
    struct vx_query_pool *queries;
    struct vx_housekeeper *housekeeper;
    int64_t started_us; /* monotonic */
    atomic_bool ready, stopping;
} vx_server;

/* Opens catalog, store, model and index (rebuilt from the catalog), resumes unfinished jobs. */
int vx_server_open(const vx_server_params *params, vx_server **ret_server, vx_err *err);
/* Finishes what runs, answers what waits with VX_OUTCOME_STOPPING, closes all. */
vx_server *vx_server_close(vx_server *server);
VX_DEFINE_AUTO(vx_server, vx_server_close)
