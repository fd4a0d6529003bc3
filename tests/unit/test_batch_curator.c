/* NeMo Curator's formats: float16, UUIDs, pickles, spans. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "batch/curator/curator.h"

static void every_half_survives_the_way_there_and_back(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        float wide = vx_curator_from_half((uint16_t)h);
        if (isnan(wide))
            assert_true((h & 0x7FFF) > 0x7C00 &&
                        isnan(vx_curator_from_half(vx_curator_to_half(wide))));
        else
            assert_int_equal(vx_curator_to_half(wide), h);
    }
    assert_true(vx_curator_from_half(0x3C00) == 1 && vx_curator_from_half(0x0001) == 0x1p-24f);
    assert_true(vx_curator_from_half(0xFBFF) == -65504);
}

/* Between neighbours the middle is a float32 exactly: it goes to the even one, all else to the
 * nearer one. */
static void halves_are_rounded_to_the_nearest_ties_to_even(void **state) {
    (void)state;
    for (uint16_t h = 0; h < 0x7BFF; h++) {
        float middle = (vx_curator_from_half(h) + vx_curator_from_half(h + 1)) / 2;
        assert_int_equal(vx_curator_to_half(middle), h + (h & 1));
        assert_int_equal(vx_curator_to_half(nextafterf(middle, 0)), h);
        assert_int_equal(vx_curator_to_half(nextafterf(middle, 1e9f)), h + 1);
        assert_int_equal(vx_curator_to_half(-middle), 0x8000 | (h + (h & 1)));
    }
    assert_int_equal(vx_curator_to_half(65519.996f), 0x7BFF);
    assert_int_equal(vx_curator_to_half(65520), 0x7C00);
}

static void uuid_is_that_of_rfc_9562(void **state) {
    (void)state;
    char uuid[VX_UUID_CHARS + 1];
    vx_curator_uuid("http://www.example.com/", uuid); /* by Python's uuid.uuid5 */
    assert_string_equal(uuid, "fcde3c85-2270-590f-9e7c-ee003d65e0e2");
}

/* Where pickle's numbers take a second byte: 127 and 128 halves, 255 and 256 of anything. */
static void pickle_of_every_size_says_how_long_it_is(void **state) {
    (void)state;
    static float values[256];
    static uint8_t out[sizeof values + VX_PICKLE_OVERHEAD];
    static const struct {
        size_t n;
        const char shape[4], data[6];
        size_t n_shape, n_data;
    } rows[] = {
        {127, "K\x7f", "C\xfe", 2, 2},
        {128, "K\x80", "B\0\1\0\0", 2, 5},
        {255, "K\xff", "B\xfe\1\0\0", 2, 5},
        {256, "M\0\1", "B\0\2\0\0", 3, 5},
    };
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        size_t n = vx_curator_pickle(values, rows[i].n, true, out);
        uint8_t *shape = memmem(out, n, "(K\1K\1", 5);
        assert_non_null(shape);
        assert_memory_equal(shape + 5, rows[i].shape, rows[i].n_shape);
        const uint8_t *data =
            out + n - 5 - 2 * rows[i].n - rows[i].n_data; /* "\x94t\x94b." behind */
        assert_memory_equal(data, rows[i].data, rows[i].n_data);
    }
}

static void fixed_span_behind_the_claimed_end_keeps_its_own(void **state) {
    (void)state;
    const vx_clip_spec fixed = {.mode = VX_CLIP_FIXED, .length_s = 5, .stride_s = 5};
    vx_curator_span span = vx_curator_span_of(&fixed, 5, 8, 7, 10);
    assert_true(span.end_s == 7 && span.first == 50 && span.last == 70);
    span = vx_curator_span_of(&fixed, 5, 8, 4, 10);
    assert_true(span.end_s == 8 && span.first == 50 && span.last == 80);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives_the_way_there_and_back),
        cmocka_unit_test(halves_are_rounded_to_the_nearest_ties_to_even),
        cmocka_unit_test(uuid_is_that_of_rfc_9562),
        cmocka_unit_test(pickle_of_every_size_says_how_long_it_is),
        cmocka_unit_test(fixed_span_behind_the_claimed_end_keeps_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
