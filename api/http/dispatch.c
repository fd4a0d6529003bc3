#include "api/http/dispatch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "api/http/body.h"
#include "api/http/connection.h"
#include "api/http/daemon.h"
#include "api/http/origin.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/router.h"
#include "api/http/traffic.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/server.h"

/* Adds the headers that every reply has, and hands it to libmicrohttpd. MHD_NO closes the
 * connection. */
static enum MHD_Result send_reply(vx_request *request) {
    request->phase = VX_REQUEST_ANSWERED;
    if (!request->response)
        return MHD_NO;
    vx_reply_header(request, "X-Request-Id", request->id);
    vx_reply_header(request, "X-Content-Type-Options", "nosniff");
    vx_origin_add_headers(request);
    if (atomic_load(&request->http->stopping) || request->crowded)
        vx_reply_header(request, MHD_HTTP_HEADER_CONNECTION, "close");
    return MHD_queue_response(request->connection, request->status, request->response);
}

/* ---- Start: request line and headers ---- */

void *vx_dispatch_on_uri(void *cls, const char *uri, struct MHD_Connection *connection) {
    struct vx_http *http = cls;
    vx_request *request = vx_request_new(http, uri, connection);
    if (request)
        atomic_fetch_add(&http->active, 1);
    return request;
}

