/* Speed of the vector index alone; tests/bench/bench_index.py runs it beside the faiss package.
 *
 *   bench_index N DIM [THREADS]
 *
 * Prints one "name value" per line. Latencies are medians; k = 10.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "bench.h"
#include "index/index.h"

#define K 10
#define CHUNK_BYTES ((size_t)64 << 20) /* handed over at once when the index is rebuilt */
#define N_CALLERS 32
#define MAX_REPEATS 101

typedef struct bench {
    vx_index *index;
    size_t n, dim;
    float *queries; /* [64, dim] */
} bench;

static void fill_units(float *rows, size_t n, size_t dim, uint64_t seed) {
    for (size_t row = 0; row < n; row++) {
        float *v = rows + row * dim, square = 0;
        for (size_t i = 0; i < dim; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            v[i] = (float)(int32_t)(seed >> 32);
            square += v[i] * v[i];
        }
        for (size_t i = 0; i < dim; i++)
            v[i] /= sqrtf(square);
    }
}

/* What the machine can do at best: fresh memory of the same size, filled in blocks of one segment.
 * The first round is not counted: on a virtual machine it also waits for the host. */
static void bench_fill(const bench *b) {
    size_t n_blocks = b->n * b->dim * sizeof(float) / CHUNK_BYTES + 1;
    VX_AUTO_FREE void **blocks = vx_new_array(n_blocks, sizeof(*blocks));
    VX_AUTO_FREE char *source = malloc(CHUNK_BYTES);
    memset(source, 1, CHUNK_BYTES);
    double took = 0;
    for (int round = 0; round < 2; round++) {
        double start = now_s();
        for (size_t i = 0; i < n_blocks; i++) {
            blocks[i] = malloc(CHUNK_BYTES);
            memcpy(blocks[i], source, CHUNK_BYTES);
        }
        took = now_s() - start;
        for (size_t i = 0; i < n_blocks; i++)
            free(blocks[i]);
    }
    printf("fill_gb_per_s %.2f\n", (double)(n_blocks * CHUNK_BYTES) / took / 1e9);
}

/* Adds n rows in chunks; only the time in vx_index_add() counts. */
static void bench_add(bench *b) {
    size_t chunk = CHUNK_BYTES / (b->dim * sizeof(float));
    VX_AUTO_FREE float *rows = malloc(CHUNK_BYTES);
    VX_AUTO_FREE int64_t *ids = vx_new_array(chunk, sizeof(*ids));
    vx_err err;
    double spent = 0;
    for (size_t done = 0; done < b->n; done += chunk) {
        size_t n = b->n - done < chunk ? b->n - done : chunk;
        fill_units(rows, n, b->dim, done + 1);
        for (size_t i = 0; i < n; i++)
            ids[i] = (int64_t)(done + i);
        double start = now_s();
        need(vx_index_add(b->index, ids, NULL, rows, n, &err), &err);
        spent += now_s() - start;
    }
    printf("add_gb_per_s %.2f\n", (double)(b->n * b->dim * sizeof(float)) / spent / 1e9);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median latency of a search with n_queries at once, over about two seconds. */
static void bench_search(bench *b, const char *name, size_t n_queries, const vx_idset *groups) {
    vx_neighbour found[64 * K];
    size_t n_found[64], n = 0;
    double took[MAX_REPEATS], end = now_s() + 2;
    vx_index_query query = {
        .vectors = b->queries, .n = n_queries, .k = K, .min_score = -2, .groups = groups};
    vx_err err;
    while (n < 5 || (n < MAX_REPEATS && now_s() < end)) {
        double start = now_s();
        need(vx_index_search(b->index, &query, found, n_found, NULL, &err), &err);
        took[n++] = now_s() - start;
    }
    qsort(took, n, sizeof(*took), compare_doubles);
    printf("%s_ms %.3f\n", name, took[n / 2] * 1e3);
}

typedef struct callers {
    bench *b;
    double end_s;
    atomic_size_t n_done, next;
} callers;

static void *caller_main(void *arg) {
    callers *c = arg;
    vx_index_query query = {.vectors = c->b->queries + atomic_fetch_add(&c->next, 1) * c->b->dim,
                            .n = 1,
                            .k = K,
                            .min_score = -2};
    vx_neighbour found[K];
    size_t n_found;
    while (now_s() < c->end_s) {
        vx_index_search(c->b->index, &query, found, &n_found, NULL, NULL);
        atomic_fetch_add(&c->n_done, 1);
    }
    return NULL;
}

/* Single queries from many threads at once: what joining them gains. */
static void bench_callers(bench *b) {
    callers c = {.b = b, .end_s = now_s() + 3};
    pthread_t threads[N_CALLERS];
    double start = now_s();
    for (int i = 0; i < N_CALLERS; i++)
        pthread_create(&threads[i], NULL, caller_main, &c);
    for (int i = 0; i < N_CALLERS; i++)
        pthread_join(threads[i], NULL);
    printf("callers_%d_queries_per_s %.1f\n", N_CALLERS,
           (double)atomic_load(&c.n_done) / (now_s() - start));
}

static void bench_remove(bench *b) {
    vx_err err;
    size_t n = b->n / 10;
    double start = now_s();
    for (size_t i = 0; i < n && i < 1000; i++) {
        int64_t id = (int64_t)(i * 7919 % b->n);
        need(vx_index_remove(b->index, &id, 1, &err), &err);
    }
    printf("remove_one_ms %.4f\n", (now_s() - start) / (double)(n < 1000 ? n : 1000) * 1e3);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    bench b = {.n = strtoul(argv[1], NULL, 10), .dim = strtoul(argv[2], NULL, 10)};
    vx_index_params params = {.dim = (int)b.dim, .threads = argc > 3 ? atoi(argv[3]) : 0};
    vx_err err;
    need(vx_index_new(&params, &b.index, &err), &err);
    b.queries = vx_new_array(64 * b.dim, sizeof(float));
    fill_units(b.queries, 64, b.dim, 1u << 30);
    bench_fill(&b);
    bench_add(&b);
    bench_search(&b, "search_1", 1, NULL);
    bench_search(&b, "search_4", 4, NULL);
    bench_search(&b, "search_32", 32, NULL);
    bench_search(&b, "search_64", 64, NULL);
    VX_AUTO(vx_idset) most = vx_idset_new(NULL, 0);
    for (size_t id = 0; id < b.n; id++)
        if (id % 10)
            vx_idset_append(most, (int64_t)id);
    bench_search(&b, "filtered_1", 1, most);
    bench_callers(&b);
    bench_remove(&b);
    free(b.queries);
    vx_index_free(b.index);
    return 0;
}
