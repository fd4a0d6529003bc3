/* clip.h — which spans of a video become embeddings.
 *
 * whole                 one clip, the whole video
 * fixed:L[,S[,M]]       L-second clips every S seconds (S = L when absent); the last, shorter one
 * is kept from M seconds on (M = 2 when absent); a video shorter than M is one clip Seconds,
 * 0.1..86400. Threads: any (pure functions).
 */
#pragma once

#include <stddef.h>

#include "base/err.h"

#define VX_CLIP_BAD_SPEC 1 /* the text is not a clip rule; the message says why */
#define VX_CLIP_TOO_MANY 2 /* the rule gives more than VX_CLIP_MAX clips for this video */
#define VX_CLIP_MAX 10000
#define VX_CLIP_MAX_OVERLAP 16 /* length / stride: bounds the clips open at once, hence memory */

typedef enum vx_clip_mode { VX_CLIP_WHOLE, VX_CLIP_FIXED } vx_clip_mode;

typedef struct vx_clip_spec {
    vx_clip_mode mode;
    double length_s, stride_s, minimum_s; /* fixed */
} vx_clip_spec;

typedef struct vx_span {
    double start_s, end_s; /* [start, end) */
} vx_span;

int vx_clip_parse(const char *text, vx_clip_spec *ret_spec, vx_err *err);
/* Gives an array (free()) of at least one span, ascending by start. */
int vx_clip_cut(const vx_clip_spec *spec, double duration_s, vx_span **ret_spans, size_t *ret_n,
                vx_err *err);
