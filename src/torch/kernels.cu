// kernels.cu — one pass over memory for what torch would do in several.
#include <cuda_bf16.h>
#include <cuda_fp8.h>

#include "kernels.cuh"

namespace {

constexpr int WARP = 32, ROWS_PER_BLOCK = 4;
constexpr int VECTORS = VX_NORM_MAX_WIDTH / 8 / WARP; // of 8 numbers, a lane, at most

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

__device__ float max_of_warp(float value) {
#pragma unroll
    for (int lanes = WARP / 2; lanes; lanes /= 2)
        value = fmaxf(value, __shfl_xor_sync(~0u, value, lanes));
    return value;
}

// 8 numbers times `factor` in e4m3; what lies outside becomes its largest number.
__device__ uint2 to_fp8(const float *in, float factor) {
    __nv_fp8x2_storage_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        pairs[i] = __nv_cvt_float2_to_fp8x2(make_float2(in[2 * i] * factor, in[2 * i + 1] * factor),
                                            __NV_SATFINITE, __NV_E4M3);
    return make_uint2(pairs[0] | static_cast<uint32_t>(pairs[1]) << 16,
                      pairs[2] | static_cast<uint32_t>(pairs[3]) << 16);
}

// A row that lies in the registers of a warp, as 8 numbers in every 32nd place.
struct warp_row {
    float values[VECTORS][8];
    int lane, n_vectors;

    template <typename Each> __device__ void each(Each body) {
#pragma unroll
        for (int i = 0; i < VECTORS; i++)
            if (lane + WARP * i < n_vectors)
                body(values[i], lane + WARP * i);
    }

    // To `out` in e4m3, and what to multiply it with to `scale`: `fixed`, or 1/448 of the largest number.
    __device__ void store_fp8(uint2 *out, float *scale, const float *fixed) {
        float amax = 0;
        if (!fixed) {
            each([&](float *v, int) {
                for (int k = 0; k < 8; k++)
                    amax = fmaxf(amax, fabsf(v[k]));
            });
            amax = fmaxf(max_of_warp(amax), VX_FP8_LEAST_AMAX);
        }
        float factor = fixed ? 1 / *fixed : 1 / amax * VX_FP8_MAX;
        each([&](float *v, int at) { out[at] = to_fp8(v, factor); });
        if (!lane)
            *scale = fixed ? *fixed : amax / VX_FP8_MAX;
    }
};

// Where the norms of rows go: as bfloat16, or as e4m3 with a scale a row.
struct norms {
    uint4 *bf16;
    uint2 *fp8;
    float *scales;
    const float *fixed; // of e4m3; null: each row's own
};

// One warp a row; the row stays in registers between the passes over it. Without bias the mean is not
// subtracted: RMSNorm.
template <bool ADDS, bool FP8>
__global__ void __launch_bounds__(WARP *ROWS_PER_BLOCK)
    add_norm(const uint4 *x, const uint4 *y, const uint4 *weight, const uint4 *bias, uint4 *total,
             norms out, int rows, int n_vectors, float eps) {
    int row = static_cast<int>(blockIdx.x) * ROWS_PER_BLOCK + static_cast<int>(threadIdx.x) / WARP;
    if (row >= rows)
        return;
    size_t first = static_cast<size_t>(row) * n_vectors;
    warp_row held;
    held.lane = static_cast<int>(threadIdx.x) % WARP;
    held.n_vectors = n_vectors;
    float sum = 0;
    held.each([&](float *v, int at) {
        widen(x[first + at], v);
        if (ADDS) {
            float more[8];
            widen(y[first + at], more);
            for (int k = 0; k < 8; k++)
                v[k] += more[k];
            uint4 rounded = narrow(v);
            total[first + at] = rounded;
            widen(rounded, v);
        }
        for (int k = 0; k < 8; k++)
            sum += v[k];
    });
    float width = static_cast<float>(n_vectors) * 8, squares = 0;
    float mean = bias ? sum_of_warp(sum) / width : 0;
    held.each([&](float *v, int) {
        for (int k = 0; k < 8; k++) {
            v[k] -= mean;
            squares += v[k] * v[k];
        }
    });
    float scale = rsqrtf(sum_of_warp(squares) / width + eps);
    held.each([&](float *v, int at) {
        float gain[8], offset[8] = {};
        widen(weight[at], gain);
        if (bias)
            widen(bias[at], offset);
        for (int k = 0; k < 8; k++)
            v[k] = v[k] * scale * gain[k] + offset[k];
        if (!FP8)
            out.bf16[first + at] = narrow(v);
    });
    if (FP8)
        held.store_fp8(out.fp8 + first, out.scales + row, out.fixed);
}

__global__ void __launch_bounds__(WARP *ROWS_PER_BLOCK)
    rows_fp8(const uint4 *x, uint2 *out, float *scales, int rows, int n_vectors) {
    int row = static_cast<int>(blockIdx.x) * ROWS_PER_BLOCK + static_cast<int>(threadIdx.x) / WARP;
    if (row >= rows)
        return;
    size_t first = static_cast<size_t>(row) * n_vectors;
    warp_row held;
    held.lane = static_cast<int>(threadIdx.x) % WARP;
    held.n_vectors = n_vectors;
    held.each([&](float *v, int at) { widen(x[first + at], v); });
    held.store_fp8(out + first, scales + row, nullptr);
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

template <bool FP8>
static cudaError_t launch_add_norm(const void *x, const void *y, const void *weight,
                                   const void *bias, void *total, norms out, int rows, int width,
                                   float eps, cudaStream_t stream) {
    auto vectors = [](const void *pointer) { return static_cast<const uint4 *>(pointer); };
    dim3 blocks((rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK), threads(WARP * ROWS_PER_BLOCK);
    if (!rows)
        return cudaSuccess;
    auto kernel = y ? add_norm<true, FP8> : add_norm<false, FP8>;
    kernel<<<blocks, threads, 0, stream>>>(vectors(x), vectors(y), vectors(weight), vectors(bias),
                                           static_cast<uint4 *>(total), out, rows, width / 8, eps);
    return cudaGetLastError();
}

cudaError_t vx_add_layer_norm(const void *x, const void *y, const void *weight, const void *bias,
                              void *total, void *normed, int rows, int width, float eps,
                              cudaStream_t stream) {
    norms out{static_cast<uint4 *>(normed), nullptr, nullptr, nullptr};
    return launch_add_norm<false>(x, y, weight, bias, total, out, rows, width, eps, stream);
}

cudaError_t vx_add_norm_fp8(const void *x, const void *y, const void *weight, const void *bias,
                            void *total, void *normed, float *scales, const float *fixed, int rows,
                            int width, float eps, cudaStream_t stream) {
    norms out{nullptr, static_cast<uint2 *>(normed), scales, fixed};
    return launch_add_norm<true>(x, y, weight, bias, total, out, rows, width, eps, stream);
}

cudaError_t vx_rows_fp8(const void *x, void *out, float *scales, int rows, int width,
                        cudaStream_t stream) {
    dim3 blocks((rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK), threads(WARP * ROWS_PER_BLOCK);
    if (!rows)
        return cudaSuccess;
    rows_fp8<<<blocks, threads, 0, stream>>>(static_cast<const uint4 *>(x),
                                             static_cast<uint2 *>(out), scales, rows, width / 8);
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
