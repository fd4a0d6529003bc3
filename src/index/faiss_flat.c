#include "faiss_flat.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <faiss/c_api/IndexFlat_c.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/impl/AuxIndexStructures_c.h>
#include <faiss/c_api/utils/distances_c.h>

/* FAISS scans once per query below this and calls BLAS from it on. Its default of 20 is far off for
 * one thread: 64 MiB of 1280-d rows took 18 ms against 9 for 4 queries, 67 against 12 for 16. */
#define BLAS_FROM_QUERIES 4

/* OpenMP's own entry point. Declared here since <omp.h> belongs to one compiler each, while FAISS
 * always brings GCC's runtime. */
extern void omp_set_num_threads(int n_threads);

static FaissIndex *faiss(const vx_faiss *flat) {
    return (FaissIndex *)flat;
}

static int fail(vx_err *err, const char *what) {
    const char *text = faiss_get_last_error();
    bool no_memory = text && strstr(text, "bad_alloc");
    return VX_FAIL(err, no_memory ? -ENOMEM : -EIO, "FAISS could not %s: %s", what,
                   text ? text : "no reason given");
}

int vx_faiss_new(int dim, vx_faiss **ret_flat, vx_err *err) {
    FaissIndexFlatIP *index = NULL;
    if (faiss_IndexFlatIP_new_with(&index, dim))
        return fail(err, "create an index");
    *ret_flat = (vx_faiss *)index;
    return 0;
}

vx_faiss *vx_faiss_free(vx_faiss *flat) {
    if (flat)
        faiss_Index_free(faiss(flat));
    return NULL;
}

int vx_faiss_add(vx_faiss *flat, const float *vectors, size_t n, vx_err *err) {
    return faiss_Index_add(faiss(flat), (idx_t)n, vectors) ? fail(err, "add vectors") : 0;
}

int vx_faiss_drop_last(vx_faiss *flat, size_t n, vx_err *err) {
    idx_t end = faiss_Index_ntotal(faiss(flat));
    FaissIDSelectorRange *tail = NULL;
    if (faiss_IDSelectorRange_new(&tail, end - (idx_t)n, end))
        return fail(err, "select vectors");
    size_t n_removed = 0;
    int failed = faiss_Index_remove_ids(faiss(flat), (FaissIDSelector *)tail, &n_removed);
    int rc = failed ? fail(err, "remove vectors") : 0;
    faiss_IDSelector_free((FaissIDSelector *)tail);
    return rc;
}

float *vx_faiss_rows(vx_faiss *flat) {
    float *rows = NULL;
    size_t n_floats;
    faiss_IndexFlat_xb(faiss(flat), &rows, &n_floats);
    return rows;
}

int vx_faiss_search(const vx_faiss *flat, const float *queries, size_t n_queries, size_t k,
                    float *ret_scores, int64_t *ret_rows, vx_err *err) {
    _Static_assert(sizeof(idx_t) == sizeof(int64_t), "FAISS labels are int64");
    return faiss_Index_search(faiss(flat), (idx_t)n_queries, queries, (idx_t)k, ret_scores,
                              (idx_t *)ret_rows)
               ? fail(err, "search")
               : 0;
}

static void set_up_process(void) {
    faiss_set_distance_compute_blas_threshold(BLAS_FROM_QUERIES);
    /* OpenBLAS's own pool is process-wide and serialises callers; other BLAS libraries lack the
     * function, hence by name. */
    void (*blas_threads)(int) = NULL;
    *(void **)&blas_threads = dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
    if (blas_threads)
        blas_threads(1);
}

void vx_faiss_set_up_thread(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_up_process);
    omp_set_num_threads(1);
}
