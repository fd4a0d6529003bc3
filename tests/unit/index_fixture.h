/* index_fixture.h: random unit vectors, brute force in double precision as the oracle, and the
 * comparison of every search path with it. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "index/index.h"

#define ALL_SCORES (-2.0f)

/* ---- data ---- */

typedef struct rng {
    uint64_t state;
} rng;

static inline uint64_t rng_next(rng *r) {
    r->state += 0x9e3779b97f4a7c15u;
    uint64_t x = r->state;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline float rng_signed(rng *r) {
    return (float)((double)(rng_next(r) >> 11) * 0x1p-52 - 1.0);
}

static inline void normalise(float *v, int dim) {
    double square = 0;
    for (int i = 0; i < dim; i++)
        square += (double)v[i] * v[i];
    for (int i = 0; i < dim; i++)
        v[i] = (float)(v[i] / sqrt(square));
}

static inline float *random_units(rng *r, size_t n, int dim) {
    float *vectors = vx_new_array(n * (size_t)dim, sizeof(float));
    assert_non_null(vectors);
    for (size_t i = 0; i < n * (size_t)dim; i++)
        vectors[i] = rng_signed(r);
    for (size_t i = 0; i < n; i++)
        normalise(vectors + i * (size_t)dim, dim);
    return vectors;
}

/* ---- the oracle: a plain list of vectors ---- */

typedef struct list {
    int dim;
    size_t n, room;
    int64_t *ids;
    float *vectors;
} list;

static inline list list_new(int dim, size_t room) {
    return (list){.dim = dim,
                  .room = room,
                  .ids = vx_new_array(room, sizeof(int64_t)),
                  .vectors = vx_new_array(room, (size_t)dim * sizeof(float))};
}

static inline void list_done(list *l) {
    free(l->ids);
    free(l->vectors);
}

static inline void list_add(list *l, int64_t id, const float *vector) {
    assert_true(l->n < l->room);
    l->ids[l->n] = id;
    memcpy(l->vectors + l->n++ * (size_t)l->dim, vector, (size_t)l->dim * sizeof(float));
}

static inline void list_remove_at(list *l, size_t at) {
    size_t dim = (size_t)l->dim;
    l->ids[at] = l->ids[--l->n];
    memmove(l->vectors + at * dim, l->vectors + l->n * dim, dim * sizeof(float));
}

static inline int oracle_order(const void *a, const void *b) {
    const vx_neighbour *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

typedef bool (*id_filter)(int64_t id);

static inline bool odd_ids(int64_t id) {
    return id % 2 == 1;
}

static inline size_t list_search(const list *l, const float *query, size_t k, float min_score,
                                 id_filter filter, vx_neighbour *ret) {
    vx_neighbour *all = vx_new_array(l->n + 1, sizeof(*all));
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        double sum = 0;
        for (int d = 0; d < l->dim; d++)
            sum += (double)query[d] * l->vectors[i * (size_t)l->dim + (size_t)d];
        if ((float)sum >= min_score && (!filter || filter(l->ids[i])))
            all[n++] = (vx_neighbour){.id = l->ids[i], .group = l->ids[i], .score = (float)sum};
    }
    qsort(all, n, sizeof(*all), oracle_order);
    n = n < k ? n : k;
    memcpy(ret, all, n * sizeof(*all));
    free(all);
    return n;
}

/* ---- helpers ---- */

/* What new_index() makes. */
static vx_index_first_pass first_pass;

static inline vx_index *new_index(int dim, int64_t segment_rows) {
    vx_index *index = NULL;
    vx_err err = {0};
    vx_index_params params = {
        .dim = dim, .segment_rows = segment_rows, .threads = 2, .first_pass = first_pass};
    if (vx_index_new(&params, &index, &err))
        fail_msg("%s", err.msg);
    return index;
}

static inline void add_all(vx_index *index, const list *l) {
    assert_int_equal(vx_index_add(index, l->ids, NULL, l->vectors, l->n, NULL), 0);
}

static inline void assert_same(const vx_neighbour *got, size_t n_got, const vx_neighbour *want,
                               size_t n_want) {
    assert_int_equal(n_got, n_want);
    for (size_t i = 0; i < n_want; i++) {
        if (got[i].id != want[i].id || got[i].score != want[i].score)
            fail_msg("rank %zu: id %lld score %.9g, expected id %lld score %.9g", i,
                     (long long)got[i].id, (double)got[i].score, (long long)want[i].id,
                     (double)want[i].score);
    }
}

static inline void search_all(vx_index *index, const float *queries, size_t n, size_t k,
                              float min_score, const vx_idset *groups, vx_neighbour *ret,
                              size_t *ret_n) {
    vx_index_query query = {
        .vectors = queries, .n = n, .k = k, .min_score = min_score, .groups = groups};
    vx_err err = {0};
    if (vx_index_search(index, &query, ret, ret_n, NULL, &err))
        fail_msg("%s", err.msg);
}

/* All queries in one call on this thread, each with the score of its last result as its own bound, give the
 * same again. */
static inline void check_on_caller(vx_index *index, const float *queries, size_t n, size_t k,
                                   float min_score, const vx_neighbour *want,
                                   const size_t *n_want) {
    float *bounds = vx_new_array(n, sizeof *bounds);
    vx_neighbour *got = vx_new_array(n * k, sizeof *got);
    size_t *n_got = vx_new_array(n, sizeof *n_got);
    vx_err err = {0};
    for (size_t q = 0; q < n; q++)
        bounds[q] = n_want[q] ? want[q * k + n_want[q] - 1].score : min_score;
    const vx_index_query query = {
        .vectors = queries, .n = n, .k = k, .min_scores = bounds, .on_caller = true};
    if (vx_index_search(index, &query, got, n_got, NULL, &err))
        fail_msg("%s", err.msg);
    for (size_t q = 0; q < n; q++)
        assert_same(got + q * k, n_got[q], want + q * k, n_want[q]);
    free(bounds);
    free(got);
    free(n_got);
}

/* Each query alone, all in one call and with groups selected gives what the oracle gives. Every id is a
 * group of its own here. */
static inline void check_against(vx_index *index, const list *l, const float *queries,
                                 size_t n_queries, size_t k, float min_score) {
    vx_neighbour *batch = vx_new_array(n_queries * k, sizeof(*batch));
    vx_neighbour *one = vx_new_array(k, sizeof(*one)), *want = vx_new_array(k, sizeof(*want));
    size_t *n_batch = vx_new_array(n_queries, sizeof(*n_batch)), n_one;
    VX_AUTO(vx_idset) every = vx_idset_new(l->ids, l->n);
    VX_AUTO(vx_idset) odd = vx_idset_new(NULL, 0);
    for (size_t i = 0; i < every->n; i++)
        if (odd_ids(every->ids[i]))
            vx_idset_append(odd, every->ids[i]);
    search_all(index, queries, n_queries, k, min_score, NULL, batch, n_batch);
    for (size_t q = 0; q < n_queries; q++) {
        const float *query = queries + q * (size_t)l->dim;
        size_t n_want = list_search(l, query, k, min_score, NULL, want);
        assert_same(batch + q * k, n_batch[q], want, n_want);
        search_all(index, query, 1, k, min_score, NULL, one, &n_one);
        assert_same(one, n_one, want, n_want);
        search_all(index, query, 1, k, min_score, every, one, &n_one);
        assert_same(one, n_one, want, n_want);
        n_want = list_search(l, query, k, min_score, odd_ids, want);
        search_all(index, query, 1, k, min_score, odd, one, &n_one);
        assert_same(one, n_one, want, n_want);
    }
    check_on_caller(index, queries, n_queries, k, min_score, batch, n_batch);
    free(batch);
    free(one);
    free(want);
    free(n_batch);
}
