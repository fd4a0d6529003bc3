/* clip.h — clip rules: which spans of a video get an embedding.
 *
 * whole                one clip, the whole video
 * fixed:L[,S[,M]]      L-second clips every S seconds (S = L when absent); the last, shorter one is
 *                      kept from M seconds on (M = 2 when absent); a video shorter than M is one
 *                      clip. Seconds, 0.1..86400, M no more than L
 * shots[:P[,M[,X]]]    one clip per shot: cut where TransNet V2 gives a probability above P (0.5 when
 *                      absent) that a shot ends; see vx_clip_cut_shots for M (2) and X (30)
 * shots-curator[:P[,M[,X[,C]]]]   windows and spans as in NeMo Curator's pipeline, P 0.4, M 2, X 10,
 *                      C 0.5 when absent: its clips leave gaps; see vx_clip_cut_shots
 * auto                 whole up to 30 s, else shots if the model is available, else fixed:10
 *
 * Times    seconds from the first frame
 * Errs     VX_CLIP_* and vx_shots_outcome (> 0), -errno
 * Threads  the rules are pure functions: any. A vx_shots, the model, may be used from any thread; its
 *          one worker runs the windows of all callers in turn.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "media/media.h"

#define VX_CLIP_BAD_SPEC VX_CODES_CLIP /* the text is not a clip rule; the message says why */
#define VX_CLIP_TOO_MANY 2 /* the rule gives more than VX_CLIP_MAX clips for this video */
#define VX_CLIP_MAX 10000
#define VX_CLIP_MAX_OVERLAP                                                                        \
    16 /* length / stride; bounds the clips open at once and so the memory */

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

/* Parses a rule. Returns 0 or VX_CLIP_BAD_SPEC. */
int vx_clip_parse(const char *text, vx_clip_spec *ret_spec, vx_err *err);
/* Writes the rule with all its numbers; equal text means equal clips. */
void vx_clip_describe(const vx_clip_spec *spec, char ret_text[96]);
/* The rule for one video: auto becomes one of the others. */
vx_clip_spec vx_clip_resolve(const vx_clip_spec *spec, double duration_s, bool has_shots);
static inline bool vx_clip_needs_shots(const vx_clip_spec *spec) {
    return spec->mode == VX_CLIP_SHOTS || spec->mode == VX_CLIP_CURATOR;
}

/* Cuts by whole and fixed. Gives an array (free()) of at least one span, ascending by start.
 * Returns 0, VX_CLIP_TOO_MANY, -EINVAL for another rule, or -ENOMEM. */
int vx_clip_cut(const vx_clip_spec *spec, double duration_s, vx_span **ret_spans, size_t *ret_n,
                vx_err *err);

/* Cuts by shots, from vx_shots_predict's probability for each frame (borrows, float32 [n_frames]).
 *
 * shots: a cut lies after the most probable frame of each run above the threshold. From the start on,
 * a shot shorter than shortest_s is merged with the next; the last one, if it is too short, with the
 * one before. One longer than longest_s is divided into the fewest equal parts. The spans cover the
 * video without gaps; each starts at exactly the time of its first frame and ends where the next
 * starts.
 *
 * shots-curator: frames above the threshold belong to no shot, except the first of each run. A shot
 * longer than longest_s is split into pieces of that length, crop_s is cut off both ends of each piece,
 * and pieces shorter than shortest_s are dropped; all in frames at the average rate. If nothing is
 * left, the whole video is one clip.
 *
 * Gives ret_spans as vx_clip_cut does. Returns 0, VX_CLIP_TOO_MANY or -ENOMEM. */
int vx_clip_cut_shots(const vx_clip_spec *spec, const vx_media *media, const float *probability,
                      vx_span **ret_spans, size_t *ret_n, vx_err *err);

/* ---- TransNet V2 ---- */

typedef enum vx_shots_outcome {
    VX_SHOTS_NO_PACKAGE = VX_CODES_SHOTS, /* the models folder has no such package */
    VX_SHOTS_BAD_PACKAGE,                 /* the package cannot be used; the message says why */
    VX_SHOTS_STOPPED,                     /* on_progress returned false */
    VX_SHOTS_CLOSED,                      /* vx_shots_free has begun */
} vx_shots_outcome;

#define VX_SHOTS_MODEL "transnetv2"

typedef struct vx_shots vx_shots;
typedef struct vx_shots_info {
    char digest[65], device[16], dtype[8], source[160], license[64];
} vx_shots_info;

/* Loads <models_dir>/transnetv2 after checking all its digests, and runs it once.
 *   device     "auto", "cpu" or "cuda:N"; NULL = auto
 *   ret_shots  gives; vx_shots_free()
 * Returns 0, VX_SHOTS_NO_PACKAGE, VX_SHOTS_BAD_PACKAGE or -errno. */
int vx_shots_open(const char *models_dir, const char *device, vx_shots **ret_shots, vx_err *err);
/* No call may start after this; running ones return VX_SHOTS_CLOSED. */
vx_shots *vx_shots_free(vx_shots *shots);
VX_DEFINE_AUTO(vx_shots, vx_shots_free)
const vx_shots_info *vx_shots_get_info(const vx_shots *shots); /* borrows */

typedef struct vx_shots_film { /* borrows all, for the call */
    vx_media *media;
    bool curator;        /* windows as in Curator: the end of the video is not padded */
    int decode_threads;  /* 0 = one per core */
    vx_decoder *decoder; /* its card decodes and scales what it can; NULL = the CPU alone */
    bool (*on_progress)(void *ctx, int64_t done, int64_t total); /* may be NULL; false stops. On the
                                                                    caller's thread */
    void *ctx;
} vx_shots_film;

/* The probability of each frame to be the last of its shot. Decodes every frame and scales it to
 * 48x27, ahead of the network. Memory besides the media's own tables: 12 bytes a frame, a few windows of
 * pictures, and those that wait: 4 MB, with a card up to 255 MB.
 *   ret_probability  gives float32 [n_frames], 0..1 (free())
 * Returns 0, a vx_media_outcome, VX_SHOTS_STOPPED, VX_SHOTS_CLOSED or -errno. */
int vx_shots_predict(vx_shots *shots, const vx_shots_film *film, float **ret_probability,
                     vx_err *err);
