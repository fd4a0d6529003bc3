/* Errors, memory helpers: what every other module relies on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/decimal.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/queue.h"
#include "base/thread.h"
#include "base/utf8.h"

static void err_wrapped_twice_reads_outermost_first(void **state) {
    (void)state;
    vx_err err;
    assert_int_equal(VX_FAIL(&err, -EIO, "page %d is damaged", 7), -EIO);
    VX_WRAP(&err, "reading the catalog");
    assert_int_equal(err.code, -EIO);
    assert_string_equal(err.msg, "reading the catalog: page 7 is damaged");
}

static void check_cut(const char *msg, const char *begin, const char *end) {
    size_t n = strlen(msg), n_end = strlen(end);
    const char *gap = strstr(msg, "…");
    assert_true(n < sizeof((vx_err *)0)->msg);
    assert_non_null(gap);
    assert_memory_equal(msg, begin, strlen(begin));
    assert_true(n > n_end);
    assert_string_equal(msg + n - n_end, end);
    for (const char *side = msg; side; side = side == msg ? gap + 3 : NULL) /* whole characters */
        while (*side && side != gap) {
            assert_true((*side & 0xC0) != 0x80);
            side += (*side & 0xF8) == 0xF0 ? 4 : 1;
        }
}

static void err_longer_than_buffer_loses_its_middle(void **state) {
    (void)state;
    vx_err err;
    for (int pad = 0; pad < 8; pad++) {
        char path[4096];
        memset(path, 'a', sizeof path);
        for (int i = pad; i + 4 < 4000; i += 4)
            memcpy(path + i, "\xF0\x9F\x8E\xAC", 4);
        path[3900 + pad] = '\0';
        VX_FAIL(&err, 1, "%s is not a folder", path);
        check_cut(err.msg, pad ? "a" : "\xF0", " is not a folder");
        errno = ENOENT;
        VX_FAIL_ERRNO(&err, "opening %s", path);
        check_cut(err.msg, "opening ", ": No such file or directory");
        VX_FAIL(&err, -EIO, "no luck");
        VX_WRAP(&err, "reading %s", path);
        check_cut(err.msg, "reading ", ": no luck");
    }
}

static void err_errno_quotes_the_system_reason(void **state) {
    (void)state;
    vx_err err;
    errno = ENOSPC;
    assert_int_equal(VX_FAIL_ERRNO(&err, "writing %s", "x"), -ENOSPC);
    assert_string_equal(err.msg, "writing x: No space left on device");
}

static void size_product_over_limit_is_refused(void **state) {
    (void)state;
    size_t out = 1;
    assert_true(vx_mul(3, 5, &out));
    assert_int_equal(out, 15);
    assert_false(vx_mul(SIZE_MAX / 2, 3, &out));
    assert_false(vx_add(SIZE_MAX, 1, &out));
    assert_null(vx_regrow(NULL, SIZE_MAX / 2, 3));
}

static void take_moves_ownership_and_leaves_null(void **state) {
    (void)state;
    VX_AUTO_FREE char *text = strdup("x");
    char *mine = vx_take(text);
    assert_null(text);
    assert_string_equal(mine, "x");
    free(mine);
}

static void add(void *ctx, void *item) {
    atomic_fetch_add((atomic_int *)ctx, *(int *)item);
}

/* RFC 3720, appendix B.4, and the check value of the CRC catalogues. */
static void crc32c_of_published_texts_is_theirs_whole_and_in_parts(void **state) {
    (void)state;
    static uint8_t zeros[32], ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (uint8_t i = 0; i < 32; i++)
        rising[i] = i;
    const struct {
        const void *bytes;
        size_t n;
        uint32_t crc;
    } known[] = {{"123456789", 9, 0xe3069283},
                 {zeros, 32, 0x8a9136aa},
                 {ones, 32, 0x62a8ab43},
                 {rising, 32, 0x46dd794e},
                 {"", 0, 0}};
    for (size_t i = 0; i < VX_LEN(known); i++) {
        assert_int_equal(vx_crc32c(0, known[i].bytes, known[i].n), known[i].crc);
        for (size_t at = 0; at <= known[i].n; at++) {
            const char *rest = (const char *)known[i].bytes + at;
            uint32_t head = vx_crc32c(0, known[i].bytes, at);
            assert_int_equal(vx_crc32c(head, rest, known[i].n - at), known[i].crc);
            assert_int_equal(vx_crc32c_portable(head, rest, known[i].n - at), known[i].crc);
        }
    }
}

