/* clusterings_internal.h — what the files of src/clusterings share. */
#pragma once

#include <jansson.h>

#include "base/thread.h"
#include "cluster/cluster.h"
#include "clusterings.h"

struct vx_clusterings {
    vx_clusterings_params params;
    atomic_bool stopping;
    pthread_t thread;
    bool started;
    vx_mutex mu;
    vx_cond work;
    struct vx_cluster_job *queue VX_GUARDED; /* oldest first */
    size_t n_waiting VX_GUARDED;
    bool drop_wanted VX_GUARDED; /* there may be members to delete */
};

typedef struct vx_cluster_job {
    vx_job job;
    vx_clusterings *owner; /* borrows */
    json_t *request;
    const vx_model *model; /* borrows from the models */
    struct vx_cluster_job *next_queued;
    vx_clusterings_accepted accepted; /* until the job is durable */
    void *ctx;
} vx_cluster_job;

static inline bool vx_cluster_job_is_over(const vx_cluster_job *job) {
    return atomic_load(&job->job.cancelled) || atomic_load(&job->owner->stopping);
}
void vx_clustering_id_of(const char *job_id, char ret_id[VX_CLUSTERING_ID_CHARS + 1]);

/* What a job works on. */
typedef struct vx_cluster_run {
    vx_cluster_job *job;
    vx_clustering_row row;
    int64_t *clips, *videos; /* [n] rows; clips rising */
    float *vectors;          /* [n, dim] */
    size_t n;
    vx_clustering *found;
    float *points; /* [n, 2] */
    double share[2];
    json_t *summary;
} vx_cluster_run;

/* run.c: a job from its beginning to its end, which it writes. */
void vx_cluster_job_run(vx_cluster_job *job);

/* describe.c: fills in run->summary, of what was found. */
int vx_cluster_describe(vx_cluster_run *run, vx_err *err);

/* store.c: writes run->row and all members. VX_CLUSTER_STOPPED. */
int vx_cluster_store(vx_cluster_run *run, vx_err *err);
/* The end of the job and of its clustering, in one transaction. VX_JOBS_ENDED: it was cancelled. */
int vx_cluster_publish(vx_cluster_run *run, vx_err *err);
/* Retires what a job with this id left unfinished. */
int vx_cluster_forget(vx_clusterings *owner, const char *clustering_id, vx_err *err);
/* Deletes members of retired clusterings; ends early when the server stops. */
int vx_cluster_drop(vx_clusterings *owner, vx_err *err);
