/* tone.h — HDR pictures (PQ and HLG, BT.2020) as SDR ones (private to src/media).
 *
 * A model, a hash and a JPEG know only SDR. So HDR code values become display light, are compressed
 * into the range of an SDR display and encoded for one. SDR white is 203 nits, as BT.2408 has it: what
 * was graded as SDR and put into PQ or HLG comes out as it was.
 *
 *   PQ    code → nits                                   SMPTE ST 2084
 *   HLG   code → scene light → nits of a 1000-nit display, system gamma 1.2   BT.2100
 *   then  the EETF of BT.2390 on the largest component, which keeps hues; the primaries of BT.709, cut
 *         off at their gamut; gamma 2.4 (BT.1886)
 *
 * Threads: a vx_tone belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "media.h"

typedef struct vx_tone vx_tone;

/* What pictures with this transfer characteristic (H.273) are. */
vx_media_hdr vx_tone_hdr_of(int transfer);

/* The tables for pictures like this one: its transfer, and the peak that its metadata tells (content
 * light level, else mastering display, else 1000 nits). *tone NULL, or the tables of another picture,
 * kept if they fit. -ENOMEM. */
int vx_tone_prepare(vx_tone **tone, const vx_frame *frame, vx_err *err);
vx_tone *vx_tone_free(vx_tone *tone);

/* A row of n pixels: in uint16 [n, 3] full-range RGB codes in native order, out uint8 [n, 3]. */
void vx_tone_row(const vx_tone *tone, const uint16_t *in, int n, uint8_t *out);
