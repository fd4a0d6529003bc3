/* upload.c — POST /v1/videos and PUT /v1/videos/{file name}: ingests an uploaded file.
 *
 * When these run, the body is a vx_upload already. With wait=true the request waits until the video is
 * durable and searchable, or has failed; with wait=false only until its job is durable.
 */
#include <errno.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "api/resources/handlers.h"
#include "api/resources/jobs.h"
#include "api/resources/show.h"
#include "clip/clip.h"
#include "server/server.h"

#define MAX_FILENAME_BYTES 255

/* How the work ended. */
typedef struct upload_result {
    vx_outcome outcome;
    vx_err err;
    vx_video *video;
    vx_verdict_row verdict;
    char job_id[VX_JOB_ID_CHARS + 1];
} upload_result;

static void free_result(void *state) {
    upload_result *result = state;
    vx_video_free(result->video);
    free(result);
}

/* ---- Reading the request ---- */

static bool read_filename(vx_request *request, const char *name, char **ret_name) {
    if (!name || !*name)
        name = "unnamed";
    if (strlen(name) > MAX_FILENAME_BYTES || !vx_utf8_is_plain(name)) {
        vx_reply_problem(
            request, VX_PROBLEM_BAD_PARAMETER,
            "The file name must be UTF-8 without control characters, at most %d bytes.",
            MAX_FILENAME_BYTES);
        return false;
    }
    *ret_name = strdup(name);
    request->failed |= !*ret_name;
    return *ret_name != NULL;
}

static bool read_metadata(vx_request *request, char **ret_metadata) {
    const char *text = vx_request_value(request, "metadata");
    if (!text)
        return (*ret_metadata = strdup("{}")) || !(request->failed = true);
    json_t *object = vx_json_parse(request, "metadata", text, strlen(text));
    if (!object)
        return false;
    *ret_metadata = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    request->failed |= !*ret_metadata;
    return *ret_metadata != NULL;
}

static bool read_clip(vx_request *request, vx_clip_spec *ret_clip) {
    const char *text = vx_request_value(request, "clip");
    vx_err err;
    *ret_clip = request->server->extractor.clip;
    int rc = text ? vx_clip_parse(text, ret_clip, &err) : 0;
    if (!rc && vx_clip_needs_shots(ret_clip) && !request->server->shots)
        rc = VX_FAIL(&err, VX_CLIP_BAD_SPEC,
                     "the model " VX_SHOTS_MODEL
                     " is not loaded. Get it with: ./dev model " VX_SHOTS_MODEL);
    if (!rc)
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "clip: %s", err.msg);
    return false;
}

static bool fill_item(vx_request *request, const char *filename, vx_ingest_item *item) {
    int reject, wait;
    if (!read_filename(request, filename, &item->filename) ||
        !read_metadata(request, &item->metadata) || !read_clip(request, &item->clip) ||
        !vx_params_choice(request, "on_duplicate", "flag reject", 0, &reject) ||
        !vx_params_choice(request, "wait", "false true", 1, &wait))
        return false;
    item->upload = vx_body_take_upload(request);
    item->reject_duplicates = reject;
    item->background = !wait;
    snprintf(item->request_id, sizeof item->request_id, "%s", request->id);
    return true;
}

/* ---- End of the work (on an ingest thread or the committer) ---- */

static void on_done(void *ctx, vx_ingest_result *done) {
    vx_request *request = ctx;
    upload_result *result = request->state;
    result->outcome = done->outcome;
    result->err = done->err;
    result->video = vx_take(done->video);
    result->verdict = done->verdict;
    vx_request_wake(request);
}

static void on_accepted(void *ctx, vx_outcome outcome, const char *job_id, const vx_err *err) {
    vx_request *request = ctx;
    upload_result *result = request->state;
    result->outcome = outcome;
    if (outcome == VX_OUTCOME_OK)
        snprintf(result->job_id, sizeof result->job_id, "%s", job_id);
    else if (err)
        result->err = *err;
    vx_request_wake(request);
}

/* ---- Reply ---- */

static void reply_duplicate(vx_request *request, const upload_result *result) {
    vx_out out = {0};
    vx_out_begin(&out, NULL, '{');
    if (result->video)
        vx_show_video(&out, "video", result->video, NULL);
    vx_show_verdict(&out, "duplicate", &result->verdict);
    vx_reply_problem_with(request, VX_PROBLEM_DUPLICATE, &out, result->err.msg);
}

static void reply_video(vx_request *request, const upload_result *result) {
    VX_AUTO_OUT out = {0};
    char location[64];
    snprintf(location, sizeof location, "/v1/videos/%s", result->video->id);
    bool stored = result->outcome == VX_OUTCOME_OK;
    vx_show_video(&out, NULL, result->video, &result->verdict);
    vx_reply_json(request, stored ? VX_SUCCESS_CREATED : VX_SUCCESS_OK, &out);
    vx_reply_header(request, MHD_HTTP_HEADER_LOCATION, location);
}

static void finish(vx_request *request) {
    const upload_result *result = request->state;
    if (result->outcome == VX_OUTCOME_DUPLICATE)
        reply_duplicate(request, result);
    else if (result->outcome > VX_OUTCOME_EXISTING)
        vx_reply_outcome(request, result->outcome, &result->err);
    else if (result->job_id[0])
        vx_jobs_reply_accepted(request, result->job_id, "ingest");
    else
        reply_video(request, result);
}

static void submit(vx_request *request, const char *filename) {
    VX_AUTO(vx_ingest_item) item = vx_new(vx_ingest_item);
    upload_result *result = request->state = vx_new(upload_result);
    request->state_free = free_result;
    if (!item || !result) {
        request->state_free = NULL;
        request->failed = true;
        free(vx_take(request->state));
        return;
    }
    if (!fill_item(request, filename, item))
        return;
    item->done = item->background ? NULL : on_done;
    item->accepted = item->background ? on_accepted : NULL;
    item->ctx = request;
    vx_request_wait(request, finish);
    vx_outcome outcome = vx_ingest_submit(request->server->ingest, vx_take(item));
    if (outcome == VX_OUTCOME_OK)
        return;
    result->outcome = outcome;
    vx_request_wake(request);
}

void vx_videos_post(vx_request *request) {
    const char *filename = vx_request_value(request, "filename");
    submit(request, filename ? filename : vx_body_filename(request));
}

void vx_videos_put(vx_request *request) {
    if (strpbrk(request->args[0], "/\\")) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "The file name must not contain / or \\.");
        return;
    }
    submit(request, request->args[0]);
}
