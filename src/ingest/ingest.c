/* ingest.c — the write path as a line of small stations.
 *
 *   submit → sealers (fsync) ────────┐
 *          → workers (PROBE … EMBED) ──┴→ committer (verdict and insert) → finish
 *
 *   submit → sealers (fsync; the item becomes a durable job) → workers → committer → finish
 *
 * The second line is a background item: its 202 promises that it survives, so it is durable before
 * anything is done with it. In the first nobody has been promised anything until the end, so the
 * disk writes while the processor decodes, and whichever ends last goes on to the committer. What
 * is on the disk when, in both: the bytes (fsync of the file, here), their name in the store (fsync
 * of its folder, vx_store_sync), the rows that speak of them (the transaction, commit.c), the answer.
 *
 * Sealing has threads of its own because it waits for the disk, not for a core: sixteen uploads
 * fsync side by side, and a 202 does not wait behind a two-hour film. At most `capacity` items are
 * inside; each queue has room for all of them, so a push inside never fails or waits.
 *
 * In-flight table: an item whose bytes are being worked on already waits as a follower and starts
 * over when the first one ends; it then finds the stored video (EXISTING), or takes its own turn.
 * So the same bytes are never embedded twice, and only one of two simultaneous uploads is new.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/thread.h"
#include "ingest_internal.h"

#define SEALERS 16

struct vx_ingest {
    vx_pool *sealers, *workers;
    int capacity;
    vx_mutex mu;
    vx_cond emptied;
    int inside VX_GUARDED;                /* items between submit and finish */
    vx_ingest_item *leaders VX_GUARDED;   /* in work, by ->next: one per digest */
    vx_ingest_item *followers VX_GUARDED; /* waiting for a leader of the same digest */
    vx_ingest_stats stats VX_GUARDED;
    atomic_int working;
};

vx_ingest_item *vx_ingest_item_free(vx_ingest_item *item) {
    if (!item)
        return NULL;
    vx_upload_free(item->upload);
    if (item->work) {
        vx_extract_clear(&item->work->extract);
        vx_verdict_look_clear(&item->work->look);
    }
    free(item->work);
    free(item->filename);
    free(item->metadata);
    free(item);
    return NULL;
}

/* ---- phases, statistics ---- */

static bool is_countable(vx_phase phase) {
    return phase != VX_PHASE_DONE && phase != VX_PHASE_FAILED;
}

void vx_ingest_enter_phase(vx_server *server, vx_ingest_item *item, vx_phase phase, int64_t done,
                           int64_t total) {
    vx_ingest_work *work = item->work;
    atomic_store(&work->done, done);
    atomic_store(&work->total, total);
    vx_phase before = (vx_phase)atomic_exchange(&work->phase, (int)phase);
    if (before == phase)
        return;
    struct vx_ingest *in = server->ingest;
    vx_mutex_lock(&in->mu);
    if (is_countable(before))
        in->stats.phase_now[before]--;
    if (is_countable(phase))
        in->stats.phase_now[phase]++;
    vx_mutex_unlock(&in->mu);
}

void vx_ingest_add_time(vx_server *server, vx_phase phase, int64_t us) {
    vx_mutex_lock(&server->ingest->mu);
    server->ingest->stats.phase_us[phase] += us;
    vx_mutex_unlock(&server->ingest->mu);
}

void vx_ingest_get_stats(vx_server *server, vx_ingest_stats *ret_stats) {
    struct vx_ingest *in = server->ingest;
    vx_mutex_lock(&in->mu);
    *ret_stats = in->stats;
    ret_stats->queued = (int64_t)vx_pool_count(in->workers);
    vx_mutex_unlock(&in->mu);
}

static void count_result_locked(struct vx_ingest *in, const vx_ingest_item *item,
                                const vx_ingest_result *result) VX_REQUIRES(&in->mu);

static void count_result_locked(struct vx_ingest *in, const vx_ingest_item *item,
                                const vx_ingest_result *result) {
    in->stats.finished[result->outcome]++;
    if (result->outcome != VX_OUTCOME_OK)
        return;
    in->stats.verdicts[result->verdict.kind]++;
    in->stats.bytes += vx_upload_bytes(item->upload);
    in->stats.clips += (int64_t)item->work->extract.n_clips;
    in->stats.frames_decoded += item->work->extract.stats.frames_decoded;
    in->stats.frames_total += item->work->extract.stats.frames_total;
}

/* ---- the in-flight table ---- */

static bool same_bytes(const vx_ingest_item *a, const vx_ingest_item *b) {
    return !memcmp(vx_upload_sha256(a->upload), vx_upload_sha256(b->upload), 32);
}

/* True: the item leads, or is cancelled and goes on to its end. False: it was parked behind the one
 * that leads. */
