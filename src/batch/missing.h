/* batch_missing.h — vectors that stored videos lack: of a model that was added to the command, has
 * another digest now, or failed on them before.
 *
 * What is missing is what the catalog does not have: so a run may end at any moment, and the next
 * does the rest. A video is decoded once for all models that it lacks.
 *
 * Threads: one at a time, with no ingest running; as many workers as the ingest pool has.
 */
#pragma once

#include "batch.h"

/* After vx_batch_run, whose result it goes on with (filled, internal, interrupted); returns as that
 * does. What fails is added to the failures and said on stderr. When nothing did, the vectors that
 * other digests of these models made are given up (spaces.h). */
int vx_batch_fill_missing(const vx_batch_params *params, vx_batch_result *result, vx_err *err);
