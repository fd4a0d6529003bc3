/* models.c — /v1/models: list or get the loaded models and their stored vectors, start a backfill,
 * delete vectors that no loaded model uses. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/reply.h"
#include "api/resources/change.h"
#include "api/resources/handlers.h"
#include "api/resources/jobs.h"
#include "server/server.h"

static void write_text(vx_out *out, const vx_model_info *model) {
    if (!model->has_text) {
        vx_out_json(out, "text", "null");
        return;
    }
    vx_out_begin(out, "text", '{');
    vx_out_int(out, "length", model->text_length);
    vx_out_string(out, "quality", model->text_quality[0] ? model->text_quality : NULL);
    vx_out_end(out, '}');
}

/* What the catalog knows, in addition to what is in memory. */
typedef struct stored {
    int64_t missing[VX_MODELS_MAX]; /* clips */
    vx_vector_space *spaces;        /* [n_spaces] */
    size_t n_spaces;
} stored;

static int find_stored(vx_server *server, stored *ret, vx_err *err) {
    int rc = vx_catalog_list_vector_spaces(server->catalog, &ret->spaces, &ret->n_spaces, err);
    for (int i = 0; i < server->models->n && !rc; i++)
        rc = vx_models_count_missing(&server->models->items[i], server->catalog, &ret->missing[i],
                                     err);
    return rc;
}

static void write_old_digests(vx_out *out, const vx_model *loaded, const stored *s) {
    vx_out_begin(out, "old_digests", '[');
    for (size_t i = 0; i < s->n_spaces; i++)
        if (!strcmp(s->spaces[i].model, loaded->info->name) && s->spaces[i].row != loaded->space &&
            !s->spaces[i].retired)
            vx_out_string(out, NULL, s->spaces[i].digest);
    vx_out_end(out, ']');
}

static void write_space(vx_out *out, const vx_vector_space *space) {
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "name", space->model);
    vx_out_string(out, "digest", space->digest);
    vx_out_int(out, "dim", space->dim);
    vx_out_int(out, "vectors", space->vectors);
    vx_out_int(out, "bytes", space->vectors * space->dim * (int64_t)sizeof(float));
    vx_out_bool(out, "deleting", space->retired);
    vx_out_end(out, '}');
}

static void write_unused(vx_out *out, const vx_server *server, const stored *s) {
    vx_out_begin(out, "unused", '[');
    for (size_t i = 0; i < s->n_spaces; i++)
        if (!vx_models_have_space(server->models, s->spaces[i].row))
            write_space(out, &s->spaces[i]);
    vx_out_end(out, ']');
}

/* The members of OpenAI's models. */
static void write_openai_members(vx_out *out, const vx_model_info *model) {
    vx_out_string(out, "id", model->name);
    vx_out_string(out, "object", "model");
    vx_out_int(out, "created", 0); /* not known */
    vx_out_string(out, "owned_by", model->source[0] ? model->source : "vidx");
}

static void write_index_gpu(vx_out *out, const vx_model *loaded) {
    vx_index_gpu_state there;
    vx_index_get_gpu_state(loaded->index, &there);
    if (!there.device) {
        vx_out_json(out, "index_gpu", "null");
        return;
    }
    vx_out_begin(out, "index_gpu", '{');
    vx_out_string(out, "device", there.device);
    vx_out_int(out, "vectors", there.rows);
    vx_out_int(out, "bytes", there.bytes);
    vx_out_end(out, '}');
}

static void write_devices(vx_out *out, const vx_embedder_stats *stats) {
    vx_out_begin(out, "devices", '[');
    for (int i = 0; i < stats->n_lines; i++) {
        const vx_embedder_line *line = &stats->lines[i];
        vx_out_begin(out, NULL, '{');
        vx_out_string(out, "device", line->device);
        vx_out_string(out, "state", line->lost ? "lost" : "ready");
        vx_out_string(out, "last_lost", line->why[0] ? line->why : NULL);
        vx_out_int(out, "clips", line->clips);
        vx_out_end(out, '}');
    }
    vx_out_end(out, ']');
}

