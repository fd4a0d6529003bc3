/* prepare.cu — see prepare_kernels.h. One thread makes one value of one picture; the arithmetic is
 * pixel_math.h's. The scratch memory between the passes is uint8 [rows, w_out, 3] a picture: 0.7 MB for
 * 1080p at 224 px, which stays in the L2 cache. */
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "prepare_kernels.h"

/* grid (x blocks of w_out, rows, pictures) */
__global__ void across(const vx_prepare_picture *pictures, const int32_t *ints, uint8_t *scratch) {
    const vx_prepare_picture *p = &pictures[blockIdx.z];
    int o = (int)(blockIdx.x * blockDim.x + threadIdx.x), row = (int)blockIdx.y;
    if (o >= p->x_axis.n_out || row >= p->to - p->from)
        return;
    uint8_t *narrow = scratch + p->narrow;
    vx_pixel_across(p, ints, p->from + row, o,
                    narrow + 3 * ((size_t)row * (size_t)p->x_axis.n_out + (size_t)o));
}

/* grid (x blocks of w_out, 3 * h_out, pictures) */
__global__ void down(const vx_prepare_picture *pictures, const int32_t *ints,
                     const uint8_t *scratch, const float *values, int bf16) {
    const vx_prepare_picture *p = &pictures[blockIdx.z];
    int w = p->x_axis.n_out, h = p->y_axis.n_out;
    int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), o = (int)blockIdx.y % h,
        c = (int)blockIdx.y / h;
    if (x >= w)
        return;
    float value = values[256 * c + vx_pixel_down(p, ints, scratch + p->narrow, x, o, c)];
    size_t at = ((size_t)c * (size_t)h + (size_t)o) * (size_t)w + (size_t)x;
    if (bf16)
        ((__nv_bfloat16 *)p->place)[at] = __float2bfloat16_rn(value);
    else
        ((float *)p->place)[at] = value;
}

static cudaError_t copy_in(void *to, const void *from, size_t n_bytes, cudaStream_t stream) {
    return cudaMemcpyAsync(to, from, n_bytes, cudaMemcpyHostToDevice, stream);
}

extern "C" int vx_prepare_on_stream(const vx_prepare_launch *launch, void *on_stream,
                                    const char **ret_text) {
    enum { THREADS = 64, VALUES_BYTES = 3 * 256 * sizeof(float), MOST_PICTURES = 65535 };
    cudaStream_t stream = (cudaStream_t)on_stream;
    size_t pictures_bytes = (size_t)launch->n * sizeof *launch->pictures;
    size_t ints_bytes = launch->n_ints * sizeof *launch->ints;
    uint8_t *memory = nullptr; /* pictures, values, ints, scratch: each a multiple of 4 long */
    cudaError_t e = launch->n > MOST_PICTURES ? cudaErrorInvalidValue : cudaSuccess;
    if (e == cudaSuccess)
        e = cudaMallocAsync((void **)&memory,
                            pictures_bytes + VALUES_BYTES + ints_bytes + launch->narrow_bytes,
                            stream);
    vx_prepare_picture *pictures = (vx_prepare_picture *)memory;
    float *values = (float *)(memory + pictures_bytes);
    int32_t *ints = (int32_t *)(memory + pictures_bytes + VALUES_BYTES);
    uint8_t *scratch = memory + pictures_bytes + VALUES_BYTES + ints_bytes;
    if (e == cudaSuccess)
        e = copy_in(pictures, launch->pictures, pictures_bytes, stream);
    if (e == cudaSuccess)
        e = copy_in(values, launch->values, VALUES_BYTES, stream);
    if (e == cudaSuccess)
        e = copy_in(ints, launch->ints, ints_bytes, stream);
    unsigned blocks = (unsigned)(launch->w_out + THREADS - 1) / THREADS;
    if (e == cudaSuccess) {
        across<<<dim3(blocks, (unsigned)launch->most_rows, (unsigned)launch->n), THREADS, 0,
                 stream>>>(pictures, ints, scratch);
        down<<<dim3(blocks, 3 * (unsigned)launch->h_out, (unsigned)launch->n), THREADS, 0,
               stream>>>(pictures, ints, scratch, values, launch->bf16);
        e = cudaGetLastError();
    }
    if (memory) {
        cudaError_t freed = cudaFreeAsync(memory, stream);
        e = e == cudaSuccess ? freed : e;
    }
    *ret_text = cudaGetErrorString(e);
    return (int)e;
}
