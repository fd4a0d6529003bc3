/* Feeds the vector index from stdin for the Python tests, which compare it with the faiss package.
 *
 *   index_tool DIM N N_REMOVED N_QUERIES K FILE
 *
 * stdin   ids int64 [N], vectors float32 [N, DIM], removed ids int64 [N_REMOVED],
 *         queries float32 [N_QUERIES, DIM]
 * stdout  the ids of FILE's rows on one line, then a line of "id score" pairs for each query
 */
#include <inttypes.h>

#include "index/index.h"

static void *read_array(size_t n, size_t element_bytes) {
    void *array = vx_new_array(n + 1, element_bytes);
    if (!array || fread(array, element_bytes, n, stdin) != n) {
        fprintf(stderr, "index_tool: stdin is too short\n");
        exit(2);
    }
    return array;
}

static void check(int code, const vx_err *err) {
    if (code) {
        fprintf(stderr, "index_tool: %s\n", err->msg);
        exit(1);
    }
}

static void print_results(const vx_neighbour *results, const size_t *n_results, size_t n_queries,
                          size_t k) {
    for (size_t q = 0; q < n_queries; q++) {
        for (size_t i = 0; i < n_results[q]; i++)
            printf("%" PRId64 " %.9g ", results[q * k + i].id, (double)results[q * k + i].score);
        printf("\n");
    }
}

int main(int argc, char **argv) {
    if (argc != 7)
        return 2;
    size_t dim = strtoul(argv[1], NULL, 10), n = strtoul(argv[2], NULL, 10);
    size_t n_removed = strtoul(argv[3], NULL, 10), n_queries = strtoul(argv[4], NULL, 10);
    size_t k = strtoul(argv[5], NULL, 10), n_rows = 0;
    VX_AUTO_FREE int64_t *ids = read_array(n, sizeof(*ids));
    VX_AUTO_FREE float *vectors = read_array(n * dim, sizeof(*vectors));
    VX_AUTO_FREE int64_t *removed = read_array(n_removed, sizeof(*removed));
    VX_AUTO_FREE float *queries = read_array(n_queries * dim, sizeof(*queries));
    VX_AUTO_FREE vx_neighbour *results = vx_new_array(n_queries * k, sizeof(*results));
    VX_AUTO_FREE size_t *n_results = vx_new_array(n_queries, sizeof(*n_results));
    VX_AUTO_FREE int64_t *row_ids = NULL;
    VX_AUTO(vx_index) index = NULL;
    vx_err err;
    /* Small segments, so that the file is put together from several. */
    const vx_index_params params = {.dim = (int)dim, .segment_rows = 300};
    check(vx_index_new(&params, &index, &err), &err);
    check(vx_index_add(index, ids, NULL, vectors, n, &err), &err);
    check(vx_index_remove(index, removed, n_removed, &err), &err);
    const vx_index_query query = {.vectors = queries, .n = n_queries, .k = k, .min_score = -2};
    check(vx_index_search(index, &query, results, n_results, NULL, &err), &err);
    check(vx_index_write_faiss(index, argv[6], &row_ids, &n_rows, &err), &err);
    for (size_t i = 0; i < n_rows; i++)
        printf("%" PRId64 " ", row_ids[i]);
    printf("\n");
    print_results(results, n_results, n_queries, k);
    return 0;
}
