/* batch.c — see the header. */
#include "batch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/queue.h"
#include "base/thread.h"
#include "ingest/ingest.h"

#define TICK_US 200000    /* how soon an interruption is seen */
#define FLUSH_US 10000000 /* links of duplicates reach the disk this often */
#define HASHERS_MAX 8
#define INTERNAL_IN_A_ROW 16 /* then it is not the videos: the run ends */
#define CUT_SHARE 0.75 /* of the work on a video cut at shots: all its frames are decoded for it */

struct run;

/* One file on its way. Owned by the run's thread, but between a push and the post that answers it.
 */
typedef struct task {
    struct run *run;
    vx_batch_file *file;
    vx_upload *upload; /* hashed; the ingest item's from submit on */
    bool cut_at_shots;
    int64_t bytes_done; /* as many of the file's as the share of its work that is done */
    int hash_rc;
    bool finished; /* by ingest: outcome and the fields below are set */
    vx_outcome outcome;
    char video_id[VX_VIDEO_ID_CHARS + 1];
    size_t n_clips;
    vx_err err;
    struct task *next;
} task;

typedef struct run {
    const vx_batch_params *p;
    vx_batch_result *result;
    vx_batch_counts counts;
    vx_queue *to_hash;
    pthread_t hashers[HASHERS_MAX];
    int n_hashers;
    size_t next;       /* of files->items */
    int inside, limit; /* tasks */
    int internal_in_a_row;
    int64_t flushed_us;
    bool stopping;
    atomic_llong bytes_done; /* of the tasks inside */
    int rc;                  /* why, when the run ends early by a failure */
    vx_err err;

    vx_mutex mu;
    vx_cond arrived;
    task *posted VX_GUARDED; /* newest first */
} run;

static void post(task *t) {
    run *r = t->run;
    vx_mutex_lock(&r->mu);
    t->next = r->posted;
    r->posted = t;
    vx_cond_signal(&r->arrived);
    vx_mutex_unlock(&r->mu);
}

static void stop(run *r, int rc, const vx_err *err) {
    if (r->stopping)
        return;
    r->stopping = true;
    r->rc = rc;
    if (rc)
        r->err = *err;
    vx_ingest_begin_stop(r->p->server->ingest); /* what runs ends at its next picture */
}

/* ---- hashing ---- */

static void *run_hasher(void *ctx) {
    run *r = ctx;
    char path[PATH_MAX];
    for (task *t; (t = vx_queue_pop(r->to_hash)); post(t)) {
        if (snprintf(path, sizeof path, "%s/%s", r->p->input, t->file->path) < (int)sizeof path)
            t->hash_rc = vx_upload_external(path, &t->upload, &t->err);
        else
            t->hash_rc = VX_FAIL(&t->err, -ENAMETOOLONG, "its path is too long");
    }
    return NULL;
}

static int start_hashers(run *r, vx_err *err) {
    int wanted = r->p->workers < HASHERS_MAX ? r->p->workers : HASHERS_MAX;
    int rc = vx_queue_new((size_t)r->limit, &r->to_hash, err);
    for (; !rc && r->n_hashers < wanted; r->n_hashers += !rc)
        rc = vx_thread_start(&r->hashers[r->n_hashers], "vx-hash", run_hasher, r, err);
    return rc;
}

static void join_hashers(run *r) {
    if (r->to_hash)
        vx_queue_close(r->to_hash);
    for (int i = 0; i < r->n_hashers; i++)
        pthread_join(r->hashers[i], NULL);
    vx_queue_free(r->to_hash);
}

/* ---- the end of one file ---- */

static void end_task(run *r, task *t, bool counts) {
    if (counts) {
        r->counts.videos++;
        r->counts.bytes += t->file->bytes;
    }
    atomic_fetch_sub(&r->bytes_done, t->bytes_done);
    vx_upload_free(t->upload);
    free(t);
    r->inside--;
}

