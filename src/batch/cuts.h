/* batch_cuts.h — `vidx embed --write-clips`: every clip as a file, <output>/clips/<id>.mp4.
 *
 * What each file was cut from, and its measures, stand in <output>/.vidx/cuts.jsonl, a line a clip
 * and written right after it: a run cuts only what is missing, has other bytes or another span, and
 * one that was interrupted goes on where it was. The encoder does not count: remove clips/ to have
 * all cut anew. Its bytes may differ from run to run (x264 164 does that). Runs without the option
 * leave both alone. A folder clips/ that vidx did not begin is refused, and no file is ever removed
 * from it that this list does not name.
 *
 * Threads: one at a time. Cost: the decoding and encoding of what is cut. Memory: 250 bytes a clip.
 */
#pragma once

#include "base/atomic.h"
#include "files.h"
#include "media/media.h"

#define VX_BATCH_CUTS_LIST ".vidx/cuts.jsonl" /* below the output folder */

typedef struct vx_batch_cuts_params {
    const char *input, *output; /* absolute; all borrowed until free */
    const char *encoder;        /* as vx_media_cut_params has it */
    const vx_media_limits *limits;
    const atomic_bool *interrupted;
    void (*on_cut)(void *ctx, size_t n_cut); /* after each clip that was cut */
    void *ctx;
} vx_batch_cuts_params;

typedef struct vx_batch_cuts vx_batch_cuts;

/* -EEXIST: there is a folder of another program. The staging folder is open. */
int vx_batch_cuts_open(const vx_batch_cuts_params *params, vx_batch_cuts **ret_cuts, vx_err *err);
vx_batch_cuts *vx_batch_cuts_free(vx_batch_cuts *cuts);
VX_DEFINE_AUTO(vx_batch_cuts, vx_batch_cuts_free)

typedef struct vx_batch_cut {
    vx_media_header header; /* what the clip's own container says */
    int64_t bytes;
} vx_batch_cut;

/* The clip `id` (of [A-Za-z0-9.-], at most 39 characters) of a file with that video's bytes. What
 * vx_media_cut_clip returns; VX_MEDIA_STOPPED when *interrupted was set. */
int vx_batch_cuts_make(vx_batch_cuts *cuts, const vx_batch_file *file, const char *id,
                       const char *video_id, double start_s, double end_s, vx_batch_cut *ret_cut,
                       vx_err *err);

/* Removes the files of clips that were not asked for since the opening. */
int vx_batch_cuts_finish(vx_batch_cuts *cuts, size_t *ret_written, size_t *ret_removed,
                         vx_err *err);
