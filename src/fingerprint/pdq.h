/* pdq.h — the two halves of PDQ (private to src/fingerprint): a picture to 64 x 64, and that to a hash.
 * Threads: any. */
#pragma once

#include "fingerprint.h"

enum { VX_PDQ_GRID = 64 };

/* 64 rows of weights over one axis; row o covers [first, first + n_used). */
typedef struct vx_pdq_axis {
    int n_taps; /* the longest row */
    int first[VX_PDQ_GRID], n_used[VX_PDQ_GRID];
    float *taps; /* [64, n_taps]; free() */
} vx_pdq_axis;
/* For n pixels. -ENOMEM. */
int vx_pdq_axis_init(vx_pdq_axis *axis, int n, vx_err *err);

/* As vx_fp_hash, of the reduced picture. */
void vx_pdq_hash(float grid[VX_PDQ_GRID][VX_PDQ_GRID], vx_fp_frame *ret_frame,
                 vx_fp_frame *ret_mirrored);
