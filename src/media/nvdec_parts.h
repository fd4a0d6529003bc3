/* nvdec_parts.h — divides the packets that a clip needs among decoders (private to src/media).
 * Pure functions of the packet table and the plan. Threads: any. */
#pragma once

#include "plan.h"

/* Packets [from, to), of which n_fed are decoded; from is one of them. */
typedef struct vx_nvdec_part {
    int64_t from, to, n_fed;
} vx_nvdec_part;

/* Makes a plan of vx_media_plan one for NVDEC, in place: VX_PLAN_SEND or VX_PLAN_DROP.
 *
 * Leading pictures of an open GOP whose GOP before is not decoded are left out, those that others
 * refer to as well: no picture shown after the point may depend on them, and NVDEC's parser would look
 * for their references. A decoder is not flushed between GOPs either: the parser needs no mark there. */
void vx_nvdec_thin(uint8_t *action, int64_t n_packets);

/* Divides action[0..n_packets), from vx_nvdec_thin, into at most n_parts (>= 1) parts that can be
 * decoded apart; the largest is as small as possible in pictures fed.
 *   ret_parts  gives [*ret_n], ascending (free()); *ret_n = 0 if nothing is fed
 * Returns 0 or -ENOMEM. */
int vx_nvdec_divide(const vx_media *media, const uint8_t *action, int64_t n_packets, int n_parts,
                    vx_nvdec_part **ret_parts, size_t *ret_n, vx_err *err);
