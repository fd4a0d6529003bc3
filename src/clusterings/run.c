/* run.c — one job: which clips, their vectors, their clusters, and how it ends. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "clusterings_internal.h"

static void run_done(vx_cluster_run *run) {
    free(run->clips);
    free(run->videos);
    free(run->vectors);
    free(run->points);
    vx_clustering_free(run->found);
    json_decref(run->summary);
    vx_clustering_row_clear(&run->row);
}

static int64_t integer(const vx_cluster_run *run, const char *key) {
    return json_integer_value(json_object_get(run->job->request, key));
}

static bool is_density(const vx_cluster_run *run) {
    const char *method = json_string_value(json_object_get(run->job->request, "method"));
    return method && !strcmp(method, "density");
}

/* ---- which clips ---- */

/* The rows that pass the request's filter: of clips, or of videos. */
static int select_rows(const vx_cluster_run *run, vx_idset **ret_set, bool *ret_of_clips,
                       vx_err *err) {
    const json_t *json = json_object_get(run->job->request, "filter");
    VX_AUTO(vx_filter) filter = NULL;
    char pointer[VX_FILTER_POINTER_BYTES];
    if (!json)
        return 0;
    int rc = vx_filter_parse(json, NULL, &filter, pointer, err);
    if (rc)
        return rc;
    *ret_of_clips = vx_filter_is_of_clips(filter);
    return vx_collection_select_set(run->job->owner->params.collection, filter, ret_set, err);
}

static int list_clips(vx_cluster_run *run, vx_err *err) {
    const vx_collection *collection = run->job->owner->params.collection;
    VX_AUTO(vx_idset) wanted = NULL;
    bool of_clips = false;
    size_t n = 0;
    int rc = select_rows(run, &wanted, &of_clips, err);
    if (!rc)
        rc = vx_index_ids(run->job->model->index, &run->clips, &n, err);
    if (rc)
        return rc;
    run->videos = vx_new_array(n + 1, sizeof *run->videos);
    if (!run->videos)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", n);
    rc = vx_catalog_find_videos_of_clips(collection->catalog, run->clips, n, run->videos, err);
    for (size_t i = 0; i < n && !rc; i++) {
        if (!run->videos[i] ||
            (wanted && !vx_idset_contains(wanted, of_clips ? run->clips[i] : run->videos[i])))
            continue;
        run->clips[run->n] = run->clips[i];
        run->videos[run->n++] = run->videos[i];
    }
    return rc;
}

/* ---- their vectors ---- */

/* What cluster.h says that each method takes. */
static size_t bytes_a_clip(const vx_cluster_run *run) {
    size_t dim = (size_t)run->job->model->info->dim, samples = (size_t)integer(run, "min_samples");
    samples = samples ? samples : (size_t)integer(run, "min_cluster_size");
    samples = samples < VX_CLUSTER_MAX_NEIGHBOURS ? samples : VX_CLUSTER_MAX_NEIGHBOURS;
    return is_density(run) ? dim * 9 + 16 * (samples + 16) + 200 : dim * 4 + 120;
}

static int check_memory(const vx_cluster_run *run, vx_err *err) {
    enum { DEFAULT_GIB = 4 };
    int64_t allowed = run->job->owner->params.memory_bytes;
    allowed = allowed ? allowed : (int64_t)DEFAULT_GIB << 30;
    size_t needed = run->n * bytes_a_clip(run);
    if (run->n < 2)
        return VX_FAIL(err, VX_CLUSTER_TOO_MANY,
                       "there is nothing to cluster: %zu clips have a vector of %s%s", run->n,
                       run->job->model->info->name,
                       json_object_get(run->job->request, "filter") ? " and pass the filter" : "");
    if (needed > (size_t)allowed)
        return VX_FAIL(err, VX_CLUSTER_TOO_MANY,
                       "%zu clips need about %zu MB of memory, and --cluster-memory allows %lld: "
                       "raise it, or use a filter",
                       run->n, needed >> 20, (long long)(allowed >> 20));
    return 0;
}

/* Clips that have lost their vector meanwhile are left out. */
static int copy_vectors(vx_cluster_run *run, vx_err *err) {
    size_t dim = (size_t)run->job->model->info->dim, n = 0;
    run->vectors = vx_new_array(run->n, dim * sizeof *run->vectors);
    run->points = vx_new_array(run->n, 2 * sizeof *run->points);
    if (!run->vectors || !run->points)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", run->n);
    for (size_t i = 0; i < run->n; i++) {
        int rc = vx_index_get(run->job->model->index, run->clips[i], run->vectors + n * dim, err);
        if (rc < 0)
            return rc;
        if (rc)
            continue;
        run->clips[n] = run->clips[i];
        run->videos[n++] = run->videos[i];
    }
    run->n = n;
    return n < 2 ? check_memory(run, err) : 0;
}

