/* job_show.h — the job object. Threads: any. */
#pragma once

#include "api/out.h"
#include "jobs.h"

void vx_job_show(vx_out *out, const char *key, const vx_job_view *job);
