/* All pairs of many vectors, beside the matrix products alone; bench_duplicates.py runs it.
 *
 *   bench_duplicates N DIM [THREADS [EVERY]]
 *   bench_duplicates N DIM cuda:0
 *
 * Prints one "name value" per line. With EVERY only the last of each so many stripes of 4096 rows meets all rows before it,
 * on both sides: a sample of a size that would take too long, without which rows to keep. The floor is the BLAS's sgemm over half of the N x N products, in
 * blocks as large as suit it best, on the same number of threads. Both sides get the same vectors: random
 * ones, of which one in a hundred is near another. With a GPU: its time, that of copying the rows there included, and the
 * same pairs of the first 20,000 rows by the processors.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/thread.h"
#include "bench.h"
#include "dedup/dedup.h"

enum { FLOOR_BLOCK = 4096, MAX_THREADS = 256 };

typedef struct bench {
    const float *vectors; /* [n, dim] */
    size_t n, dim;
    int threads;
    size_t every;
    const char *device; /* NULL: the processors */
    size_t n_pairs;
    double copied_s;    /* that copying to the GPU took */
    atomic_size_t next; /* block pair of the floor */
} bench;

static double cpu_s(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* With processor time beside it: where others compute too, only that compares. */
static void print_time(const char *name, double (*measure)(bench *), bench *b) {
    double before_s = cpu_s(), s = measure(b);
    printf("%s_s %.3f\n%s_cpu_s %.3f\n", name, s, name, cpu_s() - before_s);
    fflush(stdout);
}

static double peak_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

static void fill_units(float *rows, size_t n, size_t dim) {
    uint64_t seed = 1;
    for (size_t row = 0; row < n; row++) {
        const float *near = row % 100 == 99 ? rows + (row / 2) * dim : NULL;
        float *v = rows + row * dim, square = 0;
        for (size_t i = 0; i < dim; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            v[i] = (float)(int32_t)(seed >> 32) * 0x1p-31f;
            if (near)
                v[i] = near[i] + v[i] * 0.01f;
            square += v[i] * v[i];
        }
        for (size_t i = 0; i < dim; i++)
            v[i] /= sqrtf(square);
    }
}

static bool is_compared(const bench *b, size_t row) {
    return row / FLOOR_BLOCK % b->every == b->every - 1;
}

/* ---- the products alone ---- */

static void *run_floor(void *ctx) {
    bench *b = ctx;
    size_t blocks = (b->n + FLOOR_BLOCK - 1) / FLOOR_BLOCK;
    VX_AUTO_FREE float *products = malloc((size_t)FLOOR_BLOCK * FLOOR_BLOCK * sizeof(float));
    for (size_t at; (at = atomic_fetch_add(&b->next, 1)) < blocks * blocks;) {
        size_t i = at / blocks * FLOOR_BLOCK, k = at % blocks * FLOOR_BLOCK;
        size_t n_i = b->n - i < FLOOR_BLOCK ? b->n - i : FLOOR_BLOCK;
        size_t n_k = b->n - k < FLOOR_BLOCK ? b->n - k : FLOOR_BLOCK;
        if (k <= i && is_compared(b, i))
            vx_dedup_products(b->vectors + i * b->dim, n_i, b->vectors + k * b->dim, n_k, b->dim,
                              products);
    }
    return NULL;
}

static double floor_s(bench *b) {
    pthread_t threads[MAX_THREADS];
    double start_s = now_s();
    atomic_store(&b->next, 0);
    for (int i = 1; i < b->threads; i++)
        pthread_create(&threads[i], NULL, run_floor, b);
    run_floor(b);
    for (int i = 1; i < b->threads; i++)
        pthread_join(threads[i], NULL);
    return now_s() - start_s;
}

/* ---- all pairs ---- */

static int count_pairs(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err) {
    (void)hits, (void)err;
    ((bench *)ctx)->n_pairs += n;
    return 0;
}

static double pairs_s(bench *b) {
    const vx_dedup_rows rows = {.n = b->n, .dim = b->dim, .vectors = b->vectors};
    VX_AUTO(vx_dedup) dedup = NULL;
    vx_err err;
    double start_s = now_s();
    b->n_pairs = 0;
    need(vx_dedup_new(&rows, 0.95f, b->threads, &dedup, &err), &err);
    if (b->device &&
        !vx_dedup_use_gpu(dedup, &(vx_dedup_gpu){.device = b->device, .min_pairs = -1}))
        exit(1); /* the log says why */
    b->copied_s = now_s() - start_s;
    for (size_t first = 0; first < b->n; first += VX_DEDUP_BLOCK) {
        size_t n = b->n - first < VX_DEDUP_BLOCK ? b->n - first : VX_DEDUP_BLOCK;
        if (is_compared(b, first))
            need(vx_dedup_compare(dedup, first, n, NULL, count_pairs, b, &err), &err);
    }
    return now_s() - start_s;
}

static double keep_s(bench *b) {
    const vx_dedup_rows rows = {.n = b->n, .dim = b->dim, .vectors = b->vectors};
    const vx_dedup_params params = {.rows = &rows, .threshold = 0.95f, .threads = b->threads};
    VX_AUTO_FREE vx_dedup_match *matches = vx_new_array(b->n, sizeof *matches);
    vx_err err;
    double start_s = now_s();
    need(vx_dedup_all_pairs(&params, matches, &err), &err);
    return now_s() - start_s;
}

/* Ends the process where both do not find the same number of pairs of the first rows. */
static void check_gpu(const bench *all) {
    bench b = {.vectors = all->vectors,
               .n = all->n < 20000 ? all->n : 20000,
               .dim = all->dim,
               .threads = vx_thread_cores(),
               .every = 1,
               .device = all->device};
    pairs_s(&b);
    size_t n_on_gpu = b.n_pairs;
    b.device = NULL;
    pairs_s(&b);
    printf("checked_pairs %zu\n", b.n_pairs);
    if (b.n_pairs == n_on_gpu)
        return;
    fprintf(stderr, "bench_duplicates: the GPU found %zu pairs, the processors %zu\n", n_on_gpu,
            b.n_pairs);
    exit(1);
}

static void measure_gpu(bench *b) {
    double before_mb = peak_mb();
    check_gpu(b);
    for (int round = 0; round < 2; round++) {
        double s = pairs_s(b), products = (double)b->n * (double)b->n / 2 * (double)b->dim;
        printf("gpu_s %.3f\ncopied_s %.3f\ntflops %.1f\n", s, b->copied_s,
               2 * products / (s - b->copied_s) / 1e12);
    }
    printf("pairs %zu\nextra_mb %.0f\n", b->n_pairs, peak_mb() - before_mb);
}

int main(int argc, char **argv) {
    bool gpu = argc > 3 && !strncmp(argv[3], "cuda", 4);
    bench b = {.n = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000,
               .dim = argc > 2 ? strtoul(argv[2], NULL, 10) : 256,
               .device = gpu ? argv[3] : NULL,
               .every = argc > 4 ? strtoul(argv[4], NULL, 10) : 1,
               .threads = argc > 3 && !gpu ? atoi(argv[3]) : vx_thread_cores()};
    VX_AUTO_FREE float *vectors = vx_new_array(b.n * b.dim, sizeof *vectors);
    if (!vectors || b.threads < 1 || b.threads > MAX_THREADS || !b.every)
        return 1;
    fill_units(vectors, b.n, b.dim);
    b.vectors = vectors;
    if (gpu) {
        measure_gpu(&b);
        return 0;
    }
    double before_mb = peak_mb();
    print_time("pairs", pairs_s, &b);
    printf("pairs %zu\n", b.n_pairs);
    printf("extra_mb %.0f\n", peak_mb() - before_mb);
    printf("vectors_mb %.0f\n", (double)(b.n * b.dim * sizeof(float)) / (1 << 20));
    if (b.every == 1)
        print_time("keep", keep_s, &b);
    print_time("floor", floor_s, &b);
    return 0;
}
