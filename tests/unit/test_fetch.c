/* Which URLs and addresses are fetched from. Transfers that arrive somewhere are tested from outside
 * (tests/http/test_embeddings_urls.py); here nothing leaves the machine. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fetch/fetch.h"

static bool is_public(const char *text) {
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return vx_fetch_is_public((struct sockaddr *)&v4);
    if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        return vx_fetch_is_public((struct sockaddr *)&v6);
    fail_msg("%s is no address", text);
    return false;
}

/* long because it is one table. */
static void address_is_public_only_outside_the_special_ranges(void **state) {
    (void)state;
    static const char *const inside[] = {"0.0.0.0",
                                         "0.1.2.3",
                                         "10.0.0.1",
                                         "10.255.255.255",
                                         "100.64.0.1",
                                         "100.127.255.255",
                                         "127.0.0.1",
                                         "127.255.255.254",
                                         "169.254.169.254",
                                         "172.16.0.1",
                                         "172.31.255.255",
                                         "192.0.0.8",
                                         "192.0.2.1",
                                         "192.88.99.1",
                                         "192.168.0.1",
                                         "192.168.255.255",
                                         "198.18.0.1",
                                         "198.19.255.255",
                                         "198.51.100.7",
                                         "203.0.113.9",
                                         "224.0.0.1",
                                         "239.255.255.250",
                                         "240.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "::ffff:8.8.8.8",
                                         "::ffff:127.0.0.1",
                                         "::8.8.8.8",
                                         "64:ff9b::808:808",
                                         "64:ff9b:1::1",
                                         "100::1",
                                         "2001::1",
                                         "2001:0:1::1",
                                         "2001:db8::1",
                                         "2002:7f00:1::",
                                         "2002:808:808::1",
                                         "3fff::1",
                                         "fc00::1",
                                         "fd12:3456::1",
                                         "fe80::1",
                                         "febf::1",
                                         "fec0::1",
                                         "ff02::1",
                                         "4000::1",
                                         "1::1"};
    static const char *const outside[] = {
        "1.1.1.1",         "8.8.8.8",         "9.255.255.255",
        "11.0.0.0",        "100.63.255.255",  "100.128.0.0",
        "126.255.255.255", "128.0.0.0",       "169.253.255.255",
        "169.255.0.0",     "172.15.255.255",  "172.32.0.0",
        "192.0.1.0",       "192.0.3.0",       "192.167.255.255",
        "192.169.0.0",     "198.17.255.255",  "198.20.0.0",
        "223.255.255.255", "2001:200::1",     "2001:4860:4860::8888",
        "2003::1",         "2606:4700::1111", "2a00:1450::1",
        "3ffe::1"};
    for (size_t i = 0; i < VX_LEN(inside); i++)
        if (is_public(inside[i]))
            fail_msg("%s counts as public", inside[i]);
    for (size_t i = 0; i < VX_LEN(outside); i++)
        if (!is_public(outside[i]))
            fail_msg("%s does not count as public", outside[i]);
    struct sockaddr unix_socket = {.sa_family = AF_UNIX};
    assert_false(vx_fetch_is_public(&unix_socket));
}

static int take(void *ctx, const void *bytes, size_t n, vx_err *err) {
    (void)ctx, (void)bytes, (void)n, (void)err;
    fail_msg("nothing may arrive");
    return 0;
}

static void expect(const vx_fetch_params *params, const char *url, int code, const char *reason) {
    vx_err err = {0};
    VX_AUTO(vx_fetcher) fetcher = NULL;
    assert_int_equal(vx_fetcher_new(params, &fetcher, &err), 0);
    vx_fetch_call call = {.sink = take};
    int rc = vx_fetch_get(fetcher, url, &call, &err);
    if (rc != code || !strstr(err.msg, reason))
        fail_msg("%s: expected %d '%s', got %d: %s", url, code, reason, rc, err.msg);
}

