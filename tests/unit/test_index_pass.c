/* The two steps of a search: what the first does when rows move from one part of a segment to another, and the
 * second with rows that the first one held, when they are many or no longer there. */
#include "index/pass.h"
#include "index_fixture.h"

enum { DIM = 24, SEGMENTS = 3, ROWS = 300, K = 100 };

typedef struct library {
    vx_segment *segments[SEGMENTS];
    list rows; /* what is in them */
} library;

static void library_init(library *l, const vx_first_pass *how) {
    rng r = {60};
    float *rows = random_units(&r, SEGMENTS * ROWS, DIM);
    l->rows = list_new(DIM, SEGMENTS * ROWS);
    for (int64_t s = 0; s < SEGMENTS; s++) {
        int64_t ids[ROWS];
        size_t n;
        const float *own = rows + s * ROWS * DIM;
        for (int64_t i = 0; i < ROWS; i++) {
            ids[i] = s * ROWS + i;
            list_add(&l->rows, ids[i], own + i * DIM);
        }
        assert_int_equal(
            vx_segment_new(DIM, ROWS, how, vx_dots_kernel_at(0), &l->segments[s], NULL), 0);
        assert_int_equal(vx_segment_append(l->segments[s], ids, ids, own, ROWS, &n, NULL), 0);
    }
    free(rows);
}

static void library_done(library *l) {
    for (int s = 0; s < SEGMENTS; s++)
        vx_segment_free(l->segments[s]);
    list_done(&l->rows);
}

static void library_remove(library *l, int64_t id) {
    vx_segment *segment = l->segments[id / ROWS];
    for (uint32_t row = 0; row < segment->n; row++)
        if (segment->ids[row] == id)
            assert_int_equal(vx_segment_remove(segment, &row, 1, NULL), 0);
    for (size_t i = 0; i < l->rows.n; i++)
        if (l->rows.ids[i] == id)
            list_remove_at(&l->rows, i);
}

/* The row of this id becomes the last of its segment, and then the first. */
static void library_move(library *l, int64_t id) {
    vx_segment *segment = l->segments[id / ROWS];
    while (segment->ids[segment->n - 1] != id)
        library_remove(l, segment->ids[segment->n - 1]);
    library_remove(l, segment->ids[0]);
    assert_int_equal(segment->ids[0], id);
}

static void remove_best_rows(library *l, const vx_neighbour *best) {
    for (size_t i = 0; i < K; i++)
        library_remove(l, best[i].id);
}

static void remove_one_row(library *l, const vx_neighbour *best) {
    library_remove(l, best[3].id);
}

static void move_best_row(library *l, const vx_neighbour *best) {
    library_move(l, best[0].id);
}

/* All from the last row on, so that each moves into the place of one before it, or is gone. */
static void remove_others(library *l, const vx_neighbour *best) {
    for (int64_t id = 0; id < SEGMENTS * ROWS; id += 2) {
        bool is_best = false;
        for (size_t i = 0; i < K; i++)
            is_best |= best[i].id == id;
        if (!is_best)
            library_remove(l, id);
    }
}

/* In parts that are smaller than those of so few rows would be. */
static vx_pass *new_pass(vx_index_request *request, const vx_first_pass *how, library *l) {
    vx_pass *pass = vx_pass_new(request, DIM, how->has_codes ? vx_dots_kernel_at(0) : NULL,
                                l->segments, SEGMENTS);
    if (how->has_codes) {
        pass->part_rows = VX_TILE_ROWS;
        pass->segment_parts = (ROWS + VX_TILE_ROWS - 1) / VX_TILE_ROWS;
        pass->n_parts = SEGMENTS * pass->segment_parts;
    }
    return pass;
}

