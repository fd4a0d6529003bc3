/* prepare_kernels.h — prepare.cu behind plain C; private to src/preprocess.
 *
 * Two launches for all pictures of a plan, on the caller's stream and its current device: across, then
 * down. Tables and scratch memory come from the stream's pool (cudaMallocAsync) and go back behind the
 * launches, so nothing here waits for the device but the copy of the tables, which is pageable.
 * Threads: any.
 */
#pragma once

#include "pixel_math.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of vx_prepare_plan; pointers to host memory but for those inside the pictures. */
typedef struct vx_prepare_launch {
    const vx_prepare_picture *pictures; /* [n] */
    int n, w_out, h_out, most_rows;
    const int32_t *ints; /* [n_ints] */
    size_t n_ints, narrow_bytes;
    const float *values; /* [3, 256] */
    int bf16;
} vx_prepare_launch;

/* stream: a cudaStream_t. Returns 0 or a cudaError_t; ret_text is static, never NULL then. */
int vx_prepare_on_stream(const vx_prepare_launch *launch, void *stream, const char **ret_text);

#ifdef __cplusplus
}
#endif
