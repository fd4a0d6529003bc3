/* embed_files.h — every new file of the input folder through ingest.
 *
 *   caller's thread      picks files, submits them, keeps the inventory, draws the progress
 *     → hash threads     read a file once for its SHA-256
 *     → caller's thread  submits in the order of paths
 *     → ingest           PROBE … COMMIT; the video is durable when `done` is called
 *     → caller's thread  notes the file in the inventory
 *
 * Videos are judged and stored in the order of their paths, whichever is decoded first: so verdicts and
 * rows are the same in every run and for every number of workers, also after an interruption, since
 * what is stored then is the beginning of that order. Of files with the same bytes the first by path is
 * submitted; the others share its outcome.
 *
 * A video that waits for its turn keeps no worker. At most eight times as many files as there are
 * workers are inside, so that workers have something to do while a long video is ahead of the others.
 *
 * Threads: one call at a time, on one thread.
 */
#pragma once

#include "failures.h"
#include "inventory.h"
#include "parts.h"
#include "progress.h"

/* What the steps of a run work on. All borrowed. */
typedef struct vx_batch_run_context {
    const vx_batch_parts *parts;
    const char *input; /* absolute; NULL: the files' paths are */
    vx_batch_files *files;
    vx_batch_inventory *inventory;
    vx_batch_failures *failures; /* videos that fail are added, and named on stderr */
    vx_batch_progress *progress;
    bool (*interrupted)(void); /* a signal asks to end soon */
} vx_batch_run_context;

/* Files and videos of one run, by what became of them. */
typedef struct vx_batch_report {
    size_t n_unchanged;     /* known from an earlier run: not read */
    size_t n_new;           /* stored by this run */
    size_t n_identical;     /* have the bytes of a stored video */
    size_t n_filled;        /* videos that got missing vectors: missing_vectors.h */
    size_t n_still_missing; /* videos that did not, because the run was interrupted */
    size_t n_internal;      /* failed and the fault is not in the video; also among the failures */
    bool interrupted;
} vx_batch_report;

/* 0 also when it was interrupted, or when single videos failed. -ENOSPC and other -errno end the run;
 * what was embedded stays. After any end but a complete one ingest is stopped.
 *   report  zeroed */
int vx_batch_embed_files(const vx_batch_run_context *context, vx_batch_report *report, vx_err *err);
