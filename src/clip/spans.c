/* spans.c — cuts by shots: from a probability per frame to spans. clip.h has the two rules. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "clip.h"

typedef struct list {
    vx_span *spans;
    size_t n, capacity;
} list;

static int append(list *out, double start_s, double end_s, vx_err *err) {
    if (out->n == VX_CLIP_MAX)
        return VX_FAIL(err, VX_CLIP_TOO_MANY,
                       "this clip rule gives more than %d clips for this video: raise the shortest "
                       "length or the threshold",
                       VX_CLIP_MAX);
    if (!vx_make_room(out->spans, out->n, out->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", out->n + 1);
    out->spans[out->n++] = (vx_span){start_s, end_s};
    return 0;
}

/* ---- shots ---- */

/* Time of a frame; for the frame after the last one, the end of the video. */
static double time_of(const vx_media *media, int64_t frame) {
    const vx_media_info *info = vx_media_get_info(media);
    return frame < info->n_frames ? vx_media_frame_time(media, frame) : info->duration_s;
}

/* The first frame from `from` on whose time is at least time_s. */
static int64_t frame_at(const vx_media *media, int64_t from, int64_t to, double time_s) {
    while (from < to) {
        int64_t middle = from + (to - from) / 2;
        if (vx_media_frame_time(media, middle) < time_s)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* One shot of the frames [first, end), in equal parts where it is too long. */
static int append_shot(list *out, const vx_clip_spec *spec, const vx_media *media, int64_t first,
                       int64_t end, vx_err *err) {
    double start_s = time_of(media, first), length_s = time_of(media, end) - start_s;
    int64_t n = (int64_t)fmax(1, ceil(length_s / spec->longest_s)), from = first;
    for (int64_t part = 1; part <= n; part++) {
        double until_s = start_s + length_s * (double)part / (double)n;
        int64_t to = part < n ? frame_at(media, from, end, until_s) : end;
        if (to == from)
            continue; /* a part without a frame, where pictures are rare */
        int rc = append(out, time_of(media, from), time_of(media, to), err);
        if (rc)
            return rc;
        from = to;
    }
    return 0;
}

/* The first frame of the next shot after `frame`; n when there is none. */
static int64_t next_cut(const float *p, int64_t n, double threshold, int64_t frame) {
    while (frame < n && !((double)p[frame] > threshold))
        frame++;
    int64_t best = frame;
    for (; frame < n && (double)p[frame] > threshold; frame++)
        if (p[frame] > p[best])
            best = frame;
    return best < n ? best + 1 : n;
}

/* The end of the run of frames above the threshold that contains `frame`. */
static int64_t end_of_run(const float *p, int64_t n, double threshold, int64_t frame) {
    while (frame < n && (double)p[frame] > threshold)
        frame++;
    return frame;
}

static int cut_at_peaks(const vx_clip_spec *spec, const vx_media *media, const float *p, list *out,
                        vx_err *err) {
    int64_t n = vx_media_get_info(media)->n_frames, first = 0, from = 0;
    double duration_s = time_of(media, n);
    while (from < n) {
        int64_t cut = next_cut(p, n, spec->threshold, from);
        from = end_of_run(p, n, spec->threshold, cut);
        bool too_short = time_of(media, cut) - time_of(media, first) < spec->shortest_s;
        if (cut == n || too_short || duration_s - time_of(media, cut) < spec->shortest_s)
            continue;
        int rc = append_shot(out, spec, media, first, cut, err);
        if (rc)
            return rc;
        first = cut;
    }
    return append_shot(out, spec, media, first, n, err);
}

/* ---- Curator's ---- */

/* The frames [start, end) of one shot to pieces, in Curator's order: length, crop, minimum. */
static int append_pieces(list *out, const vx_clip_spec *spec, double fps, int64_t start,
                         int64_t end, vx_err *err) {
    double most =
        (double)(end - start + 1); /* at extreme rates a second of frames overflows an integer */
    int64_t longest = (int64_t)fmin(spec->longest_s * fps, most);
    int64_t shortest = (int64_t)fmin(spec->shortest_s * fps, most);
    int64_t crop = (int64_t)fmin(spec->crop_s * fps, most);
    longest = longest > 0 ? longest : 1;
    bool divide = end - start > longest;
    for (int64_t at = start; at < end; at += longest) {
        int64_t to = divide && at + longest < end ? at + longest : end;
        int64_t n = to - at;
        bool kept = (!divide || n >= shortest) && n > 2 * crop && n - 2 * crop >= shortest;
        int rc = kept ? append(out, (double)(at + crop) / fps, (double)(to - crop) / fps, err) : 0;
        if (rc || !divide)
            return rc;
    }
    return 0;
}

static int cut_as_curator(const vx_clip_spec *spec, const vx_media *media, const float *p,
                          list *out, vx_err *err) {
    const vx_media_info *info = vx_media_get_info(media);
    int64_t n = info->n_frames, start = 0;
    bool was_above = false, found = false;
    for (int64_t i = 0; i < n; i++) {
        bool above = (double)p[i] > spec->threshold;
        if (was_above && !above)
            start = i;
        int rc = 0;
        if (!was_above && above && i > 0) {
            found = true;
            rc = append_pieces(out, spec, info->fps, start, i, err);
        }
        if (rc)
            return rc;
        was_above = above;
    }
    if (!found) /* also when every frame is above */
        return append_pieces(out, spec, info->fps, 0, n, err);
    return was_above ? 0 : append_pieces(out, spec, info->fps, start, n - 1, err);
}

int vx_clip_cut_shots(const vx_clip_spec *spec, const vx_media *media, const float *probability,
                      vx_span **ret_spans, size_t *ret_n, vx_err *err) {
    list out = {0};
    int rc = spec->mode == VX_CLIP_CURATOR ? cut_as_curator(spec, media, probability, &out, err)
                                           : cut_at_peaks(spec, media, probability, &out, err);
    if (!rc && !out.n)
        rc = append(&out, 0, vx_media_get_info(media)->duration_s, err);
    if (rc) {
        free(out.spans);
        return rc;
    }
    *ret_spans = out.spans;
    *ret_n = out.n;
    return 0;
}
