// pair_scan.cu — pair_scan.h on CUDA.
//
// find_pairs multiplies a tile of 128 rows with 128 others on tensor cores, 32 numbers at a time through shared memory,
// the next ones being copied meanwhile. The products stay in registers: a warp looks whether any of its own
// reaches the bar, which is rare, and only then writes them out and picks the pairs.
#include "pair_scan.h"

#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "torch_shim.h"

namespace {

constexpr int TILE = 128, STEP = 32,
              PITCH = STEP + 8; // of a shared row: 8 more against bank conflicts
constexpr int THREADS = 256, PUT_ROWS = VX_PAIR_SCAN_PUT;
constexpr float SCALE = 256;

struct job {
    const __half *rows; // [padded rows, dim]
    int dim;            // a multiple of STEP
    uint32_t row, row_end, other, other_end;
    float bar; // of products of scaled rows
    uint32_t *count;
    vx_pair_found *found;
};

__global__ void round_rows(const float *in, size_t n, int dim, int padded, __half *out) {
    size_t end = n * static_cast<size_t>(padded);
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < end;
         i += static_cast<size_t>(gridDim.x) * blockDim.x) {
        size_t row = i / padded;
        int k = static_cast<int>(i % padded);
        out[i] = __float2half_rn(k < dim ? in[row * dim + k] * SCALE : 0.0f);
    }
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 700
using namespace nvcuda;

struct tiles {
    __half rows[2][TILE][PITCH], others[2][TILE][PITCH];
};

// 16 bytes a copy, two of each side a thread.
__device__ void load_step(tiles &t, int buffer, const job &j, size_t row, size_t other, int k) {
#pragma unroll
    for (int i = 0; i < TILE * STEP / 8 / THREADS; i++) {
        int at = static_cast<int>(threadIdx.x) + i * THREADS, r = at / (STEP / 8),
            c = at % (STEP / 8) * 8;
        __pipeline_memcpy_async(&t.rows[buffer][r][c], j.rows + (row + r) * j.dim + k + c, 16);
        __pipeline_memcpy_async(&t.others[buffer][r][c], j.rows + (other + r) * j.dim + k + c, 16);
    }
    __pipeline_commit();
}

using products = wmma::fragment<wmma::accumulator, 16, 16, 16, float>;

// Adds the products of a step to a warp's 64 rows x 32 others.
__device__ void multiply_step(const tiles &t, int buffer, int row, int other,
                              products (&sums)[4][2]) {
#pragma unroll
    for (int at = 0; at < STEP; at += 16) {
        wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> rows[4];
        wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> others[2];
#pragma unroll
        for (int a = 0; a < 4; a++)
            wmma::load_matrix_sync(rows[a], &t.rows[buffer][row + 16 * a][at], PITCH);
#pragma unroll
        for (int b = 0; b < 2; b++)
            wmma::load_matrix_sync(others[b], &t.others[buffer][other + 16 * b][at], PITCH);
#pragma unroll
        for (int a = 0; a < 4; a++)
#pragma unroll
            for (int b = 0; b < 2; b++)
                wmma::mma_sync(sums[a][b], rows[a], others[b], sums[a][b]);
    }
}

// A warp's 16 x 16 products, in shared memory.
__device__ void pick(const job &j, const float *written, uint32_t row, uint32_t other) {
    for (uint32_t i = threadIdx.x % 32; i < 256; i += 32) {
        uint32_t r = row + i / 16, o = other + i % 16;
        if (!(written[i] >= j.bar) || o >= r || r >= j.row_end || o >= j.other_end)
            continue;
        uint32_t place = atomicAdd(j.count, 1u);
        if (place < VX_PAIR_SCAN_ROOM)
            j.found[place] = {r, o};
    }
}
#endif

// Grid: tiles of rows, tiles of others. Eight warps: 2 x 4, each 64 rows x 32 others.
__global__ void __launch_bounds__(THREADS) find_pairs(job j) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 700
    __shared__ __align__(128) tiles t;
    uint32_t row = j.row + blockIdx.x * TILE, other = j.other + blockIdx.y * TILE;
    if (other >= row + TILE)
        return; // all of them stand behind the rows
    int warp = static_cast<int>(threadIdx.x / 32), warp_row = warp / 4 * 64,
        warp_other = warp % 4 * 32;
    products sums[4][2];
#pragma unroll
    for (int a = 0; a < 4; a++)
#pragma unroll
        for (int b = 0; b < 2; b++)
            wmma::fill_fragment(sums[a][b], 0.0f);
    load_step(t, 0, j, row, other, 0);
    for (int k = 0, buffer = 0; k < j.dim; k += STEP, buffer ^= 1) {
        bool more = k + STEP < j.dim;
        if (more)
            load_step(t, buffer ^ 1, j, row, other, k + STEP);
        if (more)
            __pipeline_wait_prior(1);
        else
            __pipeline_wait_prior(0);
        __syncthreads();
        multiply_step(t, buffer, warp_row, warp_other, sums);
        __syncthreads(); // before the buffer is written again
    }
    float *written =
        reinterpret_cast<float *>(&t) + warp * 256; // the tiles are not needed any more
#pragma unroll
    for (int a = 0; a < 4; a++)
#pragma unroll
        for (int b = 0; b < 2; b++) {
            bool any = false;
#pragma unroll
            for (int i = 0; i < sums[a][b].num_elements; i++)
                any |= sums[a][b].x[i] >= j.bar; // false for NaN
            if (!__any_sync(0xffffffffu, any))
                continue;
            wmma::store_matrix_sync(written, sums[a][b], 16, wmma::mem_row_major);
            __syncwarp();
            pick(j, written, row + warp_row + 16 * a, other + warp_other + 16 * b);
            __syncwarp();
        }
#endif
}

} // namespace

