/* jobs.h — the job that a request names, and jobs as JSON. Threads: the daemon thread of the request;
 * vx_jobs_write: any. */
#pragma once

#include <stdbool.h>

#include "api/http/out.h"
#include "api/http/request.h"
#include "jobs/jobs.h"

/* The job whose id is args[0]; false after a reply. Free *ret_job with vx_job_view_clear. */
bool vx_jobs_find(vx_request *request, vx_job_view *ret_job);
/* Whether it is done, failed or cancelled; or parked, so that nothing more happens by itself. */
bool vx_jobs_has_ended(const vx_job_view *job);
/* Replies 202 with a job that was just created, and its address in Location. */
void vx_jobs_reply_accepted(vx_request *request, const char *job_id, const char *kind);
/* Writes the job object. */
void vx_jobs_write(vx_out *out, const vx_job_view *job);
