/* missing_vectors.h — computes the vectors that stored videos are missing: those of a model that was
 * added to the command, that has another digest now, or that failed on them before.
 *
 * What is missing is what the catalog does not have. So a run may end at any moment, and the next
 * does the rest. A video is decoded once for all the models whose vectors it is missing.
 *
 * Threads: one at a time, with no ingest running; as many workers as the ingest pool has.
 */
#pragma once

#include "embed_files.h"

/* After vx_batch_embed_files, whose report it continues; returns as that does. What fails is added to
 * the failures and named on stderr. If nothing did, vectors made by other digests of these models
 * are removed. */
int vx_batch_fill_missing_vectors(const vx_batch_run_context *context, vx_batch_report *report,
                                  vx_err *err);
