#include "api/http/reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

typedef struct problem_row {
    const char *short_name;
    unsigned status;
    const char *title, *hint;
} problem_row;

static const problem_row problems[VX_PROBLEM_COUNT] = {
#define VX_PROBLEM(name, short_name, status, title, hint)                                          \
    [VX_PROBLEM_##name] = {short_name, status, title, hint},
#include "api/http/errors.def"
};

static const unsigned successes[] = {
    [VX_SUCCESS_OK] = 200,         [VX_SUCCESS_CREATED] = 201, [VX_SUCCESS_ACCEPTED] = 202,
    [VX_SUCCESS_NO_CONTENT] = 204, [VX_SUCCESS_PARTIAL] = 206, [VX_SUCCESS_NOT_MODIFIED] = 304,
};

static const vx_problem outcome_problems[] = {
    [VX_OUTCOME_DUPLICATE] = VX_PROBLEM_DUPLICATE,
    [VX_OUTCOME_MEDIA_UNSUPPORTED] = VX_PROBLEM_MEDIA_UNSUPPORTED,
    [VX_OUTCOME_MEDIA_NO_VIDEO] = VX_PROBLEM_MEDIA_NO_VIDEO,
    [VX_OUTCOME_MEDIA_DAMAGED] = VX_PROBLEM_MEDIA_DAMAGED,
    [VX_OUTCOME_MEDIA_TOO_LARGE] = VX_PROBLEM_MEDIA_TOO_LARGE,
    [VX_OUTCOME_BAD_REQUEST] = VX_PROBLEM_BAD_REQUEST,
    [VX_OUTCOME_NOT_FOUND] = VX_PROBLEM_NOT_FOUND,
    [VX_OUTCOME_WRONG_SPACE] = VX_PROBLEM_WRONG_SPACE,
    [VX_OUTCOME_IMPORT_REFUSED] = VX_PROBLEM_IMPORT_REFUSED,
    [VX_OUTCOME_BUSY] = VX_PROBLEM_BUSY,
    [VX_OUTCOME_NO_SPACE] = VX_PROBLEM_NO_SPACE,
    [VX_OUTCOME_CANCELLED] = VX_PROBLEM_CANCELLED,
    [VX_OUTCOME_STOPPING] = VX_PROBLEM_STOPPING,
    [VX_OUTCOME_INTERNAL] = VX_PROBLEM_INTERNAL,
};

#define RETRY_AFTER_S "2" /* long enough for any queue to advance */

/* ---- Setting the reply ---- */

static void set_reply(vx_request *request, unsigned status, struct MHD_Response *response,
                      int64_t bytes, const char *content_type) {
    if (!response) {
        request->failed = true;
        return;
    }
    request->response = response;
    request->status = status;
    request->reply_bytes = bytes;
    if (content_type)
        vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
}

void vx_reply_header(vx_request *request, const char *name, const char *value) {
    if (request->response && MHD_add_response_header(request->response, name, value) != MHD_YES)
        vx_log(VX_LOG_WARN, "http_header", "name=%s request_id=%s", name, request->id);
}

void vx_reply_response(vx_request *request, vx_success success, struct MHD_Response *response,
                       int64_t bytes) {
    if (request->response) {
        if (response)
            MHD_destroy_response(response);
        return;
    }
    set_reply(request, successes[success], response, bytes, NULL);
}

static void reply_text(vx_request *request, unsigned status, vx_out *out,
                       const char *content_type) {
    if (request->response) {
        vx_out_clear(out);
        return;
    }
    vx_out_bytes(out, "\n", 1); /* for terminals */
    if (out->failed) {
        request->failed = true;
        vx_out_clear(out);
        return;
    }
    size_t n = out->n;
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(n, out->text, free);
    if (!response)
        free(out->text);
    *out = (vx_out){0};
    set_reply(request, status, response, (int64_t)n, content_type);
}

void vx_reply_json(vx_request *request, vx_success success, vx_out *out) {
    reply_text(request, successes[success], out, "application/json");
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}

void vx_reply_empty(vx_request *request, vx_success success) {
    vx_reply_response(request, success,
                      MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT), 0);
}

void vx_reply_static(vx_request *request, const void *bytes, size_t n, const char *content_type) {
    if (request->response)
        return;
    set_reply(request, successes[VX_SUCCESS_OK],
              MHD_create_response_from_buffer(n, (void *)(uintptr_t)bytes, MHD_RESPMEM_PERSISTENT),
              (int64_t)n, content_type);
}

void vx_reply_bytes(vx_request *request, void *bytes, size_t n, const char *content_type) {
    struct MHD_Response *response =
        request->response ? NULL
                          : MHD_create_response_from_buffer_with_free_callback(n, bytes, free);
    if (!response)
        free(bytes);
    if (!request->response)
        set_reply(request, successes[VX_SUCCESS_OK], response, (int64_t)n, content_type);
}

/* ---- Problems ---- */

/* Whether the detail begins with the name of a parameter or field, whose case must not change. */
static bool begins_with_name(vx_problem problem, const char *detail) {
    size_t n = strspn(detail, "abcdefghijklmnopqrstuvwxyz_");
    return problem == VX_PROBLEM_BAD_PARAMETER || problem == VX_PROBLEM_BAD_JSON ||
           detail[n] == ':' || detail[n] == '[';
}

/* Modules write messages in lower case and without a full stop, so that context can be added on
 * both sides. This makes one a sentence. Without a detail, the title is the sentence. */
