/* follow.c — one store, kept equal by a thread of its own. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fetch/fetch.h"
#include "stores_internal.h"

enum { PAGE = 256, IDLE_US = 1000000, MAX_WAIT_S = 60 };

static const char *const state_names[] = {
    [VX_STORE_CONNECTING] = "connecting", [VX_STORE_CHECKING] = "checking",
    [VX_STORE_SENDING] = "sending",       [VX_STORE_EQUAL] = "equal",
    [VX_STORE_WAITING] = "waiting",       [VX_STORE_BLOCKED] = "blocked",
};

const char *vx_store_state_name(vx_store_state state) {
    return state_names[state];
}

int vx_follower_new(const vx_stores_params *params, atomic_bool *stopping, vx_outside_row *row,
                    vx_follower **ret_follower, vx_err *err) {
    vx_follower *f = vx_new(vx_follower);
    if (!f)
        return VX_FAIL(err, -ENOMEM, "no memory for a store");
    int rc = vx_outside_parse(row->url, &f->url, err);
    if (rc) {
        free(f);
        return rc;
    }
    f->params = *params;
    f->stopping = stopping;
    f->row = *row;
    row->url = NULL;
    vx_mutex_init(&f->mu);
    vx_cond_init(&f->wake);
    vx_mutex_lock(&f->mu);
    vx_store_view *view = &f->view;
    snprintf(view->name, sizeof view->name, "%s", f->row.name);
    snprintf(view->model, sizeof view->model, "%s", f->row.model);
    snprintf(view->url, sizeof view->url, "%s", f->row.url);
    snprintf(view->kind, sizeof view->kind, "%s", f->url.kind->name);
    view->created_us = f->row.created_us;
    view->checked_us = f->row.checked_us;
    view->check_due = f->row.check_due;
    view->refused = f->row.refused;
    f->behind_since_us = vx_clock_monotonic_us();
    vx_mutex_unlock(&f->mu);
    *ret_follower = f;
    return 0;
}

void vx_follower_disconnect(vx_follower *f) {
    f->outside = vx_outside_close(f->outside);
}

vx_follower *vx_follower_free(vx_follower *f) {
    if (!f)
        return NULL;
    vx_follower_disconnect(f);
    vx_outside_row_clear(&f->row);
    vx_cond_done(&f->wake);
    vx_mutex_done(&f->mu);
    free(f);
    return NULL;
}

void vx_follower_wake(vx_follower *f) {
    vx_mutex_lock(&f->mu);
    f->asked = true;
    vx_cond_signal(&f->wake);
    vx_mutex_unlock(&f->mu);
}

static void set_state(vx_follower *f, vx_store_state state) {
    vx_mutex_lock(&f->mu);
    f->view.state = state;
    if (state < VX_STORE_WAITING)
        f->view.next_try_us = 0;
    if (state == VX_STORE_EQUAL) {
        f->view.equal_us = vx_clock_unix_us();
        f->behind_since_us = 0;
    } else if (!f->behind_since_us) {
        f->behind_since_us = vx_clock_monotonic_us();
    }
    vx_mutex_unlock(&f->mu);
}

/* ---- the catalog ---- */

static int apply_row(void *ctx, vx_err *err) {
    vx_follower *f = ctx;
    if (atomic_load(&f->check_asked)) /* since this round began */
        f->row.check_due = 1;
    return vx_catalog_update_outside(f->params.catalog, &f->row, err);
}

int vx_follower_save(vx_follower *f, vx_err *err) {
    int rc = vx_writer_run(f->params.writer, apply_row, NULL, f, err);
    vx_mutex_lock(&f->mu);
    f->view.checked_us = f->row.checked_us;
    f->view.check_due = f->row.check_due;
    f->view.refused = f->row.refused;
    vx_mutex_unlock(&f->mu);
    return rc;
}

/* The vectors of its model now; 0: there are none. */
static int find_space(vx_follower *f, int64_t *ret_space, vx_err *err) {
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_vector_spaces(f->params.catalog, &spaces, &n, err);
    vx_model *model =
        f->params.models ? vx_models_find(f->params.models, f->row.model, NULL) : NULL;
    int64_t space = 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (!spaces[i].retired && !strcmp(spaces[i].model, f->row.model) &&
            (!f->params.models || (model && model->space == spaces[i].row))) {
            space = spaces[i].row;
            f->dim = spaces[i].dim;
        }
    if (!rc && !space)
        rc = VX_FAIL(err, VX_OUTSIDE_UNFIT, "the model %s is not loaded", f->row.model);
    *ret_space = space;
    return rc;
}