/* ---- the work ---- */

static bool go_on(void *ctx, int64_t done, int64_t total) {
    vx_cluster_job *job = ctx;
    atomic_store(&job->job.total, total);
    atomic_store(&job->job.done, done);
    return !vx_cluster_job_is_over(job);
}

static int find_clusters(vx_cluster_run *run, vx_err *err) {
    const vx_cluster_input input = {.vectors = run->vectors,
                                    .n = run->n,
                                    .dim = run->job->model->info->dim,
                                    .go_on = go_on,
                                    .ctx = run->job};
    const vx_kmeans_params kmeans = {.k = (int)integer(run, "k"),
                                     .max_k = (int)integer(run, "max_k"),
                                     .iterations = (int)integer(run, "iterations"),
                                     .restarts = (int)integer(run, "restarts"),
                                     .seed = (uint64_t)integer(run, "seed")};
    const vx_density_params density = {.min_cluster_size = (int)integer(run, "min_cluster_size"),
                                       .min_samples = (int)integer(run, "min_samples")};
    int rc = is_density(run) ? vx_density_run(&input, &density, &run->found, err)
                             : vx_kmeans_run(&input, &kmeans, &run->found, err);
    return rc ? rc : vx_cluster_project(&input, run->points, run->share, err);
}

static int work(vx_cluster_run *run, vx_err *err) {
    vx_clustering_id_of(run->job->job.id, run->row.id);
    run->row.space = run->job->model->space;
    int rc = vx_cluster_forget(run->job->owner, run->row.id, err);
    if (!rc)
        rc = list_clips(run, err);
    if (!rc)
        rc = check_memory(run, err);
    if (!rc)
        rc = copy_vectors(run, err);
    if (!rc)
        rc = find_clusters(run, err);
    if (!rc)
        rc = vx_cluster_describe(run, err);
    if (!rc)
        rc = vx_cluster_store(run, err);
    return rc ? rc : vx_cluster_publish(run, err);
}

/* ---- the end ---- */

typedef struct ending {
    vx_cluster_job *job;
    vx_outcome outcome;
    const char *message;
} ending;

static int apply_failed(void *ctx, vx_err *err) {
    const ending *end = ctx;
    VX_AUTO_FREE char *result = vx_jobs_result(end->outcome, end->message, NULL, NULL);
    int rc =
        vx_jobs_end(end->job->owner->params.jobs, end->job->job.id, VX_JOB_FAILED, result, err);
    return rc == VX_JOBS_ENDED ? 0 : rc;
}

/* What is wrong with the request ends the job; what is wrong here is tried again. */
static void end_failed(vx_cluster_job *job, int rc, vx_err *why) {
    vx_jobs *jobs = job->owner->params.jobs;
    vx_err err;
    if (atomic_load(&job->job.cancelled) || rc == VX_JOBS_ENDED)
        return; /* its row has its end, and what it wrote is dropped */
    if (atomic_load(&job->owner->stopping)) {
        VX_FAIL(why, -ESHUTDOWN, "the server is shutting down");
        vx_jobs_try_again(jobs, &job->job, VX_OUTCOME_STOPPING, why);
        return;
    }
    bool wrong = rc == VX_CLUSTER_TOO_MANY || rc == VX_FILTER_BAD || rc == VX_CATALOG_NOT_FOUND;
    ending end = {job, VX_OUTCOME_BAD_REQUEST, why->msg};
    if (wrong)
        rc = vx_writer_run(job->owner->params.writer, apply_failed, NULL, &end, &err);
    else
        err = *why;
    if (rc && !(wrong && rc == 0))
        vx_jobs_try_again(jobs, &job->job, vx_outcome_of_error(rc, &err), &err);
}

void vx_cluster_job_run(vx_cluster_job *job) {
    __attribute__((cleanup(run_done))) vx_cluster_run run = {.job = job};
    vx_err err = {0};
    int64_t start_us = vx_clock_monotonic_us();
    atomic_store(&job->job.started_us, start_us);
    int rc = vx_jobs_begin(job->owner->params.jobs, &job->job, &err);
    if (!rc)
        rc = work(&run, &err);
    if (rc)
        end_failed(job, rc, &err);
    else
        vx_log(VX_LOG_INFO, "cluster",
               "job=%s clustering=%s model=%s clips=%zu clusters=%zu s=%.1f", job->job.id,
               run.row.id, job->model->info->name, run.n, run.found->k,
               (double)(vx_clock_monotonic_us() - start_us) / 1e6);
}