static const char *as_sentence(vx_problem problem, const char *detail, char *buffer,
                               size_t capacity) {
    const char *text = detail && *detail ? detail : problems[problem].title;
    size_t n = strlen(text);
    snprintf(buffer, capacity, "%s%s", text, strchr(".!?", text[n - 1]) ? "" : ".");
    if (buffer[0] >= 'a' && buffer[0] <= 'z' && !begins_with_name(problem, text))
        buffer[0] = (char)(buffer[0] - 'a' + 'A');
    return buffer;
}

static void write_problem(vx_out *out, vx_problem problem, const char *detail) {
    const problem_row *row = &problems[problem];
    char type[80], text[1000];
    snprintf(type, sizeof type, "/problems/%s", row->short_name);
    vx_out_string(out, "type", type);
    vx_out_string(out, "title", row->title);
    vx_out_int(out, "status", row->status);
    vx_out_string(out, "detail", as_sentence(problem, detail, text, sizeof text));
    if (row->hint[0])
        vx_out_string(out, "hint", row->hint);
}

/* {"error": {message, type, param, code}}, as OpenAI's API reports errors. */
static void reply_openai(vx_request *request, vx_problem problem, unsigned status,
                         const char *detail) {
    VX_AUTO_OUT out = {0};
    char text[1000];
    vx_out_begin(&out, NULL, '{');
    vx_out_begin(&out, "error", '{');
    vx_out_string(&out, "message", as_sentence(problem, detail, text, sizeof text));
    vx_out_string(&out, "type", status < 500 ? "invalid_request_error" : "server_error");
    vx_out_string(&out, "param", request->param);
    vx_out_string(&out, "code", problems[problem].short_name);
    vx_out_end(&out, '}');
    vx_out_end(&out, '}');
    reply_text(request, status, &out, "application/json");
}

static bool is_wrong_field(vx_problem problem) {
    return problem == VX_PROBLEM_BAD_PARAMETER || problem == VX_PROBLEM_MISSING_PARAMETER ||
           problem == VX_PROBLEM_UNKNOWN_PARAMETER;
}

static bool is_like_openai(const vx_request *request) {
    return request->route && (request->route->accepts & VX_LIKE_OPENAI);
}

void vx_reply_problem_with(vx_request *request, vx_problem problem, vx_out *members,
                           const char *detail) {
    const problem_row *row = &problems[problem];
    bool first = !request->response;
    if (is_like_openai(request)) {
        reply_openai(request, problem, is_wrong_field(problem) ? 422 : row->status, detail);
    } else {
        VX_AUTO_OUT out = {0};
        vx_out_begin(&out, NULL, '{');
        write_problem(&out, problem, detail);
        vx_out_string(&out, "request_id", request->id);
        if (members && members->n > 1)
            vx_out_text(&out, ",%s", members->text + 1); /* after its brace */
        vx_out_end(&out, '}');
        reply_text(request, row->status, &out, "application/problem+json");
    }
    if (members)
        vx_out_clear(members);
    if (!first)
        return;
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (row->status == MHD_HTTP_SERVICE_UNAVAILABLE)
        vx_reply_header(request, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_S);
}

void vx_reply_problem(vx_request *request, vx_problem problem, const char *fmt, ...) {
    char detail[1000] = "";
    if (fmt) {
        size_t n = 0;
        if (request->where[0])
            n = (size_t)snprintf(detail, sizeof detail, "%s: ", request->where);
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(detail + n, sizeof detail - n, fmt, ap);
        va_end(ap);
    }
    vx_reply_problem_with(request, problem, NULL, detail);
}

void vx_reply_failure(vx_request *request, const vx_err *err) {
    vx_outcome outcome = err->code < 0 ? vx_outcome_of_error(err->code, err) : VX_OUTCOME_INTERNAL;
    /* The message may contain paths of this machine, so it goes to the log and not to the client. */
    vx_log_failed(VX_LOG_ERROR, "failure", err, "request_id=%s code=%d at=%s:%d", request->id,
                  err->code, err->func ? err->func : "?", err->line);
    vx_reply_problem(request, outcome_problems[outcome], NULL);
}

void vx_reply_not_found(vx_request *request, const char *thing, const char *id) {
    char shown[80];
    vx_reply_problem(request, VX_PROBLEM_NOT_FOUND, "Not found: no %s has the id %s.", thing,
                     vx_log_quote(id, shown, sizeof shown));
}

void vx_reply_outcome(vx_request *request, vx_outcome outcome, const vx_err *err) {
    bool ran_out = outcome == VX_OUTCOME_BUSY && err && err->code < 0 && err->code != -EHOSTDOWN &&
                   vx_outcome_of_error(err->code, err) == VX_OUTCOME_BUSY;
    if (outcome == VX_OUTCOME_INTERNAL || ran_out)
        vx_reply_failure(request, err);
    else
        vx_reply_problem_with(request, outcome_problems[outcome], NULL, err ? err->msg : NULL);
}

void vx_problem_write_outcome(vx_out *out, const char *key, vx_outcome outcome,
                              const char *detail) {
    vx_out_begin(out, key, '{');
    write_problem(out, outcome_problems[outcome], detail);
    vx_out_end(out, '}');
}

bool vx_problem_write_named(vx_out *out, const char *short_name) {
    for (int i = 0; i < VX_PROBLEM_COUNT; i++) {
        if (strcmp(problems[i].short_name, short_name))
            continue;
        vx_out_begin(out, NULL, '{');
        write_problem(out, (vx_problem)i, NULL);
        vx_out_end(out, '}');
        return true;
    }
    return false;
}
