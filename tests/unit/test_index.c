/* What the vector index finds, against brute force: shapes, ties, limits, odd numbers. */
#include <errno.h>

#include "index_fixture.h"

static void search_random_vectors_matches_brute_force(void **state) {
    (void)state;
    const struct {
        int dim;
        size_t n;
        int64_t segment_rows;
    } cases[] = {{1, 500, 100},    {3, 2000, 700},  {37, 3000, 1000},
                 {256, 2500, 600}, {1280, 1000, 0}, {8192, 60, 25}};
    rng r = {1};
    for (size_t c = 0; c < VX_LEN(cases); c++) {
        int dim = cases[c].dim;
        float *vectors = random_units(&r, cases[c].n, dim);
        float *queries = random_units(&r, 70, dim);
        list l = list_new(dim, cases[c].n);
        for (size_t i = 0; i < cases[c].n; i++)
            list_add(&l, (int64_t)(i * 7919 % 100003), vectors + i * (size_t)dim);
        vx_index *index = new_index(dim, cases[c].segment_rows);
        add_all(index, &l);
        check_against(index, &l, queries, 70, 10, ALL_SCORES);
        check_against(index, &l, queries, 5, 200, 0.05f);
        vx_index_free(index);
        list_done(&l);
        free(vectors);
        free(queries);
    }
}

static void search_equal_vectors_returns_smallest_ids(void **state) {
    (void)state;
    enum { dim = 64, n_equal = 6000, n_other = 2000 };
    rng r = {2};
    float *vectors = random_units(&r, 1 + n_other, dim);
    list l = list_new(dim, n_equal + n_other);
    for (int64_t i = 0; i < n_equal; i++)
        list_add(&l, (i * 4099) % 6007, vectors);
    for (int64_t i = 0; i < n_other; i++)
        list_add(&l, 10000 + i, vectors + (1 + i) * dim);
    vx_index *index = new_index(dim, 1500);
    add_all(index, &l);
    float *queries = random_units(&r, 24, dim);
    memcpy(queries, vectors, dim * sizeof(float));
    check_against(index, &l, queries, 24, 25, ALL_SCORES);
    check_against(index, &l, queries, 1, 3000, ALL_SCORES);
    vx_index_free(index);
    list_done(&l);
    free(vectors);
    free(queries);
}

/* Scores a few 1e-9 apart, less than FAISS's own rounding, come out in true order all the same. */
static void search_nearly_equal_scores_keeps_true_order(void **state) {
    (void)state;
    enum { dim = 1280, n = 3000 };
    rng r = {3};
    float *queries = random_units(&r, 24, dim);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++) {
        float *other = random_units(&r, 1, dim), row[dim];
        double overlap = 0;
        for (int d = 0; d < dim; d++)
            overlap += (double)queries[d] * other[d];
        double share = 0.8 + 2e-6 * (double)rng_signed(&r);
        for (int d = 0; d < dim; d++)
            row[d] = (float)(share * queries[d] + 0.6 * (other[d] - overlap * queries[d]));
        list_add(&l, i, row);
        free(other);
    }
    vx_index *index = new_index(dim, 1000);
    add_all(index, &l);
    check_against(index, &l, queries, 24, 100, ALL_SCORES);
    check_against(index, &l, queries, 1, 1, ALL_SCORES);
    vx_index_free(index);
    list_done(&l);
    free(queries);
}

static void search_min_score_at_a_result_keeps_it(void **state) {
    (void)state;
    enum { dim = 128, n = 1000 };
    rng r = {4};
    float *vectors = random_units(&r, n, dim), *query = random_units(&r, 1, dim);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i, vectors + i * dim);
    vx_index *index = new_index(dim, 300);
    add_all(index, &l);
    vx_neighbour want[8], got[8];
    size_t n_got;
    list_search(&l, query, 8, ALL_SCORES, NULL, want);
    search_all(index, query, 1, 8, want[4].score, NULL, got, &n_got);
    assert_same(got, n_got, want, 5);
    search_all(index, query, 1, 8, nextafterf(want[4].score, 2), NULL, got, &n_got);
    assert_same(got, n_got, want, 4);
    vx_index_free(index);
    list_done(&l);
    free(vectors);
    free(query);
}

static void search_empty_index_returns_nothing(void **state) {
    (void)state;
    vx_index *index = new_index(4, 0);
    float query[4] = {1, 0, 0, 0};
    vx_neighbour got[3];
    size_t n_got = 99;
    search_all(index, query, 1, 3, -1, NULL, got, &n_got);
    assert_int_equal(n_got, 0);
    int64_t id = 5;
    assert_int_equal(vx_index_add(index, &id, NULL, query, 1, NULL), 0);
    assert_int_equal(vx_index_remove(index, &id, 1, NULL), 0);
    n_got = 99;
    search_all(index, query, 1, 3, -1, NULL, got, &n_got);
    assert_int_equal(n_got, 0);
    assert_int_equal(vx_index_count(index), 0);
    vx_index_free(index);
}

static void search_k_beyond_rows_returns_all_rows(void **state) {
    (void)state;
    enum { dim = 16, n = 210 };
    rng r = {5};
    float *vectors = random_units(&r, n, dim);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i, vectors + i * dim);
    vx_index *index = new_index(dim, 100);
    add_all(index, &l);
    check_against(index, &l, vectors, 3, 10000, ALL_SCORES);
    vx_index_free(index);
    list_done(&l);
    free(vectors);
}

static void search_not_a_number_matches_nothing(void **state) {
    (void)state;
    enum { dim = 32, n = 400 };
    rng r = {6};
    float *vectors = random_units(&r, n, dim);
    int64_t ids[n];
    for (int64_t i = 0; i < n; i++)
        ids[i] = i;
    for (int d = 0; d < dim; d++)
        vectors[7 * dim + d] = NAN;
    vx_index *index = new_index(dim, 0);
    assert_int_equal(vx_index_add(index, ids, NULL, vectors, n, NULL), 0);
    vx_neighbour *got = vx_new_array(3 * n, sizeof(*got));
    size_t n_got[3];
    float queries[3 * dim];
    memcpy(queries, vectors, sizeof(queries));
    queries[dim + 3] = NAN;
    queries[2 * dim] = INFINITY;
    search_all(index, queries, 3, 5, ALL_SCORES, NULL, got, n_got);
    assert_int_equal(n_got[0], 5);
    assert_int_equal(n_got[1], 0);
    assert_int_equal(n_got[2], 0);
    search_all(index, queries, 1, n, ALL_SCORES, NULL, got, n_got);
    assert_int_equal(n_got[0], n - 1);
    free(got);
    vx_index_free(index);
    free(vectors);
}

static int by_codes(void **state) {
    (void)state;
    first_pass = VX_INDEX_CODES;
    return 0;
}

static int by_floats(void **state) {
    (void)state;
    first_pass = VX_INDEX_FLOATS;
    return 0;
}

#define BOTH_WAYS(test)                                                                            \
    cmocka_unit_test_setup(test, by_codes), cmocka_unit_test_setup(test, by_floats)

int main(void) {
    const struct CMUnitTest tests[] = {
        BOTH_WAYS(search_random_vectors_matches_brute_force),
        BOTH_WAYS(search_equal_vectors_returns_smallest_ids),
        BOTH_WAYS(search_nearly_equal_scores_keeps_true_order),
        BOTH_WAYS(search_min_score_at_a_result_keeps_it),
        BOTH_WAYS(search_empty_index_returns_nothing),
        BOTH_WAYS(search_k_beyond_rows_returns_all_rows),
        BOTH_WAYS(search_not_a_number_matches_nothing),
    };
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