/* Another version of the model has other vectors: the store gets all anew. */
static int follow_model(vx_follower *f, vx_err *err) {
    int64_t space;
    int rc = find_space(f, &space, err);
    if (rc || space == f->row.space)
        return rc;
    f->row.space = space;
    f->row.sent = 0;
    f->row.check_due = 1;
    vx_follower_disconnect(f);
    return vx_follower_save(f, err);
}

/* ---- a round ---- */

static bool must_end(void *ctx) {
    return vx_follower_must_end(ctx);
}

static int connect_to(vx_follower *f, vx_err *err) {
    int rc = vx_outside_check_allowed(&f->params.access, &f->url, err);
    if (rc)
        return rc;
    set_state(f, VX_STORE_CONNECTING);
    rc = vx_outside_open(&f->params.access, &f->url, f->dim, &f->outside, err);
    if (rc)
        return rc;
    f->outside->cancelled = must_end;
    f->outside->ctx = f;
    rc = f->outside->kind->ensure(f->outside, err);
    vx_mutex_lock(&f->mu);
    memcpy(f->view.version, f->outside->version, sizeof f->view.version);
    vx_mutex_unlock(&f->mu);
    return rc;
}

static int add_clip(vx_points *batch, vx_follower *f, const vx_video *video, const vx_clip *clip,
                    vx_err *err) {
    size_t at = batch->n;
    int rc = vx_point_make(f, video, clip, batch->vectors + at * (size_t)f->dim, &batch->points[at],
                           err);
    if (rc == VX_CATALOG_NOT_FOUND || rc == -EIO) /* none, or a damaged one */
        return vx_points_remove(batch, video->id, clip->index, err);
    batch->n += !rc;
    return rc;
}

static bool is_full(const vx_points *batch) {
    return batch->n == batch->max || batch->n_removed >= batch->max;
}

/* Takes the video: the batch keeps it for as long as its points are in it. */
static int add_video(vx_points *batch, vx_follower *f, const vx_change *change, vx_video *video,
                     vx_err *err) {
    int rc = 0;
    if (!vx_make_room(batch->videos, batch->n_videos, batch->videos_capacity))
        rc = VX_FAIL(err, -ENOMEM, "no memory for a batch");
    for (size_t i = 0; i < video->n_clips && !rc; i++) {
        rc = add_clip(batch, f, video, &video->clips[i], err);
        if (!rc && is_full(batch))
            rc = vx_points_flush(batch, f, err);
    }
    for (int i = (int)video->n_clips; i < change->clips && !rc; i++)
        rc = vx_points_remove(batch, video->id, i, err);
    if (rc)
        vx_video_free(video);
    else
        batch->videos[batch->n_videos++] = video;
    return rc;
}

static int add_change(vx_points *batch, vx_follower *f, const vx_change *change, vx_err *err) {
    vx_video *video = NULL;
    int rc = change->deleted[0]
                 ? VX_CATALOG_NOT_FOUND
                 : vx_catalog_get_video_by_row(f->params.catalog, change->video, &video, err);
    if (!rc)
        return add_video(batch, f, change, video, err);
    /* Without an id it was deleted since this page was read: a later change says so. */
    if (rc != VX_CATALOG_NOT_FOUND)
        return rc;
    rc = 0;
    for (int i = 0; change->deleted[0] && i < change->clips && !rc; i++)
        rc = vx_points_remove(batch, change->deleted, i, err);
    return rc;
}

/* ret_n: how many changes there were. The place moves once the store has all of them. */
static int send_page(vx_follower *f, size_t *ret_n, vx_err *err) {
    vx_change changes[PAGE];
    int rc = vx_catalog_list_changes(f->params.catalog, f->row.sent, PAGE, changes, ret_n, err);
    if (rc || !*ret_n)
        return rc;
    set_state(f, VX_STORE_SENDING);
    vx_points batch;
    rc = vx_points_init(&batch, f, err);
    for (size_t i = 0; i < *ret_n && !rc; i++) {
        rc = add_change(&batch, f, &changes[i], err);
        if (!rc && is_full(&batch))
            rc = vx_points_flush(&batch, f, err);
    }
    if (!rc)
        rc = vx_points_flush(&batch, f, err);
    vx_points_done(&batch);
    if (rc)
        return rc;
    f->row.sent = changes[*ret_n - 1].seq;
    return vx_follower_save(f, err);
}

