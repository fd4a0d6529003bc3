/* body.h — reads the body of a request, in one of the ways that its route accepts.
 *
 *   JSON       collected up to max_json_bytes (max_embeddings_json_bytes if the route follows
 *              OpenAI's API) and parsed at the end; while jansson parses, a body takes four times
 *              its size
 *   multipart  the part `file` streams into a vx_upload, other parts become request values
 *   raw        streams into a vx_upload
 *
 * A fault sets the request's reply. Threads: the daemon thread of the request.
 */
#pragma once

#include <jansson.h>

#include "api/http/request.h"
#include "store/store.h"

typedef struct vx_body vx_body;

/* Checks the headers. A client that sent "Expect: 100-continue" does not send a body that is refused
 * here. */
void vx_body_begin(vx_request *request);
void vx_body_feed(vx_request *request, const char *bytes, size_t n);
void vx_body_end(vx_request *request);
/* Of the request; NULL-safe. */
void vx_body_free(vx_request *request);

/* The parsed object; borrows. NULL if the body was a form. */
json_t *vx_body_json(const vx_request *request);
/* The uploaded file, not sealed; gives it once. NULL if there was none. */
vx_upload *vx_body_take_upload(vx_request *request);
/* The second file of a form, as above (VX_ACCEPT_ROWS). */
vx_upload *vx_body_take_rows(const vx_request *request);
/* The file name from the multipart part, once that has begun; borrows, NULL if there is none. */
const char *vx_body_filename(const vx_request *request);
