/* compare.c — what a store has, against what it must have.
 *
 * Every id and digest is read once; of the clips that are right one bit is kept. What differs is sent through
 * the changes, as everything else is: the comparison marks its videos as changed and sends nothing itself. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "stores_internal.h"

typedef struct comparison {
    vx_follower *f;
    uint64_t *seen; /* [n_words] a bit for each clip row that is right */
    size_t n_words;
    vx_video *video; /* of the point before */
    float *vector;   /* [dim] */
    int64_t *marked; /* [n_marked] videos to send again */
    size_t n_marked, marked_capacity;
    char (*stray)[VX_CLIP_ID_CHARS + 1]; /* [n_stray] */
    size_t n_stray, stray_capacity;
    int64_t points, foreign, differing, missing;
} comparison;

static bool has_seen(const comparison *c, int64_t clip) {
    size_t word = (size_t)clip / 64;
    return word < c->n_words && (c->seen[word] >> clip % 64 & 1);
}

static int note_seen(comparison *c, int64_t clip, vx_err *err) {
    size_t word = (size_t)clip / 64;
    if (word >= c->n_words) {
        size_t n = 2 * (word + 1);
        uint64_t *grown = vx_regrow(c->seen, n, sizeof *grown);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for a comparison");
        memset(grown + c->n_words, 0, (n - c->n_words) * sizeof *grown);
        c->seen = grown;
        c->n_words = n;
    }
    c->seen[word] |= (uint64_t)1 << clip % 64;
    return 0;
}

static int mark(comparison *c, int64_t video, vx_err *err) {
    if (c->n_marked && c->marked[c->n_marked - 1] == video)
        return 0;
    if (!vx_make_room(c->marked, c->n_marked, c->marked_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a comparison");
    c->marked[c->n_marked++] = video;
    return 0;
}

static int note_stray(comparison *c, const char *id, vx_err *err) {
    if (!vx_make_room(c->stray, c->n_stray, c->stray_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a comparison");
    snprintf(c->stray[c->n_stray++], sizeof *c->stray, "%s", id);
    return 0;
}

/* The points of a video often follow each other. */
static int find_video(comparison *c, const char *id, vx_err *err) {
    char video[VX_VIDEO_ID_CHARS + 1];
    snprintf(video, sizeof video, "%.*s", VX_VIDEO_ID_CHARS, id);
    if (c->video && !strcmp(c->video->id, video))
        return 0;
    c->video = vx_video_free(c->video);
    return vx_catalog_get_video(c->f->params.catalog, video, &c->video, err);
}

static int on_point(void *ctx, const char *id, const char *digest, vx_err *err) {
    comparison *c = ctx;
    c->points++;
    if (!vx_outside_is_clip_id(id)) {
        c->foreign++;
        return 0;
    }
    int rc = find_video(c, id, err);
    if (rc == VX_CATALOG_NOT_FOUND)
        return note_stray(c, id, err);
    if (rc)
        return rc;
    size_t index = strtoul(id + VX_VIDEO_ID_CHARS + 1, NULL, 10);
    if (index >= c->video->n_clips)
        return note_stray(c, id, err);
    const vx_clip *clip = &c->video->clips[index];
    vx_point point;
    rc = vx_point_make(c->f, c->video, clip, c->vector, &point, err);
    if (rc == VX_CATALOG_NOT_FOUND || rc == -EIO)
        return note_stray(c, id, err);
    if (rc)
        return rc;
    /* One that is there twice is replaced by one, too. */
    if (strcmp(point.id, id) != 0 || strcmp(point.digest, digest) != 0 || has_seen(c, clip->row)) {
        c->differing++;
        return mark(c, c->video->row, err);
    }
    return note_seen(c, clip->row, err);
}

static int on_clip(void *ctx, int64_t video, const vx_clip *clip, vx_err *err) {
    comparison *c = ctx;
    if (has_seen(c, clip->row))
        return vx_follower_must_end(c->f) ? VX_FAIL(err, VX_OUTSIDE_AWAY, "stopping") : 0;
    vx_err unread;
    int rc = vx_catalog_get_vector(c->f->params.catalog, c->f->row.space, clip->row, c->vector,
                                   c->f->dim, &unread);
    if (rc == VX_CATALOG_NOT_FOUND || rc == -EIO)
        return 0;
    if (rc) {
        *err = unread;
        return rc;
    }
    c->missing++;
    return mark(c, video, err);
}

static int remove_strays(comparison *c, vx_err *err) {
    size_t most = (size_t)c->f->url.kind->max_points;
    int rc = 0;
    for (size_t at = 0; at < c->n_stray && !rc; at += most) {
        size_t n = c->n_stray - at < most ? c->n_stray - at : most;
        rc = c->f->outside->kind->remove(
            c->f->outside, (const char(*)[VX_CLIP_ID_CHARS + 1]) c->stray + at, n, err);
    }
    return rc;
}

/* In one transaction with the end of the comparison. */
static int apply(void *ctx, vx_err *err) {
    comparison *c = ctx;
    int rc = 0;
    for (size_t i = 0; i < c->n_marked && !rc; i++)
        rc = vx_catalog_mark_changed(c->f->params.catalog, c->marked[i], err);
    return rc ? rc : vx_catalog_update_outside(c->f->params.catalog, &c->f->row, err);
}

static int compare(comparison *c, vx_err *err) {
    vx_follower *f = c->f;
    int64_t sent = 0;
    /* What changes from here on is sent anyway, and what changed before is compared. */
    int rc = vx_catalog_last_change(f->params.catalog, &sent, err);
    if (!rc)
        rc = f->outside->kind->list(f->outside, on_point, c, err);
    if (!rc)
        rc = vx_catalog_scan_clips(f->params.catalog, on_clip, c, err);
    if (!rc)
        rc = remove_strays(c, err);
    if (rc)
        return rc;
    f->row.sent = sent;
    f->row.check_due = 0;
    f->row.checked_us = vx_clock_unix_us();
    f->row.refused = 0;
    rc = vx_writer_run(f->params.writer, apply, NULL, c, err);
    vx_mutex_lock(&f->mu);
    f->view.check_due = rc != 0;
    f->view.checked_us = f->row.checked_us;
    f->view.refused = 0;
    f->view.points = c->points;
    f->view.foreign = c->foreign;
    f->view.differing = c->differing;
    f->view.missing = c->missing;
    f->view.stray = (int64_t)c->n_stray;
    vx_mutex_unlock(&f->mu);
    if (rc)
        f->row.check_due = 1;
    return rc;
}

int vx_follower_compare(vx_follower *f, vx_err *err) {
    comparison c = {.f = f, .vector = vx_new_array((size_t)f->dim, sizeof *c.vector)};
    int rc = c.vector ? compare(&c, err) : VX_FAIL(err, -ENOMEM, "no memory for a comparison");
    vx_video_free(c.video);
    free(c.seen);
    free(c.vector);
    free(c.marked);
    free(c.stray);
    return rc;
}
