/* Near-duplicates of all pairs, against brute force. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dedup/dedup.h"

enum { N = 3000, DIM = 24, DIRECTIONS = 1200 }; /* several blocks, and tiles of what is kept */

static float vectors[N][DIM];
static int64_t rows[N];
static vx_index *source;

/* Vectors near DIRECTIONS random ones, so that some are near-duplicates. Row ids fall while ranks
 * rise: the answer must not depend on them. */
static int setup(void **state) {
    (void)state;
    vx_err err;
    uint32_t seed = 7;
    for (int i = 0; i < N; i++) {
        double norm = 0;
        for (int d = 0; d < DIM; d++) {
            seed = seed * 1664525 + 1013904223;
            float noise = (float)(seed >> 8) / (1 << 24) - 0.5f;
            uint32_t centre = (uint32_t)(i % DIRECTIONS * DIM + d) * 2654435761u;
            vectors[i][d] = (float)(centre >> 8) / (1 << 24) - 0.5f + noise * 0.35f;
            norm += (double)vectors[i][d] * (double)vectors[i][d];
        }
        for (int d = 0; d < DIM; d++)
            vectors[i][d] /= (float)sqrt(norm);
        rows[i] = 10 * (N - i);
    }
    memcpy(vectors[2], vectors[1], sizeof vectors[1]); /* equal ones, in one block and far apart */
    memcpy(vectors[2500], vectors[1], sizeof vectors[1]);
    assert_int_equal(vx_index_new(&(vx_index_params){.dim = DIM}, &source, &err), 0);
    assert_int_equal(vx_index_add(source, rows, NULL, &vectors[0][0], N, &err), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    source = vx_index_free(source);
    return 0;
}

static float dot(const float *a, const float *b) {
    double sum = 0;
    for (int d = 0; d < DIM; d++)
        sum += (double)a[d] * (double)b[d];
    return (float)sum;
}

static vx_dedup_params params(void) {
    return (vx_dedup_params){.source = source, .rows = rows, .n = N, .threshold = 0.95f};
}

static void check_against_brute_force(const vx_dedup_match *found, bool (*is_there)(size_t rank)) {
    static bool kept[N];
    size_t n_kept = 0;
    for (size_t i = 0; i < N; i++) {
        size_t best = i;
        float score = 0;
        for (size_t q = 0; q < i && is_there(i); q++) {
            float other = kept[q] ? dot(vectors[i], vectors[q]) : -1;
            if (other > score || (best == i && other >= 0)) {
                best = q;
                score = other;
            }
        }
        assert_float_equal(found[i].score, score, 1e-6);
        if (found[i].of != best) /* equally near, but for the rounding of this brute force */
            assert_true(kept[found[i].of] &&
                        fabsf(dot(vectors[i], vectors[found[i].of]) - score) < 1e-6f);
        assert_int_equal(found[i].is_duplicate, best != i && score >= 0.95f);
        kept[i] = is_there(i) && !found[i].is_duplicate;
        n_kept += kept[i];
    }
    assert_in_range(n_kept, 1000, 2600);
}

static bool always(size_t rank) {
    (void)rank;
    return true;
}

static void all_pairs_give_the_matches_of_brute_force(void **state) {
    (void)state;
    static vx_dedup_match found[N];
    vx_dedup_params p = params();
    vx_err err;
    assert_int_equal(vx_dedup_all_pairs(&p, found, &err), 0);
    check_against_brute_force(found, always);
    assert_true(found[2].of == 1 && found[2].score > 0.999999f && found[2].is_duplicate);
    assert_int_equal(found[2500].of, 1);
}

/* With room for no copies, for some, and for all. */
static void all_pairs_with_less_memory_give_the_same_matches(void **state) {
    (void)state;
    static vx_dedup_match wanted[N], found[N];
    vx_dedup_params p = params();
    vx_err err;
    assert_int_equal(vx_dedup_all_pairs(&p, wanted, &err), 0);
    for (int64_t limit_rows = 0; limit_rows <= 700; limit_rows += 350) {
        p.memory_bytes = limit_rows * DIM * (int64_t)sizeof(float) + 1;
        memset(found, 0xff, sizeof found);
        assert_int_equal(vx_dedup_all_pairs(&p, found, &err), 0);
        for (size_t i = 0; i < N; i++)
            assert_true(found[i].of == wanted[i].of && found[i].score == wanted[i].score &&
                        found[i].is_duplicate == wanted[i].is_duplicate);
    }
}

static bool is_not_removed(size_t rank) {
    return rank % 7 != 3;
}

static void row_that_has_left_the_index_matches_nothing(void **state) {
    (void)state;
    static vx_dedup_match found[N];
    vx_dedup_params p = params();
    vx_err err;
    for (size_t i = 0; i < N; i++)
        if (!is_not_removed(i))
            assert_int_equal(vx_index_remove(source, &rows[i], 1, &err), 0);
    assert_int_equal(vx_dedup_all_pairs(&p, found, &err), 0);
    check_against_brute_force(found, is_not_removed);
    assert_true(found[3].of == 3 && found[3].score == 0 && !found[3].is_duplicate);
}

static void row_that_appears_twice_is_a_duplicate_of_itself(void **state) {
    (void)state;
    static vx_dedup_match found[3];
    vx_dedup_params p = params();
    vx_err err;
    int64_t twice[] = {rows[5], rows[6], rows[5]};
    p.rows = twice;
    p.n = 3;
    assert_int_equal(vx_dedup_all_pairs(&p, found, &err), 0);
    assert_true(found[2].of == 0 && found[2].is_duplicate && !found[1].is_duplicate);
}

typedef struct calls {
    size_t n, last, limit;
} calls;

static bool go_on(void *ctx, size_t n_done, size_t n) {
    calls *c = ctx;
    assert_true(n_done > c->last && n_done <= n && n == N);
    c->n++;
    c->last = n_done;
    return c->n < c->limit;
}

static void progress_is_told_after_each_block_and_may_stop_the_comparison(void **state) {
    (void)state;
    static vx_dedup_match found[N];
    vx_dedup_params p = params();
    calls c = {.limit = SIZE_MAX};
    vx_err err;
    p.go_on = go_on;
    p.ctx = &c;
    assert_int_equal(vx_dedup_all_pairs(&p, found, &err), 0);
    assert_true(c.n == (N + 255) / 256 && c.last == N);
    c = (calls){.limit = 2};
    assert_int_equal(vx_dedup_all_pairs(&p, found, &err), VX_DEDUP_STOPPED);
    assert_int_equal(c.last, 512);
}

static void nothing_to_compare_is_no_error(void **state) {
    (void)state;
    vx_dedup_params p = params();
    vx_err err;
    p.n = 0;
    assert_int_equal(vx_dedup_all_pairs(&p, NULL, &err), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_pairs_give_the_matches_of_brute_force, setup, teardown),
        cmocka_unit_test_setup_teardown(all_pairs_with_less_memory_give_the_same_matches, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_that_has_left_the_index_matches_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_that_appears_twice_is_a_duplicate_of_itself, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            progress_is_told_after_each_block_and_may_stop_the_comparison, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_to_compare_is_no_error, setup, teardown),
    };
    return cmocka_run_group_tests_name("dedup", tests, NULL, NULL);
}
