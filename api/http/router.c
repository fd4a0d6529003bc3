#include "api/http/router.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/http/daemon.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "base/log.h"

typedef struct segment {
    const char *text; /* borrows */
    size_t n;
} segment;

/* Reads the next /segment at *p; false at the end of the path. */
static bool next_segment(const char **p, segment *ret_segment) {
    if (**p != '/')
        return false;
    size_t n = strcspn(*p + 1, "/?");
    *ret_segment = (segment){*p + 1, n};
    *p += 1 + n;
    return true;
}

/* Whether the encoded path fits the pattern. Gives its {…} segments in args, still encoded. */
static bool path_fits(const char *pattern, const char *uri, segment args[VX_REQUEST_MAX_ARGS]) {
    segment want, have;
    int n = 0;
    while (next_segment(&pattern, &want)) {
        if (!next_segment(&uri, &have))
            return false;
        if (want.n && *want.text == '{') {
            if (!have.n || n == VX_REQUEST_MAX_ARGS)
                return false;
            args[n++] = have;
        } else if (want.n != have.n || memcmp(want.text, have.text, want.n)) {
            return false;
        }
    }
    return !*uri || *uri == '?';
}

static bool method_fits(const char *want, const char *have) {
    return !strcmp(want, have) || (!strcmp(have, "HEAD") && !strcmp(want, "GET"));
}

/* The first pattern that fits the path; NULL: none does. Rows with another one are no address of it: what stands
 * as a word in an earlier row is no {id} of a later one. */
static const char *find_pattern(const vx_routes *routes, const char *uri) {
    for (size_t i = 0; i < routes->n; i++) {
        segment args[VX_REQUEST_MAX_ARGS] = {0};
        if (path_fits(routes->items[i].path, uri, args))
            return routes->items[i].path;
    }
    return NULL;
}

/* Writes "GET, HEAD, POST": the methods of the routes that fit the path. "" if none does. */
static void list_methods(const vx_routes *routes, const char *uri, char *ret_list,
                         size_t capacity) {
    const char *pattern = find_pattern(routes, uri);
    size_t n = 0;
    ret_list[0] = '\0';
    for (size_t i = 0; i < routes->n && pattern; i++) {
        if (strcmp(routes->items[i].path, pattern))
            continue;
        const char *method = routes->items[i].method;
        n += (size_t)snprintf(ret_list + n, capacity - n, "%s%s", n ? ", " : "",
                              strcmp(method, "GET") ? method : "GET, HEAD");
    }
}

static void answer_without_route(vx_request *request) {
    char allow[128] = "GET, HEAD, POST, PUT, PATCH, DELETE";
    bool whole_server = !strcmp(request->uri, "*") && !strcmp(request->method, "OPTIONS");
    if (!whole_server)
        list_methods(request->http->routes, request->uri, allow, sizeof allow);
    if (!allow[0]) {
        char path[400];
        vx_reply_problem(request, VX_PROBLEM_NO_ROUTE, "Not found: there is no address %s.",
                         vx_log_quote(request->uri, path, sizeof path));
        return;
    }
    if (!strcmp(request->method, "OPTIONS"))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
    else
        vx_reply_problem(request, VX_PROBLEM_METHOD_NOT_ALLOWED, "This address allows: %s.", allow);
    vx_reply_header(request, MHD_HTTP_HEADER_ALLOW, allow);
}

void vx_router_find(vx_request *request) {
    const vx_routes *routes = request->http->routes;
    const char *pattern = find_pattern(routes, request->uri);
    for (size_t i = 0; i < routes->n && pattern; i++) {
        segment args[VX_REQUEST_MAX_ARGS] = {0};
        if (!method_fits(routes->items[i].method, request->method) ||
            strcmp(routes->items[i].path, pattern) || !path_fits(pattern, request->uri, args))
            continue;
        request->route = &routes->items[i];
        for (int k = 0; k < VX_REQUEST_MAX_ARGS && args[k].text; k++) {
            request->args[k] = vx_percent_decode(args[k].text, args[k].n, false);
            if (request->args[k])
                continue;
            request->failed = errno == ENOMEM;
            if (!request->failed)
                vx_reply_problem(request, VX_PROBLEM_BAD_URI,
                                 "The path is not percent-encoded UTF-8.");
            return;
        }
        return;
    }
    answer_without_route(request);
}