static bool lead_or_park(struct vx_ingest *in, vx_ingest_item *item) {
    vx_mutex_lock(&in->mu);
    bool taken = false, cancelled = atomic_load(&item->work->cancelled);
    for (vx_ingest_item *other = in->leaders; other && !taken; other = other->next)
        taken = same_bytes(other, item);
    if (!cancelled) {
        vx_ingest_item **list = taken ? &in->followers : &in->leaders;
        item->next = *list;
        *list = item;
    }
    vx_mutex_unlock(&in->mu);
    return cancelled || !taken;
}

static bool unlink_item(vx_ingest_item **list, const vx_ingest_item *item) {
    for (; *list; list = &(*list)->next) {
        if (*list != item)
            continue;
        *list = item->next;
        return true;
    }
    return false;
}

/* Followers that are cancelled, or whose bytes are those of `ended`, go back to the workers. */
static void release_locked(struct vx_ingest *in, const vx_ingest_item *ended) VX_REQUIRES(&in->mu) {
    for (vx_ingest_item **slot = &in->followers; *slot;) {
        vx_ingest_item *follower = *slot;
        if (!atomic_load(&follower->work->cancelled) && !(ended && same_bytes(follower, ended))) {
            slot = &follower->next;
            continue;
        }
        *slot = follower->next;
        follower->next = NULL;
        vx_pool_try_push(in->workers, follower); /* has room for every item inside */
    }
}

/* Takes the item out of the table. */
static void release_followers(struct vx_ingest *in, vx_ingest_item *item) {
    vx_mutex_lock(&in->mu);
    bool led = unlink_item(&in->leaders, item);
    release_locked(in, led ? item : NULL);
    vx_mutex_unlock(&in->mu);
}

void vx_ingest_release_cancelled(vx_server *server) {
    vx_mutex_lock(&server->ingest->mu);
    release_locked(server->ingest, NULL);
    vx_mutex_unlock(&server->ingest->mu);
}

/* ---- the end of an item ---- */

static void log_result(const vx_ingest_item *item, const vx_ingest_result *result) {
    char name[96], error[2 * sizeof result->err.msg];
    int64_t started_us = atomic_load(&item->work->started_us);
    int64_t ms = started_us ? (vx_clock_monotonic_us() - started_us) / 1000 : 0;
    bool failed = result->outcome > VX_OUTCOME_DUPLICATE;
    vx_log(
        failed ? VX_LOG_WARN : VX_LOG_INFO, "ingest",
        "request_id=%s outcome=%s phase=%s file=%s video=%s verdict=%s bytes=%lld frames=%lld/%lld "
        "ms=%lld%s%s",
        item->request_id, vx_outcome_name(result->outcome),
        vx_phase_name((vx_phase)atomic_load(&item->work->phase)),
        vx_log_quote(item->filename, name, sizeof name), result->video ? result->video->id : "-",
        vx_verdict_name(result->verdict.kind), (long long)vx_upload_bytes(item->upload),
        (long long)item->work->extract.stats.frames_decoded,
        (long long)item->work->extract.stats.frames_total, (long long)ms, failed ? " error=" : "",
        failed ? vx_log_quote(result->err.msg, error, sizeof error) : "");
}

void vx_ingest_finish(vx_server *server, vx_ingest_item *item, vx_ingest_result *result) {
    struct vx_ingest *in = server->ingest;
    log_result(item, result);
    release_followers(in, item);
    vx_ingest_enter_phase(server, item,
                          result->outcome > VX_OUTCOME_DUPLICATE ? VX_PHASE_FAILED : VX_PHASE_DONE,
                          0, 0);
    if (item->job_id[0])
        vx_jobs_remove(server, item);
    vx_mutex_lock(&in->mu);
    count_result_locked(in, item, result);
    vx_mutex_unlock(&in->mu);
    if (item->done)
        item->done(item->ctx, result);
    vx_video_free(vx_take(result->video));
    vx_ingest_item_free(item);
    vx_mutex_lock(&in->mu);
    if (--in->inside == 0)
        vx_cond_broadcast(&in->emptied);
    vx_mutex_unlock(&in->mu);
}

/* An item that ends without a stored video. A background job's end is written down first; while
 * the server stops it is left queued instead, and runs at the next start. */
static void end_item(vx_server *server, vx_ingest_item *item, vx_ingest_result *result) {
    if (item->job_id[0] && result->outcome != VX_OUTCOME_STOPPING)
        vx_ingest_fail_job(server, item, result);
    else
        vx_ingest_finish(server, item, result);
}

static vx_outcome outcome_of_error(int rc) {
    return rc == -ENOSPC      ? VX_OUTCOME_NO_SPACE
           : rc == -ESHUTDOWN ? VX_OUTCOME_STOPPING
                              : VX_OUTCOME_INTERNAL;
}

