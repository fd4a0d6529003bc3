/* in_flight.c — the table of items between submit and finish, their phases and the statistics.
 *
 * An item whose bytes are being worked on already waits as a follower and starts over when the first
 * one ends; it then finds the stored video (EXISTING), or takes its own turn. So the same bytes are
 * never embedded twice, and only one of two simultaneous uploads is new.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest_internal.h"

vx_ingest_item *vx_ingest_item_free(vx_ingest_item *item) {
    if (!item)
        return NULL;
    vx_upload_free(item->upload);
    if (item->work) {
        vx_extract_clear(&item->work->extract);
        vx_verdict_candidates_clear(&item->work->candidates);
        free(item->work->pictures);
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

void vx_ingest_enter_phase(vx_ingest_item *item, vx_phase phase, int64_t done, int64_t total) {
    atomic_store(&item->job.done, done);
    atomic_store(&item->job.total, total);
    vx_phase before = (vx_phase)atomic_exchange(&item->job.phase, (int)phase);
    if (before == phase)
        return;
    vx_ingest *in = item->ingest;
    vx_mutex_lock(&in->mu);
    if (is_countable(before))
        in->stats.phase_now[before]--;
    if (is_countable(phase))
        in->stats.phase_now[phase]++;
    vx_mutex_unlock(&in->mu);
}

void vx_ingest_add_time(vx_ingest *ingest, vx_phase phase, int64_t us) {
    vx_mutex_lock(&ingest->mu);
    ingest->stats.phase_us[phase] += us;
    vx_mutex_unlock(&ingest->mu);
}

void vx_ingest_get_stats(vx_ingest *ingest, vx_ingest_stats *ret_stats) {
    vx_mutex_lock(&ingest->mu);
    *ret_stats = ingest->stats;
    ret_stats->queued = (int64_t)vx_pool_count(ingest->workers) + ingest->n_long_waiting;
    vx_mutex_unlock(&ingest->mu);
}

static void count_result_locked(vx_ingest *in, const vx_ingest_item *item,
                                const vx_ingest_result *result) VX_REQUIRES(&in->mu) {
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

bool vx_ingest_lead_or_park(vx_ingest_item *item) {
    vx_ingest *in = item->ingest;
    vx_mutex_lock(&in->mu);
    bool taken = false, cancelled = vx_ingest_is_void(item);
    if (item->in_order) { /* an earlier one that was parked behind a later one would wait for ever */
        vx_mutex_unlock(&in->mu);
        return true;
    }
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

/* Followers that are void, or whose bytes are those of `ended`, go back to the workers. */
static void release_locked(vx_ingest *in, const vx_ingest_item *ended) VX_REQUIRES(&in->mu) {
    for (vx_ingest_item **slot = &in->followers; *slot;) {
        vx_ingest_item *follower = *slot;
        if (!vx_ingest_is_void(follower) && !(ended && same_bytes(follower, ended))) {
            slot = &follower->next;
            continue;
        }
        *slot = follower->next;
        follower->next = NULL;
        vx_pool_try_push(in->workers, follower); /* has room for every item inside */
    }
}

void vx_ingest_check_again(vx_ingest_item *item) {
    item->work->comes_back = true;
    atomic_store(&item->work->n_awaited, 1);
    vx_pool_try_push(item->ingest->workers, item); /* has room for every item inside */
}

/* Takes the item out of the table; followers with its bytes take their turn. */
static void release_followers(vx_ingest *in, vx_ingest_item *item) {
    vx_mutex_lock(&in->mu);
    bool led = unlink_item(&in->leaders, item);
    release_locked(in, led ? item : NULL);
    vx_mutex_unlock(&in->mu);
}

void vx_ingest_release_void(vx_ingest *in) {
    vx_mutex_lock(&in->mu);
    release_locked(in, NULL);
    vx_ingest_release_long_locked(in);
    vx_mutex_unlock(&in->mu);
}

void vx_ingest_on_cancel(void *ingest) {
    vx_ingest_release_void(ingest);
}

/* ---- in and out ---- */

vx_outcome vx_ingest_admit(vx_ingest *in, vx_ingest_item *item) {
    vx_outcome refused = VX_OUTCOME_OK;
    vx_mutex_lock(&in->mu);
    if (!item->work)
        refused = VX_OUTCOME_INTERNAL;
    else if (atomic_load(&in->stopping))
        refused = VX_OUTCOME_STOPPING;
    else if (in->inside >= in->capacity + (item->job.id[0] ? VX_INGEST_JOBS_BESIDE : 0))
        refused = VX_OUTCOME_BUSY;
    else {
        in->inside++;
        vx_verify_note_uploads(in->params.verify, 1);
        item->turn = item->in_order ? in->n_turns++ : 0;
        in->stats.phase_now[VX_PHASE_RECEIVE]++;
    }
    if (refused)
        in->stats.finished[refused]++;
    vx_mutex_unlock(&in->mu);
    return refused;
}

static void log_result(const vx_ingest_item *item, const vx_ingest_result *result) {
    char name[96], error[2 * sizeof result->err.msg];
    int64_t started_us = atomic_load(&item->job.started_us);
    int64_t ms = started_us ? (vx_clock_monotonic_us() - started_us) / 1000 : 0;
    bool failed = result->outcome > VX_OUTCOME_DUPLICATE;
    vx_log(
        failed ? VX_LOG_WARN : VX_LOG_INFO, "ingest",
        "request_id=%s outcome=%s phase=%s file=%s video=%s verdict=%s bytes=%lld frames=%lld/%lld "
        "ms=%lld%s%s",
        item->request_id, vx_outcome_name(result->outcome),
        vx_phase_name((vx_phase)atomic_load(&item->job.phase)),
        vx_log_quote(item->filename, name, sizeof name), result->video ? result->video->id : "-",
        vx_verdict_name(result->verdict.kind), (long long)vx_upload_bytes(item->upload),
        (long long)item->work->extract.stats.frames_decoded,
        (long long)item->work->extract.stats.frames_total, (long long)ms, failed ? " error=" : "",
        failed ? vx_log_quote(result->err.msg, error, sizeof error) : "");
}

void vx_ingest_finish(vx_ingest_item *item, vx_ingest_result *result) {
    vx_ingest *in = item->ingest;
    log_result(item, result);
    if (result->outcome != VX_OUTCOME_OK && result->outcome != VX_OUTCOME_EXISTING)
        vx_store_remove_table(in->params.store, vx_upload_sha256(item->upload));
    release_followers(in, item);
    vx_ingest_enter_phase(
        item, result->outcome > VX_OUTCOME_DUPLICATE ? VX_PHASE_FAILED : VX_PHASE_DONE, 0, 0);
    if (item->job.id[0])
        vx_jobs_remove(in->params.jobs, &item->job);
    vx_mutex_lock(&in->mu);
    count_result_locked(in, item, result);
    vx_mutex_unlock(&in->mu);
    if (item->done)
        item->done(item->ctx, result);
    vx_video_free(vx_take(result->video));
    vx_ingest_item_free(item);
    vx_mutex_lock(&in->mu);
    vx_verify_note_uploads(in->params.verify, -1);
    if (--in->inside == 0)
        vx_cond_broadcast(&in->emptied);
    vx_mutex_unlock(&in->mu);
}
