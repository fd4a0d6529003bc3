/* query.c — the read path: a small pool of threads, each taking one query from start to hits.
 *
 * A query by clip or video reads its vectors from the index, by file runs the same extraction as
 * ingest. Hits are looked up in the catalog's last committed state; a row that the index already
 * has but the catalog does not show yet (or no more) is skipped, and more neighbours are asked for.
 */
#include "query.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/queue.h"
#include "base/thread.h"
#include "extract.h"

#define QUEUE_CAPACITY 4096
#define THREADS_MAX 256

typedef struct task {
    void (*run)(void *ctx); /* a plain call, or NULL and a query */
    void *ctx;
    vx_query *query;
} task;

struct vx_query_pool {
    vx_queue *queue;
    pthread_t threads[THREADS_MAX];
    int n_threads;
    vx_mutex mu;
    vx_query_stats stats VX_GUARDED;
};

vx_query *vx_query_free(vx_query *query) {
    if (!query)
        return NULL;
    vx_upload_free(query->upload);
    free(query->id);
    free(query->vector);
    free(query->model);
    free(query);
    return NULL;
}

void vx_query_result_clear(vx_query_result *result) {
    for (size_t i = 0; i < result->n_hits; i++) {
        free(result->hits[i].filename);
        free(result->hits[i].metadata);
    }
    free(result->hits);
    result->hits = NULL;
    result->n_hits = 0;
}

/* ---- what is asked for ---- */

typedef struct question {
    vx_model *model; /* whose space is asked */
    float *vectors;  /* float32 [n, dim], unit length; owned */
    size_t n;
    const int64_t *skip; /* clip rows that must not be hits; borrows from video */
    size_t n_skip;
    vx_video *video; /* owned; NULL for a vector or a file */
} question;

static void question_clear(question *q) {
    free(q->vectors);
    vx_video_free(q->video);
}

/* Vectors of all clips of q->video, or of the one clip `only`. */
static vx_outcome load_vectors(question *q, const char *only, vx_err *err) {
    size_t dim = (size_t)q->model->info->dim, found = 0;
    q->vectors = vx_new_array(q->video->n_clips, dim * sizeof(float));
    VX_AUTO_FREE int64_t *rows = vx_new_array(q->video->n_clips, sizeof *rows);
    if (!q->vectors || !rows) {
        VX_FAIL(err, -ENOMEM, "no memory for the query's vectors");
        return VX_OUTCOME_INTERNAL;
    }
    for (size_t i = 0; i < q->video->n_clips; i++) {
        char id[VX_CLIP_ID_CHARS + 1];
        snprintf(id, sizeof id, "%s.%d", q->video->id, q->video->clips[i].index);
        rows[found] = q->video->clips[i].row;
        if (only && strcmp(only, id))
            continue;
        int rc = vx_index_get(q->model->index, rows[found], q->vectors + found * dim, err);
        if (rc < 0)
            return VX_OUTCOME_INTERNAL;
        found += rc == 0;
    }
    if (!found) {
        VX_FAIL(err, VX_CATALOG_NOT_FOUND,
                "there is no %s with this id that has a vector of model %s",
                only ? "clip" : "video", q->model->info->name);
        return VX_OUTCOME_NOT_FOUND;
    }
    q->n = found;
    return VX_OUTCOME_OK;
}

static vx_outcome ask_by_id(vx_server *server, const vx_query *query, question *q, vx_err *err) {
    char video_id[VX_VIDEO_ID_CHARS + 1] = "";
    const char *end =
        query->by == VX_QUERY_CLIP ? strrchr(query->id, '.') : query->id + strlen(query->id);
    if (end && end - query->id <= VX_VIDEO_ID_CHARS)
        memcpy(video_id, query->id, (size_t)(end - query->id));
    int rc = vx_catalog_get_video(server->catalog, video_id, &q->video, err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        VX_FAIL(err, rc, "there is no %s with this id",
                query->by == VX_QUERY_CLIP ? "clip" : "video");
        return VX_OUTCOME_NOT_FOUND;
    }
    if (rc)
        return VX_OUTCOME_INTERNAL;
    return load_vectors(q, query->by == VX_QUERY_CLIP ? query->id : NULL, err);
}

/* A loaded model whose vectors have that length, or NULL. */
static const char *model_of_dim(const vx_server *server, size_t dim) {
    for (int i = 0; i < server->n_models; i++)
        if ((size_t)server->models[i].info->dim == dim)
            return server->models[i].info->name;
    return NULL;
}

