/* budget.h — how much memory and work one decode may take (private to src/media).
 *
 * Memory  231 KB of H.264 can ask for 17 pictures of 8192 x 8192 in every one of its threads. The
 *         number of threads is chosen by the size of a picture, and the pictures that are alive at
 *         once are counted: beyond the limit the decode ends.
 * Work    460 KB of GIF can ask for 20,000 pictures of 8192 x 8192, each of which changes one pixel.
 *         Pictures are work for a server whatever they show, so the pixels to decode are weighed
 *         against the bytes that were sent for them. See budget.c for the numbers.
 *
 * Threads: a vx_picture_memory is used by the decoder's threads; the rest any.
 */
#pragma once

#include <libavcodec/avcodec.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "packet_table.h"

/* Counts the pictures of one decode. Lives until its last picture does: an encoder may keep some. */
typedef struct vx_picture_memory {
    atomic_int n_refs;
    atomic_int_fast64_t bytes; /* of pictures alive */
    atomic_bool exceeded;
} vx_picture_memory;
vx_picture_memory *vx_picture_memory_new(void); /* NULL: no memory */
vx_picture_memory *vx_picture_memory_unref(vx_picture_memory *memory);

/* Threads for pictures of this stream, of those wanted (0 = one per core). */
int vx_budget_threads(const AVCodecParameters *par, int wanted);
/* Makes the decoder count its pictures in memory, which must outlive it; before avcodec_open2. */
void vx_budget_count_pictures(AVCodecContext *codec, vx_picture_memory *memory);
/* VX_MEDIA_TOO_LARGE if a decode ended because of the limit, else 0. */
int vx_budget_check_memory(const vx_picture_memory *memory, vx_err *err);

/* Whether decoding n_pictures of the stream is worth it: 0 or VX_MEDIA_TOO_LARGE. */
int vx_budget_check_work(const vx_media *media, int64_t n_pictures, vx_err *err);
