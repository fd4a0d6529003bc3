/* batch_missing.c — see the header. Workers share the list through a cursor; this thread draws. */
#include "missing.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "backfill/backfill.h"
#include "base/clock.h"
#include "base/thread.h"

#define TICK_US 200000 /* how soon an interruption is seen */
#define WORKERS_MAX 256

typedef struct lack {
    const vx_batch_file *file;
    unsigned models; /* bit i = server->models->items[i] */
} lack;

typedef struct filling {
    const vx_batch_params *p;
    vx_batch_result *result;
    lack *lacks; /* [n] in order of files */
    size_t n, capacity;
    atomic_size_t next; /* of lacks, that nobody has taken */
    atomic_bool stop;
    int decode_threads; /* of each worker */

    vx_mutex mu; /* also for what may be used by one thread at a time: failures, stderr */
    vx_cond ended;
    int running VX_GUARDED; /* workers */
    vx_batch_counts counts VX_GUARDED;
    int rc VX_GUARDED; /* why it ends early, when that is a failure */
    vx_err err VX_GUARDED;
} filling;

/* ---- what is missing ---- */

static unsigned models_lacking(vx_server *server, const vx_video *video) {
    unsigned models = 0;
    for (int m = 0; m < server->models->n; m++)
        for (size_t i = 0; i < video->n_clips; i++)
            if (!vx_index_has(server->models->items[m].index, video->clips[i].row))
                models |= 1U << m;
    return models;
}

static int look_at(filling *f, const vx_batch_file *file, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    vx_server *server = f->p->server;
    int rc = vx_catalog_get_video(server->catalog, file->video->id, &video, err);
    unsigned models = rc ? 0 : models_lacking(server, video);
    if (!models)
        return rc;
    if (!vx_make_room(f->lacks, f->n, f->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", f->n + 1);
    f->lacks[f->n++] = (lack){file, models};
    f->p->progress->total_bytes += file->bytes;
    return 0;
}

static int look(filling *f, vx_err *err) {
    VX_AUTO_FREE vx_batch_file **files = NULL;
    size_t n = 0;
    int64_t missing = 0;
    int rc = 0;
    for (int m = 0; m < f->p->server->models->n && !rc && !missing; m++)
        rc = vx_models_count_missing(&f->p->server->models->items[m], f->p->server->catalog,
                                     &missing, err);
    if (!rc && missing)
        rc = vx_batch_library_files(f->p->library, true, &files, &n, err);
    f->p->progress->total_bytes = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = look_at(f, files[i], err);
    f->p->progress->total_videos = f->n;
    return rc;
}

/* ---- the work ---- */

static bool is_over(void *ctx) {
    return atomic_load(&((filling *)ctx)->stop);
}

static vx_outcome fill(filling *f, const lack *l, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    char path[PATH_MAX];
    if (vx_catalog_get_video(f->p->server->catalog, l->file->video->id, &video, err))
        return VX_OUTCOME_INTERNAL;
    if (snprintf(path, sizeof path, "%s/%s", f->p->input, l->file->path) >= (int)sizeof path) {
        VX_FAIL(err, -ENAMETOOLONG, "its path is too long");
        return VX_OUTCOME_MEDIA_DAMAGED;
    }
    vx_extract_watch watch = {.cancelled = is_over, .ctx = f};
    const vx_server *server = f->p->server;
    vx_missing_vectors want = {
        .extractor = &server->extractor,
        .collection = server->collection,
        .writer = server->writer,
        .video = video,
        .path = path,
        .models = l->models,
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

static void report_locked(filling *f, const lack *l, vx_outcome outcome, const vx_err *why)
    VX_REQUIRES(&f->mu) {
    vx_err err;
    f->counts.videos++;
    f->counts.bytes += l->file->bytes;
    if (!outcome) {
        f->result->filled++;
        return;
    }
    bool internal = outcome == VX_OUTCOME_INTERNAL;
    f->counts.bad++;
    f->result->internal += internal;
    vx_batch_say(f->p->progress, "%s: %s: %s", internal ? "failed" : "skipped", l->file->path,
                 why->msg);
    int rc = vx_batch_failures_add(f->p->failures, l->file->path, vx_outcome_name(outcome),
                                   why->msg, &err);
    if (rc)
        fail_locked(f, rc, &err);
}

static void *run_worker(void *ctx) {
    filling *f = ctx;
    while (!is_over(f)) {
        size_t i = atomic_fetch_add(&f->next, 1);
        if (i >= f->n)
            break;
        vx_err err = {0};
        vx_outcome outcome = fill(f, &f->lacks[i], &err);
        vx_mutex_lock(&f->mu);
        if (outcome == VX_OUTCOME_NO_SPACE)
            fail_locked(f, -ENOSPC, &err);
        else if (!outcome || !is_over(f)) /* else whatever failed may have failed for that */
            report_locked(f, &f->lacks[i], outcome, &err);
        vx_mutex_unlock(&f->mu);
    }
    vx_mutex_lock(&f->mu);
    f->running--;
    vx_cond_signal(&f->ended);
    vx_mutex_unlock(&f->mu);
    return NULL;
}

static int start_workers(filling *f, pthread_t *workers, int *ret_n, vx_err *err) {
    int wanted = f->p->workers < WORKERS_MAX ? f->p->workers : WORKERS_MAX, n = 0, rc = 0;
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
        if (atomic_load(f->p->interrupted) && !atomic_exchange(&f->stop, true)) {
            vx_batch_say(f->p->progress, "stopping (once more to stop at once)");
            f->result->interrupted = true;
        }
        vx_batch_progress_show(f->p->progress, &f->counts);
    }
    vx_mutex_unlock(&f->mu);
}

static int run_workers(filling *f, vx_err *err) {
    pthread_t workers[WORKERS_MAX];
    int n;
    vx_batch_progress_start(f->p->progress, &(vx_batch_counts){0});
    int rc = start_workers(f, workers, &n, err);
    if (rc)
        atomic_store(&f->stop, true);
    watch_workers(f);
    while (n > 0)
        pthread_join(workers[--n], NULL);
    vx_batch_progress_clear(f->p->progress);
    vx_mutex_lock(&f->mu);
    f->result->lacking = f->n - f->counts.videos;
    if (!rc && f->rc)
        *err = f->err;
    rc = rc ? rc : f->rc;
    vx_mutex_unlock(&f->mu);
    return rc;
}

/* Nobody can need them any more; what cannot be given up now is by a later run. */
static int give_up_old_digests(vx_server *server, vx_err *err) {
    int rc = 0;
    for (int m = 0; m < server->models->n && !rc; m++)
        rc = vx_library_retire_old_digests(server->library, &server->models->items[m], err);
    return rc;
}

int vx_batch_fill_missing(const vx_batch_params *params, vx_batch_result *result, vx_err *err) {
    filling f = {.p = params, .result = result};
    size_t failed_before = vx_batch_failures_count(params->failures);
    vx_mutex_init(&f.mu);
    vx_cond_init(&f.ended);
    int rc = look(&f, err);
    if (!rc && f.n)
        rc = run_workers(&f, err);
    bool all = vx_batch_failures_count(params->failures) == failed_before;
    if (!rc && all && !result->interrupted)
        rc = give_up_old_digests(params->server, err);
    free(f.lacks);
    vx_cond_done(&f.ended);
    vx_mutex_done(&f.mu);
    return rc;
}
