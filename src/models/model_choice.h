/* model_choice.h — which model `--model auto` takes.
 *
 * A collection stays with a model that it has vectors of: another default would find nothing in it
 * until a backfill. For a collection without vectors it is the best one whose package is there and
 * that its device carries. The table is the order of preference, best first.
 *
 * Pure: no file or device is touched here. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct vx_model_rank {
    const char *name;
    bool needs_gpu; /* works on a CPU, but not fast enough to be chosen unasked */
} vx_model_rank;

enum { VX_MODEL_RANKS = 5 };
extern const vx_model_rank vx_model_ranks[VX_MODEL_RANKS]; /* the last runs anywhere */

typedef struct vx_model_candidate {
    bool present; /* its package is there and a device of its can run it */
    bool on_gpu;  /* that device is a GPU */
    bool stored;  /* the collection has vectors of it */
} vx_model_candidate;

/* The models to try, the most wanted first: indexes of vx_model_ranks into ret_order. Returns how
 * many, 0 = none can be used. candidates: in the table's order. */
size_t vx_model_order(const vx_model_candidate candidates[VX_MODEL_RANKS],
                      size_t ret_order[VX_MODEL_RANKS]);
/* Why the candidate is where it is in the order: a few words; static. */
const char *vx_model_reason(const vx_model_candidate *candidate, const vx_model_rank *rank);
