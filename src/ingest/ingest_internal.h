/* ingest_internal.h — what ingest.c, ingest_commit.c, jobs.c share about one video on its way.
 *
 * Threads: an item belongs to one thread after the other (sealer and worker at once, each with its
 * part of vx_ingest_work), the live table to any.
 */
#pragma once

#include "writer/writer.h"
#include "extract/extract.h"
#include "ingest.h"
#include "verdict/verdict.h"

/* The live part of an item. The atomics are read by jobs.c while the pipeline writes them. */
typedef struct vx_ingest_work {
    vx_extract extract;
    vx_verdict_look look;
    atomic_llong started_us; /* monotonic, when PROBE began; 0 = still waiting */
    atomic_int phase;        /* vx_phase */
    atomic_llong done, total;
    atomic_bool cancelled;
    /* What the sealer and the worker found; the committer's turn comes when both have arrived. */
    atomic_int n_awaited;
    int seal_rc;
    vx_err seal_err;
    vx_ingest_result result; /* of the worker; OK: extract holds what is to be committed */
} vx_ingest_work;

/* ingest.c */
void vx_ingest_enter_phase(vx_server *server, vx_ingest_item *item, vx_phase phase, int64_t done,
                           int64_t total);
/* After an item's `cancelled` was set: one that waits for another of its bytes ends now. */
void vx_ingest_release_cancelled(vx_server *server);
void vx_ingest_add_time(vx_server *server, vx_phase phase, int64_t us);
/* The end of every item: leaves the in-flight table, wakes followers, calls done, frees. Takes
 * both; result->video is freed unless done took it. */
void vx_ingest_finish(vx_server *server, vx_ingest_item *item, vx_ingest_result *result);

/* ingest_commit.c: hands a video whose vectors are ready to the committer, which finishes it. */
void vx_ingest_commit(vx_server *server, vx_ingest_item *item);
/* Writes the end of a background job that stored nothing; then finishes the item. */
void vx_ingest_fail_job(vx_server *server, vx_ingest_item *item, vx_ingest_result *result);

/* jobs.c: the live table (an item is in it from before its row can be read until it is finished),
 * and what a job row holds. */
void vx_jobs_add(vx_server *server, vx_ingest_item *item);
void vx_jobs_remove(vx_server *server, vx_ingest_item *item);
/* Makes the item a durable job: item->job_id is set and the item live; on_accepted runs on the
 * committer thread (rc 0), or says why not, the item then not being live. */
void vx_jobs_accept(vx_server *server, vx_ingest_item *item,
                    void (*on_accepted)(vx_server *server, vx_ingest_item *item, int rc,
                                        const vx_err *err));
/* At start, before the sweep: the items of the jobs that were queued or running, oldest first,
 * their files adopted. A job that cannot be read is marked failed. Gives the array and the items.
 */
int vx_jobs_load(vx_server *server, vx_ingest_item ***ret_items, size_t *ret_n, vx_err *err);
/* {"outcome":…,"message":…,"video_id":…}; NULL when out of memory. free(). */
char *vx_jobs_result_json(const vx_ingest_result *result);
