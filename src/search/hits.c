/* hits.c — neighbours in the index to hits.
 *
 * Hits are looked up in the catalog's last committed state; a row that the index already has but the
 * catalog does not show yet (or no more) is skipped, and more neighbours are encoded for.
 */
#include "search_internal.h"

#include <errno.h>
#include <string.h>

#define CHUNK_NEIGHBOURS ((size_t)1 << 20) /* 16 MiB at a time, however many clips a video has */

void vx_hits_clear(vx_hits *hits) {
    for (size_t i = 0; i < hits->n; i++) {
        free(hits->items[i].filename);
        free(hits->items[i].metadata);
    }
    free(hits->items);
    *hits = (vx_hits){0};
}

/* One query on its way to its hits. */
typedef struct search {
    vx_catalog *catalog;
    const vx_model *model;
    const vx_query *query;
    const vx_encoded_query *encoded;
    vx_hits *hits;
} search;

static bool is_own_clip(const search *s, int64_t row) {
    for (size_t i = 0; i < s->encoded->n_own; i++)
        if (s->encoded->own[i] == row)
            return true;
    return false;
}

static int by_row(const void *a, const void *b) {
    const vx_neighbour *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->score > y->score ? -1 : x->score < y->score;
}

static int by_score(const void *a, const void *b) {
    const vx_neighbour *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The best score of each row over several query vectors, best first. */
static size_t merge(vx_neighbour *all, size_t n) {
    qsort(all, n, sizeof *all, by_row);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || all[kept - 1].id != all[i].id)
            all[kept++] = all[i];
    qsort(all, kept, sizeof *all, by_score);
    return kept;
}

static bool has_video(const vx_hits *hits, const char *video_id) {
    for (size_t i = 0; i < hits->n; i++)
        if (!strcmp(hits->items[i].video_id, video_id))
            return true;
    return false;
}

/* Appends one hit; a row without a committed video is no hit. */
static int add_hit(const search *s, const vx_neighbour *neighbour, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    int rc = vx_catalog_get_video_of_clip(s->catalog, neighbour->id, &video, err);
    if (rc == VX_CATALOG_NOT_FOUND)
        return 0;
    if (rc)
        return rc;
    if (s->query->group_by_video && has_video(s->hits, video->id))
        return 0;
    vx_hit *hit = &s->hits->items[s->hits->n++];
    *hit = (vx_hit){.start_s = video->clips[0].start_s,
                    .end_s = video->clips[0].end_s,
                    .score = neighbour->score,
                    .filename = vx_take(video->filename),
                    .metadata = vx_take(video->metadata)};
    strcpy(hit->video_id, video->id);
    vx_clip_id_of(video->id, video->clips[0].index, hit->clip_id);
    return 0;
}

/* The hits among n neighbours, best first, in place of those found before. */
static int set_hits(const search *s, const vx_neighbour *found, size_t n, vx_err *err) {
    vx_hits_clear(s->hits);
    s->hits->items = vx_new_array(s->query->k, sizeof *s->hits->items);
    if (!s->hits->items)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu hits", s->query->k);
    int rc = 0;
    for (size_t i = 0; i < n && s->hits->n < s->query->k && !rc; i++)
        if (!is_own_clip(s, found[i].id))
            rc = add_hit(s, &found[i], err);
    return rc;
}

/* One round: the hits among the `depth` nearest rows over all vectors of the query. The vectors are
 * searched a step at a time; `found` holds the best rows so far, with room behind them for a step.
 * *ret_exhausted: there are no more. */
