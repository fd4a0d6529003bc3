/* describe.c — a picture of the vectors, names of clusters, and how two clusterings agree. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cluster_internal.h"

/* ---- principal components ---- */

/* By power iteration on the rows themselves, so that no covariance of dim² numbers is needed: the first
 * direction, then the first of what is perpendicular to it. Where two components have much the same variance
 * any direction between them is as good a picture, so it need not converge further. */
enum { SAMPLE = 8192, PIECE = 256, ITERATIONS = 200 };
#define TOLERANCE 1e-7 /* of the direction's change */

typedef struct cloud {
    const vx_cluster_input *input;
    const uint32_t *rows; /* [n] of the sample */
    size_t n, dim;
    float *mean;           /* [dim] */
    float *directions[2];  /* [dim] unit */
    const float *multiply; /* [dim] what a piece multiplies with */
    double *sums;          /* [pieces, dim] */
    float *points;         /* [input->n, 2] */
} cloud;

/* Rows of the sample, less the mean, times their product with a direction. */
static int multiply_piece(void *ctx, size_t i, vx_err *err) {
    const cloud *c = ctx;
    double *sum = c->sums + i * c->dim;
    float offset = vx_cluster_dot(c->mean, c->multiply, c->dim);
    (void)err;
    memset(sum, 0, c->dim * sizeof *sum);
    for (size_t j = i * PIECE; j < c->n && j < (i + 1) * PIECE; j++) {
        const float *row = c->input->vectors + c->rows[j] * c->dim;
        double weight = (double)(vx_cluster_dot(row, c->multiply, c->dim) - offset);
        for (size_t d = 0; d < c->dim; d++)
            sum[d] += weight * (double)(row[d] - c->mean[d]);
    }
    return 0;
}

static int find_direction(cloud *c, int which, double *ret_variance, vx_err *err) {
    float *direction = c->directions[which];
    VX_AUTO_FREE float *next = vx_new_array(c->dim, sizeof *next);
    if (!next)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture of the clusters");
    const vx_cluster_work work = {
        .piece = multiply_piece, .ctx = c, .n = (c->n + PIECE - 1) / PIECE};
    vx_random random = {.state = (uint64_t)which + 1};
    for (size_t d = 0; d < c->dim; d++)
        direction[d] = (float)(vx_random_unit(&random) - 0.5);
    double change = 1;
    for (int i = 0; i < ITERATIONS && change > TOLERANCE; i++) {
        c->multiply = direction;
        int rc = vx_cluster_do(c->input, &work, err);
        if (rc)
            return rc;
        double *sum = c->sums, along = 0, norm = 0;
        for (size_t p = 1; p < work.n; p++)
            for (size_t d = 0; d < c->dim; d++)
                sum[d] += c->sums[p * c->dim + d];
        for (size_t d = 0; which && d < c->dim; d++)
            along += sum[d] * (double)c->directions[0][d];
        for (size_t d = 0; d < c->dim; d++) {
            sum[d] -= which ? along * (double)c->directions[0][d] : 0;
            norm += sum[d] * sum[d];
        }
        *ret_variance = sqrt(norm) / (double)c->n;
        if (!vx_cluster_normalize(sum, (int)c->dim, next)) {
            memset(direction, 0, c->dim * sizeof *direction);
            *ret_variance = 0;
            return 0; /* the rows do not differ any more */
        }
        change = i ? 1 - (double)vx_cluster_dot(next, direction, c->dim) : 1;
        memcpy(direction, next, c->dim * sizeof *direction);
    }
    return 0;
}

static int place_piece(void *ctx, size_t i, vx_err *err) {
    const cloud *c = ctx;
    (void)err;
    for (int which = 0; which < 2; which++) {
        float offset = vx_cluster_dot(c->mean, c->directions[which], c->dim);
        for (size_t row = i * PIECE; row < c->input->n && row < (i + 1) * PIECE; row++)
            c->points[2 * row + (size_t)which] =
                vx_cluster_dot(c->input->vectors + row * c->dim, c->directions[which], c->dim) -
                offset;
    }
    return 0;
}

