/* request.h — one HTTP request: its data, and access to its headers and parameters.
 *
 * Life (vx_request_phase): START (request line read) → BODY (headers checked, body arriving) →
 * READ (all has arrived) → WAITING (suspended until vx_request_wake) → ANSWERED. dispatch.c drives it. Once a reply is set,
 * the rest of the body is discarded. A request lives until libmicrohttpd's completion callback,
 * which never runs while the connection is suspended: a request that waits for work outlives it.
 *
 * Threads: the daemon thread of the connection; vx_request_wake and _client_left from any thread.
 */
#pragma once

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http/route.h"

struct vx_http;
struct vx_server;
struct vx_body;

#define VX_REQUEST_MAX_ARGS 2
#define VX_REQUEST_MAX_VALUES 32
#define VX_REQUEST_ID_CHARS 36

typedef enum vx_request_phase {
    VX_REQUEST_START,
    VX_REQUEST_BODY,
    VX_REQUEST_READ,
    VX_REQUEST_WAITING,
    VX_REQUEST_ANSWERED,
} vx_request_phase;

typedef struct vx_value {
    char *name, *text; /* owned, valid UTF-8 */
} vx_value;

typedef struct vx_request {
    struct vx_http *http;     /* borrows */
    struct vx_server *server; /* borrows */
    struct MHD_Connection *connection;
    const vx_route *route; /* NULL: none matched */
    vx_request_phase phase;
    char id[VX_REQUEST_ID_CHARS + 1];
    char *uri;                              /* owned; path and query, percent-encoded */
    char *authority;                        /* owned; of a target in absolute form, else NULL */
    const char *method;                     /* borrows from libmicrohttpd */
    bool is_http_1_0;                       /* then it need not have a Host header */
    char *args[VX_REQUEST_MAX_ARGS];        /* owned; the {…} segments in order, decoded */
    vx_value values[VX_REQUEST_MAX_VALUES]; /* query parameters, then form fields */
    size_t n_values;
    struct vx_body *body; /* body.h; owned by dispatch.c */
    int64_t started_us, body_bytes;
    const char *param; /* the field that is being checked, for OpenAI's errors; NULL = none */
    char where[40];    /* the part of the body that a refusal is about ("queries[3]"); "" = all */

    /* What a resource keeps while it waits, and how to free it; set both together. */
    void *state;
    void (*state_free)(void *state);
    void (*finish)(struct vx_request *request); /* builds the reply after a wake */

    atomic_bool client_left; /* while it waited (connection.h) */

    struct MHD_Response *response; /* the reply, once it is set */
    unsigned status;
    int64_t reply_bytes;
    bool crowded; /* more requests are in work than there may be: only what is quick is answered */
    bool failed;  /* out of memory, no reply is possible: the connection is closed */
} vx_request;

/* target: of the request line; borrows. NULL: out of memory. */
vx_request *vx_request_new(struct vx_http *http, const char *target,
                           struct MHD_Connection *connection);
/* Frees all but body. Returns NULL. */
vx_request *vx_request_free(vx_request *request);

/* The host[:port] that the client asks: of the target if that is in absolute form ("GET http://host/…"),
 * else the Host header (RFC 9112, 3.2.2). Borrows; NULL if there is none. */
const char *vx_request_authority(const vx_request *request);
/* A header of the request; borrows, NULL if absent. */
const char *vx_request_header(const vx_request *request, const char *name);
/* Whether every header of this name has this value, in any case; also if there is none. */
bool vx_request_headers_are(const vx_request *request, const char *name, const char *value);
/* Announced length of the body: -1 = not known (chunked), 0 = no body. */
int64_t vx_request_content_length(const vx_request *request);
/* A query parameter or form field; borrows, NULL if absent. */
const char *vx_request_value(const vx_request *request, const char *name);

/* Suspends the request; finish runs later, on the daemon's thread. Call it before submitting the
 * work, which may end at once. After submitting, the handler must not touch the request. */
void vx_request_wait(vx_request *request, void (*finish)(vx_request *request));
/* Whether the client of a request that waits has closed its connection: the work may end early. ctx: the
 * vx_request. Any thread, until the wake. */
bool vx_request_client_left(void *ctx);
/* The work has ended. The caller must not touch the request afterwards. */
void vx_request_wake(vx_request *request);
