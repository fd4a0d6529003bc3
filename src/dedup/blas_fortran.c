/* blas_fortran.c — vx_dedup_products by whatever BLAS the program has, through Fortran's interface. */
#include "dedup.h"

/* Column by column, everything by reference. */
extern void sgemm_(const char *transpose_a, const char *transpose_b, const int *m, const int *n,
                   const int *k, const float *alpha, const float *a, const int *lda, const float *b,
                   const int *ldb, const float *beta, float *c, const int *ldc);
extern void omp_set_num_threads(int n_threads); /* <omp.h> belongs to one compiler each */

/* What is a row here is a column there: so this is C' = B A', which lies in memory as C should. */
void vx_dedup_products(const float *a, size_t n_a, const float *b, size_t n_b, size_t dim,
                       float *ret_products) {
    const int m = (int)n_b, n = (int)n_a, k = (int)dim;
    const float one = 1, zero = 0;
    omp_set_num_threads(1); /* of the calling thread: the threads are ours */
    sgemm_("T", "N", &m, &n, &k, &one, b, &k, a, &k, &zero, ret_products, &m);
}
