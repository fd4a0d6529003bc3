/* models.c — GET /v1/models: what is loaded, where it runs, what its scores mean, what it lacks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/change.h"
#include "api/reply.h"
#include "api/resources.h"
#include "backfill.h"
#include "server.h"

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

#define OLD_DIGESTS_MAX 8

/* What the answer tells beside what is in memory. */
typedef struct model_store {
    int64_t missing;
    char old_digests[OLD_DIGESTS_MAX][65];
    size_t n_old;
} model_store;

static int find_stored(vx_server *server, vx_model *model, model_store *ret, vx_err *err) {
    int rc = vx_server_count_missing(server, model, &ret->missing, err);
    return rc ? rc
              : vx_catalog_old_digests(server->catalog, model->info->name, model->space,
                                       OLD_DIGESTS_MAX, ret->old_digests, &ret->n_old, err);
}

static void write_model(vx_out *out, vx_model *loaded, bool is_default, const model_store *stored) {
    const vx_model_info *model = loaded->info;
    vx_embedder_stats stats;
    vx_embedder_get_stats(loaded->embedder, &stats);
    vx_out_begin(out, NULL, '{');
    vx_out_string(out, "name", model->name);
    vx_out_string(out, "digest", model->digest);
    vx_out_string(out, "source", model->source);
    vx_out_string(out, "license", model->license);
    vx_out_string(out, "device", model->device);
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
    vx_out_int(out, "weights_bytes", model->weights_bytes);
    if (model->run_bytes)
        vx_out_int(out, "run_bytes", model->run_bytes);
    else
        vx_out_json(out, "run_bytes", "null");
    vx_out_int(out, "batch", stats.batch);
    vx_out_int(out, "max_batch", model->max_batch);
    vx_out_int(out, "out_of_memory", stats.out_of_memory);
    vx_out_int(out, "vectors", vx_index_count(loaded->index));
    vx_out_int(out, "missing", stored->missing);
    vx_out_int(out, "failures", atomic_load(&loaded->failures));
    vx_out_int(out, "index_bytes", (int64_t)vx_index_memory_bytes(loaded->index));
    vx_out_begin(out, "old_digests", '[');
    for (size_t i = 0; i < stored->n_old; i++)
        vx_out_string(out, NULL, stored->old_digests[i]);
    vx_out_end(out, ']');
    vx_out_end(out, '}');
}

/* ---- POST /v1/models/{name}/backfill ---- */

static void finish_backfill(vx_request *request) {
    if (vx_change_succeeded(request, "model"))
        vx_jobs_reply_accepted(request, vx_change_job_id(request), "backfill");
}

void vx_models_backfill_post(vx_request *request) {
    vx_err err;
    vx_model *model = vx_server_find_model(request->server, request->args[0], &err);
    if (!model) {
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND, "%s", err.msg);
        return;
    }
    if (vx_change_begin(request, finish_backfill))
        vx_change_refuse(
            request, vx_backfill_submit(request->server, model, vx_change_done_as_job, request));
}

/* ---- GET /v1/models ---- */

void vx_models_list_get(vx_request *request) {
    vx_server *server = request->server;
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_begin(&out, "items", '[');
    for (int i = 0; i < server->n_models; i++) {
        model_store stored;
        vx_err err;
        if (find_stored(server, &server->models[i], &stored, &err)) {
            vx_reply_failure(request, &err);
            return;
        }
        write_model(&out, &server->models[i], i == 0, &stored);
    }
    vx_out_end(&out, ']');
    vx_out_string(&out, "next", NULL);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}