struct vx_pair_scan {
    int device;
    size_t n_rows, dim, padded;
    cudaStream_t stream;
    __half *rows;   // [n_rows + 256, padded], zeros behind the rows
    float *staging; // [PUT_ROWS, dim]
    uint32_t *count;
    vx_pair_found *found;
};

namespace {

int fail(cudaError_t code, vx_err *err) {
    cudaGetLastError(); // what is not sticky is over
    return VX_FAIL(
        err, code == cudaErrorMemoryAllocation ? static_cast<int>(VX_TORCH_OUT_OF_MEMORY) : -EIO,
        "comparing rows on the GPU: %s", cudaGetErrorString(code));
}

#define TRY(call)                                                                                  \
    do {                                                                                           \
        cudaError_t code_ = (call);                                                                \
        if (code_ != cudaSuccess)                                                                  \
            return fail(code_, err);                                                               \
    } while (0)

int allocate(vx_pair_scan *s, vx_err *err) {
    TRY(cudaSetDevice(s->device));
    TRY(cudaStreamCreateWithFlags(&s->stream, cudaStreamNonBlocking));
    size_t bytes = (s->n_rows + 256) * s->padded * sizeof(__half);
    TRY(cudaMalloc(&s->rows, bytes));
    TRY(cudaMalloc(&s->staging, PUT_ROWS * s->dim * sizeof(float)));
    TRY(cudaMalloc(&s->count, sizeof *s->count));
    TRY(cudaMalloc(&s->found, VX_PAIR_SCAN_ROOM * sizeof *s->found));
    TRY(cudaMemsetAsync(s->rows, 0, bytes, s->stream));
    TRY(cudaStreamSynchronize(s->stream));
    return 0;
}

int find_device(const char *device, int *ret_number, vx_err *err) {
    int count = 0, major = 0;
    if (strncmp(device, "cuda", 4) || (device[4] && (device[4] != ':' || !device[5])))
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "%s is no CUDA device", device);
    *ret_number = device[4] ? atoi(device + 5) : 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess || *ret_number < 0 || *ret_number >= count) {
        cudaGetLastError();
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "there is no %s", device);
    }
    TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, *ret_number));
    return major >= 7 ? 0
                      : VX_FAIL(err, VX_TORCH_NO_DEVICE, "%s is older than compute capability 7.0",
                                device);
}

} // namespace

