/* backfill.h — a model's vectors for the videos that were stored without it.
 *
 * A backfill is a durable job. It looks at what is missing when it begins, and again after a restart:
 * so kill -9 costs the videos that were in work and nothing else. Each video is read from its stored
 * file once more, cut as it was, and its vectors are inserted in one transaction through the
 * committer. A video that is deleted meanwhile is skipped; one whose file cannot be decoded is
 * counted and reported, and the job goes on. Videos uploaded meanwhile have their vectors already.
 *
 * Vectors that another digest of the model made stay until a backfill has run to its end without a
 * failure of ours: then nobody can need them, and they are given up (spaces.h).
 *
 * Threads: one coordinator that runs jobs one after another, and while one runs as many helpers as
 * half the cores, so that uploads go on beside it. Any thread may submit.
 */
#pragma once

#include "base/outcome.h"
#include "server/server.h"

/* rc 0: the job is durable, or was running already. On the committer's thread; must be short. */
typedef void (*vx_backfill_accepted)(void *ctx, int rc, const char *job_id, const vx_err *err);
/* Never blocks. BUSY, STOPPING or INTERNAL (no memory): accepted is not called. One job at a time for
 * each model: while one waits or runs, its id is given again. */
vx_outcome vx_backfill_submit(vx_server *server, vx_model *model, vx_backfill_accepted accepted,
                              void *ctx);

/* Goes on with the jobs of before a restart. Needs the committer. */
int vx_backfill_start(vx_server *server, vx_err *err);
/* server->stopping is set before: a running job stays queued and goes on at the next start. */
void vx_backfill_stop(vx_server *server);
