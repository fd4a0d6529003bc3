/* extract.h — one video file to vectors and fingerprints: PROBE, CLIP, FRAMES, PREPARE, EMBED.
 *
 * What ingest and search-by-file share. Blocks for as long as the video takes. Memory: the open
 * clips' tensors (T·3·H·W floats each, at most one batch and the overlapping clips), 41 bytes per
 * fingerprinted frame and 24 per frame of the file; it does not grow with the picture count beyond.
 * Threads: any; a run belongs to its caller's thread.
 */
#pragma once

#include "outcome.h"
#include "phase.h"
#include "server.h"

typedef struct vx_extract {
    vx_media_info info;
    vx_media_stats stats;
    vx_span *spans; /* [n_clips]; owned */
    size_t n_clips;
    float *vectors;                 /* float32 [n_clips, dim], unit length; owned */
    vx_fp_frame *frames, *mirrored; /* [n_frames] ascending time, and left-right flipped; owned */
    size_t n_frames;
} vx_extract;
void vx_extract_clear(vx_extract *extract);

/* Told where the run is; all may be NULL. Called on the caller's thread. */
typedef struct vx_extract_watch {
    void (*on_phase)(void *ctx, vx_phase phase, int64_t done, int64_t total);
    void (*on_time)(void *ctx, vx_phase phase, int64_t us);
    bool (*cancelled)(void *ctx);
    void *ctx;
} vx_extract_watch;

/* OK, MEDIA_*, BAD_REQUEST (too many clips), CANCELLED, STOPPING or INTERNAL; err has the sentence.
 * decode_threads: 0 = one per core. */
vx_outcome vx_extract_run(vx_server *server, const char *path, const vx_clip_spec *clip,
                          int decode_threads, const vx_extract_watch *watch,
                          vx_extract *ret_extract, vx_err *err);
