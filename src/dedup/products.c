/* products.c — see the header.
 *
 * A tile of others is cut into chunks; each thread takes the next chunk, reads its rows, multiplies them
 * with the block and looks through the products. A block of 2048 rows and chunks of 512 keep the products
 * of a thread at 4 MiB, which its cache still holds, and BLAS packs both sides once for 10^8
 * multiplications. Looking through costs about a twentieth of multiplying.
 */
#include "products.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/atomic.h"
#include "base/thread.h"
#include "index/index.h"

enum { CHUNK = VX_PRODUCTS_CHUNK, CHUNKS_PER_THREAD = 4, MAX_THREADS = 256 };

typedef struct chunk_hits {
    vx_dedup_hit *items;
    size_t n, capacity;
} chunk_hits;

typedef struct worker {
    float *products; /* [VX_PRODUCTS_ROWS, CHUNK] */
    float *others;   /* [CHUNK, dim] */
} worker;

struct vx_products {
    size_t dim;
    float slack;
    int n_workers;
    worker *workers;    /* [n_workers] */
    size_t n_chunks;    /* of a tile */
    chunk_hits *chunks; /* [n_chunks] */
};

typedef struct tile {
    vx_products *products;
    const vx_products_job *job;
    size_t first, n;    /* others */
    atomic_size_t next; /* chunk that nobody has taken */
    atomic_int next_worker;
    atomic_bool failed;
    vx_mutex mu;
    int rc VX_GUARDED;
    vx_err err VX_GUARDED;
} tile;

float vx_products_slack(size_t dim) {
    /* Higham, Accuracy and Stability of Numerical Algorithms, 3.1: n u / (1 - n u) of a sum of n products,
     * of vectors whose own length may be a few units of the last place over 1. */
    return (float)((double)dim + 4) * 0x1p-24f * 1.01f;
}

vx_products *vx_products_free(vx_products *p) {
    if (!p)
        return NULL;
    for (int i = 0; i < p->n_workers && p->workers; i++) {
        free(p->workers[i].products);
        free(p->workers[i].others);
    }
    for (size_t i = 0; i < p->n_chunks && p->chunks; i++)
        free(p->chunks[i].items);
    free(p->workers);
    free(p->chunks);
    free(p);
    return NULL;
}

int vx_products_new(size_t dim, int threads, vx_products **ret_products, vx_err *err) {
    VX_AUTO(vx_products) p = vx_new(vx_products);
    if (!p)
        return VX_FAIL(err, -ENOMEM, "no memory to compare vectors");
    threads = threads ? threads : vx_thread_cores();
    p->dim = dim;
    p->slack = vx_products_slack(dim);
    p->n_workers = threads < MAX_THREADS ? threads : MAX_THREADS;
    p->n_chunks = (size_t)p->n_workers * CHUNKS_PER_THREAD;
    p->workers = vx_new_array((size_t)p->n_workers, sizeof *p->workers);
    p->chunks = vx_new_array(p->n_chunks, sizeof *p->chunks);
    bool fine = p->workers && p->chunks;
    for (int i = 0; i < p->n_workers && fine; i++) {
        p->workers[i].products = vx_new_array((size_t)VX_PRODUCTS_ROWS * CHUNK, sizeof(float));
        p->workers[i].others = vx_new_array(CHUNK * dim, sizeof(float));
        fine = p->workers[i].products && p->workers[i].others;
    }
    if (!fine)
        return VX_FAIL(err, -ENOMEM, "no memory to compare vectors of %zu dimensions", dim);
    *ret_products = vx_take(p);
    return 0;
}

/* ---- one chunk ---- */

typedef struct chunk {
    const vx_products_job *job;
    const float *others, *products; /* [n, dim], [n_block, n] */
    size_t first, n, dim;
    float slack;
    chunk_hits *hits;
} chunk;

static bool is_wanted(const chunk *c, size_t row, size_t i, float score) {
    const vx_products_job *job = c->job;
    return !job->wants || job->wants(job->ctx, row, c->first + i, score);
}

/* Those of a row that meets n others. */
static int look_through_row(const chunk *c, size_t row, size_t n, vx_err *err) {
    const float *products = c->products + row * c->n;
    const float *vector = c->job->block + row * c->dim;
    float bar = c->job->bars[row], at_least = bar - c->slack;
    if (c->job->best_only) {
        float best = -INFINITY;
        for (size_t i = 0; i < n; i++)
            best = products[i] > best ? products[i] : best;
        at_least = fmaxf(at_least, best - 2 * c->slack);
    }
    for (size_t i = 0; i < n; i++) {
        if (!(products[i] >= at_least) || !is_wanted(c, row, i, products[i] + c->slack))
            continue;
        float score = vx_index_dot(vector, c->others + i * c->dim, c->dim);
        if (!(score >= bar) || isinf(score) || !is_wanted(c, row, i, score))
            continue;
        if (!vx_make_room(c->hits->items, c->hits->n, c->hits->capacity))
            return VX_FAIL(err, -ENOMEM, "no memory for %zu near-duplicates", c->hits->n + 1);
        c->hits->items[c->hits->n++] =
            (vx_dedup_hit){.row = row, .other = c->first + i, .score = score};
    }
    return 0;
}