static void write_model(vx_out *out, vx_model *loaded, bool is_default, const stored *s,
                        int64_t missing) {
    const vx_model_info *model = loaded->info;
    vx_embedder_stats stats;
    vx_embedder_get_stats(loaded->embedder, &stats);
    vx_out_begin(out, NULL, '{');
    write_openai_members(out, model);
    vx_out_string(out, "name", model->name);
    vx_out_string(out, "digest", model->digest);
    vx_out_string(out, "source", model->source);
    vx_out_string(out, "license", model->license);
    vx_out_string(out, "device", model->device);
    write_devices(out, &stats);
    vx_out_string(out, "dtype", model->dtype);
    vx_out_int(out, "dim", model->dim);
    vx_out_int(out, "frames", model->n_frames);
    vx_out_number(out, "target_fps", model->target_fps);
    vx_out_string(out, "sampling", model->sampling == VX_SAMPLE_CURATOR ? "curator" : "spread");
    vx_out_float(out, "similar_threshold", model->similar_threshold);
    write_text(out, model);
    vx_out_bool(out, "default", is_default);
    vx_out_string(out, "chosen", loaded->chosen);
    vx_out_string(out, "device_note", model->device_note[0] ? model->device_note : NULL);
    vx_out_string(out, "kernels_note", model->kernels_note);
    vx_out_int(out, "weights_bytes", model->weights_bytes);
    if (model->run_bytes)
        vx_out_int(out, "run_bytes", model->run_bytes);
    else
        vx_out_json(out, "run_bytes", "null");
    vx_out_int(out, "batch", stats.batch);
    vx_out_int(out, "max_batch", model->max_batch);
    vx_out_int(out, "out_of_memory", stats.out_of_memory);
    vx_out_begin(out, "slots", '{');
    vx_out_int(out, "count", stats.n_slots);
    vx_out_int(out, "max", stats.max_slots);
    vx_out_int(out, "bytes_each", stats.slot_bytes);
    vx_out_end(out, '}');
    vx_out_begin(out, "graphs", '{');
    vx_out_int(out, "count", stats.n_graphs);
    vx_out_int(out, "max", stats.max_graphs);
    vx_out_end(out, '}');
    vx_out_int(out, "vectors", vx_index_count(loaded->index));
    vx_out_int(out, "missing", missing);
    vx_out_int(out, "failures", atomic_load(&loaded->failures));
    vx_out_int(out, "index_bytes", (int64_t)vx_index_memory_bytes(loaded->index));
    write_index_gpu(out, loaded);
    write_old_digests(out, loaded, s);
    vx_out_end(out, '}');
}

/* The model that describes pictures, which is none of those above: nothing can be searched or embedded by it. */
static void write_copy_model(vx_out *out, const vx_server *server, const vx_verify_stats *stats) {
    if (!server->models->copy) {
        vx_out_json(out, "copy_model", "null");
        return;
    }
    vx_model *copy = &server->models->copy->items[0];
    const vx_model_info *model = copy->info;
    vx_out_begin(out, "copy_model", '{');
    vx_out_string(out, "name", model->name);
    vx_out_string(out, "digest", model->digest);
    vx_out_string(out, "source", model->source);
    vx_out_string(out, "license", model->license);
    vx_out_string(out, "device", model->device);
    vx_out_string(out, "dtype", model->dtype);
    vx_out_int(out, "dim", model->dim);
    vx_out_float(out, "threshold", model->similar_threshold);
    vx_out_int(out, "weights_bytes", model->weights_bytes);
    vx_out_int(out, "pictures", vx_index_count(copy->index));
    vx_out_int(out, "index_bytes", (int64_t)vx_index_memory_bytes(copy->index));
    vx_out_int(out, "undescribed", stats->undescribed);
    vx_out_int(out, "failures", atomic_load(&copy->failures));
    vx_out_end(out, '}');
}

/* The same models as OpenAI's API lists them. */
static void write_openai_list(vx_out *out, const vx_server *server) {
    vx_out_string(out, "object", "list");
    vx_out_begin(out, "data", '[');
    for (int i = 0; i < server->models->n; i++) {
        vx_out_begin(out, NULL, '{');
        write_openai_members(out, server->models->items[i].info);
        vx_out_end(out, '}');
    }
    vx_out_end(out, ']');
}

/* The GPUs that decode. Without one that does, null. */
static void write_gpu(vx_out *out, const vx_server *server) {
    if (!server->decoders.n) {
        vx_out_json(out, "gpu", "null");
        return;
    }
    vx_decoder_stats stats;
    vx_decoders_get_stats(&server->decoders, &stats);
    vx_out_begin(out, "gpu", '{');
    vx_out_string(out, "name", stats.card);
    vx_out_int(out, "count", server->decoders.n);
    vx_out_string(out, "kernels_note", server->kernels_note[0] ? server->kernels_note : NULL);
    vx_out_begin(out, "decoders", '{');
    vx_out_int(out, "count", stats.n_decoders);
    vx_out_int(out, "max", stats.max_decoders);
    vx_out_int(out, "bytes", stats.card_bytes);
    vx_out_int(out, "max_bytes", stats.max_card_bytes);
    vx_out_end(out, '}');
    vx_out_begin(out, "pictures", '{');
    vx_out_int(out, "bytes", stats.pictures.bytes);
    vx_out_int(out, "max_bytes", stats.pictures.max_bytes);
    vx_out_int(out, "refused", stats.pictures.n_refused);
    vx_out_end(out, '}');
    vx_out_end(out, '}');
}

/* The loaded model that the path names; NULL after a reply. */
static vx_model *find_loaded(vx_request *request) {
    vx_err err;
    vx_model *model = vx_models_find(request->server->models, request->args[0], &err);
    if (!model)
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND, "%s", err.msg);
    return model;
}

/* ---- POST /v1/models/{name}/backfill ---- */

static void finish_backfill(vx_request *request) {
    if (vx_change_succeeded(request, "model"))
        vx_jobs_reply_accepted(request, vx_change_job_id(request), "backfill");
}

