/* kmeans.c — spherical k-means: Lloyd's iterations with unit vectors and cosines.
 *
 *   start    k-means++ (D. Arthur, S. Vassilvitskii, SODA 2007) on a sample of the rows
 *   assign   each row to the nearest centroid: exact scores, of equal ones the first centroid (index/)
 *   update   each centroid is the direction of the mean of its rows, summed in double in the order of rows
 *
 * Pieces of work are fixed ranges of rows or centroids, and sums over pieces are added up in their order.
 * So nothing depends on which thread did what. A row searches with the score of its present centroid as the
 * floor, so that few rows have to be scored exactly: late iterations cost little more than the pass over
 * 8-bit codes.
 *
 * A centroid without rows takes the row that is worst off, if that is no copy of its centroid.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/simd.h"
#include "cluster_internal.h"

enum { PIECE = 2048, DEFAULT_ITERATIONS = 50, DEFAULT_RESTARTS = 3, DEFAULT_MAX_K = 256 };

/* ---- one run ---- */

typedef struct run {
    const vx_cluster_input *input;
    size_t k, dim;
    float *centroids;    /* [k, dim] */
    vx_neighbour *found; /* [n] the nearest centroid of each row */
    float *floors;       /* [n] */
    size_t *starts;      /* [k + 1] where the rows of each centroid begin in `order` */
    uint32_t *order;     /* [n] rows by centroid, rising in each */
    double mean_score;
    int iterations;
    bool converged;
} run;

static void run_done(run *r) {
    free(r->centroids);
    free(r->found);
    free(r->floors);
    free(r->starts);
    free(r->order);
}

static int run_init(run *r, const vx_cluster_input *input, size_t k, vx_err *err) {
    *r = (run){.input = input, .k = k, .dim = (size_t)input->dim};
    r->centroids = vx_new_array(k, r->dim * sizeof *r->centroids);
    r->found = vx_new_array(input->n, sizeof *r->found);
    r->floors = vx_new_array(input->n, sizeof *r->floors);
    r->starts = vx_new_array(k + 1, sizeof *r->starts);
    r->order = vx_new_array(input->n, sizeof *r->order);
    return r->centroids && r->found && r->floors && r->starts && r->order
               ? 0
               : VX_FAIL(err, -ENOMEM, "no memory for %zu clusters of %zu vectors", k, input->n);
}

/* ---- the start ---- */

typedef struct seeding {
    const vx_cluster_input *input;
    const uint32_t *rows; /* [n] of the sample */
    size_t n;
    float *distances; /* [n] squared, to the nearest centroid so far */
    float *trial;     /* [n] the same with one more */
} seeding;

/* Fills trial; returns its sum. */
static double try_centroid(seeding *s, size_t chosen) {
    size_t dim = (size_t)s->input->dim;
    const float *centroid = s->input->vectors + s->rows[chosen] * dim;
    double sum = 0;
    for (size_t j = 0; j < s->n; j++) {
        float cosine = vx_cluster_dot(s->input->vectors + s->rows[j] * dim, centroid, dim);
        float distance = 2 - 2 * cosine > 1e-6F ? 2 - 2 * cosine : 0;
        s->trial[j] = distance < s->distances[j] ? distance : s->distances[j];
        sum += (double)s->trial[j];
    }
    return sum;
}

/* Each with the chance of its squared distance; any, where all are copies of centroids. */
static size_t draw(const seeding *s, double sum, vx_random *random) {
    if (!(sum > 0))
        return (size_t)vx_random_below(random, s->n);
    double left = vx_random_unit(random) * sum;
    size_t last = 0;
    for (size_t j = 0; j < s->n; j++) {
        if (!(s->distances[j] > 0))
            continue;
        last = j;
        left -= (double)s->distances[j];
        if (left < 0)
            break;
    }
    return last;
}

/* Of several draws the one that leaves the smallest distances, where there are few clusters: one that has no
 * centroid of its own matters more there. Its distances become those of the seeding. */
