/* examples.c — moves a query towards some stored videos and clips and away from others. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "search_internal.h"

/* Below this the directions have cancelled each other, and what is left is rounding. */
#define SHORTEST 1e-4

/* Adds weight times the direction of the mean of n vectors to sum, double [dim]. Without a direction
 * (vectors that cancel each other) it adds nothing. */
static void add_direction(double *sum, size_t dim, const float *vectors, size_t n, double weight) {
    double square = 0;
    for (size_t d = 0; d < dim; d++) {
        double total = 0;
        for (size_t i = 0; i < n; i++)
            total += vectors[i * dim + d];
        square += total * total;
    }
    for (size_t d = 0; d < dim && sqrt(square) > SHORTEST; d++)
        for (size_t i = 0; i < n; i++)
            sum[d] += weight * vectors[i * dim + d] / sqrt(square);
}

static bool join_own(vx_encoded_query *encoded, const vx_encoded_query *example) {
    size_t n = encoded->n_own + example->n_own;
    int64_t *own = vx_regrow(encoded->own, n, sizeof *own);
    if (!own)
        return false;
    memcpy(own + encoded->n_own, example->own, example->n_own * sizeof *own);
    encoded->own = own;
    encoded->n_own = n;
    return true;
}

/* Adds weight times each example to sum. The examples' clips become the query's own. */
static vx_outcome add_examples(vx_catalog *catalog, const vx_model *model,
                               const vx_examples *examples, const char *list, double weight,
                               double *sum, vx_encoded_query *encoded, vx_err *err) {
    for (size_t i = 0; i < examples->n; i++) {
        vx_encoded_query example = {0};
        const char *id = examples->ids[i];
        vx_outcome outcome =
            vx_search_load(catalog, model, id, strchr(id, '.') != NULL, &example, err);
        if (outcome)
            VX_WRAP(err, "%s[%zu]", list, i);
        else if (join_own(encoded, &example))
            add_direction(sum, (size_t)model->info->dim, example.vectors, example.n, weight);
        else {
            VX_FAIL(err, -ENOMEM, "no memory for the rows of %s[%zu]", list, i);
            outcome = VX_OUTCOME_INTERNAL;
        }
        vx_encoded_query_clear(&example);
        if (outcome)
            return outcome;
    }
    return VX_OUTCOME_OK;
}

/* The length of sum becomes 1 and its numbers the query's one vector. */
static vx_outcome set_vector(const double *sum, size_t dim, vx_encoded_query *encoded,
                             vx_err *err) {
    double square = 0;
    for (size_t d = 0; d < dim; d++)
        square += sum[d] * sum[d];
    if (sqrt(square) < SHORTEST) {
        VX_FAIL(err, 1, "like and unlike cancel each other: no direction is left to search in");
        return VX_OUTCOME_BAD_REQUEST;
    }
    float *vector = vx_new_array(dim, sizeof *vector);
    if (!vector) {
        VX_FAIL(err, -ENOMEM, "no memory for the query's vector");
        return VX_OUTCOME_INTERNAL;
    }
    for (size_t d = 0; d < dim; d++)
        vector[d] = (float)(sum[d] / sqrt(square));
    free(encoded->vectors);
    encoded->vectors = vector;
    encoded->n = 1;
    return VX_OUTCOME_OK;
}

vx_outcome vx_search_add_examples(vx_catalog *catalog, const vx_model *model, const vx_query *query,
                                  vx_encoded_query *encoded, vx_err *err) {
    size_t dim = (size_t)model->info->dim;
    double n_like = (double)query->like.n, n_unlike = (double)query->unlike.n;
    bool has_subject = query->by != VX_QUERY_EXAMPLES;
    double subject, like, unlike; /* the weights of the subject and of one example */
    if (query->combine == VX_COMBINE_ROCCHIO) {
        subject = 1;
        like = (has_subject ? 0.75 : 1.75) / fmax(n_like, 1);
        unlike = -0.15 / fmax(n_unlike, 1);
    } else {
        subject = like = 1 / (n_like + has_subject);
        unlike = -1 / fmax(n_unlike, 1);
    }
    VX_AUTO_FREE double *sum = vx_new_array(dim, sizeof *sum);
    if (!sum) {
        VX_FAIL(err, -ENOMEM, "no memory for the query's vector");
        return VX_OUTCOME_INTERNAL;
    }
    if (has_subject)
        add_direction(sum, dim, encoded->vectors, encoded->n, subject);
    vx_outcome outcome =
        add_examples(catalog, model, &query->like, "like", like, sum, encoded, err);
    if (!outcome)
        outcome = add_examples(catalog, model, &query->unlike, "unlike", unlike, sum, encoded, err);
    return outcome ? outcome : set_vector(sum, dim, encoded, err);
}
