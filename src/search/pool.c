/* pool.c — a small pool of threads, each taking one search request from start to hits, and a second one
 * for searches by file: these decode a video, so they would keep the others waiting. They take turns with
 * uploads (extract.h), and few of them are let in, so that they cannot push uploads away. */
#include "search_internal.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define QUEUE_CAPACITY 4096
/* Beside one per core: searches mostly sleep while the index works, which joins those that wait there into one
 * pass over its rows. So many more at once cost it little more than one. */
#define MORE_THREADS 30
#define FILES_WAITING 8 /* for each one at work */

typedef struct task {
    void (*run)(void *ctx); /* a plain call, or NULL and a request */
    void *ctx;
    vx_search_request *request;
} task;

vx_search_request *vx_search_request_new(size_t n) {
    vx_search_request *request = vx_new(vx_search_request);
    if (request && !(request->queries = vx_new_array(n, sizeof *request->queries)))
        return free(request), NULL;
    if (request)
        request->n = n;
    return request;
}

static void free_examples(vx_examples *examples) {
    for (size_t i = 0; i < examples->n; i++)
        free(examples->ids[i]);
    free(examples->ids);
}

vx_search_request *vx_search_request_free(vx_search_request *request) {
    if (!request)
        return NULL;
    for (size_t i = 0; i < request->n; i++) {
        vx_upload_free(request->queries[i].upload);
        free(request->queries[i].id);
        free(request->queries[i].text);
        free(request->queries[i].vector);
        free_examples(&request->queries[i].like);
        free_examples(&request->queries[i].unlike);
        vx_filter_free(request->queries[i].filter);
    }
    vx_filter_free(request->filter);
    free(request->queries);
    free(request->model);
    free(request);
    return NULL;
}

void vx_search_result_clear(vx_search_result *result) {
    for (size_t i = 0; i < result->n; i++)
        vx_hits_clear(&result->answers[i]);
    free(result->answers);
    result->answers = NULL;
    result->n = 0;
}

/* ---- the pool ---- */

static void clear_selected(vx_encoded_query *encoded, size_t n, vx_idset **common) {
    for (size_t i = 0; i < n; i++) {
        encoded[i].own_selected = vx_idset_free(encoded[i].own_selected);
        encoded[i].selected = NULL;
    }
    *common = vx_idset_free(*common);
}

/* The hits among what passes the filters. Lazy sets (base/idset.h) that a change of the columns met are no good:
 * then once more with others. A GPU reads all bits anyway. */
static int find(vx_search *search, const vx_model *model, const vx_search_request *request,
                vx_encoded_query *encoded, vx_search_result *result) {
    vx_idset *common = NULL;
    int rc = 0;
    bool lazily = !vx_index_uses_gpu(model->index);
    for (bool done = false; !rc && !done; lazily = false) {
        int64_t start_us = vx_clock_monotonic_us();
        rc = vx_search_select(search->collection, request, lazily, encoded, &common, &result->err);
        result->filter_us += vx_clock_monotonic_us() - start_us;
        if (!rc)
            rc =
                vx_search_find_hits(search, model, request, encoded, result->answers, &result->err);
        done = rc || vx_search_count_selected(request, encoded, result->answers);
        for (size_t i = 0; i < request->n && !done; i++)
            vx_hits_clear(&result->answers[i]);
        clear_selected(encoded, request->n, &common);
    }
    return rc;
}

/* Asks everything, then finds: no query is answered when one of them cannot be. */
static vx_outcome answer(vx_search *search, vx_search_request *request, vx_search_result *result) {
    vx_outcome over = vx_search_check_over(search, request, &result->err);
    if (over)
        return over;
    vx_model *model = vx_models_find(search->collection->models, request->model, &result->err);
    if (!model)
        return VX_OUTCOME_WRONG_SPACE;
    result->model = model->info->name;
    if (search->remote && model != &search->collection->models->items[0]) {
        VX_FAIL(&result->err, VX_OUTCOME_WRONG_SPACE,
                "the store that answers searches here has vectors of %s alone",
                search->collection->models->items[0].info->name);
        return VX_OUTCOME_WRONG_SPACE;
    }
    vx_encoded_query *encoded = vx_new_array(request->n, sizeof *encoded);
    result->answers = vx_new_array(request->n, sizeof *result->answers);
    if (!encoded || !result->answers) {
        free(encoded);
        VX_FAIL(&result->err, -ENOMEM, "no memory for %zu queries", request->n);
        return VX_OUTCOME_INTERNAL;
    }
    result->n = request->n;
    int64_t start_us = vx_clock_monotonic_us();
    vx_outcome outcome = vx_search_encode(search, model, request, encoded, &result->err);
    result->encode_us = vx_clock_monotonic_us() - start_us;
    result->frames = encoded[0].frames; /* a file is the only query of its request */
    if (search->remote) {
        result->store = vx_remote_kind(search->remote);
        result->consistency = vx_remote_consistency(search->remote);
        if (!outcome)
            outcome =
                vx_search_remotely(search, model, request, encoded, result->answers, &result->err);
    }
    if (!outcome && !search->remote && find(search, model, request, encoded, result))
        outcome = VX_OUTCOME_INTERNAL;
    for (size_t i = 0; i < request->n; i++)
        vx_encoded_query_clear(&encoded[i]);
    free(encoded);
    return outcome;
}