/* A round of a store of files. */
static int write_files(vx_follower *f, vx_err *err) {
    int64_t n = 0;
    int rc = vx_catalog_count_changes(f->params.catalog, f->row.sent, &n, err);
    if (!rc && (n || f->row.check_due)) {
        set_state(f, f->row.check_due ? VX_STORE_CHECKING : VX_STORE_SENDING);
        rc = vx_follower_write_files(f, err);
        if (!rc)
            rc = vx_follower_save(f, err);
    }
    if (!rc)
        set_state(f, VX_STORE_EQUAL);
    return rc;
}

int vx_follower_round(vx_follower *f, vx_err *err) {
    int rc = follow_model(f, err);
    if (!rc && !f->outside)
        rc = connect_to(f, err);
    if (atomic_exchange(&f->check_asked, false))
        f->row.check_due = 1;
    if (!rc && f->url.kind == &vx_outside_files)
        return write_files(f, err);
    if (!rc && f->row.check_due) {
        set_state(f, VX_STORE_CHECKING);
        rc = vx_follower_compare(f, err);
    }
    size_t n = 1;
    while (!rc && n && !vx_follower_must_end(f))
        rc = send_page(f, &n, err);
    if (!rc && !n)
        set_state(f, VX_STORE_EQUAL);
    return rc;
}

/* ---- its thread ---- */

static void note_failure(vx_follower *f, int rc, const vx_err *why, int wait_s) {
    vx_mutex_lock(&f->mu);
    bool first = f->view.state < VX_STORE_WAITING || strcmp(f->view.last_error, why->msg) != 0;
    f->view.failures++;
    f->view.last_error_us = vx_clock_unix_us();
    f->view.next_try_us = f->view.last_error_us + wait_s * 1000000LL;
    snprintf(f->view.last_error, sizeof f->view.last_error, "%.399s", why->msg);
    vx_mutex_unlock(&f->mu);
    set_state(f, rc == VX_OUTSIDE_UNFIT ? VX_STORE_BLOCKED : VX_STORE_WAITING);
    if (first)
        vx_log_failed(VX_LOG_WARN, "store", why, "name=%s kind=%s state=%s", f->row.name,
                      f->url.kind->name, rc == VX_OUTSIDE_UNFIT ? "blocked" : "waiting");
}

static void sleep_for(vx_follower *f, int64_t us) {
    int64_t until_us = vx_clock_monotonic_us() + us;
    vx_mutex_lock(&f->mu);
    while (!f->asked && !vx_follower_must_end(f) && vx_cond_wait_until(&f->wake, &f->mu, until_us))
        continue;
    f->asked = false;
    vx_mutex_unlock(&f->mu);
}

static void *run(void *ctx) {
    vx_follower *f = ctx;
    int wait_s = 1;
    while (!vx_follower_must_end(f)) {
        vx_err err = {0};
        int64_t start_us = vx_clock_monotonic_us();
        int rc = vx_follower_round(f, &err);
        int64_t took_us = vx_clock_monotonic_us() - start_us;
        if (rc && !vx_follower_must_end(f)) {
            vx_follower_disconnect(f);
            note_failure(f, rc, &err, wait_s);
            sleep_for(f, wait_s * 1000000LL);
            wait_s = wait_s < MAX_WAIT_S / 2 ? 2 * wait_s : MAX_WAIT_S;
        } else if (!rc) {
            wait_s = 1;
            /* Each upload changes the newest file: writing it anew must not keep the disk busy. */
            bool rests = f->url.kind == &vx_outside_files && took_us > IDLE_US / 3;
            sleep_for(f, rests ? 3 * took_us : IDLE_US);
        }
    }
    vx_follower_disconnect(f);
    atomic_store(&f->ended, true);
    return NULL;
}

int vx_follower_start(vx_follower *f, vx_err *err) {
    int rc = vx_thread_start(&f->thread, "vx-store", run, f, err);
    f->started = !rc;
    return rc;
}
