#include "pool.h"

#include <errno.h>
#include <sys/resource.h>

#include "queue.h"
#include "thread.h"

#define THREADS_MAX 256

struct vx_pool {
    vx_pool_params params;
    vx_queue *queue;
    int n_threads;
    pthread_t threads[];
};

static void *run(void *ctx) {
    vx_pool *pool = ctx;
    if (pool->params.nice)
        setpriority(PRIO_PROCESS, 0, pool->params.nice); /* on Linux of this thread alone */
    for (void *item; (item = vx_queue_pop(pool->queue));)
        pool->params.run(pool->params.ctx, item);
    return NULL;
}

int vx_pool_new(const vx_pool_params *params, vx_pool **ret_pool, vx_err *err) {
    if (params->n_threads < 1)
        return VX_FAIL(err, -EINVAL, "a pool of %d threads", params->n_threads);
    int wanted = params->n_threads < THREADS_MAX ? params->n_threads : THREADS_MAX;
    VX_AUTO(vx_pool) pool = calloc(1, sizeof *pool + (size_t)wanted * sizeof(pthread_t));
    if (!pool)
        return VX_FAIL(err, -ENOMEM, "no memory for %d threads", wanted);
    pool->params = *params;
    int rc = vx_queue_new(params->capacity, &pool->queue, err);
    while (!rc && pool->n_threads < wanted) {
        rc = vx_thread_start(&pool->threads[pool->n_threads], params->name, run, pool, err);
        pool->n_threads += !rc;
    }
    if (!rc)
        *ret_pool = vx_take(pool);
    return rc;
}

vx_pool *vx_pool_free(vx_pool *pool) {
    if (!pool)
        return NULL;
    if (pool->queue)
        vx_queue_close(pool->queue);
    for (int i = 0; i < pool->n_threads; i++)
        pthread_join(pool->threads[i], NULL);
    vx_queue_free(pool->queue);
    free(pool);
    return NULL;
}

bool vx_pool_try_push(vx_pool *pool, void *item) {
    return vx_queue_try_push(pool->queue, item);
}

size_t vx_pool_count(vx_pool *pool) {
    return vx_queue_count(pool->queue);
}
