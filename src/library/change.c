/* change.c — changes and deletes stored videos through the writer. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "library_internal.h"

/* 100,000 copies of one video would hold the writer for a second and more: so a deletion first orphans them
 * in steps, between which others write. Each takes some 20 ms. */
enum { ORPHANS_AT_ONCE = 1000 };

typedef struct video_write {
    vx_write write;
    vx_library *library;
    char id[VX_VIDEO_ID_CHARS + 1];
    char *filename;   /* to set; NULL = keep */
    char *metadata;   /* to set or merge; NULL = keep */
    vx_video *video;  /* delete: what was removed */
    int64_t decision; /* delete: that says so, 0 = a client */
    bool more;        /* delete: this was a step, the video is still there */
    vx_job *rejudge;  /* delete: the job that judges orphans anew, if this made it */
    bool rejudge_committed;
    vx_library_done done;
    void *ctx;
} video_write;

static void free_write(video_write *w) {
    vx_video_free(w->video);
    free(w->filename);
    free(w->metadata);
    free(w);
}

static int apply_set_metadata(vx_write *write, vx_err *err) {
    const video_write *w = VX_CONTAINER_OF(write, video_write, write);
    return vx_catalog_set_metadata(w->library->params.collection->catalog, w->id, w->metadata, err);
}

static int apply_patch(vx_write *write, vx_err *err) {
    const video_write *w = VX_CONTAINER_OF(write, video_write, write);
    vx_catalog *catalog = w->library->params.collection->catalog;
    int rc = w->filename ? vx_catalog_set_filename(catalog, w->id, w->filename, err) : 0;
    if (!rc && w->metadata)
        rc = vx_catalog_merge_metadata(catalog, w->id, w->metadata, err);
    return rc;
}

static void finish_metadata(vx_write *write, int rc, const vx_err *err) {
    video_write *w = VX_CONTAINER_OF(write, video_write, write);
    w->done(w->ctx, rc, err);
    free_write(w);
}

static int apply_delete(vx_write *write, vx_err *err) {
    video_write *w = VX_CONTAINER_OF(write, video_write, write);
    vx_catalog *catalog = w->library->params.collection->catalog;
    size_t n_orphans = 0;
    /* of an attempt before, see vx_write.makes_room */
    w->video = vx_video_free(w->video);
    if (!w->rejudge_committed) {
        vx_library_finish_rejudge(w->library, w->rejudge, -EAGAIN);
        w->rejudge = NULL;
    }
    int rc = w->decision ? vx_catalog_check_deletion(catalog, w->decision, w->id, err) : 0;
    if (!rc)
        rc = vx_catalog_get_video(catalog, w->id, &w->video, err);
    if (!rc)
        rc = vx_catalog_orphan_copies(catalog, w->id, ORPHANS_AT_ONCE, &n_orphans, err);
    w->more = n_orphans == ORPHANS_AT_ONCE;
    if (!rc && !w->more)
        rc = vx_catalog_delete_video(catalog, w->id, err);
    if (!rc && !w->more && w->decision)
        rc = vx_catalog_set_deleted(catalog, w->decision, w->id, err);
    if (!rc && n_orphans && !w->rejudge)
        rc = vx_library_begin_rejudge(w->library, &w->rejudge, err);
    return rc;
}

/* The stored file goes last: a crash before leaves a file without a video, which the sweep at the
 * next start removes. It stays if the same bytes were stored anew by a later write. */
static void remove_file(const vx_library_params *p, const vx_video *video) {
    bool stored_again = true;
    vx_err err;
    if (vx_catalog_has_sha256(p->collection->catalog, video->sha256, &stored_again, &err) ||
        stored_again)
        return;
    if (video->source_path)
        vx_store_remove_table(p->store, video->sha256);
    else if (vx_store_remove(p->store, video->sha256, &err))
        vx_log_failed(VX_LOG_WARN, "delete", &err, "video=%s", video->id);
}

