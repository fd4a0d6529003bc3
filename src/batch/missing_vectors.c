/* missing_vectors.c — see the header. Workers take videos off one list; the calling thread draws. */
#include "missing_vectors.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "backfill/backfill.h"
#include "base/clock.h"
#include "base/thread.h"

#define TICK_US 200000 /* how soon an interruption is seen */

typedef struct incomplete {
    const vx_batch_file *file; /* of the video */
    unsigned models;           /* whose vectors it is missing; bit i = models->items[i] */
} incomplete;

typedef struct filling {
    const vx_batch_run_context *c;
    vx_batch_report *report;
    incomplete *videos; /* [n] in order of files */
    size_t n, capacity;
    atomic_size_t next; /* of videos, that no worker has taken */
    atomic_bool stop;
    int decode_threads; /* of each worker */

    vx_mutex mu; /* also for what one thread at a time may use: failures, report, stderr */
    vx_cond ended;
    int running VX_GUARDED; /* workers */
    vx_batch_counts counts VX_GUARDED;
    int rc VX_GUARDED; /* why it ends early, when that is a failure */
    vx_err err VX_GUARDED;
} filling;

/* ---- what is missing ---- */

static unsigned missing_models(const vx_batch_parts *parts, const vx_video *video) {
    unsigned models = 0;
    for (int m = 0; m < parts->collection->models->n; m++)
        for (size_t i = 0; i < video->n_clips; i++)
            if (!vx_index_has(parts->collection->models->items[m].index, video->clips[i].row))
                models |= 1U << m;
    return models;
}

