/* The index with a copy of its codes on a GPU, which is plain C here: the answers stay those of brute force,
 * whatever the copy lacks, and when the device fails. tests/gpu/index.c runs the same on CUDA. */
#include <errno.h>

#include "hard_rows.h"

#include "code_scan_fake.h"

static void search_by_gpu_matches_brute_force(void **state) {
    (void)state;
    for (size_t i = 0; i < VX_LEN(fills); i++) {
        fake_reset();
        check_fill(70 + i, fills[i], VX_INDEX_CODES, use_fake, vx_index_sync_gpu);
        assert_true(atomic_load(&fake.n_runs) > 0);
        assert_int_equal(atomic_load(&fake.n_open), 0);
    }
}

/* So few rows that a query must be searched again without the device. */
static void search_by_gpu_without_room_for_its_rows_matches_brute_force(void **state) {
    (void)state;
    fake_reset();
    fake.room = 100;
    check_fill(80, nearly_equal_rows, VX_INDEX_CODES, use_fake, vx_index_sync_gpu);
    check_fill(81, random_rows, VX_INDEX_CODES, use_fake, vx_index_sync_gpu);
}

enum { N = 3000, WIDTH = 32 };

typedef struct library {
    vx_index *index;
    list rows;
    float *vectors, *queries;
} library;

static void library_init(library *l) {
    fake_reset();
    rng r = {82};
    l->vectors = random_units(&r, 2 * N, WIDTH);
    l->queries = random_units(&r, 3, WIDTH);
    l->rows = list_new(WIDTH, 2 * N);
    for (int64_t i = 0; i < N; i++)
        list_add(&l->rows, i, l->vectors + i * WIDTH);
    first_pass = VX_INDEX_CODES;
    l->index = new_index(WIDTH, 1000);
    add_all(l->index, &l->rows);
}

static void library_add(library *l, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t id = (int64_t)l->rows.n;
        const float *vector = l->vectors + id * WIDTH;
        list_add(&l->rows, id, vector);
        assert_int_equal(vx_index_add(l->index, &id, NULL, vector, 1, NULL), 0);
    }
}

static void library_check(library *l) {
    check_against(l->index, &l->rows, l->queries, 3, 10, ALL_SCORES);
}

static void library_done(library *l) {
    vx_index_free(l->index);
    list_done(&l->rows);
    free(l->vectors);
    free(l->queries);
}

/* Rows of one query that the device scanned, of all that were. */
static vx_index_work work_of(const library *l) {
    vx_neighbour got[10];
    size_t n_got;
    vx_index_work work;
    vx_index_query asked = {.vectors = l->queries, .n = 1, .k = 10, .min_score = -1};
    assert_int_equal(vx_index_search(l->index, &asked, got, &n_got, &work, NULL), 0);
    return work;
}

/* The same rows are asked of the device with a filter, a greatest score, or only for smaller ids; a set that is no
 * bitmap is not for it. */
static void restricted_search_scans_on_the_gpu(void **state) {
    (void)state;
    library l;
    library_init(&l);
    use_fake(l.index);
    int64_t odd[N / 2], apart[] = {1, INT64_MAX - 1};
    for (size_t i = 0; i < VX_LEN(odd); i++)
        odd[i] = 2 * (int64_t)i + 1;
    VX_AUTO(vx_idset) some = vx_idset_new(odd, VX_LEN(odd));
    VX_AUTO(vx_idset) sparse = vx_idset_new(apart, VX_LEN(apart));
    const vx_index_query asked[] = {
        {.vectors = l.queries, .n = 1, .k = 10, .min_score = -1, .groups = some},
        {.vectors = l.queries, .n = 1, .k = 10, .min_score = -1, .ids = some},
        {.vectors = l.queries,
         .n = 1,
         .k = 10,
         .min_score = -1,
         .max_score = 0.1f,
         .has_max_score = true},
        {.vectors = l.queries, .n = 1, .k = 10, .min_score = -1, .before_id = 100},
        {.vectors = l.queries, .n = 1, .k = 10, .min_score = -1, .groups = sparse}};
    for (size_t i = 0; i < VX_LEN(asked); i++) {
        vx_neighbour got[10];
        size_t n_got;
        vx_index_work work;
        assert_int_equal(vx_index_search(l.index, &asked[i], got, &n_got, &work, NULL), 0);
        assert_int_equal(n_got, asked[i].groups == sparse ? 1 : 10);
        assert_int_equal(work.rows_on_gpu > 0, asked[i].groups != sparse);
    }
    library_done(&l);
}

