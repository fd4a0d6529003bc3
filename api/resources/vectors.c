/* vectors.c — GET /v1/videos/{id}/vectors: streamed clip by clip, so that ten thousand clips need no
 * more memory than one. */
#include <string.h>

#include "api/http/reply.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "api/resources/videos.h"
#include "base/log.h"
#include "embed/embed.h"
#include "server/server.h"

#define BLOCK_BYTES ((size_t)32 * 1024)

typedef struct stream {
    vx_server *server;     /* borrows */
    const vx_model *model; /* borrows */
    vx_video *video;
    float *vector; /* float32 [dim] */
    size_t next_clip;
    vx_out out; /* still to be sent, from `sent` on */
    size_t sent;
    bool ended;
} stream;

static void free_stream(void *ctx) {
    stream *s = ctx;
    vx_video_free(s->video);
    free(s->vector);
    vx_out_clear(&s->out);
    free(s);
}

/* Appends the next clip. */
static int write_clip(stream *s, vx_err *err) {
    const vx_clip *clip = &s->video->clips[s->next_clip];
    int dim = s->model->info->dim;
    int rc =
        vx_catalog_get_vector(s->server->catalog, s->model->space, clip->row, s->vector, dim, err);
    if (rc)
        return rc;
    char id[VX_CLIP_ID_CHARS + 1];
    vx_clip_id_of(s->video->id, clip->index, id);
    vx_out_text(&s->out, s->next_clip ? ",\n{" : "\n{");
    vx_out_string(&s->out, "clip_id", id);
    vx_show_seconds(&s->out, "start_s", clip->start_s);
    vx_show_seconds(&s->out, "end_s", clip->end_s);
    vx_out_begin(&s->out, "vector", '[');
    for (int i = 0; i < dim; i++)
        vx_out_float(&s->out, NULL, s->vector[i]);
    vx_out_end(&s->out, ']');
    vx_out_end(&s->out, '}');
    s->next_clip++;
    return 0;
}

static ssize_t read_stream(void *ctx, uint64_t at, char *buffer, size_t capacity) {
    (void)at;
    stream *s = ctx;
    vx_err err;
    if (s->sent == s->out.n) {
        s->out.n = s->sent = 0;
        if (s->ended)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (s->next_clip < s->video->n_clips) {
            if (write_clip(s, &err)) {
                /* The video was deleted, or the disk failed. The status is sent already, so all that
                 * is left is to break off. */
                vx_log_failed(VX_LOG_WARN, "vectors", &err, "video=%s", s->video->id);
                return MHD_CONTENT_READER_END_WITH_ERROR;
            }
        } else {
            vx_out_text(&s->out, "\n]}\n");
            s->ended = true;
        }
    }
    if (s->out.failed)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = s->out.n - s->sent < capacity ? s->out.n - s->sent : capacity;
    memcpy(buffer, s->out.text + s->sent, n);
    s->sent += n;
    return (ssize_t)n;
}

/* The requested model, if the video has vectors of it; NULL after a reply. Checked here because the
 * status is sent before the first vector is read. */
static const vx_model *find_model(vx_request *request, const vx_video *video) {
    vx_err err;
    vx_model *model =
        vx_models_find(request->server->models, vx_request_value(request, "model"), &err);
    if (!model) {
        vx_reply_problem(request, VX_PROBLEM_WRONG_SPACE, "%s", err.msg);
        return NULL;
    }
    if (vx_index_has(model->index, video->clips[0].row))
        return model;
    vx_reply_problem(request, VX_PROBLEM_NOT_FOUND,
                     "Not found: this video has no vectors of model %s yet. "
                     "POST /v1/models/%s/backfill computes the missing ones.",
                     model->info->name, model->info->name);
    return NULL;
}

void vx_vectors_get(vx_request *request) {
    VX_AUTO(vx_video) video = vx_videos_find(request);
    if (!video)
        return;
    const vx_model *model = find_model(request, video);
    if (!model)
        return;
    stream *s = vx_new(stream);
    float *vector = vx_new_array((size_t)model->info->dim, sizeof *vector);
    if (!s || !vector) {
        free(s);
        free(vector);
        request->failed = true;
        return;
    }
    *s = (stream){
        .server = request->server, .model = model, .video = vx_take(video), .vector = vector};
    vx_out_begin(&s->out, NULL, '{');
    vx_out_string(&s->out, "model", model->info->name);
    vx_out_string(&s->out, "digest", model->info->digest);
    vx_out_int(&s->out, "dim", model->info->dim);
    vx_out_string(&s->out, "frames", vx_clip_frames_name(s->video->frames));
    vx_out_begin(&s->out, "items", '[');
    struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES,
                                                                      read_stream, s, free_stream);
    if (!response)
        free_stream(s);
    vx_reply_response(request, VX_SUCCESS_OK, response, -1);
    vx_reply_header(request, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
}
