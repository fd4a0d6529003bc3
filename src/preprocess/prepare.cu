/* prepare.cu — the kernels of prepare.h; the arithmetic is pixel_math.h's. The scratch memory between the
 * two is uint8 [rows, w_out, 3] a picture: 0.7 MB for 1080p at 224 px, which stays in the L2 cache. */
#include <cuda_bf16.h>

#include "pixel_math.h"

/* A block makes one row of one picture: its pixels into shared memory, 3 bytes a column that is used, then
 * the weights. grid (most rows, 1, pictures) */
extern "C" __global__ void vx_prepare_across(const vx_prepare_picture *pictures,
                                             const int32_t *ints, uint8_t *scratch) {
    extern __shared__ uint8_t line[];
    const vx_prepare_picture *p = &pictures[blockIdx.z];
    int row = p->from + (int)blockIdx.x, thread = (int)threadIdx.x, n_threads = (int)blockDim.x;
    int from, to, rgb[3];
    if (p->two_taps || row >= p->to)
        return;
    vx_pixel_columns(p, ints, &from, &to);
    for (int x = from + thread; x < to; x += n_threads) {
        vx_samples_rgb(&p->s, x, row, rgb);
        for (int c = 0; c < 3; c++)
            line[3 * (x - from) + c] = (uint8_t)rgb[c];
    }
    __syncthreads();
    size_t w = (size_t)p->x_axis.n_out;
    uint8_t *narrow = scratch + p->narrow + 3 * w * (size_t)blockIdx.x;
    for (int o = thread; o < p->x_axis.n_out; o += n_threads)
        vx_pixel_across(p, ints, line, from, o, narrow + 3 * o);
}

/* A thread makes the three channels of one output pixel. grid (blocks of w_out, h_out, pictures) */
extern "C" __global__ void vx_prepare_down(const vx_prepare_picture *pictures, const int32_t *ints,
                                           const uint8_t *scratch, const float *values, int bf16) {
    const vx_prepare_picture *p = &pictures[blockIdx.z];
    int w = p->x_axis.n_out, h = p->y_axis.n_out, bytes[3];
    int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), o = (int)blockIdx.y;
    if (x >= w)
        return;
    vx_pixel_output(p, ints, scratch, x, o, bytes);
    for (int c = 0; c < 3; c++) {
        float value = values[256 * c + bytes[c]];
        size_t at = (size_t)((c * h + o) * w + x);
        if (bf16)
            ((__nv_bfloat16 *)p->place)[at] = __float2bfloat16_rn(value);
        else
            ((float *)p->place)[at] = value;
    }
}
