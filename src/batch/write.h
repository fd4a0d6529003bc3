/* batch_write.h — the outputs of vidx embed, out of the catalog and the index.
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
 *     not know is null; one against a video that is gone reads `new`. Verdicts are the first
 *     model's, in every model's file.
 *
 * All three are written beside each other under <output>/.vidx/staging, made durable and then moved
 * into place, clips.jsonl last. Should the process end between the moves, the next call does it
 * again: <output>/.vidx/written[-<name>] holds their sizes only while the three belong together.
 *
 * Threads: one at a time, with no ingest running. Memory: one vector.
 */
#pragma once

#include "clips.h"
#include "cuts.h"
#include "library.h"

/* The library is flushed and pruned. ret_written: false = they were up to date and are untouched.
 */
int vx_batch_write(vx_server *server, const vx_model *model, const vx_batch_library *library,
                   const char *output, bool *ret_written, size_t *ret_rows, vx_err *err);
/* Removes the outputs of further models that are not loaded; their vectors stay in the catalog. */
int vx_batch_forget_models(const vx_server *server, const char *output, vx_err *err);

/* Cuts every clip, clips/<clip id>.mp4; those of a video that cannot be read any more are told to
 * on_skipped. VX_MEDIA_STOPPED, VX_MEDIA_NO_ENCODER: as vx_media_cut_clip. */
int vx_batch_cut_clips(vx_server *server, const vx_batch_library *library, vx_batch_cuts *cuts,
                       vx_batch_on_problem on_skipped, void *ctx, vx_err *err);

/* Every row of the outputs under its clip id; clips: zeroed. */
int vx_batch_list_clips(vx_server *server, const vx_batch_library *library, vx_batch_clips *clips,
                        vx_err *err);