static size_t choose_centroid(seeding *s, size_t k, double *sum, vx_random *random) {
    int draws = k <= 128 ? 4 : 1;
    size_t best = 0;
    double least = INFINITY;
    for (int i = 0; i < draws; i++) {
        size_t drawn = draw(s, *sum, random);
        double left = try_centroid(s, drawn);
        if (left < least) {
            least = left;
            best = drawn;
        }
    }
    *sum = draws > 1 ? try_centroid(s, best) : least;
    memcpy(s->distances, s->trial, s->n * sizeof *s->trial);
    return best;
}

static int start(run *r, vx_random *random, const vx_cluster_work *at, vx_err *err) {
    enum { PER_CLUSTER = 8, AT_LEAST = 4096, ASK_EVERY = 16 };
    size_t n = r->k * PER_CLUSTER < AT_LEAST ? AT_LEAST : r->k * PER_CLUSTER;
    n = n < r->input->n ? n : r->input->n;
    VX_AUTO_FREE uint32_t *rows = vx_new_array(n, sizeof *rows);
    VX_AUTO_FREE float *distances = vx_new_array(n, 2 * sizeof *distances);
    if (!rows || !distances)
        return VX_FAIL(err, -ENOMEM, "no memory to begin with %zu vectors", n);
    vx_random_sample(random, r->input->n, n, rows);
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += (double)(distances[j] = 4);
    seeding s = {.input = r->input, .rows = rows, .n = n, .distances = distances};
    s.trial = distances + n;
    for (size_t c = 0; c < r->k; c++) {
        if (c % ASK_EVERY == 0 && r->input->go_on &&
            !r->input->go_on(r->input->ctx, at->first, at->total))
            return VX_FAIL(err, VX_CLUSTER_STOPPED, "stopped");
        size_t chosen = choose_centroid(&s, r->k, &sum, random);
        memcpy(r->centroids + c * r->dim, r->input->vectors + rows[chosen] * r->dim,
               r->dim * sizeof *r->centroids);
    }
    return 0;
}

/* ---- the iterations ---- */

static void sort_rows(run *r) {
    size_t n = r->input->n;
    memset(r->starts, 0, (r->k + 1) * sizeof *r->starts);
    for (size_t row = 0; row < n; row++)
        r->starts[r->found[row].id + 1]++;
    for (size_t c = 0; c < r->k; c++)
        r->starts[c + 1] += r->starts[c];
    for (size_t row = 0; row < n; row++)
        r->order[r->starts[r->found[row].id]++] = (uint32_t)row;
    memmove(r->starts + 1, r->starts, r->k * sizeof *r->starts);
    r->starts[0] = 0;
}

VX_SIMD_CLONES static void add_row(double *sum, const float *row, size_t dim) {
#pragma omp simd
    for (size_t i = 0; i < dim; i++)
        sum[i] += (double)row[i];
}

/* One centroid from its rows; one whose rows cancel each other out stays. */
static int update_piece(void *ctx, size_t c, vx_err *err) {
    const run *r = ctx;
    VX_AUTO_FREE double *sum = vx_new_array(r->dim, sizeof *sum);
    if (!sum)
        return VX_FAIL(err, -ENOMEM, "no memory for a centroid");
    for (size_t i = r->starts[c]; i < r->starts[c + 1]; i++)
        add_row(sum, r->input->vectors + r->order[i] * r->dim, r->dim);
    vx_cluster_normalize(sum, (int)r->dim, r->centroids + c * r->dim);
    return 0;
}

static int by_score(const void *a, const void *b, void *ctx) {
    const vx_neighbour *found = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (found[x].score != found[y].score)
        return found[x].score < found[y].score ? -1 : 1;
    return (x > y) - (x < y);
}

#define IS_COPY (1 - 1e-6F) /* a score from here on */

