/* embedding_input.h — the strings that POST /v1/embeddings takes as input.
 *
 *   data:video/mp4;base64,…                  a video file (any container: video/ is what counts)
 *   data:video/mp4;presigned_url,URL         the same, to be fetched
 *   data:video_frames/jpg;base64,A,B,…       8 JPEG pictures, comma separated
 *   data:video_frames/jpg;presigned_url,A,…  the same; a comma ends a URL where http(s):// follows
 *   anything else                            a text
 *
 * Threads: any (pure functions).
 */
#pragma once

#include "embeddings/embeddings.h"

/* Fills *ret_input with stretches of text. Returns NULL, or why it cannot: a sentence, static. */
const char *vx_embedding_input_read(const char *text, size_t n, vx_input *ret_input);
