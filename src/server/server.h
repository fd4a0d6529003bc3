/* server.h — owns every module: starts them in the order data flows, stops them in reverse.
 *
 * Threads of a running server: HTTP (api/), the ingest pool and its sealers, a worker per tower of a
 * model (embed/) and one for shots (clip/), one writer, the search pool and that of searches by file, each
 * index's own threads, the embeddings pool, one cutter, one backfill coordinator with its helpers, one scanner for
 * duplicates with the threads of a comparison, one that deletes what was decided, one
 * coordinator of clusterings with its helpers, one that runs imports and one that seals their files, one for each
 * outside store, one for second looks, two for folders in place, one upkeep thread, main (signals).
 *
 * Lock order, outermost first: in-flight table (ingest/) → backfill table, duplicates table and groups → job table (jobs/) → index /
 * fingerprint index (inside their modules) → stores and then each store (stores/) → catalog reader pool. Innermost, with nothing taken under
 * them: the queues of base/, that of folders/, and the locks under which somebody waits for an answer (writer.c,
 * batcher.c, shots.c, embeddings.c). No lock is held across a model run, a decode, an fsync or a
 * callback.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "backfill/backfill.h"
#include "base/atomic.h"
#include "clusterings/clusterings.h"
#include "collection/collection.h"
#include "cutter/cutter.h"
#include "duplicates/duplicates.h"
#include "embeddings/embeddings.h"
#include "extract/extract.h"
#include "folders/folders.h"
#include "import/imports.h"
#include "ingest/ingest.h"
#include "jobs/jobs.h"
#include "library/library.h"
#include "models/models.h"
#include "search/search.h"
#include "store/store.h"
#include "stores/stores.h"
#include "verify/verify.h"
#include "writer/writer.h"

typedef struct vx_server_params {
    const char *data_dir, *models_dir; /* borrows, for the server's life */
    const char *model;      /* package names, comma separated, the first is the default; or auto */
    const char *copy_model; /* a package name; NULL = none */
    const char *device;     /* as vx_devices_parse takes it */
    bool no_hybrid;         /* with a GPU, leave all that it decodes to it */
    bool no_index_gpu;      /* with a GPU, keep no copy of the index there */
    const char *clip;       /* default clip rule; NULL = auto */
    const char *encoder;    /* for clips as files: FFmpeg's name of one; NULL = auto */
    int ingest_threads; /* videos decoded at once; 0 = cores + 1, and what a GPU decodes beside them */
    int search_threads;           /* 0 = cores + 30, and in each index one per core */
    int queue_capacity;           /* videos between submit and their end; 0 = 1024 */
    int64_t max_upload_bytes;     /* 0 = no limit */
    int64_t cluster_memory_bytes; /* for one job that clusters; 0 = 4 GiB */
    int64_t reserve_bytes;        /* free space kept on the data disk; 0 = none */
    vx_media_limits media;
    vx_fetch_params fetch;  /* of what clients name by URL; borrows, for the server's life */
    vx_store_access stores; /* borrows, for the server's life */
    const char *folders; /* that are indexed in place, as vx_folders_params has them; NULL: none */
    double folder_quiet_s, folder_keep_days, folder_walk_s; /* likewise */
    const char *search_url; /* of the store that answers searches; NULL: the indexes do */
    vx_fingerprints fingerprints;
    vx_clip_frames frames; /* what clips are made of where nobody asks for other frames */
    vx_evidence_level evidence;
    bool reproducible; /* as vx_embedder_params has it */
    bool no_clients;   /* nobody asks anything: no search, embeddings, cutter and backfill */
} vx_server_params;

/* Plain data: vx_server_start sets every field, and from ready on they are constant until
 * vx_server_close. */
typedef struct vx_server {
    vx_server_params params;
    vx_store *store;
    vx_catalog *catalog;
    vx_models *models;
    vx_shots *shots;      /* NULL: no package of it, or one that cannot be used */
    vx_decoders decoders; /* of the cards that run the first model, as far as they can */
    int n_decodes;        /* videos decoded at once */
    char kernels_note
        [1024]; /* why vidx's own kernels do not run on the GPU; "" = they do, or there is none */
    vx_slots *slots; /* in which all decodes take turns; NULL without clients */
    vx_extractor extractor;
    vx_collection *collection;
    vx_writer *writer;
    vx_jobs *jobs;
    vx_verify *verify; /* started with clients alone */
    vx_ingest *ingest;
    vx_stores *stores;
    vx_folders *folders;
    vx_library *library;
    vx_remote *remote; /* NULL: searches are answered here */
    vx_search *search; /* from here on NULL without clients */
    vx_imports *imports;
    vx_clusterings *clusterings;
    vx_embeddings *embeddings;
    vx_cutter *cutter;
    vx_backfill *backfill;
    vx_duplicates *duplicates;
    int64_t started_us; /* monotonic */
    atomic_bool ready, stopping;
} vx_server;

/* A server that has nothing yet and is not ready: what may answer that it is starting. */
int vx_server_new(const vx_server_params *params, vx_server **ret_server, vx_err *err);
/* Opens catalog, store, models and indexes (rebuilt from the catalog), resumes unfinished jobs, and
 * then sets ready. Once; after a failure the server can only be closed. */
int vx_server_start(vx_server *server, vx_err *err);
/* While vx_server_start runs, on another thread: it ends after the step that it is in, with -ESHUTDOWN,
 * unless that is the last one. */
void vx_server_break_off_start(vx_server *server);
/* From here on what waits is answered with VX_OUTCOME_STOPPING, and what runs ends early. Any thread,
 * but not during start. */
void vx_server_begin_stop(vx_server *server);
/* Some clients have left (vx_ingest_item.abandoned): what waits for them need not wait any longer. Any
 * thread, until vx_server_close. */
void vx_server_release_abandoned(vx_server *server);
/* Finishes what runs and closes all. NULL-safe. */
vx_server *vx_server_close(vx_server *server);
VX_DEFINE_AUTO(vx_server, vx_server_close)
