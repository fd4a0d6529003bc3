/* decode_card.h — a card's pictures as if the CPU had decoded them (private to
 * src/media). Threads: any. */
#pragma once

#include "nvdec.h"

/* As vx_media_decode: the same pictures in ascending order, on the caller's
 * thread; with params->on_card on the card, as far as its memory goes. ret_reason  of VX_NVDEC_REFUSED ret_last  the last frame
 * given to on_picture or on_extra, -1 = none. Those up to it are exact and stay
 * valid whatever is returned Returns what vx_media_decode does, or
 * VX_NVDEC_REFUSED: the frames behind *ret_last are not done. */
int vx_decode_on_card(vx_nvdec *nvdec, vx_media *media, const vx_media_decode_params *params,
                      vx_media_stats *ret_stats, int64_t *ret_last, vx_nvdec_reason *ret_reason,
                      vx_err *err);
