/* embed_files.c — see the header. */
#include "embed_files.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/queue.h"
#include "base/thread.h"

#define TICK_US 200000   /* how soon an interruption is seen */
#define SAVE_US 10000000 /* how often the inventory is saved */
#define HASHERS_MAX 8
#define INSIDE_PER_WORKER 8
#define INSIDE_MAX 1000      /* ingest has room for more, also for those that have just ended */
#define INTERNAL_IN_A_ROW 16 /* the fault is not in the videos then: the run ends */
/* Of the work on a video that is cut at its shots: all its frames are decoded to find them. */
#define SHOTS_SHARE 0.75

struct run;

/* One file on its way. The run's thread owns it, except between handing it to a hasher or to ingest
 * and the post() that gives it back. */
typedef struct task {
    struct run *run;
    vx_batch_file *file;
    struct task *next_by_path;
    bool hashed;
    vx_upload *upload; /* of a hashed file; the ingest item's from submit on */
    uint8_t sha256[32];
    bool submitted;
    struct task *same_bytes; /* tasks whose files are like this one's: they end with it */
    bool cut_at_shots;
    int64_t bytes_done; /* the file's bytes times the share of its work that is done */
    int hash_rc;
    bool finished; /* ingest has ended with it: outcome and the fields below are set */
    vx_outcome outcome;
    char video_id[VX_VIDEO_ID_CHARS + 1];
    size_t n_clips;
    vx_err err;
    struct task *next;
} task;

typedef struct run {
    const vx_batch_run_context *c;
    vx_batch_report *report;
    vx_batch_counts counts;
    vx_queue *to_hash;
    pthread_t hashers[HASHERS_MAX];
    int n_hashers;
    size_t next;        /* of files->items */
    task *first, *last; /* inside, by path, but for those in a same_bytes list */
    int inside, limit;  /* tasks */
    int internal_in_a_row;
    int64_t saved_us;
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
    vx_ingest_begin_stop(r->c->parts->ingest);
}

/* ---- hashing ---- */

static void *run_hasher(void *ctx) {
    run *r = ctx;
    char path[PATH_MAX];
    for (task *t; (t = vx_queue_pop(r->to_hash)); post(t)) {
        t->hash_rc = vx_batch_file_path(r->c->input, t->file, path, &t->err);
        if (!t->hash_rc)
            t->hash_rc = vx_upload_external(path, &t->upload, &t->err);
        if (!t->hash_rc)
            memcpy(t->sha256, vx_upload_sha256(t->upload), sizeof t->sha256);
    }
    return NULL;
}

static int start_hashers(run *r, vx_err *err) {
    int wanted = r->c->parts->workers < HASHERS_MAX ? r->c->parts->workers : HASHERS_MAX;
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

static void end_failed(run *r, task *t, const char *outcome, bool internal) {
    vx_batch_say(r->c->progress, "%s: %s: %s", internal ? "failed" : "skipped", t->file->path,
                 t->err.msg);
    vx_err err;
    int rc = vx_batch_failures_add(r->c->failures, t->file->path, outcome, t->err.msg, &err);
    if (rc)
        stop(r, rc, &err);
    r->counts.failed++;
    r->report->n_internal += internal;
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
    int rc = vx_batch_inventory_add_file(r->c->inventory, t->video_id, t->file, stored_now, &err);
    if (rc)
        stop(r, rc, &err);
    r->internal_in_a_row = 0;
    if (stored_now) {
        r->report->n_new++;
        r->counts.clips += (int64_t)t->n_clips;
    } else {
        r->report->n_identical++;
    }
    end_task(r, t, true);
}

static void end_with_outcome(run *r, task *t) {
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
        end_failed(r, t, vx_outcome_name(t->outcome), vx_outcome_is_our_fault(t->outcome));
    }
}

static void unlink_task(run *r, task *t) {
    task *before = NULL;
    for (task *other = r->first; other != t; other = other->next_by_path)
        before = other;
    *(before ? &before->next_by_path : &r->first) = t->next_by_path;
    if (r->last == t)
        r->last = before;
}

/* Ends the task and those of files with the same bytes. */
static void on_finished(run *r, task *t) {
    unlink_task(r, t);
    for (task *same = t->same_bytes, *next; same; same = next) {
        next = same->same_bytes;
        same->outcome = t->outcome == VX_OUTCOME_OK ? VX_OUTCOME_EXISTING : t->outcome;
        same->err = t->err;
        strcpy(same->video_id, t->video_id);
        end_with_outcome(r, same);
    }
    end_with_outcome(r, t);
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
        share =
            phase == VX_PHASE_CLIP ? SHOTS_SHARE * share : SHOTS_SHARE + (1 - SHOTS_SHARE) * share;
    int64_t bytes = (int64_t)(share * (double)t->file->bytes);
    atomic_fetch_add(&t->run->bytes_done, bytes - t->bytes_done);
    t->bytes_done = bytes;
}

