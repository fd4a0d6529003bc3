#include "upkeep.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "writer/writer.h"
#include "vector_spaces.h"

#define KEEP_JOBS_US (INT64_C(7) * 24 * 3600 * 1000000)
#define ROUND_US (INT64_C(3600) * 1000000)
#define PRUNE_AT_ONCE 500 /* rows per transaction: uploads commit in between */

struct vx_housekeeper {
    pthread_t thread;
    bool started;
    vx_mutex mu;
    vx_cond wake;
    bool stopping VX_GUARDED, asked VX_GUARDED;
};

typedef struct prune {
    int64_t before_us;
    int pruned;
} prune;

static int apply_prune(void *ctx, vx_server *server, vx_err *err) {
    prune *p = ctx;
    return vx_catalog_prune_jobs(server->catalog, p->before_us, PRUNE_AT_ONCE, &p->pruned, err);
}

static int prune_jobs(vx_server *server, vx_err *err) {
    prune p = {.before_us = vx_clock_unix_us() - KEEP_JOBS_US};
    int rc;
    do
        rc = vx_commit_run(server, apply_prune, &p, err);
    while (!rc && p.pruned == PRUNE_AT_ONCE && !atomic_load(&server->stopping));
    return rc;
}

static void *run(void *ctx) {
    vx_server *server = ctx;
    struct vx_housekeeper *keeper = server->housekeeper;
    vx_mutex_lock(&keeper->mu);
    while (!keeper->stopping) {
        keeper->asked = false;
        vx_mutex_unlock(&keeper->mu);
        vx_err err;
        if (vx_spaces_drop(server, &err))
            vx_log_failed(VX_LOG_WARN, "housekeeper", &err, "task=drop_vectors");
        if (prune_jobs(server, &err))
            vx_log_failed(VX_LOG_WARN, "housekeeper", &err, "task=prune_jobs");
        int64_t until_us = vx_clock_monotonic_us() + ROUND_US;
        vx_mutex_lock(&keeper->mu);
        while (!keeper->stopping && !keeper->asked &&
               vx_cond_wait_until(&keeper->wake, &keeper->mu, until_us))
            continue;
    }
    vx_mutex_unlock(&keeper->mu);
    return NULL;
}

int vx_housekeeper_start(vx_server *server, vx_err *err) {
    struct vx_housekeeper *keeper = vx_new(struct vx_housekeeper);
    if (!keeper)
        return VX_FAIL(err, -ENOMEM, "no memory for the housekeeper");
    vx_mutex_init(&keeper->mu);
    vx_cond_init(&keeper->wake);
    server->housekeeper = keeper;
    int rc = vx_thread_start(&keeper->thread, "vx-house", run, server, err);
    keeper->started = !rc;
    return rc;
}

void vx_housekeeper_wake(vx_server *server) {
    struct vx_housekeeper *keeper = server->housekeeper;
    vx_mutex_lock(&keeper->mu);
    keeper->asked = true;
    vx_cond_signal(&keeper->wake);
    vx_mutex_unlock(&keeper->mu);
}

void vx_housekeeper_stop(vx_server *server) {
    struct vx_housekeeper *keeper = server->housekeeper;
    if (!keeper)
        return;
    vx_mutex_lock(&keeper->mu);
    keeper->stopping = true;
    vx_cond_signal(&keeper->wake);
    vx_mutex_unlock(&keeper->mu);
    if (keeper->started)
        pthread_join(keeper->thread, NULL);
}

void vx_housekeeper_free(vx_server *server) {
    struct vx_housekeeper *keeper = vx_take(server->housekeeper);
    if (!keeper)
        return;
    vx_cond_done(&keeper->wake);
    vx_mutex_done(&keeper->mu);
    free(keeper);
}
