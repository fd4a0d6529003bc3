/* phase.h — where a video is on its way in. The same words stand in the log, the metrics labels,
 * the job rows and the README. */
#pragma once

typedef enum vx_phase {
    VX_PHASE_RECEIVE, /* bytes arrive, are hashed and made durable */
    VX_PHASE_PROBE,   /* container, streams, packet times; limits */
    VX_PHASE_CLIP,    /* spans */
    VX_PHASE_FRAMES,  /* decode of the chosen frames, their fingerprints */
    VX_PHASE_PREPARE, /* picture to model tensor; runs inside FRAMES, timed apart */
    VX_PHASE_EMBED,   /* tensor to vector */
    VX_PHASE_COMMIT,  /* verdict and insert */
    VX_PHASE_DONE,
    VX_PHASE_FAILED,
} vx_phase;
#define VX_PHASE_COUNT 9

const char *vx_phase_name(vx_phase phase); /* "RECEIVE" … */