static void search_scans_on_the_gpu_what_lies_there(void **state) {
    (void)state;
    library l;
    library_init(&l);
    assert_int_equal(work_of(&l).rows_on_gpu, 0);
    use_fake(l.index);
    vx_index_gpu_state there;
    vx_index_get_gpu_state(l.index, &there);
    assert_string_equal(there.device, "cuda:0");
    assert_int_equal(there.rows, 3 * (1000 / 64 * 64)); /* whole tiles */
    assert_int_equal(work_of(&l).rows_on_gpu, there.rows);
    assert_int_equal(work_of(&l).rows_scanned, N);
    library_add(&l, 500); /* a new segment */
    library_check(&l);
    vx_index_sync_gpu(l.index);
    assert_int_equal(work_of(&l).rows_on_gpu, there.rows + 500 / 64 * 64);
    assert_int_equal(work_of(&l).rows_scanned, N + 500);
    library_check(&l);
    library_done(&l);
}

/* The device has the rows as they were; nothing is copied before the search. */
static void search_after_removal_does_not_use_the_old_copy(void **state) {
    (void)state;
    library l;
    library_init(&l);
    use_fake(l.index);
    fake.fail_put = 1; /* from now on */
    vx_neighbour best[10];
    list_search(&l.rows, l.queries, 10, ALL_SCORES, NULL, best);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(vx_index_remove(l.index, &best[i].id, 1, NULL), 0);
        for (size_t j = 0; j < l.rows.n; j++)
            if (l.rows.ids[j] == best[i].id)
                list_remove_at(&l.rows, j);
    }
    library_check(&l);
    library_done(&l);
}

static void search_when_the_gpu_fails_goes_on_without_it(void **state) {
    (void)state;
    library l;
    library_init(&l);
    use_fake(l.index);
    fake.fail_run = 2;
    library_check(&l);
    vx_index_gpu_state there;
    vx_index_get_gpu_state(l.index, &there);
    assert_int_equal(there.bytes, 0);
    assert_int_equal(atomic_load(&fake.n_open), 0);
    library_check(&l);
    library_done(&l);
}

static void gpu_without_room_is_not_used(void **state) {
    (void)state;
    library l;
    library_init(&l);
    fake.free_bytes = INT64_C(1) << 39; /* a quarter of all, which is to stay free */
    use_fake(l.index);
    assert_int_equal(work_of(&l).rows_on_gpu, 0);
    assert_int_equal(atomic_load(&fake.n_open), 0);
    library_check(&l);
    library_done(&l);
}

static void gpu_that_is_released_gives_its_memory_back_and_searches_go_on(void **state) {
    (void)state;
    library l;
    library_init(&l);
    use_fake(l.index);
    vx_index_release_gpu(l.index);
    assert_int_equal(atomic_load(&fake.n_open), 0);
    library_add(&l, 10);
    vx_index_sync_gpu(l.index);
    assert_int_equal(atomic_load(&fake.n_open), 0); /* not at once again */
    library_check(&l);
    library_done(&l);
}

static void gpu_for_an_index_without_codes_is_refused(void **state) {
    (void)state;
    fake_reset();
    first_pass = VX_INDEX_FLOATS;
    vx_index *index = new_index(4, 0);
    vx_err err;
    vx_index_gpu gpu = {.device = "cuda:0", .device_functions = &fake_device};
    assert_int_equal(vx_index_use_gpu(index, &gpu, &err), -EINVAL);
    vx_index_free(index);
}

