/* hits.c — neighbours in the index to hits.
 *
 * The index groups by video and leaves out what is searched by, so k neighbours are mostly k hits. They
 * are looked up in the catalog's last committed state: a row that the index already has but the catalog
 * does not show yet (or no more) is skipped, and the index is asked for more.
 */
#include "search_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"

#define CHUNK_NEIGHBOURS ((size_t)1 << 20) /* 24 MiB at a time, however many clips a video has */

void vx_hits_clear(vx_hits *hits) {
    for (size_t i = 0; i < hits->n; i++) {
        free(hits->items[i].filename);
        free(hits->items[i].metadata);
    }
    free(hits->items);
    free(hits->histogram);
    *hits = (vx_hits){0};
}

/* One query on its way to its hits. */
typedef struct search {
    vx_catalog *catalog;
    const vx_model *model;
    const vx_query *query;
    const vx_encoded_query *encoded;
    vx_idset *own; /* encoded->own; NULL: none */
    vx_hits *hits;
} search;

/* Hits before the page, as far as is known. */
static size_t skipped(const search *s) {
    return s->query->after.position ? s->query->after.position : s->query->offset;
}

/* One more than the page holds, so that it is known whether there is another. */
static size_t first_depth(const search *s) {
    return skipped(s) + s->query->k + 1;
}

static vx_index_query question(const search *s, const float *vectors, size_t n, size_t depth) {
    return (vx_index_query){.vectors = vectors,
                            .n = n,
                            .k = depth,
                            .min_score = s->query->min_score,
                            .has_max_score = s->query->max_score < 1,
                            .max_score = s->query->max_score,
                            .by_group = s->query->group_by_video,
                            .groups = s->encoded->selects_clips ? NULL : s->encoded->selected,
                            .ids = s->encoded->selects_clips ? s->encoded->selected : NULL,
                            .not_ids = s->own};
}

static int by_score(const void *a, const void *b) {
    const vx_neighbour *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_clip(const void *a, const void *b) {
    const vx_neighbour *x = a, *y = b;
    return x->id != y->id ? (x->id > y->id ? 1 : -1) : by_score(a, b);
}

static int by_video(const void *a, const void *b) {
    const vx_neighbour *x = a, *y = b;
    return x->group != y->group ? (x->group > y->group ? 1 : -1) : by_score(a, b);
}

/* The best neighbour of each clip, or of each video, over several query vectors; best first. */
static size_t merge(const search *s, vx_neighbour *all, size_t n) {
    bool group = s->query->group_by_video;
    qsort(all, n, sizeof *all, group ? by_video : by_clip);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || (group ? all[kept - 1].group != all[i].group : all[kept - 1].id != all[i].id))
            all[kept++] = all[i];
    qsort(all, kept, sizeof *all, by_score);
    return kept;
}

/* Appends hits for n neighbours, at one look at the catalog; a row without a committed video is no hit. */
static int add_hits(const search *s, const vx_neighbour *neighbours, size_t n, vx_err *err) {
    VX_AUTO_FREE int64_t *rows = vx_new_array(n + 1, sizeof *rows);
    VX_AUTO_FREE vx_clip_hit *found = vx_new_array(n + 1, sizeof *found);
    if (!rows || !found)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu hits", n);
    for (size_t i = 0; i < n; i++)
        rows[i] = neighbours[i].id;
    int rc = vx_catalog_get_clip_hits(s->catalog, rows, n, found, err);
    for (size_t i = 0; i < n && !rc; i++) {
        if (!found[i].filename)
            continue;
        vx_hit *hit = &s->hits->items[s->hits->n++];
        *hit = (vx_hit){.start_s = found[i].start_s,
                        .end_s = found[i].end_s,
                        .score = neighbours[i].score,
                        .has_file = found[i].has_file,
                        .frames = vx_clip_frames_name(found[i].frames),
                        .filename = found[i].filename,
                        .metadata = found[i].metadata};
        strcpy(hit->video_id, found[i].video_id);
        vx_clip_id_of(hit->video_id, found[i].index, hit->clip_id);
    }
    return rc;
}

static bool is_behind(const vx_neighbour *neighbour, const vx_search_cursor *cursor) {
    return neighbour->score < cursor->score ||
           (neighbour->score == cursor->score && neighbour->id > cursor->row);
}

