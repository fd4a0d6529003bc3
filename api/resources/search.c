/* search.c — POST /v1/search: by text, video, clip or vector (JSON, also several at once), or by a
 * file (form). GET /v1/search?q=…: by text. */
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/resources/filters.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "server/server.h"

#define SUBJECTS "text video_id clip_id vector like unlike combine"
#define OPTIONS "k min_score max_score group_by offset cursor histogram explain filter"

typedef struct search {
    vx_search_result result;
    bool several; /* the request has `queries`, so the reply has `results` */
    bool explain;
} search;

static void free_search(void *state) {
    vx_search_result_clear(&((search *)state)->result);
    free(state);
}

static void on_done(void *ctx, vx_search_result *result) {
    vx_request *request = ctx;
    search *state = request->state;
    state->result = *result;
    result->answers = NULL;
    result->n = 0;
    vx_request_wake(request);
}

static void write_hit(vx_out *out, const vx_hit *hit, size_t rank) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "video_id", hit->video_id);
    vx_out_string(out, "clip_id", hit->clip_id);
    vx_show_seconds(out, "start_s", hit->start_s);
    vx_show_seconds(out, "end_s", hit->end_s);
    vx_out_float(out, "score", hit->score);
    vx_out_int(out, "rank", (int64_t)rank);
    vx_out_string(out, "filename", hit->filename);
    vx_out_bool(out, "has_file", hit->has_file);
    vx_out_string(out, "frames", hit->frames);
    vx_out_json(out, "metadata", hit->metadata ? hit->metadata : "{}");
    vx_out_end(out, '}');
}

static void write_next(vx_out *out, const vx_hits *hits) {
    char cursor[VX_SEARCH_CURSOR_CHARS + 1];
    if (hits->more)
        vx_search_cursor_write(&hits->end, cursor);
    vx_out_string(out, "next", hits->more ? cursor : NULL);
}

static void write_histogram(vx_out *out, const int64_t *counts) {
    vx_out_begin(out, "histogram", '[');
    for (int i = 0; i < VX_SEARCH_BINS; i++)
        vx_out_int(out, NULL, counts[i]);
    vx_out_end(out, ']');
}

static void write_explanation(vx_out *out, const vx_search_result *result,
                              const vx_search_work *work) {
    vx_out_begin(out, "explain", '{');
    vx_out_string(out, "model", result->model);
    vx_out_int(out, "rows_scanned", work->rows_scanned);
    vx_out_int(out, "rows_on_gpu", work->rows_on_gpu);
    vx_out_int(out, "rows_rescored", work->rows_rescored);
    if (work->filter_videos >= 0)
        vx_out_int(out, "filter_videos", work->filter_videos);
    if (work->filter_clips >= 0)
        vx_out_int(out, "filter_clips", work->filter_clips);
    vx_out_number(out, "encode_ms", (double)result->encode_us / 1000);
    vx_out_number(out, "filter_ms", (double)result->filter_us / 1000);
    vx_out_number(out, "index_ms", (double)work->index_us / 1000);
    vx_out_number(out, "catalog_ms", (double)work->catalog_us / 1000);
    vx_out_number(out, "histogram_ms", (double)work->histogram_us / 1000);
    vx_out_end(out, '}');
}

/* The answer to query i, as members of the open object. */
static void write_answer(vx_out *out, const search *state, size_t i) {
    const vx_hits *hits = &state->result.answers[i];
    vx_out_begin(out, "items", '[');
    for (size_t j = 0; j < hits->n; j++)
        write_hit(out, &hits->items[j], hits->first_rank + j);
    vx_out_end(out, ']');
    write_next(out, hits);
    if (hits->histogram)
        write_histogram(out, hits->histogram);
    if (state->explain)
        write_explanation(out, &state->result, &hits->work);
}

static void write_results(vx_out *out, const search *state) {
    vx_out_begin(out, "results", '[');
    for (size_t i = 0; i < state->result.n; i++) {
        vx_out_begin(out, NULL, '{');
        write_answer(out, state, i);
        vx_out_end(out, '}');
    }
    vx_out_end(out, ']');
}

