#include "phase.h"

const char *vx_phase_name(vx_phase phase) {
    static const char *const names[VX_PHASE_COUNT] = {
        "RECEIVE", "PROBE", "CLIP", "FRAMES", "PREPARE", "EMBED", "COMMIT", "DONE", "FAILED",
    };
    return names[phase];
}