/* The page among n neighbours, best first, in place of what was found before. */
static int set_hits(const search *s, const vx_neighbour *found, size_t n, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    const vx_query *query = s->query;
    vx_hits *hits = s->hits;
    vx_search_work work = hits->work;
    vx_hits_clear(hits);
    hits->items = vx_new_array(query->k, sizeof *hits->items);
    if (!hits->items)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu hits", query->k);
    hits->first_rank = skipped(s) + 1;
    size_t i = query->after.position ? 0 : query->offset;
    while (query->after.position && i < n && !is_behind(&found[i], &query->after))
        i++;
    int rc = 0;
    while (i < n && hits->n < query->k && !rc) {
        size_t left = n - i, now = query->k - hits->n;
        now = now < left ? now : left;
        rc = add_hits(s, &found[i], now, err);
        i += now;
        hits->end = (vx_search_cursor){found[i - 1].score, found[i - 1].id, skipped(s) + hits->n};
    }
    hits->more = i < n && hits->end.position < VX_SEARCH_MAX_DEPTH;
    hits->work = work;
    hits->work.catalog_us += vx_clock_monotonic_us() - start_us;
    return rc;
}

/* Adds what the index did for one vector of a query. */
static void count_work(const search *s, const vx_index_work *work) {
    s->hits->work.rows_scanned += work->rows_scanned;
    s->hits->work.rows_on_gpu += work->rows_on_gpu;
    s->hits->work.rows_rescored += work->rows_rescored;
}

/* One round: the hits among the `depth` nearest over all vectors of the query. The vectors are searched
 * a step at a time; `found` holds the best so far, with room behind them for a step.
 * *ret_exhausted: there are no more. */
static int search_once(const search *s, size_t depth, bool *ret_exhausted, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    size_t dim = (size_t)s->model->info->dim, n_vectors = s->encoded->n, n = 0;
    size_t step = CHUNK_NEIGHBOURS / depth;
    step = step < 1 ? 1 : step < n_vectors ? step : n_vectors;
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(step + 1, depth * sizeof *found);
    VX_AUTO_FREE size_t *counts = vx_new_array(step, sizeof *counts);
    VX_AUTO_FREE vx_index_work *work = vx_new_array(step, sizeof *work);
    if (!found || !counts || !work)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu neighbours", depth);
    *ret_exhausted = true;
    for (size_t first = 0; first < n_vectors; first += step) {
        size_t left = n_vectors - first, now = left < step ? left : step;
        vx_neighbour *fresh = found + n;
        vx_index_query query = question(s, s->encoded->vectors + first * dim, now, depth);
        int rc = vx_index_search(s->model->index, &query, fresh, counts, work, err);
        if (rc)
            return rc;
        for (size_t i = 0; i < now; i++) {
            memmove(found + n, fresh + i * depth, counts[i] * sizeof *found);
            n += counts[i];
            *ret_exhausted &= counts[i] < depth;
            count_work(s, &work[i]);
        }
        n = merge(s, found, n);
        *ret_exhausted &= n <= depth;
        n = n < depth ? n : depth;
    }
    s->hits->work.index_us += vx_clock_monotonic_us() - start_us;
    return set_hits(s, found, n, err);
}

/* Rows that are not committed can take the place of hits: ask deeper until k hits stand or the index has
 * no more. */
static int search_until_enough(const search *s, size_t depth, vx_err *err) {
    for (bool exhausted = false;; depth *= 4) {
        int rc = search_once(s, depth, &exhausted, err);
        if (rc || exhausted || s->hits->n == s->query->k)
            return rc;
    }
}

/* ---- several queries at once ---- */

/* Two queries that one call of the index can answer. */
static bool join(const search *a, const search *b) {
    return a->encoded->n == 1 && b->encoded->n == 1 && !a->own && !b->own &&
           a->encoded->selected == b->encoded->selected && first_depth(a) == first_depth(b) &&
           a->query->group_by_video == b->query->group_by_video &&
           a->query->max_score == b->query->max_score;
}

/* Takes up one query's row of a common search; goes on alone where that was not enough. */
static int settle(const search *s, const vx_neighbour *found, size_t n, vx_err *err) {
    while (n && found[n - 1].score < s->query->min_score)
        n--;
    bool exhausted = n < first_depth(s);
    int rc = set_hits(s, found, n, err);
    if (rc || exhausted || s->hits->n == s->query->k)
        return rc;
    return search_until_enough(s, first_depth(s) * 4, err);
}