static void finish(vx_request *request) {
    const search *state = request->state;
    const vx_search_result *result = &state->result;
    if (result->outcome != VX_OUTCOME_OK) {
        vx_reply_outcome(request, result->outcome, &result->err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "model", result->model);
    if (result->frames)
        vx_out_string(&out, "frames", result->frames);
    if (result->store) {
        vx_out_begin(&out, "searched", '{');
        vx_out_string(&out, "store", result->store);
        vx_out_string(&out, "consistency", result->consistency);
        vx_out_end(&out, '}');
    }
    if (state->several)
        write_results(&out, state);
    else
        write_answer(&out, state, 0);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

/* ---- Reading the request ---- */

static bool set_text(vx_request *request, char **slot, const char *text) {
    if (text && !(*slot = strdup(text)))
        request->failed = true;
    return !request->failed;
}

static bool set_group(vx_request *request, vx_query *question, const char *text) {
    question->group_by_video = text ? !strcmp(text, "video") : question->group_by_video;
    if (!text || question->group_by_video || !strcmp(text, "clip"))
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "group_by must be clip or video.");
    return false;
}

static const vx_query defaults = {.k = 10, .min_score = -1, .max_score = 1, .group_by_video = true};

static bool set_cursor(vx_request *request, vx_query *question, const char *text) {
    if (!text || vx_search_cursor_read(text, &question->after))
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "cursor must be the value of next in the previous page of the same search.");
    return false;
}

/* What the options are together. */
static bool check_options(vx_request *request, const vx_query *question) {
    size_t before = question->after.position ? question->after.position : question->offset;
    const char *wrong = NULL;
    if (question->offset && question->after.position)
        wrong = "Send offset or cursor, not both.";
    else if (question->min_score > question->max_score)
        wrong = "min_score must not be greater than max_score.";
    if (wrong)
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s", wrong);
    else if (before + question->k > VX_SEARCH_MAX_DEPTH)
        vx_reply_problem(
            request, VX_PROBLEM_BAD_PARAMETER,
            "A search reaches its first %d hits; %zu before this page and k %zu are more. "
            "Narrow it with min_score, max_score or a filter.",
            VX_SEARCH_MAX_DEPTH, before, question->k);
    else
        return true;
    return false;
}

/* Overwrites the options of the question with those in the object. */
static bool read_options(vx_request *request, json_t *object, vx_query *question) {
    int64_t k = (int64_t)question->k, offset = (int64_t)question->offset;
    double min_score = (double)question->min_score, max_score = (double)question->max_score;
    const char *group, *cursor;
    search *state = request->state;
    if (!vx_json_int(request, object, "k", 1, VX_SEARCH_MAX_K, &k) ||
        !vx_json_int(request, object, "offset", 0, VX_SEARCH_MAX_DEPTH, &offset) ||
        !vx_json_number(request, object, "min_score", -1, 1, &min_score) ||
        !vx_json_number(request, object, "max_score", -1, 1, &max_score) ||
        !vx_json_bool(request, object, "histogram", &question->histogram) ||
        !vx_json_bool(request, object, "explain", &state->explain) ||
        !vx_json_string(request, object, "cursor", &cursor) ||
        !set_cursor(request, question, cursor) ||
        !vx_json_string(request, object, "group_by", &group) ||
        !set_group(request, question, group))
        return false;
    question->k = (size_t)k;
    question->offset = (size_t)offset;
    question->min_score = (float)min_score;
    question->max_score = (float)max_score;
    return check_options(request, question);
}

/* One subject, or none and examples. */
static bool check_subject(vx_request *request, json_t *object) {
    int n = !!json_object_get(object, "text") + !!json_object_get(object, "video_id") +
            !!json_object_get(object, "clip_id") + !!json_object_get(object, "vector");
    json_t *like = json_object_get(object, "like");
    if (n == 1 || (n == 0 && like && (!json_is_array(like) || json_array_size(like))))
        return true;
    vx_reply_problem(
        request, n ? VX_PROBLEM_BAD_PARAMETER : VX_PROBLEM_MISSING_PARAMETER,
        "Send exactly one of text, video_id, clip_id, vector, or a form with a file; or "
        "none of them and a list of ids in like.");
    return false;
}

