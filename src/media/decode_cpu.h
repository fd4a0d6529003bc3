/* decode_cpu.h — decoding by FFmpeg (private to src/media). Threads: any. */
#pragma once

#include "media.h"

/* vx_media_decode on the CPU; params->decoder is not used. */
int vx_decode_on_cpu(vx_media *media, const vx_media_decode_params *params,
                     vx_media_stats *ret_stats, vx_err *err);
