/* clusterings.h — groups of similar clips among those that are stored: jobs that find them, and what is kept.
 *
 * A job of the kind "cluster" copies the vectors of one model (of the videos that pass a filter), finds
 * clusters (cluster/), names them, compares them with the clustering before, and writes a clustering with
 * its members to the catalog, some hundred at a time. It can be found once its job has ended, in one transaction.
 * After kill -9 the job begins anew and drops what it had written; so does whoever cancels it. Members go
 * with their vectors (catalog/), and videos that come later are in no clustering.
 *
 * The clustering of job "j<hex>" has the id "c<hex>", so a job that is tried again makes the same one.
 *
 * Memory   what memory_bytes allows beside the index; a job that needs more fails and says how much
 * Threads  one coordinator, which runs jobs one after another with a thread for each core, and deletes. Any
 *          thread may submit.
 */
#pragma once

#include "base/outcome.h"
#include "collection/collection.h"
#include "jobs/jobs.h"
#include "writer/writer.h"

#define VX_CLUSTERINGS_MAX_CONCEPTS 1000
#define VX_CLUSTERINGS_MAX_CONCEPT_BYTES 200
#define VX_CLUSTERINGS_MAX_NAME_BYTES 200
#define VX_CLUSTERINGS_MAX_WAITING 16 /* jobs */

typedef struct vx_clusterings vx_clusterings;

typedef struct vx_clusterings_params { /* borrows all, until stop */
    vx_collection *collection;
    vx_writer *writer;
    vx_jobs *jobs;        /* gets the kind "cluster" */
    int64_t memory_bytes; /* for one job; 0 = 4 GiB */
} vx_clusterings_params;

int vx_clusterings_new(const vx_clusterings_params *params, vx_clusterings **ret_clusterings,
                       vx_err *err);
/* Starts the coordinator. */
int vx_clusterings_start(vx_clusterings *clusterings, vx_err *err);
/* From here on a running job ends soon; it stays queued and begins anew at the next start. */
void vx_clusterings_begin_stop(vx_clusterings *clusterings);
/* Needs the writer still running. NULL-safe. */
void vx_clusterings_stop(vx_clusterings *clusterings);
/* After the jobs. NULL-safe. */
vx_clusterings *vx_clusterings_free(vx_clusterings *clusterings);

/* rc 0: the job is durable. On the writer's thread; must be short. */
typedef void (*vx_clusterings_accepted)(void *ctx, int rc, const char *job_id, const vx_err *err);
/* Takes request, a JSON object (jansson) with the checked fields of POST /v1/clusters; "model" is there. Never
 * blocks. BUSY, STOPPING or INTERNAL: accepted is not called. */
struct json_t;
vx_outcome vx_clusterings_submit(vx_clusterings *clusterings, struct json_t *request,
                                 vx_clusterings_accepted accepted, void *ctx);

/* rc VX_CATALOG_NOT_FOUND when there is no such clustering. On the writer's thread. */
typedef void (*vx_clusterings_deleted)(void *ctx, int rc, const vx_err *err);
/* Once done is called nobody finds it; its members go in the background. id: borrows, until done. As above. */
vx_outcome vx_clusterings_delete(vx_clusterings *clusterings, const char *id,
                                 vx_clusterings_deleted done, void *ctx);
