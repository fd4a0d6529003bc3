/* change.h — a request that changes something through the committer, and waits for it suspended.
 *
 *   if (vx_change_begin(request, finish))
 *       vx_change_refuse(request, vx_commit_…(…, vx_change_done, request));
 *
 * Threads: the daemon thread of the request; vx_change_done from any.
 */
#pragma once

#include "api/request.h"
#include "base/outcome.h"

/* Suspends the request; false after a failure. finish begins with vx_change_succeeded. */
bool vx_change_begin(vx_request *request, void (*finish)(vx_request *request));
/* What submitting said. OK: nothing is done, the request is the committer's now. Else it ends. */
void vx_change_refuse(vx_request *request, vx_outcome refused);
/* The end of the work, as the committer calls it: ctx is the request. */
void vx_change_done(void *ctx, int rc, const vx_err *err);
/* The same, when the work was to make or find a job. */
void vx_change_done_as_job(void *ctx, int rc, const char *job_id, const vx_err *err);

/* False: a problem is the reply. thing ("video") for what is not found. */
bool vx_change_succeeded(vx_request *request, const char *thing);
const char *vx_change_job_id(const vx_request *request); /* borrows */
