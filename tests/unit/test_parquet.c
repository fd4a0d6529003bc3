/* The Parquet writer where tests/parquet cannot reach: failing sinks, limits, memory.  */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "parquet/parquet.h"
#include "parquet/parquet_private.h"

typedef struct sink {
    int calls, fails_at; /* fails_at 0: never */
    size_t bytes, largest;
    char head[4], tail[4];
} sink;

static int take(void *ctx, const void *bytes, size_t n, vx_err *err) {
    sink *s = ctx;
    if (++s->calls == s->fails_at)
        return VX_FAIL(err, -ENOSPC, "call %d", s->calls);
    if (!s->bytes)
        memcpy(s->head, bytes, 4);
    memcpy(s->tail, (const char *)bytes + n - 4, 4);
    s->bytes += n;
    s->largest = n > s->largest ? n : s->largest;
    return 0;
}

static const vx_parquet_column columns[] = {{"id", VX_PARQUET_UTF8},
                                            {"embedding", VX_PARQUET_LIST_FLOAT}};

static int write_rows(sink *s, int n_rows, vx_err *err) {
    static const float vector[1024];
    vx_parquet_value row[] = {{.text = "clip"}, {.floats = vector, .n = VX_LEN(vector)}};
    VX_AUTO(vx_parquet) writer = NULL;
    int rc = vx_parquet_new(columns, VX_LEN(columns), take, s, &writer, err);
    for (int i = 0; i < n_rows && !rc; i++)
        rc = vx_parquet_write(writer, row, err);
    return rc ? rc : vx_parquet_finish(writer, err);
}

static void file_begins_and_ends_with_the_magic(void **state) {
    (void)state;
    vx_err err;
    for (int rows = 0; rows < 2; rows++) {
        sink s = {0};
        assert_int_equal(write_rows(&s, rows, &err), 0);
        assert_memory_equal(s.head, "PAR1", 4);
        assert_memory_equal(s.tail, "PAR1", 4);
    }
}

static void sink_that_fails_at_any_call_ends_the_writing(void **state) {
    (void)state;
    vx_err err;
    sink whole = {0};
    assert_int_equal(write_rows(&whole, 5000, &err), 0);
    assert_true(whole.calls > 10);
    for (int call = 1; call <= whole.calls; call++) {
        sink s = {.fails_at = call};
        assert_int_equal(write_rows(&s, 5000, &err), -ENOSPC);
        assert_int_equal(s.calls, call);
        assert_true(strncmp(err.msg, "call ", 5) == 0);
    }
}

/* 400 MB of rows in pieces of one row group. */
static void long_files_come_out_in_bounded_pieces(void **state) {
    (void)state;
    vx_err err;
    sink s = {0};
    assert_int_equal(write_rows(&s, 100000, &err), 0);
    assert_true(s.bytes > 400 * 1000 * 1000);
    assert_true(s.largest <= (16 << 20) + 4096);
}

static void columns_none_or_too_many_are_refused(void **state) {
    (void)state;
    vx_err err;
    vx_parquet *writer;
    assert_int_equal(vx_parquet_new(columns, 0, take, NULL, &writer, &err), -EINVAL);
    assert_int_equal(vx_parquet_new(columns, 65, take, NULL, &writer, &err), -EINVAL);
}

static void list_of_a_gigabyte_is_refused(void **state) {
    (void)state;
    vx_err err;
    sink s = {0};
    VX_AUTO(vx_parquet) writer = NULL;
    vx_parquet_value row[] = {{.is_null = true}, {.n = SIZE_MAX / 4}};
    assert_int_equal(vx_parquet_new(columns, 2, take, &s, &writer, &err), 0);
    assert_int_equal(vx_parquet_write(writer, row, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "embedding"));
}

static void numbers_and_lists_grow_by_a_byte_where_thrift_says(void **state) {
    (void)state;
    vx_buffer buffer = {0};
    vx_thrift t = {.out = &buffer};
    vx_buffer_varint(&buffer, 127);
    vx_buffer_varint(&buffer, 128);
    vx_thrift_list(&t, 1, VX_THRIFT_I32, 14);
    vx_thrift_list(&t, 2, VX_THRIFT_I32, 15);
    const uint8_t expected[] = {0x7F, 0x80, 0x01, 0x19, 0xE5, 0x19, 0xF5, 15};
    assert_int_equal(buffer.n, sizeof expected);
    assert_memory_equal(buffer.bytes, expected, sizeof expected);
    free(buffer.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_begins_and_ends_with_the_magic),
        cmocka_unit_test(sink_that_fails_at_any_call_ends_the_writing),
        cmocka_unit_test(long_files_come_out_in_bounded_pieces),
        cmocka_unit_test(columns_none_or_too_many_are_refused),
        cmocka_unit_test(list_of_a_gigabyte_is_refused),
        cmocka_unit_test(numbers_and_lists_grow_by_a_byte_where_thrift_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
