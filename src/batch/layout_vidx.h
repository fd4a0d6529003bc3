/* layout_vidx.h — the outputs of `vidx embed --layout vidx`.
 *
 * Those of the first model lie in <output>, those of a further one in <output>/<name>: so a model that
 * is added later moves nothing.
 *
 *   video_index.faiss  IndexFlatIP, row i = vector i
 *   embeddings.npy     float32 [rows, dim], C order, NPY format 1.0; the same rows
 *   clips.jsonl        one object a line:
 *     {"row","file","video_id","clip_id","index","start_s","end_s","model","model_digest","sha256",
 *      "duplicate":{"verdict","of","score","share","offset_s","mirrored"}}
 *     ordered by row, then file. A row has several lines when several files have the same bytes:
 *     the first file carries the video's own verdict, the others are `exact`. What a verdict does
 *     not know is null; one that names a video that is gone becomes `new`. Verdicts are the first
 *     model's, in every model's file.
 *
 * All three are staged, made durable and then moved into place, clips.jsonl last. If the process ends
 * between the moves, the next call does it again: <output>/.vidx/written[-<name>] holds their sizes
 * only while the three belong together.
 *
 * Threads: one at a time, with no ingest running. Memory: one vector.
 */
#pragma once

#include "clip_files.h"
#include "clip_list.h"
#include "failures.h"
#include "inventory.h"
#include "parts.h"

/* Writes the three files of the m-th model. The inventory is saved and pruned.
 *   ret_written  false = they were up to date and are untouched */
int vx_batch_write_index(const vx_batch_parts *parts, int m, const vx_batch_inventory *inventory,
                         const char *output, bool *ret_written, size_t *ret_rows, vx_err *err);
/* Removes the outputs of further models that are not loaded; their vectors stay in the catalog. */
int vx_batch_remove_unused_models(const vx_batch_parts *parts, const char *output, vx_err *err);

/* Writes every clip as clips/<clip id>.mp4. Videos that cannot be read any more are added to failures.
 * VX_MEDIA_STOPPED, VX_MEDIA_NO_ENCODER: as vx_media_cut_clip. */
int vx_batch_write_clip_files(const vx_batch_parts *parts, const vx_batch_inventory *inventory,
                              vx_batch_clip_files *files, vx_batch_failures *failures, vx_err *err);

/* Every row of the outputs under its clip id; clips: zeroed. */
int vx_batch_list_clips(const vx_batch_parts *parts, const vx_batch_inventory *inventory,
                        vx_batch_clip_list *clips, vx_err *err);