/* An array of ids of videos and clips; none if absent. */
static bool read_examples(vx_request *request, json_t *object, const char *name,
                          vx_examples *examples) {
    json_t *list = json_object_get(object, name);
    size_t n = json_array_size(list);
    if (list && (!json_is_array(list) || n > VX_SEARCH_MAX_EXAMPLES)) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "%s must be an array of at most %d ids of videos or clips.", name,
                         VX_SEARCH_MAX_EXAMPLES);
        return false;
    }
    if (n && !(examples->ids = vx_new_array(n, sizeof *examples->ids))) {
        request->failed = true;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const char *id = json_string_value(json_array_get(list, i));
        if (!id) {
            vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "%s[%zu] must be a string.", name,
                             i);
            return false;
        }
        if (!set_text(request, &examples->ids[i], id))
            return false;
        examples->n = i + 1;
    }
    return true;
}

static bool read_combine(vx_request *request, json_t *object, vx_query *question) {
    const char *text;
    if (!vx_json_string(request, object, "combine", &text))
        return false;
    if (!text || !strcmp(text, "mean") || !strcmp(text, "rocchio")) {
        question->combine = text && text[0] == 'r' ? VX_COMBINE_ROCCHIO : VX_COMBINE_MEAN;
        return true;
    }
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "combine must be mean or rocchio.");
    return false;
}

static bool read_question(vx_request *request, json_t *object, vx_query *question) {
    const char *text, *video_id, *clip_id;
    if (!check_subject(request, object) || !read_options(request, object, question) ||
        !vx_json_string(request, object, "text", &text) ||
        !vx_json_string(request, object, "video_id", &video_id) ||
        !vx_json_string(request, object, "clip_id", &clip_id) ||
        !vx_json_vector(request, object, "vector", &question->vector, &question->dim) ||
        !read_examples(request, object, "like", &question->like) ||
        !read_examples(request, object, "unlike", &question->unlike) ||
        !read_combine(request, object, question))
        return false;
    question->by = text               ? VX_QUERY_TEXT
                   : video_id         ? VX_QUERY_VIDEO
                   : clip_id          ? VX_QUERY_CLIP
                   : question->vector ? VX_QUERY_VECTOR
                                      : VX_QUERY_EXAMPLES;
    return set_text(request, &question->text, text) &&
           set_text(request, &question->id, video_id ? video_id : clip_id);
}

static bool read_one(vx_request *request, json_t *body, vx_search_request *query) {
    query->queries[0] = defaults;
    return vx_json_only(request, body, SUBJECTS " queries " OPTIONS " model") &&
           read_question(request, body, &query->queries[0]) &&
           vx_filters_read(request, json_object_get(body, "filter"), NULL, "/filter",
                           &query->filter);
}

/* Reads `queries`. Options of a query win over those of the body. */
static bool read_several(vx_request *request, json_t *body, json_t *list,
                         vx_search_request *query) {
    vx_query common = defaults;
    size_t k_sum = 0;
    if (!vx_json_only(request, body, "queries " OPTIONS " model") ||
        !read_options(request, body, &common) ||
        !vx_filters_read(request, json_object_get(body, "filter"), NULL, "/filter", &query->filter))
        return false;
    for (size_t i = 0; i < query->n; i++) {
        json_t *item = json_array_get(list, i);
        snprintf(request->where, sizeof request->where, "queries[%zu]", i);
        query->queries[i] = common;
        if (!json_is_object(item)) {
            vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "it must be an object.");
            return false;
        }
        char place[40];
        snprintf(place, sizeof place, "/queries/%zu/filter", i);
        if (!vx_json_only(request, item, SUBJECTS " " OPTIONS) ||
            !read_question(request, item, &query->queries[i]) ||
            !vx_filters_read(request, json_object_get(item, "filter"), NULL, place,
                             &query->queries[i].filter))
            return false;
        k_sum += query->queries[i].k;
    }
    request->where[0] = '\0';
    if (k_sum <= VX_SEARCH_MAX_HITS)
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "The k of all queries add up to %zu; the limit for one request is %d.", k_sum,
                     VX_SEARCH_MAX_HITS);
    return false;
}

