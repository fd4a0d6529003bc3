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

#include "letterbox.h"
#include "reduce.h"

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

/* Room for the hash of the part inside the box. ret_fresh: borrows from the list, which does not count it
 * yet. */
static int make_room(hashed_list *to, const vx_fp_box *box, double time_s, bool stored,
                     hashed_picture **ret_fresh, vx_err *err) {
    if (!vx_make_room(to->item, to->n, to->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu fingerprints", to->n + 1);
    *ret_fresh = &to->item[to->n];
    **ret_fresh = (hashed_picture){.frame.time_s = (float)time_s,
                                   .mirrored.time_s = (float)time_s,
                                   .box = *box,
                                   .stored = stored};
    return 0;
}

/* Appends the hash of the part inside the box. */
static int add(hashed_list *to, const vx_frame *luma, const vx_fp_box *box, bool stored,
               vx_err *err) {
    hashed_picture *fresh = NULL;
    vx_frame part = *luma;
    part.planes[0] += box->y_px * part.pitch_bytes[0] + box->x_px;
    part.width_px = box->w_px;
    part.height_px = box->h_px;
    int rc = make_room(to, box, luma->time_s, stored, &fresh, err);
    if (!rc)
        rc = vx_fp_hash(&part, &fresh->frame, &fresh->mirrored, err);
    to->n += !rc;
    return rc;
}

/* The same of a picture that was reduced on a card. */
static int add_grid(hashed_list *to, float grid[VX_PDQ_GRID][VX_PDQ_GRID], const vx_fp_box *box,
                    double time_s, bool stored, vx_err *err) {
    hashed_picture *fresh = NULL;
    int rc = make_room(to, box, time_s, stored, &fresh, err);
    if (!rc)
        vx_pdq_hash(grid, &fresh->frame, &fresh->mirrored);
    to->n += !rc;
    return rc;
}

/* Extends track->box by the part inside this picture's bars, unless track->no_bars. Returns whether the
 * video may still have bars, with track->box inside them. */
static bool extend_box(vx_fp_track *track, const vx_fp_box *whole, const vx_fp_box *inside) {
    if (!track->plain.n) {
        track->w_px = whole->w_px;
        track->h_px = whole->h_px;
    }
    if (track->no_bars)
        return false;
    track->box = vx_fp_box_union(track->box, *inside);
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
    vx_fp_box inside = whole;
    if (!track->no_bars)
        inside = vx_fp_box_inside_bars(luma->planes[0], whole.w_px, whole.h_px,
                                       (int)luma->pitch_bytes[0]);
    bool bars = extend_box(track, &whole, &inside);
    int rc = add(&track->plain, luma, &whole, stored, err);
    if (!rc && bars)
        rc = add(&track->inside, luma, &track->box, stored, err);
    return rc;
}

/* ---- pictures on a card ---- */

struct vx_fp_batch {
    vx_fp_track *track; /* borrows, like all of these */
    vx_card_work *work;
    const vx_fp_picture *pictures; /* [n] */
    int n;
    float (*grids)[VX_PDQ_GRID][VX_PDQ_GRID]; /* [n] */
    vx_fp_box *trimmed;                       /* [n] */
    vx_reduce_job *jobs;                      /* [n] owned */
};

int vx_fp_batch_begin(vx_fp_track *track, const vx_fp_picture *pictures, int n, vx_card_work *work,
                      vx_fp_batch **ret_batch, vx_err *err) {
    VX_AUTO(vx_fp_batch) b = vx_new(vx_fp_batch);
    if (!b || !(b->jobs = vx_new_array((size_t)n, sizeof *b->jobs)))
        return VX_FAIL(err, -ENOMEM, "no memory for %d fingerprints", n);
    b->track = track;
    b->work = work;
    b->pictures = pictures;
    b->n = n;
    for (int i = 0; i < n; i++)
        b->jobs[i] = (vx_reduce_job){.frame = pictures[i].frame,
                                     .box = vx_reduce_whole(pictures[i].frame),
                                     .trims = !track->no_bars};
    int rc = vx_reduce_on_card(b->jobs, n, work, &b->grids, &b->trimmed, err);
    if (!rc)
        *ret_batch = vx_take(b);
    return rc;
}

vx_fp_batch *vx_fp_batch_free(vx_fp_batch *batch) {
    if (batch)
        free(batch->jobs);
    free(batch);
    return NULL;
}

/* All that can fail for lack of memory on the card comes before the first hash is added: then the caller
 * can still add the pictures another way. */
int vx_fp_batch_add(vx_fp_batch *b, vx_err *err) {
    VX_AUTO_FREE vx_reduce_job *jobs = vx_new_array((size_t)b->n, sizeof *jobs);
    VX_AUTO_FREE int *which = vx_new_array((size_t)b->n, sizeof *which);
    vx_fp_track *track = b->track;
    float(*inside)[VX_PDQ_GRID][VX_PDQ_GRID];
    vx_fp_box *unused;
    int n = 0, rc = 0;
    if (!jobs || !which)
        return VX_FAIL(err, -ENOMEM, "no memory for %d fingerprints", b->n);
    for (int i = 0; i < b->n; i++)
        if (extend_box(track, &b->jobs[i].box, &b->trimmed[i])) {
            which[n] = i;
            jobs[n++] = (vx_reduce_job){.frame = b->pictures[i].frame, .box = track->box};
        }
    if (track->no_bars)
        n = 0;
    if (n > 0)
        rc = vx_reduce_on_card(jobs, n, b->work, &inside, &unused, err);
    if (n > 0 && !rc)
        rc = vx_card_wait(b->work, err);
    for (int i = 0; i < b->n && !rc; i++) {
        const vx_fp_picture *p = &b->pictures[i];
        rc =
            add_grid(&track->plain, b->grids[i], &b->jobs[i].box, p->frame->time_s, p->stored, err);
    }
    for (int i = 0; i < n && !rc; i++) {
        const vx_fp_picture *p = &b->pictures[which[i]];
        rc = add_grid(&track->inside, inside[i], &jobs[i].box, p->frame->time_s, p->stored, err);
    }
    return rc;
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
