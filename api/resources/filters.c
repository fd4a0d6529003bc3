#include "api/resources/filters.h"

#include <string.h>

#include "api/http/json.h"
#include "api/http/out.h"
#include "api/http/reply.h"

void vx_filters_refuse(vx_request *request, const char *pointer, const char *why) {
    vx_out members = {0};
    vx_out_begin(&members, NULL, '{');
    vx_out_string(&members, "pointer", pointer);
    vx_reply_problem_with(request, VX_PROBLEM_BAD_FILTER, &members, why);
}

bool vx_filters_read(vx_request *request, const json_t *json, const json_t *also, const char *place,
                     vx_filter **ret_filter) {
    char pointer[VX_FILTER_POINTER_BYTES], whole[VX_FILTER_POINTER_BYTES + 64];
    vx_err err;
    if (!json && !also)
        return true;
    int rc = vx_filter_parse(json ? json : also, json ? also : NULL, ret_filter, pointer, &err);
    if (rc == VX_FILTER_BAD) {
        snprintf(whole, sizeof whole, "%s%s", place, pointer);
        vx_filters_refuse(request, whole, err.msg);
    } else if (rc) {
        request->failed = true;
    }
    return !rc;
}

bool vx_filters_read_value(vx_request *request, const json_t *also, vx_filter **ret_filter) {
    const char *text = vx_request_value(request, "filter");
    if (!text)
        return vx_filters_read(request, NULL, also, "", ret_filter);
    if (strlen(text) > VX_FILTER_MAX_BYTES) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "filter must be at most %d bytes of JSON.", VX_FILTER_MAX_BYTES);
        return false;
    }
    json_t *json = vx_json_parse(request, "filter", text, strlen(text));
    bool fine = json && vx_filters_read(request, json, also, "", ret_filter);
    json_decref(json);
    return fine;
}
