/* What a filter adds to a search: fields of every video and declared ones, few and many values.
 *
 *   bench_filter VIDEOS DIM [CLIPS [TEXT...]]
 *
 * CLIPS: of each video, 10. TEXT: only the filters that contain one of these. Prints for each filter: videos that pass,
 * milliseconds to prepare it, of the filtered search with that, of the search without a filter, and the ratio of these
 * two; then the same of processor time. Medians of rounds in which each is run in turn, so that a busy machine is busy for all.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "bench.h"
#include "filter/filter.h"
#include "index/index.h"

#define VECTORS_AT_ONCE 1000
#define K 10
#define ROUNDS 41

/* speed, a, b, c and d: another number for each video. tags: three of 50. */
static const char *const filters[] = {
    "{\"metadata.p\": 5}",
    "{\"metadata.p\": {\"$lt\": 10}}",
    "{\"metadata.p\": {\"$lt\": 100}}",
    "{\"metadata.p\": {\"$lt\": 500}}",
    "{\"metadata.p\": {\"$lt\": 900}}",
    "{\"metadata.speed\": {\"$lt\": 0.1}}",
    "{\"metadata.speed\": {\"$lt\": 1}}",
    "{\"metadata.speed\": {\"$lt\": 3}}",
    "{\"metadata.speed\": {\"$lt\": 5}}",
    "{\"metadata.speed\": {\"$lt\": 10}}",
    "{\"metadata.speed\": {\"$lt\": 50}}",
    "{\"metadata.speed\": {\"$lt\": 90}}",
    "{\"metadata.a\": {\"$lt\": 70.7}, \"metadata.b\": {\"$gte\": 29.3}}",
    "{\"metadata.a\": {\"$lt\": 79.4}, \"metadata.b\": {\"$gte\": 20.6}, \"metadata.c\": {\"$gt\": "
    "20.6}}",
    "{\"metadata.a\": {\"$lt\": 18}, \"metadata.b\": {\"$gte\": 82}, \"metadata.c\": {\"$gt\": 82},"
    " \"metadata.d\": {\"$lte\": 18}}",
    "{\"metadata.a\": {\"$lt\": 31.6}, \"metadata.b\": {\"$gte\": 68.4}, \"metadata.c\": {\"$gt\": "
    "68.4},"
    " \"metadata.d\": {\"$lte\": 31.6}}",
    "{\"metadata.a\": {\"$lt\": 56.2}, \"metadata.b\": {\"$gte\": 43.8}, \"metadata.c\": {\"$gt\": "
    "43.8},"
    " \"metadata.d\": {\"$lte\": 56.2}}",
    "{\"metadata.a\": {\"$lt\": 84.1}, \"metadata.b\": {\"$gte\": 15.9}, \"metadata.c\": {\"$gt\": "
    "15.9},"
    " \"metadata.d\": {\"$lte\": 84.1}}",
    "{\"metadata.a\": {\"$lt\": 97.4}, \"metadata.b\": {\"$gte\": 2.6}, \"metadata.c\": {\"$gt\": "
    "2.6},"
    " \"metadata.d\": {\"$lte\": 97.4}}",
    "{\"$or\": [{\"metadata.a\": {\"$lt\": 2.6}}, {\"metadata.b\": {\"$gt\": 97.4}},"
    " {\"metadata.c\": {\"$lt\": 2.6}}, {\"metadata.d\": {\"$gt\": 97.4}}]}",
    "{\"$not\": {\"$or\": [{\"metadata.a\": {\"$lt\": 2.6}}, {\"metadata.b\": {\"$gt\": 97.4}},"
    " {\"metadata.c\": {\"$lt\": 2.6}}, {\"metadata.d\": {\"$gt\": 97.4}}]}}",
    "{\"created_at\": {\"$gte\": \"2025-10-09T20:00:00Z\"}}",
    "{\"metadata.camera\": \"front\", \"media.duration_s\": {\"$gte\": 5},"
    " \"$or\": [{\"created_at\": {\"$gte\": \"2025-10-10\"}}, {\"filename\": {\"$prefix\": "
    "\"tour/\"}}]}",
    "{\"metadata.camera\": {\"$ne\": \"front\"}, \"media.duration_s\": {\"$gte\": 5}}",
    "{\"metadata.name\": {\"$in\": [\"n1\", \"n77\", \"n4711\", \"n90000\"]}}",
    "{\"metadata.name\": {\"$nin\": [\"n1\", \"n77\", \"n4711\", \"n90000\"]}}",
    "{\"metadata.name\": {\"$prefix\": \"n1\"}}",
    "{\"metadata.name\": {\"$gte\": \"n5\"}}",
    "{\"metadata.name\": {\"$gte\": \"n99\"}}",
    "{\"metadata.tags\": \"t7\"}",
    "{\"metadata.tags\": {\"$in\": [\"t1\", \"t2\", \"t3\", \"t4\", \"t5\", \"t6\", \"t7\", "
    "\"t8\", \"t9\"]}}",
    "{\"filename\": {\"$contains\": \"CLIP77\"}}",
    "{\"filename\": {\"$contains\": \"777\"}}",
    "{\"metadata.name\": {\"$contains\": \"77\"}}",
    "{\"metadata.name\": {\"$contains\": \"1\"}}",
    "{\"$or\": [{\"metadata.name\": {\"$prefix\": \"n123\"}},"
    " {\"filename\": {\"$prefix\": \"tour/clip99\"}}]}",
    "{\"$or\": [{\"metadata.name\": {\"$prefix\": \"n9999\"}},"
    " {\"filename\": {\"$prefix\": \"tour/clip9999\"}}]}",
    "{\"$or\": [{\"metadata.name\": {\"$gte\": \"n99\"}},"
    " {\"filename\": {\"$gte\": \"tour/clip99\"}}]}",
    "{\"$or\": [{\"metadata.name\": {\"$gte\": \"n9999\"}},"
    " {\"filename\": {\"$gte\": \"tour/clip9999\"}}]}",
    "{\"$or\": [{\"metadata.name\": {\"$contains\": \"9999\"}},"
    " {\"filename\": {\"$contains\": \"1234\"}}, {\"id\": {\"$contains\": \"zz\"}}]}",
    "{\"filename\": {\"$contains\": \"CLIP7\"}, \"metadata.a\": {\"$lt\": 90}, \"metadata.b\": "
    "{\"$gte\": 10},"
    " \"metadata.name\": {\"$prefix\": \"n\"}}",
};