/* The first round of all queries that join the first one, as one search of the index. */
static int search_together(const search *all, size_t n, size_t first, bool *ret_done, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    const vx_model *model = all[first].model;
    size_t dim = (size_t)model->info->dim, k = first_depth(&all[first]), m = 0;
    VX_AUTO_FREE float *vectors = vx_new_array(n, dim * sizeof *vectors);
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(n, k * sizeof *found);
    VX_AUTO_FREE size_t *counts = vx_new_array(n, sizeof *counts);
    VX_AUTO_FREE vx_index_work *work = vx_new_array(n, sizeof *work);
    if (!vectors || !found || !counts || !work)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu queries", n);
    float min_score = 1;
    for (size_t i = first; i < n; i++) {
        if (!join(&all[first], &all[i]))
            continue;
        memcpy(vectors + m++ * dim, all[i].encoded->vectors, dim * sizeof *vectors);
        if (all[i].query->min_score < min_score)
            min_score = all[i].query->min_score;
        ret_done[i] = true;
    }
    vx_index_query query = question(&all[first], vectors, m, k);
    query.min_score = min_score;
    int rc = vx_index_search(model->index, &query, found, counts, work, err);
    int64_t index_us = vx_clock_monotonic_us() - start_us;
    m = 0;
    for (size_t i = first; i < n && !rc; i++) {
        if (!ret_done[i])
            continue;
        count_work(&all[i], &work[m]);
        all[i].hits->work.index_us = index_us;
        rc = settle(&all[i], found + m * k, counts[m], err);
        m++;
    }
    return rc;
}

static int search_all(const search *all, size_t n, vx_err *err) {
    bool done[VX_SEARCH_MAX_QUERIES] = {0};
    size_t first = 0;
    while (first < n && !join(&all[first], &all[first]))
        first++;
    int rc = n > 1 && first < n ? search_together(all, n, first, done, err) : 0;
    for (size_t i = 0; i < n && !rc; i++)
        if (!done[i])
            rc = search_until_enough(&all[i], first_depth(&all[i]), err);
    return rc;
}

/* ---- the histogram ---- */

/* How many clips, or videos by their best clip, score what: exact scores of all that may be hits, whatever
 * min_score says. Costs as much as the longest possible answer of clips, which are put together to videos here. */
static int count_scores(const search *s, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    size_t dim = (size_t)s->model->info->dim, n = 0;
    size_t n_rows = (size_t)vx_index_count(s->model->index);
    s->hits->histogram = vx_new_array(VX_SEARCH_BINS, sizeof *s->hits->histogram);
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(2 * n_rows + 1, sizeof *found);
    if (!s->hits->histogram || !found)
        return VX_FAIL(err, -ENOMEM, "no memory for the scores of %zu clips", n_rows);
    for (size_t i = 0; i < s->encoded->n && n_rows; i++) {
        size_t more = 0;
        vx_index_query query = question(s, s->encoded->vectors + i * dim, 1, n_rows);
        query.min_score = -2;
        query.has_max_score = false;
        query.by_group = false;
        int rc = vx_index_search(s->model->index, &query, found + n, &more, NULL, err);
        if (rc)
            return rc;
        n = i || s->query->group_by_video ? merge(s, found, n + more) : more;
        n = n < n_rows ? n : n_rows;
    }
    for (size_t i = 0; i < n; i++) {
        double bin = floor(((double)found[i].score + 1) * VX_SEARCH_BINS / 2);
        bin = fmin(fmax(bin, 0), VX_SEARCH_BINS - 1);
        s->hits->histogram[(size_t)bin]++;
    }
    s->hits->work.histogram_us = vx_clock_monotonic_us() - start_us;
    return 0;
}

int vx_search_find_hits(vx_search *reader, const vx_model *model, const vx_search_request *request,
                        const vx_encoded_query *encoded, vx_hits *ret_answers, vx_err *err) {
    vx_catalog *catalog = reader->collection->catalog;
    search all[VX_SEARCH_MAX_QUERIES];
    int rc = 0;
    for (size_t i = 0; i < request->n; i++) {
        all[i] = (search){catalog, model, &request->queries[i], &encoded[i], NULL, &ret_answers[i]};
        if (encoded[i].n_own && !(all[i].own = vx_idset_new(encoded[i].own, encoded[i].n_own)))
            rc = VX_FAIL(err, -ENOMEM, "no memory for the rows of %zu clips", encoded[i].n_own);
    }
    if (!rc)
        rc = search_all(all, request->n, err);
    for (size_t i = 0; i < request->n && !rc; i++)
        if (request->queries[i].histogram) {
            vx_mutex_lock(&reader->counting);
            rc = count_scores(&all[i], err);
            vx_mutex_unlock(&reader->counting);
        }
    for (size_t i = 0; i < request->n; i++)
        vx_idset_free(all[i].own);
    return rc;
}
