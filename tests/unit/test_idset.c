/* Sets of row numbers, against a plain table of booleans. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/idset.h"

enum { UNIVERSE = 300 };

/* A random set, and the same as one boolean a number. */
static vx_idset *random_set(unsigned *seed, bool table[UNIVERSE]) {
    int64_t ids[UNIVERSE];
    size_t n = (size_t)rand_r(seed) % UNIVERSE;
    memset(table, 0, UNIVERSE * sizeof *table);
    for (size_t i = 0; i < n; i++) {
        ids[i] = rand_r(seed) % UNIVERSE;
        table[ids[i]] = true;
    }
    return vx_idset_new(ids, n);
}

static void assert_set(vx_idset *set, const bool table[UNIVERSE]) {
    size_t n = 0;
    vx_idset_bits bits;
    assert_non_null(set);
    assert_int_equal(vx_idset_bits_init(&bits, set), 0);
    for (int64_t id = -2; id < UNIVERSE + 2; id++) {
        bool has = id >= 0 && id < UNIVERSE && table[id];
        assert_int_equal(vx_idset_contains(set, id), has);
        assert_int_equal(vx_idset_bits_have(&bits, id), has);
        if (has)
            assert_int_equal(set->ids[n++], id);
    }
    assert_int_equal(set->n, n);
    vx_idset_bits_done(&bits);
    vx_idset_free(set);
}

static void set_equals_its_table(void **state) {
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 200; round++) {
        bool table[UNIVERSE];
        vx_idset *set = random_set(&seed, table);
        assert_set(set, table);
    }
}

/* The numbers begin inside of the table, as the rows of videos do. */
static void bitmap_equals_its_table(void **state) {
    (void)state;
    unsigned seed = 2;
    for (int round = 0; round < 200; round++) {
        bool table[UNIVERSE] = {false};
        int64_t first = rand_r(&seed) % 100, last = first + rand_r(&seed) % 200;
        VX_AUTO(vx_idset) set = vx_idset_new_bitmap(first, last, UNIVERSE);
        assert_non_null(set);
        for (int64_t id = first; id <= last; id++) {
            table[id] = rand_r(&seed) % 2;
            uint64_t at = (uint64_t)(id - first);
            set->bits[at / 64] |= (uint64_t)table[id] << at % 64;
        }
        vx_idset_bits bits;
        assert_int_equal(vx_idset_bits_init(&bits, set), 0);
        for (int64_t id = -2; id < UNIVERSE; id++) {
            assert_int_equal(vx_idset_contains(set, id), id >= 0 && table[id]);
            assert_int_equal(vx_idset_bits_have(&bits, id), id >= 0 && table[id]);
        }
        for (int64_t from = -70; from < UNIVERSE + 2; from++) {
            uint64_t word = vx_idset_bits_64(&bits, from);
            for (int64_t i = 0; i < 64; i++)
                assert_int_equal(word >> i & 1, vx_idset_bits_have(&bits, from + i));
        }
        vx_idset_bits_done(&bits);
    }
}

/* A source that knows the numbers that 3 divides. */
typedef struct threes {
    int64_t unknown;                           /* of which it cannot tell */
    int depth, found, in_a_row, most_in_a_row; /* found between begin() and end() */
    bool freed;
} threes;

static void begin_threes(void *ctx) {
    ((threes *)ctx)->depth++;
    ((threes *)ctx)->in_a_row = 0;
}

static void end_threes(void *ctx) {
    ((threes *)ctx)->depth--;
}

static bool find_threes(void *ctx, int64_t first, uint64_t wanted, uint64_t *ret_bits) {
    threes *t = ctx;
    assert_int_equal(t->depth, 1);
    if (++t->in_a_row > t->most_in_a_row)
        t->most_in_a_row = t->in_a_row;
    t->found++;
    *ret_bits = 0;
    for (int64_t i = 0; i < 64; i++)
        *ret_bits |= (uint64_t)((first + i) % 3 == 0 && (wanted >> i & 1)) << i;
    return t->unknown < first || t->unknown > first + 63;
}

static void free_threes(void *ctx) {
    ((threes *)ctx)->freed = true;
}

static void lazy_set_equals_what_its_source_finds(void **state) {
    (void)state;
    threes t = {.unknown = -1};
    const vx_idset_source source = {begin_threes, end_threes, find_threes, free_threes, &t};
    VX_AUTO(vx_idset) set = vx_idset_new_lazy(7, 306, UNIVERSE, &source);
    vx_idset_bits bits;
    assert_int_equal(vx_idset_bits_init(&bits, set), 0);
    vx_idset_bits_begin(&bits);
    for (int64_t id = -2; id < 400; id += 5)
        assert_int_equal(vx_idset_bits_have(&bits, id), id >= 7 && id <= 306 && id % 3 == 0);
    for (int64_t from = -70; from < 400; from += 7)
        for (int64_t i = 0; i < 64; i++)
            assert_int_equal(vx_idset_bits_64(&bits, from) >> i & 1,
                             vx_idset_bits_have(&bits, from + i));
    vx_idset_bits_end(&bits);
    vx_idset_bits_done(&bits);
    int found = t.found;
    assert_true(vx_idset_complete(set));
    assert_int_equal(t.found, found); /* each word is kept */
    assert_int_equal(set->n, 100);    /* 9, 12, .. 306 */
    set = vx_idset_free(set);
    assert_true(t.freed);
}