static vx_outcome ask_by_vector(vx_server *server, vx_query *query, question *q, vx_err *err) {
    size_t dim = (size_t)q->model->info->dim;
    if (query->dim != dim) {
        const char *other = model_of_dim(server, query->dim);
        VX_FAIL(err, 1, "the vector has %zu numbers, model %s has %zu%s%s%s", query->dim,
                q->model->info->name, dim, other ? "; name model " : "", other ? other : "",
                other ? " to search in its space" : "");
        return VX_OUTCOME_WRONG_SPACE;
    }
    double square = 0;
    for (size_t i = 0; i < dim; i++)
        square += (double)query->vector[i] * query->vector[i];
    if (!isfinite(square) || square < 1e-24) {
        VX_FAIL(err, 1,
                square < 1e-24 ? "the vector is all zero: it has no direction"
                               : "the vector holds a number that is not finite");
        return VX_OUTCOME_BAD_REQUEST;
    }
    for (size_t i = 0; i < dim; i++)
        query->vector[i] = (float)(query->vector[i] / sqrt(square));
    q->vectors = vx_take(query->vector);
    q->n = 1;
    return VX_OUTCOME_OK;
}

static vx_outcome ask_by_file(vx_server *server, vx_query *query, question *q, vx_err *err) {
    int rc = vx_upload_seal(query->upload, err);
    if (rc)
        return rc == -ENOSPC ? VX_OUTCOME_NO_SPACE : VX_OUTCOME_INTERNAL;
    vx_extract extract = {0};
    int slot = (int)(q->model - server->models);
    vx_extract_params params = {
        .path = vx_upload_path(query->upload), .clip = &server->clip, .models = 1U << slot};
    vx_outcome outcome = vx_extract_run(server, &params, &extract, err);
    if (!outcome) {
        q->n = extract.n_clips;
        q->vectors = vx_take(extract.vectors[slot]);
    }
    vx_extract_clear(&extract);
    return outcome;
}

static vx_outcome ask(vx_server *server, vx_query *query, question *q, vx_err *err) {
    q->model = vx_server_find_model(server, query->model, err);
    if (!q->model)
        return VX_OUTCOME_WRONG_SPACE;
    switch (query->by) {
    case VX_QUERY_VECTOR:
        return ask_by_vector(server, query, q, err);
    case VX_QUERY_FILE:
        return ask_by_file(server, query, q, err);
    default:
        return ask_by_id(server, query, q, err);
    }
}

/* ---- neighbours to hits ---- */

