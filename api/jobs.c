/* jobs.c — GET /v1/jobs, GET and DELETE /v1/jobs/{id}. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/change.h"
#include "api/reply.h"
#include "api/resources.h"
#include "api/show.h"
#include "server/server.h"

#define MAX_LIST 500

static const char *state_name(vx_job_state state) {
    static const char *const names[] = {
        [VX_JOB_QUEUED] = "queued", [VX_JOB_RUNNING] = "running",     [VX_JOB_DONE] = "done",
        [VX_JOB_FAILED] = "failed", [VX_JOB_CANCELLED] = "cancelled",
    };
    return names[state];
}

void vx_jobs_write(vx_out *out, const vx_job_view *job) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "id", job->id);
    vx_out_string(out, "kind", job->kind);
    vx_out_string(out, "state", state_name(job->state));
    vx_out_string(out, "phase", vx_phase_name(job->phase));
    vx_out_int(out, "done", job->done);
    vx_out_int(out, "total", job->total);
    vx_out_number(out, "eta_s", round(job->eta_s * 10) / 10); /* an estimate */
    vx_show_time(out, "created_at", job->created_us);
    vx_show_time(out, "finished_at", job->finished_us);
    vx_out_string(out, "filename", job->filename);
    vx_out_string(out, "video_id", job->video_id[0] ? job->video_id : NULL);
    vx_out_string(out, "model", job->model);
    vx_out_json(out, "report", job->report ? job->report : "null");
    if (job->state == VX_JOB_FAILED || job->state == VX_JOB_CANCELLED)
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
    vx_job_view job = {0};
    vx_err err;
    int rc = vx_jobs_get(request->server->jobs, request->args[0], &job, &err);
    if (rc) {
        vx_reply_code(request, rc, "job", &err);
        return;
    }
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

static void write_page(vx_out *out, const vx_job_view *jobs, size_t n, size_t limit) {
    vx_out_begin(out, NULL, '{');
    vx_out_begin(out, "items", '[');
    for (size_t i = 0; i < n && i < limit; i++)
        vx_jobs_write(out, &jobs[i]);
    vx_out_end(out, ']');
    vx_out_string(out, "next", n > limit ? jobs[limit - 1].id : NULL);
    vx_out_end(out, '}');
}

void vx_jobs_list_get(vx_request *request) {
    const char *cursor = vx_request_value(request, "cursor");
    int64_t limit;
    if (!vx_request_int(request, "limit", 1, MAX_LIST, 50, &limit))
        return;
    vx_job_view *jobs = NULL;
    size_t n = 0;
    vx_err err;
    int rc = vx_jobs_list(request->server->jobs, cursor ? cursor : "", (size_t)limit + 1, &jobs, &n,
                          &err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "cursor must be the value of next in the page before.");
        return;
    }
    if (rc) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    write_page(&out, jobs, n, (size_t)limit);
    for (size_t i = 0; i < n; i++)
        vx_job_view_clear(&jobs[i]);
    free(jobs);
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}
