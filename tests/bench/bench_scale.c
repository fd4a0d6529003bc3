/* Searches of a large index, on processors and with a copy on a GPU; the answers of both are compared.
 *
 *   bench_scale ROWS DIM [DEVICE]
 *
 * Rows are made in memory: around 2000 random directions, as embeddings lie, four a group. Prints a line for
 * each number of queries and results: milliseconds (the median), and what the index did for a query.
 */
#include <math.h>
#include <string.h>

#include "base/thread.h"
#include "bench.h"
#include "index/index.h"

enum { DIRECTIONS = 2000, CLIPS_A_VIDEO = 4, QUERIES = 64, MOST = 100, MAX_REPEATS = 201 };

typedef struct bench {
    size_t n, dim, segment_rows;
    float *directions, *queries;
    vx_index *index;
    vx_mutex mu;
    size_t next VX_GUARDED;
} bench;

static uint64_t next(uint64_t *state) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Nearly normal: the sum of four uniform numbers, with variance 1. */
static float noise(uint64_t *state) {
    uint64_t x = next(state);
    int sum =
        (int)(x & 0xffff) + (int)(x >> 16 & 0xffff) + (int)(x >> 32 & 0xffff) + (int)(x >> 48);
    return (float)(sum - 131070) * (float)(1.7320508 / 65536);
}

static void normalise(float *row, size_t dim) {
    double square = 0;
    for (size_t i = 0; i < dim; i++)
        square += (double)row[i] * row[i];
    float by = (float)(1 / sqrt(square));
    for (size_t i = 0; i < dim; i++)
        row[i] *= by;
}

/* The rows depend on their numbers alone. */
static void make_rows(const bench *b, size_t first, size_t n, float *rows) {
    float spread = 0.8f / sqrtf((float)b->dim);
    for (size_t i = 0; i < n; i++, rows += b->dim) {
        uint64_t state = (first + i) * 0xd1342543de82ef95u + 1;
        const float *direction = b->directions + next(&state) % DIRECTIONS * b->dim;
        for (size_t d = 0; d < b->dim; d++)
            rows[d] = 0.6f * direction[d] + spread * noise(&state);
        normalise(rows, b->dim);
    }
}

static void *fill_main(void *arg) {
    bench *b = arg;
    vx_err err;
    VX_AUTO_FREE float *rows = vx_new_array(b->segment_rows, b->dim * sizeof *rows);
    VX_AUTO_FREE int64_t *ids = vx_new_array(b->segment_rows, sizeof *ids);
    VX_AUTO_FREE int64_t *groups = vx_new_array(b->segment_rows, sizeof *groups);
    for (;;) {
        vx_mutex_lock(&b->mu);
        size_t first = b->next;
        b->next += b->segment_rows;
        vx_mutex_unlock(&b->mu);
        if (first >= b->n)
            return NULL;
        size_t n = b->n - first < b->segment_rows ? b->n - first : b->segment_rows;
        for (size_t i = 0; i < n; i++) {
            ids[i] = (int64_t)(first + i);
            groups[i] = 1 + ids[i] / CLIPS_A_VIDEO;
        }
        make_rows(b, first, n, rows);
        need(vx_index_add(b->index, ids, groups, rows, n, &err), &err);
    }
}

