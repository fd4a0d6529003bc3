/* All pairs on a CUDA device: the hits of the processors, in their order. pairs.sh builds it alone. */
#include "../unit/pair_rows.h"

static const vx_dedup_gpu gpu = {.device = "cuda:0", .min_pairs = -1};

static void hits_of_the_device_are_those_of_the_processors(void **state) {
    (void)state;
    check_shapes(&gpu);
}

static void pair_on_the_bar_counts_whatever_the_rounding(void **state) {
    (void)state;
    check_bars(&gpu);
}

static void row_that_is_no_number_is_in_no_pair(void **state) {
    (void)state;
    check_no_numbers(&gpu);
}

/* Many tiles in each direction, and blocks that begin inside one. */
static void hits_of_many_rows_are_those_of_the_processors(void **state) {
    (void)state;
    float *vectors = rows_near(30000, 256, 9000);
    const vx_dedup_rows rows = {.n = 30000, .dim = 256, .vectors = vectors};
    assert_true(check_same_hits(&rows, 0.9f, 0, &gpu, true) > 1000);
    free(vectors);
}

/* More pairs than the device may give: the processors find them. */
static void rows_that_are_all_alike_are_all_found(void **state) {
    (void)state;
    float *vectors = rows_near(3000, 32, 1);
    const vx_dedup_rows rows = {.n = 3000, .dim = 32, .vectors = vectors};
    assert_int_equal(check_same_hits(&rows, 0.1f, 0, &gpu, true), 3000 * 2999 / 2);
    free(vectors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_of_the_device_are_those_of_the_processors),
        cmocka_unit_test(pair_on_the_bar_counts_whatever_the_rounding),
        cmocka_unit_test(row_that_is_no_number_is_in_no_pair),
        cmocka_unit_test(hits_of_many_rows_are_those_of_the_processors),
        cmocka_unit_test(rows_that_are_all_alike_are_all_found),
    };
    return cmocka_run_group_tests_name("all pairs on a GPU", tests, NULL, NULL);
}
