// small.cu — the kernels of small.h; the arithmetic is small_math.h's.
#include "small_math.h"

// A block makes one line of the scratch memory. grid (lines), a thread for each value
extern "C" __global__ void vx_small_across_lines(vx_small_job job, const int32_t *ints,
                                                 int16_t *scratch) {
    int at, value = vx_small_across(&job, ints, (int)blockIdx.x, (int)threadIdx.x, &at);
    if (at >= 0)
        scratch[at] = (int16_t)value;
}

// A block makes one row. grid (27), a thread for each pixel
extern "C" __global__ void vx_small_down_rows(vx_small_job job, const int32_t *ints,
                                              const int16_t *scratch, uint8_t *rgb) {
    int x = (int)threadIdx.x, y = (int)blockIdx.x;
    vx_small_pixel(&job, ints, scratch, x, y, rgb + 3 * (y * VX_SMALL_WIDTH + x));
}
