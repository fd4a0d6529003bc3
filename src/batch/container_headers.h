/* container_headers.h — what the containers of the stored videos claim, kept from run to run.
 *
 * The catalog has what was measured; NeMo Curator's output has what ffprobe says. That is read from
 * each file once and kept in <output>/.vidx/headers.jsonl, by video, so that a run with nothing to do
 * opens no video. The file may be removed at any time. Threads: one at a time.
 */
#pragma once

#include "catalog/catalog.h"
#include "input_files.h"
#include "media/media.h"

typedef struct vx_batch_container_headers vx_batch_container_headers;

/* input: absolute; borrowed, as output is. */
int vx_batch_container_headers_open(const char *input, const char *output,
                                    vx_batch_container_headers **ret_headers, vx_err *err);
vx_batch_container_headers *vx_batch_container_headers_free(vx_batch_container_headers *headers);
VX_DEFINE_AUTO(vx_batch_container_headers, vx_batch_container_headers_free)

/* The header of a stored video.
 *   file  one with its bytes. If its container claims nothing usable, or cannot be read any more, the
 *         measured numbers are given. Fails only for lack of memory. */
int vx_batch_container_headers_get(vx_batch_container_headers *headers, const vx_video *video,
                                   const vx_batch_file *file, vx_media_header *ret_header,
                                   vx_err *err);
/* Saves those that were asked for. */
int vx_batch_container_headers_save(vx_batch_container_headers *headers, vx_err *err);
