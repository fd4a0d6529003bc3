/* finish.c — from labels to a whole clustering: means, order, scores, outliers. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cluster_internal.h"

vx_clustering *vx_clustering_free(vx_clustering *clustering) {
    if (!clustering)
        return NULL;
    free(clustering->labels);
    free(clustering->scores);
    free(clustering->outlier);
    free(clustering->centroids);
    free(clustering->sizes);
    free(clustering);
    return NULL;
}

static int no_memory(size_t n, vx_err *err) {
    return VX_FAIL(err, -ENOMEM, "no memory for the clusters of %zu vectors", n);
}

/* ---- order ---- */

typedef struct place {
    int64_t size;
    size_t first; /* row */
    size_t old;
} place;

static int by_size(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Gives labels their new numbers; places[i].old is what cluster i was called. */
static int reorder(vx_clustering *c, size_t k, place *places, vx_err *err) {
    VX_AUTO_FREE int32_t *number = vx_new_array(k + 1, sizeof *number);
    if (!number)
        return no_memory(c->n, err);
    for (size_t i = 0; i < k; i++)
        places[i] = (place){.first = SIZE_MAX, .old = i};
    for (size_t row = 0; row < c->n; row++) {
        if (c->labels[row] < 0)
            continue;
        place *p = &places[c->labels[row]];
        p->size++;
        p->first = row < p->first ? row : p->first;
    }
    qsort(places, k, sizeof *places, by_size);
    while (c->k < k && places[c->k].size)
        c->k++;
    for (size_t i = 0; i < k; i++)
        number[places[i].old] = (int32_t)i;
    for (size_t row = 0; row < c->n; row++)
        if (c->labels[row] >= 0)
            c->labels[row] = number[c->labels[row]];
    c->sizes = vx_new_array(c->k + 1, sizeof *c->sizes);
    if (!c->sizes)
        return no_memory(c->n, err);
    for (size_t i = 0; i < c->k; i++)
        c->sizes[i] = places[i].size;
    return 0;
}

/* ---- means ---- */

static int compute_centroids(const vx_cluster_input *input, vx_clustering *c, vx_err *err) {
    size_t dim = (size_t)input->dim;
    VX_AUTO_FREE double *sums = vx_new_array(c->k * dim + 1, sizeof *sums);
    if (!sums)
        return no_memory(c->n, err);
    for (size_t row = 0; row < c->n; row++)
        for (size_t i = 0; c->labels[row] >= 0 && i < dim; i++)
            sums[(size_t)c->labels[row] * dim + i] += (double)input->vectors[row * dim + i];
    for (size_t i = 0; i < c->k; i++)
        if (!vx_cluster_normalize(sums + i * dim, input->dim, c->centroids + i * dim))
            for (size_t row = 0; row < c->n; row++) /* they cancel each other out: any of them */
                if (c->labels[row] == (int32_t)i)
                    memcpy(c->centroids + i * dim, input->vectors + row * dim, dim * sizeof(float));
    return 0;
}

static int set_centroids(const vx_cluster_input *input, vx_clustering *c, const place *places,
                         const float *given, vx_err *err) {
    size_t dim = (size_t)input->dim;
    c->centroids = vx_new_array(c->k * dim + 1, sizeof *c->centroids);
    if (!c->centroids)
        return no_memory(c->n, err);
    if (!given)
        return compute_centroids(input, c, err);
    for (size_t i = 0; i < c->k; i++)
        memcpy(c->centroids + i * dim, given + places[i].old * dim, dim * sizeof(float));
    return 0;
}

/* ---- scores and outliers ---- */

/* Rows in no cluster, with the nearest centroid. */
static int score_others(const vx_cluster_input *input, vx_clustering *c, vx_err *err) {
    size_t dim = (size_t)input->dim, n = 0, at = 0;
    for (size_t row = 0; row < c->n; row++)
        n += c->labels[row] < 0;
    if (!n || !c->k)
        return 0;
    VX_AUTO_FREE float *vectors = vx_new_array(n, dim * sizeof *vectors);
    VX_AUTO_FREE float *scores = vx_new_array(n, sizeof *scores);
    VX_AUTO_FREE int32_t *nearest = vx_new_array(n, sizeof *nearest);
    if (!vectors || !scores || !nearest)
        return no_memory(c->n, err);
    for (size_t row = 0; row < c->n; row++)
        if (c->labels[row] < 0)
            memcpy(vectors + at++ * dim, input->vectors + row * dim, dim * sizeof *vectors);
    vx_cluster_input others = *input;
    others.vectors = vectors;
    others.n = n;
    int rc = vx_cluster_assign(&others, c->centroids, c->k, nearest, scores, err);
    at = 0;
    for (size_t row = 0; row < c->n && !rc; row++)
        if (c->labels[row] < 0)
            c->scores[row] = scores[at++];
    return rc;
}

static int score_rows(const vx_cluster_input *input, vx_clustering *c, vx_err *err) {
    size_t dim = (size_t)input->dim;
    double sum = 0;
    for (size_t row = 0; row < c->n; row++) {
        int32_t label = c->labels[row];
        float score = label < 0 ? -1
                                : vx_cluster_dot(input->vectors + row * dim,
                                                 c->centroids + (size_t)label * dim, dim);
        c->scores[row] = score > 1 ? 1 : score;
    }
    int rc = score_others(input, c, err);
    for (size_t row = 0; row < c->n; row++)
        sum += (double)c->scores[row];
    c->mean_score = sum / (double)c->n;
    return rc;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Beyond Tukey's outer fence: three times the middle half's width farther than it. A cluster of few tells
 * nothing about what is usual. */
#define FENCE 3
#define MIN_MEMBERS 8

static int find_outliers(vx_clustering *c, vx_err *err) {
    VX_AUTO_FREE float *sorted = vx_new_array(c->n + 1, sizeof *sorted);
    VX_AUTO_FREE size_t *ends = vx_new_array(c->k + 1, sizeof *ends);
    VX_AUTO_FREE float *least = vx_new_array(c->k + 1, sizeof *least);
    if (!sorted || !ends || !least)
        return no_memory(c->n, err);
    for (size_t i = 1; i < c->k; i++)
        ends[i] = ends[i - 1] + (size_t)c->sizes[i - 1];
    for (size_t row = 0; row < c->n; row++)
        if (c->labels[row] >= 0)
            sorted[ends[c->labels[row]]++] = c->scores[row];
    for (size_t i = 0; i < c->k; i++) {
        size_t n = (size_t)c->sizes[i];
        float *scores = sorted + ends[i] - n;
        qsort(scores, n, sizeof *scores, by_value);
        float low = scores[n / 4], high = scores[n * 3 / 4];
        least[i] = n < MIN_MEMBERS ? -2 : low - FENCE * (high - low);
    }
    for (size_t row = 0; row < c->n; row++)
        c->outlier[row] = c->labels[row] < 0 || c->scores[row] < least[c->labels[row]] - 1e-6F;
    return 0;
}

int vx_cluster_finish(const vx_cluster_input *input, int32_t *labels, size_t k, float *centroids,
                      vx_clustering **ret_clustering, vx_err *err) {
    VX_AUTO_FREE float *given = centroids;
    VX_AUTO_FREE place *places = vx_new_array(k + 1, sizeof *places);
    VX_AUTO(vx_clustering) c = vx_new(vx_clustering);
    if (!c)
        free(labels);
    if (!c || !places)
        return c ? (c->labels = labels, no_memory(input->n, err)) : no_memory(input->n, err);
    c->n = input->n;
    c->labels = labels;
    c->scores = vx_new_array(c->n + 1, sizeof *c->scores);
    c->outlier = vx_new_array(c->n + 1, 1);
    if (!c->scores || !c->outlier)
        return no_memory(c->n, err);
    int rc = reorder(c, k, places, err);
    if (!rc)
        rc = set_centroids(input, c, places, given, err);
    if (!rc)
        rc = score_rows(input, c, err);
    if (!rc)
        rc = find_outliers(c, err);
    if (!rc)
        *ret_clustering = vx_take(c);
    return rc;
}
