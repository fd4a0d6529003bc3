/* The first pass over 8-bit codes leaves no row out: on vectors that are hard for it, every question that
 * a search can ask is answered as brute force answers it. And the kernels give the same bits. */
#include "hard_rows.h"
#include "index/codes.h"

static void search_by_codes_matches_brute_force(void **state) {
    (void)state;
    for (size_t i = 0; i < VX_LEN(fills); i++)
        check_fill(20 + i, fills[i], VX_INDEX_CODES, NULL, NULL);
}

static void search_by_floats_matches_brute_force(void **state) {
    (void)state;
    for (size_t i = 0; i < VX_LEN(fills); i++)
        check_fill(30 + i, fills[i], VX_INDEX_FLOATS, NULL, NULL);
}

/* The best row lies behind a tile of second best rows. */
static void check_best_is_found(const float *query, const float *best, const float *second,
                                int dim) {
    enum { n = 250 };
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i, i == n - 1 ? best : second);
    first_pass = VX_INDEX_CODES;
    vx_index *index = new_index(dim, 0);
    add_all(index, &l);
    check_against(index, &l, query, 1, 1, ALL_SCORES);
    vx_neighbour got;
    size_t n_got;
    search_all(index, query, 1, 1, ALL_SCORES, NULL, &got, &n_got);
    assert_int_equal(got.id, n - 1);
    vx_index_free(index);
    list_done(&l);
}

/* Every number of the best row is rounded away from the query, by nearly half a code, while the second
 * best is no rounding at all and has the better codes: what is lost is as much as the bound allows. */
static void best_row_that_loses_all_it_can_is_found(void **state) {
    (void)state;
    enum { dim = 64 };
    float query[dim], best[dim], second[dim];
    for (int d = 0; d < dim; d++) {
        float sign = d % 3 ? 1 : -1;
        int code = d % 7;
        query[d] = sign / 8; /* of length 1 */
        best[d] = d ? 0.001f * (float)code + 0.00049f * sign : 0.127f;
        second[d] = d ? 0.001f * (float)code + (d % 16 < 7 ? 0.001f * sign : 0) : 0.127f;
    }
    check_best_is_found(query, best, second, dim);
}

/* The same of the query's numbers. */
static void best_row_of_a_query_that_loses_all_it_can_is_found(void **state) {
    (void)state;
    enum { dim = 64 };
    float query[dim], best[dim], second[dim];
    for (int d = 0; d < dim; d++) {
        float sign = d % 3 ? 1 : -1;
        bool has_code = d % 2, flips = d % 10 < 5 && d; /* a code of 1 against the row, or of 0 */
        query[d] = d ? 0.00049f * sign - (has_code ? 0.001f * sign : 0) : 0.127f;
        best[d] = sign / 8;
        second[d] = (flips && (!has_code || d % 4 == 1) ? -sign : sign) / 8;
    }
    check_best_is_found(query, best, second, dim);
}

/* The point of it all. */
static void search_by_codes_scores_few_rows_exactly(void **state) {
    (void)state;
    enum { dim = 256, n = 20000 };
    rng r = {40};
    float *rows = random_units(&r, n, dim), *query = random_units(&r, 1, dim);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i, rows + i * dim);
    first_pass = VX_INDEX_CODES;
    vx_index *index = new_index(dim, 0);
    add_all(index, &l);
    vx_neighbour got[10];
    size_t n_got;
    vx_index_work work;
    vx_index_query asked = {.vectors = query, .n = 1, .k = 10, .min_score = -1};
    assert_int_equal(vx_index_search(index, &asked, got, &n_got, &work, NULL), 0);
    assert_int_equal(work.rows_scanned, n);
    assert_true(work.rows_rescored < n / 20);
    vx_index_free(index);
    list_done(&l);
    free(rows);
    free(query);
}

