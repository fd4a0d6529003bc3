/* key_frames.c — the frames that take one picture to decode. */
#include <errno.h>

#include "packet_table.h"

int vx_media_key_frames(const vx_media *media, double least_step_s, int64_t **ret_frames,
                        int64_t *ret_n, vx_err *err) {
    int64_t total = media->info.n_frames, n = 0;
    VX_AUTO_FREE int64_t *frames = vx_new_array((size_t)total, sizeof *frames);
    if (!frames)
        return VX_FAIL(err, -ENOMEM, "no memory for %lld frame numbers", (long long)total);
    for (int64_t i = 0; i < total; i++) {
        bool is_key = media->packets[media->shown[i]].flags & VX_PACKET_POINT;
        if (is_key && (!n || media->times[i] - media->times[frames[n - 1]] >= least_step_s))
            frames[n++] = i;
    }
    *ret_frames = vx_take(frames);
    *ret_n = n;
    return 0;
}