/* A change comes when so many parts are scanned; all_parts: between the two steps. */
static void check_change_at(const vx_first_pass *how, size_t at, bool by_group,
                            void (*change)(library *, const vx_neighbour *)) {
    library l;
    library_init(&l, how);
    rng r = {61};
    float *query = random_units(&r, 1, DIM);
    vx_neighbour found[K], want[K];
    size_t n_found = 0, n_want = list_search(&l.rows, query, K, ALL_SCORES, NULL, want);
    vx_index_request request = {
        .query = {.vectors = query, .n = 1, .k = K, .min_score = ALL_SCORES, .by_group = by_group},
        .ret = found,
        .ret_n = &n_found};
    vx_pass *pass = new_pass(&request, how, &l);
    for (size_t part = 0; part < pass->n_parts; part++) {
        if (part == at)
            change(&l, want);
        vx_pass_scan(pass, part);
    }
    if (at >= pass->n_parts)
        change(&l, want);
    vx_pass_settle(pass, 0);
    vx_pass_answer(pass);
    vx_pass_free(pass);
    assert_int_equal(request.rc, 0);
    n_want = list_search(&l.rows, query, K, ALL_SCORES, NULL, want);
    assert_same(found, n_found, want, n_want);
    library_done(&l);
    free(query);
}

static void check_changes(const vx_first_pass *how, size_t at) {
    check_change_at(how, at, false, remove_one_row);
    check_change_at(how, at, false, remove_best_rows);
    check_change_at(how, at, false, move_best_row);
    check_change_at(how, at, false, remove_others);
    check_change_at(how, at, true,
                    remove_others); /* the best were scored before they could be removed */
}

static void search_whose_rows_move_between_steps_matches_brute_force(void **state) {
    (void)state;
    check_changes(&vx_first_pass_codes, SIZE_MAX);
    check_changes(&vx_first_pass_floats, SIZE_MAX);
}

static void search_whose_rows_move_between_parts_matches_brute_force(void **state) {
    (void)state;
    size_t n_parts = SEGMENTS * ((ROWS + VX_TILE_ROWS - 1) / VX_TILE_ROWS);
    for (size_t at = 1; at < n_parts; at++)
        check_changes(&vx_first_pass_codes, at);
}

/* So many equal rows, in so many segments, that they cannot all be held. */
static void search_more_equal_rows_than_can_be_held_returns_smallest_ids(void **state) {
    (void)state;
    enum { n = 12000, n_queries = 3 };
    rng r = {62};
    float *rows = random_units(&r, 2, DIM), queries[n_queries * DIM];
    list l = list_new(DIM, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i * 7 % n, rows + i % 2 * DIM);
    for (int q = 0; q < n_queries; q++)
        memcpy(queries + q * DIM, rows + q % 2 * DIM, DIM * sizeof *rows);
    first_pass = VX_INDEX_CODES;
    vx_index *index = new_index(DIM, 250);
    add_all(index, &l);
    check_against(index, &l, queries, n_queries, 1, ALL_SCORES);
    check_against(index, &l, queries, n_queries, 100, ALL_SCORES);
    vx_index_free(index);
    list_done(&l);
    free(rows);
}

/* The point of holding rows back. */
static void search_for_many_results_scores_few_rows_exactly(void **state) {
    (void)state;
    enum { dim = 256, n = 20000, k = 100, n_queries = 8 };
    rng r = {63};
    float *rows = random_units(&r, n, dim), *queries = random_units(&r, n_queries, dim);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i, rows + i * dim);
    first_pass = VX_INDEX_CODES;
    vx_index *index = new_index(dim, 3000);
    add_all(index, &l);
    vx_neighbour *got = vx_new_array(n_queries * k, sizeof *got);
    size_t n_got[n_queries];
    vx_index_work work[n_queries];
    vx_index_query asked = {.vectors = queries, .n = n_queries, .k = k, .min_score = -1};
    assert_int_equal(vx_index_search(index, &asked, got, n_got, work, NULL), 0);
    for (int q = 0; q < n_queries; q++)
        assert_true(work[q].rows_rescored < 4 * k);
    vx_index_free(index);
    list_done(&l);
    free(got);
    free(rows);
    free(queries);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_whose_rows_move_between_steps_matches_brute_force),
        cmocka_unit_test(search_whose_rows_move_between_parts_matches_brute_force),
        cmocka_unit_test(search_more_equal_rows_than_can_be_held_returns_smallest_ids),
        cmocka_unit_test(search_for_many_results_scores_few_rows_exactly),
    };
    return cmocka_run_group_tests_name("index_pass", tests, NULL, NULL);
}
