/* fill.h — a stored video gets the vectors that it lacks, out of a file with its bytes.
 *
 * What the backfill of a server and vidx embed share. The clips are those that are stored. One decode
 * feeds every model asked for, and all vectors are inserted in one transaction through the committer;
 * a clip that has its vector already keeps it. Blocks for as long as the video takes. Threads: any.
 */
#pragma once

#include "extract/extract.h"

typedef struct vx_fill {
    const vx_video *video;
    const char *path;
    unsigned models; /* bit i = server->models[i] */
    int decode_threads;
    const vx_extract_watch *watch;
} vx_fill; /* borrows all */

/* NOT_FOUND: the video was deleted meanwhile; else as vx_extract_run. INTERNAL also when only some of
 * the models failed: the vectors of the others are stored. */
vx_outcome vx_fill_video(vx_server *server, const vx_fill *fill, vx_err *err);
