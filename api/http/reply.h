/* reply.h — sets the reply of a request. Only this module and errors.def know HTTP status numbers.
 *
 * A request has one reply. The first one that is set stays, so the first problem found is the one
 * that is reported. dispatch.c sends it.
 *
 * Threads: the daemon thread of the request.
 */
#pragma once

#include "api/http/out.h"
#include "api/http/request.h"
#include "base/err.h"
#include "base/outcome.h"

typedef enum vx_problem {
#define VX_PROBLEM(name, short_name, status, title, hint) VX_PROBLEM_##name,
#include "api/http/errors.def"
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

/* Takes the text of out, which is empty afterwards. */
void vx_reply_json(vx_request *request, vx_success success, vx_out *out);
void vx_reply_empty(vx_request *request, vx_success success);
/* 200 with constant bytes; borrows them for the life of the program. */
void vx_reply_static(vx_request *request, const void *bytes, size_t n, const char *content_type);
/* 200 with bytes from malloc; takes them. */
void vx_reply_bytes(vx_request *request, void *bytes, size_t n, const char *content_type);
/* Takes response (NULL: out of memory). bytes: for the log, -1 = not known. */
void vx_reply_response(vx_request *request, vx_success success, struct MHD_Response *response,
                       int64_t bytes);
/* Adds a header to the reply that was set; does nothing if there is none. */
void vx_reply_header(vx_request *request, const char *name, const char *value);

/* The detail is a sentence, or a module's message (lower case, no full stop) that becomes one.
 * fmt NULL: the title is the detail. */
void vx_reply_problem(vx_request *request, vx_problem problem, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* members: NULL, or an unfinished JSON object ("{…" without "}") whose members are added. Takes its
 * text. */
void vx_reply_problem_with(vx_request *request, vx_problem problem, vx_out *members,
                           const char *detail);
/* For any outcome but OK and EXISTING; err (or NULL) gives the detail. */
void vx_reply_outcome(vx_request *request, vx_outcome outcome, const vx_err *err);
/* For a negative code: logs it with its trail. 507 if the disk is full, else 500. */
void vx_reply_failure(vx_request *request, const vx_err *err);
/* 404 "Not found: no THING has the id ID." */
void vx_reply_not_found(vx_request *request, const char *thing, const char *id);

/* Writes an outcome as a problem object, for a reply that contains one (jobs). */
void vx_problem_write_outcome(vx_out *out, const char *key, vx_outcome outcome, const char *detail);
/* Writes the row of errors.def with this short name; false if there is none. */
bool vx_problem_write_named(vx_out *out, const char *short_name);