extern "C" int vx_pair_scan_new(const char *device, size_t n_rows, size_t dim,
                                vx_pair_scan **ret_scan, vx_err *err) noexcept {
    int number = 0;
    if (int rc = find_device(device, &number, err))
        return rc;
    vx_pair_scan *s = new (std::nothrow) vx_pair_scan();
    if (!s)
        return VX_FAIL(err, -ENOMEM, "no memory to compare rows on the GPU");
    s->device = number;
    s->n_rows = n_rows;
    s->dim = dim;
    s->padded = (dim + STEP - 1) / STEP * STEP;
    int rc = allocate(s, err);
    if (rc)
        vx_pair_scan_free(s);
    else
        *ret_scan = s;
    return rc;
}

extern "C" vx_pair_scan *vx_pair_scan_free(vx_pair_scan *s) noexcept {
    if (!s)
        return nullptr;
    cudaSetDevice(s->device);
    cudaFree(s->rows);
    cudaFree(s->staging);
    cudaFree(s->count);
    cudaFree(s->found);
    if (s->stream)
        cudaStreamDestroy(s->stream);
    cudaGetLastError();
    delete s;
    return nullptr;
}

extern "C" int vx_pair_scan_put(vx_pair_scan *s, size_t first, size_t n, const float *rows,
                                vx_err *err) noexcept {
    TRY(cudaSetDevice(s->device));
    for (size_t done = 0; done < n; done += PUT_ROWS) {
        size_t now = n - done < PUT_ROWS ? n - done : PUT_ROWS;
        TRY(cudaMemcpyAsync(s->staging, rows + done * s->dim, now * s->dim * sizeof(float),
                            cudaMemcpyHostToDevice, s->stream));
        round_rows<<<1024, THREADS, 0, s->stream>>>(s->staging, now, static_cast<int>(s->dim),
                                                    static_cast<int>(s->padded),
                                                    s->rows + (first + done) * s->padded);
        TRY(cudaGetLastError());
        TRY(cudaStreamSynchronize(s->stream));
    }
    return 0;
}

extern "C" int vx_pair_scan_run(vx_pair_scan *s, const vx_pair_scan_run_params *p,
                                vx_pair_found *ret_found, size_t *ret_n, vx_err *err) noexcept {
    TRY(cudaSetDevice(s->device));
    job j = {};
    j.rows = s->rows;
    j.dim = static_cast<int>(s->padded);
    j.row = static_cast<uint32_t>(p->row);
    j.row_end = static_cast<uint32_t>(p->row + p->n_rows);
    j.other = static_cast<uint32_t>(p->other);
    j.other_end = static_cast<uint32_t>(p->other + p->n_others);
    j.bar = nextafterf(p->at_least * SCALE * SCALE, -INFINITY);
    j.count = s->count;
    j.found = s->found;
    *ret_n = 0;
    if (!p->n_rows || !p->n_others)
        return 0;
    dim3 grid(static_cast<unsigned>((p->n_rows + TILE - 1) / TILE),
              static_cast<unsigned>((p->n_others + TILE - 1) / TILE));
    uint32_t count = 0;
    TRY(cudaMemsetAsync(s->count, 0, sizeof *s->count, s->stream));
    find_pairs<<<grid, THREADS, 0, s->stream>>>(j);
    TRY(cudaGetLastError());
    TRY(cudaMemcpyAsync(&count, s->count, sizeof count, cudaMemcpyDeviceToHost, s->stream));
    TRY(cudaStreamSynchronize(s->stream));
    *ret_n = count;
    size_t n = count <= VX_PAIR_SCAN_ROOM ? count : 0; // a part of them is of no use
    if (n) {
        TRY(cudaMemcpyAsync(ret_found, s->found, n * sizeof *s->found, cudaMemcpyDeviceToHost,
                            s->stream));
        TRY(cudaStreamSynchronize(s->stream));
    }
    return 0;
}
