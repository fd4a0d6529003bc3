/* embedding_input.h — the strings that POST /v1/embeddings accepts as input.
 *
 *   data:video/mp4;base64,…                  a video file in any container (any video/ type)
 *   data:video/mp4;presigned_url,URL         a video file to be downloaded
 *   data:video_frames/jpg;base64,A,B,…       8 JPEG pictures, comma separated
 *   data:video_frames/jpg;presigned_url,A,…  8 to be downloaded; a comma ends a URL only if http://
 *                                            or https:// follows
 *   anything else                            a text
 *
 * Threads: any (pure functions).
 */
#pragma once

#include "embeddings/embeddings.h"

/* Fills *ret_input with slices of text, which it borrows. Returns NULL, or why the input is refused
 * (static). */
const char *vx_embedding_input_read(const char *text, size_t n, vx_input *ret_input);
