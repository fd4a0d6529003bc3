/* Memory that runs out while a request is read or answered: the n-th allocation fails, for every n. The
 * connection may end without a reply; the server goes on. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/http/body.h"
#include "api/http/http.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "base/log.h"
#include "server/server.h"

/* glibc's own, under the names that are left when a program defines malloc. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t n);

static atomic_int allocations_left = -1; /* -1 = memory is never out */
static atomic_int n_failed;
static _Thread_local bool is_main;

static bool memory_is_out(void) {
    if (is_main || atomic_load(&allocations_left) < 0)
        return false;
    if (atomic_fetch_sub(&allocations_left, 1) != 0)
        return false;
    atomic_fetch_add(&n_failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n) {
    return memory_is_out() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
    return memory_is_out() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *block, size_t n) {
    return memory_is_out() ? NULL : __libc_realloc(block, n);
}

/* ---- a server with two routes ---- */

static void run(vx_request *request) {
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "x", vx_request_value(request, "x"));
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static const vx_route rows[] = {
    {.method = "GET", .path = "/a/{id}", .accepts = VX_WHILE_STARTING, .params = "x", .run = run},
    {.method = "POST",
     .path = "/json",
     .accepts = VX_ACCEPT_JSON | VX_WHILE_STARTING,
     .params = "",
     .run = run},
    {.method = "GET", .path = "/later", .params = "", .run = run},
};
static const vx_routes routes = {rows, VX_LEN(rows)};

static vx_server *server;
static vx_http *http;

static int start(void **state) {
    (void)state;
    vx_err err;
    is_main = true;
    vx_log_set_level(VX_LOG_ERROR);
    assert_int_equal(vx_server_new(&(vx_server_params){.data_dir = "/nonexistent"}, &server, &err),
                     0);
    vx_http_params params = {
        .listen = "127.0.0.1:0", .threads = 2, .allow_origin = "https://a.example"};
    return vx_http_start(server, &routes, &params, &http, &err);
}

static int stop(void **state) {
    (void)state;
    http = vx_http_stop(http);
    server = vx_server_close(server);
    return 0;
}

/* The status of the reply; 0 if the connection ended without one. */
static int ask(const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)vx_http_port(http)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    char reply[4096];
    size_t n = 0;
    for (ssize_t got;
         n < sizeof reply - 1 && (got = recv(fd, reply + n, sizeof reply - 1 - n, 0)) > 0;)
        n += (size_t)got;
    reply[n] = '\0';
    close(fd);
    int status = 0;
    sscanf(reply, "HTTP/1.1 %d", &status);
    return status;
}

#define HEAD "\r\nHost: localhost\r\nConnection: close\r\nOrigin: https://a.example\r\n"

static void request_without_memory_ends_and_the_next_is_answered(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int status;
    } requests[] = {
        {"GET /a/b%20c?x=1 HTTP/1.1" HEAD "\r\n", 200},
        {"GET /nothing HTTP/1.1" HEAD "\r\n", 404},
        {"PUT /a/b HTTP/1.1" HEAD "Content-Length: 0\r\n\r\n", 405},
        {"OPTIONS /a/b HTTP/1.1" HEAD "\r\n", 204},
        {"GET /later HTTP/1.1" HEAD "\r\n", 503},
        {"GET /a/b?y=1 HTTP/1.1" HEAD "\r\n", 400},
        {"GET http://evil.example/a/b HTTP/1.1" HEAD "\r\n", 403},
        {"POST /json HTTP/1.1" HEAD "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n"
         "{\"a\":1}",
         200},
        {"POST /json HTTP/1.1" HEAD "Transfer-Encoding: gzip\r\n\r\n", 501},
    };
    for (size_t i = 0; i < VX_LEN(requests); i++) {
        assert_int_equal(ask(requests[i].text), requests[i].status);
        bool used_up = true;
        for (int n = 0; used_up && n < 300; n++) {
            atomic_store(&allocations_left, n);
            int status = ask(requests[i].text);
            used_up = atomic_exchange(&allocations_left, -1) < 0;
            if (status && status != requests[i].status && status != 500 && status != 503)
                fail_msg("request %zu, allocation %d: %d", i, n, status);
            assert_int_equal(ask(requests[i].text), requests[i].status);
        }
    }
    assert_true(atomic_load(&n_failed) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_without_memory_ends_and_the_next_is_answered),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
