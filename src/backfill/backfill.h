/* backfill.h — a model's vectors for the videos that were stored without it, and reading again the videos
 * that an older version read by other rules.
 *
 * A backfill is a durable job of the kind "backfill". It looks at what is missing when it begins, and
 * again after a restart: so kill -9 costs the videos that were in work and nothing else. Each video is
 * read from its stored file once more, cut as it was, and its vectors are inserted in one transaction.
 * A video that is deleted meanwhile is skipped; one whose file cannot be decoded is counted and
 * reported, and the job goes on. A vector that is stored but damaged counts as missing and is made anew, if
 * the file still has its digest. Videos uploaded meanwhile have their vectors already. If the model or the
 * machine failed on a video, the job does the others and is then tried again for what is left (jobs/).
 *
 * Vectors that another digest of the model made stay until a backfill has run to its end without a
 * failure of ours: then nobody can need them, and they are retired (library/).
 *
 * A reread is a durable job of the kind "reread". It reads the files of the videos that were read by older
 * rules than VX_MEDIA_RULES (media.h) and writes down what comes out: see reread.c. A video whose file is
 * missing or cannot be read stays as it is, and outdated; it is counted and reported. When the job ends, also
 * when it is cancelled, a job of the kind "rejudge" (library/) judges the videos that have changed.
 *
 * Threads: one coordinator that runs jobs one after another, and while one runs as many helpers as
 * half the cores, so that uploads go on beside it. Any thread may submit.
 */
#pragma once

#include "base/outcome.h"
#include "collection/collection.h"
#include "extract/extract.h"
#include "jobs/jobs.h"
#include "library/library.h"
#include "store/store.h"
#include "writer/writer.h"

typedef struct vx_backfill vx_backfill;

typedef struct vx_backfill_params { /* borrows all, until stop */
    vx_collection *collection;
    const vx_extractor *extractor;
    vx_store *store;
    vx_writer *writer;
    vx_jobs *jobs; /* gets the kinds "backfill" and "reread" */
    vx_library *library;
} vx_backfill_params;

int vx_backfill_new(const vx_backfill_params *params, vx_backfill **ret_backfill, vx_err *err);
/* Starts the coordinator. */
int vx_backfill_start(vx_backfill *backfill, vx_err *err);
/* From here on a running job ends at its next picture; it stays queued and goes on at the next start. */
void vx_backfill_begin_stop(vx_backfill *backfill);
/* Needs the writer still running. NULL-safe. */
void vx_backfill_stop(vx_backfill *backfill);
/* After the jobs. NULL-safe. */
vx_backfill *vx_backfill_free(vx_backfill *backfill);

/* rc 0: the job is durable, or was running already. On the writer's thread; must be short. */
typedef void (*vx_backfill_accepted)(void *ctx, int rc, const char *job_id, const vx_err *err);
/* Never blocks. BUSY, STOPPING or INTERNAL (no memory): accepted is not called. One job at a time for
 * each model, and one reread: while one waits or runs, its id is given again.
 *   model  NULL: a reread */
vx_outcome vx_backfill_submit(vx_backfill *backfill, vx_model *model, vx_backfill_accepted accepted,
                              void *ctx);

/* ---- one video; `vidx embed` uses it too (missing_vectors.c) ---- */

typedef struct vx_missing_vectors { /* borrows all */
    const vx_extractor *extractor;
    vx_collection *collection;
    vx_writer *writer;
    const vx_video *video;
    const char *path;       /* a file with its bytes */
    const char *table_path; /* of its packet table, see media.h; may be NULL */
    unsigned models;        /* bit i = models->items[i] */
    int decode_threads;
    const vx_extract_watch *watch;
} vx_missing_vectors;

/* Gives a stored video the vectors that it lacks. The clips are those that are stored. One decode feeds
 * every model asked for, and all vectors are inserted in one transaction; a clip that has its vector
 * keeps it. Blocks for as long as the video takes. Threads: any.
 * NOT_FOUND: the video was deleted meanwhile; else as vx_extract_run. INTERNAL also when only some of
 * the models failed: the vectors of the others are stored. */
vx_outcome vx_missing_vectors_make(const vx_missing_vectors *want, vx_err *err);
