/* indexes.c — /v1/metadata-indexes: the fields of the metadata that filters find in memory. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/out.h"
#include "api/http/reply.h"
#include "api/resources/change.h"
#include "api/resources/filters.h"
#include "api/resources/handlers.h"
#include "server/server.h"

static void write_index(vx_out *out, const vx_filter_column_state *state) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "field", state->field);
    vx_out_string(out, "state", state->missing ? "building" : "ready");
    vx_out_int(out, "videos", state->videos);
    vx_out_int(out, "missing", state->missing);
    vx_out_int(out, "long_values", state->long_values);
    vx_out_int(out, "bytes", (int64_t)state->bytes);
    vx_out_end(out, '}');
}

void vx_indexes_get(vx_request *request) {
    VX_AUTO_FREE vx_filter_column_state *states = NULL;
    size_t n;
    vx_err err;
    if (vx_filter_columns_list(request->server->collection->columns, &states, &n, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_begin(&out, "items", '[');
    for (size_t i = 0; i < n; i++)
        write_index(&out, &states[i]);
    vx_out_end(&out, ']');
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static void finish(vx_request *request) {
    if (vx_change_succeeded(request, "index"))
        vx_indexes_get(request);
}

/* The field at place i of the list; NULL after a reply. */
static const char *read_field(vx_request *request, json_t *list, size_t i) {
    char place[32];
    vx_err err;
    const char *field = json_string_value(json_array_get(list, i));
    snprintf(place, sizeof place, "/fields/%zu", i);
    if (field && !vx_filter_check_metadata_field(field, &err))
        return field;
    vx_filters_refuse(request, place, field ? err.msg : "a field must be a string");
    return NULL;
}

void vx_indexes_put(vx_request *request) {
    json_t *body = vx_body_json(request), *list = json_object_get(body, "fields");
    size_t n = json_array_size(list);
    const char *fields[VX_FILTER_MAX_DECLARED];
    if (!vx_json_only(request, body, "fields"))
        return;
    if (!json_is_array(list) || n > VX_FILTER_MAX_DECLARED) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "fields must be an array of at most %d fields of the metadata.",
                         VX_FILTER_MAX_DECLARED);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!(fields[i] = read_field(request, list, i)))
            return;
    if (vx_change_begin(request, finish))
        vx_change_refuse(request, vx_library_set_indexes(request->server->library, fields, n,
                                                         vx_change_done, request));
}
