/* The index with its codes on a CUDA device, against brute force: vectors that are hard for it, and changes.
 * index.sh builds it alone. */
#include "../unit/hard_rows.h"

static int n_on_gpu;

static void use_gpu(vx_index *index) {
    vx_err err;
    vx_index_gpu gpu = {.device = "cuda:0", .min_rows = 1};
    if (vx_index_use_gpu(index, &gpu, &err))
        fail_msg("%s", err.msg);
    vx_index_sync_gpu(index);
    vx_index_gpu_state there;
    vx_index_get_gpu_state(index, &there);
    n_on_gpu += there.rows > 0;
}

static void search_by_gpu_matches_brute_force(void **state) {
    (void)state;
    for (size_t i = 0; i < VX_LEN(fills); i++)
        check_fill(90 + i, fills[i], VX_INDEX_CODES, use_gpu, vx_index_sync_gpu);
    assert_int_equal(n_on_gpu, VX_LEN(fills));
}

/* Shapes: one number a row, a last group of one number, codes that need much shared memory. */
static void search_of_odd_shapes_by_gpu_matches_brute_force(void **state) {
    (void)state;
    const struct {
        int dim;
        size_t n;
        int64_t segment_rows;
    } cases[] = {{1, 500, 100},   {3, 2000, 700},   {37, 3000, 1000},   {256, 2500, 600},
                 {1280, 3000, 0}, {8192, 400, 130}, {256, 70000, 20000}};
    rng r = {1};
    for (size_t c = 0; c < VX_LEN(cases); c++) {
        int dim = cases[c].dim;
        float *vectors = random_units(&r, cases[c].n, dim), *queries = random_units(&r, 19, dim);
        list l = list_new(dim, cases[c].n);
        for (size_t i = 0; i < cases[c].n; i++)
            list_add(&l, (int64_t)(i * 7919 % 100003), vectors + i * (size_t)dim);
        first_pass = VX_INDEX_CODES;
        vx_index *index = new_index(dim, cases[c].segment_rows);
        add_all(index, &l);
        use_gpu(index);
        check_against(index, &l, queries, 19, 10, ALL_SCORES);
        check_against(index, &l, queries, 5, 200, 0.05f);
        vx_index_free(index);
        list_done(&l);
        free(vectors);
        free(queries);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_by_gpu_matches_brute_force),
        cmocka_unit_test(search_of_odd_shapes_by_gpu_matches_brute_force),
    };
    return cmocka_run_group_tests_name("index on a GPU", tests, NULL, NULL);
}
