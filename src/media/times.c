/* times.c — outliers and clock jumps among presentation times.
 *
 * In decode order, times of neighbouring pictures differ by a few frames: reordering reaches no
 * further. How long a frame is typically (the median step) separates that from a wrong time.
 *
 * Outliers   A broken encoder, a bit error or an editing tool leaves one picture thousands of seconds
 *            away; taken at its word it makes an hour of a clip of seconds. Its true time is not in
 *            doubt, as it was decoded between two others. A long pause is no outlier: what follows it
 *            does not come back. Only at the end of the file both look alike, so there the picture
 *            must be further away than a plausible pause; the decode time, where the container has
 *            one, settles it before that.
 * Joins      The clock of a transport stream may jump at a splice: recordings of broadcasts, files
 *            that were concatenated. A jump back shows at a point, which is shown after everything
 *            decoded before it. A jump forward is any step longer than 10 s and than 20 frames; players
 *            join from 10 s on as well. A stream without presentation times is ordered by its decode
 *            times, so those are joined.
 */
#include "times.h"

#include <errno.h>
#include <math.h>

enum { LONGEST_RUN = 8, SAMPLES = 4096 };
static const double OUTLIER_S = 100, LONE_S = 2000, JOIN_S = 10;

static int compare_int64(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Median distance between the times of neighbours in decode order, in ticks, at least 1. */
static int64_t typical_step(const vx_media *media) {
    int64_t steps[SAMPLES];
    size_t n = 0;
    int64_t every = 1 + media->n_packets / SAMPLES;
    for (int64_t i = 1; i < media->n_packets && n < SAMPLES; i += every) {
        const vx_packet *p = &media->packets[i];
        int64_t a = media->by_order ? p[-1].dts : p[-1].pts, b = media->by_order ? p->dts : p->pts;
        if (a != AV_NOPTS_VALUE && b != AV_NOPTS_VALUE && a != b)
            steps[n++] = llabs(b - a);
    }
    qsort(steps, n, sizeof *steps, compare_int64);
    return n ? steps[n / 2] : 1;
}

static int64_t ticks_of(const vx_media *media, double seconds) {
    return (int64_t)fmin(seconds / av_q2d(media->time_base), 1e17);
}

/* Number of the next packet after i that has a pts; n_packets if there is none. */
static int64_t next_timed(const vx_media *media, int64_t i) {
    do
        i++;
    while (i < media->n_packets && media->packets[i].pts == AV_NOPTS_VALUE);
    return i;
}

/* Whether the decode times of two packets say that they are close although their pts are not. */
static bool dts_is_close(const vx_packet *a, const vx_packet *b, int64_t far) {
    return a->dts != AV_NOPTS_VALUE && b->dts != AV_NOPTS_VALUE && llabs(b->dts - a->dts) < far;
}

static void place_after(vx_packet *p, const vx_packet *good, int64_t step) {
    int64_t by_dts =
        p->dts != AV_NOPTS_VALUE && good->dts != AV_NOPTS_VALUE ? p->dts - good->dts : 0;
    p->pts = good->pts + (by_dts > 0 && by_dts <= 16 * step ? by_dts : step);
}

/* Whether one picture at the end, or the start, stands alone too far from a dense stream. */
static bool is_alone(const vx_media *media, int64_t gap, int64_t span, int64_t step) {
    return media->n_packets >= 10 && gap > ticks_of(media, LONE_S) && gap / 100 > step &&
           gap > span;
}

void vx_times_fix_outliers(vx_media *media) {
    vx_packet *p = media->packets;
    const int64_t step = typical_step(media), n = media->n_packets;
    int64_t far = ticks_of(media, OUTLIER_S);
    far = far > 50 * step ? far : 50 * step;

    int64_t first = next_timed(media, -1), second = first < n ? next_timed(media, first) : n;
    int64_t third = second < n ? next_timed(media, second) : n;
    if (third < n && llabs(p[first].pts - p[second].pts) > far &&
        llabs(p[second].pts - p[third].pts) <= far) {
        int64_t span = 0;
        for (int64_t i = third; i < n; i = next_timed(media, i))
            span = llabs(p[i].pts - p[second].pts) > span && llabs(p[i].pts - p[second].pts) < far
                       ? llabs(p[i].pts - p[second].pts)
                       : span;
        if (dts_is_close(&p[first], &p[second], far) ||
            is_alone(media, llabs(p[first].pts - p[second].pts), span, step))
            p[first].pts = p[second].pts - step;
    }

    int64_t good = first, lowest = first < n ? p[first].pts : 0, highest = lowest;
    for (int64_t i = second; i < n; i = next_timed(media, i)) {
        if (llabs(p[i].pts - p[good].pts) > far) {
            int64_t back = i;
            int run = 0;
            do
                back = next_timed(media, back);
            while (++run < LONGEST_RUN && back < n && llabs(p[back].pts - p[good].pts) > far / 2);
            bool returns = back < n && llabs(p[back].pts - p[good].pts) <= far / 2;
            bool ends = back >= n && next_timed(media, i) >= n &&
                        is_alone(media, llabs(p[i].pts - p[good].pts), highest - lowest, step);
            if (returns || ends || dts_is_close(&p[good], &p[i], far))
                place_after(&p[i], &p[good], step);
        }
        good = i;
        lowest = p[i].pts < lowest ? p[i].pts : lowest;
        highest = p[i].pts > highest ? p[i].pts : highest;
    }
}

static int add_segment(vx_media *media, int64_t first, int64_t shift, vx_err *err) {
    size_t n = media->n_segments;
    if ((n & (n - 1)) == 0) {
        vx_segment *grown = vx_regrow(media->segments, n ? 2 * n : 1, sizeof *grown);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory to join the parts of a video");
        media->segments = grown;
    }
    media->segments[media->n_segments++] = (vx_segment){first, shift};
    return 0;
}

int vx_times_join_segments(vx_media *media, vx_err *err) {
    const int64_t step = typical_step(media);
    const int64_t slack = ticks_of(media, 0.5);
    int64_t latest = INT64_MIN, shift = 0, jump_from = ticks_of(media, JOIN_S);
    jump_from = jump_from > 20 * step ? jump_from : 20 * step;
    for (int64_t i = 0; i < media->n_packets; i++) {
        vx_packet *p = &media->packets[i];
        int64_t *time = media->by_order ? &p->dts : &p->pts;
        if (*time == AV_NOPTS_VALUE)
            continue;
        *time += shift;
        bool starts = media->by_order || (p->flags & VX_PACKET_POINT);
        bool back = starts && latest != INT64_MIN && *time < latest - slack;
        bool forward = latest != INT64_MIN && *time > latest + jump_from;
        if (back || forward) {
            int64_t jump = latest + step - *time;
            if (llabs(shift + jump) > INT64_C(1) << 60)
                return 0; /* longer than any video: leave the rest as it is */
            int rc = add_segment(media, i, shift + jump, err);
            if (rc != 0)
                return rc;
            shift += jump;
            *time += jump;
        }
        latest = *time > latest ? *time : latest;
    }
    return 0;
}
