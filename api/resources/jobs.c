/* jobs.c — GET /v1/jobs, GET and DELETE /v1/jobs/{id}, POST /v1/jobs/{id}/retry, POST /v1/reread. */
#include "api/resources/jobs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/resources/change.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "server/server.h"

#define MAX_LIST 500

static const char *const states[] = {
    [VX_JOB_QUEUED] = "queued", [VX_JOB_RUNNING] = "running",     [VX_JOB_DONE] = "done",
    [VX_JOB_FAILED] = "failed", [VX_JOB_CANCELLED] = "cancelled", [VX_JOB_PARKED] = "parked",
};

bool vx_jobs_find(vx_request *request, vx_job_view *ret_job) {
    vx_err err;
    *ret_job = (vx_job_view){0};
    int rc = vx_jobs_get(request->server->jobs, request->args[0], ret_job, &err);
    if (rc == VX_CATALOG_NOT_FOUND)
        vx_reply_not_found(request, "job", request->args[0]);
    else if (rc)
        vx_reply_failure(request, &err);
    return !rc;
}

bool vx_jobs_has_ended(const vx_job_view *job) {
    return job->state != VX_JOB_QUEUED && job->state != VX_JOB_RUNNING;
}

void vx_jobs_write(vx_out *out, const vx_job_view *job) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "id", job->id);
    vx_out_string(out, "kind", job->kind);
    vx_out_string(out, "state", states[job->state]);
    vx_out_string(out, "phase", vx_phase_name(job->phase));
    vx_out_int(out, "done", job->done);
    vx_out_int(out, "total", job->total);
    vx_out_number(out, "eta_s", round(job->eta_s * 10) / 10); /* only an estimate */
    vx_show_time(out, "created_at", job->created_us);
    vx_show_time(out, "finished_at", job->finished_us);
    vx_out_int(out, "attempts", job->tries.attempts);
    vx_show_time(out, "next_try_at", job->state == VX_JOB_QUEUED ? job->tries.next_try_us : 0);
    vx_out_string(out, "last_error", job->last_error);
    vx_out_string(out, "filename", job->filename);
    vx_out_string(out, "video_id", job->video_id[0] ? job->video_id : NULL);
    vx_out_string(out, "model", job->model);
    vx_out_json(out, "report", job->report ? job->report : "null");
    if (job->state == VX_JOB_FAILED || job->state == VX_JOB_CANCELLED ||
        job->state == VX_JOB_PARKED)
        vx_problem_write_outcome(out, "problem", job->outcome, job->message);
    else
        vx_out_string(out, "problem", NULL);
    vx_out_end(out, '}');
}

void vx_jobs_reply_accepted(vx_request *request, const char *job_id, const char *kind) {
    VX_AUTO_OUT out = {0};
    char location[64];
    snprintf(location, sizeof location, "/v1/jobs/%s", job_id);
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "id", job_id);
    vx_out_string(&out, "kind", kind);
    vx_out_string(&out, "state", "queued");
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_ACCEPTED, &out);
    vx_reply_header(request, MHD_HTTP_HEADER_LOCATION, location);
}

void vx_jobs_one_get(vx_request *request) {
    vx_job_view job;
    if (!vx_jobs_find(request, &job))
        return;
    VX_AUTO_OUT out = {0};
    vx_jobs_write(&out, &job);
    vx_job_view_clear(&job);
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static void finish_cancel(vx_request *request) {
    if (vx_change_succeeded(request, "job"))
        vx_jobs_one_get(request);
}

void vx_jobs_one_delete(vx_request *request) {
    if (vx_change_begin(request, finish_cancel))
        vx_change_refuse(request, vx_jobs_cancel(request->server->jobs, request->args[0],
                                                 vx_change_done, request));
}

static void finish_retry(vx_request *request) {
    if (vx_change_code(request) == VX_JOBS_ENDED) {
        vx_reply_problem(request, VX_PROBLEM_JOB_ENDED, NULL);
        return;
    }
    vx_job_view job;
    if (!vx_change_succeeded(request, "job") || !vx_jobs_find(request, &job))
        return;
    VX_AUTO_OUT out = {0};
    vx_jobs_write(&out, &job);
    vx_job_view_clear(&job);
    vx_reply_json(request, VX_SUCCESS_ACCEPTED, &out);
}

void vx_jobs_retry_post(vx_request *request) {
    if (vx_change_begin(request, finish_retry))
        vx_change_refuse(request, vx_jobs_retry(request->server->jobs, request->args[0],
                                                vx_change_done, request));
}

/* False: a problem is the reply. */
static bool read_state(vx_request *request, int *ret_state) {
    const char *text = vx_request_value(request, "state");
    *ret_state = VX_JOBS_ANY;
    for (size_t i = 0; text && i < VX_LEN(states); i++)
        if (!strcmp(text, states[i]))
            *ret_state = (int)i;
    if (text && *ret_state == VX_JOBS_ANY)
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "state must be queued, running, done, failed, cancelled or parked.");
    return !text || *ret_state != VX_JOBS_ANY;
}

void vx_jobs_list_get(vx_request *request) {
    const char *cursor = vx_request_value(request, "cursor");
    int64_t limit, total = -1;
    int count, state;
    if (!vx_params_int(request, "limit", 1, MAX_LIST, 50, &limit) ||
        !vx_params_choice(request, "count", "false true", 0, &count) ||
        !read_state(request, &state))
        return;
    vx_job_view *jobs = NULL;
    size_t n = 0, page = (size_t)limit;
    vx_err err;
    /* One more than the page, to see whether there is a next one. */
    int rc =
        vx_jobs_list(request->server->jobs, cursor ? cursor : "", state, page + 1, &jobs, &n, &err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "cursor must be the value of next in the previous page.");
        return;
    }
    if (!rc && count)
        rc = vx_catalog_count_jobs_in(request->server->catalog, state, &total, &err);
    VX_AUTO_OUT out = {0};
    vx_out_begin_items(&out);
    for (size_t i = 0; i < n && i < page; i++)
        vx_jobs_write(&out, &jobs[i]);
    vx_out_end_items(&out, n > page ? jobs[page - 1].id : NULL);
    if (count)
        vx_out_int(&out, "total", total);
    vx_out_end(&out, '}');
    for (size_t i = 0; i < n; i++)
        vx_job_view_clear(&jobs[i]);
    free(jobs);
    if (rc)
        vx_reply_failure(request, &err);
    else
        vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static void finish_reread(vx_request *request) {
    if (vx_change_succeeded(request, "video"))
        vx_jobs_reply_accepted(request, vx_change_job_id(request), "reread");
}

void vx_reread_post(vx_request *request) {
    if (vx_change_begin(request, finish_reread))
        vx_change_refuse(request, vx_backfill_submit(request->server->backfill, NULL,
                                                     vx_change_done_as_job, request));
}
