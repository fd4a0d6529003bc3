/* reply.h — answers. The only file that knows HTTP's status numbers, with errors.def.
 *
 * Each vx_reply_* sets the request's one reply; what was set before wins, so the first problem
 * found is the one that is told. Threads: the daemon thread of the request.
 */
#pragma once

#include "api/out.h"
#include "api/request.h"
#include "base/outcome.h"

typedef enum vx_problem {
#define VX_PROBLEM(name, short_name, status, title, hint) VX_PROBLEM_##name,
#include "api/errors.def"
    VX_PROBLEM_COUNT
} vx_problem;

typedef enum vx_success {
    VX_SUCCESS_OK,
    VX_SUCCESS_CREATED,
    VX_SUCCESS_ACCEPTED,
    VX_SUCCESS_NO_CONTENT,
    VX_SUCCESS_PARTIAL,
    VX_SUCCESS_NOT_MODIFIED,
} vx_success;

/* Takes what out holds (out is empty afterwards). */
void vx_reply_json(vx_request *request, vx_success success, vx_out *out);
void vx_reply_empty(vx_request *request, vx_success success);
/* Constant bytes: borrows for the life of the program. */
void vx_reply_static(vx_request *request, const void *bytes, size_t n, const char *content_type);
/* Takes malloc'ed bytes. */
void vx_reply_bytes(vx_request *request, void *bytes, size_t n, const char *content_type);
/* Takes response (NULL: the reply could not be made); bytes: for the log, -1 = not known. */
void vx_reply_response(vx_request *request, vx_success success, struct MHD_Response *response,
                       int64_t bytes);
/* Adds a header to the reply that was set. */
void vx_reply_header(vx_request *request, const char *name, const char *value);

/* fmt NULL: the row's title is the detail. */
void vx_reply_problem(vx_request *request, vx_problem problem, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* members: NULL, or an unfinished JSON object ("{…" without "}") whose members are added; takes. */
void vx_reply_problem_with(vx_request *request, vx_problem problem, vx_out *members,
                           const char *detail);
/* For outcomes that are neither OK nor EXISTING; err gives the sentence. */
void vx_reply_outcome(vx_request *request, vx_outcome outcome, const vx_err *err);
/* For a negative code: logged with its trail, 507 when the disk is full, else 500. */
void vx_reply_failure(vx_request *request, const vx_err *err);
/* For a code of the catalog: there is no such `thing` ("video"), or a failure. */
void vx_reply_code(vx_request *request, int rc, const char *thing, const vx_err *err);

/* "/problems/…" of an outcome, for places that show a problem inside another answer (jobs). */
void vx_problem_write_outcome(vx_out *out, const char *key, vx_outcome outcome, const char *detail);
/* The row behind a short name as a document; false when there is none. */
bool vx_problem_write_named(vx_out *out, const char *short_name);

/* Sends the reply that was set; MHD_NO closes the connection. */
enum MHD_Result vx_reply_send(vx_request *request);
