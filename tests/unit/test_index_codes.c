/* The first pass over 8-bit codes leaves no row out: on vectors that are hard for it, every question that
 * a search can ask is answered as brute force answers it. And the kernels give the same bits. */
#include "index/codes.h"
#include "index_fixture.h"

enum { DIM = 61, ROWS = 3000, GROUPS = 400, QUERIES = 6 };

/* ---- what is hard ---- */

typedef void (*fill)(rng *r, float *rows, size_t n, int dim);

static void random_rows(rng *r, float *rows, size_t n, int dim) {
    float *units = random_units(r, n, dim);
    memcpy(rows, units, n * (size_t)dim * sizeof *rows);
    free(units);
}

/* Around one direction, closer to each other than the codes can tell. */
static void nearly_equal_rows(rng *r, float *rows, size_t n, int dim) {
    random_rows(r, rows, 1, dim);
    for (size_t i = 1; i < n; i++) {
        float *row = rows + i * (size_t)dim;
        memcpy(row, rows, (size_t)dim * sizeof *row);
        for (int d = 0; d < dim; d++)
            row[d] += 1e-6f * rng_signed(r);
    }
}

/* Twelve vectors, many times each: ties within and across groups. */
static void repeated_rows(rng *r, float *rows, size_t n, int dim) {
    size_t n_kinds = n < 12 ? n : 12;
    random_rows(r, rows, n_kinds, dim);
    for (size_t i = n_kinds; i < n; i++)
        memcpy(rows + i * (size_t)dim, rows + rng_next(r) % n_kinds * (size_t)dim,
               (size_t)dim * sizeof *rows);
}

static void rows_of_length_nearly_1(rng *r, float *rows, size_t n, int dim) {
    random_rows(r, rows, n, dim);
    for (size_t i = 0; i < n * (size_t)dim; i++)
        rows[i] *= 1 + 4e-7f * rng_signed(r);
}

static void sparse_rows(rng *r, float *rows, size_t n, int dim) {
    memset(rows, 0, n * (size_t)dim * sizeof *rows);
    for (size_t i = 0; i < n; i++) {
        for (int j = 0; j < 3; j++)
            rows[i * (size_t)dim + rng_next(r) % (size_t)dim] = rng_signed(r);
        rows[i * (size_t)dim + i % (size_t)dim] = 0.5f;
        normalise(rows + i * (size_t)dim, dim);
    }
}

/* The small numbers decide, and one large one leaves them few codes. */
static void rows_with_one_huge_number(rng *r, float *rows, size_t n, int dim) {
    random_rows(r, rows, n, dim);
    for (size_t i = 0; i < n; i++) {
        rows[i * (size_t)dim] = 40;
        normalise(rows + i * (size_t)dim, dim);
    }
}

/* What no catalog has: any length, denormal and endless numbers, no numbers. */
static void odd_rows(rng *r, float *rows, size_t n, int dim) {
    const float odd[] = {0, 1e-42f, 1e-30f, 1e12f, 3e38f, INFINITY, NAN};
    random_rows(r, rows, n, dim);
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * (size_t)dim;
        float by = rng_next(r) % 3 ? 1 : odd[rng_next(r) % VX_LEN(odd)];
        for (int d = 0; d < dim; d++)
            row[d] *= by;
        if (rng_next(r) % 50 == 0)
            row[rng_next(r) % (size_t)dim] = odd[rng_next(r) % VX_LEN(odd)];
    }
}

/* ---- the oracle ---- */

static bool selects(const vx_index_query *asked, int64_t id, int64_t group) {
    return (!asked->groups || vx_idset_contains(asked->groups, group)) &&
           !(asked->not_ids && vx_idset_contains(asked->not_ids, id)) &&
           !(asked->before_id && id >= asked->before_id);
}

static size_t expected(const vx_index_query *asked, const list *l, const int64_t *groups,
                       vx_neighbour *ret) {
    vx_neighbour *all = vx_new_array(l->n, sizeof *all);
    bool taken[GROUPS + 1] = {0};
    size_t n = 0, n_ret = 0;
    for (size_t i = 0; i < l->n; i++) {
        double sum = 0;
        for (int d = 0; d < l->dim; d++)
            sum += (double)asked->vectors[d] * l->vectors[i * (size_t)l->dim + (size_t)d];
        if ((float)sum >= asked->min_score && selects(asked, l->ids[i], groups[i]))
            all[n++] = (vx_neighbour){l->ids[i], groups[i], (float)sum};
    }
    qsort(all, n, sizeof *all, oracle_order);
    for (size_t i = 0; i < n && n_ret < asked->k; i++) {
        if (asked->by_group && taken[all[i].group])
            continue;
        taken[all[i].group] = true;
        ret[n_ret++] = all[i];
    }
    free(all);
    return n_ret;
}

/* About `share` of the groups. */
static vx_idset *some_groups(rng *r, double share) {
    vx_idset *some = vx_idset_new(NULL, 0);
    for (int64_t group = 1; group <= GROUPS; group++)
        if ((double)(rng_next(r) % 1000) < 1000 * share)
            vx_idset_append(some, group);
    return some;
}