/* Reads the options of a form, or of a query string, as far as they have arrived. */
static bool read_values(vx_request *request, vx_query *question, bool *ret_explain) {
    *question = defaults;
    int64_t k, offset;
    double min_score, max_score;
    int histogram, explain, frames;
    if (!vx_params_int(request, "k", 1, VX_SEARCH_MAX_K, (int64_t)defaults.k, &k) ||
        !vx_params_int(request, "offset", 0, VX_SEARCH_MAX_DEPTH, 0, &offset) ||
        !vx_params_number(request, "min_score", -1, 1, -1, &min_score) ||
        !vx_params_number(request, "max_score", -1, 1, 1, &max_score) ||
        !vx_params_choice(request, "histogram", "false true", 0, &histogram) ||
        !vx_params_choice(request, "explain", "false true", 0, &explain) ||
        !vx_params_choice(request, "frames", VX_CLIP_FRAMES_NAMES,
                          (int)request->server->extractor.frames, &frames) ||
        !set_cursor(request, question, vx_request_value(request, "cursor")) ||
        !set_group(request, question, vx_request_value(request, "group_by")))
        return false;
    question->k = (size_t)k;
    question->offset = (size_t)offset;
    question->min_score = (float)min_score;
    question->max_score = (float)max_score;
    question->histogram = histogram;
    question->frames = (vx_clip_frames)frames; /* of a file: a form alone */
    *ret_explain = explain;
    return check_options(request, question);
}

bool vx_search_check(vx_request *request) {
    const char *model = vx_request_value(request, "model");
    VX_AUTO(vx_filter) filter = NULL;
    vx_query question;
    bool explain;
    vx_err err;
    if (!read_values(request, &question, &explain) ||
        !vx_filters_read_value(request, NULL, &filter))
        return false;
    if (!model || vx_models_find(request->server->models, model, &err))
        return true;
    vx_reply_problem(request, VX_PROBLEM_WRONG_SPACE, "%s", err.msg);
    return false;
}

static bool read_form(vx_request *request, vx_search_request *query) {
    search *state = request->state;
    return read_values(request, &query->queries[0], &state->explain) &&
           vx_filters_read_value(request, NULL, &query->filter) &&
           set_text(request, &query->model, vx_request_value(request, "model"));
}

/* Number of questions in the body; 0 after a reply. */
static size_t count_questions(vx_request *request, json_t *list) {
    if (!list)
        return 1;
    size_t n = json_array_size(list);
    if (n >= 1 && n <= VX_SEARCH_MAX_QUERIES)
        return n;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "queries must be an array of 1 to %d objects.", VX_SEARCH_MAX_QUERIES);
    return 0;
}

/* ---- Running it ---- */

/* The request's state; NULL: no memory. */
static search *begin(vx_request *request) {
    search *state = request->state = vx_new(search);
    request->state_free = state ? free_search : NULL;
    request->failed |= !state;
    return state;
}

/* Takes the query. */
static void submit(vx_request *request, vx_search_request *query) {
    search *state = request->state;
    query->explain = state->explain;
    query->done = on_done;
    query->abandoned = vx_request_client_left;
    query->ctx = request;
    vx_request_wait(request, finish);
    vx_outcome outcome = vx_search_submit(request->server->search, query);
    if (outcome == VX_OUTCOME_OK)
        return;
    state->result.outcome = outcome;
    vx_request_wake(request);
}

static bool read_body(vx_request *request, json_t *body, json_t *list, vx_search_request *query) {
    const char *model;
    if (!body) {
        if (!read_form(request, query))
            return false;
        query->queries[0].by = VX_QUERY_FILE;
        query->queries[0].upload = vx_body_take_upload(request);
        return true;
    }
    return vx_json_string(request, body, "model", &model) &&
           set_text(request, &query->model, model) &&
           (list ? read_several(request, body, list, query) : read_one(request, body, query));
}

void vx_search_post(vx_request *request) {
    json_t *body = vx_body_json(request);
    json_t *list = json_object_get(body, "queries");
    size_t n = count_questions(request, list);
    if (!n)
        return;
    search *state = begin(request);
    VX_AUTO(vx_search_request) query = vx_search_request_new(n);
    if (!query || !state) {
        request->failed = true;
        return;
    }
    state->several = list != NULL;
    if (read_body(request, body, list, query))
        submit(request, vx_take(query));
}

void vx_search_get(vx_request *request) {
    const char *text = vx_request_value(request, "q");
    if (!text) {
        vx_reply_problem(request, VX_PROBLEM_MISSING_PARAMETER,
                         "q, the text to search for, is missing: /v1/search?q=a+dog");
        return;
    }
    VX_AUTO(vx_search_request) query = vx_search_request_new(1);
    if (!query || !begin(request)) {
        request->failed = true;
        return;
    }
    if (!read_form(request, query) || !set_text(request, &query->queries[0].text, text))
        return;
    query->queries[0].by = VX_QUERY_TEXT;
    submit(request, vx_take(query));
}
