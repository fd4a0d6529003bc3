/* searcher.h — the search threads of one index, and how they share out queries
 * (private to index/).
 *
 * Threads: every function from any thread; vx_searcher_free() when no search is running.
 */
#pragma once

#include "gpu.h"
#include "segment.h"

typedef struct vx_searcher vx_searcher;

/* kernel: of the segments' codes; NULL: they have none. */
int vx_searcher_new(int dim, const vx_dots_kernel *kernel, int n_threads,
                    vx_searcher **ret_searcher, vx_err *err);
/* Does not free the segments. */
vx_searcher *vx_searcher_free(vx_searcher *searcher);

/* Searches that start from now on visit this segment too. Borrows it until vx_searcher_free(). */
int vx_searcher_add_segment(vx_searcher *searcher, vx_segment *segment, vx_err *err);

/* Searches that start from now on ask this gpu first; once. Borrows it until vx_searcher_free(). */
void vx_searcher_use_gpu(vx_searcher *searcher, vx_gpu *gpu);

/* As vx_index_search(); waits for the answer. */
int vx_searcher_run(vx_searcher *searcher, const vx_index_query *query, vx_neighbour *ret,
                    size_t *ret_n, vx_index_work *ret_work, vx_err *err);
