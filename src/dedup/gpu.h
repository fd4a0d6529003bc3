/* gpu.h — the pairs of a block that a GPU finds, scored here (private to dedup/). Threads: external lock. */
#pragma once

#include "products.h"

typedef struct vx_gpu_pairs vx_gpu_pairs;

/* VX_TORCH_OUT_OF_MEMORY: the device, or a quarter of it, has no room. Borrows rows, which are read. */
int vx_gpu_pairs_new(const vx_dedup_gpu *gpu, const vx_dedup_rows *rows, vx_gpu_pairs **ret_pairs,
                     vx_err *err);
vx_gpu_pairs *vx_gpu_pairs_free(vx_gpu_pairs *pairs);

/* The hits of a job, from job->from on up to VX_PAIR_SCAN_OTHERS others; as vx_products_find, and with one bar.
 *   ret_dense  true: too many may be hits, and nothing was done
 *   ret_broken true: the device failed, and nothing was done; err says how */
int vx_gpu_pairs_find(vx_gpu_pairs *pairs, const vx_products_job *job, bool *ret_dense,
                      bool *ret_broken, vx_err *err);
