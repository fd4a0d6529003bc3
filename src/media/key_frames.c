/* key_frames.c — the frames that take one picture to decode. */
#include <errno.h>
#include <math.h>

#include "packet_table.h"

static bool is_key(const vx_media *media, int64_t frame) {
    return media->packets[media->shown[frame]].flags & VX_PACKET_POINT;
}

/* The first of the keys whose time is at least time_s; n if there is none. */
static int64_t first_from(const vx_media *media, const int64_t *keys, int64_t n, double time_s) {
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (media->times[keys[middle]] < time_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void vx_media_take_key_frames(const vx_media *media, const int64_t *keys, int64_t n_keys,
                              double start_s, double end_s, int64_t *frames, int64_t n) {
    int64_t from = first_from(media, keys, n_keys, start_s);
    int64_t to = first_from(media, keys, n_keys, end_s);
    if (from == to) { /* the span has none */
        from = 0;
        to = n_keys;
    }
    for (int64_t i = 0; i < n && n_keys; i++) {
        double time_s = media->times[frames[i]];
        int64_t after = from + first_from(media, keys + from, to - from, time_s);
        if (after == to)
            after--;
        bool earlier = after > from && time_s - media->times[keys[after - 1]] <=
                                           fabs(media->times[keys[after]] - time_s);
        frames[i] = keys[earlier ? after - 1 : after];
    }
}

int vx_media_key_frames(const vx_media *media, double least_step_s, int64_t **ret_frames,
                        int64_t *ret_n, vx_err *err) {
    int64_t total = media->info.n_frames, n = 0;
    VX_AUTO_FREE int64_t *frames = vx_new_array((size_t)total, sizeof *frames);
    if (!frames)
        return VX_FAIL(err, -ENOMEM, "no memory for %lld frame numbers", (long long)total);
    for (int64_t i = 0; i < total; i++) {
        if (is_key(media, i) &&
            (!n || media->times[i] - media->times[frames[n - 1]] >= least_step_s))
            frames[n++] = i;
    }
    *ret_frames = vx_take(frames);
    *ret_n = n;
    return 0;
}
