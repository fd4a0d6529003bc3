/* Forms as clients really send them, whole and cut at every place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/http/header.h"
#include "api/http/multipart.h"

/* What a body contains, as text: "name|filename|bytes;" for each part, "-" for no filename. */
typedef struct transcript {
    char text[4096];
    size_t n;
    const char *stop_at; /* begin refuses the part of this name; NULL = none */
} transcript;

static void append(transcript *t, const char *bytes, size_t n) {
    assert_true(t->n + n < sizeof t->text);
    memcpy(t->text + t->n, bytes, n);
    t->n += n;
    t->text[t->n] = '\0';
}

static bool on_begin(void *ctx, const char *name, const char *filename) {
    transcript *t = ctx;
    char line[600];
    append(t, line, (size_t)snprintf(line, sizeof line, "%s|%s|", name, filename ? filename : "-"));
    return !t->stop_at || strcmp(name, t->stop_at) != 0;
}

static bool on_data(void *ctx, const char *bytes, size_t n) {
    append(ctx, bytes, n);
    return true;
}

static bool on_end(void *ctx) {
    append(ctx, ";", 1);
    return true;
}

/* The transcript of a body that comes in two pieces; the fault, or NULL. */
static const char *read_in_two(const char *boundary, const char *body, size_t n, size_t cut,
                               transcript *ret) {
    vx_multipart_handler handler = {.begin = on_begin, .data = on_data, .end = on_end, .ctx = ret};
    vx_multipart *reader = vx_multipart_new(boundary, handler);
    assert_non_null(reader);
    const char *fault = vx_multipart_feed(reader, body, cut);
    if (!fault)
        fault = vx_multipart_feed(reader, body + cut, n - cut);
    if (!fault)
        fault = vx_multipart_end(reader);
    vx_multipart_free(reader);
    return fault;
}

static void expect(const char *boundary, const char *body, const char *wanted) {
    size_t n = strlen(body);
    for (size_t cut = 0; cut <= n; cut++) {
        transcript t = {.text = ""};
        const char *fault = read_in_two(boundary, body, n, cut, &t);
        if (fault || strcmp(t.text, wanted))
            fail_msg("cut at %zu: %s, %s; wanted %s", cut, fault ? fault : "no fault", t.text,
                     wanted);
    }
    transcript t = {.text = ""}; /* byte by byte */
    vx_multipart_handler handler = {.begin = on_begin, .data = on_data, .end = on_end, .ctx = &t};
    vx_multipart *reader = vx_multipart_new(boundary, handler);
    for (size_t i = 0; i < n; i++)
        assert_null(vx_multipart_feed(reader, body + i, 1));
    assert_null(vx_multipart_end(reader));
    assert_string_equal(t.text, wanted);
    vx_multipart_free(reader);
}

static void expect_fault(const char *body, const char *words) {
    size_t n = strlen(body);
    for (size_t cut = 0; cut <= n; cut++) {
        transcript t = {.text = ""};
        const char *fault = read_in_two("XX", body, n, cut, &t);
        assert_non_null(fault);
        assert_non_null(strstr(fault, words));
    }
}

#define PART(disposition, bytes) "--XX\r\nContent-Disposition: " disposition "\r\n\r\n" bytes "\r\n"
#define END "--XX--\r\n"

static void form_of_a_browser_is_split_into_its_parts(void **state) {
    (void)state;
    expect("XX",
           PART("form-data; name=\"k\"", "5")
               PART("form-data; name=\"file\"; filename=\"a b.mp4\"", "\r\n\r\r\nbytes\r") END,
           "k|-|5;file|a b.mp4|\r\n\r\r\nbytes\r;");
}

static void names_without_quotes_are_read(void **state) {
    (void)state;
    expect("XX",
           PART("form-data; name=file; filename=clip.mp4; filename*=utf-8''clip.mp4", "x") END,
           "file|clip.mp4|x;");
    expect("XX", PART("Form-Data;NAME = file ;FileName= a b.mp4", "x") END, "file|a b.mp4|x;");
}

static void data_that_looks_like_a_boundary_is_data(void **state) {
    (void)state;
    expect("XX", PART("form-data; name=file", "\r\n--XY\r\n--X\r\r\n--XX9\r\n--XX-\r\n-- XX") END,
           "file|-|\r\n--XY\r\n--X\r\r\n--XX9\r\n--XX-\r\n-- XX;");
}

static void blanks_behind_a_boundary_and_texts_around_the_parts_are_ignored(void **state) {
    (void)state;
    expect(
        "XX",
        "ignored\r\n--XX \t\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--XX--ignored\r\n"
        "--XX\r\n",
        "a|-|1;");
}

static void lines_that_end_with_newline_alone_are_read(void **state) {
    (void)state;
    expect("XX", "--XX\nContent-Disposition: form-data; name=a\n\n1\r\n--XX--", "a|-|1\r;");
}

