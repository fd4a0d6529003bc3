/* query.c — the read path: a small pool of threads, each taking one query from start to hits. */
#include "search_internal.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/pool.h"
#include "base/thread.h"

#define QUEUE_CAPACITY 4096

typedef struct task {
    void (*run)(void *ctx); /* a plain call, or NULL and a query */
    void *ctx;
    vx_query *query;
} task;

struct vx_query_pool {
    vx_pool *threads;
    vx_mutex mu;
    vx_query_stats stats VX_GUARDED;
};

vx_query *vx_query_new(size_t n) {
    vx_query *query = vx_new(vx_query);
    if (query && !(query->questions = vx_new_array(n, sizeof *query->questions)))
        return free(query), NULL;
    if (query)
        query->n = n;
    return query;
}

vx_query *vx_query_free(vx_query *query) {
    if (!query)
        return NULL;
    for (size_t i = 0; i < query->n; i++) {
        vx_upload_free(query->questions[i].upload);
        free(query->questions[i].id);
        free(query->questions[i].text);
        free(query->questions[i].vector);
    }
    free(query->questions);
    free(query->model);
    free(query);
    return NULL;
}

void vx_query_result_clear(vx_query_result *result) {
    for (size_t i = 0; i < result->n; i++)
        vx_hits_clear(&result->answers[i]);
    free(result->answers);
    result->answers = NULL;
    result->n = 0;
}

/* ---- the pool ---- */

/* Asks everything, then finds: no question is answered when one of them cannot be. */
static vx_outcome answer(vx_server *server, vx_query *query, vx_query_result *result) {
    if (atomic_load(&server->stopping)) {
        VX_FAIL(&result->err, -ESHUTDOWN, "the server is shutting down");
        return VX_OUTCOME_STOPPING;
    }
    vx_model *model = vx_server_find_model(server, query->model, &result->err);
    if (!model)
        return VX_OUTCOME_WRONG_SPACE;
    result->model = model->info->name;
    vx_asked *asked = vx_new_array(query->n, sizeof *asked);
    result->answers = vx_new_array(query->n, sizeof *result->answers);
    if (!asked || !result->answers) {
        free(asked);
        VX_FAIL(&result->err, -ENOMEM, "no memory for %zu queries", query->n);
        return VX_OUTCOME_INTERNAL;
    }
    result->n = query->n;
    vx_outcome outcome = vx_query_ask(server, model, query, asked, &result->err);
    if (!outcome && vx_query_find(server, model, query, asked, result->answers, &result->err))
        outcome = VX_OUTCOME_INTERNAL;
    for (size_t i = 0; i < query->n; i++)
        vx_asked_clear(&asked[i]);
    free(asked);
    return outcome;
}

static void run_query(vx_server *server, vx_query *query) {
    int64_t start_us = vx_clock_monotonic_us();
    vx_query_result result = {0};
    result.outcome = answer(server, query, &result);
    struct vx_query_pool *pool = server->queries;
    vx_mutex_lock(&pool->mu);
    pool->stats.finished[result.outcome] += (int64_t)query->n;
    pool->stats.total_us += vx_clock_monotonic_us() - start_us;
    vx_mutex_unlock(&pool->mu);
    query->done(query->ctx, &result);
    vx_query_result_clear(&result);
    vx_query_free(query);
}

static void run_task(void *ctx, void *item) {
    task *t = item;
    if (t->run)
        t->run(t->ctx);
    else
        run_query(ctx, t->query);
    free(t);
}

static bool push(vx_server *server, task what) {
    task *t = vx_new(task);
    if (!t)
        return false;
    *t = what;
    if (vx_pool_try_push(server->queries->threads, t))
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
    ret_stats->queued = (int64_t)vx_pool_count(pool->threads);
}

int vx_query_start(vx_server *server, vx_err *err) {
    struct vx_query_pool *pool = vx_new(struct vx_query_pool);
    if (!pool)
        return VX_FAIL(err, -ENOMEM, "no memory for the search pool");
    server->queries = pool;
    vx_mutex_init(&pool->mu);
    int wanted = server->params.search_threads;
    const vx_pool_params params = {
        .name = "vx-search",
        /* Two at least: a search by file must not hold up the quick ones. */
        .n_threads = wanted ? wanted : vx_thread_cores() + 1,
        .capacity = QUEUE_CAPACITY,
        .run = run_task,
        .ctx = server,
    };
    return vx_pool_new(&params, &pool->threads, err);
}

void vx_query_stop(vx_server *server) {
    struct vx_query_pool *pool = server->queries;
    if (!pool)
        return;
    vx_pool_free(pool->threads);
    vx_mutex_done(&pool->mu);
    free(vx_take(server->queries));
}