static vx_ingest_item *new_item(run *r, task *t) {
    VX_AUTO(vx_ingest_item) item = vx_new(vx_ingest_item);
    if (!item)
        return NULL;
    item->filename = strdup(t->file->path);
    item->metadata = vx_batch_inventory_metadata(r->c->inventory, t->file);
    if (!item->filename || !item->metadata)
        return NULL;
    item->upload = vx_take(t->upload);
    item->clip = r->c->parts->extractor->clip;
    item->frames = r->c->parts->extractor->frames;
    item->in_order = true;
    strcpy(item->request_id, "embed");
    item->done = on_done;
    item->on_phase = on_phase;
    item->ctx = t;
    return vx_take(item);
}

static void submit(run *r, task *t) {
    vx_ingest_item *item = new_item(r, t);
    vx_outcome refused = item ? vx_ingest_submit(r->c->parts->ingest, item) : VX_OUTCOME_INTERNAL;
    t->submitted = true;
    if (!refused)
        return;
    if (refused == VX_OUTCOME_BUSY)
        VX_FAIL(&t->err, -EAGAIN, "the ingest queue is full");
    else
        VX_FAIL(&t->err, -ENOMEM, "no memory to begin");
    t->outcome = refused == VX_OUTCOME_STOPPING ? refused : VX_OUTCOME_INTERNAL;
    on_finished(r, t);
}

/* An earlier file with the same bytes that ingest is working on; NULL: none. */
static task *find_same_bytes(const run *r, const task *t) {
    for (task *other = r->first; other != t; other = other->next_by_path)
        if (!memcmp(other->sha256, t->sha256, sizeof t->sha256))
            return other;
    return NULL;
}

/* Submits hashed files in the order of their paths, up to the first that is not hashed yet. */
static void submit_hashed(run *r) {
    task *next = r->first;
    for (task *t; (t = next) && (t->submitted || t->hashed);) {
        next = t->next_by_path;
        if (t->submitted)
            continue;
        bool ours = t->hash_rc == -ENOMEM || t->hash_rc == -EMFILE || t->hash_rc == -ENFILE;
        task *leader = t->hash_rc ? NULL : find_same_bytes(r, t);
        if (r->stopping) {
            unlink_task(r, t);
            end_task(r, t, false);
        } else if (t->hash_rc) {
            unlink_task(r, t);
            end_failed(r, t, ours ? vx_outcome_name(VX_OUTCOME_INTERNAL) : "unreadable", ours);
        } else if (leader) {
            unlink_task(r, t);
            t->same_bytes = leader->same_bytes;
            leader->same_bytes = t;
        } else {
            submit(r, t);
        }
    }
}

/* ---- the loop ---- */

static void feed(run *r) {
    const vx_batch_files *files = r->c->files;
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
        *(r->last ? &r->last->next_by_path : &r->first) = t;
        r->last = t;
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

static void save_inventory(run *r) {
    int64_t now_us = vx_clock_monotonic_us();
    if (now_us - r->saved_us < SAVE_US)
        return;
    r->saved_us = now_us;
    vx_err err;
    int rc = vx_batch_inventory_save(r->c->inventory, &err);
    if (rc)
        stop(r, rc, &err);
}

static void loop(run *r) {
    while (r->inside || (!r->stopping && r->next < r->c->files->n)) {
        feed(r);
        for (task *t = r->inside ? wait_for_posted(r) : NULL, *next; t; t = next) {
            next = t->next;
            if (t->finished)
                on_finished(r, t);
            else
                t->hashed = true;
        }
        submit_hashed(r);
        if (r->c->interrupted() && !r->stopping) {
            vx_batch_say(r->c->progress, "stopping (once more to stop at once)");
            r->report->interrupted = true;
            stop(r, 0, NULL);
        }
        save_inventory(r);
        vx_batch_counts counts = r->counts;
        counts.bytes += atomic_load(&r->bytes_done);
        vx_batch_progress_show(r->c->progress, &counts);
    }
}

static void count_unchanged(run *r) {
    const vx_batch_files *files = r->c->files;
    for (size_t i = 0; i < files->n; i++) {
        if (!files->items[i].video)
            continue;
        r->report->n_unchanged++;
        r->counts.bytes += files->items[i].bytes;
    }
    r->counts.videos = r->report->n_unchanged;
    r->counts.failed = vx_batch_failures_count(r->c->failures);
    r->c->progress->total_videos = files->n;
    r->c->progress->total_bytes = files->bytes;
}

int vx_batch_embed_files(const vx_batch_run_context *context, vx_batch_report *report,
                         vx_err *err) {
    int limit = INSIDE_PER_WORKER * context->parts->workers;
    run r = {.c = context,
             .report = report,
             .limit = limit < INSIDE_MAX ? limit : INSIDE_MAX,
             .saved_us = vx_clock_monotonic_us()};
    vx_mutex_init(&r.mu);
    vx_cond_init(&r.arrived);
    count_unchanged(&r);
    vx_batch_progress_start(context->progress, &r.counts);
    int rc = start_hashers(&r, err);
    if (!rc)
        loop(&r);
    join_hashers(&r);
    vx_batch_progress_clear(context->progress);
    vx_cond_done(&r.arrived);
    vx_mutex_done(&r.mu);
    if (!rc && r.rc) {
        rc = r.rc;
        *err = r.err;
    }
    vx_err save_err;
    int save_rc = vx_batch_inventory_save(context->inventory, &save_err);
    if (!rc && save_rc) {
        rc = save_rc;
        *err = save_err;
    }
    return rc;
}
