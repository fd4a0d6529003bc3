/* incoming.h — writes the bytes of a request's body into a vx_upload.
 *
 * Every false has set the request's reply: too large, no room on the disk, or a failure.
 * Threads: the daemon thread of the request.
 */
#pragma once

#include "api/http/request.h"
#include "store/store.h"

/* expected_bytes: the announced length, -1 = not known. Gives *ret_upload. */
bool vx_incoming_begin(vx_request *request, int64_t expected_bytes, vx_upload **ret_upload);
bool vx_incoming_write(vx_request *request, vx_upload *upload, const char *bytes, size_t n);
