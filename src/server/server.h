/* server.h — owns every module: starts them in the order data flows, stops them in reverse.
 *
 * Threads of a running server: HTTP (api/), the ingest pool and its sealers, a worker per tower of a
 * model (embed/) and one for shots (clip/), one committer (commit.c), the search pool, each index's
 * own threads, the embeddings pool, one cutter, one backfill coordinator with its helpers, one
 * housekeeper, main (signals).
 *
 * Several models may be loaded. Each has a space of its own: its own index, its own row of the
 * catalog's spaces. The first is the default: verdicts are its, and searches that name none.
 *
 * Lock order, outermost first: in-flight table (ingest.c) → backfill table → job table (jobs.c) → index /
 * fingerprint index (inside their modules) → catalog reader pool. Innermost, with nothing taken under
 * them: the queues of base/, and the locks under which somebody waits for an answer (commit.c,
 * batcher.c, shots.c, embeddings.c). No lock is held across a model run, a decode, an fsync or a
 * callback.
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
#include "fetch/fetch.h"
#include "fingerprint/fingerprint.h"
#include "index/index.h"
#include "media/media.h"
#include "store/store.h"

typedef struct vx_server_params {
    const char *data_dir, *models_dir; /* borrows, for the server's life */
    const char *model;   /* package names, comma separated, the first is the default; or auto */
    const char *device;  /* auto, cpu, cuda:N */
    const char *clip;    /* default clip rule; NULL = auto */
    const char *encoder; /* for clips as files: FFmpeg's name of one; NULL = auto */
    int ingest_threads;  /* 0 = cores + 1 */
    int search_threads;  /* 0 = cores + 1, and in each index one per core */
    int queue_capacity;  /* videos between submit and their end; 0 = 1024 */
    int64_t max_upload_bytes; /* 0 = no limit */
    int64_t reserve_bytes;    /* free space kept on the data disk; 0 = none */
    vx_media_limits media;
    vx_fetch_params fetch; /* of what clients name by URL; borrows, for the server's life */
    bool fingerprints;     /* false: no copy verdicts, half the CPU work of a frame */
} vx_server_params;

#define VX_MODELS_MAX 8

/* One loaded model and the space of its vectors. */
typedef struct vx_model {
    vx_embedder *embedder;
    const vx_model_info *info; /* of the embedder */
    int64_t space;             /* the catalog's row of this model and digest */
    vx_index *index;
    const char *chosen;    /* why this one: "named", or auto's reason; static */
    atomic_llong failures; /* videos stored without its vectors, because it failed on them */
} vx_model;

struct vx_ingest;      /* ingest.c */
struct vx_commit;      /* commit.c */
struct vx_query_pool;  /* query.c */
struct vx_pool;        /* base/pool.h */
struct vx_housekeeper; /* housekeeper.c */
struct vx_jobs;        /* jobs.c */
struct vx_backfill;    /* backfill.c */
struct vx_cutter;      /* cutter.c */

/* verdict.c: the last videos whose vectors or fingerprints entered the indexes, the n-th at
 * n % VX_NEWCOMERS. Written and read on the committer thread; the count is read by any. */
#define VX_NEWCOMERS 256
typedef struct vx_newcomers {
    atomic_ullong n;
    int64_t videos[VX_NEWCOMERS];
} vx_newcomers;

/* Plain struct so that ingest.c, query.c, jobs.c and api/ can reach the modules; every field is set
 * by vx_server_start, and from ready on constant until vx_server_close. */
typedef struct vx_server {
    vx_server_params params;
    vx_clip_spec clip;
    vx_shots *shots; /* NULL: no package of it, or one that cannot be used */
    vx_store *store;
    vx_catalog *catalog;
    vx_model models[VX_MODELS_MAX]; /* [n_models], the default first */
    int n_models;
    vx_fp_index *fingerprints;
    vx_newcomers newcomers;
    struct vx_jobs *jobs;
    struct vx_commit *commit;
    struct vx_ingest *ingest;
    struct vx_query_pool *queries;
    struct vx_cutter *cutter;
    struct vx_backfill *backfill;
    struct vx_pool *embeddings; /* embeddings.c */
    vx_fetcher *fetcher;
    struct vx_housekeeper *housekeeper;
    int64_t started_us; /* monotonic */
    atomic_bool ready, stopping;
} vx_server;

/* A server that has nothing yet and is not ready: what may answer that it is starting. */
int vx_server_new(const vx_server_params *params, vx_server **ret_server, vx_err *err);
/* Opens catalog, store, model and index (rebuilt from the catalog), resumes unfinished jobs, and
 * then sets ready. Once; after a failure the server can only be closed. */
int vx_server_start(vx_server *server, vx_err *err);
/* Both. */
int vx_server_open(const vx_server_params *params, vx_server **ret_server, vx_err *err);
/* Finishes what runs, answers what waits with VX_OUTCOME_STOPPING, closes all. */
vx_server *vx_server_close(vx_server *server);
VX_DEFINE_AUTO(vx_server, vx_server_close)

/* ---- server_models.c ---- */
/* Loads params.model. Names: all or none, a package that is refused refuses the start. auto: the best
 * that loads (model_choice.h), what is refused on the way is logged. */
int vx_server_open_models(vx_server *server, vx_err *err);
/* The index of every model, out of the catalog. */
int vx_server_load_vectors(vx_server *server, vx_err *err);
void vx_server_close_models(vx_server *server);
/* NULL = the default one. NULL when none of that name is loaded: err names those that are. */
vx_model *vx_server_find_model(vx_server *server, const char *name, vx_err *err);
/* Takes the video's clips out of every index. */
void vx_server_forget_clips(vx_server *server, const vx_video *video);
/* Clips that have no vector of this model: made while it was not loaded, had another digest, or
 * failed. Cost: counts the catalog's clips. */
int vx_server_count_missing(vx_server *server, vx_model *model, int64_t *ret_clips, vx_err *err);
