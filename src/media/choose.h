/* choose.h — the sampling rule of vx_media_choose by itself (private to src/media). Threads: any. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* times: ascending float32 seconds [n], n >= 1. ret_frames gives indices into it (free()).
 * Returns 0, -ENOMEM or -ERANGE. */
int vx_choose_nearest(const float *times, int64_t n, double target_fps, int64_t **ret_frames,
                      int64_t *ret_n, vx_err *err);
