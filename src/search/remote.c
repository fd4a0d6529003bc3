/* remote.c — hits out of an outside store, for a collection that is not in memory here.
 *
 * The store knows neither filters nor pages of ours, so these are refused; hits carry all that an answer
 * shows, so that this vidx need not have the videos. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "search_internal.h"

typedef struct remote_search {
    const vx_search *search;
    const vx_search_request *request;
    const vx_query *query;
    vx_hits *hits; /* items: [capacity] while they are gathered */
    size_t capacity;
    size_t n_seen; /* that the store gave for one vector */
} remote_search;

static bool is_example(const vx_examples *examples, const vx_remote_hit *hit) {
    for (size_t i = 0; i < examples->n; i++)
        if (!strcmp(examples->ids[i], hit->video) || !strcmp(examples->ids[i], hit->clip))
            return true;
    return false;
}

/* What is searched by is no hit. */
static bool is_own(const vx_query *query, const vx_remote_hit *hit) {
    return (query->by == VX_QUERY_VIDEO && !strcmp(query->id, hit->video)) ||
           (query->by == VX_QUERY_CLIP && !strcmp(query->id, hit->clip)) ||
           is_example(&query->like, hit) || is_example(&query->unlike, hit);
}

static void drop(vx_hit *hit) {
    free(hit->filename);
    free(hit->metadata);
}

static int add(void *ctx, const vx_remote_hit *hit, vx_err *err) {
    remote_search *s = ctx;
    s->n_seen++;
    if (is_own(s->query, hit) || hit->score < s->query->min_score ||
        hit->score > s->query->max_score)
        return 0;
    vx_hit fresh = {.start_s = hit->start_s,
                    .end_s = hit->end_s,
                    .score = hit->score,
                    .filename = strdup(hit->filename),
                    .metadata = strdup(hit->metadata)};
    if (!fresh.filename || !fresh.metadata ||
        !vx_make_room(s->hits->items, s->hits->n, s->capacity)) {
        drop(&fresh);
        return VX_FAIL(err, -ENOMEM, "no memory for a hit");
    }
    snprintf(fresh.video_id, sizeof fresh.video_id, "%s", hit->video);
    snprintf(fresh.clip_id, sizeof fresh.clip_id, "%s", hit->clip);
    s->hits->items[s->hits->n++] = fresh;
    return 0;
}

static int by_score(const void *a, const void *b) {
    const vx_hit *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return strcmp(x->clip_id, y->clip_id);
}

static int by_video(const void *a, const void *b) {
    const vx_hit *x = a, *y = b;
    int order = strcmp(x->video_id, y->video_id);
    return order ? order : by_score(a, b);
}

static int by_clip(const void *a, const void *b) {
    const vx_hit *x = a, *y = b;
    int order = strcmp(x->clip_id, y->clip_id);
    return order ? order : by_score(a, b);
}

static bool is_same(const remote_search *s, const vx_hit *a, const vx_hit *b) {
    return s->query->group_by_video ? !strcmp(a->video_id, b->video_id)
                                    : !strcmp(a->clip_id, b->clip_id);
}

/* Leaves the best hit of each video or clip, and of these the best `max`, best first. */
static void keep_best(remote_search *s, size_t max) {
    vx_hits *hits = s->hits;
    size_t kept = 0;
    if (!hits->n)
        return;
    qsort(hits->items, hits->n, sizeof *hits->items, s->query->group_by_video ? by_video : by_clip);
    for (size_t i = 0; i < hits->n; i++)
        if (kept && is_same(s, &hits->items[kept - 1], &hits->items[i]))
            drop(&hits->items[i]);
        else
            hits->items[kept++] = hits->items[i];
    qsort(hits->items, kept, sizeof *hits->items, by_score);
    for (hits->n = kept; hits->n > max; hits->n--)
        drop(&hits->items[hits->n - 1]);
}

/* The page out of what was kept. */
static void cut(remote_search *s) {
    vx_hits *hits = s->hits;
    size_t first = s->query->offset < hits->n ? s->query->offset : hits->n, kept = 0;
    for (size_t i = 0; i < hits->n; i++)
        if (i >= first && kept < s->query->k)
            hits->items[kept++] = hits->items[i];
        else
            drop(&hits->items[i]);
    hits->n = kept;
    hits->first_rank = s->query->offset + 1;
}

static bool is_over(void *ctx) {
    const remote_search *s = ctx;
    return atomic_load(&s->search->stopping) || vx_search_is_abandoned(s->request);
}

/* With hits by video, or own clips among them, more must be asked for than are shown. */
static int search_one(remote_search *s, size_t dim, const vx_encoded_query *encoded, vx_err *err) {
    size_t wanted = s->query->offset + s->query->k, depth = wanted + encoded->n_own;
    const vx_remote_watch watch = {.cancelled = is_over, .ctx = s};
    for (bool exhausted = false;; depth *= 4) {
        depth = depth < VX_SEARCH_MAX_DEPTH ? depth : VX_SEARCH_MAX_DEPTH;
        exhausted = true;
        vx_hits_clear(s->hits);
        s->capacity = 0;
        for (size_t i = 0; i < encoded->n; i++) {
            s->n_seen = 0;
            int rc = vx_remote_search(s->search->remote, encoded->vectors + i * dim, depth, &watch,
                                      add, s, err);
            if (rc)
                return rc;
            keep_best(s, depth);
            exhausted &= s->n_seen < depth;
        }
        if (exhausted || s->hits->n >= wanted || depth == VX_SEARCH_MAX_DEPTH)
            return 0;
    }
}

static vx_outcome refuse(const vx_query *query, const vx_filter *common, vx_err *err) {
    const char *what = query->filter || common ? "filter"
                       : query->after.position ? "cursor"
                       : query->histogram      ? "histogram"
                                               : NULL;
    if (!what)
        return VX_OUTCOME_OK;
    VX_FAIL(err, VX_OUTCOME_BAD_REQUEST,
            "%s is not known to the store that answers searches here (--search)", what);
    return VX_OUTCOME_BAD_REQUEST;
}

vx_outcome vx_search_remotely(vx_search *search, const vx_model *model,
                              const vx_search_request *request, const vx_encoded_query *encoded,
                              vx_hits *ret_answers, vx_err *err) {
    for (size_t i = 0; i < request->n; i++) {
        const vx_query *query = &request->queries[i];
        vx_outcome refused = refuse(query, request->filter, err);
        if (refused)
            return refused;
        remote_search s = {
            .search = search, .request = request, .query = query, .hits = &ret_answers[i]};
        int64_t start_us = vx_clock_monotonic_us();
        int rc = search_one(&s, (size_t)model->info->dim, &encoded[i], err);
        vx_outcome over = rc ? vx_search_check_over(search, request, err) : VX_OUTCOME_OK;
        if (over)
            return over;
        if (rc) {
            VX_WRAP(err, "the store that answers searches here");
            return rc > 0 || rc == -ENOMEM ? VX_OUTCOME_BUSY : VX_OUTCOME_INTERNAL;
        }
        cut(&s);
        s.hits->work =
            (vx_search_work){.filter_videos = -1, .index_us = vx_clock_monotonic_us() - start_us};
    }
    return VX_OUTCOME_OK;
}
