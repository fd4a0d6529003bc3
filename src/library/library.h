/* library.h — changes to what is stored: videos are changed and deleted, vector spaces retired, and a
 * thread tidies up from time to time.
 *
 * A vector space whose model is not loaded, or is loaded with another digest, stays until somebody
 * retires it: one short transaction, after which nobody finds it. The upkeep thread then deletes its
 * vectors, a few thousand in a transaction, so that uploads commit in between; after a restart it goes
 * on.
 *
 * Threads: start, stop and free from main; everything else from any. `done` callbacks run on the
 * writer's thread and must be short.
 */
#pragma once

#include "base/outcome.h"
#include "collection/collection.h"
#include "cutter/cutter.h"
#include "extract/extract.h"
#include "jobs/jobs.h"
#include "store/store.h"
#include "verify/verify.h"
#include "writer/writer.h"

typedef struct vx_library vx_library;

typedef struct vx_library_params { /* borrows all, until free */
    vx_collection *collection;
    vx_store *store;
    vx_writer *writer;
    vx_jobs *jobs;
    vx_verify *verify; /* also has the extractor that reads files again */
    vx_cutter *cutter; /* NULL: nobody cuts clips */
    int judges;        /* videos that are judged anew at once, if their original is there; 0 = 1 */
    void (*on_deleted)(
        void *ctx); /* NULL, or called after each deletion, on the writer's thread; short */
    void *on_deleted_ctx;
} vx_library_params;

/* Starts the upkeep thread: it runs at once, every hour, and when there is something to delete. */
int vx_library_start(const vx_library_params *params, vx_library **ret_library, vx_err *err);
/* Ends the thread; before the writer stops. NULL-safe. */
void vx_library_stop(vx_library *library);
/* After the writer, whose last writes may call it. NULL-safe. */
vx_library *vx_library_free(vx_library *library);

/* ---- videos (change.c) ---- */

/* rc VX_CATALOG_NOT_FOUND when there is no such video. */
typedef void (*vx_library_done)(void *ctx, int rc, const vx_err *err);
/* Deletes the video with its vectors, fingerprints, clips and file. Videos whose verdict names it become
 * `new`, at the latest in the same transaction, and a job of the kind "rejudge" judges them anew (rejudge.c).
 * Thousands of them become so before, step by step, so that others can write. Not OK (BUSY, STOPPING): done
 * is not called. */
vx_outcome vx_library_delete_video(vx_library *library, const char *video_id,
                                   vx_when_full when_full, vx_library_done done, void *ctx);
/* The same as a decision about duplicates has it, which notes it in the same transaction; waits for room. rc as of
 * vx_catalog_check_deletion, which is asked there: no other deletion comes in between. */
vx_outcome vx_library_delete_decided(vx_library *library, const char *video_id, int64_t decision,
                                     vx_library_done done, void *ctx);
/* Inside a transaction that marks videos to be judged anew, as its last step: makes the job that judges them,
 * unless there is one (NULL). _finish: after that transaction, rc 0 = committed. */
int vx_library_begin_rejudge(vx_library *library, vx_job **ret_job, vx_err *err);
void vx_library_finish_rejudge(vx_library *library, vx_job *job, int rc);
/* Has what was stored in order (ingest.h) judged anew with a look at the pictures, and waits for that. For one thread. */
int vx_library_check_pictures(vx_library *library, vx_err *err);
/* Waits until the videos whose original was deleted are judged anew, or a round of that has failed. For one
 * thread. */
void vx_library_wait_rejudged(vx_library *library);
/* Replaces the metadata; waits for room. */
vx_outcome vx_library_set_metadata(vx_library *library, const char *video_id,
                                   const char *metadata_json, vx_library_done done, void *ctx);
/* Gives the video another file name (NULL: keeps it) and merges a JSON object into its metadata by RFC
 * 7396 (NULL: keeps it), in one transaction: two patches at once are both kept. Takes both. BUSY,
 * STOPPING: done is not called. */
vx_outcome vx_library_patch_video(vx_library *library, const char *video_id, char *filename,
                                  char *patch_json, vx_library_done done, void *ctx);

/* ---- vector spaces (vector_spaces.c) ---- */

/* rc 0: it is durable; n vector spaces were retired, perhaps none; they are borrowed. */
typedef void (*vx_library_retired)(void *ctx, int rc, const vx_vector_space *spaces, size_t n,
                                   const vx_err *err);
/* Retires the vector spaces of that model name, or the one of that digest (NULL: all), but none that is
 * loaded. Not OK (BUSY, STOPPING, INTERNAL: no memory): done is not called. */
vx_outcome vx_library_retire_spaces(vx_library *library, const char *model, const char *digest,
                                    vx_library_retired done, void *ctx);
/* Retires those of a loaded model's other digests. Waits. */
int vx_library_retire_old_digests(vx_library *library, const vx_model *model, vx_err *err);

/* ---- declared fields (indexes.c) ---- */

/* These n fields of the metadata (up to VX_FILTER_MAX_DECLARED, that vx_filter_check_metadata_field
 * accepts) have columns, in place of those before. After `done` the upkeep thread fills them. Not OK
 * (BUSY, STOPPING, INTERNAL: no memory): done is not called. */
vx_outcome vx_library_set_indexes(vx_library *library, const char *const *fields, size_t n,
                                  vx_library_done done, void *ctx);
