/* fingerprint_modes.h — the setting --fingerprints; part of extract.h. Threads: any. */
#pragma once

#include <stdbool.h>

#include "base/clip_frames.h"

/* Which pictures are hashed. A copy is found by its pictures only where both videos have hashes. */
typedef enum vx_fingerprints {
    VX_FINGERPRINTS_OFF,    /* none: vectors alone decide, by which nothing is a copy */
    VX_FINGERPRINTS_FRAMES, /* what models see, and key frames: hardly anything more is decoded */
    VX_FINGERPRINTS_FULL,   /* one each half second */
} vx_fingerprints;
/* "off", "frames", "full": of the setting, and stored with each video; static. */
const char *vx_fingerprints_name(vx_fingerprints mode);
/* False for any other name. */
bool vx_fingerprints_of_name(const char *name, vx_fingerprints *ret_mode);
/* How a video is hashed at this setting whose clips are made of these frames: on key frames FULL is FRAMES. */
vx_fingerprints vx_fingerprints_of_frames(vx_fingerprints setting, vx_clip_frames frames);
