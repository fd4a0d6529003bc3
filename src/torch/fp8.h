/* fp8.h — numbers in float8 e4m3, for the operators and their kernels (private to src/torch). */
#pragma once

#define VX_FP8_MAX 448.0f /* the largest */
#define VX_FP8_LEAST_AMAX                                                                          \
    1e-12f /* what a row's largest number is taken for at least: zeros have a scale, too */
