/* clip_frames.h — which frames stand for a clip. Threads: any. */
#pragma once

#include <stdbool.h>

/* Those nearest to the sample times, or the key frames nearest to these, of which each takes one picture to decode.
 * Stored with each video: append, never renumber. */
typedef enum vx_clip_frames { VX_CLIP_FRAMES_EXACT, VX_CLIP_FRAMES_KEY } vx_clip_frames;
#define VX_CLIP_FRAMES_NAMES "exact keyframes" /* in that order */

const char *vx_clip_frames_name(vx_clip_frames frames);                    /* static */
bool vx_clip_frames_of_name(const char *name, vx_clip_frames *ret_frames); /* false: no such name */