/* One film whose clips are nearer than all others: the device's rows are of too few videos. */
static void search_by_group_in_a_long_film_matches_brute_force(void **state) {
    (void)state;
    enum { n = 3000 };
    fake_reset();
    rng r = {83};
    float *rows = random_units(&r, n, WIDTH), *query = random_units(&r, 1, WIDTH);
    int64_t *groups = vx_new_array(n, sizeof *groups);
    list l = list_new(WIDTH, n);
    for (int64_t i = 0; i < n; i++) {
        groups[i] = i < n / 2 ? 7 : 10 + i % 300;
        for (int d = 0; d < WIDTH && i < n / 2; d++)
            rows[i * WIDTH + d] += 3 * query[d];
        normalise(rows + i * WIDTH, WIDTH);
        list_add(&l, i, rows + i * WIDTH);
    }
    first_pass = VX_INDEX_CODES;
    vx_index *index = new_index(WIDTH, 1000);
    assert_int_equal(vx_index_add(index, l.ids, groups, l.vectors, n, NULL), 0);
    use_fake(index);
    vx_index_query asked = {.vectors = query, .n = 1, .k = 20, .min_score = -1, .by_group = true};
    check_query(index, asked, &l, groups);
    vx_index_free(index);
    list_done(&l);
    free(groups);
    free(rows);
    free(query);
}

/* ---- races ---- */

typedef struct race {
    library *l;
    atomic_bool stop;
    atomic_int failures, n_searches;
} race;

/* Rows below N stay; each is the best result of itself. */
static void *race_searcher(void *arg) {
    race *t = arg;
    rng r = {(uint64_t)(uintptr_t)&r};
    vx_neighbour got[10];
    size_t n_got;
    do {
        size_t at = rng_next(&r) % N;
        vx_index_query asked = {.vectors = t->l->vectors + at * WIDTH,
                                .n = 1,
                                .k = 10,
                                .min_score = ALL_SCORES,
                                .by_group = rng_next(&r) % 2};
        int code = vx_index_search(t->l->index, &asked, got, &n_got, NULL, NULL);
        bool ordered = true;
        for (size_t i = 1; i < n_got; i++)
            ordered &= oracle_order(&got[i - 1], &got[i]) <= 0;
        if (code || n_got != 10 || got[0].id != (int64_t)at || !ordered)
            atomic_fetch_add(&t->failures, 1);
        atomic_fetch_add(&t->n_searches, 1);
    } while (!atomic_load(&t->stop));
    return NULL;
}

/* Adds and removes rows, which move others, while the device's thread copies what changed. */
static void search_by_gpu_beside_changes_finds_what_stays(void **state) {
    (void)state;
    library l;
    library_init(&l);
    use_fake(l.index);
    race t = {.l = &l};
    pthread_t threads[3];
    for (size_t i = 0; i < VX_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race_searcher, &t), 0);
    int64_t ids[200];
    for (int64_t i = 0; i < 200; i++)
        ids[i] = N + i;
    for (int round = 0; round < 30 || atomic_load(&t.n_searches) < 100; round++) {
        assert_int_equal(vx_index_add(l.index, ids, NULL, l.vectors + N * WIDTH, 200, NULL), 0);
        for (int i = 0; i < 200; i += 20)
            assert_int_equal(vx_index_remove(l.index, ids + i, 20, NULL), 0);
        if (round == 25)
            vx_index_release_gpu(l.index);
    }
    atomic_store(&t.stop, true);
    for (size_t i = 0; i < VX_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&t.failures), 0);
    library_check(&l);
    library_done(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(search_by_gpu_matches_brute_force),
        cmocka_unit_test(search_by_gpu_without_room_for_its_rows_matches_brute_force),
        cmocka_unit_test(search_scans_on_the_gpu_what_lies_there),
        cmocka_unit_test(restricted_search_scans_on_the_gpu),
        cmocka_unit_test(search_after_removal_does_not_use_the_old_copy),
        cmocka_unit_test(search_when_the_gpu_fails_goes_on_without_it),
        cmocka_unit_test(gpu_without_room_is_not_used),
        cmocka_unit_test(gpu_that_is_released_gives_its_memory_back_and_searches_go_on),
        cmocka_unit_test(gpu_for_an_index_without_codes_is_refused),
        cmocka_unit_test(search_by_group_in_a_long_film_matches_brute_force),
        cmocka_unit_test(search_by_gpu_beside_changes_finds_what_stays),
    };
    return cmocka_run_group_tests_name("index_gpu", tests, NULL, NULL);
}
