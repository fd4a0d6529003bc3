/* Speed of searches of the vector index; tests/bench/bench_search.py runs it beside other engines.
 *
 *   bench_search VECTORS QUERIES DIM [THREADS]
 *
 * VECTORS is float32 [n, dim], QUERIES float32 [512, dim]. Four rows that follow each other are one group,
 * as the clips of a short video. Prints one JSON object a line: what was measured, milliseconds (the
 * median), those of all processors together (the mean), and what the index did for a query. The first line has the ids that the queries find, for the
 * comparison with the others.
 */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "bench.h"
#include "index/index.h"

enum { QUERIES = 512, CLIPS_A_VIDEO = 4, FILM_CLIPS = 10000, MAX_REPEATS = 201 };

static double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const float *map_floats(const char *path, size_t *ret_n) {
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts)) {
        perror(path);
        exit(1);
    }
    *ret_n = (size_t)facts.st_size / sizeof(float);
    const float *floats = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (floats == MAP_FAILED) {
        perror(path);
        exit(1);
    }
    return floats;
}

/* film: the first clips are one video. */
static vx_index *fill(const float *vectors, size_t n, int dim, int threads, bool film) {
    vx_index *index = NULL;
    vx_index_params params = {.dim = dim, .threads = threads};
    vx_err err;
    need(vx_index_new(&params, &index, &err), &err);
    size_t chunk = ((size_t)64 << 20) / ((size_t)dim * sizeof(float));
    VX_AUTO_FREE int64_t *ids = vx_new_array(chunk, sizeof *ids);
    VX_AUTO_FREE int64_t *groups = vx_new_array(chunk, sizeof *groups);
    double start = now_s();
    for (size_t done = 0, now; done < n; done += now) {
        now = n - done < chunk ? n - done : chunk;
        for (size_t i = 0; i < now; i++) {
            ids[i] = (int64_t)(done + i);
            groups[i] = film && ids[i] < FILM_CLIPS ? 1 : 1 + ids[i] / CLIPS_A_VIDEO;
        }
        need(vx_index_add(index, ids, groups, vectors + done * (size_t)dim, now, &err), &err);
    }
    printf("{\"what\": \"add\", \"ms\": %.1f}\n", (now_s() - start) * 1e3);
    return index;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median over about a second; `what` is further JSON members. */
static void measure(vx_index *index, const vx_index_query *query, const char *what) {
    VX_AUTO_FREE vx_neighbour *found = vx_new_array(query->n * query->k, sizeof *found);
    size_t n_found[QUERIES], n = 0;
    vx_index_work work[QUERIES];
    double took[MAX_REPEATS], end = now_s() + 1, cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    vx_err err;
    while (n < 3 || (n < MAX_REPEATS && now_s() < end)) {
        double start = now_s();
        need(vx_index_search(index, query, found, n_found, work, &err), &err);
        took[n++] = now_s() - start;
    }
    cpu = (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)n;
    int64_t rescored = 0;
    for (size_t i = 0; i < query->n; i++)
        rescored += work[i].rows_rescored;
    qsort(took, n, sizeof *took, compare_doubles);
    printf("{%s, \"ms\": %.4f, \"cpu_ms\": %.4f, \"scanned\": %lld, \"rescored\": %.1f}\n", what,
           took[n / 2] * 1e3, cpu * 1e3, (long long)work[0].rows_scanned,
           (double)rescored / (double)query->n);
    fflush(stdout);
}

static void print_answers(vx_index *index, const float *queries) {
    vx_neighbour found[8 * 10];
    size_t n_found[8];
    vx_err err;
    vx_index_query query = {.vectors = queries, .n = 8, .k = 10, .min_score = -2};
    need(vx_index_search(index, &query, found, n_found, NULL, &err), &err);
    printf("{\"what\": \"ids\", \"ids\": [");
    for (size_t i = 0; i < VX_LEN(found); i++)
        printf("%s%lld", i ? ", " : "", (long long)found[i].id);
    printf("]}\n");
}

static void search_all(vx_index *index, const float *queries) {
    const size_t ns[] = {1, 8, 64, 512}, ks[] = {10, 100};
    char what[128];
    for (size_t i = 0; i < VX_LEN(ns); i++) {
        for (size_t j = 0; j < VX_LEN(ks); j++) {
            vx_index_query query = {.vectors = queries, .n = ns[i], .k = ks[j], .min_score = -2};
            snprintf(what, sizeof what, "\"what\": \"search\", \"n\": %zu, \"k\": %zu", ns[i],
                     ks[j]);
            measure(index, &query, what);
        }
    }
}

/* Videos picked at random: the worst case, as no tile of the index is free of them. */
static void search_some(vx_index *index, size_t n, const float *queries) {
    const double shares[] = {0.001, 0.01, 0.1, 0.5, 0.9};
    char what[128];
    uint64_t seed = 1;
    for (size_t s = 0; s < VX_LEN(shares); s++) {
        VX_AUTO(vx_idset) some = vx_idset_new(NULL, 0);
        for (int64_t video = 1; video <= (int64_t)(n / CLIPS_A_VIDEO); video++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            if ((double)(seed >> 11) * 0x1p-53 < shares[s])
                vx_idset_append(some, video);
        }
        for (size_t n_queries = 1; n_queries <= 8; n_queries *= 8) {
            vx_index_query query = {
                .vectors = queries, .n = n_queries, .k = 10, .min_score = -2, .groups = some};
            snprintf(what, sizeof what, "\"what\": \"some\", \"n\": %zu, \"k\": 10, \"share\": %g",
                     n_queries, shares[s]);
            measure(index, &query, what);
        }
    }
}

/* The queries are the film's own clips, so that all its 10,000 are near. */
static void search_groups(vx_index *index, const float *vectors, const char *which) {
    char what[128];
    vx_index_query query = {.vectors = vectors, .n = 1, .k = 10, .min_score = -2, .by_group = true};
    snprintf(what, sizeof what, "\"what\": \"%s\", \"n\": 1, \"k\": 10", which);
    measure(index, &query, what);
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    size_t n_floats, n_query_floats, dim = strtoul(argv[3], NULL, 10);
    const float *vectors = map_floats(argv[1], &n_floats);
    const float *queries = map_floats(argv[2], &n_query_floats);
    size_t n = n_floats / dim;
    int threads = argc > 4 ? atoi(argv[4]) : 0;
    if (n_query_floats != QUERIES * dim)
        return 2;
    vx_index *index = fill(vectors, n, (int)dim, threads, false);
    print_answers(index, queries);
    search_all(index, queries);
    search_some(index, n, queries);
    search_groups(index, vectors, "groups");
    vx_index_free(index);
    index = fill(vectors, n, (int)dim, threads, true);
    search_groups(index, vectors, "groups beside a film");
    vx_index_free(index);
    return 0;
}
