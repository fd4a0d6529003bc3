#include "api/resources/change.h"

#include <stdio.h>

#include "api/http/reply.h"
#include "base/mem.h"
#include "catalog/catalog.h"

typedef struct change {
    vx_outcome refused; /* OK: the work ran, and rc is valid */
    int rc;
    vx_err err;
    char job_id[VX_JOB_ID_CHARS + 1];
} change;

bool vx_change_begin(vx_request *request, void (*finish)(vx_request *request)) {
    request->state = vx_new(change);
    request->state_free = free;
    if (!request->state) {
        request->failed = true;
        return false;
    }
    vx_request_wait(request, finish);
    return true;
}

void vx_change_refuse(vx_request *request, vx_outcome refused) {
    if (!refused)
        return;
    ((change *)request->state)->refused = refused;
    vx_request_wake(request);
}

void vx_change_done(void *ctx, int rc, const vx_err *err) {
    vx_change_done_as_job(ctx, rc, "", err);
}

void vx_change_done_as_job(void *ctx, int rc, const char *job_id, const vx_err *err) {
    vx_request *request = ctx;
    change *c = request->state;
    c->rc = rc;
    if (rc)
        c->err = *err;
    snprintf(c->job_id, sizeof c->job_id, "%s", job_id);
    vx_request_wake(request);
}

bool vx_change_succeeded(vx_request *request, const char *thing) {
    const change *c = request->state;
    if (c->refused == VX_OUTCOME_BUSY)
        vx_reply_problem(request, VX_PROBLEM_BUSY, "Too many changes are waiting to be written.");
    else if (c->refused == VX_OUTCOME_STOPPING)
        vx_reply_problem(request, VX_PROBLEM_STOPPING, NULL);
    else if (c->refused)
        request->failed = true;
    else if (c->rc == VX_CATALOG_NOT_FOUND)
        vx_reply_not_found(request, thing, request->args[0]);
    else if (c->rc)
        vx_reply_failure(request, &c->err);
    return !c->refused && !c->rc;
}

int vx_change_code(const vx_request *request) {
    return ((const change *)request->state)->rc;
}

const char *vx_change_job_id(const vx_request *request) {
    return ((const change *)request->state)->job_id;
}
