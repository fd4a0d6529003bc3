/* clip.h — which spans of a video become embeddings.
 *
 * whole                one clip, the whole video
 * fixed:L[,S[,M]]      L-second clips every S seconds (S = L when absent); the last, shorter one is
 *                      kept from M seconds on (M = 2 when absent); a video shorter than M is one
 *                      clip. Seconds, 0.1..86400, M no more than L
 * shots[:P[,M[,X]]]    one clip a shot: cut where TransNet V2 sees the end of a shot with more than
 *                      P (0.5 when absent); see vx_clip_cut_shots for M (2) and X (30)
 * shots-curator[:P[,M[,X[,C]]]]   the windows and spans of NeMo Curator's pipeline, P 0.4, M 2, X 10,
 *                      C 0.5 when absent: its clips leave holes; see vx_clip_cut_shots
 * auto                 whole up to 30 s, else shots where their model is there, else fixed:10
 *
 * The rules are pure functions: any thread. A vx_shots, the model, may be used from any thread; its
 * one worker runs the windows of all callers in turn.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/media.h"

#define VX_CLIP_BAD_SPEC 1 /* the text is not a clip rule; the message says why */
#define VX_CLIP_TOO_MANY 2 /* the rule gives more than VX_CLIP_MAX clips for this video */
#define VX_CLIP_MAX 10000
#define VX_CLIP_MAX_OVERLAP 16 /* length / stride: bounds the clips open at once, hence memory */
typedef enum vx_clip_mode {
    VX_CLIP_WHOLE,
    VX_CLIP_FIXED,
    VX_CLIP_SHOTS,
    VX_CLIP_CURATOR,
    VX_CLIP_AUTO
} vx_clip_mode;

typedef struct vx_clip_spec {
    vx_clip_mode mode;
    double length_s, stride_s, minimum_s;            /* fixed */
    double threshold, shortest_s, longest_s, crop_s; /* shots; crop_s only Curator's */
} vx_clip_spec;

typedef struct vx_span {
    double start_s, end_s; /* [start, end) */
} vx_span;

int vx_clip_parse(const char *text, vx_clip_spec *ret_spec, vx_err *err);
/* The rule written out with all its numbers; equal text means equal clips. */
void vx_clip_describe(const vx_clip_spec *spec, char ret_text[96]);
/* What a rule means for one video: auto becomes another, all others stay. */
vx_clip_spec vx_clip_resolve(const vx_clip_spec *spec, double duration_s, bool has_shots);
static inline bool vx_clip_needs_shots(const vx_clip_spec *spec) {
    return spec->mode == VX_CLIP_SHOTS || spec->mode == VX_CLIP_CURATOR;
}

/* For whole and fixed. Gives an array (free()) of at least one span, ascending by start. */
int vx_clip_cut(const vx_clip_spec *spec, double duration_s, vx_span **ret_spans, size_t *ret_n,
                vx_err *err);

/* For shots, from the answer of vx_shots_predict for each of the video's frames.
 *
 * shots: cuts lie between two frames: behind the likeliest frame of each run above the threshold.
 * From the start on, a shot shorter than shortest_s is joined to the next; the last one, if it is
 * too short, to the one before. One longer than longest_s is divided into the fewest equal parts.
 * So the spans cover the video without a hole, each starts with the first frame of a shot or part,
 * at that frame's time to the bit, and ends where the next starts.
 *
 * shots-curator: frames above the threshold belong to no shot, except the first of each run; a shot
 * longer than longest_s becomes pieces of it, then crop_s is cut off both ends of each piece, then
 * pieces shorter than shortest_s are dropped; in frames at the average rate. A video of which
 * nothing is left is one clip, the whole video. */
int vx_clip_cut_shots(const vx_clip_spec *spec, const vx_media *media, const float *probability,
                      vx_span **ret_spans, size_t *ret_n, vx_err *err);

/* ---- TransNet V2 ---- */

typedef enum vx_shots_outcome {
    VX_SHOTS_NO_PACKAGE = 100, /* the models folder has none; beside vx_media_outcome */
    VX_SHOTS_BAD_PACKAGE,      /* it cannot be used; the message says why */
    VX_SHOTS_STOPPED,          /* on_progress said so */
    VX_SHOTS_CLOSED,           /* vx_shots_free has begun */
} vx_shots_outcome;

#define VX_SHOTS_MODEL "transnetv2"

typedef struct vx_shots vx_shots;
typedef struct vx_shots_info {
    char digest[65], device[16], dtype[8], source[160], license[64];
} vx_shots_info;

/* Loads <models_dir>/transnetv2, all its digests checked, and runs it once.
 *   device  "auto", "cpu" or "cuda:N"; NULL = auto */
int vx_shots_open(const char *models_dir, const char *device, vx_shots **ret_shots, vx_err *err);
/* No call may begin after this; those that run end with VX_SHOTS_CLOSED. */
vx_shots *vx_shots_free(vx_shots *shots);
VX_DEFINE_AUTO(vx_shots, vx_shots_free)
const vx_shots_info *vx_shots_get_info(const vx_shots *shots); /* borrows */

/* How likely each frame is the last of its shot. Decodes every frame and scales it to 48x27;
 * beside the media's own tables it keeps 4 bytes a frame and two windows of pictures.
 *   curator          Curator's windows: the film's end is not padded
 *   on_progress      may be NULL; false stops. Called on the caller's thread
 *   ret_probability  gives float32 [n_frames], 0..1 (free())
 * Returns 0, a vx_media_outcome, VX_SHOTS_STOPPED, VX_SHOTS_CLOSED or -errno. */
int vx_shots_predict(vx_shots *shots, vx_media *media, bool curator, int decode_threads,
                     bool (*on_progress)(void *ctx, int64_t done, int64_t total), void *ctx,
                     float **ret_probability, vx_err *err);
