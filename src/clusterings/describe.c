/* describe.c — what a clustering's summary says beside its members: names, and drift since the last one. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "clusterings_internal.h"
#include "search/search.h"

enum { NAMES = 3, AT_ONCE = 32 };

/* ---- names ---- */

/* The client's list, or ours. Borrowed texts; gives the array. */
static int list_concepts(const json_t *request, vx_text **ret_texts, size_t *ret_n, vx_err *err) {
    const json_t *given = json_object_get(request, "concepts");
    size_t n = json_array_size(given);
    for (; !given && vx_cluster_concepts[n]; n++)
        continue;
    vx_text *texts = vx_new_array(n + 1, sizeof *texts);
    if (!texts)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu concepts", n);
    for (size_t i = 0; i < n; i++) {
        const char *text =
            given ? json_string_value(json_array_get(given, i)) : vx_cluster_concepts[i];
        texts[i] = (vx_text){text ? text : "", text ? strlen(text) : 0};
    }
    *ret_texts = texts;
    *ret_n = n;
    return 0;
}

/* The model's own failure takes only the names away. */
static float *embed(const vx_cluster_run *run, const vx_text *texts, size_t n) {
    const vx_models *models = run->job->owner->params.collection->models;
    const vx_model *model = run->job->model;
    size_t dim = (size_t)model->info->dim;
    float *vectors = vx_new_array(n, dim * sizeof *vectors);
    vx_err err = {0};
    for (size_t i = 0; vectors && i < n && !vx_cluster_job_is_over(run->job); i += AT_ONCE) {
        vx_text_report report;
        int now = (int)(n - i < AT_ONCE ? n - i : AT_ONCE);
        if (vx_embed_texts(models, model, texts + i, now, vectors + i * dim, &report, &err)) {
            vx_log_failed(VX_LOG_WARN, "cluster", &err, "job=%s names=no", run->job->job.id);
            free(vectors);
            return NULL;
        }
    }
    return vectors;
}

static json_t *names_of(const vx_text *texts, const int32_t *best, const float *cosine, size_t n) {
    json_t *names = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(names, json_pack("{s:s, s:f}", "concept", texts[best[i]].text,
                                               "cosine", round((double)cosine[i] * 1e4) / 1e4));
    return names;
}

static int add_names(const vx_cluster_run *run, json_t *clusters, vx_err *err) {
    const vx_clustering *found = run->found;
    size_t n = 0, dim = (size_t)run->job->model->info->dim;
    VX_AUTO_FREE vx_text *texts = NULL;
    if (!run->job->model->info->has_text || !found->k)
        return 0;
    int rc = list_concepts(run->job->request, &texts, &n, err);
    if (rc || !n)
        return rc;
    VX_AUTO_FREE float *vectors = embed(run, texts, n);
    size_t n_best = n < NAMES ? n : NAMES;
    VX_AUTO_FREE int32_t *best = vx_new_array(found->k, n_best * sizeof *best);
    VX_AUTO_FREE float *cosine = vx_new_array(found->k, n_best * sizeof *cosine);
    if (!vectors)
        return 0;
    if (!best || !cosine)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu names", found->k);
    rc = vx_cluster_name(found->centroids, found->k, vectors, n, (int)dim, n_best, best, cosine,
                         err);
    for (size_t c = 0; c < found->k && !rc; c++) {
        json_t *cluster = json_array_get(clusters, c);
        json_object_set_new(cluster, "name", json_string(texts[best[c * n_best]].text));
        json_object_set_new(cluster, "names",
                            names_of(texts, best + c * n_best, cosine + c * n_best, n_best));
    }
    return rc;
}

/* ---- drift ---- */

typedef struct common {
    const vx_cluster_run *run;
    int32_t *now, *before; /* [n] labels of the clips in both */
    size_t n, n_before;
} common;

static int add_label(void *ctx, int64_t clip, int32_t label, vx_err *err) {
    common *c = ctx;
    size_t low = 0, high = c->run->n;
    (void)err;
    c->n_before++;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c->run->clips[middle] < clip)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < c->run->n && c->run->clips[low] == clip && c->n < c->run->n) {
        c->now[c->n] = c->run->found->labels[low];
        c->before[c->n++] = label;
    }
    return 0;
}

/* The newest clustering of the same vectors by the same method. */
static int find_before(const vx_cluster_run *run, vx_clustering_row *ret, bool *ret_found,
                       vx_err *err) {
    enum { LOOK_AT = 50 };
    vx_catalog *catalog = run->job->owner->params.collection->catalog;
    const char *method = json_string_value(json_object_get(run->job->request, "method"));
    vx_clustering_row *rows = NULL;
    size_t n = 0;
    int rc =
        vx_catalog_list_clusterings(catalog, 0, run->row.space, LOOK_AT, false, &rows, &n, err);
    *ret_found = false;
    for (size_t i = 0; i < n; i++) {
        json_t *request = rc || *ret_found ? NULL : json_loads(rows[i].request, 0, NULL);
        const char *other = json_string_value(json_object_get(request, "method"));
        if (other && !strcmp(other, method)) {
            rc = vx_catalog_read_centroids(catalog, &rows[i], err);
            *ret_found = !rc;
            if (!rc) {
                *ret = rows[i];
                rows[i] = (vx_clustering_row){0};
            }
            rc = rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
        }
        json_decref(request);
        vx_clustering_row_clear(&rows[i]);
    }
    free(rows);
    return rc;
}

