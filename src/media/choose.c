/* choose.c — which frames stand for a clip at a given rate.
 *
 * All arithmetic is float32 because the rule that it reproduces is (NeMo Curator's frame extraction:
 * numpy.arange and searchsorted on float32 arrays). With another precision a sample time half-way
 * between two frames would choose the other one.
 */
#include <errno.h>
#include <math.h>

#include "choose.h"
#include "packet_table.h"

/* First of the ascending times that is >= t; n if none. */
static int64_t lower_bound(const float *times, int64_t n, float t) {
    int64_t lo = 0, hi = n;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (times[mid] < t)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static int64_t nearest(const float *times, int64_t n, float t) {
    if (t >= times[n - 1])
        return n - 1;
    int64_t right = lower_bound(times, n, t);
    if (right == 0)
        return 0;
    return fabsf(t - times[right]) < fabsf(t - times[right - 1]) ? right : right - 1;
}

int vx_choose_nearest(const float *times, int64_t n, double target_fps, int64_t **ret_frames,
                      int64_t *ret_n, vx_err *err) {
    double interval_s = 1.0 / target_fps;
    float start = times[0];
    float stop = times[n - 1] + (float)(interval_s * 0.5);
    double count = ceil((double)((stop - start) / (float)interval_s));
    if (!(count >= 1 && count < 1e9))
        return VX_FAIL(err, -ERANGE, "cannot take %g frames a second over %g seconds", target_fps,
                       (double)(times[n - 1] - start));

    int64_t n_samples = (int64_t)count;
    VX_AUTO_FREE int64_t *frames = vx_new_array((size_t)n_samples, sizeof(*frames));
    if (!frames)
        return VX_FAIL(err, -ENOMEM, "no memory for %lld frame numbers", (long long)n_samples);
    float second = start + (float)interval_s;
    float step = second - start;
    for (int64_t i = 0; i < n_samples; i++) {
        /* volatile keeps a compiler from fusing the product into the sum, which numpy does not. */
        volatile float offset = (float)i * step;
        frames[i] = nearest(times, n, i == 1 ? second : start + offset);
    }
    *ret_frames = vx_take(frames);
    *ret_n = n_samples;
    return 0;
}

int vx_media_choose(const vx_media *media, double start_s, double end_s, double target_fps,
                    int64_t **ret_frames, int64_t *ret_n, vx_err *err) {
    if (!(target_fps > 0 && target_fps <= 1000) || !(start_s <= end_s))
        return VX_FAIL(err, -EINVAL, "cannot choose frames of [%g, %g) s at %g a second", start_s,
                       end_s, target_fps);
    int64_t total = media->info.n_frames, first = 0;
    while (first < total && media->times[first] < start_s)
        first++;
    int64_t last = first;
    while (last < total && media->times[last] < end_s)
        last++;
    if (first == last) { /* between two frames the earlier one is shown */
        first = first > 0 ? first - 1 : 0;
        last = first + 1;
    }

    VX_AUTO_FREE float *times = vx_new_array((size_t)(last - first), sizeof(*times));
    if (!times)
        return VX_FAIL(err, -ENOMEM, "no memory for %lld timestamps", (long long)(last - first));
    for (int64_t i = first; i < last; i++)
        times[i - first] = (float)media->times[i];
    int rc = vx_choose_nearest(times, last - first, target_fps, ret_frames, ret_n, err);
    if (rc != 0)
        return rc;
    for (int64_t i = 0; i < *ret_n; i++)
        (*ret_frames)[i] += first;
    return 0;
}