static void end_with_error(vx_server *server, vx_ingest_item *item, int rc, const vx_err *err) {
    vx_ingest_result result = {.outcome = outcome_of_error(rc), .err = *err};
    end_item(server, item, &result);
}

/* Called once by each of those that the item waits for; the last one sends it on. */
static void arrive(vx_server *server, vx_ingest_item *item) {
    vx_ingest_work *work = item->work;
    if (atomic_fetch_sub(&work->n_awaited, 1) > 1)
        return;
    vx_ingest_result result = work->result; /* the work goes with the item */
    if (result.outcome)
        end_item(server, item, &result);
    else if (work->seal_rc)
        end_with_error(server, item, work->seal_rc, &work->seal_err);
    else
        vx_ingest_commit(server, item);
}

/* ---- workers ---- */

static void on_phase(void *ctx, vx_phase phase, int64_t done, int64_t total) {
    void **pair = ctx;
    const vx_ingest_item *item = pair[1];
    vx_ingest_enter_phase(pair[0], pair[1], phase, done, total);
    if (item->on_phase)
        item->on_phase(item->ctx, phase, done, total);
}

static void on_time(void *ctx, vx_phase phase, int64_t us) {
    vx_ingest_add_time(((void **)ctx)[0], phase, us);
}

static bool is_cancelled(void *ctx) {
    void **pair = ctx;
    const vx_server *server = pair[0];
    const vx_ingest_item *item = pair[1];
    return atomic_load(&item->work->cancelled) || atomic_load(&server->stopping);
}

/* OK: these bytes are not stored yet. */
static vx_ingest_result look_for_stored(vx_server *server, const vx_ingest_item *item) {
    vx_ingest_result result = {.outcome = VX_OUTCOME_EXISTING,
                               .verdict = {.kind = VX_VERDICT_EXACT, .score = 1, .share = 1}};
    int rc = vx_catalog_get_video_by_sha256(server->catalog, vx_upload_sha256(item->upload),
                                            &result.video, &result.err);
    if (rc == VX_CATALOG_NOT_FOUND)
        return (vx_ingest_result){0};
    if (rc)
        result.outcome = outcome_of_error(rc);
    else
        strcpy(result.verdict.of, result.video->id);
    return result;
}

static vx_ingest_result extract(vx_server *server, vx_ingest_item *item) {
    struct vx_ingest *in = server->ingest;
    void *pair[2] = {server, item};
    vx_extract_watch watch = {on_phase, on_time, is_cancelled, pair};
    atomic_store(&item->work->started_us, vx_clock_monotonic_us());
    /* One video alone gets every core for its decode; a full house two threads each, so that cores
     * stay busy where one waits and when the last ones end. */
    int working = atomic_fetch_add(&in->working, 1) + 1;
    int threads = vx_thread_cores() / working < 2 ? 2 : vx_thread_cores() / working;
    vx_extract_params params = {
        .path = vx_upload_path(item->upload),
        .clip = &item->clip,
        .models = VX_EXTRACT_ALL_MODELS,
        .fingerprints = true,
        .decode_threads = threads,
        .watch = &watch,
    };
    vx_ingest_result result = {0};
    result.outcome = vx_extract_run(server, &params, &item->work->extract, &result.err);
    atomic_fetch_sub(&in->working, 1);
    if (result.outcome == VX_OUTCOME_CANCELLED && !atomic_load(&item->work->cancelled)) {
        VX_FAIL(&result.err, -ESHUTDOWN, "the server is shutting down");
        result.outcome = VX_OUTCOME_STOPPING;
    }
    return result;
}

/* The part of COMMIT that needs no transaction, and so not the one committer. */
static void look_around(vx_server *server, vx_ingest_item *item, vx_ingest_result *result) {
    vx_ingest_work *work = item->work;
    vx_ingest_enter_phase(server, item, VX_PHASE_COMMIT, 0, 0);
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_verdict_look_up(server, &work->extract, &work->look, &result->err);
    if (rc)
        result->outcome = outcome_of_error(rc);
    vx_ingest_add_time(server, VX_PHASE_COMMIT, vx_clock_monotonic_us() - start_us);
}

static void work_on(void *ctx, void *taken) {
    vx_server *server = ctx;
    vx_ingest_item *item = taken;
    if (!lead_or_park(server->ingest, item))
        return;
    vx_ingest_result *result = &item->work->result;
    if (atomic_load(&item->work->cancelled)) {
        VX_FAIL(&result->err, VX_OUTCOME_CANCELLED, "it was cancelled before it began");
        result->outcome = VX_OUTCOME_CANCELLED;
    } else {
        *result = look_for_stored(server, item);
        if (!result->outcome)
            *result = extract(server, item);
        if (!result->outcome)
            look_around(server, item, result);
    }
    arrive(server, item);
}

