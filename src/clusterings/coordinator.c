/* coordinator.c — the jobs: accepted by the writer, run one after another; and what else a client asks for. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "clusterings_internal.h"

#define KIND "cluster"

static vx_cluster_job *free_job(vx_cluster_job *job) {
    if (!job)
        return NULL;
    vx_jobs_remove(job->owner->params.jobs, &job->job);
    json_decref(job->request);
    free(job);
    return NULL;
}

/* Takes request. */
static vx_cluster_job *new_job(vx_clusterings *owner, json_t *request, const vx_model *model) {
    vx_cluster_job *job = vx_new(vx_cluster_job);
    if (!job) {
        json_decref(request);
        return NULL;
    }
    *job = (vx_cluster_job){.owner = owner, .request = request, .model = model};
    atomic_store(&job->job.phase, VX_PHASE_COMMIT);
    return job;
}

static void enqueue(vx_cluster_job *job) {
    vx_clusterings *owner = job->owner;
    vx_mutex_lock(&owner->mu);
    vx_cluster_job **end = &owner->queue;
    while (*end)
        end = &(*end)->next_queued;
    *end = job;
    vx_cond_signal(&owner->work);
    vx_mutex_unlock(&owner->mu);
}

/* n_waiting counts jobs from before they are accepted, so that those on their way through the writer count. */
static void count_waiting(vx_clusterings *owner, int more) {
    vx_mutex_lock(&owner->mu);
    owner->n_waiting = (size_t)((ptrdiff_t)owner->n_waiting + more);
    vx_mutex_unlock(&owner->mu);
}

static void want_drop(vx_clusterings *owner) {
    vx_mutex_lock(&owner->mu);
    owner->drop_wanted = true;
    vx_cond_signal(&owner->work);
    vx_mutex_unlock(&owner->mu);
}

/* ---- the thread ---- */

static void drop(vx_clusterings *owner) {
    vx_err err;
    if (vx_cluster_drop(owner, &err))
        vx_log_failed(VX_LOG_WARN, "cluster", &err,
                      "hint=\"members of deleted clusterings remain\"");
}

/* ret_drop: members may have to be deleted first. NULL without that: the server stops. */
static vx_cluster_job *wait_for_work(vx_clusterings *owner, bool *ret_drop) {
    vx_mutex_lock(&owner->mu);
    while (!owner->queue && !owner->drop_wanted && !atomic_load(&owner->stopping))
        vx_cond_wait(&owner->work, &owner->mu);
    *ret_drop = owner->drop_wanted && !atomic_load(&owner->stopping);
    owner->drop_wanted = false;
    vx_cluster_job *job = *ret_drop || atomic_load(&owner->stopping) ? NULL : owner->queue;
    if (job) {
        owner->queue = job->next_queued;
        owner->n_waiting--;
    }
    vx_mutex_unlock(&owner->mu);
    return job;
}

static void *run_coordinator(void *ctx) {
    vx_clusterings *owner = ctx;
    bool wants_drop = false;
    vx_cluster_job *job;
    while ((job = wait_for_work(owner, &wants_drop)) || wants_drop) {
        if (job) {
            vx_cluster_job_run(job);
            free_job(job);
        }
        if (!atomic_load(&owner->stopping))
            drop(owner);
    }
    return NULL;
}

/* ---- new jobs ---- */

static void on_accepted(vx_job *base, int rc, const vx_err *err) {
    vx_cluster_job *job = VX_CONTAINER_OF(base, vx_cluster_job, job);
    job->accepted(job->ctx, rc, base->id, err);
    if (!rc) {
        enqueue(job);
        return;
    }
    count_waiting(job->owner, -1);
    free_job(job);
}

vx_outcome vx_clusterings_submit(vx_clusterings *owner, json_t *request,
                                 vx_clusterings_accepted accepted, void *ctx) {
    vx_err err;
    const char *name = json_string_value(json_object_get(request, "model"));
    const vx_model *model = vx_models_find(owner->params.collection->models, name, &err);
    if (!model || atomic_load(&owner->stopping)) {
        json_decref(request);
        return model ? VX_OUTCOME_STOPPING : VX_OUTCOME_INTERNAL;
    }
    vx_cluster_job *job = new_job(owner, request, model);
    if (!job)
        return VX_OUTCOME_INTERNAL;
    vx_mutex_lock(&owner->mu);
    bool full = owner->n_waiting >= VX_CLUSTERINGS_MAX_WAITING;
    owner->n_waiting += !full;
    vx_mutex_unlock(&owner->mu);
    if (full) {
        free_job(job);
        return VX_OUTCOME_BUSY;
    }
    job->accepted = accepted;
    job->ctx = ctx;
    vx_jobs_accept(owner->params.jobs, KIND, &job->job, json_dumps(request, JSON_COMPACT),
                   on_accepted);
    return VX_OUTCOME_OK;
}

