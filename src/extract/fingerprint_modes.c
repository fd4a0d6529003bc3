/* fingerprint_modes.c — see the header. */
#include "fingerprint_modes.h"

#include <string.h>

#include "base/mem.h"

static const char *const NAMES[] = {"off", "frames", "full"};

const char *vx_fingerprints_name(vx_fingerprints mode) {
    return NAMES[mode];
}

bool vx_fingerprints_of_name(const char *name, vx_fingerprints *ret_mode) {
    for (size_t i = 0; i < VX_LEN(NAMES); i++)
        if (!strcmp(name, NAMES[i])) {
            *ret_mode = (vx_fingerprints)i;
            return true;
        }
    return false;
}

vx_fingerprints vx_fingerprints_of_frames(vx_fingerprints setting, vx_clip_frames frames) {
    bool fewer = setting == VX_FINGERPRINTS_FULL && frames == VX_CLIP_FRAMES_KEY;
    return fewer ? VX_FINGERPRINTS_FRAMES : setting;
}