static double find_mean(cloud *c) {
    double variance = 0;
    for (size_t d = 0; d < c->dim; d++) {
        double sum = 0, squares = 0;
        for (size_t j = 0; j < c->n; j++) {
            double x = (double)c->input->vectors[c->rows[j] * c->dim + d];
            sum += x;
            squares += x * x;
        }
        c->mean[d] = (float)(sum / (double)c->n);
        variance += squares / (double)c->n - sum / (double)c->n * (sum / (double)c->n);
    }
    return variance;
}

/* The sign is a matter of taste; this one is the same in every run: the largest number is positive. */
static void fix_sign(float *direction, size_t dim) {
    size_t largest = 0;
    for (size_t d = 1; d < dim; d++)
        largest = fabsf(direction[d]) > fabsf(direction[largest]) ? d : largest;
    bool negative = direction[largest] < 0;
    for (size_t d = 0; negative && d < dim; d++)
        direction[d] = -direction[d];
}

int vx_cluster_project(const vx_cluster_input *input, float *ret_points, double ret_share[2],
                       vx_err *err) {
    const vx_cluster_input quiet = {
        .vectors = input->vectors, .n = input->n, .dim = input->dim, .threads = input->threads};
    size_t n = input->n < SAMPLE ? input->n : SAMPLE, dim = (size_t)input->dim;
    VX_AUTO_FREE uint32_t *rows = vx_new_array(n, sizeof *rows);
    VX_AUTO_FREE float *vectors = vx_new_array(dim, 3 * sizeof *vectors);
    VX_AUTO_FREE double *sums = vx_new_array((n + PIECE - 1) / PIECE * dim, sizeof *sums);
    if (!rows || !vectors || !sums)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture of the clusters");
    vx_random random = {0};
    vx_random_sample(&random, input->n, n, rows);
    cloud c = {
        .input = &quiet, .rows = rows, .n = n, .dim = dim, .sums = sums, .points = ret_points};
    c.mean = vectors;
    c.directions[0] = vectors + dim;
    c.directions[1] = vectors + 2 * dim;
    double all = find_mean(&c);
    int rc = 0;
    for (int which = 0; which < 2 && !rc; which++) {
        double variance = 0;
        rc = find_direction(&c, which, &variance, err);
        ret_share[which] = all > 1e-12 ? fmin(variance / all, 1) : 0;
        fix_sign(c.directions[which], dim);
    }
    const vx_cluster_work work = {
        .piece = place_piece, .ctx = &c, .n = (input->n + PIECE - 1) / PIECE};
    return rc ? rc : vx_cluster_do(&quiet, &work, err);
}

/* ---- names ---- */

static void center_texts(const float *texts, size_t n, size_t dim, float *ret) {
    for (size_t d = 0; d < dim; d++) {
        double mean = 0;
        for (size_t t = 0; t < n; t++)
            mean += (double)texts[t * dim + d] / (double)n;
        for (size_t t = 0; t < n; t++)
            ret[t * dim + d] = texts[t * dim + d] - (n > 1 ? (float)mean : 0);
    }
    for (size_t t = 0; t < n; t++) {
        float norm = sqrtf(vx_cluster_dot(ret + t * dim, ret + t * dim, dim));
        for (size_t d = 0; d < dim; d++)
            ret[t * dim + d] = norm > 1e-6F ? ret[t * dim + d] / norm : 0;
    }
}

int vx_cluster_name(const float *centroids, size_t k, const float *texts, size_t n_texts, int dim,
                    size_t n_best, int32_t *ret_best, float *ret_cosine, vx_err *err) {
    size_t n = (size_t)dim;
    VX_AUTO_FREE float *centered = vx_new_array(n_texts, n * sizeof *centered);
    VX_AUTO_FREE float *best = vx_new_array(n_best, sizeof *best);
    if (!centered || !best)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu concepts", n_texts);
    center_texts(texts, n_texts, n, centered);
    for (size_t c = 0; c < k; c++) {
        size_t n_found = 0;
        for (size_t t = 0; t < n_texts; t++) {
            float score = vx_cluster_dot(centroids + c * n, centered + t * n, n);
            if (n_found == n_best && score <= best[n_best - 1])
                continue;
            size_t at = n_found < n_best ? n_found++ : n_best - 1;
            int32_t *numbers = ret_best + c * n_best;
            for (; at && score > best[at - 1]; at--) {
                best[at] = best[at - 1];
                numbers[at] = numbers[at - 1];
            }
            best[at] = score;
            numbers[at] = (int32_t)t;
        }
        for (size_t i = 0; i < n_found; i++)
            ret_cosine[c * n_best + i] =
                vx_cluster_dot(centroids + c * n, texts + (size_t)ret_best[c * n_best + i] * n, n);
    }
    return 0;
}

