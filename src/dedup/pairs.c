/* pairs.c — all pairs that reach a threshold, a block of rows at a time. */
#include <errno.h>
#include <math.h>

#include "base/log.h"
#include "dedup.h"
#include "gpu.h"
#include "products.h"

struct vx_dedup {
    vx_dedup_rows rows;
    vx_products *products;
    vx_gpu_pairs *gpu;          /* NULL: the processors do all */
    float *block;               /* [VX_DEDUP_BLOCK, dim] */
    float bars[VX_DEDUP_BLOCK]; /* all the threshold */
};

static int read_indexed(void *ctx, size_t first, size_t n, float *ret_vectors, vx_err *err) {
    const vx_dedup_indexed *indexed = ctx;
    size_t dim = (size_t)vx_index_dim(indexed->index);
    for (size_t i = 0; i < n; i++) {
        float *vector = ret_vectors + i * dim;
        int rc = vx_index_get(indexed->index, indexed->ids[first + i], vector, err);
        if (rc < 0)
            return rc;
        for (size_t k = 0; k < dim && rc; k++)
            vector[k] = NAN;
    }
    return 0;
}

vx_dedup_rows vx_dedup_rows_of_index(const vx_dedup_indexed *indexed) {
    return (vx_dedup_rows){.n = indexed->n,
                           .dim = (size_t)vx_index_dim(indexed->index),
                           .read = read_indexed,
                           .ctx = (void *)(uintptr_t)indexed};
}

int vx_dedup_new(const vx_dedup_rows *rows, float threshold, int threads, vx_dedup **ret_dedup,
                 vx_err *err) {
    VX_AUTO(vx_dedup) d = vx_new(vx_dedup);
    if (!d || !(d->block = vx_new_array(VX_DEDUP_BLOCK * rows->dim, sizeof *d->block)))
        return VX_FAIL(err, -ENOMEM, "no memory to compare %zu vectors", rows->n);
    d->rows = *rows;
    for (size_t i = 0; i < VX_DEDUP_BLOCK; i++)
        d->bars[i] = threshold;
    int rc = vx_products_new(rows->dim, threads, &d->products, err);
    if (!rc)
        *ret_dedup = vx_take(d);
    return rc;
}

vx_dedup *vx_dedup_free(vx_dedup *d) {
    if (!d)
        return NULL;
    vx_products_free(d->products);
    vx_gpu_pairs_free(d->gpu);
    free(d->block);
    free(d);
    return NULL;
}

/* Of n rows the products of each from `first` on with all before it. */
static double count_pairs(size_t first, size_t n) {
    return ((double)n - (double)first) * ((double)n + (double)first) / 2;
}

bool vx_dedup_use_gpu(vx_dedup *d, const vx_dedup_gpu *gpu) {
    double least = gpu->min_pairs ? (double)gpu->min_pairs : 1e9;
    vx_err err;
    if (count_pairs(gpu->first, d->rows.n) < least)
        return false;
    int rc = vx_gpu_pairs_new(gpu, &d->rows, &d->gpu, &err);
    if (rc)
        vx_log_failed(VX_LOG_WARN, "dedup", &err, "device=%s used=no", gpu->device);
    else
        vx_log(VX_LOG_INFO, "dedup", "device=%s vectors=%zu used=yes", gpu->device, d->rows.n);
    return !rc;
}

typedef struct caller {
    vx_dedup_wants wants;
    vx_dedup_on_hits on_hits;
    void *ctx;
    size_t first;
} caller;

/* Rows of the block become rows of all. */
static bool wants(void *ctx, size_t row, size_t other, float score) {
    const caller *c = ctx;
    return c->wants(c->ctx, c->first + row, other, score);
}

static int pass_on(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err) {
    enum { AT_ONCE = 256 };
    const caller *c = ctx;
    vx_dedup_hit moved[AT_ONCE];
    int rc = 0;
    for (size_t at = 0; at < n && !rc; at += AT_ONCE) {
        size_t m = n - at < AT_ONCE ? n - at : AT_ONCE;
        for (size_t i = 0; i < m; i++) {
            moved[i] = hits[at + i];
            moved[i].row += c->first;
        }
        rc = c->on_hits(c->ctx, moved, m, err);
    }
    return rc;
}

/* As many others from job->from on as a GPU takes at once; ret_done: it did. */
static int try_gpu(vx_dedup *d, const vx_products_job *job, bool *ret_done, vx_err *err) {
    bool dense = false, broken = false;
    int rc = vx_gpu_pairs_find(d->gpu, job, &dense, &broken, err);
    *ret_done = !dense && !broken;
    if (broken) {
        vx_log_failed(VX_LOG_WARN, "dedup", err, "hint=\"the processors go on\"");
        d->gpu = vx_gpu_pairs_free(d->gpu);
    }
    return rc;
}

int vx_dedup_compare(vx_dedup *d, size_t first, size_t n, vx_dedup_wants caller_wants,
                     vx_dedup_on_hits on_hits, void *ctx, vx_err *err) {
    caller c = {caller_wants, on_hits, ctx, first};
    const float *block = d->rows.vectors ? d->rows.vectors + first * d->rows.dim : d->block;
    int rc = d->rows.vectors ? 0 : d->rows.read(d->rows.ctx, first, n, d->block, err);
    vx_products_job job = {.block = block,
                           .n_block = n,
                           .others = &d->rows,
                           .first = first,
                           .bars = d->bars,
                           .wants = caller_wants ? wants : NULL,
                           .on_hits = pass_on,
                           .ctx = &c};
    for (; job.from < first + n && !rc; job.from = job.n_others) {
        bool done = false;
        bool at_once = !d->gpu || first + n - job.from < VX_PAIR_SCAN_OTHERS;
        job.n_others = at_once ? first + n : job.from + VX_PAIR_SCAN_OTHERS;
        rc = d->gpu ? try_gpu(d, &job, &done, err) : 0;
        if (!rc && !done)
            rc = vx_products_find(d->products, &job, err);
    }
    return rc;
}