/* ---- deleting ---- */

typedef struct delete_write {
    vx_write write;
    vx_clusterings *owner;
    const char *id;
    vx_clusterings_deleted done;
    void *ctx;
} delete_write;

static int apply_delete(vx_write *write, vx_err *err) {
    const delete_write *d = VX_CONTAINER_OF(write, delete_write, write);
    vx_catalog *catalog = d->owner->params.collection->catalog;
    vx_clustering_row row;
    int rc = vx_catalog_get_clustering(catalog, d->id, false, &row, err);
    if (rc)
        return rc;
    vx_clustering_row_clear(&row);
    return vx_catalog_retire_clustering(catalog, d->id, err);
}

static void finish_delete(vx_write *write, int rc, const vx_err *err) {
    delete_write *d = VX_CONTAINER_OF(write, delete_write, write);
    if (!rc)
        want_drop(d->owner);
    d->done(d->ctx, rc, err);
    free(d);
}

vx_outcome vx_clusterings_delete(vx_clusterings *owner, const char *id, vx_clusterings_deleted done,
                                 void *ctx) {
    delete_write *d = vx_new(delete_write);
    if (!d)
        return VX_OUTCOME_INTERNAL;
    *d = (delete_write){.write = {.apply = apply_delete, .done = finish_delete, .makes_room = true},
                        .owner = owner,
                        .id = id,
                        .done = done,
                        .ctx = ctx};
    vx_outcome refused = vx_writer_submit(owner->params.writer, &d->write, VX_WRITER_REFUSE);
    if (refused)
        free(d);
    return refused;
}

/* ---- jobs made again from their rows ---- */

static vx_outcome parse_row(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    vx_clusterings *owner = ctx;
    json_t *request = json_loads(row->request, 0, NULL);
    const char *name = json_string_value(json_object_get(request, "model"));
    const vx_model *model =
        name ? vx_models_find(owner->params.collection->models, name, err) : NULL;
    if (!model) {
        json_decref(request);
        VX_FAIL(err, 1, "the server was started again without this model");
        return VX_OUTCOME_WRONG_SPACE;
    }
    vx_cluster_job *job = new_job(owner, request, model);
    if (!job) {
        VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
        return VX_OUTCOME_BUSY;
    }
    strcpy(job->job.id, row->id);
    *ret_job = &job->job;
    return VX_OUTCOME_OK;
}

static vx_outcome run_parsed(void *ctx, vx_job *job) {
    vx_clusterings *owner = ctx;
    vx_jobs_add(owner->params.jobs, job);
    count_waiting(owner, 1);
    enqueue(VX_CONTAINER_OF(job, vx_cluster_job, job));
    return VX_OUTCOME_OK;
}

/* Cancelled while it was not live: an earlier try may have left members. */
static void discard(void *ctx, const vx_job_row *row) {
    (void)row;
    want_drop(ctx);
}

/* ---- start and stop ---- */

int vx_clusterings_new(const vx_clusterings_params *params, vx_clusterings **ret_clusterings,
                       vx_err *err) {
    vx_clusterings *owner = vx_new(vx_clusterings);
    if (!owner)
        return VX_FAIL(err, -ENOMEM, "no memory for clusterings");
    owner->params = *params;
    vx_mutex_init(&owner->mu);
    vx_cond_init(&owner->work);
    vx_jobs_add_kind(
        params->jobs,
        &(vx_job_kind){
            .name = KIND, .ctx = owner, .parse = parse_row, .run = run_parsed, .discard = discard});
    *ret_clusterings = owner;
    return 0;
}

int vx_clusterings_start(vx_clusterings *owner, vx_err *err) {
    want_drop(owner);
    int rc = vx_thread_start(&owner->thread, "vx-clusterings", run_coordinator, owner, err);
    owner->started = !rc;
    return rc;
}

void vx_clusterings_begin_stop(vx_clusterings *owner) {
    vx_mutex_lock(&owner->mu);
    atomic_store(&owner->stopping, true);
    vx_cond_signal(&owner->work);
    vx_mutex_unlock(&owner->mu);
}

void vx_clusterings_stop(vx_clusterings *owner) {
    if (!owner || !owner->started)
        return;
    vx_clusterings_begin_stop(owner);
    pthread_join(owner->thread, NULL);
    owner->started = false;
    vx_mutex_lock(&owner->mu);
    vx_cluster_job *waiting = vx_take(owner->queue);
    vx_mutex_unlock(&owner->mu);
    for (vx_cluster_job *job = waiting, *next; job; job = next) {
        next = job->next_queued;
        free_job(job);
    }
}

vx_clusterings *vx_clusterings_free(vx_clusterings *owner) {
    if (!owner)
        return NULL;
    vx_cond_done(&owner->work);
    vx_mutex_done(&owner->mu);
    free(owner);
    return NULL;
}
