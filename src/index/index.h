/* index.h — exact nearest neighbours by inner product, over FAISS IndexFlatIP segments.
 *
 * One vx_index holds the vectors of one vector space. In memory; rebuilt from the catalog at start.
 * Every row has an id (a clip) and a group (its video): a search may keep to some groups, and may give
 * one row of each.
 *
 * In       float32 [n, dim] unit vectors; ids int64 >= 0, unique; groups int64
 * Scores   inner product (cosine), larger = nearer, correctly rounded; -1..1, and a few units of the
 *          last place beyond where the float32 vectors are a little longer than 1. The same query
 *          gives the same ids in the same order on every path (alone, joined with others, filtered):
 *          ties go to the smaller id. Infinite or NaN numbers match nothing
 * Errs     VX_INDEX_NOT_FOUND, VX_INDEX_EXISTS (> 0); -EINVAL, -ENOMEM, -EIO (FAISS's own text)
 * Threads  any; concurrent searches share one pass over the vectors. One add or remove at a time; it
 *          holds up searches of one segment for a few milliseconds
 * Cost     a search reads an 8-bit copy of every vector once per pass (on processors with AVX2; else
 *          the vectors), and those vectors that may be results; memory dim·5 + 24 bytes a row, 20..50
 *          per id
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"
#include "neighbour.h"

#define VX_INDEX_NOT_FOUND 1
#define VX_INDEX_EXISTS 2

typedef struct vx_index vx_index;

/* What names the rows that may be results; the answers are the same. */
typedef enum vx_index_first_pass {
    VX_INDEX_AUTO,  /* codes where the processor has instructions for them */
    VX_INDEX_CODES, /* 8-bit codes beside the vectors: a quarter more memory */
    VX_INDEX_FLOATS /* FAISS, over the vectors */
} vx_index_first_pass;

typedef struct vx_index_params {
    int dim;              /* 1..8192 */
    int64_t segment_rows; /* capacity of one segment; 0 = 64 MiB of vectors, at most 2^18 rows */
    int threads;          /* search threads; 0 = one per core */
    vx_index_first_pass first_pass;
} vx_index_params;

int vx_index_new(const vx_index_params *params, vx_index **ret_index, vx_err *err);
vx_index *vx_index_free(vx_index *index);
VX_DEFINE_AUTO(vx_index, vx_index_free)

/* groups: int64 [n]; NULL = every id is a group of its own.
 * All or none on failure: -EINVAL (negative id), VX_INDEX_EXISTS (also within ids), -ENOMEM, -EIO.
 * Fastest in lots of a whole segment (64 MiB), about the rate at which fresh memory can be filled.
 * A search that runs meanwhile may see some of them; after the return every search sees all. */
int vx_index_add(vx_index *index, const int64_t *ids, const int64_t *groups, const float *vectors,
                 size_t n, vx_err *err);
/* After the return no search that starts sees them. Unknown ids are ignored: removing twice is not
 * an error. Cost: a look at every row of their segments for some thousands of ids, as for one; so
 * give those of a whole video at once. A failure may leave some of them removed. */
int vx_index_remove(vx_index *index, const int64_t *ids, size_t n, vx_err *err);

/* The k nearest of each query, best first.
 *   ret       [n, k]; row q holds ret_n[q] valid entries
 *   ret_work  [n]: what each cost; may be NULL */
int vx_index_search(vx_index *index, const vx_index_query *query, vx_neighbour *ret, size_t *ret_n,
                    vx_index_work *ret_work, vx_err *err);

/* Copies one vector (float32 [dim]) out; VX_INDEX_NOT_FOUND. */
int vx_index_get(vx_index *index, int64_t id, float *ret_vector, vx_err *err);
/* The highest score of one vector with n queries (float32 [n, dim], n > 0), as a search would give
 * it; VX_INDEX_NOT_FOUND. */
int vx_index_score(vx_index *index, int64_t id, const float *queries, size_t n, float *ret_score,
                   vx_err *err);
/* The score of two vectors, float32 [dim], as a search gives it. Threads: any; no state. */
float vx_index_dot(const float *a, const float *b, size_t dim);
bool vx_index_has(vx_index *index, int64_t id);
/* Every id, rising (gives a malloc'ed array). */
int vx_index_ids(vx_index *index, int64_t **ret_ids, size_t *ret_n, vx_err *err);
/* ---- a GPU ---- */

struct vx_gpu_device;
typedef struct vx_index_gpu {
    const char *device;      /* "cuda:N"; borrows for the call */
    int64_t keep_free_bytes; /* of its memory, for others; 0 = a quarter of all */
    int64_t min_rows;        /* that the segments have room for, before it is used; 0 = 200,000 */
    const struct vx_gpu_device
        *device_functions; /* for tests, in place of CUDA; borrows for the call */
} vx_index_gpu;

typedef struct vx_index_gpu_state {
    const char *device;  /* NULL: none is used. Borrows from the index */
    int64_t rows, bytes; /* that lie there now */
} vx_index_gpu_state;

/* Keeps a copy of the codes on a GPU from now on, which searches read in place of those in memory: a quarter
 * of the vectors' size and 56 bytes a row. Answers are the same. Where there is no room, or no longer, it is
 * tried again every ten minutes. Once; for an index with codes. 0, -ENOMEM, -EINVAL. */
int vx_index_use_gpu(vx_index *index, const vx_index_gpu *gpu, vx_err *err);
bool vx_index_uses_gpu(vx_index *index); /* whether that was called */
/* Waits until it has what is in the index now, or no room for it. */
void vx_index_sync_gpu(vx_index *index);
/* Gives that memory back for ten minutes at least; whether there was any. */
bool vx_index_release_gpu(vx_index *index);
void vx_index_get_gpu_state(vx_index *index, vx_index_gpu_state *ret_state);

int vx_index_dim(const vx_index *index);
int64_t vx_index_count(vx_index *index);
size_t vx_index_memory_bytes(vx_index *index);

/* Writes one faiss IndexFlatIP file readable by any FAISS, row i = the i-th smallest id, and the
 * ids in that order (gives a malloc'ed array). Atomic: a temporary file, fsync, rename. The file
 * streams out in constant memory beside adds (left out) and removes (in the file or not). */
int vx_index_write_faiss(vx_index *index, const char *path, int64_t **ret_ids, size_t *ret_n,
                         vx_err *err);
