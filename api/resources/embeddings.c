/* embeddings.c — POST /v1/embeddings: OpenAI's API, with the inputs and request types of NVIDIA's
 * Cosmos-Embed1 service.
 *
 * OpenAI's clients send no request_type. Then one input is a query, and several texts are bulk_text.
 * Several videos need bulk_video. */
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/reply.h"
#include "api/resources/embedding_input.h"
#include "api/resources/handlers.h"
#include "base/base64.h"
#include "server/server.h"

#define FIELDS "input request_type model encoding_format dimensions frames user"

typedef enum request_type { TYPE_QUERY, TYPE_TEXTS, TYPE_VIDEOS, TYPE_ABSENT } request_type;

typedef struct job {
    vx_embeddings_request *work; /* owned */
    char *model;                 /* the name that the client used; owned */
    bool base64;
} job;

static void free_job(void *state) {
    job *j = state;
    vx_embeddings_request_free(j->work);
    free(j->model);
    free(j);
}

/* ---- Reply ---- */

static void write_vector(vx_out *out, const float *vector, size_t dim, char *buffer) {
    if (buffer) { /* little-endian float32, the byte order of this machine */
        vx_base64_encode(vector, dim * sizeof *vector, buffer);
        vx_out_string(out, "embedding", buffer);
        return;
    }
    vx_out_begin(out, "embedding", '[');
    for (size_t i = 0; i < dim; i++)
        vx_out_float(out, NULL, vector[i]);
    vx_out_end(out, ']');
}

static void write_usage(vx_out *out, const vx_embeddings_request *work) {
    bool texts = work->inputs[0].kind == VX_INPUT_TEXT;
    vx_out_begin(out, "usage", '{');
    vx_out_int(out, "num_videos", texts ? 0 : (int64_t)work->n);
    vx_out_int(out, "prompt_tokens", work->n_tokens);
    vx_out_int(out, "total_tokens", work->n_tokens);
    vx_out_end(out, '}');
}

static void reply_failure(vx_request *request, const vx_embeddings_request *work) {
    request->param = "input";
    switch (work->outcome) {
    case VX_OUTCOME_MEDIA_UNSUPPORTED:
    case VX_OUTCOME_MEDIA_NO_VIDEO:
    case VX_OUTCOME_MEDIA_DAMAGED:
    case VX_OUTCOME_MEDIA_TOO_LARGE:
    case VX_OUTCOME_BAD_REQUEST:
        vx_reply_problem(request, VX_PROBLEM_BAD_INPUT, "%s", work->err.msg);
        break;
    case VX_OUTCOME_WRONG_SPACE:
        vx_reply_problem(request, VX_PROBLEM_BAD_EMBEDDING_REQUEST, "%s", work->err.msg);
        break;
    default:
        request->param = NULL;
        vx_reply_outcome(request, work->outcome, &work->err);
    }
}

static void finish(vx_request *request) {
    const job *j = request->state;
    const vx_embeddings_request *work = j->work;
    size_t dim = (size_t)work->model->info->dim;
    if (work->outcome) {
        reply_failure(request, work);
        return;
    }
    VX_AUTO_OUT out = {0};
    VX_AUTO_FREE char *buffer =
        j->base64 ? malloc(vx_base64_length(dim * sizeof(float)) + 1) : NULL;
    if (j->base64 && !buffer) {
        request->failed = true;
        return;
    }
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "object", "list");
    vx_out_begin(&out, "data", '[');
    for (size_t i = 0; i < work->n; i++) {
        vx_out_begin(&out, NULL, '{');
        vx_out_string(&out, "object", "embedding");
        vx_out_int(&out, "index", (int64_t)i);
        if (work->inputs[i].kind == VX_INPUT_VIDEO)
            vx_out_string(&out, "frames", vx_clip_frames_name(work->made_of[i]));
        write_vector(&out, work->vectors + i * dim, dim, buffer);
        vx_out_end(&out, '}');
    }
    vx_out_end(&out, ']');
    vx_out_string(&out, "model", j->model);
    write_usage(&out, work);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

static void on_done(void *ctx) {
    vx_request_wake(ctx);
}

/* ---- Reading the request ---- */

static bool refuse(vx_request *request, const char *param, const char *reason) {
    request->param = param;
    vx_reply_problem(request, VX_PROBLEM_BAD_EMBEDDING_REQUEST, "%s: %s", param, reason);
    return false;
}

/* Gives the position of the field's value among n words; n if the field is absent. */
static bool read_word(vx_request *request, json_t *body, const char *field,
                      const char *const *words, int n, const char *wanted, int *ret) {
    const char *text;
    request->param = field;
    if (!vx_json_string(request, body, field, &text))
        return false;
    for (*ret = 0; text && *ret < n; (*ret)++)
        if (!strcmp(text, words[*ret]))
            return true;
    *ret = n;
    return !text || refuse(request, field, wanted);
}

/* Finds a loaded model by its name, or by the name that NVIDIA's service uses for it. */
static vx_model *find_model(vx_request *request, const char *name, vx_err *err) {
    if (name && !strncmp(name, "nvidia/", 7))
        name += 7;
    if (name && !strcmp(name, "cosmos-embed1"))
        name = "cosmos-embed1-224p";
    return vx_models_find(request->server->models, name, err);
}