static void float_as_decimal_is_the_shortest_that_reads_back(void **state) {
    (void)state;
    static const struct {
        float value;
        const char *text;
    } cases[] = {{1, "1"},
                 {0.1F, "0.1"},
                 {0.999062F, "0.999062"},
                 {-2.5F, "-2.5"},
                 {0.99999994F, "0.99999994"},
                 {1e30F, "1e+30"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[VX_DECIMAL_BYTES];
        vx_decimal_float(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
        assert_true(vx_decimal_of_float(cases[i].value) == strtod(text, NULL));
    }
    for (uint32_t bits = 1; bits < 0x7f800000U; bits += 99991) { /* every size of number */
        char text[VX_DECIMAL_BYTES];
        float value;
        memcpy(&value, &bits, sizeof value);
        vx_decimal_float(value, text);
        assert_true(strtof(text, NULL) == value);
    }
}

static void double_as_decimal_reads_back(void **state) {
    (void)state;
    static const double values[] = {0.1, 1.0 / 3, 1e300, 4.9e-324, 29.97, -0.1F, 1 - 0x1p-53};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[VX_DECIMAL_BYTES];
        vx_decimal_double(values[i], text);
        assert_true(strtod(text, NULL) == values[i]);
    }
    char text[VX_DECIMAL_BYTES];
    vx_decimal_double(29.97, text);
    assert_string_equal(text, "29.97");
}

static void pool_freed_has_run_what_it_took(void **state) {
    (void)state;
    atomic_int sum = 0;
    int one = 1, taken = 0;
    vx_pool *pool = NULL;
    const vx_pool_params params = {"vx-test", 3, 64, add, &sum};
    assert_int_equal(vx_pool_new(&params, &pool, NULL), 0);
    for (int i = 0; i < 500; i++)
        taken += vx_pool_try_push(pool, &one);
    assert_null(vx_pool_free(pool));
    assert_true(taken >= 64);
    assert_int_equal(sum, taken);
}

static void pool_without_threads_or_room_is_refused(void **state) {
    (void)state;
    vx_pool *pool = NULL;
    const vx_pool_params none = {"vx-test", 0, 64, add, NULL},
                         narrow = {"vx-test", 3, 0, add, NULL};
    assert_int_equal(vx_pool_new(&none, &pool, NULL), -EINVAL);
    assert_int_equal(vx_pool_new(&narrow, &pool, NULL), -EINVAL);
    assert_null(pool);
}

static void hex_goes_there_and_back_and_takes_no_other_text(void **state) {
    (void)state;
    const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
    uint8_t back[4] = {0};
    char text[9];
    vx_hex_encode(bytes, 4, text);
    assert_string_equal(text, "000fa5ff");
    assert_true(vx_hex_decode(text, 4, back));
    assert_memory_equal(back, bytes, 4);
    const char *const others[] = {"", "000fa5f", "000fa5fff", "000fa5fF", "000fa5f ", "0x0fa5ff"};
    for (size_t i = 0; i < VX_LEN(others); i++)
        assert_false(vx_hex_decode(others[i], 4, back));
}

static void base64_of_the_rfc_goes_there_and_back(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xfb\xff\xbf", "+/+/"}};
    for (size_t i = 0; i < VX_LEN(rows); i++) {
        char text[16];
        uint8_t bytes[16];
        size_t n = 99, length = strlen(rows[i][0]);
        vx_base64_encode(rows[i][0], length, text);
        assert_string_equal(text, rows[i][1]);
        assert_int_equal(strlen(text), vx_base64_length(length));
        assert_true(vx_base64_decode(text, strlen(text), true, bytes, &n));
        assert_int_equal(n, length);
        assert_memory_equal(bytes, rows[i][0], length);
    }
}

static void text_that_is_not_base64_is_refused(void **state) {
    (void)state;
    static const char *const rows[] = {
        "A",    "AA",   "AAA",   "A===", "====",     "=AAA",      "A=AA",
        "AA=A", "AA A", "AA\nA", "-_AA", "AA==AAAA", "\303\251AA"};
    uint8_t bytes[16];
    size_t n;
    for (size_t i = 0; i < VX_LEN(rows); i++)
        if (vx_base64_decode(rows[i], strlen(rows[i]), true, bytes, &n))
            fail_msg("'%s' is taken for base64", rows[i]);
    assert_false(vx_base64_decode("AA==", 4, false, bytes, &n)); /* more is to come */
}

/* ---- queue ---- */

static vx_queue *queue_of(size_t capacity) {
    vx_queue *queue = NULL;
    assert_int_equal(vx_queue_new(capacity, &queue, NULL), 0);
    return queue;
}

static void queue_gives_in_order_and_refuses_one_more_than_it_holds(void **state) {
    (void)state;
    static char items[6];
    void *got[6];
    vx_queue *queue = queue_of(3);
    for (int round = 0; round < 4; round++) { /* once around its ring and more */
        for (int i = 0; i < 3; i++)
            assert_true(vx_queue_try_push(queue, &items[i]));
        assert_false(vx_queue_try_push(queue, &items[3]));
        assert_int_equal(vx_queue_count(queue), 3);
        assert_ptr_equal(vx_queue_pop(queue), &items[0]);
        assert_true(vx_queue_try_push(queue, &items[4]));
        assert_int_equal(vx_queue_pop_many(queue, got, 2), 2);
        assert_true(got[0] == &items[1] && got[1] == &items[2]);
        assert_int_equal(vx_queue_pop_many(queue, got, 6), 1);
        assert_ptr_equal(got[0], &items[4]);
    }
    vx_queue_free(queue);
}

static void *push_one(void *queue) {
    return vx_queue_push(queue, queue) ? queue : NULL;
}

static void queue_closed_lets_waiting_pushers_go_and_gives_what_is_inside(void **state) {
    (void)state;
    static char item;
    vx_queue *queue = queue_of(1);
    assert_true(vx_queue_push(queue, &item));
    pthread_t waiting;
    void *pushed;
    assert_int_equal(vx_thread_start(&waiting, "push", push_one, queue, NULL), 0);
    usleep(20000); /* it most likely waits for room now; if not, the outcome is the same */
    vx_queue_close(queue);
    pthread_join(waiting, &pushed);
    assert_null(pushed);
    assert_false(vx_queue_push(queue, &item));
    assert_false(vx_queue_try_push(queue, &item));
    assert_int_equal(vx_queue_count(queue), 1);
    assert_ptr_equal(vx_queue_pop(queue), &item);
    assert_null(vx_queue_pop(queue));
    vx_queue_free(queue);
}

static void times_on_both_sides_of_1970_are_printed(void **state) {
    (void)state;
    static const struct {
        int64_t unix_us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {INT64_C(1767323045678999), "2026-01-02T03:04:05.678Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000000, "1969-12-31T23:59:59.000Z"},
        {-1500000, "1969-12-31T23:59:58.500Z"},
        {INT64_C(-2208988800000000), "1900-01-01T00:00:00.000Z"},
    };
    for (size_t i = 0; i < VX_LEN(cases); i++) {
        char text[VX_CLOCK_ISO_BYTES];
        vx_clock_iso(cases[i].unix_us, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void name_of_a_file_is_shown_as_text(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"plain \xC3\xA9.mp4", "plain \xC3\xA9.mp4"},
        {"", ""},
        {"a\nb\x7F", "a\xEF\xBF\xBD"
                     "b\xEF\xBF\xBD"},
        {"\xC2\x85", "\xEF\xBF\xBD"},                             /* a control character */
        {"\xFFx\xC3", "\xEF\xBF\xBDx\xEF\xBF\xBD"},               /* no UTF-8, and cut off */
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, /* half of a pair */
    };
    for (size_t i = 0; i < VX_LEN(cases); i++) {
        VX_AUTO_FREE char *shown = vx_utf8_show(cases[i][0]);
        assert_string_equal(shown, cases[i][1]);
        assert_true(vx_utf8_is_plain(shown));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_wrapped_twice_reads_outermost_first),
        cmocka_unit_test(err_longer_than_buffer_loses_its_middle),
        cmocka_unit_test(err_errno_quotes_the_system_reason),
        cmocka_unit_test(size_product_over_limit_is_refused),
        cmocka_unit_test(base64_of_the_rfc_goes_there_and_back),
        cmocka_unit_test(text_that_is_not_base64_is_refused),
        cmocka_unit_test(hex_goes_there_and_back_and_takes_no_other_text),
        cmocka_unit_test(crc32c_of_published_texts_is_theirs_whole_and_in_parts),
        cmocka_unit_test(float_as_decimal_is_the_shortest_that_reads_back),
        cmocka_unit_test(double_as_decimal_reads_back),
        cmocka_unit_test(pool_freed_has_run_what_it_took),
        cmocka_unit_test(pool_without_threads_or_room_is_refused),
        cmocka_unit_test(take_moves_ownership_and_leaves_null),
        cmocka_unit_test(queue_gives_in_order_and_refuses_one_more_than_it_holds),
        cmocka_unit_test(queue_closed_lets_waiting_pushers_go_and_gives_what_is_inside),
        cmocka_unit_test(name_of_a_file_is_shown_as_text),
        cmocka_unit_test(times_on_both_sides_of_1970_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
