/* models.c — GET /v1/models: what is loaded, where it runs, what its scores mean, what it lacks. */
#include "api/reply.h"
#include "api/resources.h"
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

static void write_model(vx_out *out, vx_model *loaded, bool is_default, int64_t missing) {
    const vx_model_info *model = loaded->info;
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
    vx_out_int(out, "vectors", vx_index_count(loaded->index));
    vx_out_int(out, "missing", missing);
    vx_out_int(out, "failures", atomic_load(&loaded->failures));
    vx_out_int(out, "index_bytes", (int64_t)vx_index_memory_bytes(loaded->index));
    vx_out_end(out, '}');
}

void vx_models_list_get(vx_request *request) {
    vx_server *server = request->server;
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_begin(&out, "items", '[');
    for (int i = 0; i < server->n_models; i++) {
        int64_t missing;
        vx_err err;
        if (vx_server_count_missing(server, &server->models[i], &missing, &err)) {
            vx_reply_failure(request, &err);
            return;
        }
        write_model(&out, &server->models[i], i == 0, missing);
    }
    vx_out_end(&out, ']');
    vx_out_string(&out, "next", NULL);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}
