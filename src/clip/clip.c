#include "clip/clip.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MIN_SECONDS 0.1
#define MAX_SECONDS 86400.0
#define DEFAULT_MINIMUM_S 2.0

/* One positive decimal number that ends at ',' or the end of the text. */
static int parse_seconds(const char **text, const char *what, double *ret, vx_err *err) {
    char *end;
    double value = strtod(*text, &end);
    if (end == *text || (*end && *end != ',') || !(value >= MIN_SECONDS && value <= MAX_SECONDS))
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule's %s must be a number of seconds "
                       "from %.1f to %.0f",
                       what, MIN_SECONDS, MAX_SECONDS);
    *ret = value;
    *text = *end ? end + 1 : end;
    return 0;
}

int vx_clip_parse(const char *text, vx_clip_spec *ret_spec, vx_err *err) {
    vx_clip_spec spec = {.mode = VX_CLIP_WHOLE};
    if (!strcmp(text, "whole")) {
        *ret_spec = spec;
        return 0;
    }
    if (strncmp(text, "fixed:", 6))
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule must be whole or fixed:length[,stride[,minimum]]");
    spec.mode = VX_CLIP_FIXED;
    const char *rest = text + 6;
    int rc = parse_seconds(&rest, "length", &spec.length_s, err);
    spec.stride_s = spec.length_s;
    spec.minimum_s = fmin(DEFAULT_MINIMUM_S, spec.length_s);
    if (!rc && *rest)
        rc = parse_seconds(&rest, "stride", &spec.stride_s, err);
    if (!rc && *rest)
        rc = parse_seconds(&rest, "minimum", &spec.minimum_s, err);
    if (rc)
        return rc;
    if (spec.stride_s * VX_CLIP_MAX_OVERLAP < spec.length_s)
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule's stride must be at least 1/%d of its "
                       "length",
                       VX_CLIP_MAX_OVERLAP);
    if (*rest || text[strlen(text) - 1] == ',')
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule has more than three numbers or a "
                       "comma at its end");
    *ret_spec = spec;
    return 0;
}

static int whole(double duration_s, vx_span **ret_spans, size_t *ret_n, vx_err *err) {
    vx_span *span = vx_new(vx_span);
    if (!span)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    span->end_s = duration_s;
    *ret_spans = span;
    *ret_n = 1;
    return 0;
}

int vx_clip_cut(const vx_clip_spec *spec, double duration_s, vx_span **ret_spans, size_t *ret_n,
                vx_err *err) {
    if (spec->mode == VX_CLIP_WHOLE || duration_s <= spec->minimum_s)
        return whole(duration_s, ret_spans, ret_n, err);
    double count = ceil(duration_s / spec->stride_s);
    if (count > VX_CLIP_MAX)
        return VX_FAIL(err, VX_CLIP_TOO_MANY,
                       "this clip rule gives %.0f clips for a video of %.0f "
                       "s; at most %d are made: use a longer stride",
                       count, duration_s, VX_CLIP_MAX);
    VX_AUTO_FREE vx_span *spans = vx_new_array((size_t)count + 1, sizeof *spans);
    if (!spans)
        return VX_FAIL(err, -ENOMEM, "no memory for %.0f clips", count);
    size_t n = 0;
    for (size_t i = 0; i <= (size_t)count; i++) {
        double start = (double)i * spec->stride_s; /* a product: sums would drift over hours */
        double end = fmin(start + spec->length_s, duration_s);
        if (start < duration_s && end - start >= spec->minimum_s && n < (size_t)count)
            spans[n++] = (vx_span){start, end};
    }
    *ret_spans = vx_take(spans);
    *ret_n = n;
    return 0;
}
