/* imports.h — imports into a running server: jobs of the kind "import", one after another.
 *
 * Submitting makes the files durable and reads their headers, then the job is accepted. It does what
 * import.h says, each lot of videos being one write of the writer. After kill -9 the job begins anew, and meets
 * what it had stored; so does an import of the same files after one that was cancelled, which leaves whole videos
 * behind. The files are removed when the job ends.
 *
 * The report of a job: {"rows", "stored", "existing", "unlike", "vectors", "refused"} (import.h), and where rows
 * were refused "refusals": [{"row", "reason"}], the first VX_IMPORT_REFUSALS.
 *
 * Threads  one that runs the jobs, one that seals files. Any thread may submit
 */
#pragma once

#include "base/outcome.h"
#include "import.h"
#include "jobs/jobs.h"
#include "store/store.h"

#define VX_IMPORTS_MAX_WAITING 16 /* jobs */

typedef struct vx_imports vx_imports;

typedef struct vx_imports_params { /* borrows all, until free */
    vx_collection *collection;
    vx_store *store;
    vx_writer *writer;
    vx_jobs *jobs; /* gets the kind "import" */
} vx_imports_params;

int vx_imports_new(const vx_imports_params *params, vx_imports **ret_imports, vx_err *err);
/* Starts the threads. */
int vx_imports_start(vx_imports *imports, vx_err *err);
/* From here on a running job ends after its lot; it stays queued and goes on at the next start. */
void vx_imports_begin_stop(vx_imports *imports);
/* Needs the writer still running. NULL-safe. */
void vx_imports_stop(vx_imports *imports);
/* After the jobs. NULL-safe. */
vx_imports *vx_imports_free(vx_imports *imports);

/* Whether a job of before the start needs this file of incoming/. Between vx_jobs_load and vx_imports_start. */
bool vx_imports_needs_file(const vx_imports *imports, const char *name);

typedef struct vx_import_request {
    vx_upload *vectors, *rows; /* takes; written completely, not yet sealed; rows: NULL = none */
    const vx_model *model;     /* borrows */
    char *filename;            /* takes; of the vectors; never NULL */
    char *source;              /* takes; part of ids; never NULL */
    bool normalize;
    /* The job is durable, or was refused: IMPORT_REFUSED, or another outcome that err explains. Must be
     * short; any thread. */
    void (*accepted)(void *ctx, vx_outcome outcome, const char *job_id, const vx_err *err);
    /* NULL, or called once after an accepted job has ended, or this process gave it up (STOPPING, or a
     * fault after which it is tried again); as above. */
    void (*ended)(void *ctx, vx_outcome outcome, const vx_err *err);
    void *ctx;
} vx_import_request;
/* Takes what the request says on OK alone; then accepted will be called, perhaps before this returns. BUSY,
 * STOPPING, INTERNAL: nothing is called. */
vx_outcome vx_imports_submit(vx_imports *imports, const vx_import_request *request);

typedef struct vx_imports_stats {
    int64_t finished[VX_OUTCOME_INTERNAL + 1]; /* jobs, by outcome */
    int64_t rows, videos, vectors,
        refused;      /* rows read by jobs that ended; stored; stored; rows refused */
    int64_t total_us; /* time spent */
} vx_imports_stats;
void vx_imports_get_stats(vx_imports *imports, vx_imports_stats *ret_stats);
