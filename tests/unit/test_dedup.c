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

static vx_dedup_indexed indexed;
static vx_dedup_rows indexed_rows;

static vx_dedup_params params(void) {
    indexed = (vx_dedup_indexed){.index = source, .ids = rows, .n = N};
    indexed_rows = vx_dedup_rows_of_index(&indexed);
    return (vx_dedup_params){.rows = &indexed_rows, .threshold = 0.95f};
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

static void all_pairs_give_the_same_matches_with_any_number_of_threads(void **state) {
    (void)state;
    static vx_dedup_match wanted[N], found[N];
    vx_dedup_params p = params();
    vx_err err;
    p.threads = 1;
    assert_int_equal(vx_dedup_all_pairs(&p, wanted, &err), 0);
    for (p.threads = 2; p.threads <= 5; p.threads++) {
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
    indexed = (vx_dedup_indexed){.index = source, .ids = twice, .n = 3};
    indexed_rows = vx_dedup_rows_of_index(&indexed);
    assert_int_equal(vx_dedup_all_pairs(&p, found, &err), 0);
    assert_true(found[2].of == 0 && found[2].is_duplicate && !found[1].is_duplicate);
}

/* ---- pairs ---- */

typedef struct pair_set {
    uint8_t seen[N][N / 8 + 1];
    size_t n;
    float threshold;
} pair_set;
static pair_set found_pairs;

static int note_pairs(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err) {
    (void)err;
    pair_set *set = ctx;
    for (size_t i = 0; i < n; i++) {
        size_t row = hits[i].row, other = hits[i].other;
        assert_true(other < row && row < N);
        assert_false(set->seen[row][other / 8] >> other % 8 & 1);
        assert_true(hits[i].score >= set->threshold);
        assert_float_equal(hits[i].score, dot(vectors[row], vectors[other]), 1e-6);
        set->seen[row][other / 8] |= (uint8_t)(1 << other % 8);
        set->n++;
    }
    return 0;
}

static int note_pairs_of_two(void *ctx, const vx_dedup_hit *hits, size_t n, vx_err *err) {
    (void)hits, (void)err;
    ((pair_set *)ctx)->n += n;
    return 0;
}

static void find_pairs(vx_dedup *dedup, size_t from, size_t to) {
    vx_err err;
    for (size_t first = from; first < to; first += 700) { /* no multiple of a chunk */
        size_t n = to - first < 700 ? to - first : 700;
        assert_int_equal(vx_dedup_compare(dedup, first, n, NULL, note_pairs, &found_pairs, &err),
                         0);
    }
}

static size_t count_pairs_by_brute_force(float threshold) {
    size_t n = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i; k++)
            n += vx_index_dot(vectors[i], vectors[k], DIM) >= threshold;
    return n;
}

static void pairs_are_those_of_brute_force(void **state) {
    (void)state;
    vx_dedup_params p = params();
    size_t wanted = count_pairs_by_brute_force(0.9f);
    const vx_dedup_rows in_memory = {.n = N, .dim = DIM, .vectors = &vectors[0][0]};
    assert_in_range(wanted, 1000, 100000);
    for (int threads = 1; threads <= 3; threads++) {
        VX_AUTO(vx_dedup) dedup = NULL;
        vx_err err;
        found_pairs = (pair_set){.threshold = 0.9f};
        assert_int_equal(
            vx_dedup_new(threads == 2 ? &in_memory : p.rows, 0.9f, threads, &dedup, &err), 0);
        find_pairs(dedup, 0, N);
        assert_int_equal(found_pairs.n, wanted);
    }
}

/* Before it is scored a pair has a bound of its score, then its score. */
static bool wants_every_third(void *ctx, size_t row, size_t other, float score) {
    (void)ctx;
    assert_true(score >= 0.9f - 1e-4f && score > dot(vectors[row], vectors[other]) - 1e-6f);
    return (row + other) % 3 == 0;
}

static void pairs_that_are_not_wanted_are_left_out_and_no_others(void **state) {
    (void)state;
    vx_dedup_params p = params();
    VX_AUTO(vx_dedup) dedup = NULL;
    vx_err err;
    size_t wanted = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < i; k++)
            wanted += (i + k) % 3 == 0 && vx_index_dot(vectors[i], vectors[k], DIM) >= 0.9f;
    found_pairs = (pair_set){.threshold = 0.9f};
    assert_int_equal(vx_dedup_new(p.rows, 0.9f, 2, &dedup, &err), 0);
    for (size_t first = 0; first < N; first += 1000)
        assert_int_equal(
            vx_dedup_compare(dedup, first, 1000, wants_every_third, note_pairs, &found_pairs, &err),
            0);
    assert_int_equal(found_pairs.n, wanted);
}

