/* Long strings are cut out of JSON before it is parsed and put back after: the result is that of jansson. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/http/json_text.h"

#define FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY)

static char text[1 << 20];
static size_t n_text;

static void put(const char *piece) {
    n_text += (size_t)snprintf(text + n_text, sizeof text - n_text, "%s", piece);
}

/* A string of n characters between quotes; the middle one is `odd`, unless that is empty. */
static void put_string(size_t n, char character, const char *odd) {
    put("\"");
    memset(text + n_text, character, n / 2);
    n_text += n / 2;
    put(odd);
    memset(text + n_text, character, n - n / 2);
    n_text += n - n / 2;
    put("\"");
}

/* Both ways of parsing give the same; returns how many strings were cut out. */
static size_t check(void) {
    json_error_t error, wanted_error;
    json_t *wanted = json_loadb(text, n_text, FLAGS, &wanted_error);
    VX_AUTO(vx_json_text) read = vx_json_text_read(text, n_text);
    assert_non_null(read);
    json_t *found = vx_json_text_parse(read, FLAGS, &error);
    assert_int_equal(!wanted, !found);
    if (wanted)
        assert_true(json_equal(wanted, found));
    else
        assert_string_equal(error.text, wanted_error.text);
    if (!wanted)
        assert_int_equal(error.column, wanted_error.column);
    json_decref(wanted);
    json_decref(found);
    return read->n_cuts;
}

static void long_plain_values_are_cut_out_and_put_back(void **state) {
    (void)state;
    n_text = 0;
    put("{\"a\": ");
    put_string(VX_JSON_LONG_STRING, 'x', "");
    put(", \"b\": [1, ");
    put_string(100000, 'y', "");
    put(", {\"c\" :\t");
    put_string(20000, 'z', "");
    put("}], \"short\": \"s\"}");
    assert_int_equal(check(), 3);
}

static void strings_that_need_unescaping_or_name_members_stay(void **state) {
    (void)state;
    static const char *const odd[] = {"\\n",     "\\\"",     "\\\\",
                                      "\\u00e9", "\xc3\xa9", "\\ud83d\\ude00"};
    for (size_t i = 0; i < VX_LEN(odd); i++) {
        n_text = 0;
        put("[");
        put_string(9000, 'x', odd[i]);
        put("]");
        assert_int_equal(check(), 0);
    }
    n_text = 0;
    put("{");
    put_string(9000, 'k', "");
    put(" : 1}");
    assert_int_equal(check(), 0);
}

static void text_that_is_no_json_is_refused_as_jansson_refuses_it(void **state) {
    (void)state;
    static const char *const after[] = {"",        "]",  "}",     ", 1",      ", \"a\": 2}",
                                        " \"b\"}", "\"", "}\x01", "} {\"a\"", "\\"};
    for (size_t i = 0; i < VX_LEN(after); i++) {
        n_text = 0;
        put("{\"a\": ");
        put_string(9000, 'x', "");
        put(after[i]);
        check();
    }
    n_text = 0;
    put_string(9000, 'x', "");
    check(); /* a string alone */
    n_text = 0;
    put("{\"a\": ");
    put_string(9000, 'x', "\x02");
    put("}");
    assert_int_equal(check(), 0);
}

static void names_of_cuts_that_a_client_sends_are_its_own(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        n_text = 0;
        put("[\"000000000000000000000000\", ");
        put_string(9000, 'x', "");
        put("]");
        assert_int_equal(check(), 1);
    }
}

static void depth_and_values_are_those_outside_strings(void **state) {
    (void)state;
    n_text = 0;
    put("{\"[[[[\": [1, 2, {\"a\": \"]},{\\\"[\"}]}");
    VX_AUTO(vx_json_text) read = vx_json_text_read(text, n_text);
    assert_int_equal(read->depth, 3);
    assert_int_equal(read->n_values, 5);
}

/* Quotes and backslashes at random places. */
static void random_texts_are_read_as_jansson_reads_them(void **state) {
    (void)state;
    static const char *const pieces[] = {"{",     "}",     "[", "]",  ",",  ":",
                                         "\"a\"", "\"b\"", "1", "\\", "\"", " "};
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        n_text = 0;
        put("[");
        for (int i = 0; i < 12; i++) {
            seed = seed * 1664525 + 1013904223;
            size_t which = seed >> 16;
            if (which % 4)
                put(pieces[which / 4 % VX_LEN(pieces)]);
            else
                put_string(4090 + which / 4 % 10, 'x', which / 64 % 5 ? "" : "\\\\");
        }
        put("]");
        check();
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_plain_values_are_cut_out_and_put_back),
        cmocka_unit_test(strings_that_need_unescaping_or_name_members_stay),
        cmocka_unit_test(text_that_is_no_json_is_refused_as_jansson_refuses_it),
        cmocka_unit_test(names_of_cuts_that_a_client_sends_are_its_own),
        cmocka_unit_test(depth_and_values_are_those_outside_strings),
        cmocka_unit_test(random_texts_are_read_as_jansson_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
