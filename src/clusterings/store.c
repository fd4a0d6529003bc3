/* store.c — clusterings and their members in the catalog, a few hundred in a transaction. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "clusterings_internal.h"

enum { AT_ONCE = 500 };

void vx_clustering_id_of(const char *job_id, char ret_id[VX_CLUSTERING_ID_CHARS + 1]) {
    snprintf(ret_id, VX_CLUSTERING_ID_CHARS + 1, "c%s", job_id + 1);
}

/* ---- members ---- */

static int by_place(const void *a, const void *b, void *ctx) {
    const vx_clustering *found = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (found->labels[x] != found->labels[y])
        return found->labels[x] < found->labels[y] ? -1 : 1;
    if (found->scores[x] != found->scores[y])
        return found->scores[x] > found->scores[y] ? -1 : 1;
    return (x > y) - (x < y);
}

typedef struct part {
    vx_cluster_run *run;
    vx_cluster_member members[AT_ONCE];
    size_t n;
} part;

static int apply_part(void *ctx, vx_err *err) {
    const part *p = ctx;
    return vx_catalog_insert_members(p->run->job->owner->params.collection->catalog, &p->run->row,
                                     p->members, p->n, err);
}

static int apply_row(void *ctx, vx_err *err) {
    vx_cluster_run *run = ctx;
    return vx_catalog_insert_clustering(run->job->owner->params.collection->catalog, &run->row,
                                        err);
}

static vx_cluster_member member_of(const vx_cluster_run *run, uint32_t i, int64_t place) {
    const vx_clustering *found = run->found;
    return (vx_cluster_member){.cluster = found->labels[i],
                               .place = place,
                               .clip = run->clips[i],
                               .video = run->videos[i],
                               .score = found->k ? found->scores[i] : NAN,
                               .outlier = found->outlier[i],
                               .x = run->points[2 * i],
                               .y = run->points[2 * i + 1]};
}

static int store_members(vx_cluster_run *run, const uint32_t *order, vx_err *err) {
    VX_AUTO_FREE part *p = vx_new(part);
    int64_t place = 0;
    int rc = p ? 0 : VX_FAIL(err, -ENOMEM, "no memory for members");
    for (size_t at = 0; at < run->n && !rc; at++) {
        bool same = at && run->found->labels[order[at]] == run->found->labels[order[at - 1]];
        place = same ? place + 1 : 0;
        p->run = run;
        p->members[p->n++] = member_of(run, order[at], place);
        if (p->n < AT_ONCE && at + 1 < run->n)
            continue;
        if (vx_cluster_job_is_over(run->job))
            return VX_FAIL(err, VX_CLUSTER_STOPPED, "stopped");
        rc = vx_writer_run(run->job->owner->params.writer, apply_part, NULL, p, err);
        p->n = 0;
    }
    return rc;
}

int vx_cluster_store(vx_cluster_run *run, vx_err *err) {
    VX_AUTO_FREE uint32_t *order = vx_new_array(run->n + 1, sizeof *order);
    if (!order)
        return VX_FAIL(err, -ENOMEM, "no memory to order %zu members", run->n);
    for (size_t i = 0; i < run->n; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, run->n, sizeof *order, by_place, run->found);
    run->row.summary = strdup("{}");
    run->row.request = json_dumps(run->job->request, JSON_COMPACT);
    run->row.created_us = vx_clock_unix_us();
    run->row.centroids = run->found->centroids;
    run->row.centroid_bytes = run->found->k * (size_t)run->job->model->info->dim * sizeof(float);
    int rc = run->row.summary && run->row.request
                 ? vx_writer_run(run->job->owner->params.writer, apply_row, NULL, run, err)
                 : VX_FAIL(err, -ENOMEM, "no memory for a clustering");
    run->row.centroids = NULL; /* they belong to what was found */
    return rc ? rc : store_members(run, order, err);
}

/* ---- the end ---- */

static int apply_publish(void *ctx, vx_err *err) {
    vx_cluster_run *run = ctx;
    vx_catalog *catalog = run->job->owner->params.collection->catalog;
    size_t n_outliers = 0;
    for (size_t i = 0; i < run->n; i++)
        n_outliers += run->found->outlier[i];
    json_t *report = json_pack("{s:s, s:I, s:I, s:I, s:s}", "clustering_id", run->row.id,
                               "clusters", (json_int_t)run->found->k, "clips", (json_int_t)run->n,
                               "outliers", (json_int_t)n_outliers, "why", run->found->why);
    VX_AUTO_FREE char *summary = json_dumps(run->summary, JSON_COMPACT | JSON_REAL_PRECISION(9));
    VX_AUTO_FREE char *result = vx_jobs_result(VX_OUTCOME_OK, NULL, NULL, report);
    if (!summary || !result)
        return VX_FAIL(err, -ENOMEM, "no memory for a job's result");
    int rc = vx_catalog_finish_clustering(catalog, run->row.row, summary, err);
    return rc ? rc
              : vx_jobs_end(run->job->owner->params.jobs, run->job->job.id, VX_JOB_DONE, result,
                            err);
}

int vx_cluster_publish(vx_cluster_run *run, vx_err *err) {
    return vx_writer_run(run->job->owner->params.writer, apply_publish, NULL, run, err);
}

/* ---- deleting ---- */

typedef struct forgetting {
    vx_catalog *catalog;
    const char *id;
} forgetting;

static int apply_forget(void *ctx, vx_err *err) {
    const forgetting *f = ctx;
    int rc = vx_catalog_retire_clustering(f->catalog, f->id, err);
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

int vx_cluster_forget(vx_clusterings *owner, const char *clustering_id, vx_err *err) {
    forgetting f = {owner->params.collection->catalog, clustering_id};
    int rc = vx_writer_run(owner->params.writer, apply_forget, NULL, &f, err);
    return rc ? rc : vx_cluster_drop(owner, err);
}

typedef struct deletion {
    vx_catalog *catalog;
    bool more;
} deletion;

static int apply_unfinished(void *ctx, vx_err *err) {
    return vx_catalog_retire_unfinished_clusterings(((deletion *)ctx)->catalog, err);
}

static int apply_delete(void *ctx, vx_err *err) {
    deletion *d = ctx;
    return vx_catalog_delete_members(d->catalog, AT_ONCE, &d->more, err);
}

int vx_cluster_drop(vx_clusterings *owner, vx_err *err) {
    deletion d = {owner->params.collection->catalog, true};
    int rc = vx_writer_run(owner->params.writer, apply_unfinished, NULL, &d, err);
    while (!rc && d.more && !atomic_load(&owner->stopping))
        rc = vx_writer_run(owner->params.writer, apply_delete, NULL, &d, err);
    return rc;
}