/* Changes of what the source reads get in between. */
static void lazy_set_of_many_is_completed_in_parts(void **state) {
    (void)state;
    threes t = {.unknown = -1};
    const vx_idset_source source = {begin_threes, end_threes, find_threes, free_threes, &t};
    VX_AUTO(vx_idset) set = vx_idset_new_lazy(2, 20001, 20000, &source);
    assert_true(vx_idset_complete(set));
    assert_int_equal(set->n, 6667);
    assert_int_equal(t.found, 313);
    assert_int_equal(t.most_in_a_row, 64);
    for (int64_t id = 0; id < 20010; id++)
        assert_int_equal(vx_idset_contains(set, id), id >= 2 && id <= 20001 && id % 3 == 0);
}

static void lazy_set_whose_source_cannot_tell_is_not_sound(void **state) {
    (void)state;
    threes t = {.unknown = 200};
    const vx_idset_source source = {begin_threes, end_threes, find_threes, free_threes, &t};
    VX_AUTO(vx_idset) set = vx_idset_new_lazy(7, 306, UNIVERSE, &source);
    vx_idset_bits bits;
    assert_int_equal(vx_idset_bits_init(&bits, set), 0);
    vx_idset_bits_begin(&bits);
    assert_true(vx_idset_bits_have(&bits, 9));
    assert_true(vx_idset_is_sound(set));
    assert_false(vx_idset_bits_have(&bits, 201));
    assert_false(vx_idset_is_sound(set));
    vx_idset_bits_end(&bits);
    vx_idset_bits_done(&bits);
    assert_false(vx_idset_complete(set));
}

static void bitmap_of_ids_far_apart_is_refused(void **state) {
    (void)state;
    assert_null(vx_idset_new_bitmap(INT64_MIN, INT64_MAX, 1000000));
    assert_null(vx_idset_new_bitmap(0, 1 << 24, 1000));
    vx_idset_free(vx_idset_new_bitmap(0, 1 << 24, 1 << 20));
}

static void set_of_nothing_contains_nothing(void **state) {
    (void)state;
    VX_AUTO(vx_idset) none = vx_idset_new(NULL, 0);
    vx_idset_bits bits;
    assert_int_equal(none->n, 0);
    assert_false(vx_idset_contains(none, 0));
    assert_int_equal(vx_idset_bits_init(&bits, none), 0);
    assert_false(vx_idset_bits_have(&bits, 0));
    vx_idset_bits_done(&bits);
}

static void append_takes_rising_ids_alone(void **state) {
    (void)state;
    VX_AUTO(vx_idset) set = vx_idset_new(NULL, 0);
    for (int64_t id = 0; id < 1000; id++)
        assert_int_equal(vx_idset_append(set, 3 * id), 0);
    assert_int_equal(vx_idset_append(set, 2997), 0); /* the greatest again */
    assert_int_equal(vx_idset_append(set, 2996), -EINVAL);
    assert_int_equal(set->n, 1000);
    for (int64_t id = 0; id < 3000; id++)
        assert_int_equal(vx_idset_contains(set, id), id % 3 == 0);
}

/* The bitmap of these would have 2^64 bits. */
static void ids_far_apart_are_found_without_a_bitmap(void **state) {
    (void)state;
    int64_t ids[] = {INT64_MAX, INT64_MIN, 0, 7};
    VX_AUTO(vx_idset) set = vx_idset_new(ids, 4);
    vx_idset_bits bits;
    assert_int_equal(vx_idset_bits_init(&bits, set), 0);
    assert_null(bits.bits);
    for (size_t i = 0; i < 4; i++)
        assert_true(vx_idset_bits_have(&bits, ids[i]));
    assert_false(vx_idset_bits_have(&bits, 1));
    assert_false(vx_idset_bits_have(&bits, INT64_MAX - 1));
    vx_idset_bits_done(&bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_equals_its_table),
        cmocka_unit_test(bitmap_equals_its_table),
        cmocka_unit_test(lazy_set_equals_what_its_source_finds),
        cmocka_unit_test(lazy_set_of_many_is_completed_in_parts),
        cmocka_unit_test(lazy_set_whose_source_cannot_tell_is_not_sound),
        cmocka_unit_test(bitmap_of_ids_far_apart_is_refused),
        cmocka_unit_test(set_of_nothing_contains_nothing),
        cmocka_unit_test(append_takes_rising_ids_alone),
        cmocka_unit_test(ids_far_apart_are_found_without_a_bitmap),
    };
    return cmocka_run_group_tests_name("idset", tests, NULL, NULL);
}