static bool is_own_clip(const question *q, const vx_query *query, int64_t row) {
    if (!q->video)
        return false;
    for (size_t i = 0; i < q->video->n_clips; i++) {
        char id[VX_CLIP_ID_CHARS + 1];
        snprintf(id, sizeof id, "%s.%d", q->video->id, q->video->clips[i].index);
        if (q->video->clips[i].row == row)
            return query->by == VX_QUERY_VIDEO || !strcmp(id, query->id);
    }
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

static bool has_video(const vx_query_result *result, const char *video_id) {
    for (size_t i = 0; i < result->n_hits; i++)
        if (!strcmp(result->hits[i].video_id, video_id))
            return true;
    return false;
}

/* Appends one hit; a row without a committed video is no hit. */
static int add_hit(vx_server *server, const vx_query *query, const vx_neighbour *neighbour,
                   vx_query_result *result) {
    VX_AUTO(vx_video) video = NULL;
    int rc = vx_catalog_get_video_of_clip(server->catalog, neighbour->id, &video, &result->err);
    if (rc == VX_CATALOG_NOT_FOUND)
        return 0;
    if (rc)
        return rc;
    if (query->group_by_video && has_video(result, video->id))
        return 0;
    vx_hit *hit = &result->hits[result->n_hits++];
    *hit = (vx_hit){.start_s = video->clips[0].start_s,
                    .end_s = video->clips[0].end_s,
                    .score = neighbour->score,
                    .filename = vx_take(video->filename),
                    .metadata = vx_take(video->metadata)};
    strcpy(hit->video_id, video->id);
    snprintf(hit->clip_id, sizeof hit->clip_id, "%s.%d", video->id, video->clips[0].index);
    return 0;
}

/* One round: the `depth` nearest rows of every vector. *ret_exhausted: there are no more. */
static int search_once(vx_server *server, const vx_query *query, const question *q, size_t depth,
                       vx_query_result *result, bool *ret_exhausted) {
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(q->n, depth * sizeof *found);
    VX_AUTO_FREE size_t *counts = vx_new_array(q->n, sizeof *counts);
    if (!found || !counts)
        return VX_FAIL(&result->err, -ENOMEM, "no memory for %zu neighbours", depth);
    int rc = vx_index_search(q->model->index, q->vectors, q->n, depth, query->min_score, NULL, NULL,
                             found, counts, &result->err);
    if (rc)
        return rc;
    size_t n = 0;
    *ret_exhausted = true;
    for (size_t i = 0; i < q->n; i++) {
        memmove(found + n, found + i * depth, counts[i] * sizeof *found);
        n += counts[i];
        *ret_exhausted &= counts[i] < depth;
    }
    n = merge(found, n);
    for (size_t i = 0; i < n && result->n_hits < query->k && !rc; i++)
        if (!is_own_clip(q, query, found[i].id))
            rc = add_hit(server, query, &found[i], result);
    return rc;
}

/* Grouping, the query's own clips and rows not yet visible can eat neighbours: ask deeper until
 * k hits stand or the index has no more. */
static int search_until_enough(vx_server *server, const vx_query *query, const question *q,
                               vx_query_result *result) {
    result->hits = vx_new_array(query->k, sizeof *result->hits);
    if (!result->hits)
        return VX_FAIL(&result->err, -ENOMEM, "no memory for %zu hits", query->k);
    size_t depth = query->k + (q->video ? q->video->n_clips : 0);
    for (bool exhausted = false;; depth *= 4) {
        for (size_t i = 0; i < result->n_hits; i++) {
            free(result->hits[i].filename);
            free(result->hits[i].metadata);
        }
        result->n_hits = 0;
        int rc = search_once(server, query, q, depth, result, &exhausted);
        if (rc || exhausted || result->n_hits == query->k)
            return rc;
    }
}

/* ---- the pool ---- */

static void answer(vx_server *server, vx_query *query) {
    int64_t start_us = vx_clock_monotonic_us();
    vx_query_result result = {0};
    question q = {0};
    if (atomic_load(&server->stopping)) {
        VX_FAIL(&result.err, -ESHUTDOWN, "the server is shutting down");
        result.outcome = VX_OUTCOME_STOPPING;
    } else {
        result.outcome = ask(server, query, &q, &result.err);
    }
    if (!result.outcome && search_until_enough(server, query, &q, &result))
        result.outcome = VX_OUTCOME_INTERNAL;
    result.model = q.model ? q.model->info->name : NULL;
    question_clear(&q);
    struct vx_query_pool *pool = server->queries;
    vx_mutex_lock(&pool->mu);
    pool->stats.finished[result.outcome]++;
    pool->stats.total_us += vx_clock_monotonic_us() - start_us;
    vx_mutex_unlock(&pool->mu);
    query->done(query->ctx, &result);
    vx_query_result_clear(&result);
    vx_query_free(query);
}

static void *run_searcher(void *ctx) {
    vx_server *server = ctx;
    for (task *t; (t = vx_queue_pop(server->queries->queue));) {
        if (t->run)
            t->run(t->ctx);
        else
            answer(server, t->query);
        free(t);
    }
    return NULL;
}

static bool push(vx_server *server, task what) {
    task *t = vx_new(task);
    if (!t)
        return false;
    *t = what;
    if (vx_queue_try_push(server->queries->queue, t))
        return true;
    free(t);
    return false;
}

vx_outcome vx_query_submit(vx_server *server, vx_query *query) {
    if (push(server, (task){.query = query}))
        return VX_OUTCOME_OK;
    vx_query_free(query);
    return atomic_load(&server->stopping) ? VX_OUTCOME_STOPPING : VX_OUTCOME_BUSY;
}

bool vx_query_run(vx_server *server, void (*fn)(void *ctx), void *ctx) {
    return push(server, (task){.run = fn, .ctx = ctx});
}

void vx_query_get_stats(vx_server *server, vx_query_stats *ret_stats) {
    struct vx_query_pool *pool = server->queries;
    vx_mutex_lock(&pool->mu);
    *ret_stats = pool->stats;
    vx_mutex_unlock(&pool->mu);
    ret_stats->queued = (int64_t)vx_queue_count(pool->queue);
}

int vx_query_start(vx_server *server, vx_err *err) {
    struct vx_query_pool *pool = vx_new(struct vx_query_pool);
    if (!pool)
        return VX_FAIL(err, -ENOMEM, "no memory for the search pool");
    server->queries = pool;
    vx_mutex_init(&pool->mu);
    int rc = vx_queue_new(QUEUE_CAPACITY, &pool->queue, err);
    /* Two at least: a search by file must not hold up the quick ones. */
    int wanted =
        server->params.search_threads ? server->params.search_threads : vx_thread_cores() + 1;
    for (int i = 0; !rc && i < wanted && i < THREADS_MAX; i++) {
        rc = vx_thread_start(&pool->threads[i], "vx-search", run_searcher, server, err);
        pool->n_threads += !rc;
    }
    return rc;
}

void vx_query_stop(vx_server *server) {
    struct vx_query_pool *pool = server->queries;
    if (!pool)
        return;
    if (pool->queue)
        vx_queue_close(pool->queue);
    for (int i = 0; i < pool->n_threads; i++)
        pthread_join(pool->threads[i], NULL);
    vx_queue_free(pool->queue);
    vx_mutex_done(&pool->mu);
    free(vx_take(server->queries));
}
