/* tone.h — HDR pictures (PQ and HLG, BT.2020) as SDR ones.
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
 * Tables are made once for a kind of picture and shared; the last few kinds are kept.
 *
 * Threads: any.
 */
#pragma once

#include "frame.h"
#include "tone_pixel.h"

/* The tables for pictures like this one: its transfer, and the peak that its metadata tells (content
 * light level, else mastering display, else 1000 nits). The caller gives them back by vx_tone_unref.
 * -ENOMEM. */
int vx_tone_get(const vx_frame *frame, const vx_tone **ret_tone, vx_err *err);
/* Takes NULL; NULL. */
const vx_tone *vx_tone_unref(const vx_tone *tone);
/* Whether the tables are those for pictures like this one. */
bool vx_tone_fits(const vx_tone *tone, const vx_frame *frame);

/* A row of n pixels: in uint16 [n, 3] full-range RGB codes in native order, out uint8 [n, 3]. */
void vx_tone_row(const vx_tone *tone, const uint16_t *in, int n, uint8_t *out);