static void end_bad(run *r, task *t, const char *outcome, bool internal) {
    vx_batch_say(r->p->progress, "%s: %s: %s", internal ? "failed" : "skipped", t->file->path,
                 t->err.msg);
    vx_err err;
    int rc = vx_batch_failures_add(r->p->failures, t->file->path, outcome, t->err.msg, &err);
    if (rc)
        stop(r, rc, &err);
    r->counts.bad++;
    r->result->internal += internal;
    r->internal_in_a_row = internal ? r->internal_in_a_row + 1 : 0;
    if (r->internal_in_a_row == INTERNAL_IN_A_ROW) {
        VX_WRAP(&t->err, "%d videos in a row failed, the last", INTERNAL_IN_A_ROW);
        stop(r, -EIO, &t->err);
    }
    end_task(r, t, true);
}

static void end_stored(run *r, task *t) {
    bool stored_now = t->outcome == VX_OUTCOME_OK;
    vx_err err;
    int rc = vx_batch_library_link(r->p->library, t->video_id, t->file, stored_now, &err);
    if (rc)
        stop(r, rc, &err);
    r->internal_in_a_row = 0;
    if (stored_now) {
        r->result->embedded++;
        r->counts.clips += (int64_t)t->n_clips;
    } else {
        r->result->duplicates++;
    }
    end_task(r, t, true);
}

static void on_finished(run *r, task *t) {
    switch (t->outcome) {
    case VX_OUTCOME_OK:
    case VX_OUTCOME_EXISTING:
        end_stored(r, t);
        return;
    case VX_OUTCOME_STOPPING:
        end_task(r, t, false);
        return;
    case VX_OUTCOME_NO_SPACE:
        stop(r, -ENOSPC, &t->err);
        end_task(r, t, false);
        return;
    default:
        end_bad(r, t, vx_outcome_name(t->outcome), t->outcome == VX_OUTCOME_INTERNAL);
    }
}

/* ---- from hashed to ingest ---- */

static void on_done(void *ctx, vx_ingest_result *result) {
    task *t = ctx;
    t->finished = true;
    t->outcome = result->outcome;
    t->err = result->err;
    if (result->video) {
        strcpy(t->video_id, result->video->id);
        t->n_clips = result->video->n_clips;
    }
    post(t);
}

/* On an ingest thread; the task is not ended yet. */
static void on_phase(void *ctx, vx_phase phase, int64_t done, int64_t total) {
    task *t = ctx;
    if (total <= 0 || (phase != VX_PHASE_CLIP && phase != VX_PHASE_FRAMES))
        return;
    double share = (double)done / (double)total;
    t->cut_at_shots |= phase == VX_PHASE_CLIP;
    if (t->cut_at_shots)
        share = phase == VX_PHASE_CLIP ? CUT_SHARE * share : CUT_SHARE + (1 - CUT_SHARE) * share;
    int64_t bytes = (int64_t)(share * (double)t->file->bytes);
    atomic_fetch_add(&t->run->bytes_done, bytes - t->bytes_done);
    t->bytes_done = bytes;
}

static vx_ingest_item *new_item(run *r, task *t) {
    VX_AUTO(vx_ingest_item) item = vx_new(vx_ingest_item);
    if (!item)
        return NULL;
    item->filename = strdup(t->file->path);
    item->metadata = vx_batch_library_metadata(r->p->library, t->file);
    if (!item->filename || !item->metadata)
        return NULL;
    item->upload = vx_take(t->upload);
    item->clip = r->p->server->extractor.clip;
    strcpy(item->request_id, "embed");
    item->done = on_done;
    item->on_phase = on_phase;
    item->ctx = t;
    return vx_take(item);
}

static void on_hashed(run *r, task *t) {
    bool ours = t->hash_rc == -ENOMEM || t->hash_rc == -EMFILE || t->hash_rc == -ENFILE;
    if (r->stopping) {
        end_task(r, t, false);
        return;
    }
    if (t->hash_rc) {
        end_bad(r, t, ours ? vx_outcome_name(VX_OUTCOME_INTERNAL) : "unreadable", ours);
        return;
    }
    vx_ingest_item *item = new_item(r, t);
    vx_outcome refused = item ? vx_ingest_submit(r->p->server->ingest, item) : VX_OUTCOME_INTERNAL;
    if (!refused)
        return;
    if (refused == VX_OUTCOME_BUSY)
        VX_FAIL(&t->err, -EAGAIN, "the ingest queue is full");
    else
        VX_FAIL(&t->err, -ENOMEM, "no memory to begin");
    t->outcome = refused == VX_OUTCOME_STOPPING ? refused : VX_OUTCOME_INTERNAL;
    on_finished(r, t);
}

