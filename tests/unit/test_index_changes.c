/* The vector index while it changes: adds, removes, its id map, its file, and races with searches.
 */
#include "index_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "index/idmap.h"

/* ---- changes ---- */

/* Adds and removes at random, in lots; then compares everything. */
static void changes_at_random_match_brute_force(void **state) {
    (void)state;
    enum { dim = 24, max = 3000, lot = 200 };
    rng r = {7};
    list l = list_new(dim, max + lot);
    vx_index *index = new_index(dim, 400);
    int64_t next_id = 0, ids[lot + 2];
    for (int round = 0; round < 120; round++) {
        size_t n = rng_next(&r) % lot;
        if (l.n < max / 2 || (l.n < max && rng_next(&r) % 2)) {
            float *vectors = random_units(&r, n + 1, dim);
            for (size_t i = 0; i < n; i++) {
                ids[i] = next_id++;
                list_add(&l, ids[i], vectors + i * dim);
            }
            assert_int_equal(vx_index_add(index, ids, NULL, vectors, n, NULL), 0);
            free(vectors);
        } else {
            for (size_t i = 0; i < n; i++) {
                size_t at = rng_next(&r) % l.n;
                ids[i] = l.ids[at];
                list_remove_at(&l, at);
            }
            ids[n] = n ? ids[0] : 0;   /* twice */
            ids[n + 1] = next_id + 77; /* unknown */
            assert_int_equal(vx_index_remove(index, ids, n ? n + 2 : 0, NULL), 0);
        }
        assert_int_equal(vx_index_count(index), l.n);
    }
    float *queries = random_units(&r, 20, dim), row[dim];
    check_against(index, &l, queries, 20, 50, ALL_SCORES);
    for (size_t i = 0; i < l.n; i++) {
        assert_int_equal(vx_index_get(index, l.ids[i], row, NULL), 0);
        assert_memory_equal(row, l.vectors + i * dim, sizeof(row));
    }
    free(queries);
    vx_index_free(index);
    list_done(&l);
}

/* Over several segments and several of the slices in which rows go, in no order. */
static void removal_of_thousands_at_once_matches_brute_force(void **state) {
    (void)state;
    enum { dim = 512, n = 7000, n_gone = 5200 };
    rng r = {13};
    float *vectors = random_units(&r, n, dim), row[dim];
    list l = list_new(dim, n);
    int64_t gone[n_gone];
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i * 3, vectors + i * dim);
    vx_index *index = new_index(dim, 3000);
    add_all(index, &l);
    for (size_t i = 0; i < n_gone; i++) {
        size_t at = rng_next(&r) % l.n;
        gone[i] = l.ids[at];
        list_remove_at(&l, at);
    }
    assert_int_equal(vx_index_remove(index, gone, n_gone, NULL), 0);
    assert_int_equal(vx_index_count(index), l.n);
    check_against(index, &l, vectors, 12, 40, ALL_SCORES);
    for (size_t i = 0; i < l.n; i++) {
        assert_int_equal(vx_index_get(index, l.ids[i], row, NULL), 0);
        assert_memory_equal(row, l.vectors + i * dim, sizeof(row));
    }
    for (size_t i = 0; i < n_gone; i++)
        assert_false(vx_index_has(index, gone[i]));
    vx_index_free(index);
    list_done(&l);
    free(vectors);
}

static void add_removed_id_again_finds_the_new_vector(void **state) {
    (void)state;
    float a[2] = {1, 0}, b[2] = {0, 1}, got[2];
    int64_t id = 3;
    vx_index *index = new_index(2, 10);
    assert_int_equal(vx_index_add(index, &id, NULL, a, 1, NULL), 0);
    assert_int_equal(vx_index_remove(index, &id, 1, NULL), 0);
    assert_int_equal(vx_index_get(index, id, got, NULL), VX_INDEX_NOT_FOUND);
    assert_int_equal(vx_index_add(index, &id, NULL, b, 1, NULL), 0);
    assert_int_equal(vx_index_get(index, id, got, NULL), 0);
    assert_memory_equal(got, b, sizeof(b));
    vx_index_free(index);
}