static void check_query(vx_index *index, vx_index_query asked, const list *l,
                        const int64_t *groups) {
    vx_neighbour *got = vx_new_array(QUERIES * asked.k, sizeof *got);
    vx_neighbour *want = vx_new_array(asked.k, sizeof *want);
    size_t n_got[QUERIES];
    vx_index_work work[QUERIES];
    assert_int_equal(vx_index_search(index, &asked, got, n_got, work, NULL), 0);
    for (size_t q = 0; q < asked.n; q++)
        assert_true(work[q].rows_rescored <= work[q].rows_scanned);
    const float *vectors = asked.vectors;
    for (size_t q = 0; q < asked.n; q++) {
        asked.vectors = vectors + q * (size_t)l->dim;
        size_t n_want = expected(&asked, l, groups, want);
        assert_same(got + q * asked.k, n_got[q], want, n_want);
        for (size_t i = 0; i < n_want; i++)
            assert_int_equal(got[q * asked.k + i].group, want[i].group);
    }
    free(got);
    free(want);
}

static void check_questions(vx_index *index, const float *queries, const list *l,
                            const int64_t *groups, rng *r) {
    const double shares[] = {0, 0.003, 0.05, 0.5, 0.95};
    const size_t ks[] = {1, 10, 250};
    for (size_t i = 0; i < VX_LEN(ks); i++) {
        for (int by_group = 0; by_group < 2; by_group++) {
            vx_index_query asked = {.vectors = queries,
                                    .n = QUERIES,
                                    .k = ks[i],
                                    .min_score = -INFINITY,
                                    .by_group = by_group};
            check_query(index, asked, l, groups);
            VX_AUTO(vx_idset) without = vx_idset_new(l->ids + 60, 200);
            asked.not_ids = without;
            asked.before_id = 70000;
            check_query(index, asked, l, groups);
            asked = (vx_index_query){.vectors = queries,
                                     .n = rng_next(r) % 2 ? 1 : QUERIES,
                                     .k = ks[i],
                                     .min_score = 0.1f,
                                     .by_group = by_group};
            for (size_t s = 0; s < VX_LEN(shares); s++) {
                VX_AUTO(vx_idset) some = some_groups(r, shares[s]);
                asked.groups = some;
                check_query(index, asked, l, groups);
            }
        }
    }
}

/* Half of the queries are rows: there the scores are close to 1. */
static void check_fill(uint64_t seed, fill rows_like, vx_index_first_pass pass) {
    rng r = {seed};
    float *rows = vx_new_array(ROWS * DIM, sizeof *rows), queries[QUERIES * DIM];
    int64_t *groups = vx_new_array(ROWS, sizeof *groups);
    rows_like(&r, rows, ROWS, DIM);
    rows_like(&r, queries, QUERIES, DIM);
    memcpy(queries, rows + 77 * DIM, QUERIES / 2 * DIM * sizeof *rows);
    list l = list_new(DIM, ROWS);
    for (size_t i = 0; i < ROWS; i++) {
        list_add(&l, (int64_t)(i * 7919 % 100003), rows + i * DIM);
        groups[i] = (int64_t)(i % 3 ? 1 + i / 3 % GROUPS : 1 + rng_next(&r) % GROUPS);
    }
    first_pass = pass;
    vx_index *index = new_index(DIM, 1100);
    assert_int_equal(vx_index_add(index, l.ids, groups, l.vectors, l.n, NULL), 0);
    check_questions(index, queries, &l, groups, &r);
    /* Removing moves rows, and their codes and groups with them. */
    for (size_t i = 0; i < 500; i++) {
        size_t at = rng_next(&r) % l.n;
        assert_int_equal(vx_index_remove(index, &l.ids[at], 1, NULL), 0);
        list_remove_at(&l, at);
        groups[at] = groups[l.n];
    }
    check_questions(index, queries, &l, groups, &r);
    vx_index_free(index);
    list_done(&l);
    free(rows);
    free(groups);
}

static const fill fills[] = {
    random_rows, nearly_equal_rows,         repeated_rows, rows_of_length_nearly_1,
    sparse_rows, rows_with_one_huge_number, odd_rows};

static void search_by_codes_matches_brute_force(void **state) {
    (void)state;
    for (size_t i = 0; i < VX_LEN(fills); i++)
        check_fill(20 + i, fills[i], VX_INDEX_CODES);
}

static void search_by_floats_matches_brute_force(void **state) {
    (void)state;
    for (size_t i = 0; i < VX_LEN(fills); i++)
        check_fill(30 + i, fills[i], VX_INDEX_FLOATS);
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

/* ---- kernels ---- */

static float any_float(rng *r) {
    const float odd[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -3e38f};
    return rng_next(r) % 9 ? rng_signed(r) : odd[rng_next(r) % VX_LEN(odd)];
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
            for (size_t i = 0; i < n * groups * 4; i++)
                queries[i] = (int8_t)(extreme ? -127 : (int)(rng_next(&r) % 255) - 127);
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
        cmocka_unit_test(kernel_gives_the_bits_of_the_plain_one),
    };
    return cmocka_run_group_tests_name("index_codes", tests, NULL, NULL);
}
