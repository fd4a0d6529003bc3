/* kernels_c.h — the plans and twins of src/preprocess for kernels.cpp, which is CUDA C++. A batch has a
 * picture for the CPU and one for the device of each frame. facts: width, height, bit depth, matrix,
 * full range, transpose, flip x, flip y. Threads: one. */
#pragma once

#include "preprocess/prepare_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vxk_batch vxk_batch;

vxk_batch *vxk_batch_new(int side_px, int cubic, int crop, int bf16);
/* Borrows all. NV12 or P010: luma [h] rows of `pitch` bytes, then chroma. */
void vxk_batch_add(vxk_batch *batch, const int facts[8], long pitch, void *pixels, void *place,
                   void *device_pixels, void *device_place);
int vxk_batch_run_twin(const vxk_batch *batch);
/* ret_launch borrows from the batch. */
int vxk_batch_plan(vxk_batch *batch, vx_prepare_launch *ret_launch);
void vxk_batch_free(vxk_batch *batch);

#ifdef __cplusplus
}
#endif
