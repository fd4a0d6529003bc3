/* upload.c — POST /v1/videos and PUT /v1/videos/{file name}: ingests an uploaded file.
 *
 * When these run, the body is a vx_upload already. With wait=true the request waits until the video is
 * durable and searchable, or has failed; with wait=false only until its job is durable. A client of
 * wait=true that leaves was promised nothing, so its upload is cancelled unless it is being written to the
 * catalog already.
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
#include "api/resources/videos.h"
#include "clip/clip.h"
#include "server/server.h"

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

/* What a request says about its file. */
typedef struct upload_options {
    const char *filename; /* borrows from the request */
    json_t *metadata;     /* owned; an object, or NULL */
    vx_clip_spec clip;
    int frames; /* a vx_clip_frames */
    int reject, wait, wait_for_evidence;
} upload_options;

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

/* Reads the options as far as they have arrived. False after a reply; *ret_options is valid anyway. */
static bool read_options(vx_request *request, upload_options *ret_options) {
    bool is_put = !strcmp(request->method, "PUT");
    const char *name = is_put ? request->args[0] : vx_request_value(request, "filename");
    const char *metadata = vx_request_value(request, "metadata");
    if (!name)
        name = vx_body_filename(request);
    *ret_options = (upload_options){.filename = name && *name ? name : "unnamed"};
    if (is_put && strpbrk(name, "/\\")) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "The file name must not contain / or \\.");
        return false;
    }
    if (!vx_videos_check_filename(request, ret_options->filename) ||
        !read_clip(request, &ret_options->clip) ||
        !vx_params_choice(request, "frames", VX_CLIP_FRAMES_NAMES,
                          (int)request->server->extractor.frames, &ret_options->frames) ||
        !vx_params_choice(request, "on_duplicate", "flag reject", 0, &ret_options->reject) ||
        !vx_params_choice(request, "evidence", "later wait", 0, &ret_options->wait_for_evidence) ||
        !vx_params_choice(request, "wait", "false true", 1, &ret_options->wait))
        return false;
    if (metadata)
        ret_options->metadata = vx_json_parse(request, "metadata", metadata, strlen(metadata));
    return !metadata || ret_options->metadata;
}

bool vx_videos_check_upload(vx_request *request) {
    upload_options options;
    bool valid = read_options(request, &options);
    json_decref(options.metadata);
    return valid;
}

static bool fill_item(vx_request *request, vx_ingest_item *item) {
    upload_options options;
    bool valid = read_options(request, &options);
    if (valid) {
        item->filename = strdup(options.filename);
        item->metadata =
            options.metadata ? json_dumps(options.metadata, JSON_COMPACT) : strdup("{}");
        item->clip = options.clip;
        item->frames = (vx_clip_frames)options.frames;
        item->upload = vx_body_take_upload(request);
        item->reject_duplicates = options.reject;
        item->waits_for_evidence = options.reject || options.wait_for_evidence;
        item->background = !options.wait;
        snprintf(item->request_id, sizeof item->request_id, "%s", request->id);
        request->failed |= !item->filename || !item->metadata;
    }
    json_decref(options.metadata);
    return valid && !request->failed;
}

/* ---- End of the work (on an ingest thread or the writer) ---- */

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

void vx_videos_upload(vx_request *request) {
    VX_AUTO(vx_ingest_item) item = vx_new(vx_ingest_item);
    upload_result *result = request->state = vx_new(upload_result);
    request->state_free = free_result;
    if (!item || !result) {
        request->state_free = NULL;
        request->failed = true;
        free(vx_take(request->state));
        return;
    }
    if (!fill_item(request, item))
        return;
    item->done = item->background ? NULL : on_done;
    item->accepted = item->background ? on_accepted : NULL;
    item->abandoned = item->background ? NULL : vx_request_client_left;
    item->ctx = request;
    vx_request_wait(request, finish);
    vx_outcome outcome = vx_ingest_submit(request->server->ingest, vx_take(item));
    if (outcome == VX_OUTCOME_OK)
        return;
    result->outcome = outcome;
    vx_request_wake(request);
}
