/* clip_files.h — `vidx embed --write-clips`: every clip as a file, <output>/clips/<id>.mp4.
 *
 * As media.h has it, they are SDR and have square pixels.
 *
 * <output>/.vidx/cuts.jsonl says for each file what it was cut from, and its measures: one line a
 * clip, written right after it. So a run cuts only the clips that are missing or have other bytes or
 * another span, and an interrupted run goes on where it was. The encoder does not count: remove
 * clips/ to have all cut again. The bytes of a clip may differ from run to run (x264 164 does that).
 * Runs without the option leave both alone. A folder clips/ that vidx did not begin is refused, and
 * only files that this list names are ever removed from it.
 *
 * Threads: one at a time. Cost: decoding and encoding of what is cut. Memory: 250 bytes a clip.
 */
#pragma once

#include "catalog/catalog.h"
#include "input_files.h"
#include "media/media.h"

typedef struct vx_batch_clip_files_params {
    const char *input, *output; /* absolute; all borrowed until free */
    const char *encoder;        /* as vx_media_cut_params has it */
    const vx_media_limits *limits;
    bool (*interrupted)(void);
    void (*on_written)(void *ctx, size_t n_written); /* after each one */
    void *ctx;
} vx_batch_clip_files_params;

typedef struct vx_batch_clip_files vx_batch_clip_files;

/* After vx_batch_open_staging. -EEXIST: clips/ is a folder of another program. */
int vx_batch_clip_files_open(const vx_batch_clip_files_params *params,
                             vx_batch_clip_files **ret_files, vx_err *err);
vx_batch_clip_files *vx_batch_clip_files_free(vx_batch_clip_files *files);
VX_DEFINE_AUTO(vx_batch_clip_files, vx_batch_clip_files_free)

typedef struct vx_batch_clip_file {
    vx_media_header header; /* what the clip's own container says */
    int64_t bytes;
} vx_batch_clip_file;

/* Cuts the clip `id` ([A-Za-z0-9.-], at most 39 characters) out of a file with that video's bytes,
 * unless it is there. One of HDR or other pixels that was written before these were converted counts as
 * missing; so does one of a video of which nobody noted that. Returns what vx_media_cut_clip does; VX_MEDIA_STOPPED when interrupted()
 * is true. */
int vx_batch_clip_files_write(vx_batch_clip_files *files, const vx_batch_file *file, const char *id,
                              const vx_video *video, double start_s, double end_s,
                              vx_batch_clip_file *ret_file, vx_err *err);

/* Removes the files of clips that were not asked for since the opening. */
int vx_batch_clip_files_finish(vx_batch_clip_files *files, size_t *ret_written, size_t *ret_removed,
                               vx_err *err);
