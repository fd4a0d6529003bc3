/* commit.h — the one writer: verdict and insert as one step, one fsync for a group.
 *
 * A single committer thread takes the operations that wait, gives each its own savepoint inside one
 * transaction (in which it also enters what it adds into the indexes), commits once, then calls
 * back. So the verdict of every video sees all videos before it, also those of its own group; and a
 * reply is sent only after the data is on the disk and searchable.
 *
 * Threads: submit from any thread, which says what is to happen while a thousand operations wait
 * already. Callbacks run on the committer thread and must be short; each may submit one operation more, which
 * never waits.
 */
#pragma once

#include "ingest/ingest.h"

/* What is to be done: `apply` inside the transaction, then `done` after the commit.
 *   apply  0 = keep, anything else = undo this operation only (rc and err go to done)
 *   done   on the committer thread; rc 0 = durable; frees op */
typedef struct vx_commit_op {
    int (*apply)(struct vx_commit_op *op, vx_server *server, vx_err *err);
    void (*done)(struct vx_commit_op *op, vx_server *server, int rc, const vx_err *err);
    const uint8_t *published; /* set by apply: the digest of a file it moved into the store, which
                                 must be durable before the row that names it; borrows */
} vx_commit_op;

int vx_commit_start(vx_server *server, vx_err *err);
void vx_commit_stop(vx_server *server); /* finishes what was submitted */

typedef enum vx_commit_when_full {
    VX_COMMIT_WAIT,   /* for threads that may block: the pipeline's own, with work behind them */
    VX_COMMIT_REFUSE, /* for HTTP threads: the client is told to come back */
} vx_commit_when_full;

/* VX_OUTCOME_OK: takes op. BUSY (only with VX_COMMIT_REFUSE) or STOPPING: nothing was called. */
vx_outcome vx_commit_submit(vx_server *server, vx_commit_op *op, vx_commit_when_full when_full);

/* As submit, and waits for the end: for callers that may block. Returns apply's or the commit's rc.
 */
int vx_commit_run(vx_server *server, int (*apply)(void *ctx, vx_server *server, vx_err *err),
                  void *ctx, vx_err *err);

/* Changes of a stored video; as submit, done as above. rc VX_CATALOG_NOT_FOUND when there is none.
 * Metadata is set by waiting for room. */
typedef void (*vx_commit_video_done)(void *ctx, int rc, const vx_err *err);
vx_outcome vx_commit_delete_video(vx_server *server, const char *video_id,
                                  vx_commit_when_full when_full, vx_commit_video_done done,
                                  void *ctx);
vx_outcome vx_commit_set_metadata(vx_server *server, const char *video_id,
                                  const char *metadata_json, vx_commit_video_done done, void *ctx);
