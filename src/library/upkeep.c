/* upkeep.c — start and stop, and the upkeep thread with its table of tasks. */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "library_internal.h"

#define KEEP_JOBS_US (INT64_C(7) * 24 * 3600 * 1000000) /* after their end */
#define ROUND_US (INT64_C(3600) * 1000000)

/* ---- the tasks of upkeep ---- */

static int prune_jobs(vx_library *library, vx_err *err) {
    return vx_jobs_prune(library->params.jobs, vx_clock_unix_us() - KEEP_JOBS_US,
                         &library->stopping, err);
}

/* Each may take long, and ends early once the library stops. */
static const struct {
    const char *name;
    int (*run)(vx_library *library, vx_err *err);
} tasks[] = {
    {"drop_vectors", vx_library_delete_retired},
    {"prune_jobs", prune_jobs},
    {"rejudge", vx_library_rejudge},
};

static void *run_upkeep(void *ctx) {
    vx_library *library = ctx;
    vx_mutex_lock(&library->mu);
    while (!atomic_load(&library->stopping)) {
        library->asked = false;
        vx_mutex_unlock(&library->mu);
        for (size_t i = 0; i < VX_LEN(tasks); i++) {
            vx_err err;
            if (tasks[i].run(library, &err))
                vx_log_failed(VX_LOG_WARN, "housekeeper", &err, "task=%s", tasks[i].name);
        }
        int64_t until_us = vx_clock_monotonic_us() + ROUND_US;
        vx_mutex_lock(&library->mu);
        while (!atomic_load(&library->stopping) && !library->asked &&
               vx_cond_wait_until(&library->wake, &library->mu, until_us))
            continue;
    }
    vx_mutex_unlock(&library->mu);
    return NULL;
}

/* ---- start and stop ---- */

int vx_library_start(const vx_library_params *params, vx_library **ret_library, vx_err *err) {
    vx_library *library = vx_new(vx_library);
    if (!library)
        return VX_FAIL(err, -ENOMEM, "no memory for the library");
    library->params = *params;
    vx_mutex_init(&library->mu);
    vx_cond_init(&library->wake);
    vx_library_add_rejudge_kind(library);
    int rc = vx_thread_start(&library->thread, "vx-upkeep", run_upkeep, library, err);
    if (rc) {
        vx_library_free(library);
        return rc;
    }
    library->started = true;
    *ret_library = library;
    return 0;
}

void vx_library_stop(vx_library *library) {
    if (!library || !library->started)
        return;
    vx_mutex_lock(&library->mu);
    atomic_store(&library->stopping, true);
    vx_cond_signal(&library->wake);
    vx_mutex_unlock(&library->mu);
    pthread_join(library->thread, NULL);
    library->started = false;
}

VX_NO_LOCK_ANALYSIS vx_library *vx_library_free(vx_library *library) {
    if (!library)
        return NULL;
    if (library->rejudge) {
        vx_jobs_remove(library->params.jobs, library->rejudge);
        free(library->rejudge);
    }
    vx_cond_done(&library->wake);
    vx_mutex_done(&library->mu);
    free(library);
    return NULL;
}