static void pairs_of_later_rows_complete_those_of_earlier_ones(void **state) {
    (void)state;
    vx_dedup_params p = params();
    VX_AUTO(vx_dedup) dedup = NULL;
    vx_err err;
    found_pairs = (pair_set){.threshold = 0.9f};
    assert_int_equal(vx_dedup_new(p.rows, 0.9f, 2, &dedup, &err), 0);
    find_pairs(dedup, 1234, N);
    assert_true(found_pairs.n > 0);
    find_pairs(dedup, 0, 1234);
    assert_int_equal(found_pairs.n, count_pairs_by_brute_force(0.9f));
}

/* Each score of a sample once as the threshold: the pair is there, and with the next number above it is not. */
static void pair_on_the_threshold_counts_whatever_the_rounding_of_blas(void **state) {
    (void)state;
    for (size_t i = 1; i < 400; i += 3) {
        float score = vx_index_dot(vectors[i], vectors[i - 1], DIM);
        const vx_dedup_rows two = {.n = 2, .dim = DIM, .vectors = &vectors[i - 1][0]};
        for (int above = 0; above < 2; above++) {
            VX_AUTO(vx_dedup) dedup = NULL;
            vx_err err;
            float threshold = above ? nextafterf(score, 2) : score;
            found_pairs = (pair_set){.threshold = -2};
            assert_int_equal(vx_dedup_new(&two, threshold, 1, &dedup, &err), 0);
            assert_int_equal(
                vx_dedup_compare(dedup, 0, 2, NULL, note_pairs_of_two, &found_pairs, &err), 0);
            assert_int_equal(found_pairs.n, above ? 0 : 1);
        }
    }
}

static void row_that_is_no_number_is_in_no_pair(void **state) {
    (void)state;
    static float rows_with[3][DIM];
    const vx_dedup_rows three = {.n = 3, .dim = DIM, .vectors = &rows_with[0][0]};
    VX_AUTO(vx_dedup) dedup = NULL;
    vx_err err;
    memcpy(rows_with[0], vectors[0], sizeof rows_with[0]);
    memcpy(rows_with[2], vectors[0], sizeof rows_with[0]);
    for (int d = 0; d < DIM; d++)
        rows_with[1][d] = d % 2 ? NAN : INFINITY;
    found_pairs = (pair_set){.threshold = -2};
    assert_int_equal(vx_dedup_new(&three, -1, 1, &dedup, &err), 0);
    assert_int_equal(vx_dedup_compare(dedup, 0, 3, NULL, note_pairs_of_two, &found_pairs, &err), 0);
    assert_int_equal(found_pairs.n, 1);
}

/* ---- progress ---- */

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
    assert_true(c.n == (N + VX_DEDUP_BLOCK - 1) / VX_DEDUP_BLOCK && c.last == N);
    c = (calls){.limit = 1};
    assert_int_equal(vx_dedup_all_pairs(&p, found, &err), VX_DEDUP_STOPPED);
    assert_int_equal(c.last, VX_DEDUP_BLOCK);
}

static void nothing_to_compare_is_no_error(void **state) {
    (void)state;
    vx_dedup_params p = params();
    vx_err err;
    indexed_rows.n = 0;
    assert_int_equal(vx_dedup_all_pairs(&p, NULL, &err), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_pairs_give_the_matches_of_brute_force, setup, teardown),
        cmocka_unit_test_setup_teardown(all_pairs_give_the_same_matches_with_any_number_of_threads,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(pairs_are_those_of_brute_force, setup, teardown),
        cmocka_unit_test_setup_teardown(pairs_that_are_not_wanted_are_left_out_and_no_others, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pairs_of_later_rows_complete_those_of_earlier_ones, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pair_on_the_threshold_counts_whatever_the_rounding_of_blas,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(row_that_is_no_number_is_in_no_pair, setup, teardown),
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
