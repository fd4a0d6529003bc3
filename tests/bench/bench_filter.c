/* What a filter adds to a search: 10 clips a video, fields of every video and declared ones.
 *
 *   bench_filter VIDEOS DIM
 *
 * Prints for each filter: videos that pass, milliseconds to select them, of the filtered search with
 * that, of the search without a filter, and the ratio of these two. Medians of rounds in which each is
 * run in turn, so that a busy machine is busy for all.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "filter/filter.h"
#include "index/index.h"

#define CLIPS_EACH 10
#define K 10
#define ROUNDS 41

static const char *const filters[] = {
    "{\"metadata.p\": 5}",
    "{\"metadata.p\": {\"$lt\": 10}}",
    "{\"metadata.p\": {\"$lt\": 100}}",
    "{\"metadata.p\": {\"$lt\": 500}}",
    "{\"metadata.p\": {\"$lt\": 900}}",
    "{\"metadata.speed\": {\"$lt\": 0.1}}",
    "{\"metadata.speed\": {\"$lt\": 1}}",
    "{\"metadata.speed\": {\"$lt\": 10}}",
    "{\"metadata.speed\": {\"$lt\": 50}}",
    "{\"metadata.speed\": {\"$lt\": 90}}",
    "{\"metadata.camera\": \"front\", \"media.duration_s\": {\"$gte\": 5},"
    " \"$or\": [{\"created_at\": {\"$gte\": \"2026-01-01\"}}, {\"filename\": {\"$prefix\": "
    "\"tour/\"}}]}",
    "{\"metadata.camera\": {\"$ne\": \"front\"}, \"media.duration_s\": {\"$gte\": 5}}",
    "{\"filename\": {\"$contains\": \"CLIP77\"}}",
};

static uint64_t random_state = 1;

static uint64_t next_random(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 33;
}

static void need(int code, const vx_err *err) {
    if (code) {
        fprintf(stderr, "bench_filter: %s\n", err->msg);
        exit(1);
    }
}

static void fill_columns(vx_filter_columns *columns, int64_t n) {
    static const char *const cameras[] = {"front", "rear", "left", "right"};
    static const char *const fields[] = {"metadata.camera", "metadata.p", "metadata.speed"};
    vx_err err;
    need(vx_filter_columns_declare(columns, fields, VX_LEN(fields), &err), &err);
    for (int64_t row = 1; row <= n; row++) {
        char name[64], metadata[160];
        snprintf(name, sizeof name, "tour/clip%lld.mp4", (long long)row);
        snprintf(metadata, sizeof metadata, "{\"camera\":\"%s\",\"p\":%d,\"speed\":%.6f}",
                 cameras[next_random() % 4], (int)(next_random() % 1000),
                 (double)(next_random() % 100000000) / 1e6);
        const vx_video video = {.row = row,
                                .filename = name,
                                .metadata = metadata,
                                .bytes = (int64_t)next_random(),
                                .created_us = INT64_C(1760000000000000) + row * 1000000,
                                .duration_s = (double)(next_random() % 100000) / 1e3};
        need(vx_filter_columns_put(columns, &video, &err), &err);
    }
}

static void fill_index(vx_index *index, int64_t n_videos, size_t dim) {
    int64_t ids[CLIPS_EACH * 100], groups[CLIPS_EACH * 100];
    float *vectors = vx_new_array(VX_LEN(ids) * dim, sizeof *vectors);
    vx_err err;
    for (int64_t video = 1; video <= n_videos; video += 100) {
        for (size_t i = 0; i < VX_LEN(ids); i++) {
            float square = 0, *v = vectors + i * dim;
            ids[i] = video * CLIPS_EACH + (int64_t)i;
            groups[i] = video + (int64_t)i / CLIPS_EACH;
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

static double search_ms(vx_index *index, const float *query, const vx_idset *groups) {
    const vx_index_query asked = {
        .vectors = query, .n = 1, .k = K, .min_score = -1, .by_group = true, .groups = groups};
    vx_neighbour found[K];
    size_t n;
    vx_err err;
    int64_t start_us = vx_clock_monotonic_us();
    need(vx_index_search(index, &asked, found, &n, NULL, &err), &err);
    return (double)(vx_clock_monotonic_us() - start_us) / 1e3;
}

/* As the server does it: rows, newest first, to a set. */
static double select_ms(vx_filter_columns *columns, const vx_filter *filter, vx_idset **ret_set) {
    const vx_filter_selection selection = {.filter = filter};
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n, n_read;
    vx_err err;
    int64_t start_us = vx_clock_monotonic_us();
    need(vx_filter_columns_select(columns, &selection, &rows, &n, &n_read, &err), &err);
    vx_idset *set = vx_new(vx_idset);
    for (size_t i = 0; i < n / 2; i++) {
        int64_t swapped = rows[i];
        rows[i] = rows[n - 1 - i];
        rows[n - 1 - i] = swapped;
    }
    *set = (vx_idset){.ids = vx_take(rows), .n = n, .capacity = n};
    *ret_set = set;
    return (double)(vx_clock_monotonic_us() - start_us) / 1e3;
}

static void bench(vx_filter_columns *columns, vx_index *index, const float *query,
                  const char *text) {
    double plain[ROUNDS], selects[ROUNDS], filtered[ROUNDS];
    json_t *json = json_loads(text, 0, NULL);
    VX_AUTO(vx_filter) filter = NULL;
    char pointer[VX_FILTER_POINTER_BYTES];
    size_t passing = 0;
    vx_err err;
    need(vx_filter_parse(json, NULL, &filter, pointer, &err), &err);
    json_decref(json);
    for (int i = 0; i < ROUNDS; i++) {
        VX_AUTO(vx_idset) set = NULL;
        plain[i] = search_ms(index, query, NULL);
        selects[i] = select_ms(columns, filter, &set);
        filtered[i] = selects[i] + search_ms(index, query, set);
        passing = set->n;
    }
    qsort(plain, ROUNDS, sizeof *plain, by_value);
    qsort(selects, ROUNDS, sizeof *selects, by_value);
    qsort(filtered, ROUNDS, sizeof *filtered, by_value);
    printf("%7zu pass  select %6.2f  filtered %6.2f  unfiltered %6.2f  ratio %.2f  %.60s\n",
           passing, selects[ROUNDS / 2], filtered[ROUNDS / 2], plain[ROUNDS / 2],
           filtered[ROUNDS / 2] / plain[ROUNDS / 2], text);
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    int64_t n_videos = atoll(argv[1]) / 100 * 100;
    size_t dim = (size_t)atoi(argv[2]);
    vx_filter_columns *columns = NULL;
    vx_index *index = NULL;
    vx_err err;
    need(vx_filter_columns_new(&columns, &err), &err);
    need(vx_index_new(&(vx_index_params){.dim = (int)dim}, &index, &err), &err);
    int64_t start_us = vx_clock_monotonic_us();
    fill_columns(columns, n_videos);
    printf("%lld videos: columns of 22 + 3 fields in %.2f s, %zu bytes a video\n",
           (long long)n_videos, (double)(vx_clock_monotonic_us() - start_us) / 1e6,
           vx_filter_columns_memory_bytes(columns) / (size_t)n_videos);
    fill_index(index, n_videos, dim);
    float *query = vx_new_array(dim, sizeof *query);
    query[0] = query[dim / 2] = sqrtf(0.5F);
    for (size_t i = 0; i < VX_LEN(filters); i++)
        bench(columns, index, query, filters[i]);
    free(query);
    vx_filter_columns_free(columns);
    vx_index_free(index);
    return 0;
}
