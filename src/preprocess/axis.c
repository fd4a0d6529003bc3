/* axis.c — weights of one axis of a resize. The arithmetic equals Pillow's and OpenCV's to the last
 * bit: models were trained with one of the two, and other rounding means other input. The weights are
 * computed in double (Pillow) and float (OpenCV), as there. */
#include "resample.h"

#include <errno.h>
#include <math.h>

enum { ANTIALIAS_BITS = 22, TWO_TAPS_BITS = 11 };

vx_axis *vx_axis_free(vx_axis *axis) {
    if (axis) {
        free(axis->first);
        free(axis->n_used);
        free(axis->taps);
        free(axis);
    }
    return NULL;
}

static int axis_new(int n_out, int n_taps, vx_axis **ret_axis, vx_err *err) {
    VX_AUTO(vx_axis) axis = vx_new(vx_axis);
    size_t n_weights;
    if (!axis || !vx_mul((size_t)n_out, (size_t)n_taps, &n_weights))
        return VX_FAIL(err, -ENOMEM, "out of memory for resize weights");
    axis->n_out = n_out;
    axis->n_taps = n_taps;
    axis->first = vx_new_array((size_t)n_out, sizeof *axis->first);
    axis->n_used = vx_new_array((size_t)n_out, sizeof *axis->n_used);
    axis->taps = vx_new_array(n_weights, sizeof *axis->taps);
    if (!axis->first || !axis->n_used || !axis->taps)
        return VX_FAIL(err, -ENOMEM, "out of memory for resize weights");
    *ret_axis = vx_take(axis);
    return 0;
}

static double triangle(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double cubic_half(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

int vx_axis_new_antialias(const vx_axis_span *span, bool cubic, vx_axis **ret_axis, vx_err *err) {
    double (*filter)(double) = cubic ? cubic_half : triangle;
    double scale = (double)span->n_in / span->n_full;
    double stretch = scale < 1.0 ? 1.0 : scale; /* enlarging keeps the filter's own width */
    double support = (cubic ? 2.0 : 1.0) * stretch;
    int n_taps = (int)ceil(support) * 2 + 1;
    VX_AUTO(vx_axis) axis = NULL;
    VX_AUTO_FREE double *weight = vx_new_array((size_t)n_taps, sizeof *weight);
    if (!weight)
        return VX_FAIL(err, -ENOMEM, "out of memory for resize weights");
    int rc = axis_new(span->n_out, n_taps, &axis, err);
    if (rc)
        return rc;
    for (int o = 0; o < span->n_out; o++) {
        double centre = (span->begin + o + 0.5) * scale;
        int from = (int)(centre - support + 0.5);
        int to = (int)(centre + support + 0.5);
        from = from < 0 ? 0 : from;
        to = to > span->n_in ? span->n_in : to;
        double sum = 0.0;
        for (int i = from; i < to; i++) {
            weight[i - from] = filter((i - centre + 0.5) * (1.0 / stretch));
            sum += weight[i - from];
        }
        for (int i = 0; i < to - from; i++) {
            double w = sum != 0.0 ? weight[i] / sum : weight[i];
            axis->taps[(size_t)o * (size_t)n_taps + (size_t)i] =
                (int32_t)(w * (1 << ANTIALIAS_BITS) + (w < 0 ? -0.5 : 0.5));
        }
        axis->first[o] = from;
        axis->n_used[o] = to - from;
    }
    *ret_axis = vx_take(axis);
    return 0;
}

int vx_axis_new_two_taps(const vx_axis_span *span, vx_axis **ret_axis, vx_err *err) {
    VX_AUTO(vx_axis) axis = NULL;
    int rc = axis_new(span->n_out, 2, &axis, err);
    if (rc)
        return rc;
    double scale = (double)span->n_in / span->n_full;
    for (int o = 0; o < span->n_out; o++) {
        float position = (float)((span->begin + o + 0.5) * scale - 0.5);
        int from = (int)floorf(position);
        float fraction = position - (float)from;
        if (from < 0) {
            from = 0;
            fraction = 0;
        }
        if (from >= span->n_in - 1) {
            from = span->n_in - 1;
            fraction = 0;
        }
        axis->first[o] = from;
        axis->n_used[o] = from < span->n_in - 1 ? 2 : 1;
        axis->taps[2 * o] = (int32_t)lrintf((1.f - fraction) * (1 << TWO_TAPS_BITS));
        axis->taps[2 * o + 1] = (int32_t)lrintf(fraction * (1 << TWO_TAPS_BITS));
    }
    *ret_axis = vx_take(axis);
    return 0;
}
