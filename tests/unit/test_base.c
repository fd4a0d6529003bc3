/* Errors, memory helpers: what every other module relies on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

static void err_wrapped_twice_reads_outermost_first(void **state) {
    (void)state;
    vx_err err;
    assert_int_equal(VX_FAIL(&err, -EIO, "page %d is damaged", 7), -EIO);
    assert_int_equal(VX_WRAP(&err, "reading the catalog"), -EIO);
    assert_string_equal(err.msg, "reading the catalog: page 7 is damaged");
}

static void err_longer_than_buffer_ends_on_a_whole_character(void **state) {
    (void)state;
    vx_err err;
    for (int pad = 0; pad < 4; pad++) {
        char text[400];
        memset(text, 'a', sizeof text);
        for (int i = 220 + pad; i + 4 < 396; i += 4)
            memcpy(text + i, "\xF0\x9F\x8E\xAC", 4);
        text[396] = '\0';
        VX_FAIL(&err, 1, "%s", text);
        size_t length = strlen(err.msg);
        size_t tail = (length - (size_t)(220 + pad)) % 4;
        assert_int_equal(tail, 0);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_wrapped_twice_reads_outermost_first),
        cmocka_unit_test(err_longer_than_buffer_ends_on_a_whole_character),
        cmocka_unit_test(err_errno_quotes_the_system_reason),
        cmocka_unit_test(size_product_over_limit_is_refused),
        cmocka_unit_test(take_moves_ownership_and_leaves_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
