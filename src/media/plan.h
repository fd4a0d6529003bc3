/* plan.h — which packets a set of frames needs (private to src/media). Threads: any. */
#pragma once

#include "packet_table.h"

typedef enum vx_plan_action {
    VX_PLAN_DROP,
    VX_PLAN_SEND,
    VX_PLAN_RESTART, /* flush the decoder, then send */
    VX_PLAN_INEXACT, /* send, because others depend on it; its own picture is not exact */
} vx_plan_action;

/* Plans the decoding of these shown frames (ascending, unique).
 *   ret_action   gives one vx_plan_action per packet, uint8 [media->n_packets] (free())
 *   ret_n        every packet from here on is dropped
 * Returns 0 or -ENOMEM. */
int vx_media_plan(const vx_media *media, const int64_t *frames, int64_t n, uint8_t **ret_action,
                  int64_t *ret_n, vx_err *err);

/* Whether a picture of the GOP at `point` may refer to the GOP before: it is shown before its own
 * open point. */
bool vx_plan_is_leading(const vx_packet *point, const vx_packet *packet);
