#include "api/route.h"

#include <string.h>

#include "api/daemon.h"
#include "api/reply.h"
#include "api/resources.h"
#include "api/text.h"
#include "base/log.h"
#include "base/mem.h"

#define UPLOAD_FIELDS "metadata clip on_duplicate wait"
#define SEARCH_FIELDS "k min_score group_by model"

static const vx_route routes[] = {
    {"POST", "/v1/videos", VX_ACCEPT_FORM | VX_ACCEPT_RAW, "filename " UPLOAD_FIELDS,
     "filename " UPLOAD_FIELDS, vx_videos_post},
    {"GET", "/v1/videos", 0, "limit cursor filename verdict", "", vx_videos_list},
    /* Its {id} is the file's name; two names for one segment would be two paths in OpenAPI. */
    {"PUT", "/v1/videos/{id}", VX_ACCEPT_RAW, UPLOAD_FIELDS, "", vx_videos_put},
    {"GET", "/v1/videos/{id}", 0, "", "", vx_videos_get},
    {"PATCH", "/v1/videos/{id}", VX_ACCEPT_JSON, "", "", vx_videos_patch},
    {"DELETE", "/v1/videos/{id}", 0, "", "", vx_videos_delete},
    {"GET", "/v1/videos/{id}/content", 0, "", "", vx_content_get},
    {"GET", "/v1/videos/{id}/clips/{n}/content", 0, "copy", "", vx_clip_content_get},
    {"GET", "/v1/videos/{id}/thumbnail", 0, "t size", "", vx_thumbnail_get},
    {"GET", "/v1/videos/{id}/vectors", 0, "model", "", vx_vectors_get},
    {"POST", "/v1/search", VX_ACCEPT_JSON | VX_ACCEPT_FORM, "", SEARCH_FIELDS, vx_search_post},
    {"GET", "/v1/search", 0, "q " SEARCH_FIELDS, "", vx_search_get},
    {"POST", "/v1/embeddings", VX_ACCEPT_JSON | VX_LIKE_OPENAI, "", "", vx_embeddings_post},
    {"GET", "/v1/jobs", 0, "limit cursor", "", vx_jobs_list_get},
    {"GET", "/v1/jobs/{id}", 0, "", "", vx_jobs_one_get},
    {"DELETE", "/v1/jobs/{id}", 0, "", "", vx_jobs_one_delete},
    {"GET", "/v1/jobs/{id}/events", 0, "", "", vx_jobs_events_get},
    {"GET", "/v1/health/live", VX_WHILE_STARTING, "", "", vx_health_live_get},
    {"GET", "/v1/health/ready", VX_WHILE_STARTING, "", "", vx_health_ready_get},
    {"GET", "/v1/models", 0, "", "", vx_models_list_get},
    {"POST", "/v1/models/{name}/backfill", 0, "", "", vx_models_backfill_post},
    {"DELETE", "/v1/models/{name}/vectors", 0, "digest", "", vx_models_vectors_delete},
    {"GET", "/v1/metrics", 0, "", "", vx_metrics_get},
    {"GET", "/v1/stats", 0, "", "", vx_stats_get},
    {"GET", "/problems/{name}", VX_WHILE_STARTING, "", "", vx_problems_get},
    {"GET", "/openapi.yaml", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/openapi.json", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/app.js", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/common.js", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/uploads.js", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/style.css", VX_WHILE_STARTING, "", "", vx_assets_get},
    {"GET", "/icon.svg", VX_WHILE_STARTING, "", "", vx_assets_get},
};

size_t vx_route_count(void) {
    return VX_LEN(routes);
}

const vx_route *vx_route_at(size_t index) {
    return &routes[index];
}

size_t vx_route_index(const vx_route *route) {
    return (size_t)(route - routes);
}

/* ---- Matching ---- */

typedef struct segment {
    const char *text;
    size_t n;
} segment;

/* The next /segment at *p; false at the end. */
static bool next_segment(const char **p, segment *ret_segment) {
    if (**p != '/')
        return false;
    size_t n = strcspn(*p + 1, "/?");
    *ret_segment = (segment){*p + 1, n};
    *p += 1 + n;
    return true;
}

/* Whether the encoded path fits the pattern; {…} parts go to args, still encoded. */
static bool fits(const char *pattern, const char *uri, segment args[VX_REQUEST_MAX_ARGS]) {
    segment want, have;
    int n = 0;
    while (next_segment(&pattern, &want)) {
        if (!next_segment(&uri, &have))
            return false;
        if (want.n && *want.text == '{') {
            if (!have.n || n == VX_REQUEST_MAX_ARGS)
                return false;
            args[n++] = have;
        } else if (want.n != have.n || memcmp(want.text, have.text, want.n)) {
            return false;
        }
    }
    return !*uri || *uri == '?';
}

static bool method_fits(const char *want, const char *have) {
    return !strcmp(want, have) || (!strcmp(have, "HEAD") && !strcmp(want, "GET"));
}

static bool decode_args(vx_request *request, const segment args[VX_REQUEST_MAX_ARGS]) {
    for (int i = 0; i < VX_REQUEST_MAX_ARGS && args[i].text; i++) {
        request->args[i] = vx_percent_decode(args[i].text, args[i].n, false);
        if (!request->args[i]) {
            vx_reply_problem(request, VX_PROBLEM_BAD_URI, "The path is not percent-encoded UTF-8.");
            return false;
        }
    }
    return true;
}

/* "GET, HEAD, POST" of the routes that fit the path; empty when none does. */
static void allowed_methods(const char *uri, char *ret_list, size_t capacity) {
    size_t n = 0;
    ret_list[0] = '\0';
    for (size_t i = 0; i < VX_LEN(routes); i++) {
        segment args[VX_REQUEST_MAX_ARGS] = {0};
        if (!fits(routes[i].path, uri, args))
            continue;
        const char *method = !strcmp(routes[i].method, "GET") ? "GET, HEAD" : routes[i].method;
        n += (size_t)snprintf(ret_list + n, capacity - n, "%s%s", n ? ", " : "", method);
    }
}

static void answer_without_route(vx_request *request) {
    char allow[128];
    allowed_methods(request->uri, allow, sizeof allow);
    if (!allow[0]) {
        char path[400];
        vx_reply_problem(request, VX_PROBLEM_NO_ROUTE, "There is nothing at %s.",
                         vx_log_quote(request->uri, path, sizeof path));
        return;
    }
    if (!strcmp(request->method, "OPTIONS"))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
    else
        vx_reply_problem(request, VX_PROBLEM_METHOD_NOT_ALLOWED, "Allowed here: %s.", allow);
    vx_reply_header(request, MHD_HTTP_HEADER_ALLOW, allow);
}

void vx_route_find(vx_request *request) {
    for (size_t i = 0; i < VX_LEN(routes); i++) {
        segment args[VX_REQUEST_MAX_ARGS] = {0};
        if (!method_fits(routes[i].method, request->method) ||
            !fits(routes[i].path, request->uri, args))
            continue;
        request->route = &routes[i];
        decode_args(request, args);
        return;
    }
    answer_without_route(request);
}