static uint64_t random_state = 1;

static uint64_t next_random(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 33;
}

static void fill_columns(vx_filter_columns *columns, int64_t n) {
    static const char *const cameras[] = {"front", "rear", "left", "right"};
    static const char *const fields[] = {"metadata.camera", "metadata.p",    "metadata.speed",
                                         "metadata.a",      "metadata.b",    "metadata.c",
                                         "metadata.d",      "metadata.name", "metadata.tags"};
    vx_err err;
    need(vx_filter_columns_declare(columns, fields, VX_LEN(fields), &err), &err);
    for (int64_t row = 1; row <= n; row++) {
        char name[64], metadata[400], numbers[5][20];
        for (int i = 0; i < 5; i++)
            snprintf(numbers[i], sizeof numbers[i], "%.6f",
                     (double)(next_random() % 100000000) / 1e6);
        snprintf(name, sizeof name, "tour/clip%lld.mp4", (long long)row);
        snprintf(metadata, sizeof metadata,
                 "{\"camera\":\"%s\",\"p\":%d,\"speed\":%s,\"a\":%s,\"b\":%s,\"c\":%s,\"d\":%s,"
                 "\"name\":\"n%d\",\"tags\":[\"t%d\",\"t%d\",\"t%d\"]}",
                 cameras[next_random() % 4], (int)(next_random() % 1000), numbers[0], numbers[1],
                 numbers[2], numbers[3], numbers[4], (int)(next_random() % (uint64_t)n),
                 (int)(next_random() % 50), (int)(next_random() % 50), (int)(next_random() % 50));
        const vx_video video = {.row = row,
                                .filename = name,
                                .metadata = metadata,
                                .bytes = (int64_t)next_random(),
                                .created_us = INT64_C(1760000000000000) + row * 1000000,
                                .duration_s = (double)(next_random() % 100000) / 1e3};
        need(vx_filter_columns_put(columns, &video, &err), &err);
    }
}

