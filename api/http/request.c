#include "api/http/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/connection.h"
#include "api/http/daemon.h"
#include "base/clock.h"
#include "base/mem.h"

/* Splits "http://host:port/path?query" into authority and "/path?query". Other targets are left as they
 * are. False: out of memory. */
static bool read_target(vx_request *request, const char *target) {
    const char *rest = !strncasecmp(target, "http://", 7)    ? target + 7
                       : !strncasecmp(target, "https://", 8) ? target + 8
                                                             : NULL;
    if (!rest)
        return (request->uri = strdup(target));
    size_t n = strcspn(rest, "/?");
    request->authority = strndup(rest, n);
    if (asprintf(&request->uri, "%s%s", rest[n] == '/' ? "" : "/", rest + n) < 0)
        request->uri = NULL;
    return request->authority && request->uri;
}

vx_request *vx_request_new(struct vx_http *http, const char *target,
                           struct MHD_Connection *connection) {
    vx_request *request = vx_new(vx_request);
    if (!request || !read_target(request, target))
        return request ? vx_request_free(request) : NULL;
    request->http = http;
    request->server = http->server;
    request->connection = connection;
    request->started_us = vx_clock_monotonic_us();
    request->method = "";
    return request;
}

vx_request *vx_request_free(vx_request *request) {
    if (request->state_free)
        request->state_free(request->state);
    for (size_t i = 0; i < request->n_values; i++) {
        free(request->values[i].name);
        free(request->values[i].text);
    }
    for (int i = 0; i < VX_REQUEST_MAX_ARGS; i++)
        free(request->args[i]);
    if (request->response)
        MHD_destroy_response(request->response);
    free(request->uri);
    free(request->authority);
    free(request);
    return NULL;
}

const char *vx_request_authority(const vx_request *request) {
    return request->authority ? request->authority
                              : vx_request_header(request, MHD_HTTP_HEADER_HOST);
}

const char *vx_request_header(const vx_request *request, const char *name) {
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

typedef struct wanted {
    const char *name, *value;
    bool all;
} wanted;

static enum MHD_Result compare_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                      const char *value) {
    (void)kind;
    wanted *w = ctx;
    if (!strcasecmp(name, w->name))
        w->all &= value && !strcasecmp(value, w->value);
    return MHD_YES;
}

bool vx_request_headers_are(const vx_request *request, const char *name, const char *value) {
    wanted w = {name, value, true};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, compare_header, &w);
    return w.all;
}

int64_t vx_request_content_length(const vx_request *request) {
    if (vx_request_header(request, MHD_HTTP_HEADER_TRANSFER_ENCODING))
        return -1;
    const char *length = vx_request_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoll(length, NULL, 10) : 0; /* libmicrohttpd has checked the digits */
}

const char *vx_request_value(const vx_request *request, const char *name) {
    for (size_t i = 0; i < request->n_values; i++)
        if (!strcmp(request->values[i].name, name))
            return request->values[i].text;
    return NULL;
}

void vx_request_wait(vx_request *request, void (*finish)(vx_request *request)) {
    request->finish = finish;
    request->phase = VX_REQUEST_WAITING;
    atomic_fetch_add(&request->http->waiting, 1);
    vx_connection_watch(request->http->connections, request->connection, !request->is_http_1_0,
                        &request->client_left);
    MHD_suspend_connection(request->connection);
}

bool vx_request_client_left(void *ctx) {
    return atomic_load(&((vx_request *)ctx)->client_left);
}

void vx_request_wake(vx_request *request) {
    struct vx_http *http = request->http; /* once resumed, the request may be freed at any time */
    vx_connection_unwatch(http->connections, request->connection);
    MHD_resume_connection(request->connection);
    atomic_fetch_sub(&http->waiting, 1);
}
