/* scan_gpu.h — what a GPU found in the segments that it has (gpu.h), as a first pass over them
 * (private to index/).
 */
#pragma once

#include "first_pass.h"
#include "torch/code_scan.h"

/* What a GPU found for the queries of one pass. */
typedef struct vx_gpu_found {
    size_t n_segments, n;
    struct vx_gpu_part {
        uint64_t removals; /* of the segment when it was copied */
        size_t n_rows;     /* that lie there, the first ones */
    } * parts;             /* [n_segments] */
    float *bars;       /* [n]: rows that were not found score less; endless: no rows were given */
    vx_code_row *rows; /* by query, then by segment */
    size_t *first;     /* [n · n_segments + 1]: where those begin */
    size_t n_rows, room;
} vx_gpu_found;

vx_gpu_found *vx_gpu_found_free(vx_gpu_found *found);

/* Considers what was found in the probes' segment, from which no rows were removed since it was copied. */
void vx_scan_gpu(const vx_rows *rows, const vx_gpu_found *found, vx_probe *probes, size_t n);
