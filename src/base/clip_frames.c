/* clip_frames.c — see the header. */
#include "clip_frames.h"

#include <string.h>

#include "mem.h"

static const char *const NAMES[] = {"exact", "keyframes"};

const char *vx_clip_frames_name(vx_clip_frames frames) {
    return NAMES[frames];
}

bool vx_clip_frames_of_name(const char *name, vx_clip_frames *ret_frames) {
    for (size_t i = 0; i < VX_LEN(NAMES); i++)
        if (!strcmp(name, NAMES[i])) {
            *ret_frames = (vx_clip_frames)i;
            return true;
        }
    return false;
}
