#include "api/http/body.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/daemon.h"
#include "api/http/form.h"
#include "api/http/incoming.h"
#include "api/http/json.h"
#include "api/http/reply.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/server.h"

struct vx_body {
    int kind;   /* the VX_ACCEPT_… it is read as; 0 = ignored */
    char *text; /* JSON, as far as it has arrived */
    size_t n_text, capacity;
    size_t n_booked; /* its share of http->large_json_bytes */
    json_t *json;
    vx_form *form;
    vx_upload *upload; /* raw */
};

void vx_body_free(vx_request *request) {
    vx_body *body = vx_take(request->body);
    if (!body)
        return;
    atomic_fetch_sub(&request->http->large_json_bytes, body->n_booked);
    free(body->text);
    json_decref(body->json);
    vx_form_free(body->form);
    vx_upload_free(body->upload);
    free(body);
}

/* ---- Kinds ---- */

static bool is_json(const char *type, size_t n) {
    return (n == 16 && !strncasecmp(type, "application/json", 16)) ||
           (n > 5 && !strncasecmp(type + n - 5, "+json", 5));
}

static int choose_kind(int accepts, const char *content_type) {
    const char *type = content_type ? content_type : "";
    size_t n = strcspn(type, "; \t");
    if ((accepts & VX_ACCEPT_FORM) && n == 19 && !strncasecmp(type, "multipart/form-data", n))
        return VX_ACCEPT_FORM;
    if ((accepts & VX_ACCEPT_JSON) && is_json(type, n))
        return VX_ACCEPT_JSON;
    if (n > 10 && !strncasecmp(type, "multipart/", 10))
        return 0; /* a form of another kind is no file either */
    return accepts & VX_ACCEPT_RAW;
}

static void refuse_type(vx_request *request, int accepts) {
    const char *wanted;
    switch (accepts & (VX_ACCEPT_FORM | VX_ACCEPT_RAW)) {
    case VX_ACCEPT_FORM | VX_ACCEPT_RAW:
        wanted = "multipart/form-data, or the type of the file that is the body";
        break;
    case VX_ACCEPT_RAW:
        wanted = "the type of the file: the body is the file itself and not a form";
        break;
    case VX_ACCEPT_FORM:
        wanted = "application/json, or multipart/form-data with a part named file";
        break;
    default:
        wanted = "application/json (curl: -H 'Content-Type: application/json')";
    }
    vx_reply_problem(request, VX_PROBLEM_BAD_CONTENT_TYPE, "Content-Type must be %s.", wanted);
}

/* Refuses a part of a file, which must not be taken for the whole (RFC 9110, 14.5), and bodies that are
 * compressed. */
static bool is_whole_and_plain(vx_request *request) {
    if (vx_request_header(request, MHD_HTTP_HEADER_CONTENT_RANGE)) {
        vx_reply_problem(request, VX_PROBLEM_BAD_REQUEST,
                         "Content-Range is not supported: send the whole file in one request.");
        return false;
    }
    if (!vx_request_headers_are(request, MHD_HTTP_HEADER_CONTENT_ENCODING, "identity")) {
        const char *encoding = vx_request_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING);
        char shown[80];
        vx_reply_problem(request, VX_PROBLEM_BAD_CONTENT_TYPE,
                         "The Content-Encoding %s is not supported: send the body uncompressed.",
                         vx_log_quote(encoding, shown, sizeof shown));
        vx_reply_header(request, MHD_HTTP_HEADER_ACCEPT_ENCODING, "identity");
        return false;
    }
    return true;
}

static size_t json_limit(const vx_request *request) {
    const vx_http_params *params = &request->http->params;
    bool may_be_large = request->route->accepts & VX_LIKE_OPENAI;
    return may_be_large && params->max_embeddings_json_bytes > params->max_json_bytes
               ? params->max_embeddings_json_bytes
               : params->max_json_bytes;
}

static void refuse_length(vx_request *request) {
    vx_reply_problem(request, VX_PROBLEM_BODY_TOO_LARGE,
                     "The limit for a JSON body here is %zu bytes.", json_limit(request));
}

