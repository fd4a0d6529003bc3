// kernels.cuh — the CUDA kernels behind operators.cpp. All pointers are on the device of the stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "fp8.h"

constexpr int VX_NORM_MAX_WIDTH = 1536;

// total = x + y and normed = LayerNorm(total) * weight + bias, all bfloat16: x, y, total, normed
// [rows, width], weight, bias [width]; 16-byte aligned, width a multiple of 8. y null: total is not written.
// The sum is rounded before its mean and variance are taken, as two separate operators would.
cudaError_t vx_add_layer_norm(const void *x, const void *y, const void *weight, const void *bias,
                              void *total, void *normed, int rows, int width, float eps,
                              cudaStream_t stream);

// The same with normed in e4m3 and scales [rows], what to multiply it with: *fixed for all rows, or where
// fixed is null 1/448 of each row's largest number. bias null: RMSNorm.
cudaError_t vx_add_norm_fp8(const void *x, const void *y, const void *weight, const void *bias,
                            void *total, void *normed, float *scales, const float *fixed, int rows,
                            int width, float eps, cudaStream_t stream);

// bfloat16 x [rows, width] to e4m3 and scales [rows], 1/448 of each row's largest number; 16-byte aligned,
// width a multiple of 8, at most VX_NORM_MAX_WIDTH.
cudaError_t vx_rows_fp8(const void *x, void *out, float *scales, int rows, int width,
                        cudaStream_t stream);

// float32 pictures [n, 3, rows * side, columns * side] to bfloat16 [n, rows * columns, width]: the numbers
// of a square in the order channel, row, column, then zeros.
cudaError_t vx_patches(const float *pictures, void *out, int64_t n, int64_t side, int64_t rows,
                       int64_t columns, int64_t width, cudaStream_t stream);
