#include "video.h"

#include <errno.h>
#include <math.h>
#include <string.h>

vx_evidence_video *vx_evidence_video_free(vx_evidence_video *video) {
    if (!video)
        return NULL;
    vx_footage_clear(&video->footage);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < video->features[side].n; i++)
            vx_orb_clear(&video->features[side].pictures[i]);
    free(video);
    return NULL;
}

int vx_evidence_n_pictures(const vx_evidence_video *video) {
    return video->footage.n;
}

/* ---- windows ---- */

void vx_evidence_set_rates(vx_evidence_window *of_new, vx_evidence_window *of_stored) {
    const double usual_fps = 2, short_fps = 8, short_s = 4;
    double new_s = of_new->end_s - of_new->start_s;
    double stored_s = of_stored->end_s - of_stored->start_s;
    double fps = fmin(new_s, stored_s) < short_s ? short_fps : usual_fps;
    of_new->fps = fmin(fps, VX_MOTION_MAX / new_s);
    of_stored->fps = fmin(2 * fps, VX_MOTION_MAX / stored_s);
}

void vx_evidence_windows(double new_length_s, double stored_length_s, double offset_s,
                         vx_evidence_window *ret_new, vx_evidence_window *ret_stored) {
    const double new_s = 32, stored_s = 64;
    double from_s = fmax(0, -offset_s), to_s = fmin(new_length_s, stored_length_s - offset_s);
    if (!(to_s > from_s)) {
        from_s = 0;
        to_s = new_length_s;
    }
    double middle_s = (from_s + to_s) / 2;
    from_s = fmax(from_s, middle_s - new_s / 2);
    to_s = fmin(to_s, middle_s + new_s / 2);
    *ret_new = (vx_evidence_window){.start_s = from_s, .end_s = to_s};
    double start_s = fmax(0, fmin(middle_s + offset_s - stored_s / 2, stored_length_s - stored_s));
    *ret_stored = (vx_evidence_window){.start_s = start_s,
                                       .end_s = fmin(stored_length_s, start_s + stored_s)};
    vx_evidence_set_rates(ret_new, ret_stored);
}

/* ---- decoding ---- */

typedef struct decode {
    const vx_evidence_source *source;
    vx_footage *footage;
    int capacity;
} decode;

static bool keeps_going(void *ctx) {
    const decode *d = ctx;
    return !d->source->keep_going || d->source->keep_going(d->source->ctx);
}

/* To any size. */
static int resize(const vx_frame *gray, int w_px, int h_px, vx_luma *ret, vx_err *err) {
    int w = w_px < gray->width_px ? w_px : gray->width_px;
    int h = h_px < gray->height_px ? h_px : gray->height_px;
    vx_luma small = {0};
    int rc = vx_luma_reduce(gray, w, h, w == w_px && h == h_px ? ret : &small, err);
    if (!rc && small.pixels) {
        const vx_frame view = vx_frame_view(VX_FRAME_GRAY, small.pixels, w, h, w);
        rc = vx_luma_enlarge(&view, w_px, h_px, ret, err);
    }
    vx_luma_clear(&small);
    return rc;
}

/* All pictures of a footage have the size of the first: where a stream changes its size, later ones are squeezed. */
static int on_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    decode *d = ctx;
    vx_footage *to = d->footage;
    const vx_frame *gray;
    vx_luma small = {0};
    (void)frame;
    if (!keeps_going(d))
        return VX_FAIL(err, VX_MEDIA_STOPPED, "the check was stopped");
    int rc = vx_picture_luma(picture, &gray, err);
    if (rc)
        return rc;
    int w = gray->width_px, h = gray->height_px;
    vx_luma_fit(&w, &h, VX_EVIDENCE_SIDE_PX);
    if (!to->luma)
        rc = vx_footage_new(d->capacity, w, h, to, err);
    if (!rc)
        rc = resize(gray, to->w_px, to->h_px, &small, err);
    if (!rc) {
        memcpy(vx_footage_picture(to, to->n), small.pixels, (size_t)to->w_px * (size_t)to->h_px);
        to->time_s[to->n++] = time_s;
    }
    vx_luma_clear(&small);
    return rc;
}

static size_t keep_unique(int64_t *frames, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n && kept < VX_MOTION_MAX; i++)
        if (!kept || frames[i] != frames[kept - 1])
            frames[kept++] = frames[i];
    return kept;
}

