/* request.h — one HTTP request from its first line to its access log line.
 *
 * Life (enum vx_request_phase): START (the request line was read) → BODY (headers judged, body
 * being read) → WAITING (suspended until vx_request_wake) → ANSWERED. As soon as a reply is set the
 * rest of the body is thrown away. The context is made by MHD's first callback and freed by its
 * completion callback and nowhere else; libmicrohttpd runs that one only after a suspended request
 * was resumed, so a context lives until the work it waits for has called back.
 *
 * Threads: the daemon thread of the connection; vx_request_wake from any thread.
 */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/out.h"
#include "base/err.h"
#include "store/store.h"

struct vx_http;
struct vx_server;
struct vx_body;
struct vx_route;

#define VX_REQUEST_MAX_ARGS 2
#define VX_REQUEST_MAX_VALUES 32
#define VX_REQUEST_ID_CHARS 36

typedef enum vx_request_phase {
    VX_REQUEST_START,
    VX_REQUEST_BODY,
    VX_REQUEST_WAITING,
    VX_REQUEST_ANSWERED,
} vx_request_phase;

typedef struct vx_value {
    char *name, *text; /* owned, valid UTF-8 */
} vx_value;

typedef struct vx_request {
    struct vx_http *http;
    struct vx_server *server; /* borrows */
    struct MHD_Connection *connection;
    const struct vx_route *route; /* NULL: none matched */
    vx_request_phase phase;
    char id[VX_REQUEST_ID_CHARS + 1];
    char *uri;                              /* as sent, still encoded */
    const char *method;                     /* borrows from MHD */
    char *args[VX_REQUEST_MAX_ARGS];        /* decoded {…} parts of the path, in order */
    vx_value values[VX_REQUEST_MAX_VALUES]; /* query parameters, then form fields */
    size_t n_values;
    struct vx_body *body;
    int64_t started_us, body_bytes;
    const char *param; /* the field that is being judged, for OpenAI's errors; NULL = none */
    char where[40]; /* which part of the body a refusal is about ("queries[3]"); "" = the whole */

    /* What a resource keeps while it waits, and how it is freed; set together. */
    void *state;
    void (*state_free)(void *state);
    void (*finish)(struct vx_request *request); /* builds the reply after a wake */

    struct MHD_Response *response; /* the reply, once there is one */
    unsigned status;
    int64_t reply_bytes;
    bool failed; /* not even a reply could be made: the connection is closed */
} vx_request;

/* Callbacks of the daemon (http.c installs them). */
void *vx_request_on_uri(void *http, const char *uri, struct MHD_Connection *connection);
enum MHD_Result vx_request_on_call(void *http, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload_data,
                                   size_t *upload_data_size, void **slot);
void vx_request_on_end(void *http, struct MHD_Connection *connection, void **slot,
                       enum MHD_RequestTerminationCode code);

const char *vx_request_header(const vx_request *request, const char *name); /* borrows or NULL */
/* The body's length as announced: -1 = not known (chunked), 0 = no body. */
int64_t vx_request_content_length(const vx_request *request);

/* Query parameter or form field; NULL when absent. Borrows. */
const char *vx_request_value(const vx_request *request, const char *name);
/* Takes text. Refuses (with a reply) names that `allowed` (space separated) lacks, repeated names,
 * too many. */
bool vx_request_add_value(vx_request *request, const char *allowed, const char *name, char *text);
bool vx_request_parse_query(vx_request *request);
/* Whether the space-separated list has the word. */
bool vx_word_in(const char *list, const char *word);
/* "a b c" as "a, b, c" for a person; too long a list is cut. Returns buffer. */
const char *vx_word_list(const char *words, char *buffer, size_t capacity);

/* Suspends the request. Call it before the work is submitted: the work may end at once. After
 * submitting, the handler touches nothing of the request. finish runs on the daemon's thread. */
void vx_request_wait(vx_request *request, void (*finish)(vx_request *request));
/* The work has ended; the caller must not touch the request afterwards. */
void vx_request_wake(vx_request *request);

/* Reading values; each false has set the reply; an absent one gives the fallback. */
bool vx_request_int(vx_request *request, const char *name, int64_t low, int64_t high,
                    int64_t fallback, int64_t *ret_value);
bool vx_request_number(vx_request *request, const char *name, double low, double high,
                       double fallback, double *ret_value);
/* words: space separated; gives the index of the one sent, `fallback` when absent. */
bool vx_request_choice(vx_request *request, const char *name, const char *words, int fallback,
                       int *ret_index);