/* ---- the loop ---- */

static void feed(run *r) {
    const vx_batch_files *files = r->p->files;
    for (; !r->stopping && r->inside < r->limit && r->next < files->n; r->next++) {
        if (files->items[r->next].video)
            continue;
        task *t = vx_new(task);
        if (!t) {
            vx_err err;
            stop(r, VX_FAIL(&err, -ENOMEM, "no memory for a video"), &err);
            return;
        }
        t->run = r;
        t->file = &files->items[r->next];
        r->inside++;
        vx_queue_try_push(r->to_hash, t); /* has room for all that are inside */
    }
}

static task *wait_for_posted(run *r) {
    int64_t until_us = vx_clock_monotonic_us() + TICK_US;
    vx_mutex_lock(&r->mu);
    while (!r->posted && vx_cond_wait_until(&r->arrived, &r->mu, until_us))
        ;
    task *posted = r->posted;
    r->posted = NULL;
    vx_mutex_unlock(&r->mu);
    return posted;
}

static void keep_links(run *r) {
    int64_t now_us = vx_clock_monotonic_us();
    if (now_us - r->flushed_us < FLUSH_US)
        return;
    r->flushed_us = now_us;
    vx_err err;
    int rc = vx_batch_library_flush(r->p->library, &err);
    if (rc)
        stop(r, rc, &err);
}

static void loop(run *r) {
    while (r->inside || (!r->stopping && r->next < r->p->files->n)) {
        feed(r);
        for (task *t = r->inside ? wait_for_posted(r) : NULL, *next; t; t = next) {
            next = t->next;
            if (t->finished)
                on_finished(r, t);
            else
                on_hashed(r, t);
        }
        if (atomic_load(r->p->interrupted) && !r->stopping) {
            vx_batch_say(r->p->progress, "stopping (once more to stop at once)");
            r->result->interrupted = true;
            stop(r, 0, NULL);
        }
        keep_links(r);
        vx_batch_counts counts = r->counts;
        counts.bytes += atomic_load(&r->bytes_done);
        vx_batch_progress_show(r->p->progress, &counts);
    }
}

static void count_known(run *r) {
    const vx_batch_files *files = r->p->files;
    for (size_t i = 0; i < files->n; i++) {
        if (!files->items[i].video)
            continue;
        r->result->known++;
        r->counts.bytes += files->items[i].bytes;
    }
    r->counts.videos = r->result->known;
    r->counts.bad = vx_batch_failures_count(r->p->failures);
    r->p->progress->total_videos = files->n;
    r->p->progress->total_bytes = files->bytes;
}

int vx_batch_run(const vx_batch_params *params, vx_batch_result *ret_result, vx_err *err) {
    *ret_result = (vx_batch_result){0};
    run r = {.p = params,
             .result = ret_result,
             .limit = 2 * params->workers,
             .flushed_us = vx_clock_monotonic_us()};
    vx_mutex_init(&r.mu);
    vx_cond_init(&r.arrived);
    count_known(&r);
    vx_batch_progress_start(params->progress, &r.counts);
    int rc = start_hashers(&r, err);
    if (!rc)
        loop(&r);
    join_hashers(&r);
    vx_batch_progress_clear(params->progress);
    vx_cond_done(&r.arrived);
    vx_mutex_done(&r.mu);
    if (r.rc)
        *err = r.err;
    rc = rc ? rc : r.rc;
    vx_err flush_err;
    int flush_rc = vx_batch_library_flush(params->library, &flush_err);
    if (!rc && flush_rc)
        *err = flush_err;
    return rc ? rc : flush_rc;
}