static int search_once(const search *s, size_t depth, bool *ret_exhausted, vx_err *err) {
    size_t dim = (size_t)s->model->info->dim, n_vectors = s->encoded->n, n = 0;
    size_t step = CHUNK_NEIGHBOURS / depth;
    step = step < 1 ? 1 : step < n_vectors ? step : n_vectors;
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(step + 1, depth * sizeof *found);
    VX_AUTO_FREE size_t *counts = vx_new_array(step, sizeof *counts);
    if (!found || !counts)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu neighbours", depth);
    *ret_exhausted = true;
    for (size_t first = 0; first < n_vectors; first += step) {
        size_t left = n_vectors - first, now = left < step ? left : step;
        vx_neighbour *fresh = found + n;
        vx_index_query query = {.vectors = s->encoded->vectors + first * dim,
                                .n = now,
                                .k = depth,
                                .min_score = s->query->min_score};
        int rc = vx_index_search(s->model->index, &query, fresh, counts, NULL, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < now; i++) {
            memmove(found + n, fresh + i * depth, counts[i] * sizeof *found);
            n += counts[i];
            *ret_exhausted &= counts[i] < depth;
        }
        n = merge(found, n);
        *ret_exhausted &= n <= depth;
        n = n < depth ? n : depth;
    }
    return set_hits(s, found, n, err);
}

static size_t first_depth(const search *s) {
    return s->query->k + s->encoded->n_own;
}

/* Grouping, the query's own clips and rows not yet visible can eat neighbours: ask deeper until
 * k hits stand or the index has no more. */
static int search_until_enough(const search *s, size_t depth, vx_err *err) {
    for (bool exhausted = false;; depth *= 4) {
        int rc = search_once(s, depth, &exhausted, err);
        if (rc || exhausted || s->hits->n == s->query->k)
            return rc;
    }
}

/* ---- several queries at once ---- */

/* A query that the index can take together with others: one vector, and as deep as theirs. */
static bool joins(const search *s, size_t depth) {
    return s->encoded->n == 1 && first_depth(s) == depth;
}

/* Takes up one query's row of a common search; goes on alone where that was not enough. */
static int settle(const search *s, const vx_neighbour *found, size_t n, size_t depth, vx_err *err) {
    bool exhausted = n < depth;
    while (n && found[n - 1].score < s->query->min_score)
        n--;
    exhausted |= n < depth;
    int rc = set_hits(s, found, n, err);
    if (rc || exhausted || s->hits->n == s->query->k)
        return rc;
    return search_until_enough(s, depth * 4, err);
}

/* The first round of all queries that join the first of them, as one search of the index. */
static int search_together(const search *all, size_t n, size_t depth, bool *ret_done, vx_err *err) {
    const vx_model *model = all[0].model;
    size_t dim = (size_t)model->info->dim, m = 0;
    VX_AUTO_FREE float *vectors = vx_new_array(n, dim * sizeof *vectors);
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(n, depth * sizeof *found);
    VX_AUTO_FREE size_t *counts = vx_new_array(n, sizeof *counts);
    if (!vectors || !found || !counts)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu queries", n);
    float min_score = 1;
    for (size_t i = 0; i < n; i++) {
        if (!joins(&all[i], depth))
            continue;
        memcpy(vectors + m++ * dim, all[i].encoded->vectors, dim * sizeof *vectors);
        if (all[i].query->min_score < min_score)
            min_score = all[i].query->min_score;
        ret_done[i] = true;
    }
    vx_index_query query = {.vectors = vectors, .n = m, .k = depth, .min_score = min_score};
    int rc = vx_index_search(model->index, &query, found, counts, NULL, err);
    m = 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (ret_done[i]) {
            rc = settle(&all[i], found + m * depth, counts[m], depth, err);
            m++;
        }
    return rc;
}

int vx_search_find_hits(vx_catalog *catalog, const vx_model *model,
                        const vx_search_request *request, const vx_encoded_query *encoded,
                        vx_hits *ret_answers, vx_err *err) {
    search all[VX_SEARCH_MAX_QUERIES];
    bool done[VX_SEARCH_MAX_QUERIES] = {0};
    size_t together = 0;
    for (size_t i = 0; i < request->n; i++)
        all[i] = (search){catalog, model, &request->queries[i], &encoded[i], &ret_answers[i]};
    while (together < request->n && encoded[together].n != 1)
        together++;
    int rc = 0;
    if (request->n > 1 && together < request->n)
        rc = search_together(all, request->n, first_depth(&all[together]), done, err);
    for (size_t i = 0; i < request->n && !rc; i++)
        if (!done[i])
            rc = search_until_enough(&all[i], first_depth(&all[i]), err);
    return rc;
}
