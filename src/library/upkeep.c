/* upkeep.c — start and stop, and the upkeep thread with its table of tasks. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "library_internal.h"

#define KEEP_JOBS_US (INT64_C(7) * 24 * 3600 * 1000000) /* after their end */
#define CHECKSUMS_AT_ONCE 500                           /* some 50 ms of the writer */
#define HOUR_US (INT64_C(3600) * 1000000)
#define IDLE_US (INT64_C(30) * 1000000)

/* ---- the tasks of upkeep ---- */

static int prune_jobs(vx_library *library, vx_err *err) {
    return vx_jobs_prune(library->params.jobs, vx_clock_unix_us() - KEEP_JOBS_US,
                         &library->stopping, err);
}

static int make_ballast(vx_library *library, vx_err *err) {
    return vx_store_make_ballast(library->params.store, err);
}

static int checkpoint(vx_library *library, vx_err *err) {
    return vx_catalog_checkpoint_when_idle(library->params.collection->catalog, IDLE_US, err);
}

typedef struct checksum_step {
    vx_catalog *catalog;
    bool more;
} checksum_step;

static int apply_checksums(void *ctx, vx_err *err) {
    checksum_step *step = ctx;
    return vx_catalog_add_checksums(step->catalog, CHECKSUMS_AT_ONCE, &step->more, err);
}

/* For what was stored before there were checksums, once. It takes the writer for at most half of the time,
 * so that uploads go on. */
static int add_checksums(vx_library *library, vx_err *err) {
    checksum_step step = {library->params.collection->catalog, true};
    int rc = 0;
    while (!rc && step.more && !atomic_load(&library->stopping)) {
        int64_t start_us = vx_clock_monotonic_us();
        rc = vx_writer_run(library->params.writer, apply_checksums, NULL, &step, err);
        if (step.more)
            usleep((useconds_t)(vx_clock_monotonic_us() - start_us));
    }
    return rc;
}

static int fill_columns(vx_library *library, vx_err *err) {
    return vx_collection_fill_columns(library->params.collection, &library->stopping, err);
}

static int heal_columns(vx_library *library, vx_err *err) {
    (void)err;
    vx_collection_heal_columns(library->params.collection, &library->stopping);
    return 0;
}

/* Each may take long, and ends early once the library stops. */
static const struct {
    const char *name;
    int (*run)(vx_library *library, vx_err *err);
    int64_t every_us;
} tasks[] = {
    {"heal_columns", heal_columns, IDLE_US},
    {"fill_columns", fill_columns, HOUR_US},
    {"make_ballast", make_ballast, HOUR_US},
    {"drop_vectors", vx_library_delete_retired, HOUR_US},
    {"prune_jobs", prune_jobs, HOUR_US},
    {"add_checksums", add_checksums, HOUR_US},
    {"checkpoint", checkpoint, IDLE_US},
    {"rejudge", vx_library_rejudge, HOUR_US},
    {"find_missing_files", vx_library_find_missing_files, HOUR_US},
};

static void *run_upkeep(void *ctx) {
    vx_library *library = ctx;
    int64_t due_us[VX_LEN(tasks)] = {0};
    vx_mutex_lock(&library->mu);
    while (!atomic_load(&library->stopping)) {
        bool all = library->asked;
        library->asked = false;
        vx_mutex_unlock(&library->mu);
        int64_t next_us = INT64_MAX;
        for (size_t i = 0; i < VX_LEN(tasks); i++) {
            if (all || due_us[i] <= vx_clock_monotonic_us()) {
                vx_err err;
                if (tasks[i].run(library, &err))
                    vx_log_failed(VX_LOG_WARN, "housekeeper", &err, "task=%s", tasks[i].name);
                due_us[i] = vx_clock_monotonic_us() + tasks[i].every_us;
            }
            next_us = due_us[i] < next_us ? due_us[i] : next_us;
        }
        vx_mutex_lock(&library->mu);
        while (!atomic_load(&library->stopping) && !library->asked &&
               vx_cond_wait_until(&library->wake, &library->mu, next_us))
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
    int rc = vx_library_new_rejudge(library, err);
    if (!rc)
        rc = vx_thread_start(&library->thread, "vx-upkeep", run_upkeep, library, err);
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

vx_library *vx_library_free(vx_library *library) {
    if (!library)
        return NULL;
    vx_sweep_free(library->rejudge);
    vx_cond_done(&library->wake);
    vx_mutex_done(&library->mu);
    free(library);
    return NULL;
}
