/* parts.c — see the header. */
#include "parts.h"

#include "backfill/fill.h"
#include "library/vector_spaces.h"
#include "server/server.h"

_Static_assert(VX_BATCH_MODELS_MAX >= VX_MODELS_MAX, "every model of a server has its place");

void vx_batch_parts_of(vx_server *server, int workers, vx_batch_parts *ret_parts) {
    *ret_parts = (vx_batch_parts){
        .server = server,
        .catalog = server->catalog,
        .n_models = server->n_models,
        .clip = server->clip,
        .shots = server->shots,
        .limits = &server->params.media,
        .fingerprints = server->params.fingerprints,
        .workers = workers,
    };
    for (int m = 0; m < server->n_models; m++)
        ret_parts->models[m] = (vx_batch_model){server->models[m].info, server->models[m].index};
}

vx_outcome vx_batch_submit(const vx_batch_parts *parts, vx_ingest_item *item) {
    return vx_ingest_submit(parts->server, item);
}

void vx_batch_stop_ingest(const vx_batch_parts *parts) {
    atomic_store(&parts->server->stopping, true);
}

vx_outcome vx_batch_set_metadata(const vx_batch_parts *parts, const char *video_id,
                                 const char *metadata, vx_commit_video_done done, void *ctx) {
    return vx_commit_set_metadata(parts->server, video_id, metadata, done, ctx);
}

vx_outcome vx_batch_delete_video(const vx_batch_parts *parts, const char *video_id,
                                 vx_commit_video_done done, void *ctx) {
    return vx_commit_delete_video(parts->server, video_id, VX_COMMIT_WAIT, done, ctx);
}

int vx_batch_count_missing(const vx_batch_parts *parts, int m, int64_t *ret_clips, vx_err *err) {
    return vx_server_count_missing(parts->server, &parts->server->models[m], ret_clips, err);
}

vx_outcome vx_batch_fill_video(const vx_batch_parts *parts, const vx_video *video, const char *path,
                               unsigned models, int decode_threads, const vx_extract_watch *watch,
                               vx_err *err) {
    const vx_fill want = {
        .video = video,
        .path = path,
        .models = models,
        .decode_threads = decode_threads,
        .watch = watch,
    };
    return vx_fill_video(parts->server, &want, err);
}

int vx_batch_remove_old_vectors(const vx_batch_parts *parts, int m, vx_err *err) {
    return vx_spaces_give_up_old(parts->server, &parts->server->models[m], err);
}