/* The client's own id if it is safe in a log and a header, else a random one. */
static void choose_id(vx_request *request) {
    const char *sent = vx_request_header(request, "X-Request-Id");
    static const char accepted[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789._-";
    size_t n = sent ? strlen(sent) : 0;
    if (n >= 1 && n <= VX_REQUEST_ID_CHARS && strspn(sent, accepted) == n) {
        memcpy(request->id, sent, n + 1);
        return;
    }
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = (uint64_t)vx_clock_monotonic_us();
    snprintf(request->id, sizeof request->id, "%016llx", (unsigned long long)random);
}

/* libmicrohttpd decodes chunked; any other transfer coding would be stored as part of the body. */
static bool has_unknown_encoding(const vx_request *request) {
    return !vx_request_headers_are(request, MHD_HTTP_HEADER_TRANSFER_ENCODING, "chunked");
}

/* If a connection is closed while it holds unread bytes, the kernel sends a reset, and the reply may
 * be lost on its way. So an early reply goes out at once only if no body follows: there is none, or
 * the client waits for "100 Continue". */
static bool may_reply_before_body(const vx_request *request) {
    if (request->crowded)
        return true; /* its place is needed */
    if (has_unknown_encoding(request))
        return true; /* nobody can tell where its body ends */
    const char *expect = vx_request_header(request, MHD_HTTP_HEADER_EXPECT);
    return vx_request_content_length(request) == 0 ||
           (expect && !strcasecmp(expect, "100-continue"));
}

/* Everything that can be judged by request line and headers. A refusal sets the reply. */
static void judge_head(vx_request *request) {
    if (atomic_load(&request->http->stopping)) {
        vx_reply_problem(request, VX_PROBLEM_STOPPING, NULL);
        return;
    }
    if (has_unknown_encoding(request)) {
        vx_reply_problem(request, VX_PROBLEM_NOT_IMPLEMENTED,
                         "The only Transfer-Encoding that this server reads is chunked.");
        vx_reply_header(request, MHD_HTTP_HEADER_CONNECTION, "close");
        return;
    }
    if (!vx_origin_check(request))
        return;
    vx_router_find(request);
    if (!request->route || request->response || request->failed)
        return;
    if (request->crowded && !(request->route->accepts & VX_PROBE))
        vx_reply_problem(request, VX_PROBLEM_BUSY, "Too many requests are open at the moment.");
    else if (!(request->route->accepts & VX_WHILE_STARTING) &&
             !atomic_load(&request->server->ready))
        vx_reply_problem(request, VX_PROBLEM_NOT_READY, NULL);
    else if (vx_params_parse_query(request) && vx_params_check(request))
        vx_body_begin(request);
}

static enum MHD_Result on_start(vx_request *request, const char *method, const char *version) {
    request->method = method;
    request->is_http_1_0 = !strcmp(version, "HTTP/1.0");
    request->phase = VX_REQUEST_BODY;
    request->crowded = !vx_connection_has_headers(request->http->connections, request->connection);
    choose_id(request);
    judge_head(request);
    if (request->failed)
        return MHD_NO;
    if (request->response && may_reply_before_body(request))
        return send_reply(request);
    return MHD_YES;
}

/* ---- Body ---- */

/* The idle timeout only ends connections on which nothing moves. One that sends a byte now and then
 * would stay open for ever, and so would the file that its body goes to. */
static bool is_too_slow(const vx_request *request) {
    enum { SLOWEST_BYTES_PER_S = 256 };
    int64_t s = (vx_clock_monotonic_us() - request->started_us) / 1000000;
    return s > request->http->params.idle_timeout_s &&
           request->body_bytes < s * SLOWEST_BYTES_PER_S;
}

static enum MHD_Result on_body(vx_request *request, const char *bytes, size_t *n) {
    if (*n) {
        request->body_bytes += (int64_t)*n;
        if (is_too_slow(request)) {
            vx_log(VX_LOG_WARN, "slow",
                   "request_id=%s in=%lld message=\"closed: the body arrived too slowly\"",
                   request->id, (long long)request->body_bytes);
            return MHD_NO;
        }
        if (!request->response)
            vx_body_feed(request, bytes, *n);
        *n = 0;
        return request->failed ? MHD_NO : MHD_YES;
    }
    if (!request->response)
        vx_body_end(request);
    if (request->response || request->failed)
        return send_reply(request);
    request->phase = VX_REQUEST_READ;
    return MHD_YES;
}

/* Not before libmicrohttpd has called once more: only between two calls it notes that there is nothing more to
 * read. A connection that is suspended before that is read when it is resumed, and closed without an
 * answer if the client has ended its sending (0.9.75). */
static enum MHD_Result on_read(vx_request *request) {
    request->route->run(request);
    return request->phase == VX_REQUEST_WAITING ? MHD_YES : send_reply(request);
}

enum MHD_Result vx_dispatch_on_call(void *http, struct MHD_Connection *connection, const char *url,
                                    const char *method, const char *version, const char *bytes,
                                    size_t *n, void **slot) {
    (void)http, (void)connection, (void)url;
    vx_request *request = *slot;
    if (!request)
        return MHD_NO; /* out of memory in vx_dispatch_on_uri */
    switch (request->phase) {
    case VX_REQUEST_START:
        return on_start(request, method, version);
    case VX_REQUEST_BODY:
        return on_body(request, bytes, n);
    case VX_REQUEST_READ:
        return on_read(request);
    case VX_REQUEST_WAITING:
        request->finish(request);
        return send_reply(request);
    case VX_REQUEST_ANSWERED:
        break;
    }
    return MHD_NO;
}

/* ---- End ---- */

static void log_access(const vx_request *request, int64_t us) {
    char path[512];
    size_t n = strcspn(request->uri, "?");
    VX_AUTO_FREE char *only_path = strndup(request->uri, n < 400 ? n : 400);
    bool probe = request->route && (request->route->accepts & VX_PROBE);
    vx_log(probe ? VX_LOG_DEBUG : VX_LOG_INFO, "http",
           "method=%s path=%s status=%u ms=%.1f in=%lld out=%lld request_id=%s", request->method,
           vx_log_quote(only_path ? only_path : "", path, sizeof path), request->status,
           (double)us / 1000.0, (long long)request->body_bytes, (long long)request->reply_bytes,
           request->id);
}

void vx_dispatch_on_end(void *cls, struct MHD_Connection *connection, void **slot,
                        enum MHD_RequestTerminationCode code) {
    struct vx_http *http = cls;
    vx_request *request = *slot;
    vx_connection_request_ended(http->connections, connection);
    if (!request)
        return;
    int64_t us = vx_clock_monotonic_us() - request->started_us;
    /* Status 0 stays for what libmicrohttpd answered itself, before the first callback. */
    if (atomic_load(&request->client_left) ||
        (request->phase != VX_REQUEST_ANSWERED && code != MHD_REQUEST_TERMINATED_COMPLETED_OK))
        request->status = VX_STATUS_CLIENT_LEFT;
    size_t route =
        request->route ? (size_t)(request->route - http->routes->items) : http->routes->n;
    vx_traffic_count(http->traffic, route, request->status, us);
    log_access(request, us);
    *slot = NULL;
    vx_body_free(request);
    vx_request_free(request);
    atomic_fetch_sub(&http->active, 1);
}