/* So many that their places are looked up by hash, up to all there are. */
static void search_for_many_videos_has_the_best_clip_of_each(void **state) {
    (void)state;
    enum { dim = 16, n = 4000, videos = 1500 };
    static const size_t ks[] = {64, 65, 300, videos - 1, videos, 2 * videos};
    rng r = {43};
    float *rows = random_units(&r, n, dim), *query = random_units(&r, 1, dim);
    int64_t groups[n];
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++) {
        groups[i] = i * 7919 % videos;
        list_add(&l, i, rows + i * dim);
    }
    for (int how = 0; how < 2; how++) {
        first_pass = how ? VX_INDEX_FLOATS : VX_INDEX_CODES;
        vx_index *index = new_index(dim, 900);
        assert_int_equal(vx_index_add(index, l.ids, groups, l.vectors, n, NULL), 0);
        for (size_t i = 0; i < VX_LEN(ks); i++) {
            vx_index_query asked = {
                .vectors = query, .n = 1, .k = ks[i], .min_score = ALL_SCORES, .by_group = true};
            check_query(index, asked, &l, groups);
        }
        vx_index_free(index);
    }
    list_done(&l);
    free(rows);
    free(query);
}

/* One film with half of all clips, nearer than most others: still k videos, from one pass. */
static void search_by_group_is_not_filled_by_one_film(void **state) {
    (void)state;
    enum { dim = 32, n = 4000 };
    rng r = {41};
    float *rows = random_units(&r, n, dim), *query = random_units(&r, 1, dim);
    int64_t *groups = vx_new_array(n, sizeof *groups);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++) {
        float *row = rows + i * dim;
        groups[i] = i < n / 2 ? 7 : 10 + i % 300;
        for (int d = 0; d < dim && i < n / 2; d++)
            row[d] += query[d];
        normalise(row, dim);
        list_add(&l, i, row);
    }
    first_pass = VX_INDEX_CODES;
    vx_index *index = new_index(dim, 1500);
    assert_int_equal(vx_index_add(index, l.ids, groups, l.vectors, n, NULL), 0);
    vx_index_query asked = {.vectors = query, .n = 1, .k = 20, .min_score = -1, .by_group = true};
    check_query(index, asked, &l, groups);
    vx_neighbour got[20];
    size_t n_got;
    vx_index_work work;
    assert_int_equal(vx_index_search(index, &asked, got, &n_got, &work, NULL), 0);
    assert_true(work.rows_rescored < n / 4); /* and not the film's every clip */
    vx_index_free(index);
    list_done(&l);
    free(groups);
    free(rows);
    free(query);
}

/* ---- the bound ---- */

/* Of one kind: around zero, of very different sizes, of few values, all the same, just between two codes. */
static float number_of_kind(rng *r, size_t kind, int d) {
    switch (kind % 5) {
    case 0:
        return rng_signed(r);
    case 1:
        return ldexpf(rng_signed(r), (int)(rng_next(r) % 60) - 40);
    case 2:
        return d % 7 ? 1e-3f : -0.127f;
    case 3:
        return 0.3f;
    default:
        return d ? 0.0005f + 0.001f * (float)(d % 100) : 0.127f;
    }
}

static void codes_say_what_they_lose_at_least(void **state) {
    (void)state;
    const int dims[] = {1, 3, 64, 255, 1280, 8192};
    rng r = {55};
    for (size_t c = 0; c < VX_LEN(dims) * 60; c++) {
        int dim = dims[c % VX_LEN(dims)];
        float *row = vx_new_array((size_t)dim, sizeof *row);
        float size = ldexpf(1, (int)(c / 30) * 17 - 100); /* from some 1e-30 to some 1e20 */
        for (int d = 0; d < dim; d++)
            row[d] = number_of_kind(&r, c / VX_LEN(dims), d) * size;
        int8_t *code = vx_new_array(4 * vx_codes_groups((size_t)dim), 1);
        vx_codes_query coded;
        vx_codes_query_init(&coded, row, (size_t)dim, c % 2 ? VX_ANY_PAIR : 128, code);
        long double lost = 0, length = 0;
        for (int d = 0; d < dim; d++) {
            long double back = (long double)coded.scale * code[d];
            lost += ((long double)row[d] - back) * ((long double)row[d] - back);
            length += back * back;
        }
        for (int d = 0; d + 1 < dim && c % 2 == 0; d += 2)
            assert_true(abs(code[d]) + abs(code[d + 1]) <= 128);
        if (isfinite(coded.error)) { /* not a row that is too long for codes */
            assert_true((long double)coded.error >= sqrtl(lost));
            assert_true((long double)coded.length >= sqrtl(length));
            assert_true((long double)coded.error <= 1.002L * sqrtl(lost) + 1e-6L * sqrtl(length) ||
                        coded.scale == 0);
        } else {
            assert_true(sqrtl(lost) > 1e14L);
        }
        free(row);
        free(code);
    }
}

