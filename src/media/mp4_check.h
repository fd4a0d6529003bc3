/* mp4_check.h — plausibility of an MP4's sample tables, checked before FFmpeg allocates memory for
 * them (private to src/media). Threads: any. */
#pragma once

#include "base/err.h"

/* Refuses an MP4 whose tables list far more than the file can hold, or that could hide such tables.
 * Reads all of the file but the media data.
 * Returns 0, VX_MEDIA_DAMAGED, VX_MEDIA_UNSUPPORTED, VX_MEDIA_TOO_LARGE or -errno. */
int vx_mp4_check_tables(const char *path, vx_err *err);
