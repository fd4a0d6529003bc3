/* models.c — GET /v1/models: what is loaded, where it runs, what its scores mean. */
#include "api/reply.h"
#include "api/resources.h"
#include "server.h"

static void write_model(vx_out *out, vx_server *server) {
    const vx_model_info *model = vx_embedder_info(server->embedder);
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
    vx_out_bool(out, "text", model->has_text);
    vx_out_int(out, "vectors", vx_index_count(server->index));
    vx_out_int(out, "index_bytes", (int64_t)vx_index_memory_bytes(server->index));
    vx_out_end(out, '}');
}

void vx_models_list_get(vx_request *request) {
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_begin(&out, "items", '[');
    write_model(&out, request->server);
    vx_out_end(&out, ']');
    vx_out_string(&out, "next", NULL);
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}
