/* batch_tree.h — the outputs of `vidx embed --layout curator`: the tree that NeMo Curator's
 * ClipWriterStage writes.
 *
 *   <prefix>_embd/<clip>.pickle             NumPy [1, dim]; prefix and type: batch_curator.h
 *   <prefix>_embd_parquet/<chunk>.parquet   id: string, embedding: list<double>; the same numbers
 *   metas/v0/<clip>.json                    span, source and its measures, and the cut clip's
 *   clips/<clip>.mp4                        only with cuts; see batch_cuts.h
 *   processed_videos/<path>.json            what the container claims
 *   processed_clip_chunks/<path>_<i>.json   which clips a chunk has
 *
 * <clip> is uuid5 of "<source>_<first frame>_<frame behind the last>", <chunk> of
 * "<source>_<chunk>". A chunk ends with the clip that fills 256 whole seconds, as there. Each file
 * of the input has clips of its own, also when two have the same bytes. There are no captions and
 * previews, so that `windows` is empty and `valid` false, as without those stages there.
 *
 * Every file is put in place whole, and only if it is not there already; files of clips that are no
 * more are removed. So the tree after a run depends on the input alone, not on the runs before.
 * These folders are vidx's own: a tree that another program began is refused.
 *
 * Threads: one at a time, with no ingest running. Memory: one chunk of vectors, 8 bytes a file.
 */
#pragma once

#include "batch/clips.h"
#include "batch/cuts.h"
#include "batch/failures.h"
#include "batch/library.h"

typedef struct vx_batch_tree_params {
    vx_server *server; /* all borrowed */
    const vx_batch_library *library;
    vx_batch_failures *failures;
    vx_batch_cuts *cuts;           /* NULL: no clip is cut */
    const char *input, *output;    /* absolute: where the files are */
    const char *source, *location; /* the same folders as the files name them */
    void (*on_skipped)(void *ctx, const char *path, const char *reason);
    void *ctx;
} vx_batch_tree_params;

typedef struct vx_batch_tree_result {
    size_t videos, clips;    /* in the tree */
    size_t written, removed; /* files, by this call */
} vx_batch_tree_result;

/* clips: zeroed; gets every clip of the tree. -EEXIST: there is a tree of another program.
 * VX_MEDIA_STOPPED: interrupted while a clip was cut; VX_MEDIA_NO_ENCODER. */
int vx_batch_tree_write(const vx_batch_tree_params *params, vx_batch_clips *clips,
                        vx_batch_tree_result *ret_result, vx_err *err);
