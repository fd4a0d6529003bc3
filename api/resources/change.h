/* change.h — a request that changes something through the writer, and waits for it suspended.
 *
 *   if (vx_change_begin(request, finish))
 *       vx_change_refuse(request, vx_commit_…(…, vx_change_done, request));
 *
 * Threads: the daemon thread of the request; vx_change_done from any.
 */
#pragma once

#include "api/http/request.h"
#include "base/err.h"
#include "base/outcome.h"

/* Suspends the request. False: out of memory. finish calls vx_change_succeeded first. */
bool vx_change_begin(vx_request *request, void (*finish)(vx_request *request));
/* Takes what submitting returned. OK: does nothing, the request now waits for the writer. Any
 * other outcome ends the wait. */
void vx_change_refuse(vx_request *request, vx_outcome refused);
/* Called by the writer when the work has ended; ctx is the request. */
void vx_change_done(void *ctx, int rc, const vx_err *err);
/* The same for work that created or found a job. */
void vx_change_done_as_job(void *ctx, int rc, const char *job_id, const vx_err *err);

/* False: a problem is the reply. thing ("video"): what was not found if it is a 404. */
bool vx_change_succeeded(vx_request *request, const char *thing);
const char *vx_change_job_id(const vx_request *request); /* borrows */