/* Most rows of most chunks have nothing: this only finds the greatest product, which the compiler does
 * many at a time. */
static bool has_any(const float *products, size_t n, float at_least) {
    float lanes[16];
    size_t i = 0;
    for (int k = 0; k < 16; k++)
        lanes[k] = -INFINITY;
    for (; i + 16 <= n; i += 16)
#pragma omp simd
        for (int k = 0; k < 16; k++)
            lanes[k] = products[i + (size_t)k] > lanes[k] ? products[i + (size_t)k] : lanes[k];
    float best = -INFINITY;
    for (int k = 0; k < 16; k++)
        best = lanes[k] > best ? lanes[k] : best;
    for (; i < n; i++)
        best = products[i] > best ? products[i] : best;
    return best >= at_least;
}

static int look_through(const chunk *c, vx_err *err) {
    int rc = 0;
    for (size_t row = 0; row < c->job->n_block && !rc; row++) {
        size_t end = c->job->first + row;
        size_t n = end <= c->first ? 0 : end - c->first < c->n ? end - c->first : c->n;
        if (n && has_any(c->products + row * c->n, n, c->job->bars[row] - c->slack))
            rc = look_through_row(c, row, n, err);
    }
    return rc;
}

static int find_in_chunk(tile *t, const worker *w, size_t number, vx_err *err) {
    const vx_products *p = t->products;
    const vx_products_job *job = t->job;
    size_t first = t->first + number * CHUNK;
    chunk c = {.job = job,
               .others = w->others,
               .products = w->products,
               .first = first,
               .n = t->first + t->n - first < CHUNK ? t->first + t->n - first : CHUNK,
               .dim = p->dim,
               .slack = p->slack,
               .hits = &p->chunks[number]};
    if (job->others->vectors)
        c.others = job->others->vectors + first * p->dim;
    int rc =
        job->others->vectors ? 0 : job->others->read(job->others->ctx, first, c.n, w->others, err);
    if (rc)
        return rc;
    vx_dedup_products(job->block, job->n_block, c.others, c.n, p->dim, w->products);
    return look_through(&c, err);
}

/* ---- a tile, by all threads ---- */

static void *run_worker(void *ctx) {
    tile *t = ctx;
    const worker *w = &t->products->workers[atomic_fetch_add(&t->next_worker, 1)];
    while (!atomic_load(&t->failed)) {
        size_t number = atomic_fetch_add(&t->next, 1);
        if (number * CHUNK >= t->n)
            break;
        vx_err err;
        int rc = find_in_chunk(t, w, number, &err);
        if (!rc)
            continue;
        vx_mutex_lock(&t->mu);
        t->rc = rc;
        t->err = err;
        vx_mutex_unlock(&t->mu);
        atomic_store(&t->failed, true);
    }
    return NULL;
}

/* A thread that cannot be started is done without. */
VX_NO_LOCK_ANALYSIS static int find_in_tile(tile *t, vx_err *err) {
    pthread_t threads[MAX_THREADS];
    int n = 0;
    vx_err ignored;
    vx_mutex_init(&t->mu);
    for (size_t i = 0; i < t->products->n_chunks; i++)
        t->products->chunks[i].n = 0;
    while (n + 1 < t->products->n_workers && (size_t)(n + 1) * CHUNK < t->n &&
           !vx_thread_start(&threads[n], "vx-dedup", run_worker, t, &ignored))
        n++;
    run_worker(t);
    while (n > 0)
        pthread_join(threads[--n], NULL);
    vx_mutex_done(&t->mu);
    if (t->rc && err)
        *err = t->err;
    return t->rc;
}

int vx_products_find(vx_products *products, const vx_products_job *job, vx_err *err) {
    size_t tile_rows = products->n_chunks * CHUNK;
    int rc = 0;
    for (size_t first = job->from; first < job->n_others && !rc; first += tile_rows) {
        tile t = {.products = products,
                  .job = job,
                  .first = first,
                  .n = job->n_others - first < tile_rows ? job->n_others - first : tile_rows};
        rc = find_in_tile(&t, err);
        for (size_t i = 0; i < products->n_chunks && !rc; i++)
            if (products->chunks[i].n)
                rc = job->on_hits(job->ctx, products->chunks[i].items, products->chunks[i].n, err);
    }
    return rc;
}
