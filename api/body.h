/* body.h — reads a request's body by the kinds its route accepts.
 *
 *   JSON       collected up to max_json_bytes (max_embeddings_json_bytes where the route says so),
 *              parsed at the end; while jansson parses, a body takes four times its size
 *   multipart  the part `file` streams into a vx_upload, other parts become request values
 *   raw        streams into a vx_upload
 *
 * Every fault sets a problem reply. Threads: the daemon thread of the request.
 */
#pragma once

#include <jansson.h>

#include "api/request.h"

typedef struct vx_body vx_body;

/* Judges the headers: after a reply set here a client that asked with Expect: 100-continue does
 * not send the body at all. */
void vx_body_begin(vx_request *request);
void vx_body_feed(vx_request *request, const char *bytes, size_t n);
void vx_body_end(vx_request *request);
vx_body *vx_body_free(vx_body *body, struct vx_http *http);

/* The parsed object; borrows. NULL when the body was a form. */
json_t *vx_body_json(const vx_request *request);
/* The uploaded file, not sealed; gives it (once), NULL when there was none. */
vx_upload *vx_body_take_upload(vx_request *request);
/* The file's name as the multipart part said; borrows, NULL when it said none. */
const char *vx_body_filename(const vx_request *request);

/* For form.c. */
bool vx_body_upload_begin(vx_request *request, int64_t expected_bytes, vx_upload **ret_upload);
bool vx_body_upload_write(vx_request *request, vx_upload *upload, const char *bytes, size_t n);