static int add_if_incomplete(filling *f, const vx_batch_file *file, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    int rc = vx_catalog_get_video(f->c->parts->collection->catalog, file->video->id, &video, err);
    unsigned models = rc ? 0 : missing_models(f->c->parts, video);
    if (!models)
        return rc;
    if (!vx_make_room(f->videos, f->n, f->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", f->n + 1);
    f->videos[f->n++] = (incomplete){file, models};
    f->c->progress->total_bytes += file->bytes;
    return 0;
}

static int find_incomplete(filling *f, vx_err *err) {
    VX_AUTO_FREE vx_batch_file **files = NULL;
    size_t n = 0;
    int64_t missing = 0;
    const vx_models *models = f->c->parts->collection->models;
    int rc = 0;
    for (int m = 0; m < models->n && !rc && !missing; m++)
        rc = vx_models_count_missing(&models->items[m], f->c->parts->collection->catalog, &missing,
                                     err);
    if (!rc && missing)
        rc = vx_batch_inventory_files(f->c->inventory, true, &files, &n, err);
    f->c->progress->total_bytes = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = add_if_incomplete(f, files[i], err);
    f->c->progress->total_videos = f->n;
    return rc;
}

/* ---- the work ---- */

static bool is_stopped(void *ctx) {
    return atomic_load(&((filling *)ctx)->stop);
}

static vx_outcome fill_video(filling *f, const incomplete *i, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    char path[PATH_MAX];
    if (vx_catalog_get_video(f->c->parts->collection->catalog, i->file->video->id, &video, err))
        return VX_OUTCOME_INTERNAL;
    if (vx_batch_file_path(f->c->input, i->file, path, err))
        return VX_OUTCOME_MEDIA_DAMAGED;
    vx_extract_watch watch = {.cancelled = is_stopped, .ctx = f};
    const vx_missing_vectors want = {
        .extractor = f->c->parts->extractor,
        .collection = f->c->parts->collection,
        .writer = f->c->parts->writer,
        .video = video,
        .path = path,
        .models = i->models,
        .decode_threads = f->decode_threads,
        .watch = &watch,
    };
    return vx_missing_vectors_make(&want, err);
}

static void fail_locked(filling *f, int rc, const vx_err *err) VX_REQUIRES(&f->mu) {
    if (!f->rc) {
        f->rc = rc;
        f->err = *err;
    }
    atomic_store(&f->stop, true);
}

static void report_locked(filling *f, const incomplete *i, vx_outcome outcome, const vx_err *why)
    VX_REQUIRES(&f->mu) {
    vx_err err;
    f->counts.videos++;
    f->counts.bytes += i->file->bytes;
    if (!outcome) {
        f->report->n_filled++;
        return;
    }
    bool internal = vx_outcome_is_our_fault(outcome);
    f->counts.failed++;
    f->report->n_internal += internal;
    vx_batch_say(f->c->progress, "%s: %s: %s", internal ? "failed" : "skipped", i->file->path,
                 why->msg);
    int rc = vx_batch_failures_add(f->c->failures, i->file->path, vx_outcome_name(outcome),
                                   why->msg, &err);
    if (rc)
        fail_locked(f, rc, &err);
}

static void *run_worker(void *ctx) {
    filling *f = ctx;
    while (!is_stopped(f)) {
        size_t i = atomic_fetch_add(&f->next, 1);
        if (i >= f->n)
            break;
        vx_err err = {0};
        vx_outcome outcome = fill_video(f, &f->videos[i], &err);
        vx_mutex_lock(&f->mu);
        if (outcome == VX_OUTCOME_NO_SPACE)
            fail_locked(f, -ENOSPC, &err);
        else if (!outcome || !is_stopped(f)) /* a failure after a stop may come from the stop */
            report_locked(f, &f->videos[i], outcome, &err);
        vx_mutex_unlock(&f->mu);
    }
    vx_mutex_lock(&f->mu);
    f->running--;
    vx_cond_signal(&f->ended);
    vx_mutex_unlock(&f->mu);
    return NULL;
}

static int start_workers(filling *f, pthread_t *workers, int *ret_n, vx_err *err) {
    int wanted = f->c->parts->workers, n = 0, rc = 0;
    if (f->n < (size_t)wanted)
        wanted = (int)f->n;
    f->decode_threads = vx_thread_cores() / wanted < 2 ? 2 : vx_thread_cores() / wanted;
    while (!rc && n < wanted) {
        rc = vx_thread_start(&workers[n], "vx-missing", run_worker, f, err);
        n += !rc;
    }
    vx_mutex_lock(&f->mu);
    f->running += n;
    vx_mutex_unlock(&f->mu);
    *ret_n = n;
    return rc;
}

static void watch_workers(filling *f) {
    vx_mutex_lock(&f->mu);
    while (f->running > 0) {
        vx_cond_wait_until(&f->ended, &f->mu, vx_clock_monotonic_us() + TICK_US);
        if (f->c->interrupted() && !atomic_exchange(&f->stop, true)) {
            vx_batch_say(f->c->progress, "stopping (once more to stop at once)");
            f->report->interrupted = true;
        }
        vx_batch_progress_show(f->c->progress, &f->counts);
    }
    vx_mutex_unlock(&f->mu);
}

static int run_workers(filling *f, vx_err *err) {
    VX_AUTO_FREE pthread_t *workers = vx_new_array((size_t)f->c->parts->workers, sizeof *workers);
    int n;
    if (!workers)
        return VX_FAIL(err, -ENOMEM, "no memory for the workers");
    vx_batch_progress_start(f->c->progress, &(vx_batch_counts){0});
    int rc = start_workers(f, workers, &n, err);
    if (rc)
        atomic_store(&f->stop, true);
    watch_workers(f);
    while (n > 0)
        pthread_join(workers[--n], NULL);
    vx_batch_progress_clear(f->c->progress);
    vx_mutex_lock(&f->mu);
    f->report->n_still_missing = f->n - f->counts.videos;
    if (!rc && f->rc)
        *err = f->err;
    rc = rc ? rc : f->rc;
    vx_mutex_unlock(&f->mu);
    return rc;
}

int vx_batch_fill_missing_vectors(const vx_batch_run_context *context, vx_batch_report *report,
                                  vx_err *err) {
    const vx_batch_parts *parts = context->parts;
    filling f = {.c = context, .report = report};
    size_t failed_before = vx_batch_failures_count(context->failures);
    vx_mutex_init(&f.mu);
    vx_cond_init(&f.ended);
    int rc = find_incomplete(&f, err);
    if (!rc && f.n)
        rc = run_workers(&f, err);
    bool complete =
        !report->interrupted && vx_batch_failures_count(context->failures) == failed_before;
    /* All vectors of the digests in use are there: those of others are of no use to anybody. */
    for (int m = 0; m < parts->collection->models->n && !rc && complete; m++)
        rc = vx_library_retire_old_digests(parts->library, &parts->collection->models->items[m],
                                           err);
    free(f.videos);
    vx_cond_done(&f.ended);
    vx_mutex_done(&f.mu);
    return rc;
}
