// operators.cu — one pass over memory for what torch would do in several.
#include <cuda_bf16.h>

#include "operators.cuh"

namespace {

constexpr int WARP = 32, ROWS_PER_BLOCK = 4;
constexpr int VECTORS = VX_ADD_LAYER_NORM_MAX_WIDTH / 8 / WARP; // of 8 numbers, a lane, at most

__device__ void widen(const uint4 &packed, float *out) {
    const __nv_bfloat162 *pairs = reinterpret_cast<const __nv_bfloat162 *>(&packed);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float2 pair = __bfloat1622float2(pairs[i]);
        out[2 * i] = pair.x;
        out[2 * i + 1] = pair.y;
    }
}

__device__ uint4 narrow(const float *in) {
    uint4 packed;
    __nv_bfloat162 *pairs = reinterpret_cast<__nv_bfloat162 *>(&packed);
#pragma unroll
    for (int i = 0; i < 4; i++)
        pairs[i] = __floats2bfloat162_rn(in[2 * i], in[2 * i + 1]);
    return packed;
}

__device__ float sum_of_warp(float value) {
#pragma unroll
    for (int lanes = WARP / 2; lanes; lanes /= 2)
        value += __shfl_xor_sync(~0u, value, lanes);
    return value;
}

// One warp a row; the row stays in registers between the three passes over it.
template <bool ADDS>
__global__ void __launch_bounds__(WARP *ROWS_PER_BLOCK)
    add_layer_norm(const uint4 *x, const uint4 *y, const uint4 *weight, const uint4 *bias,
                   uint4 *total, uint4 *normed, int rows, int n_vectors, float eps) {
    int row = static_cast<int>(blockIdx.x) * ROWS_PER_BLOCK + static_cast<int>(threadIdx.x) / WARP;
    int lane = static_cast<int>(threadIdx.x) % WARP;
    if (row >= rows)
        return;
    size_t first = static_cast<size_t>(row) * n_vectors;
    float values[VECTORS][8], sum = 0;
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        int at = lane + WARP * i;
        if (at >= n_vectors)
            continue;
        widen(x[first + at], values[i]);
        if (ADDS) {
            float more[8];
            widen(y[first + at], more);
#pragma unroll
            for (int k = 0; k < 8; k++)
                values[i][k] += more[k];
            uint4 rounded = narrow(values[i]);
            total[first + at] = rounded;
            widen(rounded, values[i]);
        }
#pragma unroll
        for (int k = 0; k < 8; k++)
            sum += values[i][k];
    }
    float width = static_cast<float>(n_vectors) * 8, mean = sum_of_warp(sum) / width, squares = 0;
#pragma unroll
    for (int i = 0; i < VECTORS; i++)
        if (lane + WARP * i < n_vectors)
#pragma unroll
            for (int k = 0; k < 8; k++) {
                values[i][k] -= mean;
                squares += values[i][k] * values[i][k];
            }
    float scale = rsqrtf(sum_of_warp(squares) / width + eps);
#pragma unroll
    for (int i = 0; i < VECTORS; i++) {
        int at = lane + WARP * i;
        if (at >= n_vectors)
            continue;
        float gain[8], offset[8];
        widen(weight[at], gain);
        widen(bias[at], offset);
#pragma unroll
        for (int k = 0; k < 8; k++)
            values[i][k] = values[i][k] * scale * gain[k] + offset[k];
        normed[first + at] = narrow(values[i]);
    }
}

__global__ void patches(const float *pictures, __nv_bfloat16 *out, int side, int rows, int columns,
                        int width, size_t n_numbers) {
    size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= n_numbers)
        return;
    int number = static_cast<int>(i % width), square = side * side;
    size_t patch = i / width;
    int column = static_cast<int>(patch % columns), row = static_cast<int>(patch / columns % rows);
    size_t picture = patch / columns / rows;
    float value = 0;
    if (number < 3 * square) {
        int channel = number / square, y = number % square / side, x = number % side;
        size_t line = (picture * 3 + channel) * rows * side + row * side + y;
        value = pictures[line * columns * side + column * side + x];
    }
    out[i] = __float2bfloat16(value);
}

} // namespace

cudaError_t vx_add_layer_norm(const void *x, const void *y, const void *weight, const void *bias,
                              void *total, void *normed, int rows, int width, float eps,
                              cudaStream_t stream) {
    auto vectors = [](const void *pointer) { return static_cast<const uint4 *>(pointer); };
    dim3 blocks((rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK), threads(WARP * ROWS_PER_BLOCK);
    if (!rows)
        return cudaSuccess;
    if (y)
        add_layer_norm<true><<<blocks, threads, 0, stream>>>(
            vectors(x), vectors(y), vectors(weight), vectors(bias), static_cast<uint4 *>(total),
            static_cast<uint4 *>(normed), rows, width / 8, eps);
    else
        add_layer_norm<false><<<blocks, threads, 0, stream>>>(
            vectors(x), nullptr, vectors(weight), vectors(bias), nullptr,
            static_cast<uint4 *>(normed), rows, width / 8, eps);
    return cudaGetLastError();
}

cudaError_t vx_patches(const float *pictures, void *out, int64_t n, int64_t side, int64_t rows,
                       int64_t columns, int64_t width, cudaStream_t stream) {
    size_t n_numbers = static_cast<size_t>(n * rows * columns * width);
    if (!n_numbers)
        return cudaSuccess;
    patches<<<static_cast<unsigned>((n_numbers + 255) / 256), 256, 0, stream>>>(
        pictures, static_cast<__nv_bfloat16 *>(out), static_cast<int>(side), static_cast<int>(rows),
        static_cast<int>(columns), static_cast<int>(width), n_numbers);
    return cudaGetLastError();
}