/* ---- kernels ---- */

static float any_float(rng *r) {
    const float odd[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -3e38f};
    return rng_next(r) % 9 ? rng_signed(r) : odd[rng_next(r) % VX_LEN(odd)];
}

/* extreme: the least sums that there can be. */
static void make_queries(rng *r, int8_t *codes, size_t n, int pair_max, bool extreme) {
    for (size_t i = 0; i < n; i++) {
        int left = i % 2 ? pair_max - abs(codes[i - 1]) : pair_max, max = left < 127 ? left : 127;
        codes[i] = (int8_t)(extreme ? -max : (int)(rng_next(r) % (unsigned)(2 * max + 1)) - max);
    }
}

static void kernel_gives_the_bits_of_the_plain_one(void **state) {
    (void)state;
    const size_t dims[] = {1, 3, 4, 5, 64, 256, 1283, 8192}, ns[] = {1, 2, 3, 4, 5, 7, 8, 33};
    size_t n_kernels = 0;
    while (vx_dots_kernel_at(n_kernels))
        n_kernels++;
    const vx_dots_kernel *plain = vx_dots_kernel_at(n_kernels - 1);
    rng r = {50};
    for (size_t k = 0; k + 1 < n_kernels; k++) {
        const vx_dots_kernel *kernel = vx_dots_kernel_at(k);
        print_message("# %s\n", kernel->name);
        for (size_t c = 0; c < VX_LEN(dims) * VX_LEN(ns); c++) {
            size_t groups = vx_codes_groups(dims[c / VX_LEN(ns)]), n = ns[c % VX_LEN(ns)];
            uint8_t *tile = aligned_alloc(64, groups * 256);
            int8_t *queries = vx_new_array(n, groups * 4);
            int32_t *want = vx_new_array(n, 64 * sizeof *want);
            int32_t *got = vx_new_array(n, 64 * sizeof *got);
            bool extreme = c % 3 == 0;
            for (size_t i = 0; i < groups * 256; i++)
                tile[i] = (uint8_t)(extreme ? 255 : rng_next(&r));
            make_queries(&r, queries, n * groups * 4, kernel->pair_max, extreme);
            plain->tile(tile, groups, queries, n, want);
            kernel->tile(tile, groups, queries, n, got);
            assert_memory_equal(got, want, n * 64 * sizeof *want);
            float scales[64], errors[64];
            for (size_t i = 0; i < 64; i++) {
                scales[i] = any_float(&r);
                errors[i] = any_float(&r);
            }
            vx_dots_bar bar = {want[0], any_float(&r), any_float(&r), any_float(&r)};
            uint64_t reached = plain->reach(want, scales, errors, &bar);
            assert_true(kernel->reach(want, scales, errors, &bar) == reached);
            free(tile);
            free(queries);
            free(want);
            free(got);
        }
    }
    if (n_kernels == 1)
        skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_by_codes_matches_brute_force),
        cmocka_unit_test(search_by_floats_matches_brute_force),
        cmocka_unit_test(best_row_that_loses_all_it_can_is_found),
        cmocka_unit_test(best_row_of_a_query_that_loses_all_it_can_is_found),
        cmocka_unit_test(search_by_codes_scores_few_rows_exactly),
        cmocka_unit_test(search_by_group_is_not_filled_by_one_film),
        cmocka_unit_test(search_for_many_videos_has_the_best_clip_of_each),
        cmocka_unit_test(codes_say_what_they_lose_at_least),
        cmocka_unit_test(kernel_gives_the_bits_of_the_plain_one),
    };
    return cmocka_run_group_tests_name("index_codes", tests, NULL, NULL);
}