/* To a segment that is searched already, rows come in slices of 8 MiB. */
static void add_of_several_slices_finds_every_row_by_its_id(void **state) {
    (void)state;
    enum { DIM = 1024, ROWS = 4500 };
    rng r = {.state = 5};
    float *vectors = random_units(&r, ROWS, DIM);
    int64_t *ids = vx_new_array(ROWS, sizeof *ids);
    for (int i = 0; i < ROWS; i++)
        ids[i] = 10 * i;
    vx_index *index = new_index(DIM, 2 * ROWS);
    assert_int_equal(vx_index_add(index, ids, NULL, vectors, 1, NULL), 0);
    assert_int_equal(vx_index_add(index, ids + 1, NULL, vectors + DIM, ROWS - 1, NULL), 0);
    for (int i = 0; i < ROWS; i += 499) {
        vx_neighbour best;
        size_t n;
        search_all(index, vectors + (size_t)i * DIM, 1, 1, ALL_SCORES, NULL, &best, &n);
        assert_int_equal(best.id, ids[i]);
    }
    vx_index_free(index);
    free(ids);
    free(vectors);
}

static void add_known_id_changes_nothing(void **state) {
    (void)state;
    float vectors[8] = {1, 0, 0, 1, 1, 0, 0, 1}, got[2];
    int64_t first[2] = {10, 20}, known[3] = {30, 20, 40}, twice[3] = {30, 31, 30},
            negative[2] = {50, -1};
    vx_err err;
    vx_index *index = new_index(2, 3);
    assert_int_equal(vx_index_add(index, first, NULL, vectors, 2, &err), 0);
    assert_int_equal(vx_index_add(index, known, NULL, vectors, 3, &err), VX_INDEX_EXISTS);
    assert_non_null(strstr(err.msg, "20"));
    assert_int_equal(vx_index_add(index, twice, NULL, vectors, 3, &err), VX_INDEX_EXISTS);
    assert_int_equal(vx_index_add(index, negative, NULL, vectors, 2, &err), -EINVAL);
    assert_int_equal(vx_index_count(index), 2);
    assert_int_equal(vx_index_get(index, 30, got, NULL), VX_INDEX_NOT_FOUND);
    assert_int_equal(vx_index_get(index, 50, got, NULL), VX_INDEX_NOT_FOUND);
    assert_int_equal(vx_index_get(index, 20, got, NULL), 0);
    vx_index_free(index);
}

/* As many rows as a segment holds come by a way of their own. */
static void add_of_a_whole_segment_is_all_or_nothing(void **state) {
    (void)state;
    float vectors[6] = {1, 0, 0, 1, -1, 0}, got[2];
    int64_t first[3] = {10, 20, 30}, known[3] = {40, 30, 50}, twice[3] = {40, 50, 40},
            next[3] = {40, 50, 60};
    vx_err err;
    vx_index *index = new_index(2, 3);
    assert_int_equal(vx_index_add(index, first, NULL, vectors, 3, &err), 0);
    size_t memory = vx_index_memory_bytes(index);
    assert_int_equal(vx_index_add(index, known, NULL, vectors, 3, &err), VX_INDEX_EXISTS);
    assert_non_null(strstr(err.msg, "30"));
    assert_int_equal(vx_index_add(index, twice, NULL, vectors, 3, &err), VX_INDEX_EXISTS);
    assert_int_equal(vx_index_count(index), 3);
    assert_int_equal(vx_index_get(index, 40, got, NULL), VX_INDEX_NOT_FOUND);
    assert_int_equal(vx_index_add(index, next, NULL, vectors, 3, &err), 0);
    assert_int_equal(vx_index_count(index), 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(vx_index_get(index, 10 * (i + 1), got, NULL), 0);
        assert_memory_equal(got, vectors + i % 3 * 2, sizeof got);
    }
    /* and uses room that is there before it makes more */
    size_t grown = vx_index_memory_bytes(index);
    assert_true(grown > memory);
    assert_int_equal(vx_index_remove(index, first, 3, NULL), 0);
    assert_int_equal(vx_index_add(index, first, NULL, vectors, 3, &err), 0);
    assert_int_equal(vx_index_memory_bytes(index), grown);
    vx_index_free(index);
}

/* Room left by deletes is used before a new segment is made. */
static void add_after_removal_does_not_grow_memory(void **state) {
    (void)state;
    enum { dim = 8, n = 1000 };
    rng r = {8};
    float *vectors = random_units(&r, n, dim);
    int64_t ids[n];
    vx_index *index = new_index(dim, 100);
    for (int64_t round = 0; round < 20; round++) {
        for (int64_t i = 0; i < n; i++)
            ids[i] = round * n + i;
        assert_int_equal(vx_index_add(index, ids, NULL, vectors, n, NULL), 0);
        assert_true(vx_index_memory_bytes(index) < n * (dim * 5 + 24 + 50));
        assert_int_equal(vx_index_remove(index, ids, n, NULL), 0);
    }
    free(vectors);
    vx_index_free(index);
}