/* ---- sealers ---- */

static void on_accepted(vx_server *server, vx_ingest_item *item, int rc, const vx_err *err) {
    if (item->accepted)
        item->accepted(item->ctx, rc ? outcome_of_error(rc) : VX_OUTCOME_OK, item->job_id, err);
    if (rc) {
        vx_upload_unkeep(item->upload);
        item->job_id[0] = '\0';
        end_with_error(server, item, rc, err);
        return;
    }
    vx_pool_try_push(server->ingest->workers, item);
}

static bool must_become_job(const vx_ingest_item *item) {
    return item->background && !item->job_id[0];
}

static void seal(void *ctx, void *taken) {
    vx_server *server = ctx;
    vx_ingest_item *item = taken;
    bool job = must_become_job(item);
    vx_err err = {0};
    int64_t start_us = vx_clock_monotonic_us();
    int rc = vx_upload_seal(item->upload, &err);
    if (!rc && job)
        rc = vx_upload_keep(item->upload, &err);
    vx_ingest_add_time(server, VX_PHASE_RECEIVE, vx_clock_monotonic_us() - start_us);
    if (job && !rc) {
        vx_jobs_accept(server, item, on_accepted);
    } else if (job) {
        on_accepted(server, item, rc, &err);
    } else {
        item->work->seal_rc = rc;
        item->work->seal_err = err;
        arrive(server, item);
    }
}

/* ---- in and out ---- */

vx_outcome vx_ingest_submit(vx_server *server, vx_ingest_item *item) {
    struct vx_ingest *in = server->ingest;
    vx_outcome refused = VX_OUTCOME_OK;
    item->work = vx_new(vx_ingest_work);
    bool ended = !vx_upload_end(item->upload, NULL);
    vx_mutex_lock(&in->mu);
    if (!item->work || !ended)
        refused = VX_OUTCOME_INTERNAL;
    else if (atomic_load(&server->stopping))
        refused = VX_OUTCOME_STOPPING;
    else if (in->inside >= in->capacity)
        refused = VX_OUTCOME_BUSY;
    else {
        in->inside++;
        in->stats.phase_now[VX_PHASE_RECEIVE]++;
    }
    if (refused)
        in->stats.finished[refused]++;
    vx_mutex_unlock(&in->mu);
    if (refused) {
        vx_ingest_item_free(item);
        return refused;
    }
    if (item->job_id[0]) /* resumed after a restart */
        vx_jobs_add(server, item);
    bool at_once = !must_become_job(item);
    atomic_store(&item->work->n_awaited, at_once ? 2 : 1);
    vx_pool_try_push(in->sealers, item); /* with nothing to wait for if it is sealed already */
    if (at_once)
        vx_pool_try_push(in->workers, item);
    return VX_OUTCOME_OK;
}

static int start_threads(vx_server *server, vx_err *err) {
    struct vx_ingest *in = server->ingest;
    vx_pool_params params = {.name = "vx-seal",
                             .n_threads = SEALERS,
                             .capacity = (size_t)in->capacity,
                             .run = seal,
                             .ctx = server};
    int rc = vx_pool_new(&params, &in->sealers, err);
    params.name = "vx-ingest";
    params.n_threads = server->params.ingest_threads;
    if (!params.n_threads)
        params.n_threads = vx_thread_cores() + 1;
    params.run = work_on;
    return rc ? rc : vx_pool_new(&params, &in->workers, err);
}

int vx_ingest_start(vx_server *server, size_t n_resumed, vx_err *err) {
    struct vx_ingest *in = vx_new(struct vx_ingest);
    if (!in)
        return VX_FAIL(err, -ENOMEM, "no memory for the ingest pool");
    server->ingest = in;
    vx_mutex_init(&in->mu);
    vx_cond_init(&in->emptied);
    in->capacity = server->params.queue_capacity ? server->params.queue_capacity : 1024;
    if (n_resumed > (size_t)in->capacity)
        in->capacity = n_resumed < INT_MAX ? (int)n_resumed : INT_MAX;
    return start_threads(server, err);
}

void vx_ingest_stop(vx_server *server) {
    struct vx_ingest *in = server->ingest;
    if (!in)
        return;
    vx_mutex_lock(&in->mu);
    while (in->inside) /* stopping is set: what runs ends at its next picture */
        vx_cond_wait(&in->emptied, &in->mu);
    vx_mutex_unlock(&in->mu);
    in->sealers = vx_pool_free(in->sealers);
    in->workers = vx_pool_free(in->workers);
}

void vx_ingest_free(vx_server *server) {
    struct vx_ingest *in = server->ingest;
    if (!in)
        return;
    vx_cond_done(&in->emptied);
    vx_mutex_done(&in->mu);
    free(vx_take(server->ingest));
}
