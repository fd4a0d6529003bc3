/* commit_video.c — delete and change a stored video, through the committer. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "writer/writer.h"
#include "cutter/cutter.h"

typedef struct video_op {
    vx_commit_op op;
    char id[VX_VIDEO_ID_CHARS + 1];
    char *metadata;  /* NULL = delete */
    vx_video *video; /* delete: what was removed */
    vx_commit_video_done done;
    void *ctx;
} video_op;

static void free_op(video_op *o) {
    vx_video_free(o->video);
    free(o->metadata);
    free(o);
}

static int metadata_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    video_op *o = (video_op *)op;
    return vx_catalog_set_metadata(server->catalog, o->id, o->metadata, err);
}

static void metadata_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    (void)server;
    video_op *o = (video_op *)op;
    o->done(o->ctx, rc, err);
    free_op(o);
}

static int delete_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    video_op *o = (video_op *)op;
    int rc = vx_catalog_get_video(server->catalog, o->id, &o->video, err);
    if (rc)
        return rc;
    return vx_catalog_delete_video(server->catalog, o->id, err);
}

/* The stored file goes last: a crash before leaves a file without a video, which the sweep at the
 * next start removes. It stays if the same bytes were stored anew by a later operation. */
static void remove_file(vx_server *server, const vx_video *video) {
    bool stored_again = true;
    vx_err err;
    if (video->source_path ||
        vx_catalog_has_sha256(server->catalog, video->sha256, &stored_again, &err) || stored_again)
        return;
    if (vx_store_remove(server->store, video->sha256, &err))
        vx_log_failed(VX_LOG_WARN, "delete", &err, "video=%s", video->id);
}

static void delete_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    video_op *o = (video_op *)op;
    if (!rc) {
        vx_server_forget_clips(server, o->video);
        vx_fp_index_remove(server->fingerprints, o->video->row, NULL);
        remove_file(server, o->video);
        vx_cutter_forget(server, o->video->id);
    }
    o->done(o->ctx, rc, err);
    free_op(o);
}

static vx_outcome submit(vx_server *server, const char *video_id, char *metadata, vx_commit_op op,
                         vx_commit_when_full when_full, vx_commit_video_done done, void *ctx) {
    video_op *o = vx_new(video_op);
    if (!o || strlen(video_id) > VX_VIDEO_ID_CHARS) {
        vx_err err;
        int rc = o ? VX_FAIL(&err, VX_CATALOG_NOT_FOUND, "there is no such video")
                   : VX_FAIL(&err, -ENOMEM, "no memory");
        free(metadata);
        free(o);
        done(ctx, rc, &err);
        return VX_OUTCOME_OK;
    }
    *o = (video_op){.op = op, .metadata = metadata, .done = done, .ctx = ctx};
    strcpy(o->id, video_id);
    vx_outcome refused = vx_commit_submit(server, &o->op, when_full);
    if (refused)
        free_op(o);
    return refused;
}

vx_outcome vx_commit_delete_video(vx_server *server, const char *video_id,
                                  vx_commit_when_full when_full, vx_commit_video_done done,
                                  void *ctx) {
    return submit(server, video_id, NULL,
                  (vx_commit_op){.apply = delete_apply, .done = delete_done}, when_full, done, ctx);
}

vx_outcome vx_commit_set_metadata(vx_server *server, const char *video_id,
                                  const char *metadata_json, vx_commit_video_done done, void *ctx) {
    char *copy = strdup(metadata_json);
    if (!copy) {
        vx_err err;
        done(ctx, VX_FAIL(&err, -ENOMEM, "no memory"), &err);
        return VX_OUTCOME_OK;
    }
    return submit(server, video_id, copy,
                  (vx_commit_op){.apply = metadata_apply, .done = metadata_done}, VX_COMMIT_WAIT,
                  done, ctx);
}
