/* small_pictures.h — every picture of a video at 48x27, in order, decoded ahead of who takes them (private to
 * src/clip).
 *
 * On the CPU they are as the ffmpeg program scales them by default: TransNet V2 was trained on these. A card
 * that decodes makes them itself, so that only 4 kB of each leave it, and decodes many places of the video at a time.
 *
 * Memory   4 kB a picture that waits: 4 MB, with a card up to 255 MB
 * Threads  one of its own, which alone uses the media until vx_small_pictures_free; the others are the taker's
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "media/media.h"
#include "small_math.h"

typedef struct vx_small_pictures vx_small_pictures;

typedef struct vx_small_pictures_params {
    vx_media *media;     /* borrows */
    int threads;         /* of the decoder; 0 = one per core */
    vx_decoder *decoder; /* borrows; NULL = the CPU alone */
} vx_small_pictures_params;

int vx_small_pictures_start(const vx_small_pictures_params *params,
                            vx_small_pictures **ret_pictures, vx_err *err);
/* Stops decoding first. Takes NULL. */
vx_small_pictures *vx_small_pictures_free(vx_small_pictures *pictures);
VX_DEFINE_AUTO(vx_small_pictures, vx_small_pictures_free)

/* The next picture, uint8 [27, 48, 3], into ret_picture; waits a tenth of a second at most.
 *   ret_there  false: it is not there yet
 * Returns 0; a vx_media_outcome or -errno: decoding failed, and so will every later call. */
int vx_small_pictures_take(vx_small_pictures *pictures, uint8_t *ret_picture, bool *ret_there,
                           vx_err *err);
