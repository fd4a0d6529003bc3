/* events.c — GET /v1/jobs/{id}/events: a job's progress as server-sent events, until it ends. */
#include "api/http/events.h"

#include <stdlib.h>
#include <string.h>

#include "api/http/reply.h"
#include "api/resources/handlers.h"
#include "api/resources/jobs.h"
#include "base/mem.h"
#include "server/server.h"

#define LAST_ID "end" /* id of the last event: a client that has seen it need not reconnect */

typedef struct watch {
    vx_jobs *jobs; /* borrows */
    char id[VX_JOB_ID_CHARS + 1];
    bool sent; /* whether anything was; then also what: */
    vx_job_state state;
    vx_phase phase;
    int64_t done, total;
} watch;

static bool poll_job(void *ctx, vx_out *out) {
    watch *w = ctx;
    vx_job_view job = {0};
    vx_err err;
    if (vx_jobs_get(w->jobs, w->id, &job, &err))
        return false;
    bool ended = vx_jobs_has_ended(&job);
    if (!w->sent || job.state != w->state || job.phase != w->phase || job.done != w->done ||
        job.total != w->total) {
        VX_AUTO_OUT data = {0};
        vx_jobs_write(&data, &job);
        vx_out_text(out, "%s\ndata: %s\n\n", ended ? "event: end\nid: " LAST_ID : "event: progress",
                    data.failed ? "{}" : data.text);
        w->sent = true;
        w->state = job.state;
        w->phase = job.phase;
        w->done = job.done;
        w->total = job.total;
    }
    vx_job_view_clear(&job);
    return !ended;
}

void vx_jobs_events_get(vx_request *request) {
    vx_job_view job;
    if (!vx_jobs_find(request, &job))
        return;
    bool ended = vx_jobs_has_ended(&job);
    vx_job_view_clear(&job);
    const char *seen = vx_request_header(request, "Last-Event-ID");
    if (seen && !strcmp(seen, LAST_ID) && ended) {
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT); /* tells browsers not to reconnect */
        return;
    }
    watch *w = vx_new(watch);
    if (!w) {
        request->failed = true;
        return;
    }
    w->jobs = request->server->jobs;
    snprintf(w->id, sizeof w->id, "%s", request->args[0]);
    vx_events_reply(request, (vx_event_source){.poll = poll_job, .free = free, .ctx = w});
}
