/* decide.c — decisions: stored by the writer, and carried out by the thread of deletions.
 *
 * A decision and what it is to delete are rows. The thread takes what is due and deletes it (library/). The
 * deleting transaction notes that, and first checks that the decision still holds, that the very row that was meant
 * is there (a video that was deleted and uploaded again meanwhile is another one), and that a kept video that holds
 * it is stored: so decisions and deletions that cross never remove the last copy.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "duplicates_internal.h"

/* ---- storing and undoing ---- */

typedef struct change {
    vx_duplicates *duplicates;
    vx_decision *decision; /* to store, or the stored one that is undone */
    bool undo;
    vx_job *rejudge; /* the job that judges videos anew, if this made it */
} change;

/* Videos whose verdict, or that of another one about them, may no longer be right. */
static int mark_rejudged(change *c, vx_err *err) {
    vx_catalog *catalog = c->duplicates->params.collection->catalog;
    int rc = 0;
    for (size_t i = 0; i < c->decision->n && !rc; i++) {
        VX_AUTO(vx_video) video = NULL;
        rc = vx_catalog_get_video(catalog, c->decision->videos[i].id, &video, err);
        if (!rc)
            rc = vx_catalog_mark_rejudged(catalog, video->row, video->id, err);
        rc = rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
    }
    return rc ? rc : vx_library_begin_rejudge(c->duplicates->params.library, &c->rejudge, err);
}

static int apply_change(void *ctx, vx_err *err) {
    change *c = ctx;
    vx_catalog *catalog = c->duplicates->params.collection->catalog;
    int rc = c->undo ? vx_catalog_delete_decision(catalog, c->decision->row, err)
                     : vx_catalog_insert_decision(catalog, c->decision, err);
    return rc || c->decision->kind != VX_DECISION_UNRELATED ? rc : mark_rejudged(c, err);
}

static void undo_change(void *ctx) {
    change *c = ctx;
    vx_library_finish_rejudge(c->duplicates->params.library, vx_take(c->rejudge), -ECANCELED);
}

static int run_change(change *c, vx_err *err) {
    vx_duplicates *d = c->duplicates;
    int rc = vx_writer_run(d->params.writer, apply_change, undo_change, c, err);
    if (rc)
        return rc;
    vx_library_finish_rejudge(d->params.library, c->rejudge, 0);
    vx_duplicates_note_change(d);
    vx_mutex_lock(&d->mu);
    if (c->undo)
        d->stats.undone++;
    else
        d->stats.decisions++;
    d->decided = true;
    vx_cond_signal(&d->due);
    vx_mutex_unlock(&d->mu);
    return 0;
}

int vx_duplicates_decide(vx_duplicates *d, vx_decision *decision, vx_err *err) {
    change c = {.duplicates = d, .decision = decision};
    return run_change(&c, err);
}

int vx_duplicates_undo(vx_duplicates *d, int64_t row, vx_err *err) {
    vx_decision decision = {0};
    int rc = vx_catalog_get_decision(d->params.collection->catalog, row, &decision, err);
    change c = {.duplicates = d, .decision = &decision, .undo = true};
    if (!rc)
        rc = run_change(&c, err);
    vx_decision_clear(&decision);
    return rc;
}

/* ---- deleting what is due ---- */

enum { AT_ONCE = 64 };
#define AFTER_FAILURE_US (INT64_C(30) * 1000000)

typedef struct deletion {
    vx_mutex mu;
    vx_cond ended;
    size_t n_running VX_GUARDED;
} deletion;

typedef struct one_deletion {
    deletion *all;
    int rc;
    vx_err err;
} one_deletion;

static void on_deleted(void *ctx, int rc, const vx_err *err) {
    one_deletion *one = ctx;
    deletion *all = one->all;
    one->rc = rc;
    if (rc)
        one->err = *err;
    vx_mutex_lock(&all->mu);
    if (--all->n_running == 0)
        vx_cond_signal(&all->ended);
    vx_mutex_unlock(&all->mu);
}

typedef struct due_videos {
    vx_duplicates *duplicates;
    vx_decision_video videos[AT_ONCE];
    int64_t decisions[AT_ONCE];
    bool gone[AT_ONCE];    /* this deleted it */
    bool settled[AT_ONCE]; /* it stays, or was gone: to be noted */
    size_t n;
} due_videos;