static void run_request(vx_search *search, vx_search_request *request) {
    int64_t start_us = vx_clock_monotonic_us();
    vx_search_result result = {0};
    result.outcome = answer(search, request, &result);
    vx_mutex_lock(&search->mu);
    search->stats.finished[result.outcome] += (int64_t)request->n;
    search->stats.total_us += vx_clock_monotonic_us() - start_us;
    vx_mutex_unlock(&search->mu);
    request->done(request->ctx, &result);
    vx_search_result_clear(&result);
    vx_search_request_free(request);
}

static void run_task(void *ctx, void *item) {
    task *t = item;
    if (t->run)
        t->run(t->ctx);
    else
        run_request(ctx, t->request);
    free(t);
}

static bool push(vx_pool *threads, task what) {
    task *t = vx_new(task);
    if (!t)
        return false;
    *t = what;
    if (vx_pool_try_push(threads, t))
        return true;
    free(t);
    return false;
}

vx_outcome vx_search_submit(vx_search *search, vx_search_request *request) {
    bool by_file = request->queries[0].by == VX_QUERY_FILE; /* a form has one query */
    if (push(by_file ? search->file_threads : search->threads, (task){.request = request}))
        return VX_OUTCOME_OK;
    vx_search_request_free(request);
    return atomic_load(&search->stopping) ? VX_OUTCOME_STOPPING : VX_OUTCOME_BUSY;
}

bool vx_search_run(vx_search *search, void (*fn)(void *ctx), void *ctx) {
    return push(search->threads, (task){.run = fn, .ctx = ctx});
}

void vx_search_get_stats(vx_search *search, vx_search_stats *ret_stats) {
    vx_mutex_lock(&search->mu);
    *ret_stats = search->stats;
    vx_mutex_unlock(&search->mu);
    ret_stats->queued =
        (int64_t)(vx_pool_count(search->threads) + vx_pool_count(search->file_threads));
}

int vx_search_start(vx_collection *collection, const vx_extractor *extractor, vx_remote *remote,
                    int threads, vx_search **ret_search, vx_err *err) {
    VX_AUTO(vx_search) search = vx_new(vx_search);
    if (!search)
        return VX_FAIL(err, -ENOMEM, "no memory for the search pool");
    search->collection = collection;
    search->extractor = extractor;
    search->remote = remote;
    vx_mutex_init(&search->mu);
    vx_mutex_init(&search->counting);
    vx_pool_params params = {
        .name = "vx-search",
        .n_threads = threads ? threads : vx_thread_cores() + MORE_THREADS,
        .capacity = QUEUE_CAPACITY,
        .run = run_task,
        .ctx = search,
    };
    int rc = vx_pool_new(&params, &search->threads, err);
    params.name = "vx-search-file";
    params.n_threads = vx_thread_cores() / 2 < 2 ? 2 : vx_thread_cores() / 2;
    params.capacity = (size_t)params.n_threads * FILES_WAITING;
    if (!rc)
        rc = vx_pool_new(&params, &search->file_threads, err);
    if (!rc)
        *ret_search = vx_take(search);
    return rc;
}

void vx_search_begin_stop(vx_search *search) {
    atomic_store(&search->stopping, true);
}

vx_search *vx_search_stop(vx_search *search) {
    if (!search)
        return NULL;
    vx_search_begin_stop(search);
    vx_pool_free(search->file_threads);
    vx_pool_free(search->threads);
    vx_mutex_done(&search->counting);
    vx_mutex_done(&search->mu);
    free(search);
    return NULL;
}