/* Bodies over max_json_bytes share one allowance, however many connections there are. */
static bool book(vx_request *request, size_t capacity) {
    vx_body *body = request->body;
    struct vx_http *http = request->http;
    if (capacity <= http->params.max_json_bytes)
        return true;
    size_t more = capacity - body->n_booked;
    size_t before = atomic_fetch_add(&http->large_json_bytes, more);
    body->n_booked = capacity;
    if (before + more <= 2 * http->params.max_embeddings_json_bytes)
        return true;
    vx_reply_problem(request, VX_PROBLEM_BUSY, "Too many large bodies are arriving at the moment.");
    return false;
}

/* ---- Reading ---- */

void vx_body_begin(vx_request *request) {
    int accepts = request->route->accepts;
    vx_body *body = request->body = vx_new(vx_body);
    if (!body) {
        request->failed = true;
        return;
    }
    int64_t length = vx_request_content_length(request);
    if (!(accepts & (VX_ACCEPT_JSON | VX_ACCEPT_FORM | VX_ACCEPT_RAW)) ||
        !is_whole_and_plain(request))
        return;
    body->kind = choose_kind(accepts, vx_request_header(request, MHD_HTTP_HEADER_CONTENT_TYPE));
    if (body->kind == VX_ACCEPT_FORM)
        body->form = vx_form_new(request, length);
    else if (body->kind == VX_ACCEPT_RAW && length != 0)
        vx_incoming_begin(request, length, &body->upload);
    else if (body->kind == VX_ACCEPT_JSON && length > (int64_t)json_limit(request))
        refuse_length(request);
    else if (!body->kind)
        refuse_type(request, accepts);
}

static void feed_json(vx_request *request, const char *bytes, size_t n) {
    vx_body *body = request->body;
    size_t limit = json_limit(request);
    if (n > limit - body->n_text) {
        refuse_length(request);
        return;
    }
    if (body->n_text + n > body->capacity) {
        int64_t length = vx_request_content_length(request);
        size_t capacity = (body->n_text + n) * 2;
        if (length >= (int64_t)(body->n_text + n) && (size_t)length < capacity)
            capacity = (size_t)length;
        capacity = capacity < limit ? capacity : limit;
        if (!book(request, capacity))
            return;
        char *text = vx_regrow(body->text, capacity, 1);
        if (!text) {
            request->failed = true;
            return;
        }
        body->text = text;
        body->capacity = capacity;
    }
    memcpy(body->text + body->n_text, bytes, n);
    body->n_text += n;
}

void vx_body_feed(vx_request *request, const char *bytes, size_t n) {
    switch (request->body->kind) {
    case VX_ACCEPT_JSON:
        feed_json(request, bytes, n);
        break;
    case VX_ACCEPT_FORM:
        vx_form_feed(request->body->form, bytes, n);
        break;
    case VX_ACCEPT_RAW:
        vx_incoming_write(request, request->body->upload, bytes, n);
        break;
    default:
        break; /* ignored */
    }
}

void vx_body_end(vx_request *request) {
    vx_body *body = request->body;
    if (body->kind == VX_ACCEPT_JSON) {
        body->json = vx_json_parse(request, "The body", body->text ? body->text : "", body->n_text);
        free(vx_take(body->text));
    }
    if (body->kind == VX_ACCEPT_FORM)
        vx_form_end(body->form);
    if (body->kind == VX_ACCEPT_RAW && !request->body_bytes)
        vx_reply_problem(request, VX_PROBLEM_FILE_MISSING, "The request has no body.");
}

json_t *vx_body_json(const vx_request *request) {
    return request->body->json;
}

vx_upload *vx_body_take_upload(vx_request *request) {
    vx_body *body = request->body;
    return body->form ? vx_form_take_upload(body->form) : vx_take(body->upload);
}

vx_upload *vx_body_take_rows(const vx_request *request) {
    return request->body->form ? vx_form_take_rows(request->body->form) : NULL;
}

const char *vx_body_filename(const vx_request *request) {
    return request->body && request->body->form ? vx_form_filename(request->body->form) : NULL;
}