static void fill(bench *b) {
    pthread_t threads[256];
    int n_threads = vx_thread_cores() < 256 ? vx_thread_cores() : 256;
    double start = now_s();
    for (int i = 0; i < n_threads; i++)
        pthread_create(&threads[i], NULL, fill_main, b);
    for (int i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    printf("%zu x %zu made and added in %.1f s, %.2f GB\n", b->n, b->dim, now_s() - start,
           (double)vx_index_memory_bytes(b->index) * 1e-9);
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const bench *b, vx_index_query query, vx_neighbour *found, size_t *n_found) {
    vx_index_work work[QUERIES];
    double took[MAX_REPEATS], end = now_s() + 1;
    vx_err err;
    size_t n = 0;
    while (n < 3 || (n < MAX_REPEATS && now_s() < end)) {
        double start = now_s();
        need(vx_index_search(b->index, &query, found, n_found, work, &err), &err);
        took[n++] = now_s() - start;
    }
    qsort(took, n, sizeof *took, compare_doubles);
    printf("  %3zu queries, k %3zu%s: %8.3f ms (%.3f to %.3f), scanned %lld, by the GPU %lld, "
           "rescored %lld\n",
           query.n, query.k, query.by_group ? " videos" : "", took[n / 2] * 1e3, took[0] * 1e3,
           took[n - 1] * 1e3, (long long)work[0].rows_scanned, (long long)work[0].rows_on_gpu,
           (long long)work[0].rows_rescored);
    fflush(stdout);
}

/* Measures all; found [8, QUERIES · MOST] for the comparison. */
static void measure_all(const bench *b, vx_neighbour *found, size_t *n_found) {
    const size_t ns[] = {1, 8, 64}, ks[] = {10, 100};
    for (int i = 0; i < 6; i++)
        measure(b,
                (vx_index_query){
                    .vectors = b->queries, .n = ns[i / 2], .k = ks[i % 2], .min_score = -2},
                found + i * QUERIES * MOST, n_found + i * QUERIES);
    for (int i = 6; i < 8; i++)
        measure(b,
                (vx_index_query){.vectors = b->queries,
                                 .n = i == 6 ? 1 : 64,
                                 .k = 10,
                                 .min_score = -2,
                                 .by_group = true},
                found + i * QUERIES * MOST, n_found + i * QUERIES);
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    bench b = {.n = strtoul(argv[1], NULL, 10), .dim = strtoul(argv[2], NULL, 10)};
    vx_err err;
    vx_mutex_init(&b.mu);
    need(vx_index_new(&(vx_index_params){.dim = (int)b.dim}, &b.index, &err), &err);
    b.segment_rows = ((size_t)64 << 20) / (b.dim * sizeof(float));
    b.directions = vx_new_array(DIRECTIONS, b.dim * sizeof(float));
    b.queries = vx_new_array(QUERIES, b.dim * sizeof(float));
    uint64_t state = 7;
    for (size_t i = 0; i < DIRECTIONS * b.dim; i++)
        b.directions[i] = noise(&state);
    for (size_t i = 0; i < DIRECTIONS; i++)
        normalise(b.directions + i * b.dim, b.dim);
    make_rows(&b, (size_t)1 << 40, QUERIES, b.queries);
    fill(&b);
    const size_t n_all = 8 * QUERIES * MOST;
    vx_neighbour *cpu = vx_new_array(n_all, sizeof *cpu), *gpu = vx_new_array(n_all, sizeof *gpu);
    size_t n_cpu[8 * QUERIES] = {0}, n_gpu[8 * QUERIES] = {0};
    printf("%d processors\n", vx_thread_cores());
    measure_all(&b, cpu, n_cpu);
    if (argc > 3) {
        double start = now_s();
        need(vx_index_use_gpu(b.index, &(vx_index_gpu){.device = argv[3], .min_rows = 1}, &err),
             &err);
        vx_index_sync_gpu(b.index);
        vx_index_gpu_state there;
        vx_index_get_gpu_state(b.index, &there);
        printf("%s: %lld rows, %.2f GB, copied in %.2f s\n", argv[3], (long long)there.rows,
               (double)there.bytes * 1e-9, now_s() - start);
        measure_all(&b, gpu, n_gpu);
        bool same = !memcmp(n_cpu, n_gpu, sizeof n_cpu);
        for (size_t i = 0; i < n_all; i++)
            same &= cpu[i].id == gpu[i].id && cpu[i].score == gpu[i].score;
        printf("the answers are %s\n", same ? "the same" : "DIFFERENT");
        if (!same)
            return 1;
    }
    vx_index_free(b.index);
    free(b.directions);
    free(b.queries);
    free(cpu);
    free(gpu);
    return 0;
}
