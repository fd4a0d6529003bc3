/* reduce.cu — pictures to PDQ's 64 x 64, and their black bars; the arithmetic is luma_math.h's. */
#include "luma_math.h"

/* A block makes one row of one grid: the weighted sum of each column into shared memory, then 64 of them.
 * grid (64, 1, parts) */
extern "C" __global__ void vx_reduce(const vx_reduce_part *parts, const int32_t *tables) {
    extern __shared__ float sums[];
    const vx_reduce_part *p = &parts[blockIdx.z];
    int o = (int)blockIdx.x, thread = (int)threadIdx.x, n_threads = (int)blockDim.x;
    for (int x = thread; x < p->box.w_px; x += n_threads)
        sums[x] = vx_reduce_down(p, tables, o, x);
    __syncthreads();
    for (int g = thread; g < 64; g += n_threads)
        p->grid[64 * o + g] = vx_reduce_across(p, tables, sums, g);
}

/* A block finds the bars of one picture. grid (1, 1, parts), VX_FP_SAMPLES threads */
extern "C" __global__ void vx_reduce_trim(const vx_reduce_part *parts) {
    const vx_reduce_part *p = &parts[blockIdx.z];
    if (!p->trimmed)
        return;
    vx_fp_box box = vx_fp_trim_bars(&p->luma);
    if (threadIdx.x == 0)
        *p->trimmed = box;
}
