#include "api/http/incoming.h"

#include "api/http/reply.h"
#include "server/server.h"

static bool succeeded(vx_request *request, int rc, const vx_err *err) {
    if (rc > 0)
        vx_reply_problem(request, VX_PROBLEM_BODY_TOO_LARGE, "%s", err->msg);
    else if (rc)
        vx_reply_failure(request, err);
    return !rc;
}

bool vx_incoming_begin(vx_request *request, int64_t expected_bytes, vx_upload **ret_upload) {
    vx_err err;
    int rc = vx_upload_begin(request->server->store, expected_bytes, ret_upload, &err);
    return succeeded(request, rc, &err);
}

bool vx_incoming_write(vx_request *request, vx_upload *upload, const char *bytes, size_t n) {
    vx_err err;
    int rc = vx_upload_write(upload, bytes, n, &err);
    return succeeded(request, rc, &err);
}
