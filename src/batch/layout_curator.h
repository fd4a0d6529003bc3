/* layout_curator.h — the outputs of `vidx embed --layout curator`: the tree that NeMo Curator's
 * ClipWriterStage writes.
 *
 *   <prefix>_embd/<clip>.pickle             NumPy [1, dim]; prefix and type: curator/curator.h
 *   <prefix>_embd_parquet/<chunk>.parquet   id: string, embedding: list<double>; the same numbers
 *   metas/v0/<clip>.json                    span, source and its measures, and those of the clip file
 *   clips/<clip>.mp4                        only with --write-clips: clip_files.h
 *   processed_videos/<path>.json            what the container claims
 *   processed_clip_chunks/<path>_<i>.json   which clips a chunk has
 *
 * <clip> is uuid5 of "<source>_<first frame>_<frame behind the last>", <chunk> of
 * "<source>_<chunk>". Each file of the input has clips of its own, even if two have the same bytes.
 *
 * Every file is put in place whole, and only if it is not there already; files of clips that no longer
 * exist are removed. So the tree depends on the input alone, not on earlier runs. These folders are
 * vidx's own: a tree that another program began is refused.
 *
 * Threads: one at a time, with no ingest running. Memory: one chunk of vectors, 8 bytes a file.
 */
#pragma once

#include "clip_files.h"
#include "clip_list.h"
#include "failures.h"
#include "inventory.h"
#include "parts.h"

typedef struct vx_batch_curator_params {
    const vx_batch_parts *parts; /* all borrowed */
    const vx_batch_inventory *inventory;
    vx_batch_failures *failures;
    vx_batch_clip_files *clip_files; /* NULL: clips are not written as files */
    const char *input, *output;      /* absolute: where the files are */
    const char *source, *location;   /* the same two folders as the documents name them */
} vx_batch_curator_params;

typedef struct vx_batch_curator_result {
    size_t n_videos, n_clips;    /* in the tree */
    size_t n_written, n_removed; /* files, by this call */
} vx_batch_curator_result;

/* clips: zeroed; gets every clip of the tree. Videos that are left out are added to the failures and
 * named on stderr. -EEXIST: there is a tree of another program. VX_MEDIA_STOPPED: interrupted while a
 * clip was written; VX_MEDIA_NO_ENCODER. */
int vx_batch_write_curator_tree(const vx_batch_curator_params *params, vx_batch_clip_list *clips,
                                vx_batch_curator_result *ret_result, vx_err *err);