static bool read_model(vx_request *request, json_t *body, job *j) {
    const char *name;
    vx_err err;
    int64_t dimensions = 0;
    request->param = "model";
    if (!vx_json_string(request, body, "model", &name))
        return false;
    j->work->model = find_model(request, name, &err);
    if (!j->work->model)
        return refuse(request, "model", err.msg);
    request->param = "dimensions";
    if (!vx_json_int(request, body, "dimensions", 1, INT32_MAX, &dimensions))
        return false;
    const vx_model_info *info = j->work->model->info;
    if (dimensions && dimensions != info->dim) {
        vx_reply_problem(request, VX_PROBLEM_BAD_REQUEST,
                         "dimensions: %s has fixed dimensions, its vectors have %d numbers; leave "
                         "dimensions out",
                         info->name, info->dim);
        return false;
    }
    j->model = strdup(name ? name : info->name);
    request->failed |= !j->model;
    return j->model;
}

/* OpenAI's API also takes arrays of token numbers, of its own tokenizers. */
static bool refuse_tokens(vx_request *request) {
    request->param = "input";
    vx_reply_problem(request, VX_PROBLEM_BAD_INPUT,
                     "input: token numbers are not supported, because every model has its own "
                     "tokens; send the text as a string");
    return false;
}

static bool read_input(vx_request *request, json_t *item, vx_input *ret_input) {
    if (json_is_integer(json_array_get(item, 0)))
        return refuse_tokens(request);
    const char *problem =
        json_is_string(item)
            ? vx_embedding_input_read(json_string_value(item), json_string_length(item), ret_input)
            : "must be a string or an array of strings";
    return !problem || refuse(request, "input", problem);
}

static bool read_inputs(vx_request *request, json_t *body, vx_embeddings_request *work) {
    json_t *input = json_object_get(body, "input");
    if (!input)
        return refuse(request, "input", "is missing");
    if (!json_is_array(input)) {
        work->n = 1;
        return read_input(request, input, &work->inputs[0]);
    }
    work->n = json_array_size(input);
    if (json_is_integer(json_array_get(input, 0)))
        return refuse_tokens(request);
    if (work->n < 1 || work->n > VX_EMBEDDINGS_MAX)
        return refuse(request, "input", "must be 1 to 64 strings");
    for (size_t i = 0; i < work->n; i++) {
        snprintf(request->where, sizeof request->where, "item %zu", i);
        if (!read_input(request, json_array_get(input, i), &work->inputs[i]))
            return false;
    }
    request->where[0] = '\0';
    return true;
}

/* Checks that the request type accepts these inputs. */
static bool check_type(vx_request *request, request_type type, const vx_embeddings_request *work) {
    bool texts = false, media = false, base64_video = false;
    for (size_t i = 0; i < work->n; i++) {
        const vx_input *input = &work->inputs[i];
        texts |= input->kind == VX_INPUT_TEXT;
        media |= input->kind != VX_INPUT_TEXT;
        base64_video |= input->kind == VX_INPUT_VIDEO && !input->is_url;
    }
    if (type == TYPE_ABSENT)
        type = work->n == 1 ? TYPE_QUERY : TYPE_TEXTS;
    if (type == TYPE_QUERY && work->n != 1)
        return refuse(request, "input",
                      "a query is one input; use bulk_text or bulk_video for up to 64");
    if (type == TYPE_TEXTS && media)
        return refuse(request, "request_type", "bulk_text accepts only texts; use bulk_video");
    if (type == TYPE_VIDEOS && texts)
        return refuse(request, "request_type", "bulk_video accepts no texts; use bulk_text");
    if (type == TYPE_VIDEOS && base64_video)
        return refuse(
            request, "request_type",
            "bulk_video accepts presigned_url and video_frames; send a base64 video as a query");
    return true;
}

static bool read_request(vx_request *request, json_t *body, job *j) {
    static const char *const types[] = {
        [TYPE_QUERY] = "query", [TYPE_TEXTS] = "bulk_text", [TYPE_VIDEOS] = "bulk_video"};
    static const char *const formats[] = {"float", "base64"};
    static const char *const frames_names[] = {"exact", "keyframes"};
    int type, format, frames;
    const char *user;
    if (!vx_json_only(request, body, FIELDS) ||
        !read_word(request, body, "request_type", types, 3,
                   "must be query, bulk_text or bulk_video", &type) ||
        !read_word(request, body, "encoding_format", formats, 2, "must be float or base64",
                   &format) ||
        !read_word(request, body, "frames", frames_names, 2, "must be exact or keyframes",
                   &frames) ||
        !vx_json_string(request, body, "user", &user) || !read_model(request, body, j) ||
        !read_inputs(request, body, j->work) || !check_type(request, (request_type)type, j->work))
        return false;
    j->base64 = format == 1;
    j->work->frames =
        frames < 2 ? (vx_clip_frames)frames : request->server->extractor.frames; /* absent */
    request->param = NULL;
    return true;
}

void vx_embeddings_post(vx_request *request) {
    job *j = request->state = vx_new(job);
    request->state_free = j ? free_job : NULL;
    if (!j || !(j->work = vx_new(vx_embeddings_request))) {
        request->failed = true;
        return;
    }
    if (!read_request(request, vx_body_json(request), j))
        return;
    j->work->done = on_done;
    j->work->abandoned = vx_request_client_left;
    j->work->ctx = request;
    vx_request_wait(request, finish);
    vx_embeddings_submit(request->server->embeddings, j->work);
}