static bool may_go_on(void *job) {
    return !vx_cluster_job_is_over(job);
}

static int match_clusters(const vx_cluster_run *run, const vx_clustering_row *before,
                          json_t *clusters, vx_err *err) {
    const vx_clustering *found = run->found;
    size_t dim = (size_t)run->job->model->info->dim;
    size_t k_before = before->centroid_bytes / (dim * sizeof(float));
    VX_AUTO_FREE int32_t *match = vx_new_array(found->k + 1, sizeof *match);
    VX_AUTO_FREE float *cosine = vx_new_array(found->k + 1, sizeof *cosine);
    if (!match || !cosine)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu clusters", found->k);
    int rc = vx_cluster_match(found->centroids, found->k, before->centroids, k_before, (int)dim,
                              may_go_on, run->job, match, cosine, err);
    for (size_t c = 0; c < found->k && !rc; c++)
        json_object_set_new(json_array_get(clusters, c), "before",
                            match[c] < 0 ? json_null()
                                         : json_pack("{s:i, s:f}", "number", match[c], "cosine",
                                                     round((double)cosine[c] * 1e4) / 1e4));
    return rc;
}

static int add_drift(vx_cluster_run *run, json_t *clusters, vx_err *err) {
    vx_clustering_row before = {0};
    bool has_before;
    int rc = find_before(run, &before, &has_before, err);
    if (rc || !has_before)
        return rc;
    VX_AUTO_FREE int32_t *now = vx_new_array(run->n, sizeof *now);
    VX_AUTO_FREE int32_t *then = vx_new_array(run->n, sizeof *then);
    common c = {.run = run, .now = now, .before = then};
    double agreement = 0;
    if (!now || !then)
        rc = VX_FAIL(err, -ENOMEM, "no memory to compare %zu clips", run->n);
    if (!rc)
        rc = match_clusters(run, &before, clusters, err);
    if (!rc)
        rc = vx_catalog_scan_labels(run->job->owner->params.collection->catalog, before.row,
                                    add_label, &c, err);
    if (!rc)
        rc = vx_cluster_agreement(now, then, c.n, &agreement, err);
    if (!rc)
        json_object_set_new(run->summary, "drift",
                            json_pack("{s:s, s:f, s:I, s:I, s:I}", "since", before.id, "agreement",
                                      round(agreement * 1e4) / 1e4, "clips_in_both",
                                      (json_int_t)c.n, "clips_new", (json_int_t)(run->n - c.n),
                                      "clips_gone", (json_int_t)(c.n_before - c.n)));
    vx_clustering_row_clear(&before);
    return rc;
}

/* ---- all ---- */

static json_t *list_clusters(const vx_cluster_run *run) {
    const vx_clustering *found = run->found;
    VX_AUTO_FREE double *sums = vx_new_array(found->k + 1, sizeof *sums);
    json_t *clusters = json_array();
    for (size_t i = 0; sums && i < run->n; i++)
        if (found->labels[i] >= 0)
            sums[found->labels[i]] += (double)found->scores[i];
    for (size_t c = 0; sums && c < found->k; c++)
        json_array_append_new(
            clusters, json_pack("{s:I, s:n, s:[], s:f, s:n}", "clips_found",
                                (json_int_t)found->sizes[c], "name", "names", "mean_score",
                                round(sums[c] / (double)found->sizes[c] * 1e4) / 1e4, "before"));
    return clusters;
}

int vx_cluster_describe(vx_cluster_run *run, vx_err *err) {
    const vx_clustering *found = run->found;
    json_t *clusters = list_clusters(run);
    run->summary = json_pack("{s:I, s:s, s:f, s:i, s:b, s:[f, f], s:n, s:O}", "clips_found",
                             (json_int_t)run->n, "why", found->why, "mean_score",
                             found->k ? round(found->mean_score * 1e6) / 1e6 : 0.0, "iterations",
                             found->iterations, "converged", (int)found->converged,
                             "variance_shown", round(run->share[0] * 1e4) / 1e4,
                             round(run->share[1] * 1e4) / 1e4, "drift", "clusters", clusters);
    int rc = run->summary && json_array_size(clusters) == found->k
                 ? 0
                 : VX_FAIL(err, -ENOMEM, "no memory to describe %zu clusters", found->k);
    if (!rc)
        rc = add_names(run, clusters, err);
    if (!rc)
        rc = add_drift(run, clusters, err);
    json_decref(clusters);
    return rc;
}
