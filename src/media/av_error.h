/* av_error.h — failures of FFmpeg as ours (private to src/media). Threads: any. */
#pragma once

#include "base/err.h"

/* Reports "<what> (<FFmpeg's text for averror>)". Returns code, or -ENOMEM when that is what
 * FFmpeg ran out of. */
int vx_media_fail_av(vx_err *err, int code, int averror, const char *what);
