/* batch_headers.h — what the containers of the stored videos claim, kept from run to run.
 *
 * The catalog has what was measured; NeMo Curator's output has ffprobe's words. They are read from a
 * file once and then stand in <output>/.vidx/headers.jsonl, by video, so that a run with nothing to
 * do opens no video. That file may be removed at any time. Threads: one at a time.
 */
#pragma once

#include "catalog/catalog.h"
#include "files.h"
#include "media/media.h"

typedef struct vx_batch_headers vx_batch_headers;

/* input: absolute; borrowed, as output is. */
int vx_batch_headers_open(const char *input, const char *output, vx_batch_headers **ret_headers,
                          vx_err *err);
vx_batch_headers *vx_batch_headers_free(vx_batch_headers *headers);
VX_DEFINE_AUTO(vx_batch_headers, vx_batch_headers_free)

/* file: one with the video's bytes. Where its container claims nothing usable, or cannot be read
 * any more, the measured numbers stand in. Fails only for lack of memory. */
int vx_batch_headers_get(vx_batch_headers *headers, const vx_video *video,
                         const vx_batch_file *file, vx_media_header *ret_header, vx_err *err);
/* Keeps those that were asked for. */
int vx_batch_headers_save(vx_batch_headers *headers, vx_err *err);
