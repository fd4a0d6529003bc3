/* extract.h — one video file to vectors and fingerprints: PROBE, CLIP, FRAMES, PREPARE, EMBED.
 *
 * What ingest, search-by-file and backfill share. One decode feeds every model that is asked for.
 * Blocks for as long as the video takes. Memory: for each model the open clips' tensors (T·3·H·W
 * floats each, at most one batch and the overlapping clips), some 1500 bytes a second for
 * fingerprints (3000 with black bars) and 32 per frame of the file; it does not grow with the
 * picture count beyond.
 *
 * Fingerprints come at two rates. What is stored depends on the file alone, whatever else was decoded:
 * FULL stores the frame nearest to each half second; FRAMES those that the first model sees and key
 * frames, at most two a second. A run on key frames (VX_CLIP_FRAMES_KEY) is for speed: FULL counts as
 * FRAMES there, so that no other picture is decoded. What the verdict asks with has besides these up to twelve a second of
 * the pictures that were decoded anyway, because a copy whose start was cut shows other frames at its
 * half seconds (see vx_fp_compare); FULL also decodes some more for this where that is cheap.
 *
 * Runs share the slots of the extractor: a run holds one while it reads, decodes and prepares, offers it
 * at every packet and picture, and has none while it waits for its last vectors. So one long video does
 * not hold up others, whoever asked for them: uploads, searches by file, backfills and embeddings take
 * turns. A run that waits for its turn keeps its open file, its decoder and its tensors; how many runs
 * there are at once is for the callers to limit.
 * Threads: any; a run belongs to its caller's thread.
 */
#pragma once

#include "base/clip_frames.h"
#include "base/mem.h"
#include "base/outcome.h"
#include "base/phase.h"
#include "base/slots.h"
#include "clip/clip.h"
#include "fingerprint/fingerprint.h"
#include "fingerprint_modes.h"
#include "media/media.h"
#include "models/models.h"
#include "view.h"

/* How much is asked of the pictures of videos before and after a verdict (verdict/, verify/). */
typedef enum vx_evidence_level {
    VX_EVIDENCE_OFF,  /* hashes and vectors alone decide */
    VX_EVIDENCE_FAST, /* matches of hashes are checked before they count */
    VX_EVIDENCE_FULL, /* and a second look at the nearest videos finds what hashes do not see */
    VX_EVIDENCE_DEEP, /* and that look also searches by parts of the pictures, turned too */
} vx_evidence_level;

/* What every run needs. Plain data that its maker fills in; constant while runs go on. */
typedef struct vx_extractor {
    vx_models *models; /* borrows */
    vx_shots *shots;   /* borrows; NULL: no package of it, or one that cannot be used */
    vx_media_limits limits;
    vx_clip_spec clip; /* the default rule */
    const vx_decoders
        *decoders;   /* borrows; each run takes one of them; NULL or none: the CPU decodes */
    vx_slots *slots; /* borrows; NULL: runs do not wait for each other */
    vx_fingerprints fingerprints;
    vx_evidence_level evidence;
    vx_clip_frames frames; /* the default of what asks for none */
} vx_extractor;

typedef struct vx_extract {
    vx_media_info info;
    vx_media_stats stats;
    const char *decode_path; /* static: cpu, nvdec, or mixed where the GPU gave up */
    vx_span *spans;          /* [n_clips]; owned */
    size_t n_clips;
    /* Of models->items[i]: float32 [n_clips, dim], unit length; owned. NULL: not asked for, or the
     * model failed and was not the first of those asked for. */
    float *vectors[VX_MODELS_MAX];
    vx_fp_video fingerprint;      /* stored; and frames: these and more, to ask with */
    vx_fingerprints fingerprints; /* how it was made */
    vx_clip_frames frames; /* what the clips are made of: EXACT where no key frame is known */
} vx_extract;
void vx_extract_clear(vx_extract *extract);

/* Told where the run is; all may be NULL. Called on the caller's thread. */
typedef struct vx_extract_watch {
    void (*on_phase)(void *ctx, vx_phase phase, int64_t done, int64_t total);
    void (*on_time)(void *ctx, vx_phase phase, int64_t us);
    bool (*cancelled)(void *ctx);
    /* Asked once it is known that the video is a long one: over 4 billion pixels, which is a minute of
     * 1080p, or over ten minutes. False ends the run with CANCELLED. */
    bool (*may_be_long)(void *ctx);
    void *ctx;
} vx_extract_watch;

typedef struct vx_extract_params {
    const char *path;
    const char *table_path;   /* where the packet table is kept, see media.h; may be NULL */
    const vx_clip_spec *clip; /* the rule to cut by; NULL = these clips: */
    const vx_span *spans;
    size_t n_spans;
    const vx_extract_view *views; /* [n_spans] with spans; NULL: all of every picture */
    unsigned models;              /* bit i = models->items[i] */
    vx_clip_frames frames;
    bool fingerprints;             /* if the extractor makes them at all */
    int decode_threads;            /* 0 = one per core */
    const vx_extract_watch *watch; /* NULL = nobody */
} vx_extract_params;
#define VX_EXTRACT_ALL_MODELS (~0U)

/* Whether pictures that the decoder's card decodes are hashed and prepared there: 0, or -ENODEV with the
 * reason why the CPU does it. */
int vx_extract_check_card(const vx_decoder *decoder, vx_err *err);

/* OK, MEDIA_*, BAD_REQUEST (too many clips), CANCELLED or a fault of ours; err has the sentence.
 * The first model asked for must succeed. Another that fails is logged, counted
 * (vx_model.failures) and leaves no vectors: the video is not lost for it, a backfill can make them
 * later. All members of params are borrowed. */
vx_outcome vx_extract_run(const vx_extractor *extractor, const vx_extract_params *params,
                          vx_extract *ret_extract, vx_err *err);
/* The outcome of a vx_media_* call that returned rc. */
vx_outcome vx_extract_outcome_of_media(int rc, const vx_err *err);
