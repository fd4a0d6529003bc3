/* Products without a BLAS, for pairs.sh. */
#include "dedup/dedup.h"

/* Sixteen sums beside each other, which the compiler puts into wide registers. */
void vx_dedup_products(const float *a, size_t n_a, const float *b, size_t n_b, size_t dim,
                       float *ret_products) {
    for (size_t i = 0; i < n_a; i++)
        for (size_t k = 0; k < n_b; k++) {
            const float *x = a + i * dim, *y = b + k * dim;
            float lanes[16] = {0}, sum = 0;
            size_t d = 0;
            for (; d + 16 <= dim; d += 16)
#pragma omp simd
                for (size_t l = 0; l < 16; l++)
                    lanes[l] += x[d + l] * y[d + l];
            for (size_t l = 0; l < 16; l++)
                sum += lanes[l];
            for (; d < dim; d++)
                sum += x[d] * y[d];
            ret_products[i * n_b + k] = sum;
        }
}
