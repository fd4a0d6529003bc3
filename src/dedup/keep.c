/* keep.c — which rows to keep; see the header.
 *
 * Rows are taken in blocks, in rank order. A block is compared with everything kept before it, then with
 * itself, and its rows are decided one by one. Kept rows are read again for each block, which costs little
 * beside multiplying them with 2048 rows.
 */
#include "dedup.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "index/index.h"
#include "products.h"

typedef struct comparison {
    const vx_dedup_params *p;
    vx_dedup_match *matches;
    vx_products *products;
    size_t dim;
    size_t *kept; /* [n_kept] ranks */
    size_t n_kept;
    float *block;  /* [VX_DEDUP_BLOCK, dim] */
    float *inside; /* [VX_DEDUP_BLOCK, VX_DEDUP_BLOCK]: products of the block with itself */
    float bars[VX_DEDUP_BLOCK]; /* the best score so far */
    size_t first;               /* rank of the block's first row */
} comparison;

static int read_rows(const vx_dedup_rows *rows, size_t first, size_t n, float *ret, vx_err *err) {
    if (!rows->vectors)
        return rows->read(rows->ctx, first, n, ret, err);
    memcpy(ret, rows->vectors + first * rows->dim, n * rows->dim * sizeof *ret);
    return 0;
}

static int read_kept(void *ctx, size_t first, size_t n, float *ret_vectors, vx_err *err) {
    const comparison *c = ctx;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = read_rows(c->p->rows, c->kept[first + i], 1, ret_vectors + i * c->dim, err);
    return rc;
}

/* Of equal scores the better rank stays: kept rows come in rank order. */
static void improve(comparison *c, size_t row, size_t rank, float score) {
    vx_dedup_match *match = &c->matches[c->first + row];
    if (match->of == c->first + row || score > match->score)
        *match = (vx_dedup_match){.of = rank, .score = score};
    c->bars[row] = match->score;
}

static int on_hits(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err) {
    (void)err;
    comparison *c = ctx;
    for (size_t i = 0; i < n; i++)
        improve(c, hits[i].row, c->kept[hits[i].other], hits[i].score);
    return 0;
}

/* The nearest of the rows that were kept in the block before this one. */
static void look_inside(comparison *c, size_t row, size_t n_block, size_t n_kept_before) {
    const float slack = vx_products_slack(c->dim);
    const float *products = c->inside + row * n_block;
    float best = c->bars[row];
    for (size_t k = n_kept_before; k < c->n_kept; k++)
        best = fmaxf(best, products[c->kept[k] - c->first]);
    for (size_t k = n_kept_before; k < c->n_kept; k++) {
        size_t other = c->kept[k] - c->first;
        if (!(products[other] >= best - 2 * slack))
            continue;
        float score = vx_index_dot(c->block + row * c->dim, c->block + other * c->dim, c->dim);
        if (score >= c->bars[row] && !isinf(score))
            improve(c, row, c->kept[k], score);
    }
}

static bool is_there(const float *vector, size_t dim) {
    for (size_t i = 0; i < dim; i++)
        if (isfinite(vector[i]))
            return true;
    return false;
}

static int compare_block(comparison *c, size_t n, vx_err *err) {
    const vx_dedup_rows kept = {.n = c->n_kept, .dim = c->dim, .read = read_kept, .ctx = c};
    const vx_products_job job = {.block = c->block,
                                 .n_block = n,
                                 .others = &kept,
                                 .n_others = c->n_kept,
                                 .first = c->n_kept,
                                 .bars = c->bars,
                                 .best_only = true,
                                 .on_hits = on_hits,
                                 .ctx = c};
    size_t n_kept_before = c->n_kept;
    for (size_t i = 0; i < n; i++) {
        c->matches[c->first + i] = (vx_dedup_match){.of = c->first + i};
        c->bars[i] = 0;
    }
    int rc = read_rows(c->p->rows, c->first, n, c->block, err);
    if (!rc)
        rc = vx_products_find(c->products, &job, err);
    if (rc)
        return rc;
    vx_dedup_products(c->block, n, c->block, n, c->dim, c->inside);
    for (size_t i = 0; i < n; i++) {
        vx_dedup_match *match = &c->matches[c->first + i];
        look_inside(c, i, n, n_kept_before);
        match->is_duplicate = match->of != c->first + i && match->score >= c->p->threshold;
        match->score = fminf(match->score, 1);
        if (!match->is_duplicate && is_there(c->block + i * c->dim, c->dim))
            c->kept[c->n_kept++] = c->first + i;
    }
    return 0;
}

static void comparison_done(comparison *c) {
    vx_products_free(c->products);
    free(c->kept);
    free(c->block);
    free(c->inside);
}

int vx_dedup_all_pairs(const vx_dedup_params *params, vx_dedup_match *ret_matches, vx_err *err) {
    size_t n = params->rows->n, dim = params->rows->dim;
    __attribute__((cleanup(comparison_done))) comparison c = {
        .p = params,
        .matches = ret_matches,
        .dim = dim,
        .kept = vx_new_array(n + 1, sizeof *c.kept),
        .block = vx_new_array(VX_DEDUP_BLOCK * dim, sizeof *c.block),
        .inside = vx_new_array((size_t)VX_DEDUP_BLOCK * VX_DEDUP_BLOCK, sizeof *c.inside),
    };
    if (!c.kept || !c.block || !c.inside)
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu vectors", n);
    int rc = vx_products_new(dim, params->threads, &c.products, err);
    for (size_t end; c.first < n && !rc; c.first = end) {
        end = n - c.first < VX_DEDUP_BLOCK ? n : c.first + VX_DEDUP_BLOCK;
        rc = compare_block(&c, end - c.first, err);
        if (!rc && params->go_on && !params->go_on(params->ctx, end, n))
            rc = VX_FAIL(err, VX_DEDUP_STOPPED, "stopped with %zu of %zu vectors compared", end, n);
    }
    return rc;
}