/* The worst rows become the centroids that have none. */
static void fill_empty(run *r) {
    size_t n_empty = 0, next = 0;
    for (size_t c = 0; c < r->k; c++)
        n_empty += r->starts[c] == r->starts[c + 1];
    if (!n_empty)
        return;
    qsort_r(r->order, r->input->n, sizeof *r->order, by_score, r->found);
    for (size_t c = 0; c < r->k && next < r->input->n; c++) {
        if (r->starts[c] != r->starts[c + 1])
            continue;
        uint32_t row = r->order[next++];
        if (r->found[row].score >= IS_COPY)
            return;
        memcpy(r->centroids + c * r->dim, r->input->vectors + row * r->dim,
               r->dim * sizeof *r->centroids);
    }
}

/* What each row's centroid scores with it now: no better one can score less. */
static int floor_piece(void *ctx, size_t i, vx_err *err) {
    const run *r = ctx;
    float slack = (float)(r->dim + 16) * 0x1p-24F;
    (void)err;
    for (size_t row = i * PIECE; row < r->input->n && row < (i + 1) * PIECE; row++) {
        const float *centroid = r->centroids + (size_t)r->found[row].id * r->dim;
        float score = vx_cluster_dot(r->input->vectors + row * r->dim, centroid, r->dim);
        r->floors[row] = score - slack; /* summed in float32, while the search rounds once */
    }
    return 0;
}

/* ret_changed: rows that have another centroid than before. */
static int assign(run *r, bool first, vx_cluster_work *at, int64_t *ret_changed, vx_err *err) {
    size_t n = r->input->n;
    VX_AUTO_FREE int32_t *before = vx_new_array(n, sizeof *before);
    if (!before)
        return VX_FAIL(err, -ENOMEM, "no memory to assign %zu vectors", n);
    for (size_t row = 0; row < n; row++)
        before[row] = first ? -1 : (int32_t)r->found[row].id;
    int rc = vx_cluster_nearest(r->input, r->centroids, r->k, 1, first ? NULL : r->floors, r->found,
                                at, err);
    at->first += (int64_t)at->n;
    double sum = 0;
    *ret_changed = 0;
    for (size_t row = 0; row < n && !rc; row++) {
        if (r->found[row].id < 0)
            return VX_FAIL(err, -EINVAL, "vector %zu is no unit vector", row);
        *ret_changed += before[row] != (int32_t)r->found[row].id;
        sum += (double)r->found[row].score;
    }
    r->mean_score = sum / (double)n;
    return rc;
}

static int update(run *r, vx_err *err) {
    const vx_cluster_input quiet = {.threads = r->input->threads};
    vx_cluster_work work = {.piece = update_piece, .ctx = r, .n = r->k};
    sort_rows(r);
    int rc = vx_cluster_do(&quiet, &work, err);
    fill_empty(r);
    work.piece = floor_piece;
    work.n = (r->input->n + PIECE - 1) / PIECE;
    return rc ? rc : vx_cluster_do(&quiet, &work, err);
}

/* at: first is moved on by n for each assignment, of which there are up to iterations + 1. */
static int run_once(run *r, int iterations, uint64_t seed, vx_cluster_work *at, vx_err *err) {
    vx_random random = {.state = seed};
    int64_t end = at->first + (int64_t)at->n * (iterations + 1), changed = 1;
    int rc = start(r, &random, at, err);
    for (r->iterations = 0; !rc; r->iterations++) {
        rc = assign(r, r->iterations == 0, at, &changed, err);
        if (rc || !changed || r->iterations == iterations)
            break;
        rc = update(r, err);
    }
    r->converged = !rc && !changed;
    at->first = end;
    return rc;
}