/* ---- two clusterings ---- */

typedef struct pair {
    int32_t a, b;
} pair;

static int by_pair(const void *x, const void *y) {
    const pair *p = x, *q = y;
    if (p->a != q->a)
        return p->a < q->a ? -1 : 1;
    return (p->b > q->b) - (p->b < q->b);
}

static int by_b(const void *x, const void *y) {
    const pair *p = x, *q = y;
    return (p->b > q->b) - (p->b < q->b);
}

static double pairs_of(double n) {
    return n * (n - 1) / 2;
}

/* Pairs of things within the runs of equal a, b or both. */
static double count_runs(const pair *pairs, size_t n, bool a, bool b) {
    double sum = 0;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1;
             end < n && (!a || pairs[end].a == pairs[i].a) && (!b || pairs[end].b == pairs[i].b);
             end++)
            continue;
        sum += pairs_of((double)(end - i));
    }
    return sum;
}

int vx_cluster_agreement(const int32_t *a, const int32_t *b, size_t n, double *ret_index,
                         vx_err *err) {
    VX_AUTO_FREE pair *pairs = vx_new_array(n + 1, sizeof *pairs);
    if (!pairs)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu labels", n);
    for (size_t i = 0; i < n; i++)
        pairs[i] = (pair){a[i], b[i]};
    qsort(pairs, n, sizeof *pairs, by_pair);
    double both = count_runs(pairs, n, true, true), in_a = count_runs(pairs, n, true, false);
    qsort(pairs, n, sizeof *pairs, by_b);
    double in_b = count_runs(pairs, n, false, true), all = pairs_of((double)n);
    double expected = all > 0 ? in_a * in_b / all : 0, most = (in_a + in_b) / 2;
    *ret_index = most - expected > 0 ? (both - expected) / (most - expected) : 1;
    return 0;
}

typedef struct match {
    float cosine;
    uint32_t now, before;
} match;

static int by_cosine(const void *x, const void *y) {
    const match *p = x, *q = y;
    if (p->cosine != q->cosine)
        return p->cosine > q->cosine ? -1 : 1;
    if (p->now != q->now)
        return p->now < q->now ? -1 : 1;
    return (p->before > q->before) - (p->before < q->before);
}

/* Few of k · k_before pairs matter: the nearest of each. Those that lose theirs get the nearest that is left. */
int vx_cluster_match(const float *centroids, size_t k, const float *before, size_t k_before,
                     int dim, bool (*go_on)(void *ctx), void *ctx, int32_t *ret_before,
                     float *ret_cosine, vx_err *err) {
    size_t n = (size_t)dim, n_taken = 0, n_left = k;
    VX_AUTO_FREE match *best = vx_new_array(k + 1, sizeof *best);
    VX_AUTO_FREE uint8_t *taken = vx_new_array(k_before + 1, 1);
    if (!best || !taken)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu clusters", k);
    for (size_t c = 0; c < k; c++) {
        ret_before[c] = -1;
        ret_cosine[c] = 0;
    }
    while (n_taken < k_before && n_left) {
        size_t n_found = 0;
        for (size_t c = 0; c < k; c++) {
            if (ret_before[c] >= 0)
                continue;
            if (go_on && !go_on(ctx))
                return VX_FAIL(err, VX_CLUSTER_STOPPED, "stopped");
            match m = {-2, (uint32_t)c, 0};
            for (size_t b = 0; b < k_before; b++) {
                if (taken[b])
                    continue;
                float cosine = vx_cluster_dot(centroids + c * n, before + b * n, n);
                if (cosine > m.cosine)
                    m = (match){cosine, (uint32_t)c, (uint32_t)b};
            }
            best[n_found++] = m;
        }
        qsort(best, n_found, sizeof *best, by_cosine);
        for (size_t i = 0; i < n_found; i++) {
            if (taken[best[i].before])
                continue;
            taken[best[i].before] = 1;
            ret_before[best[i].now] = (int32_t)best[i].before;
            ret_cosine[best[i].now] = best[i].cosine;
            n_taken++;
            n_left--;
        }
    }
    return 0;
}