static void fill_index(vx_index *index, int64_t n_videos, int64_t clips, size_t dim) {
    int64_t ids[VECTORS_AT_ONCE], groups[VECTORS_AT_ONCE];
    float *vectors = vx_new_array(VX_LEN(ids) * dim, sizeof *vectors);
    vx_err err;
    for (int64_t clip = 0; clip < n_videos * clips; clip += VECTORS_AT_ONCE) {
        for (size_t i = 0; i < VX_LEN(ids); i++) {
            float square = 0, *v = vectors + i * dim;
            ids[i] = clip + (int64_t)i;
            groups[i] = ids[i] / clips + 1;
            for (size_t j = 0; j < dim; j++) {
                v[j] = (float)(next_random() % 2001) - 1000;
                square += v[j] * v[j];
            }
            for (size_t j = 0; j < dim; j++)
                v[j] /= sqrtf(square);
        }
        need(vx_index_add(index, ids, groups, vectors, VX_LEN(ids), &err), &err);
    }
    free(vectors);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double clock_ms(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void search(vx_index *index, const float *query, const vx_idset *groups) {
    const vx_index_query asked = {
        .vectors = query, .n = 1, .k = K, .min_score = -1, .by_group = true, .groups = groups};
    vx_neighbour found[K];
    size_t n;
    vx_err err;
    need(vx_index_search(index, &asked, found, &n, NULL, &err), &err);
}

typedef struct times {
    clockid_t clock;
    double plain[ROUNDS], selects[ROUNDS], filtered[ROUNDS];
} times;

/* As the server does it. */
static void bench_round(times *all, int round, vx_filter_columns *columns, vx_index *index,
                        const float *query, const vx_filter *filter, size_t *ret_passing) {
    VX_AUTO(vx_idset) set = NULL;
    vx_err err;
    double at[2][4];
    for (int i = 0; i < 4; i++) {
        for (int c = 0; c < 2; c++)
            at[c][i] = clock_ms(all[c].clock);
        if (i == 0)
            search(index, query, NULL);
        if (i == 1)
            need(vx_filter_columns_select_lazily(columns, filter, false, &set, &err), &err);
        if (i == 2)
            search(index, query, set);
    }
    for (int c = 0; c < 2; c++) {
        all[c].plain[round] = at[c][1] - at[c][0];
        all[c].selects[round] = at[c][2] - at[c][1];
        all[c].filtered[round] = at[c][3] - at[c][1];
    }
    vx_idset_complete(set);
    *ret_passing = set->n;
}

static void bench(vx_filter_columns *columns, vx_index *index, const float *query,
                  const char *text) {
    times all[2] = {{.clock = CLOCK_MONOTONIC}, {.clock = CLOCK_PROCESS_CPUTIME_ID}};
    json_t *json = json_loads(text, 0, NULL);
    VX_AUTO(vx_filter) filter = NULL;
    char pointer[VX_FILTER_POINTER_BYTES];
    size_t passing = 0;
    vx_err err;
    need(vx_filter_parse(json, NULL, &filter, pointer, &err), &err);
    json_decref(json);
    for (int i = 0; i < ROUNDS; i++)
        bench_round(all, i, columns, index, query, filter, &passing);
    printf("%7zu pass", passing);
    for (int c = 0; c < 2; c++) {
        qsort(all[c].plain, ROUNDS, sizeof(double), by_value);
        qsort(all[c].selects, ROUNDS, sizeof(double), by_value);
        qsort(all[c].filtered, ROUNDS, sizeof(double), by_value);
        double plain = all[c].plain[ROUNDS / 2], filtered = all[c].filtered[ROUNDS / 2];
        printf("%s select %6.2f  filtered %6.2f  unfiltered %6.2f  ratio %.2f",
               c ? "   processors:" : "", all[c].selects[ROUNDS / 2], filtered, plain,
               filtered / plain);
    }
    printf("  %.90s\n", text);
}

/* Of no texts: any. */
static bool has_any(const char *filter, char **texts, int n) {
    bool has = n <= 0;
    for (int i = 0; i < n; i++)
        has |= strstr(filter, texts[i]) != NULL;
    return has;
}

int main(int argc, char **argv) {
    if (argc < 3)
        return 2;
    int64_t n_videos = atoll(argv[1]) / VECTORS_AT_ONCE * VECTORS_AT_ONCE;
    int64_t clips = argc > 3 ? atoll(argv[3]) : 10;
    size_t dim = (size_t)atoi(argv[2]);
    vx_filter_columns *columns = NULL;
    vx_index *index = NULL;
    vx_err err;
    need(vx_filter_columns_new(&columns, &err), &err);
    need(vx_index_new(&(vx_index_params){.dim = (int)dim}, &index, &err), &err);
    int64_t start_us = vx_clock_monotonic_us();
    fill_columns(columns, n_videos);
    printf("%lld videos: columns of 22 + 9 fields in %.2f s, %zu bytes a video\n",
           (long long)n_videos, (double)(vx_clock_monotonic_us() - start_us) / 1e6,
           vx_filter_columns_memory_bytes(columns) / (size_t)n_videos);
    fill_index(index, n_videos, clips, dim);
    float *query = vx_new_array(dim, sizeof *query);
    query[0] = query[dim / 2] = sqrtf(0.5F);
    for (size_t i = 0; i < VX_LEN(filters); i++)
        if (has_any(filters[i], argv + 4, argc - 4))
            bench(columns, index, query, filters[i]);
    free(query);
    vx_filter_columns_free(columns);
    vx_index_free(index);
    return 0;
}