/* The best of several runs, in *best. */
static int run_restarts(const vx_cluster_input *input, size_t k, int iterations, int restarts,
                        uint64_t seed, vx_cluster_work *at, run *best, vx_err *err) {
    for (int i = 0; i < restarts; i++) {
        run r;
        int rc = run_init(&r, input, k, err);
        if (!rc)
            rc = run_once(&r, iterations, seed + (uint64_t)i * 1000003, at, err);
        if (!rc && (i == 0 || r.mean_score > best->mean_score)) {
            run worse = *best;
            *best = r;
            r = worse;
        }
        run_done(&r);
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- how many clusters ---- */

/* For each row a is the distance to its own centroid and b that to the next one; (b - a) / b is 1 where
 * clusters lie far apart and 0 where a row could be in either (the simplified silhouette; E. Hruschka,
 * L. de Castro, R. Campello: Evolutionary Algorithms for Clustering Gene-Expression Data, ICDM 2004). */
static int silhouette(const run *r, double *ret_mean, vx_err *err) {
    size_t n = r->input->n;
    VX_AUTO_FREE vx_neighbour *two = vx_new_array(n, 2 * sizeof *two);
    const vx_cluster_input quiet = {
        .vectors = r->input->vectors, .n = n, .dim = r->input->dim, .threads = r->input->threads};
    if (!two)
        return VX_FAIL(err, -ENOMEM, "no memory to judge %zu clusters", r->k);
    int rc = vx_cluster_nearest(&quiet, r->centroids, r->k, 2, NULL, two, NULL, err);
    double sum = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        double a = sqrt(fmax(0, 2 - 2 * (double)two[2 * i].score));
        double b = sqrt(fmax(0, 2 - 2 * (double)two[2 * i + 1].score));
        sum += b > 0 ? (b - a) / b : 0;
    }
    *ret_mean = sum / (double)n;
    return rc;
}

enum { SAMPLE = 10000, CANDIDATES = 64, CHOICE_ITERATIONS = 20, CHOICE_RESTARTS = 3 };

/* 2, 3, … 16, and from there a quarter more each time. */
static size_t list_candidates(size_t max_k, size_t *ret) {
    size_t n = 0;
    for (size_t k = 2; k <= max_k && n < CANDIDATES; k = k < 16 ? k + 1 : k * 5 / 4)
        ret[n++] = k;
    return n;
}

static int copy_sample(const vx_cluster_input *input, uint64_t seed, float **ret_vectors,
                       size_t *ret_n, vx_err *err) {
    size_t n = input->n < SAMPLE ? input->n : SAMPLE, dim = (size_t)input->dim;
    VX_AUTO_FREE uint32_t *rows = vx_new_array(n, sizeof *rows);
    float *vectors = vx_new_array(n, dim * sizeof *vectors);
    *ret_vectors = vectors;
    *ret_n = n;
    if (!rows || !vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for a sample of %zu vectors", n);
    vx_random random = {.state = seed ^ 0x5a5a5a5a};
    vx_random_sample(&random, input->n, n, rows);
    for (size_t i = 0; i < n; i++)
        memcpy(vectors + i * dim, input->vectors + rows[i] * dim, dim * sizeof *vectors);
    return 0;
}

static void explain(const size_t *candidates, const double *scores, size_t n, size_t best,
                    size_t sample, char why[512]) {
    size_t next = best ? 0 : 1;
    for (size_t i = 0; i < n; i++)
        if (i != best && scores[i] > scores[next])
            next = i;
    int used =
        snprintf(why, 512,
                 "k = %zu was chosen: of %zu numbers from 2 to %zu, tried on %zu vectors, it "
                 "separates them best, with a mean silhouette of %.3f",
                 candidates[best], n, candidates[n - 1], sample, scores[best]);
    if (n > 1)
        snprintf(why + used, 512 - (size_t)used, "; the next best is %zu with %.3f",
                 candidates[next], scores[next]);
    if (scores[best] < 0.1)
        strncat(why, ". Values near 0 say that there are no clear groups", 511 - strlen(why));
}

static int choose_k(const vx_cluster_input *input, const vx_kmeans_params *p, size_t *ret_k,
                    char why[512], vx_err *err) {
    size_t candidates[CANDIDATES], max_k = p->max_k ? (size_t)p->max_k : DEFAULT_MAX_K, best = 0;
    double scores[CANDIDATES];
    max_k = max_k < input->n / 2 ? max_k : input->n / 2;
    size_t n = list_candidates(max_k, candidates);
    *ret_k = 1;
    if (!n) {
        snprintf(why, 512, "k = 1 was chosen: %zu vectors are too few for more", input->n);
        return 0;
    }
    VX_AUTO_FREE float *vectors = NULL;
    vx_cluster_input sample = *input;
    int rc = copy_sample(input, p->seed, &vectors, &sample.n, err);
    sample.vectors = vectors;
    vx_cluster_work at = {.n = (sample.n + PIECE - 1) / PIECE};
    at.total = (int64_t)(n * at.n * (CHOICE_ITERATIONS + 1) * CHOICE_RESTARTS);
    for (size_t i = 0; i < n && !rc; i++) {
        run r = {0};
        rc = run_restarts(&sample, candidates[i], CHOICE_ITERATIONS, CHOICE_RESTARTS, p->seed, &at,
                          &r, err);
        if (!rc)
            rc = silhouette(&r, &scores[i], err);
        run_done(&r);
        best = !rc && scores[i] > scores[best] ? i : best;
    }
    if (rc)
        return rc;
    *ret_k = candidates[best];
    explain(candidates, scores, n, best, sample.n, why);
    return 0;
}

/* ---- all ---- */

static int check(const vx_cluster_input *input, const vx_kmeans_params *p, vx_err *err) {
    if (p->k < 0 || p->k > VX_CLUSTER_MAX_K || p->max_k < 0 || p->max_k > VX_CLUSTER_MAX_K ||
        p->iterations < 0 || p->iterations > VX_CLUSTER_MAX_ITERATIONS || p->restarts < 0 ||
        p->restarts > VX_CLUSTER_MAX_RESTARTS)
        return VX_FAIL(err, -EINVAL,
                       "k-means with k %d, %d iterations, %d restarts is not possible", p->k,
                       p->iterations, p->restarts);
    if (!input->n || input->n > UINT32_MAX / 2)
        return VX_FAIL(err, -EINVAL, "%zu vectors cannot be clustered", input->n);
    return 0;
}

static int32_t *labels_of(const run *r) {
    int32_t *labels = vx_new_array(r->input->n, sizeof *labels);
    for (size_t row = 0; labels && row < r->input->n; row++)
        labels[row] = (int32_t)r->found[row].id;
    return labels;
}

int vx_kmeans_run(const vx_cluster_input *input, const vx_kmeans_params *p,
                  vx_clustering **ret_clustering, vx_err *err) {
    int iterations = p->iterations ? p->iterations : DEFAULT_ITERATIONS;
    int restarts = p->restarts ? p->restarts : DEFAULT_RESTARTS;
    size_t k = (size_t)p->k;
    char why[512];
    int rc = check(input, p, err);
    if (!rc && !k)
        rc = choose_k(input, p, &k, why, err);
    if (rc)
        return rc;
    k = k < input->n ? k : input->n;
    __attribute__((cleanup(run_done))) run best = {0};
    vx_cluster_work at = {.n = (input->n + PIECE - 1) / PIECE};
    at.total = (int64_t)at.n * (iterations + 1) * restarts;
    rc = run_restarts(input, k, iterations, restarts, p->seed, &at, &best, err);
    if (rc)
        return rc;
    int32_t *labels = labels_of(&best);
    if (!labels)
        return VX_FAIL(err, -ENOMEM, "no memory for the labels of %zu vectors", input->n);
    VX_AUTO(vx_clustering) c = NULL;
    rc = vx_cluster_finish(input, labels, k, vx_take(best.centroids), &c, err);
    if (rc)
        return rc;
    c->iterations = best.iterations;
    c->converged = best.converged;
    if (p->k && c->k < (size_t)p->k)
        snprintf(c->why, sizeof c->why, "k = %d was asked for; the vectors form only %zu clusters",
                 p->k, c->k);
    else if (p->k)
        snprintf(c->why, sizeof c->why, "k = %d was asked for", p->k);
    else
        snprintf(c->why, sizeof c->why, "%s", why);
    *ret_clustering = vx_take(c);
    return 0;
}
