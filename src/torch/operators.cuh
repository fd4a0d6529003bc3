// operators.cuh — the CUDA kernels behind operators.cpp. All pointers are on the device of the stream.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

constexpr int VX_ADD_LAYER_NORM_MAX_WIDTH = 1536;

// total = x + y and normed = LayerNorm(total) * weight + bias, all bfloat16: x, y, total, normed
// [rows, width], weight, bias [width]; 16-byte aligned, width a multiple of 8. y null: total is not written.
// The sum is rounded before its mean and variance are taken, as two separate operators would.
cudaError_t vx_add_layer_norm(const void *x, const void *y, const void *weight, const void *bias,
                              void *total, void *normed, int rows, int width, float eps,
                              cudaStream_t stream);

// float32 pictures [n, 3, rows * side, columns * side] to bfloat16 [n, rows * columns, width]: the numbers
// of a square in the order channel, row, column, then zeros.
cudaError_t vx_patches(const float *pictures, void *out, int64_t n, int64_t side, int64_t rows,
                       int64_t columns, int64_t width, cudaStream_t stream);
