/* route.h — the table of addresses: what each accepts and who answers it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "api/request.h"

/* Kinds of body that a route takes; 0 = none (one that is sent is ignored). */
#define VX_ACCEPT_JSON 1
#define VX_ACCEPT_FORM 2 /* multipart/form-data with one part `file` */
#define VX_ACCEPT_RAW 4  /* any other content type: the bytes are the file */
/* Beside a kind: as OpenAI's API has it. Problems are its error object, wrong fields 422, and the
 * body may have max_embeddings_json_bytes. */
#define VX_LIKE_OPENAI 8

/* Beside a kind or none: also answered before the server is ready, so its parts are not touched. */
#define VX_WHILE_STARTING 16

typedef struct vx_route {
    const char *method;
    const char *path;                 /* {name} stands for one non-empty segment */
    int accepts;                      /* VX_ACCEPT_… */
    const char *params;               /* query parameters it knows, space separated */
    const char *fields;               /* form fields it knows, beside `file` */
    void (*run)(vx_request *request); /* the body is complete: replies or waits */
} vx_route;

/* Sets request->route and args, or a reply (404, 405 with Allow, 204 for OPTIONS). */
void vx_route_find(vx_request *request);

size_t vx_route_count(void);
const vx_route *vx_route_at(size_t index);
/* The index of a route of the table. */
size_t vx_route_index(const vx_route *route);
