/* track.c — builds the fingerprint of one video picture by picture.
 *
 * Black bars shift the picture against PDQ's grid, so a copy with bars would match nothing. A video
 * with bars is therefore hashed twice, whole and inside its bars, and two videos are compared in all
 * combinations (vx_fp_compare). Whole pictures are hashed exactly as published.
 *
 * Bars are rows and columns at the edges that are dark in every picture (letterbox.c says what is
 * dark), so they are known only at the end, when the pictures are gone. Each picture is therefore
 * hashed inside the box around everything that was not dark so far. That box only grows, and the first
 * bright picture nearly always fills it. Once the box is the whole picture (after two or three
 * pictures of a video without bars) the second hashes are dropped. At the end, the hashes are kept
 * whose box equals the final one within a cell of PDQ's grid.
 */
#include <errno.h>
#include <math.h>

#include "fingerprint.h"
#include "letterbox.h"

enum { LEAST_PART = 4 }; /* of a side; a smaller box has too few pixels */

typedef struct hashed_picture {
    vx_fp_frame frame, mirrored;
    vx_fp_box box; /* the part that was hashed */
    bool stored;
} hashed_picture;

typedef struct hashed_list {
    hashed_picture *item; /* [n] */
    size_t n, capacity;
} hashed_list;

struct vx_fp_track {
    hashed_list plain, inside;
    vx_fp_box box;  /* around everything that was not dark so far */
    int w_px, h_px; /* of all pictures */
    bool no_bars;   /* for certain */
};

int vx_fp_track_new(vx_fp_track **ret_track, vx_err *err) {
    *ret_track = vx_new(vx_fp_track);
    return *ret_track ? 0 : VX_FAIL(err, -ENOMEM, "no memory for fingerprints");
}

vx_fp_track *vx_fp_track_free(vx_fp_track *track) {
    if (track) {
        free(track->plain.item);
        free(track->inside.item);
        free(track);
    }
    return NULL;
}

/* Appends the hash of the part inside the box. */
static int add(hashed_list *to, const vx_frame *luma, const vx_fp_box *box, bool stored,
               vx_err *err) {
    if (to->n == to->capacity) {
        size_t capacity = 2 * to->capacity + 64;
        hashed_picture *item = vx_regrow(to->item, capacity, sizeof *item);
        if (!item)
            return VX_FAIL(err, -ENOMEM, "no memory for %zu fingerprints", capacity);
        to->item = item;
        to->capacity = capacity;
    }
    hashed_picture *fresh = &to->item[to->n];
    *fresh = (hashed_picture){.box = *box, .stored = stored};
    vx_frame part = *luma;
    part.planes[0] += box->y_px * part.pitch_bytes[0] + box->x_px;
    part.width_px = box->w_px;
    part.height_px = box->h_px;
    int rc = vx_fp_hash(&part, &fresh->frame, &fresh->mirrored, err);
    fresh->frame.time_s = fresh->mirrored.time_s = (float)luma->time_s;
    to->n += !rc;
    return rc;
}

/* Extends track->box by this picture. Returns whether the video may still have bars, with track->box
 * inside them. */
static bool extend_box(vx_fp_track *track, const vx_frame *luma, const vx_fp_box *whole) {
    if (!track->plain.n) {
        track->w_px = whole->w_px;
        track->h_px = whole->h_px;
    }
    if (track->no_bars)
        return false;
    vx_fp_box box =
        vx_fp_box_inside_bars(luma->planes[0], whole->w_px, whole->h_px, (int)luma->pitch_bytes[0]);
    track->box = vx_fp_box_union(track->box, box);
    track->no_bars = whole->w_px != track->w_px || whole->h_px != track->h_px ||
                     vx_fp_box_is_near(track->box, *whole, whole->w_px, whole->h_px);
    if (track->no_bars) {
        free(track->inside.item);
        track->inside = (hashed_list){0};
    }
    return !track->no_bars && LEAST_PART * track->box.w_px >= whole->w_px &&
           LEAST_PART * track->box.h_px >= whole->h_px;
}

int vx_fp_track_add(vx_fp_track *track, const vx_frame *luma, bool stored, vx_err *err) {
    const vx_fp_box whole = {0, 0, luma->width_px, luma->height_px};
    bool bars = extend_box(track, luma, &whole);
    int rc = add(&track->plain, luma, &whole, stored, err);
    if (!rc && bars)
        rc = add(&track->inside, luma, &track->box, stored, err);
    return rc;
}

double vx_fp_track_last_s(const vx_fp_track *track) {
    return track->plain.n ? (double)track->plain.item[track->plain.n - 1].frame.time_s : -INFINITY;
}

/* Appends the hashes to the video; of those inside bars only the ones with the final box. */
static void append_frames(const vx_fp_track *track, const hashed_list *from, bool inside,
                          vx_fp_video *to) {
    for (size_t i = 0; i < from->n; i++) {
        hashed_picture *p = &from->item[i];
        if (inside && !vx_fp_box_is_near(p->box, track->box, track->w_px, track->h_px))
            continue;
        p->frame.inside = p->mirrored.inside = inside;
        to->frames[to->n_frames] = p->frame;
        to->mirrored[to->n_frames++] = p->mirrored;
        if (p->stored)
            to->stored[to->n_stored++] = p->frame;
    }
}

int vx_fp_track_finish(const vx_fp_track *track, vx_fp_video *ret_video, vx_err *err) {
    size_t n = track->plain.n + track->inside.n + 1;
    vx_fp_video video = {.stored = vx_new_array(n, sizeof *video.stored),
                         .frames = vx_new_array(n, sizeof *video.frames),
                         .mirrored = vx_new_array(n, sizeof *video.mirrored)};
    if (!video.stored || !video.frames || !video.mirrored) {
        vx_fp_video_clear(&video);
        return VX_FAIL(err, -ENOMEM, "no memory for %zu fingerprints", n);
    }
    append_frames(track, &track->plain, false, &video);
    append_frames(track, &track->inside, true, &video);
    *ret_video = video;
    return 0;
}

void vx_fp_video_clear(vx_fp_video *video) {
    free(video->stored);
    free(video->frames);
    free(video->mirrored);
    *video = (vx_fp_video){0};
}
