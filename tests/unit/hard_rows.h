/* hard_rows.h: vectors that are hard for a first pass, and every question that a search can ask, answered by
 * brute force. */
#pragma once

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
           (!asked->ids || vx_idset_contains(asked->ids, id)) &&
           !(asked->not_ids && vx_idset_contains(asked->not_ids, id)) &&
           !(asked->before_id && id >= asked->before_id);
}

static size_t expected(const vx_index_query *asked, const list *l, const int64_t *groups,
                       vx_neighbour *ret) {
    vx_neighbour *all = vx_new_array(l->n, sizeof *all);
    bool *taken = vx_new_array(l->n + GROUPS, sizeof *taken); /* groups are no greater */
    size_t n = 0, n_ret = 0;
    for (size_t i = 0; i < l->n; i++) {
        double sum = 0;
        for (int d = 0; d < l->dim; d++)
            sum += (double)asked->vectors[d] * l->vectors[i * (size_t)l->dim + (size_t)d];
        bool is_low = !asked->has_max_score || (float)sum <= asked->max_score;
        if ((float)sum >= asked->min_score && is_low && selects(asked, l->ids[i], groups[i]))
            all[n++] = (vx_neighbour){l->ids[i], groups[i], (float)sum};
    }
    qsort(all, n, sizeof *all, oracle_order);
    for (size_t i = 0; i < n && n_ret < asked->k; i++) {
        if (asked->by_group && taken[all[i].group])
            continue;
        taken[all[i].group] = true;
        ret[n_ret++] = all[i];
    }
    free(taken);
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

/* About `share` of the rows. */
static vx_idset *some_rows(rng *r, const list *l, double share) {
    int64_t *ids = vx_new_array(l->n, sizeof *ids);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if ((double)(rng_next(r) % 1000) < 1000 * share)
            ids[n++] = l->ids[i];
    vx_idset *some = vx_idset_new(ids, n);
    free(ids);
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
            asked.has_max_score = true;
            asked.max_score = 0.3f;
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
                VX_AUTO(vx_idset) rows = some_rows(r, l, shares[s]);
                asked.groups = NULL;
                asked.ids = rows;
                check_query(index, asked, l, groups);
                asked.ids = NULL;
            }
        }
    }
}

static const fill fills[] = {
    random_rows, nearly_equal_rows,         repeated_rows, rows_of_length_nearly_1,
    sparse_rows, rows_with_one_huge_number, odd_rows};

/* Half of the queries are rows: there the scores are close to 1. prepare and changed (NULL: nothing) are called
 * when rows have been added, and removed. */
static inline void check_fill(uint64_t seed, fill rows_like, vx_index_first_pass pass,
                              void (*prepare)(vx_index *index), void (*changed)(vx_index *index)) {
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
    if (prepare)
        prepare(index);
    check_questions(index, queries, &l, groups, &r);
    /* Removing moves rows, and their codes and groups with them. */
    for (size_t i = 0; i < 500; i++) {
        size_t at = rng_next(&r) % l.n;
        assert_int_equal(vx_index_remove(index, &l.ids[at], 1, NULL), 0);
        list_remove_at(&l, at);
        groups[at] = groups[l.n];
    }
    if (changed) {
        check_questions(index, queries, &l, groups, &r);
        changed(index);
    }
    check_questions(index, queries, &l, groups, &r);
    vx_index_free(index);
    list_done(&l);
    free(rows);
    free(groups);
}
