/* prepare.h — decoded YUV pictures to model input on their device: a plan, a plain C twin that runs it in
 * host memory, and kernels that run it on a card with the same arithmetic (pixel_math.h), so that their
 * results are equal to the bit. Private to src/preprocess; vx_preprocess_on_card uses it.
 *
 * In    VX_FRAME_YUV_SEMIPLANAR, 4:2:0, 8 to 12 bits (NV12, P010, P016); BT.601, BT.709 or BT.2020;
 *       SDR, PQ or HLG; 1..8192 px a side; all in the memory of one device
 * Out   float32 or bfloat16 [3, H, W] of vx_preprocess_spec, at most one grey level (1/255 before the
 *       normalisation) from what vx_picture_rgb and vx_preprocess_frame make
 * Errs  VX_PREPROCESS_BAD_SHAPE for anything else: that the CPU prepares; -ENOMEM
 * Threads  any; a plan belongs to one thread at a time
 */
#pragma once

#include "card/card.h"
#include "pixel_math.h"
#include "preprocess.h"

extern const vx_card_image vx_prepare_image; /* of prepare.cu */

typedef struct vx_prepare_plan {
    vx_prepare_picture *pictures;   /* [n] */
    int n, w_out, h_out, most_rows; /* most_rows: of one picture between the passes */
    int most_columns;               /* of one upright picture */
    int32_t *ints;                  /* the axes; pictures of one size share theirs */
    size_t n_ints, capacity;
    size_t narrow_bytes; /* of scratch memory */
    int bf16;
    float values[3][256]; /* a byte normalised, by channel */
} vx_prepare_plan;

int vx_prepare_plan_new(const vx_preprocess_spec *spec, const vx_preprocess_job *jobs, int n,
                        bool bf16, vx_prepare_plan **ret_plan, vx_err *err);
vx_prepare_plan *vx_prepare_plan_free(vx_prepare_plan *plan);
VX_DEFINE_AUTO(vx_prepare_plan, vx_prepare_plan_free)

/* Puts the kernels into the work's order. */
int vx_prepare_launch(const vx_prepare_plan *plan, vx_card_work *work, vx_err *err);

/* Runs the plan on the CPU. Its frames lie in host memory. -ENOMEM. */
int vx_prepare_twin(const vx_prepare_plan *plan, vx_err *err);
/* One kernel each. */
void vx_prepare_twin_across(const vx_prepare_picture *pictures, int n, const int32_t *ints,
                            uint8_t *scratch);
void vx_prepare_twin_down(const vx_prepare_picture *pictures, int n, const int32_t *ints,
                          const uint8_t *scratch, const float *values, int bf16);
