/* search.c — POST /v1/search: JSON with a video, a clip or a vector; or a form with a file. */
#include <string.h>

#include "api/body.h"
#include "api/json.h"
#include "api/reply.h"
#include "api/resources.h"
#include "query.h"

#define FIELDS "video_id clip_id vector k min_score group_by model"

typedef struct search {
    vx_query_result result;
} search;

static void free_search(void *state) {
    vx_query_result_clear(&((search *)state)->result);
    free(state);
}

static void on_done(void *ctx, vx_query_result *result) {
    vx_request *request = ctx;
    search *state = request->state;
    state->result = *result;
    result->hits = NULL;
    result->n_hits = 0;
    vx_request_wake(request);
}

static void write_hit(vx_out *out, const vx_hit *hit, size_t rank) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "video_id", hit->video_id);
    vx_out_string(out, "clip_id", hit->clip_id);
    vx_out_number(out, "start_s", hit->start_s);
    vx_out_number(out, "end_s", hit->end_s);
    vx_out_float(out, "score", hit->score);
    vx_out_int(out, "rank", (int64_t)rank);
    vx_out_string(out, "filename", hit->filename);
    vx_out_json(out, "metadata", hit->metadata ? hit->metadata : "{}");
    vx_out_end(out, '}');
}

static void finish(vx_request *request) {
    const vx_query_result *result = &((search *)request->state)->result;
    if (result->outcome != VX_OUTCOME_OK) {
        vx_reply_outcome(request, result->outcome, &result->err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "model", result->model);
    vx_out_begin(&out, "items", '[');
    for (size_t i = 0; i < result->n_hits; i++)
        write_hit(&out, &result->hits[i], i + 1);
    vx_out_end(&out, ']');
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

/* ---- What is asked for ---- */

static bool set_text(vx_request *request, char **slot, const char *text) {
    if (text && !(*slot = strdup(text)))
        request->failed = true;
    return !request->failed;
}

static bool set_group(vx_request *request, vx_query *query, const char *text) {
    query->group_by_video = !text || !strcmp(text, "video");
    if (query->group_by_video || !strcmp(text, "clip"))
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "group_by must be clip or video.");
    return false;
}

static bool one_of_three(vx_request *request, json_t *body) {
    int n = !!json_object_get(body, "video_id") + !!json_object_get(body, "clip_id") +
            !!json_object_get(body, "vector");
    if (n == 1)
        return true;
    vx_reply_problem(request, n ? VX_PROBLEM_BAD_PARAMETER : VX_PROBLEM_MISSING_PARAMETER,
                     "Give exactly one of video_id, clip_id, vector (or send a form with a file).");
    return false;
}

static bool read_json(vx_request *request, json_t *body, vx_query *query) {
    const char *video_id, *clip_id, *group, *model;
    int64_t k = 10;
    double min_score = -1;
    if (!vx_json_only(request, body, FIELDS) || !one_of_three(request, body) ||
        !vx_json_string(request, body, "video_id", &video_id) ||
        !vx_json_string(request, body, "clip_id", &clip_id) ||
        !vx_json_vector(request, body, "vector", &query->vector, &query->dim) ||
        !vx_json_int(request, body, "k", 1, VX_QUERY_MAX_K, &k) ||
        !vx_json_number(request, body, "min_score", -1, 1, &min_score) ||
        !vx_json_string(request, body, "group_by", &group) ||
        !vx_json_string(request, body, "model", &model) || !set_group(request, query, group))
        return false;
    query->by = video_id ? VX_QUERY_VIDEO : clip_id ? VX_QUERY_CLIP : VX_QUERY_VECTOR;
    query->k = (size_t)k;
    query->min_score = (float)min_score;
    return set_text(request, &query->id, video_id ? video_id : clip_id) &&
           set_text(request, &query->model, model);
}

static bool read_form(vx_request *request, vx_query *query) {
    int64_t k;
    double min_score;
    if (!vx_request_int(request, "k", 1, VX_QUERY_MAX_K, 10, &k) ||
        !vx_request_number(request, "min_score", -1, 1, -1, &min_score) ||
        !set_group(request, query, vx_request_value(request, "group_by")) ||
        !set_text(request, &query->model, vx_request_value(request, "model")))
        return false;
    query->by = VX_QUERY_FILE;
    query->upload = vx_body_take_upload(request);
    query->k = (size_t)k;
    query->min_score = (float)min_score;
    return true;
}

void vx_search_post(vx_request *request) {
    VX_AUTO(vx_query) query = vx_new(vx_query);
    search *state = request->state = vx_new(search);
    request->state_free = state ? free_search : NULL;
    if (!query || !state) {
        request->failed = true;
        return;
    }
    json_t *body = vx_body_json(request);
    if (body ? !read_json(request, body, query) : !read_form(request, query))
        return;
    query->done = on_done;
    query->ctx = request;
    vx_request_wait(request, finish);
    vx_outcome outcome = vx_query_submit(request->server, vx_take(query));
    if (outcome == VX_OUTCOME_OK)
        return;
    state->result.outcome = outcome;
    vx_request_wake(request);
}
