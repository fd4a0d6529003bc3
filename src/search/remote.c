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

static vx_hit *find(const remote_search *s, const vx_remote_hit *hit) {
    for (size_t i = 0; i < s->hits->n; i++)
        if (!strcmp(s->query->group_by_video ? s->hits->items[i].video_id
                                             : s->hits->items[i].clip_id,
                    s->query->group_by_video ? hit->video : hit->clip))
            return &s->hits->items[i];
    return NULL;
}

static int add(void *ctx, const vx_remote_hit *hit, vx_err *err) {
    remote_search *s = ctx;
    s->n_seen++;
    if (is_own(s->query, hit) || hit->score < s->query->min_score ||
        hit->score > s->query->max_score)
        return 0;
    vx_hit *old = find(s, hit);
    if (old && old->score >= hit->score)
        return 0;
    vx_hit fresh = {.start_s = hit->start_s,
                    .end_s = hit->end_s,
                    .score = hit->score,
                    .filename = strdup(hit->filename),
                    .metadata = strdup(hit->metadata)};
    if (!fresh.filename || !fresh.metadata ||
        (!old && !vx_make_room(s->hits->items, s->hits->n, s->capacity))) {
        free(fresh.filename);
        free(fresh.metadata);
        return VX_FAIL(err, -ENOMEM, "no memory for a hit");
    }
    snprintf(fresh.video_id, sizeof fresh.video_id, "%s", hit->video);
    snprintf(fresh.clip_id, sizeof fresh.clip_id, "%s", hit->clip);
    if (old) {
        free(old->filename);
        free(old->metadata);
        *old = fresh;
    } else {
        s->hits->items[s->hits->n++] = fresh;
    }
    return 0;
}

static int by_score(const void *a, const void *b) {
    const vx_hit *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return strcmp(x->clip_id, y->clip_id);
}

/* The page out of all that was gathered. */
static void cut(remote_search *s) {
    vx_hits *hits = s->hits;
    size_t first = s->query->offset < hits->n ? s->query->offset : hits->n, kept = 0;
    if (hits->n)
        qsort(hits->items, hits->n, sizeof *hits->items, by_score);
    for (size_t i = 0; i < hits->n; i++) {
        if (i >= first && kept < s->query->k) {
            hits->items[kept++] = hits->items[i];
        } else {
            free(hits->items[i].filename);
            free(hits->items[i].metadata);
        }
    }
    hits->n = kept;
    hits->first_rank = s->query->offset + 1;
}

/* With hits by video, or own clips among them, more must be asked for than are shown. */
static int search_one(vx_remote *remote, size_t dim, const vx_encoded_query *encoded,
                      remote_search *s, vx_err *err) {
    size_t wanted = s->query->offset + s->query->k, depth = wanted + encoded->n_own;
    for (bool exhausted = false;; depth *= 4) {
        depth = depth < VX_SEARCH_MAX_DEPTH ? depth : VX_SEARCH_MAX_DEPTH;
        exhausted = true;
        vx_hits_clear(s->hits);
        s->capacity = 0;
        for (size_t i = 0; i < encoded->n; i++) {
            s->n_seen = 0;
            int rc = vx_remote_search(remote, encoded->vectors + i * dim, depth, add, s, err);
            if (rc)
                return rc;
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

vx_outcome vx_search_remotely(vx_remote *remote, const vx_model *model,
                              const vx_search_request *request, const vx_encoded_query *encoded,
                              vx_hits *ret_answers, vx_err *err) {
    for (size_t i = 0; i < request->n; i++) {
        const vx_query *query = &request->queries[i];
        vx_outcome refused = refuse(query, request->filter, err);
        if (refused)
            return refused;
        remote_search s = {.query = query, .hits = &ret_answers[i]};
        int64_t start_us = vx_clock_monotonic_us();
        int rc = search_one(remote, (size_t)model->info->dim, &encoded[i], &s, err);
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