static void url_that_is_not_allowed_is_refused_before_anything_is_sent(void **state) {
    (void)state;
    vx_fetch_params https = {.max_bytes = 1 << 20, .timeout_s = 2}, http = https, listed = http;
    http.allow_http = true;
    listed.allow_http = true;
    listed.hosts = "media.example.org, *.cdn.example.net";
    static const struct {
        const char *url, *reason;
    } rows[] = {
        {"http://example.org/a", "scheme must be https"},
        {"file:///etc/passwd", "the URL"},
        {"ftp://example.org/a", "scheme must be https"},
        {"gopher://example.org/a", "scheme must be https"},
        {"scp://example.org/a", "scheme must be https"},
        {"https://user:secret@example.org/", "user name or password"},
        {"https://user@example.org/", "user name or password"},
        {"https://:secret@example.org/", "user name or password"},
        {"", "not a valid URL"},
        {"example.org/clip.mp4", "not a valid URL"},
        {"https://exa mple.org/", "not a valid URL"},
        {"https://127.0.0.1:1/", "no public address"},
        {"https://localhost:1/", "no public address"},
        {"https://[::1]:1/", "no public address"},
        {"https://[::ffff:127.0.0.1]:1/", "no public address"},
        {"https://169.254.169.254/latest/meta-data/", "no public address"},
        {"https://2130706433:1/", "no public address"},
        {"https://0x7f.1:1/", "no public address"},
        {"https://0177.0.0.1:1/", "no public address"},
        {"https://0/", "no public address"},
    };
    for (size_t i = 0; i < VX_LEN(rows); i++)
        expect(&https, rows[i].url, VX_FETCH_REFUSED, rows[i].reason);
    expect(&http, "http://127.0.0.1:1/", VX_FETCH_REFUSED, "no public address");
    expect(&http, "ftp://example.org/", VX_FETCH_REFUSED, "https or http");
    expect(&listed, "http://example.org/", VX_FETCH_REFUSED, "example.org is not among");
    expect(&listed, "http://cdn.example.net/", VX_FETCH_REFUSED, "is not among");
    expect(&listed, "http://evilcdn.example.net/", VX_FETCH_REFUSED, "is not among");
    expect(&listed, "http://media.example.org.evil.net/", VX_FETCH_REFUSED, "is not among");
    expect(&listed, "http://xmedia.example.org/", VX_FETCH_REFUSED, "is not among");
}

static void private_host_is_tried_only_by_the_name_that_was_allowed(void **state) {
    (void)state;
    vx_fetch_params params = {
        .allow_http = true, .private_hosts = "127.0.0.1", .max_bytes = 1 << 20, .timeout_s = 2};
    expect(&params, "http://127.0.0.1:1/", VX_FETCH_FAILED, "127.0.0.1");
    expect(&params, "http://localhost:1/", VX_FETCH_REFUSED, "no public address");
    params.hosts = "example.org";
    expect(&params, "http://127.0.0.1:1/", VX_FETCH_FAILED, "127.0.0.1");
}

static void proxies_of_the_environment_are_not_asked(void **state) {
    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("HTTPS_PROXY", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    vx_fetch_params params = {.allow_http = true, .max_bytes = 1 << 20, .timeout_s = 2};
    /* A proxy would have the name looked up elsewhere and its own address judged. */
    expect(&params, "http://nothing.invalid/", VX_FETCH_FAILED, "resolve host");
    unsetenv("http_proxy");
    unsetenv("HTTPS_PROXY");
    unsetenv("ALL_PROXY");
}

static void call_without_time_left_is_too_slow(void **state) {
    (void)state;
    vx_fetch_params params = {.max_bytes = 1, .timeout_s = 0.0001};
    expect(&params, "https://example.org/", VX_FETCH_TOO_SLOW, "too slow");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_is_public_only_outside_the_special_ranges),
        cmocka_unit_test(url_that_is_not_allowed_is_refused_before_anything_is_sent),
        cmocka_unit_test(private_host_is_tried_only_by_the_name_that_was_allowed),
        cmocka_unit_test(proxies_of_the_environment_are_not_asked),
        cmocka_unit_test(call_without_time_left_is_too_slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