static void new_with_impossible_sizes_is_refused(void **state) {
    (void)state;
    const vx_index_params bad[] = {
        {.dim = 0}, {.dim = 8193}, {.dim = 4, .segment_rows = -1}, {.dim = 4, .threads = -1}};
    for (size_t i = 0; i < VX_LEN(bad); i++) {
        vx_index *index = NULL;
        vx_err err;
        assert_int_equal(vx_index_new(&bad[i], &index, &err), -EINVAL);
        assert_null(index);
    }
}

static void idmap_at_random_matches_a_table(void **state) {
    (void)state;
    enum { n_ids = 3000 };
    vx_idmap map = {0};
    uint32_t rows[n_ids] = {0}; /* 0 = not in the map */
    size_t n = 0;
    rng r = {9};
    assert_null(vx_idmap_find(&map, 5));
    for (uint32_t step = 1; step < 200000; step++) {
        size_t i = rng_next(&r) % n_ids;
        int64_t id = (int64_t)i << (i % 3 * 20); /* dense ones and ones far apart */
        if (rng_next(&r) % 2) {
            assert_int_equal(vx_idmap_reserve(&map, 1), 0);
            bool is_new = vx_idmap_insert(&map, id, (vx_place){0, step});
            assert_int_equal(is_new, rows[i] == 0);
            n += is_new;
            rows[i] = is_new ? step : rows[i];
        } else {
            vx_idmap_erase(&map, id);
            n -= rows[i] != 0;
            rows[i] = 0;
        }
        size_t other = rng_next(&r) % n_ids;
        vx_place *place = vx_idmap_find(&map, (int64_t)other << (other % 3 * 20));
        assert_int_equal(place ? place->row : 0, rows[other]);
        assert_int_equal(map.n, n);
    }
    vx_idmap_done(&map);
}

/* ---- the file ---- */

static void write_faiss_lays_rows_out_by_rising_id(void **state) {
    (void)state;
    enum { dim = 3, n = 50 };
    char folder[] = "/tmp/vidx-index-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/video_index.faiss", folder);
    rng r = {10};
    float *vectors = random_units(&r, n, dim);
    int64_t ids[n], *file_ids = NULL;
    for (int64_t i = 0; i < n; i++)
        ids[i] = (i * 17) % 53;
    vx_index *index = new_index(dim, 20);
    assert_int_equal(vx_index_add(index, ids, NULL, vectors, n, NULL), 0);
    for (int again = 0; again < 2; again++) { /* also over an older file */
        size_t n_file = 0;
        free(file_ids);
        assert_int_equal(vx_index_write_faiss(index, path, &file_ids, &n_file, NULL), 0);
        assert_int_equal(n_file, n);
    }
    struct {
        char magic[4];
        int32_t dim;
        int64_t n, unused[2];
        uint8_t trained;
        int32_t metric;
        uint64_t n_floats;
    } __attribute__((packed)) header;
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(&header, sizeof(header), 1, file), 1);
    assert_memory_equal(header.magic, "IxFI", 4);
    assert_int_equal(header.dim, dim);
    assert_int_equal(header.n, n);
    assert_int_equal(header.metric, 0);
    assert_int_equal(header.n_floats, dim * n);
    for (int i = 0; i < n; i++) {
        float row[dim], stored[dim];
        assert_int_equal(fread(row, sizeof(row), 1, file), 1);
        assert_int_equal(vx_index_get(index, file_ids[i], stored, NULL), 0);
        assert_memory_equal(row, stored, sizeof(row));
        assert_true(i == 0 || file_ids[i - 1] < file_ids[i]);
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    free(file_ids);
    free(vectors);
    vx_index_free(index);
    unlink(path);
    assert_int_equal(rmdir(folder), 0); /* no temporary file left */
}

