/* small.h — decoded pictures on a card to 48x27 RGB there, as libswscale makes them (private to src/clip; the arithmetic is
 * small_math.h's).
 *
 * In    VX_FRAME_YUV_SEMIPLANAR, 4:2:0, 8 bits (NV12), not turned, of at least 95x53 px and less than some 3000x1700:
 *       larger ones libswscale scales in two steps
 * Out   uint8 [27, 48, 3]
 * Errs  -ENOTSUP for other pictures, -ENOMEM, -EIO
 * Threads  any; a plan is constant
 */
#pragma once

#include "card/card.h"
#include "frame/frame.h"
#include "small_math.h"

extern const vx_card_image vx_small_image; /* of small.cu */

/* The weights for pictures of one size. */
typedef struct vx_small_plan {
    int width_px, height_px;
    vx_small_axis x[2], y[2];
    int32_t *ints; /* [n_ints] */
    size_t n_ints;
} vx_small_plan;

int vx_small_plan_new(int width_px, int height_px, vx_small_plan **ret_plan, vx_err *err);
vx_small_plan *vx_small_plan_free(vx_small_plan *plan);
VX_DEFINE_AUTO(vx_small_plan, vx_small_plan_free)

/* The frame, which has the plan's size, in the memory of the card, into ret_rgb in that of the host. */
int vx_small_on_card(const vx_small_plan *plan, const vx_frame *frame, vx_card *card,
                     uint8_t *ret_rgb, vx_err *err);
/* The same of a frame in host memory, by the kernels' twins. */
int vx_small_twin(const vx_small_plan *plan, const vx_frame *frame, uint8_t *ret_rgb, vx_err *err);
/* One kernel each. */
void vx_small_twin_across(const vx_small_job *job, const int32_t *ints, int16_t *scratch);
void vx_small_twin_down(const vx_small_job *job, const int32_t *ints, const int16_t *scratch,
                        uint8_t *rgb);
