/* thumbnail.c — GET /v1/videos/{id}/thumbnail: one frame as JPEG, made on a search thread. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/resources/handlers.h"
#include "api/resources/videos.h"
#include "media/media.h"
#include "server/server.h"

typedef struct thumbnail {
    vx_request *request; /* borrows */
    vx_stored_file file;
    char table_path[PATH_MAX], etag[128];
    double time_s;
    int side_px, rc;
    bool started;
    uint8_t *jpeg;
    size_t n;
    vx_err err;
} thumbnail;

static void free_thumbnail(void *state) {
    thumbnail *thumb = state;
    vx_stored_file_release(&thumb->file);
    free(thumb->jpeg);
    free(thumb);
}

static void make(void *ctx) {
    thumbnail *thumb = ctx;
    const vx_media_thumbnail_params params = {.path = thumb->file.path,
                                              .table_path = thumb->table_path,
                                              .time_s = thumb->time_s,
                                              .max_side_px = thumb->side_px};
    thumb->rc = vx_media_thumbnail(&params, &thumb->jpeg, &thumb->n, &thumb->err);
    vx_request_wake(thumb->request);
}

/* The file of a video id never changes, so browsers may keep its thumbnails. */
static void add_cache_headers(vx_request *request, const char *etag) {
    vx_reply_header(request, MHD_HTTP_HEADER_ETAG, etag);
    vx_reply_header(request, MHD_HTTP_HEADER_CACHE_CONTROL, "private, max-age=31536000, immutable");
}

static void finish(vx_request *request) {
    thumbnail *thumb = request->state;
    if (!thumb->started) {
        vx_reply_problem(request, VX_PROBLEM_BUSY, NULL);
    } else if (thumb->rc > 0) {
        /* The video was decoded on upload, so only a frame that was skipped then can fail. */
        vx_reply_problem(request, VX_PROBLEM_MEDIA_DAMAGED,
                         "No frame can be decoded at this time: %s", thumb->err.msg);
    } else if (thumb->rc) {
        vx_videos_reply_lost(request, &thumb->err);
    } else {
        vx_reply_bytes(request, vx_take(thumb->jpeg), thumb->n, "image/jpeg");
        add_cache_headers(request, thumb->etag);
    }
}

static bool read_parameters(vx_request *request, const vx_video *video, thumbnail *thumb) {
    int64_t side_px;
    double last_s = video->duration_s > 0 ? video->duration_s : 0;
    /* From the middle, because the first frame is often black. */
    if (!vx_params_number(request, "t", 0, last_s, last_s / 2, &thumb->time_s) ||
        !vx_params_int(request, "size", 16, 2048, 320, &side_px))
        return false;
    thumb->side_px = (int)side_px;
    snprintf(thumb->etag, sizeof thumb->etag, "\"%s-%.6f-%d-%d\"", video->id, thumb->time_s,
             thumb->side_px, VX_MEDIA_RULES);
    return true;
}

void vx_thumbnail_get(vx_request *request) {
    VX_AUTO(vx_video) video = vx_videos_find_with_file(request);
    if (!video)
        return;
    thumbnail *thumb = request->state = vx_new(thumbnail);
    request->state_free = thumb ? free_thumbnail : NULL;
    request->failed |= !thumb;
    if (thumb)
        thumb->file = VX_NO_STORED_FILE;
    if (!thumb || !read_parameters(request, video, thumb))
        return;
    thumb->request = request;
    const char *known = vx_request_header(request, MHD_HTTP_HEADER_IF_NONE_MATCH);
    if (known && strstr(known, thumb->etag)) {
        vx_reply_empty(request, VX_SUCCESS_NOT_MODIFIED);
        add_cache_headers(request, thumb->etag);
        return;
    }
    vx_store_table_path(request->server->store, video->sha256, thumb->table_path,
                        sizeof thumb->table_path);
    if (!vx_videos_find_file(request, video, &thumb->file))
        return;
    thumb->started = true;
    vx_request_wait(request, finish);
    if (!vx_search_run(request->server->search, make, thumb)) {
        thumb->started = false;
        vx_request_wake(request);
    }
}