static void write_faiss_to_missing_folder_says_where(void **state) {
    (void)state;
    vx_index *index = new_index(2, 0);
    int64_t *ids = NULL;
    size_t n;
    vx_err err;
    assert_int_equal(vx_index_write_faiss(index, "/nonexistent/x.faiss", &ids, &n, &err), -ENOENT);
    assert_int_equal(vx_index_write_faiss(index, "/nonexistent/x.faiss", &ids, &n, NULL), -ENOENT);
    assert_non_null(strstr(err.msg, "/nonexistent/x.faiss"));
    assert_null(ids);
    vx_index_free(index);
}

/* ---- races ---- */

typedef struct race {
    vx_index *index;
    const list *fixed; /* always in the index, ids even */
    float *moving;     /* [n_moving, dim], ids odd */
    size_t n_moving;
    vx_idset *every; /* all ids; each is a group of its own */
    atomic_bool stop;
    atomic_int failures;
} race;

static void *race_searcher(void *arg) {
    race *t = arg;
    rng r = {(uint64_t)(uintptr_t)&r};
    vx_neighbour got[10];
    size_t n_got;
    do {
        size_t at = rng_next(&r) % t->fixed->n;
        const float *query = t->fixed->vectors + at * (size_t)t->fixed->dim;
        vx_index_query asked = {.vectors = query,
                                .n = 1,
                                .k = 10,
                                .min_score = ALL_SCORES,
                                .groups = rng_next(&r) % 8 ? NULL : t->every,
                                .is_patient = rng_next(&r) % 2};
        int code = vx_index_search(t->index, &asked, got, &n_got, NULL, NULL);
        bool ordered = true;
        for (size_t i = 1; i < n_got; i++)
            ordered &= oracle_order(&got[i - 1], &got[i]) < 0; /* none twice */
        if (code || n_got != 10 || got[0].id != t->fixed->ids[at] || !ordered)
            atomic_fetch_add(&t->failures, 1);
    } while (!atomic_load(&t->stop));
    return NULL;
}

static void *race_changer(void *arg) {
    race *t = arg;
    int64_t *ids = vx_new_array(t->n_moving, sizeof(*ids));
    float *row = vx_new_array((size_t)t->fixed->dim, sizeof(*row));
    for (size_t i = 0; i < t->n_moving; i++)
        ids[i] = 2 * (int64_t)i + 1;
    for (int round = 0; round < 40; round++) {
        size_t half = t->n_moving / 2, dim = (size_t)t->fixed->dim;
        int code = vx_index_add(t->index, ids, NULL, t->moving, half, NULL);
        code |= vx_index_add(t->index, ids + half, NULL, t->moving + half * dim, t->n_moving - half,
                             NULL);
        code |= vx_index_get(t->index, ids[round], row, NULL);
        code |= vx_index_remove(t->index, ids, t->n_moving, NULL);
        if (code)
            atomic_fetch_add(&t->failures, 1);
    }
    atomic_store(&t->stop, true);
    free(row);
    free(ids);
    return NULL;
}

static void check_race(int dim, int segment_rows) {
    enum { n_fixed = 500, n_moving = 600, n_threads = 4 };
    rng r = {11};
    float *vectors = random_units(&r, n_fixed, dim);
    list fixed = list_new(dim, n_fixed);
    race t = {.index = new_index(dim, segment_rows), .fixed = &fixed, .n_moving = n_moving};
    t.moving = random_units(&r, n_moving, dim);
    for (int64_t i = 0; i < n_fixed; i++)
        list_add(&fixed, 2 * i, vectors + i * dim);
    add_all(t.index, &fixed);
    t.every = vx_idset_new(NULL, 0);
    for (int64_t i = 0; i < 2 * n_moving; i++)
        vx_idset_append(t.every, i);
    pthread_t threads[n_threads];
    pthread_create(&threads[0], NULL, race_changer, &t);
    for (int i = 1; i < n_threads; i++)
        pthread_create(&threads[i], NULL, race_searcher, &t);
    for (int i = 0; i < n_threads; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&t.failures), 0);
    check_against(t.index, &fixed, t.moving, 5, 20, ALL_SCORES);
    vx_index_free(t.index);
    vx_idset_free(t.every);
    list_done(&fixed);
    free(t.moving);
    free(vectors);
}

static void search_while_changing_always_finds_what_stays(void **state) {
    (void)state;
    check_race(32, 250);
    check_race(2048, 1200); /* in parts of 512 rows */
}

/* ---- joining ---- */

typedef struct caller {
    vx_index *index;
    const float *query;
    size_t k;
    atomic_bool *stop; /* NULL: after some rounds */
    vx_neighbour *got;
    size_t n_got;
} caller;

