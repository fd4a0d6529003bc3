/* route.h — what a route is: an address, what it accepts, and the function that answers it.
 *
 * Only types. The table is made above (by whoever has the resources) and is given to
 * vx_http_start. Threads: any (constant data).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct vx_request;

/* Body kinds that a route reads; 0 = none (a body that is sent anyway is ignored). */
#define VX_ACCEPT_JSON 1
#define VX_ACCEPT_FORM 2 /* multipart/form-data with one part named `file` */
#define VX_ACCEPT_RAW 4  /* any other content type: the body is the file */
/* Added to VX_ACCEPT_FORM: there may be a second file, `rows`. */
#define VX_ACCEPT_ROWS 64
/* Added to a kind: the route follows OpenAI's API. Problems become its error object, wrong fields
 * are 422, and the body may be up to max_embeddings_json_bytes long. */
#define VX_LIKE_OPENAI 8
/* Added to any: also answered before the server is ready, so run must not use its modules. */
#define VX_WHILE_STARTING 16
/* Added to any: supervisors call it all the time, so it is logged at debug. */
#define VX_PROBE 32

typedef struct vx_route {
    const char *method;
    const char *path;                        /* {name} stands for one non-empty segment */
    int accepts;                             /* VX_ACCEPT_… */
    const char *params;                      /* its query parameters, space separated */
    const char *fields;                      /* its form fields besides `file`, space separated */
    void (*run)(struct vx_request *request); /* called with the whole body: replies or waits */
    /* Checks the values that are there, before the body is read and after each form field, so that a
     * client need not send a body that is refused. False: a reply is set. NULL: nothing to check. */
    bool (*check)(struct vx_request *request);
} vx_route;

typedef struct vx_routes {
    const vx_route *items; /* [n] */
    size_t n;
} vx_routes;
