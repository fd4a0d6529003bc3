/* gpu.c — see the header.
 *
 * The device names every pair whose rounded product comes within the slack of the bar, in no order; each is scored by
 * vx_index_dot, as those are that BLAS finds (products.c). They are put into the order in which the processors
 * give them: by chunk of others, row, other.
 */
#include "gpu.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "torch/torch_shim.h"

enum { READ_ROWS = 4096 };

struct vx_gpu_pairs {
    const vx_dedup_device *device;
    vx_pair_scan *scan;
    size_t dim;
    float slack;
    vx_pair_found *found; /* [VX_PAIR_SCAN_ROOM] */
    vx_dedup_hit *hits;   /* [VX_PAIR_SCAN_ROOM] */
    float *other;         /* [dim] */
};

static const vx_dedup_device cuda = {.memory = vx_torch_memory,
                                     .open = vx_pair_scan_new,
                                     .free = vx_pair_scan_free,
                                     .put = vx_pair_scan_put,
                                     .run = vx_pair_scan_run};

vx_gpu_pairs *vx_gpu_pairs_free(vx_gpu_pairs *p) {
    if (!p)
        return NULL;
    if (p->scan)
        p->device->free(p->scan);
    free(p->found);
    free(p->hits);
    free(p->other);
    free(p);
    return NULL;
}
VX_DEFINE_AUTO(vx_gpu_pairs, vx_gpu_pairs_free)

static int put_rows(vx_gpu_pairs *p, const vx_dedup_rows *rows, vx_err *err) {
    VX_AUTO_FREE float *buffer =
        rows->vectors ? NULL : vx_new_array(READ_ROWS * rows->dim, sizeof *buffer);
    int rc = 0;
    if (rows->vectors)
        return p->device->put(p->scan, 0, rows->n, rows->vectors, err);
    if (!buffer)
        return VX_FAIL(err, -ENOMEM, "no memory to copy %zu vectors", rows->n);
    for (size_t at = 0, n; at < rows->n && !rc; at += n) {
        n = rows->n - at < READ_ROWS ? rows->n - at : READ_ROWS;
        rc = rows->read(rows->ctx, at, n, buffer, err);
        if (!rc)
            rc = p->device->put(p->scan, at, n, buffer, err);
    }
    return rc;
}

/* A quarter of the device stays free for models. */
static int check_room(const vx_dedup_device *device, const char *name, const vx_dedup_rows *rows,
                      vx_err *err) {
    int64_t free_bytes, total_bytes, needed = (int64_t)vx_pair_scan_bytes(rows->n, rows->dim);
    int rc = device->memory(name, &free_bytes, &total_bytes, err);
    if (rc || free_bytes - needed >= total_bytes / 4)
        return rc;
    return VX_FAIL(
        err, VX_TORCH_OUT_OF_MEMORY,
        "%zu vectors need %.1f GiB of %s, which has %.1f free, and a quarter of it is to stay so",
        rows->n, (double)needed / 0x1p30, name, (double)free_bytes / 0x1p30);
}

int vx_gpu_pairs_new(const vx_dedup_gpu *gpu, const vx_dedup_rows *rows, vx_gpu_pairs **ret_pairs,
                     vx_err *err) {
    VX_AUTO(vx_gpu_pairs) p = vx_new(vx_gpu_pairs);
    if (!p)
        return VX_FAIL(err, -ENOMEM, "no memory to compare vectors");
    p->device = gpu->functions ? gpu->functions : &cuda;
    p->dim = rows->dim;
    p->slack = vx_products_slack(rows->dim) + vx_pair_scan_slack(rows->dim);
    p->found = vx_new_array(VX_PAIR_SCAN_ROOM, sizeof *p->found);
    p->hits = vx_new_array(VX_PAIR_SCAN_ROOM, sizeof *p->hits);
    p->other = vx_new_array(rows->dim, sizeof *p->other);
    if (!p->found || !p->hits || !p->other)
        return VX_FAIL(err, -ENOMEM, "no memory to compare vectors");
    int rc = rows->n > UINT32_MAX - 1024
                 ? VX_FAIL(err, VX_TORCH_OUT_OF_MEMORY, "%zu vectors are too many", rows->n)
                 : check_room(p->device, gpu->device, rows, err);
    if (!rc)
        rc = p->device->open(gpu->device, rows->n, rows->dim, &p->scan, err);
    if (!rc)
        rc = put_rows(p, rows, err);
    if (!rc)
        *ret_pairs = vx_take(p);
    return rc;
}

static int by_chunk_row_other(const void *a, const void *b) {
    const vx_pair_found *x = a, *y = b;
    uint32_t x_chunk = x->other / VX_PRODUCTS_CHUNK, y_chunk = y->other / VX_PRODUCTS_CHUNK;
    if (x_chunk != y_chunk)
        return x_chunk < y_chunk ? -1 : 1;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    return (x->other > y->other) - (x->other < y->other);
}

static int score(vx_gpu_pairs *p, const vx_products_job *job, size_t n_found, size_t *ret_n,
                 vx_err *err) {
    const vx_dedup_rows *rows = job->others;
    size_t n = 0;
    for (size_t i = 0; i < n_found; i++) {
        size_t row = p->found[i].row - job->first, other = p->found[i].other;
        const float *vector = rows->vectors ? rows->vectors + other * p->dim : p->other;
        int rc = rows->vectors ? 0 : rows->read(rows->ctx, other, 1, p->other, err);
        if (rc)
            return rc;
        float exact = vx_index_dot(job->block + row * p->dim, vector, p->dim);
        if (exact >= job->bars[row] && !isinf(exact))
            p->hits[n++] = (vx_dedup_hit){.row = row, .other = other, .score = exact};
    }
    *ret_n = n;
    return 0;
}

int vx_gpu_pairs_find(vx_gpu_pairs *p, const vx_products_job *job, bool *ret_dense,
                      bool *ret_broken, vx_err *err) {
    size_t left = job->n_others - job->from, n_found = 0, n = 0;
    const vx_pair_scan_run_params run = {
        .row = job->first,
        .n_rows = job->n_block,
        .other = job->from,
        .n_others = left < VX_PAIR_SCAN_OTHERS ? left : VX_PAIR_SCAN_OTHERS,
        .at_least = job->bars[0] - p->slack};
    int rc = p->device->run(p->scan, &run, p->found, &n_found, err);
    *ret_broken = rc != 0;
    *ret_dense = !rc && n_found > VX_PAIR_SCAN_ROOM;
    if (*ret_broken || *ret_dense)
        return 0;
    if (n_found)
        qsort(p->found, n_found, sizeof *p->found, by_chunk_row_other);
    rc = score(p, job, n_found, &n, err);
    for (size_t at = 0, end; at < n && !rc; at = end) {
        size_t chunk = p->hits[at].other / VX_PRODUCTS_CHUNK;
        for (end = at + 1; end < n && p->hits[end].other / VX_PRODUCTS_CHUNK == chunk;)
            end++;
        rc = job->on_hits(job->ctx, p->hits + at, end - at, err);
    }
    return rc;
}
