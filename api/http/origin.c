#include "api/http/origin.h"

#include <string.h>
#include <strings.h>

#include "api/http/daemon.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/mem.h"

/* "http://host:port" → "host:port"; NULL when it is not an http(s) origin. */
static const char *authority_of(const char *origin) {
    if (!strncasecmp(origin, "http://", 7))
        return origin + 7;
    if (!strncasecmp(origin, "https://", 8))
        return origin + 8;
    return NULL;
}

/* Length of the host in host[:port]; [v6] keeps its brackets. */
static size_t host_length(const char *authority) {
    if (*authority == '[') {
        const char *close = strchr(authority, ']');
        return close ? (size_t)(close - authority) + 1 : strlen(authority);
    }
    return strcspn(authority, ":");
}

static bool same_host(const char *authority, const char *name) {
    size_t n = host_length(authority);
    return n == strlen(name) && !strncasecmp(authority, name, n);
}

static bool names_this_machine(const char *authority) {
    static const char *const names[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < VX_LEN(names); i++)
        if (same_host(authority, names[i]))
            return true;
    return false;
}

static bool is_permitted_host(const vx_request *request, const char *authority) {
    const char *origin = request->http->allow_origin;
    const char *permitted = origin ? authority_of(origin) : NULL;
    if (!permitted)
        return false;
    size_t n = host_length(permitted);
    return n == host_length(authority) && !strncasecmp(authority, permitted, n);
}

static bool check_host(vx_request *request) {
    const char *host = vx_request_header(request, MHD_HTTP_HEADER_HOST);
    /* HTTP/1.0 clients may send none; browsers always do. */
    if (!request->http->loopback || !host || names_this_machine(host) ||
        is_permitted_host(request, host))
        return true;
    vx_reply_problem(request, VX_PROBLEM_HOST_NOT_ALLOWED, NULL);
    return false;
}

static bool is_own_origin(const vx_request *request, const char *origin) {
    const char *host = vx_request_header(request, MHD_HTTP_HEADER_HOST);
    const char *authority = authority_of(origin);
    return host && authority && !strcasecmp(authority, host);
}

static bool is_permitted_origin(const vx_request *request, const char *origin) {
    const char *permitted = request->http->allow_origin;
    return permitted && !strcasecmp(permitted, origin);
}

static bool check_origin(vx_request *request) {
    if (vx_word_in("GET HEAD OPTIONS", request->method))
        return true;
    const char *origin = vx_request_header(request, MHD_HTTP_HEADER_ORIGIN);
    const char *site = vx_request_header(request, "Sec-Fetch-Site");
    bool allowed;
    if (origin)
        allowed = is_own_origin(request, origin) || is_permitted_origin(request, origin);
    else
        allowed = !site || !strcmp(site, "same-origin") || !strcmp(site, "none");
    if (!allowed)
        vx_reply_problem(request, VX_PROBLEM_CROSS_ORIGIN, NULL);
    return allowed;
}

bool vx_origin_check(vx_request *request) {
    return check_host(request) && check_origin(request);
}

void vx_origin_add_headers(vx_request *request) {
    if (!request->http->allow_origin)
        vx_reply_header(request, "Cross-Origin-Resource-Policy", "same-origin");
    const char *origin = vx_request_header(request, MHD_HTTP_HEADER_ORIGIN);
    if (!origin || !is_permitted_origin(request, origin))
        return;
    vx_reply_header(request, "Access-Control-Allow-Origin", request->http->allow_origin);
    vx_reply_header(request, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
    vx_reply_header(request, "Access-Control-Allow-Headers", "Content-Type, Range, X-Request-Id");
    vx_reply_header(request, "Access-Control-Expose-Headers",
                    "Content-Range, ETag, Location, Retry-After, X-Request-Id");
    vx_reply_header(request, MHD_HTTP_HEADER_VARY, "Origin");
}