int vx_evidence_open(const vx_evidence_source *source, const vx_evidence_window *window,
                     vx_evidence_video **ret_video, vx_err *err) {
    VX_AUTO(vx_media) media = NULL;
    VX_AUTO(vx_evidence_video) video = vx_new(vx_evidence_video);
    VX_AUTO_FREE int64_t *frames = NULL;
    int64_t n;
    if (!video)
        return VX_FAIL(err, -ENOMEM, "no memory to look at a video again");
    const vx_media_open_params open = {.limits = source->limits,
                                       .table_path = source->table_path,
                                       .keep_going = source->keep_going,
                                       .ctx = source->ctx};
    int rc = vx_media_open(source->path, &open, &media, err);
    if (!rc)
        rc = vx_media_choose(media, window->start_s, window->end_s, window->fps, &frames, &n, err);
    if (rc)
        return rc;
    decode d = {source, &video->footage, (int)keep_unique(frames, (size_t)n)};
    const vx_media_decode_params want = {.frames = frames,
                                         .n = d.capacity,
                                         .threads = source->decode_threads,
                                         .decoder = source->decoder,
                                         .keep_going = keeps_going,
                                         .on_picture = on_picture,
                                         .ctx = &d};
    rc = vx_media_decode(media, &want, NULL, err);
    if (!rc)
        vx_layout_find_content(&video->footage, video->content);
    if (!rc)
        *ret_video = vx_take(video);
    return rc;
}

/* ---- features ---- */

enum { PARTS = 4 };

static int part_of(const vx_orb *orb, const vx_orb_feature *f) {
    int column = (int)(f->x_px * PARTS / (float)orb->w_px);
    int row = (int)(f->y_px * PARTS / (float)orb->h_px);
    column = column < 0 ? 0 : column >= PARTS ? PARTS - 1 : column;
    row = row < 0 ? 0 : row >= PARTS ? PARTS - 1 : row;
    return row * PARTS + column;
}

/* Appends to the first `kept` features `most` of those of one level, [from, end), which stand best first: of each part
 * of the picture the best, then of each the second. Returns how many are kept then. */
static size_t spread_level(vx_orb *orb, size_t from, size_t end, size_t most, size_t kept) {
    size_t seen[PARTS * PARTS] = {0}, rank[VX_ORB_MAX], limit = 0, n = 0;
    for (size_t i = from; i < end; i++)
        rank[i] = seen[part_of(orb, &orb->features[i])]++;
    for (; n < most; limit++)
        for (size_t i = from; i < end; i++)
            n += rank[i] == limit;
    for (size_t i = from; i < end && most > 0; i++)
        if (rank[i] < limit) {
            orb->features[kept++] = orb->features[i];
            most--;
        }
    return kept;
}

/* Leaves `most` features, spread over the picture: where it is a frame with another picture in it, the frame often has
 * the better corners. */
static void spread_features(vx_orb *orb, size_t most) {
    size_t kept = 0, n = orb->n;
    for (size_t from = 0, end; n > most && from < n; from = end) {
        for (end = from; end < n && orb->features[end].level == orb->features[from].level;)
            end++;
        kept = spread_level(orb, from, end, (end - from) * most / n, kept);
    }
    orb->n = n > most ? kept : n;
}

int vx_evidence_find_features(vx_evidence_video *video, bool mirrored, int most, int max_features,
                              vx_err *err) {
    vx_evidence_features *to = &video->features[mirrored];
    const vx_footage *f = &video->footage;
    const vx_orb_params params = {.max_features = VX_ORB_MAX};
    int n = f->n < most ? f->n : most, rc = 0;
    while (to->n < n && !rc) { /* one in the middle of each of n parts */
        int at = (int)((2 * (int64_t)to->n + 1) * f->n / (2 * n));
        vx_luma copy = {0};
        rc = vx_luma_new(f->w_px, f->h_px, &copy, err);
        if (rc)
            break;
        memcpy(copy.pixels, vx_footage_picture(f, at), (size_t)f->w_px * (size_t)f->h_px);
        if (mirrored)
            vx_luma_mirror(&copy);
        vx_orb *orb = &to->pictures[to->n++];
        rc = vx_orb_find(&copy, &params, orb, err);
        if (!rc)
            spread_features(orb, (size_t)max_features);
        vx_luma_clear(&copy);
    }
    return rc;
}
