/* form.h — multipart/form-data: streams the part `file`, and `rows` where the route has it, into uploads, and makes the other parts
 * values of the request.
 *
 * A fault sets the request's reply. Threads: the daemon thread of the request.
 */
#pragma once

#include "api/http/request.h"
#include "store/store.h"

typedef struct vx_form vx_form;

/* body_bytes: the announced length, -1 = not known. NULL: out of memory. */
vx_form *vx_form_new(vx_request *request, int64_t body_bytes);
vx_form *vx_form_free(vx_form *form);
void vx_form_feed(vx_form *form, const char *bytes, size_t n);
void vx_form_end(vx_form *form);
vx_upload *vx_form_take_upload(vx_form *form); /* gives */
vx_upload *vx_form_take_rows(vx_form *form);   /* gives; the part `rows`, NULL if there was none */
const char *vx_form_filename(const vx_form *form); /* borrows */
