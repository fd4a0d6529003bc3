/* faiss_flat.h — one FAISS IndexFlatIP in vidx's terms (private to index/).
 *
 * The only file that sees FAISS headers is faiss_flat.c: they define plain names such as OK and
 * idx_t. FAISS keeps its error text per thread, so each call copies it before anything else runs.
 *
 * In    float32 [n, dim]
 * Errs  -ENOMEM or -EIO with FAISS's text
 * Threads  reading calls (search, rows) beside each other; add and drop_last alone.
 *          The caller locks. FAISS and BLAS use one thread where vx_faiss_set_up_thread() was
 * called.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

typedef struct vx_faiss vx_faiss; /* a faiss::IndexFlatIP */

int vx_faiss_new(int dim, vx_faiss **ret_flat, vx_err *err);
vx_faiss *vx_faiss_free(vx_faiss *flat);

/* Appends n rows. May move all rows: pointers from vx_faiss_rows() end here. */
int vx_faiss_add(vx_faiss *flat, const float *vectors, size_t n, vx_err *err);
/* Cuts the last n rows off (as many as there are at most); nothing changes on failure. Costs a look
 * at every row. */
int vx_faiss_drop_last(vx_faiss *flat, size_t n, vx_err *err);

/* float32 [rows, dim], borrowed until the next add or drop_last. */
float *vx_faiss_rows(vx_faiss *flat);

/* The k best rows of each query by FAISS's own float32 score, best first.
 *   ret_scores, ret_rows  [n_queries, k]; row -1 = fewer than k (or NaN) */
int vx_faiss_search(const vx_faiss *flat, const float *queries, size_t n_queries, size_t k,
                    float *ret_scores, int64_t *ret_rows, vx_err *err);

/* To be called once by each search thread: keeps FAISS on it, as it is one of a pool already. BLAS
 * goes to one thread, and FAISS to BLAS for a few queries already, in the whole process. */
void vx_faiss_set_up_thread(void);