static void finish_delete(vx_write *write, int rc, const vx_err *err) {
    video_write *w = VX_CONTAINER_OF(write, video_write, write);
    const vx_library_params *p = &w->library->params;
    w->rejudge_committed |= w->rejudge && !rc;
    if (!rc && w->more) {
        w->write.retried = false;
        if (!vx_writer_submit(p->writer, write, VX_WRITER_WAIT))
            return;
    }
    vx_err refused;
    if (!rc && w->more) {
        rc = VX_FAIL(&refused, -EBUSY, "too many changes are waiting to be written");
        err = &refused;
    }
    if (!rc) {
        vx_collection_unindex(p->collection, w->video);
        vx_collection_file_is_back(p->collection, w->video->row); /* it is missed no more */
        remove_file(p, w->video);
        if (!vx_store_has_ballast(p->store)) /* there may be room for it now */
            vx_library_wake_upkeep(w->library);
        if (p->cutter)
            vx_cutter_forget(p->cutter, w->video->id);
        if (p->on_deleted)
            p->on_deleted(p->on_deleted_ctx);
    }
    /* after a step the job has copies to judge, also if the video stays */
    vx_library_finish_rejudge(w->library, w->rejudge, w->rejudge_committed ? 0 : rc);
    w->done(w->ctx, rc, err);
    free_write(w);
}

/* Takes filename and metadata. */
static vx_outcome submit(vx_library *library, const char *video_id, char *filename, char *metadata,
                         int64_t decision, vx_write write, vx_when_full when_full,
                         vx_library_done done, void *ctx) {
    video_write *w = vx_new(video_write);
    if (!w || strlen(video_id) > VX_VIDEO_ID_CHARS) {
        vx_err err;
        int rc = w ? VX_FAIL(&err, VX_CATALOG_NOT_FOUND, "there is no such video")
                   : VX_FAIL(&err, -ENOMEM, "no memory");
        free(filename);
        free(metadata);
        free(w);
        done(ctx, rc, &err);
        return VX_OUTCOME_OK;
    }
    *w = (video_write){.write = write,
                       .library = library,
                       .filename = filename,
                       .metadata = metadata,
                       .decision = decision,
                       .done = done,
                       .ctx = ctx};
    strcpy(w->id, video_id);
    vx_outcome refused = vx_writer_submit(library->params.writer, &w->write, when_full);
    if (refused)
        free_write(w);
    return refused;
}

vx_outcome vx_library_delete_video(vx_library *library, const char *video_id,
                                   vx_when_full when_full, vx_library_done done, void *ctx) {
    const vx_write write = {.apply = apply_delete, .done = finish_delete, .makes_room = true};
    return submit(library, video_id, NULL, NULL, 0, write, when_full, done, ctx);
}

vx_outcome vx_library_delete_decided(vx_library *library, const char *video_id, int64_t decision,
                                     vx_library_done done, void *ctx) {
    const vx_write write = {.apply = apply_delete, .done = finish_delete, .makes_room = true};
    return submit(library, video_id, NULL, NULL, decision, write, VX_WRITER_WAIT, done, ctx);
}

vx_outcome vx_library_set_metadata(vx_library *library, const char *video_id,
                                   const char *metadata_json, vx_library_done done, void *ctx) {
    char *copy = strdup(metadata_json);
    if (!copy) {
        vx_err err;
        done(ctx, VX_FAIL(&err, -ENOMEM, "no memory"), &err);
        return VX_OUTCOME_OK;
    }
    const vx_write write = {.apply = apply_set_metadata, .done = finish_metadata};
    return submit(library, video_id, NULL, copy, 0, write, VX_WRITER_WAIT, done, ctx);
}

vx_outcome vx_library_patch_video(vx_library *library, const char *video_id, char *filename,
                                  char *patch_json, vx_library_done done, void *ctx) {
    const vx_write write = {.apply = apply_patch, .done = finish_metadata};
    return submit(library, video_id, filename, patch_json, 0, write, VX_WRITER_REFUSE, done, ctx);
}
