/* clip.c — parses and prints the rules, and cuts by those that need no model. */
#include "clip.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_SECONDS 0.1
#define MAX_SECONDS 86400.0
#define DEFAULT_MINIMUM_S 2.0
#define AUTO_WHOLE_S 30.0
#define AUTO_FIXED_S 10.0

static const vx_clip_spec SHOTS = {
    .mode = VX_CLIP_SHOTS, .threshold = 0.5, .shortest_s = 2, .longest_s = 30};
static const vx_clip_spec CURATOR = {
    .mode = VX_CLIP_CURATOR, .threshold = 0.4, .shortest_s = 2, .longest_s = 10, .crop_s = 0.5};

/* ---- text ---- */

/* One number of a list: its name and unit for messages, and its range. */
typedef struct field {
    const char *what, *unit;
    double low, high;
    double *value;
} field;

static int parse_number(const char **text, const field *f, vx_err *err) {
    char *end;
    double value = strtod(*text, &end);
    if (end == *text || (*end && *end != ',') || !(value >= f->low && value <= f->high))
        return VX_FAIL(err, VX_CLIP_BAD_SPEC, "the clip rule's %s must be a number%s from %g to %g",
                       f->what, f->unit, f->low, f->high);
    *f->value = value;
    *text = *end ? end + 1 : end;
    return 0;
}

/* Parses up to n numbers separated by commas; fields without a number keep their values. */
static int parse_numbers(const char *text, const field *fields, size_t n, size_t *ret_n,
                         vx_err *err) {
    const char *rest = text;
    size_t i = 0;
    do {
        int rc = parse_number(&rest, &fields[i++], err);
        if (rc)
            return rc;
    } while (*rest && i < n);
    if (*rest || text[strlen(text) - 1] == ',')
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule has more than %s numbers or a comma at its end",
                       n == 3 ? "three" : "four");
    *ret_n = i;
    return 0;
}

static int parse_fixed(const char *text, vx_clip_spec *spec, vx_err *err) {
    const field fields[] = {{"length", " of seconds", MIN_SECONDS, MAX_SECONDS, &spec->length_s},
                            {"stride", " of seconds", MIN_SECONDS, MAX_SECONDS, &spec->stride_s},
                            {"minimum", " of seconds", MIN_SECONDS, MAX_SECONDS, &spec->minimum_s}};
    size_t n = 0;
    spec->mode = VX_CLIP_FIXED;
    int rc = parse_numbers(text, fields, VX_LEN(fields), &n, err);
    if (rc)
        return rc;
    if (n < 2)
        spec->stride_s = spec->length_s;
    if (n < 3)
        spec->minimum_s = fmin(DEFAULT_MINIMUM_S, spec->length_s);
    if (spec->minimum_s > spec->length_s)
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule's minimum must not be more than its length");
    if (spec->stride_s * VX_CLIP_MAX_OVERLAP < spec->length_s)
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule's stride must be at least 1/%d of its length",
                       VX_CLIP_MAX_OVERLAP);
    return 0;
}

/* text: what follows the rule's name, "" or ":…". */
static int parse_shots(const char *text, vx_clip_spec *spec, vx_err *err) {
    const field fields[] = {{"threshold", "", 0.01, 0.99, &spec->threshold},
                            {"shortest", " of seconds", 0, MAX_SECONDS, &spec->shortest_s},
                            {"longest", " of seconds", MIN_SECONDS, MAX_SECONDS, &spec->longest_s},
                            {"crop", " of seconds", 0, MAX_SECONDS, &spec->crop_s}};
    size_t n = VX_LEN(fields) - (spec->mode == VX_CLIP_SHOTS);
    int rc = *text ? parse_numbers(text + 1, fields, n, &n, err) : 0;
    if (!rc && spec->longest_s < 2 * spec->shortest_s)
        return VX_FAIL(err, VX_CLIP_BAD_SPEC,
                       "the clip rule's longest must be at least twice its shortest");
    return rc;
}

/* The rest of text after name, which must end there or be followed by a colon; else NULL. */
static const char *skip_name(const char *text, const char *name) {
    size_t n = strlen(name);
    return !strncmp(text, name, n) && (!text[n] || text[n] == ':') ? text + n : NULL;
}

int vx_clip_parse(const char *text, vx_clip_spec *ret_spec, vx_err *err) {
    vx_clip_spec spec = {.mode = VX_CLIP_WHOLE};
    const char *rest;
    int rc = 0;
    if (!strcmp(text, "auto"))
        spec.mode = VX_CLIP_AUTO;
    else if (!strncmp(text, "fixed:", 6))
        rc = parse_fixed(text + 6, &spec, err);
    else if ((rest = skip_name(text, "shots")))
        rc = parse_shots(rest, (spec = SHOTS, &spec), err);
    else if ((rest = skip_name(text, "shots-curator")))
        rc = parse_shots(rest, (spec = CURATOR, &spec), err);
    else if (strcmp(text, "whole"))
        return VX_FAIL(
            err, VX_CLIP_BAD_SPEC,
            "'%.40s' is not a clip rule. Use auto, whole, fixed:10 (10-second pieces) or "
            "shots (one clip per camera shot). Details: README, Clips",
            text);
    if (!rc)
        *ret_spec = spec;
    return rc;
}

void vx_clip_describe(const vx_clip_spec *spec, char ret_text[96]) {
    switch (spec->mode) {
    case VX_CLIP_WHOLE:
        snprintf(ret_text, 96, "whole");
        return;
    case VX_CLIP_AUTO:
        snprintf(ret_text, 96, "auto");
        return;
    case VX_CLIP_FIXED:
        snprintf(ret_text, 96, "fixed:%.9g,%.9g,%.9g", spec->length_s, spec->stride_s,
                 spec->minimum_s);
        return;
    case VX_CLIP_SHOTS:
        snprintf(ret_text, 96, "shots:%.9g,%.9g,%.9g", spec->threshold, spec->shortest_s,
                 spec->longest_s);
        return;
    case VX_CLIP_CURATOR:
        snprintf(ret_text, 96, "shots-curator:%.9g,%.9g,%.9g,%.9g", spec->threshold,
                 spec->shortest_s, spec->longest_s, spec->crop_s);
    }
}

vx_clip_spec vx_clip_resolve(const vx_clip_spec *spec, double duration_s, bool has_shots) {
    if (spec->mode != VX_CLIP_AUTO)
        return *spec;
    if (duration_s <= AUTO_WHOLE_S)
        return (vx_clip_spec){.mode = VX_CLIP_WHOLE};
    if (has_shots)
        return SHOTS;
    return (vx_clip_spec){.mode = VX_CLIP_FIXED,
                          .length_s = AUTO_FIXED_S,
                          .stride_s = AUTO_FIXED_S,
                          .minimum_s = DEFAULT_MINIMUM_S};
}

/* ---- whole and fixed ---- */

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
    if (spec->mode != VX_CLIP_FIXED)
        return VX_FAIL(err, -EINVAL, "this clip rule needs the shots of the video");
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
