/* gpu.h — a copy of an index's codes on a GPU, which names the rows that can be results (private to index/).
 *
 * The rows stay in memory: what the GPU names is scored there, as with every first pass (first_pass.h). Only
 * whole tiles are copied. A thread of its own copies what is new or has changed; a search takes what the GPU
 * has at that moment, and scans the rest of each segment by its codes in memory: the last rows, and all of a
 * segment from which rows were removed since it was copied.
 *
 * A filter goes to the GPU as a bitmap of groups or ids; a set that is no bitmap, since its numbers lie far
 * apart, is searched for in memory.
 *
 * Threads: any. Lock order: the GPU's, then a segment's; nothing waits for the GPU's while it holds another
 * one but the writer's (segmented_index.c) for `wake`.
 */
#pragma once

#include "index.h"
#include "segment.h"

/* The device, so that tests can bring one of their own: code_scan.h's functions, and its memory. */
typedef struct vx_gpu_device {
    int (*memory)(const char *device, int64_t *ret_free_bytes, int64_t *ret_total_bytes,
                  vx_err *err);
    int (*new)(const char *device, size_t groups, size_t segment_tiles, vx_code_scan **ret_scan,
               vx_err *err);
    vx_code_scan *(*free)(vx_code_scan *scan);
    int (*put)(vx_code_scan *scan, size_t segment, size_t first, size_t n, size_t n_tiles,
               const vx_code_tiles *tiles, vx_err *err);
    int (*run)(vx_code_scan *scan, const vx_code_query *queries, size_t n,
               const vx_code_selection *selected, vx_code_row *ret_rows, size_t *ret_n,
               float *ret_bars, vx_err *err);
} vx_gpu_device;

typedef struct vx_gpu vx_gpu;

/* segments: those there are (borrows each until vx_gpu_free()). 0 or -errno; that the device has no room is
 * no failure: the GPU stays empty. */
int vx_gpu_new(const vx_index_gpu *params, size_t dim, size_t segment_rows,
               vx_segment *const *segments, size_t n_segments, vx_gpu **ret_gpu, vx_err *err);
vx_gpu *vx_gpu_free(vx_gpu *gpu);

/* Another segment. First room for it: 0 or -ENOMEM. */
int vx_gpu_reserve(vx_gpu *gpu, vx_err *err);
void vx_gpu_add_segment(vx_gpu *gpu, vx_segment *segment);
/* Rows have changed. */
void vx_gpu_wake(vx_gpu *gpu);
/* Copies what is missing; returns when it is there (or finds no room). For tests and at start. */
void vx_gpu_sync(vx_gpu *gpu);
/* Gives the memory back, for ten minutes at least; whether there was any. */
bool vx_gpu_release(vx_gpu *gpu);
void vx_gpu_get_state(vx_gpu *gpu, vx_index_gpu_state *ret_state);

/* NULL: the GPU is empty, or not for these. Gives the found.
 *   selected  of all probes; NULL = all rows may be results */
vx_gpu_found *vx_gpu_ask(vx_gpu *gpu, const vx_probe *probes, size_t n,
                         const vx_selected *selected);
