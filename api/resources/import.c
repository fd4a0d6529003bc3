/* import.c — POST /v1/import: vectors that were computed elsewhere, as a job. With wait=true the request waits
 * for the end of the job, which goes on when the client leaves. */
#include <string.h>

#include "api/http/body.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "api/resources/handlers.h"
#include "api/resources/jobs.h"
#include "api/resources/videos.h"
#include "server/server.h"

typedef struct import_state {
    bool wait;
    vx_outcome outcome;
    vx_err err;
    char job_id[VX_JOB_ID_CHARS + 1]; /* "": it was not accepted */
    bool ended;
} import_state;

/* ---- reading the request ---- */

typedef struct import_options {
    vx_model *model;
    const char *filename, *source; /* borrow from the request; not NULL */
    int normalize, wait;
} import_options;

static const char *filename_of(vx_request *request) {
    const char *name = vx_request_value(request, "filename");
    return name ? name : vx_body_filename(request);
}

/* What has arrived of it; false after a reply. */
static bool read_options(vx_request *request, import_options *ret) {
    const char *model = vx_request_value(request, "model");
    vx_err err;
    *ret = (import_options){.filename = filename_of(request),
                            .source = vx_request_value(request, "source")};
    if (model && !(ret->model = vx_models_find(request->server->models, model, &err))) {
        vx_reply_problem(request, VX_PROBLEM_WRONG_SPACE, "%s", err.msg);
        return false;
    }
    if (ret->source && (!*ret->source || !vx_utf8_is_plain(ret->source) ||
                        vx_utf8_length(ret->source) > VX_MAX_FILENAME_CHARS)) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "source must be 1 to %d characters of UTF-8 without control characters.",
                         VX_MAX_FILENAME_CHARS);
        return false;
    }
    return (!ret->filename || vx_videos_check_filename(request, ret->filename)) &&
           vx_params_choice(request, "normalize", "false true", 0, &ret->normalize) &&
           vx_params_choice(request, "wait", "false true", 0, &ret->wait);
}

bool vx_import_check_request(vx_request *request) {
    import_options options;
    return read_options(request, &options);
}

static bool read_all(vx_request *request, import_options *ret) {
    if (!read_options(request, ret))
        return false;
    if (!ret->source)
        ret->source = ret->filename;
    if (!ret->model)
        vx_reply_problem(request, VX_PROBLEM_MISSING_PARAMETER,
                         "model is missing: name the model that computed the vectors.");
    else if (!ret->source)
        vx_reply_problem(request, VX_PROBLEM_MISSING_PARAMETER,
                         "Send filename or source: rows without a SHA-256 get ids made of it.");
    ret->filename = ret->filename ? ret->filename : ret->source;
    return ret->model && ret->source;
}

/* ---- the reply ---- */

static void on_accepted(void *ctx, vx_outcome outcome, const char *job_id, const vx_err *err) {
    vx_request *request = ctx;
    import_state *state = request->state;
    state->outcome = outcome;
    if (outcome == VX_OUTCOME_OK)
        strcpy(state->job_id, job_id);
    else
        state->err = *err;
    if (outcome || !state->wait)
        vx_request_wake(request);
}

static void on_ended(void *ctx, vx_outcome outcome, const vx_err *err) {
    vx_request *request = ctx;
    import_state *state = request->state;
    state->outcome = outcome;
    state->err = *err;
    state->ended = !vx_outcome_is_our_fault(outcome); /* else the job goes on, later */
    vx_request_wake(request);
}

static void reply_ended(vx_request *request, const import_state *state) {
    vx_job_view job;
    vx_err err;
    VX_AUTO_OUT out = {0};
    if (vx_jobs_get(request->server->jobs, state->job_id, &job, &err)) {
        vx_reply_failure(request, &err);
        return;
    }
    if (!state->outcome) {
        vx_jobs_write(&out, &job);
        vx_reply_json(request, VX_SUCCESS_OK, &out);
    } else if (state->outcome == VX_OUTCOME_IMPORT_REFUSED) {
        vx_out_begin(&out, NULL, '{');
        vx_out_string(&out, "job_id", state->job_id);
        vx_out_json(&out, "report", job.report ? job.report : "null");
        vx_reply_problem_with(request, VX_PROBLEM_IMPORT_REFUSED, &out, state->err.msg);
    } else {
        vx_reply_outcome(request, state->outcome, &state->err);
    }
    vx_job_view_clear(&job);
}

static void finish(vx_request *request) {
    const import_state *state = request->state;
    if (!state->job_id[0])
        vx_reply_outcome(request, state->outcome, state->err.msg[0] ? &state->err : NULL);
    else if (state->ended)
        reply_ended(request, state);
    else
        vx_jobs_reply_accepted(request, state->job_id, "import");
}

void vx_import_post(vx_request *request) {
    import_options options;
    if (!read_all(request, &options))
        return;
    import_state *state = request->state = vx_new(import_state);
    request->state_free = state ? free : NULL;
    vx_import_request import = {.vectors = vx_body_take_upload(request),
                                .rows = vx_body_take_rows(request),
                                .model = options.model,
                                .filename = strdup(options.filename),
                                .source = strdup(options.source),
                                .normalize = options.normalize,
                                .accepted = on_accepted,
                                .ended = options.wait ? on_ended : NULL,
                                .ctx = request};
    vx_outcome refused = VX_OUTCOME_INTERNAL;
    if (state && import.filename && import.source) {
        state->wait = options.wait;
        vx_request_wait(request, finish);
        refused = vx_imports_submit(request->server->imports, &import);
    } else {
        request->failed = true;
    }
    if (!refused)
        return;
    vx_upload_free(import.vectors);
    vx_upload_free(import.rows);
    free(import.filename);
    free(import.source);
    if (request->failed)
        return;
    state->outcome = refused;
    vx_request_wake(request);
}