void vx_models_backfill_post(vx_request *request) {
    vx_model *model = find_loaded(request);
    if (model && vx_change_begin(request, finish_backfill))
        vx_change_refuse(request, vx_backfill_submit(request->server->backfill, model,
                                                     vx_change_done_as_job, request));
}

/* ---- DELETE /v1/models/{name}/vectors ---- */

typedef struct deletion {
    vx_outcome refused; /* OK: the work ran, and rc is valid */
    int rc;
    vx_err err;
    vx_out body;
    size_t n;
} deletion;

static void free_deletion(void *state) {
    deletion *d = state;
    vx_out_clear(&d->body);
    free(d);
}

static void on_retired(void *ctx, int rc, const vx_vector_space *spaces, size_t n,
                       const vx_err *err) {
    vx_request *request = ctx;
    deletion *d = request->state;
    d->rc = rc;
    d->n = n;
    if (rc)
        d->err = *err;
    vx_out_begin_items(&d->body);
    for (size_t i = 0; i < n; i++) {
        vx_vector_space deleting = spaces[i];
        deleting.retired = true;
        write_space(&d->body, &deleting);
    }
    vx_out_end_items(&d->body, NULL);
    vx_out_end(&d->body, '}');
    vx_request_wake(request);
}

static void finish_deletion(vx_request *request) {
    deletion *d = request->state;
    if (d->refused)
        vx_reply_outcome(request, d->refused, NULL);
    else if (d->rc)
        vx_reply_failure(request, &d->err);
    else if (!d->n)
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND,
                         "Not found: no unused vectors of %.64s%s are stored. `unused` in "
                         "GET /v1/models lists them.",
                         request->args[0],
                         vx_request_value(request, "digest") ? " with this digest" : "");
    else
        vx_reply_json(request, VX_SUCCESS_ACCEPTED, &d->body);
}

/* Refuses to delete the vectors of a loaded model. Those of its other digests must be named. */
static bool is_in_use(vx_request *request, const char *digest) {
    vx_err err;
    const vx_model *model = vx_models_find(request->server->models, request->args[0], &err);
    if (!model || (digest && strcmp(digest, model->info->digest)))
        return false;
    vx_reply_problem(request, VX_PROBLEM_MODEL_LOADED,
                     "%s is loaded with the digest %s. To delete vectors of another digest, add "
                     "?digest= to the address.",
                     model->info->name, model->info->digest);
    return true;
}

void vx_models_vectors_delete(vx_request *request) {
    const char *digest = vx_request_value(request, "digest");
    if (is_in_use(request, digest))
        return;
    if (digest && (strlen(digest) != 64 || strspn(digest, "0123456789abcdef") != 64)) {
        vx_reply_problem(
            request, VX_PROBLEM_BAD_PARAMETER,
            "digest must be 64 hexadecimal digits, as listed under `unused` in GET /v1/models.");
        return;
    }
    deletion *d = request->state = vx_new(deletion);
    request->state_free = free_deletion;
    request->failed |= !d;
    if (!d)
        return;
    vx_request_wait(request, finish_deletion);
    vx_outcome refused = vx_library_retire_spaces(request->server->library, request->args[0],
                                                  digest, on_retired, request);
    if (!refused)
        return; /* the writer uses d now */
    if (refused == VX_OUTCOME_INTERNAL)
        d->rc = VX_FAIL(&d->err, -ENOMEM, "out of memory");
    else
        d->refused = refused;
    vx_request_wake(request);
}

/* ---- GET /v1/models, GET /v1/models/{name} ---- */

void vx_models_list_get(vx_request *request) {
    vx_server *server = request->server;
    VX_AUTO_OUT out = {0};
    stored s = {0};
    vx_verify_stats second_looks;
    vx_err err;
    if (find_stored(server, &s, &err) || vx_verify_get_stats(server->verify, &second_looks, &err)) {
        free(s.spaces);
        vx_reply_failure(request, &err);
        return;
    }
    vx_out_begin_items(&out);
    for (int i = 0; i < server->models->n; i++)
        write_model(&out, &server->models->items[i], i == 0, &s, s.missing[i]);
    vx_out_end_items(&out, NULL);
    write_copy_model(&out, server, &second_looks);
    write_unused(&out, server, &s);
    write_openai_list(&out, server);
    write_gpu(&out, server);
    vx_out_end(&out, '}');
    free(s.spaces);
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

void vx_models_one_get(vx_request *request) {
    vx_server *server = request->server;
    vx_model *model = find_loaded(request);
    VX_AUTO_OUT out = {0};
    stored s = {0};
    vx_err err;
    if (!model)
        return;
    if (find_stored(server, &s, &err)) {
        vx_reply_failure(request, &err);
    } else {
        ptrdiff_t i = model - server->models->items;
        write_model(&out, model, i == 0, &s, s.missing[i]);
        vx_reply_json(request, VX_SUCCESS_OK, &out);
    }
    free(s.spaces);
}
