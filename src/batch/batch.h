/* batch.h — every video of a folder through the write path: what vidx embed does without HTTP.
 *
 *   caller's thread      picks files, submits, keeps the library, draws the progress
 *     → hash threads     read a file once for its SHA-256
 *     → ingest (ingest.h) PROBE … COMMIT; the video is durable when its `done` is called
 *     → caller's thread  links the file to its video
 *
 * At most twice as many files as ingest workers are inside. Nothing but the catalog says what is
 * done, so a run may end at any moment, kill -9 included, and the next goes on.
 *
 * Threads: one run at a time, on one thread.
 */
#pragma once

#include "base/atomic.h"
#include "failures.h"
#include "library.h"
#include "progress.h"

typedef struct vx_batch_params {
    vx_server *server; /* all borrowed */
    const char *input; /* absolute */
    vx_batch_files *files;
    vx_batch_library *library;
    vx_batch_failures *failures; /* bad files are added, and said on stderr */
    vx_batch_progress *progress;
    const atomic_bool *interrupted; /* set by a signal: end soon */
    int workers;                    /* of the ingest pool */
} vx_batch_params;

typedef struct vx_batch_result {
    size_t known;      /* were stored and unchanged: not read */
    size_t embedded;   /* stored by this run */
    size_t duplicates; /* the bytes of a stored video */
    size_t filled;     /* got vectors that they lacked: batch_missing.h */
    size_t lacking;    /* still lack them, as it was interrupted */
    size_t internal;   /* failed by an error of ours; also among the failures */
    bool interrupted;
} vx_batch_result;

/* 0 also when interrupted, or when single videos failed. -ENOSPC and other -errno end the run; what
 * was embedded stays. After any end but a complete one the server is stopping. */
int vx_batch_run(const vx_batch_params *params, vx_batch_result *ret_result, vx_err *err);