/* All at once, so that they share commits. */
VX_NO_LOCK_ANALYSIS static int delete_videos(due_videos *due, vx_err *err) {
    vx_duplicates *d = due->duplicates;
    deletion all = {.n_running = 1};
    one_deletion one[AT_ONCE];
    int rc = 0;
    vx_mutex_init(&all.mu);
    vx_cond_init(&all.ended);
    for (size_t i = 0; i < due->n; i++) {
        one[i] = (one_deletion){.all = &all};
        vx_mutex_lock(&all.mu);
        all.n_running++;
        vx_mutex_unlock(&all.mu);
        vx_outcome refused = vx_library_delete_decided(d->params.library, due->videos[i].id,
                                                       due->decisions[i], on_deleted, &one[i]);
        if (refused) {
            vx_err why;
            on_deleted(&one[i], VX_FAIL(&why, -ESHUTDOWN, "the server is shutting down"), &why);
        }
    }
    vx_mutex_lock(&all.mu);
    all.n_running--;
    while (all.n_running)
        vx_cond_wait(&all.ended, &all.mu);
    vx_mutex_unlock(&all.mu);
    vx_cond_done(&all.ended);
    vx_mutex_done(&all.mu);
    for (size_t i = 0; i < due->n; i++) {
        due->gone[i] = !one[i].rc;
        due->settled[i] = one[i].rc == VX_CATALOG_NOT_FOUND || one[i].rc == -ESTALE;
        if (one[i].rc == -ESTALE)
            vx_log_failed(VX_LOG_WARN, VX_DUPLICATES_KIND, &one[i].err,
                          "video=%s decision=d%" PRIx64, due->videos[i].id,
                          (uint64_t)due->decisions[i]);
        if (due->gone[i] || due->settled[i])
            continue;
        if (err)
            *err = one[i].err;
        rc = one[i].rc;
    }
    return rc;
}

static int apply_settled(void *ctx, vx_err *err) {
    const due_videos *due = ctx;
    int rc = 0;
    for (size_t i = 0; i < due->n && !rc; i++)
        if (due->settled[i])
            rc = vx_catalog_set_deleted(due->duplicates->params.collection->catalog,
                                        due->decisions[i], due->videos[i].id, err);
    return rc;
}

static void count_deleted(const due_videos *due, int rc) {
    vx_duplicates *d = due->duplicates;
    vx_mutex_lock(&d->mu);
    for (size_t i = 0; i < due->n; i++) {
        d->stats.videos_deleted += due->gone[i];
        d->stats.bytes_deleted += due->gone[i] ? due->videos[i].bytes : 0;
    }
    d->stats.deletions_failed += rc != 0;
    vx_mutex_unlock(&d->mu);
}

/* ret_next_us: when there is more to do, UNIX time; 0 = when somebody decides. */
static int delete_due(vx_duplicates *d, int64_t *ret_next_us, vx_err *err) {
    due_videos due = {.duplicates = d};
    int rc = vx_catalog_find_due(d->params.collection->catalog, vx_clock_unix_us(), AT_ONCE,
                                 due.videos, due.decisions, &due.n, ret_next_us, err);
    if (rc || !due.n)
        return rc;
    *ret_next_us = 1; /* there may be more */
    rc = delete_videos(&due, err);
    vx_err ignored;
    int noted = vx_writer_run(d->params.writer, apply_settled, NULL, &due, rc ? &ignored : err);
    count_deleted(&due, rc);
    vx_duplicates_note_change(d);
    return rc ? rc : noted;
}

void *vx_duplicates_run_deleter(void *ctx) {
    vx_duplicates *d = ctx;
    vx_mutex_lock(&d->mu);
    while (!atomic_load(&d->stopping)) {
        int64_t next_us = 0;
        vx_err err;
        d->decided = false;
        vx_mutex_unlock(&d->mu);
        int rc = delete_due(d, &next_us, &err);
        if (rc && rc != -ESHUTDOWN)
            vx_log_failed(VX_LOG_ERROR, VX_DUPLICATES_KIND, &err,
                          "hint=\"what was decided is deleted later\"");
        int64_t wait_us = rc        ? AFTER_FAILURE_US
                          : next_us ? next_us - vx_clock_unix_us()
                                    : INT64_MAX / 4;
        int64_t until_us = vx_clock_monotonic_us() + (wait_us > 0 ? wait_us : 0);
        vx_mutex_lock(&d->mu);
        while (!atomic_load(&d->stopping) && !d->decided &&
               vx_cond_wait_until(&d->due, &d->mu, until_us))
            continue;
    }
    vx_mutex_unlock(&d->mu);
    return NULL;
}
