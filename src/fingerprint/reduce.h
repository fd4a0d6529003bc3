/* reduce.h — decoded pictures on a card, or parts of them, to PDQ's 64 x 64 (private to src/fingerprint).
 *
 * Each 64 x 64 is that of vx_fp_hash up to the order in which floats are added. Only these floats cross to
 * the host. Threads: any; a work is its thread's.
 */
#pragma once

#include "card/card.h"
#include "luma_math.h"
#include "pdq.h"

extern const vx_card_image vx_reduce_image; /* of reduce.cu */

typedef struct vx_reduce_job {
    const vx_frame *frame; /* borrows; one that vx_frame_samples takes */
    vx_fp_box box;         /* the part; of the upright picture */
    bool trims;            /* also find the bars of the whole picture */
} vx_reduce_job;

/* The upright picture. */
vx_fp_box vx_reduce_whole(const vx_frame *frame);

/* Puts n jobs into the work's order.
 *   ret_grids    float32 [n, 64, 64], valid once it was waited for, until the work ends
 *   ret_trimmed  [n], likewise, of jobs with `trims`
 * -ENOMEM, -EIO, -EINVAL for frames that the card does not take. */
int vx_reduce_on_card(const vx_reduce_job *jobs, int n, vx_card_work *work,
                      float (**ret_grids)[VX_PDQ_GRID][VX_PDQ_GRID], vx_fp_box **ret_trimmed,
                      vx_err *err);

/* One kernel each, on the CPU. */
void vx_reduce_twin(const vx_reduce_part *parts, int n, const int32_t *tables);
void vx_reduce_twin_trim(const vx_reduce_part *parts, int n);
