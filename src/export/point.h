/* point.h — a clip as vector databases have it: its id, its vector, and what a person filters and shows by. The same
 * for stores/, which sends it, and for a file that Pinecone imports, so that what was imported is equal already.
 *
 * Threads  external lock
 */
#pragma once

#include "catalog/catalog.h"
#include "text.h"

typedef struct vx_point {
    char id[VX_CLIP_ID_CHARS + 1];
    char video[VX_VIDEO_ID_CHARS + 1];
    int clip;
    double start_s, end_s;
    const char *filename, *metadata; /* borrows; metadata: the text of a JSON object */
    char digest[17];                 /* of all above and the vector: hexadecimal */
    const float *vector;             /* float32 [dim]; borrows */
} vx_point;

/* The point of a clip: borrows of video, and vector, for as long as the point is used.
 *   max_metadata  bytes; longer metadata is left out */
void vx_point_fill(const vx_video *video, const vx_clip *clip, const float *vector, int dim,
                   size_t max_metadata, vx_point *ret_point);

/* What Pinecone calls metadata: a flat JSON object. Members of a video's metadata become "metadata.<name>" if they
 * are text, numbers, truth values or lists of texts; others are left out. */
void vx_point_add_pinecone(vx_string *out, const vx_point *point);
#define VX_POINT_PINECONE_METADATA                                                                 \
    ((size_t)24 << 10) /* bytes of the video's, of the 40 KB that it takes */