static void part_without_bytes_is_empty(void **state) {
    (void)state;
    expect("XX", PART("form-data; name=a", "") END, "a|-|;");
    expect("XX", "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n" END, "a|-|;");
    expect("XX", "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n-\r\n" END,
           "a|-|\r\n-;");
}

static void folded_and_other_headers_are_read_over(void **state) {
    (void)state;
    expect("XX",
           "--XX\r\nX-A: name=b\r\ncontent-disposition : form-data;\r\n\tname=a\r\n"
           "Content-Transfer-Encoding: binary\r\nContent-Type: video/mp4\r\n\r\n1\r\n" END,
           "a|-|1;");
}

static void broken_form_is_named(void **state) {
    (void)state;
    expect_fault("", "does not contain the boundary");
    expect_fault("nothing\r\n--XY\r\n", "does not contain the boundary");
    expect_fault(PART("form-data; name=a", "1"), "last boundary");
    expect_fault("--XX\r\nX-A: b\r\n\r\n1\r\n" END, "no Content-Disposition");
    expect_fault(PART("form-data", "1") END, "no name");
    expect_fault(PART("form-data; name=\"a", "1") END, "not closed");
    expect_fault("--XX\r\nContent-Disposition: form-data; name=a\r\n"
                 "Content-Transfer-Encoding: base64\r\n\r\n1\r\n" END,
                 "Content-Transfer-Encoding");
}

static void headers_of_a_part_are_bounded(void **state) {
    (void)state;
    char body[20000] = "--XX\r\nX-A: ";
    memset(body + strlen(body), 'a', 17000);
    transcript t = {.text = ""};
    const char *fault = read_in_two("XX", body, strlen(body), 9000, &t);
    assert_non_null(fault);
    assert_non_null(strstr(fault, "too long"));
}

static void handler_that_refuses_ends_the_reading(void **state) {
    (void)state;
    const char *body = PART("form-data; name=a", "1") PART("form-data; name=b", "2") END;
    transcript t = {.text = "", .stop_at = "a"};
    assert_null(read_in_two("XX", body, strlen(body), 3, &t));
    assert_string_equal(t.text, "a|-|");
}

/* ---- Parameters of a header ---- */

static void expect_param(const char *field, const char *wanted) {
    char *value;
    assert_true(vx_header_param(field, "filename", &value));
    if (wanted)
        assert_string_equal(value, wanted);
    else
        assert_null(value);
    free(value);
}

static void escaped_quotes_belong_to_the_name(void **state) {
    (void)state;
    expect_param("form-data; filename=\"a\\\"b\\\\c.mp4\"", "a\"b\\c.mp4");
    expect_param("form-data; filename=\"5%22 disk.mp4\"", "5\" disk.mp4");
    expect_param("form-data; filename=\"C:\\films\\a;b.mp4\"", "C:\\films\\a;b.mp4");
    expect_param("form-data; filename=\"\"; name=file", "");
}

static void extended_name_wins(void **state) {
    (void)state;
    expect_param("form-data; filename*=UTF-8''na%C3%AFve%20%22.mp4", "na\xC3\xAFve \".mp4");
    expect_param("form-data; filename=\"x\"; FILENAME*=utf-8'en'%E6%97%A5.mp4", "\xE6\x97\xA5.mp4");
    expect_param("form-data; filename*=iso-8859-1''%E9.mp4", "\xC3\xA9.mp4");
    expect_param("form-data; filename*=UTF-8''%ff; filename=plain", "plain");
    expect_param("form-data; filename*=koi8-r''%C1; filename=plain", "plain");
    expect_param("form-data; filename*=UTF-8''%00", NULL);
}

static void absent_parameter_is_none(void **state) {
    (void)state;
    expect_param("form-data", NULL);
    expect_param("form-data; name=\"filename=no\"; xfilename=no; filename", NULL);
    char *value;
    assert_true(
        vx_header_param("multipart/form-data; Charset=x; BOUNDARY=\"a b\"", "boundary", &value));
    assert_string_equal(value, "a b");
    free(value);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form_of_a_browser_is_split_into_its_parts),
        cmocka_unit_test(names_without_quotes_are_read),
        cmocka_unit_test(data_that_looks_like_a_boundary_is_data),
        cmocka_unit_test(blanks_behind_a_boundary_and_texts_around_the_parts_are_ignored),
        cmocka_unit_test(lines_that_end_with_newline_alone_are_read),
        cmocka_unit_test(part_without_bytes_is_empty),
        cmocka_unit_test(folded_and_other_headers_are_read_over),
        cmocka_unit_test(broken_form_is_named),
        cmocka_unit_test(headers_of_a_part_are_bounded),
        cmocka_unit_test(handler_that_refuses_ends_the_reading),
        cmocka_unit_test(escaped_quotes_belong_to_the_name),
        cmocka_unit_test(extended_name_wins),
        cmocka_unit_test(absent_parameter_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