static void *caller_main(void *arg) {
    caller *c = arg;
    for (int round = 0; c->stop ? !atomic_load(c->stop) : round < 30; round++)
        search_all(c->index, c->query, 1, c->k, ALL_SCORES, NULL, c->got, &c->n_got);
    return NULL;
}

static void search_from_many_threads_keeps_answers_apart(void **state) {
    (void)state;
    enum { dim = 48, n = 3000, n_callers = 24, k_max = 60 };
    rng r = {12};
    float *vectors = random_units(&r, n, dim), *queries = random_units(&r, n_callers, dim);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i, vectors + i * dim);
    vx_index *index = new_index(dim, 800);
    add_all(index, &l);
    caller callers[n_callers];
    pthread_t threads[n_callers];
    vx_neighbour want[k_max];
    for (size_t i = 0; i < n_callers; i++) {
        callers[i] = (caller){.index = index, .query = queries + i * dim, .k = 1 + i * 2};
        callers[i].got = vx_new_array(k_max, sizeof(*want));
        pthread_create(&threads[i], NULL, caller_main, &callers[i]);
    }
    for (size_t i = 0; i < n_callers; i++) {
        pthread_join(threads[i], NULL);
        size_t n_want = list_search(&l, callers[i].query, callers[i].k, ALL_SCORES, NULL, want);
        assert_same(callers[i].got, callers[i].n_got, want, n_want);
        free(callers[i].got);
    }
    vx_index_free(index);
    list_done(&l);
    free(vectors);
    free(queries);
}

/* More callers than threads never leave the other line empty. */
static void patient_search_beside_endless_others_ends(void **state) {
    (void)state;
    enum { dim = 48, n = 3000, n_callers = 8, k = 5 };
    rng r = {13};
    float *vectors = random_units(&r, n, dim);
    list l = list_new(dim, n);
    for (int64_t i = 0; i < n; i++)
        list_add(&l, i, vectors + i * dim);
    vx_index *index = new_index(dim, 800);
    add_all(index, &l);
    atomic_bool stop = false;
    caller callers[n_callers];
    pthread_t threads[n_callers];
    vx_neighbour got[n_callers][k], want[k], own[k];
    for (size_t i = 0; i < n_callers; i++) {
        callers[i] = (caller){
            .index = index, .query = vectors + i * dim, .k = k, .stop = &stop, .got = got[i]};
        pthread_create(&threads[i], NULL, caller_main, &callers[i]);
    }
    for (int round = 0; round < 5; round++) {
        const float *query = vectors + (100 + round) * dim;
        vx_index_query asked = {
            .vectors = query, .n = 1, .k = k, .min_score = ALL_SCORES, .is_patient = true};
        size_t n_own = 0, n_want = list_search(&l, query, k, ALL_SCORES, NULL, want);
        assert_int_equal(vx_index_search(index, &asked, own, &n_own, NULL, NULL), 0);
        assert_same(own, n_own, want, n_want);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < n_callers; i++)
        pthread_join(threads[i], NULL);
    vx_index_free(index);
    list_done(&l);
    free(vectors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_at_random_match_brute_force),
        cmocka_unit_test(removal_of_thousands_at_once_matches_brute_force),
        cmocka_unit_test(add_removed_id_again_finds_the_new_vector),
        cmocka_unit_test(add_of_several_slices_finds_every_row_by_its_id),
        cmocka_unit_test(add_known_id_changes_nothing),
        cmocka_unit_test(add_of_a_whole_segment_is_all_or_nothing),
        cmocka_unit_test(add_of_a_whole_segment_is_all_or_nothing),
        cmocka_unit_test(add_after_removal_does_not_grow_memory),
        cmocka_unit_test(new_with_impossible_sizes_is_refused),
        cmocka_unit_test(idmap_at_random_matches_a_table),
        cmocka_unit_test(write_faiss_lays_rows_out_by_rising_id),
        cmocka_unit_test(write_faiss_to_missing_folder_says_where),
        cmocka_unit_test(search_while_changing_always_finds_what_stays),
        cmocka_unit_test(search_from_many_threads_keeps_answers_apart),
        cmocka_unit_test(patient_search_beside_endless_others_ends),
    };
    return cmocka_run_group_tests_name("index_changes", tests, NULL, NULL);
}
