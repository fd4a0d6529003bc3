/* blas_openblas.c — vx_dedup_products by OpenBLAS. */
#include <cblas.h>
#include <pthread.h>

#include "dedup.h"

/* For the whole process: the threads are ours, and those of index/. */
static void use_one_thread(void) {
    openblas_set_num_threads(1);
}

void vx_dedup_products(const float *a, size_t n_a, const float *b, size_t n_b, size_t dim,
                       float *ret_products) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, use_one_thread);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n_a, (int)n_b, (int)dim, 1, a,
                (int)dim, b, (int)dim, 0, ret_products, (int)n_b);
}
