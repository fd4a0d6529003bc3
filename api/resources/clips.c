/* clips.c — GET /v1/videos/{id}/clips/{n}/content: one clip, cut out as an MP4 file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/resources/content.h"
#include "api/resources/handlers.h"
#include "api/resources/videos.h"
#include "server/server.h"

typedef struct clip_file {
    vx_cutting cutting;
    vx_request *request; /* borrows */
    char filename[4 * VX_MAX_FILENAME_CHARS + 32];
    bool refused;
} clip_file;

static void free_clip_file(void *state) {
    clip_file *file = state;
    if (file->cutting.fd >= 0)
        close(file->cutting.fd);
    vx_stored_file_release(&file->cutting.file);
    free(file);
}

/* Whether the client is still connected. libmicrohttpd does not watch suspended connections, so this
 * looks at the socket: end of file means that the client has closed it. */
static bool is_wanted(void *ctx) {
    const clip_file *file = ctx;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(file->request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char byte;
    if (!info)
        return true;
    ssize_t n = recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

static void on_done(void *ctx) {
    vx_request_wake(((clip_file *)ctx)->request);
}

/* A clip that is cut again may have other bytes, so the tag includes the file. */
static void reply_file(vx_request *request, clip_file *file) {
    struct stat facts;
    char etag[128];
    vx_err err;
    if (fstat(file->cutting.fd, &facts)) {
        VX_FAIL_ERRNO(&err, "asking for the size of a clip");
        vx_reply_failure(request, &err);
        return;
    }
    snprintf(etag, sizeof etag, "\"%s-%d-%d-%llx-%llx\"", file->cutting.video_id,
             file->cutting.index, file->cutting.may_copy, (unsigned long long)facts.st_ino,
             (unsigned long long)facts.st_size);
    int fd = file->cutting.fd;
    file->cutting.fd = -1; /* vx_content_send takes it */
    vx_content_send(request, fd, facts.st_size, etag, "video/mp4", file->filename);
}

static void finish(vx_request *request) {
    clip_file *file = request->state;
    int rc = file->cutting.rc;
    if (file->refused)
        vx_reply_problem(request, VX_PROBLEM_BUSY, "Too many clips are waiting to be cut.");
    else if (!rc)
        reply_file(request, file);
    else if (rc == VX_MEDIA_STOPPED)
        vx_reply_problem(request,
                         atomic_load(&request->server->stopping) ? VX_PROBLEM_STOPPING
                                                                 : VX_PROBLEM_CANCELLED,
                         NULL);
    else if (rc == VX_MEDIA_NO_ENCODER)
        vx_reply_problem(request, VX_PROBLEM_NO_ENCODER, "Cutting this clip needs an encoder: %s",
                         file->cutting.err.msg);
    else if (rc == VX_CUTTER_GONE)
        vx_reply_problem(request, VX_PROBLEM_NOT_FOUND,
                         "Not found: the video was deleted meanwhile.");
    else if (rc > 0)
        vx_reply_problem(request, VX_PROBLEM_MEDIA_DAMAGED, "The clip cannot be cut: %s",
                         file->cutting.err.msg);
    else
        vx_videos_reply_lost(request, &file->cutting.err);
}

/* The clip with the number args[1]; NULL after a reply. */
static const vx_clip *find_clip(vx_request *request, const vx_video *video) {
    char *end;
    long index = strtol(request->args[1], &end, 10);
    for (size_t i = 0; *request->args[1] && !*end && i < video->n_clips; i++)
        if (video->clips[i].index == index)
            return &video->clips[i];
    vx_reply_problem(request, VX_PROBLEM_NOT_FOUND,
                     "Not found: the video has %zu clips, numbered from 0.", video->n_clips);
    return NULL;
}

static clip_file *describe(vx_request *request, const vx_video *video, const vx_clip *clip,
                           bool may_copy) {
    clip_file *file = vx_new(clip_file);
    if (!file)
        return NULL;
    const char *dot = strrchr(video->filename, '.');
    int stem = (int)(dot && dot != video->filename ? dot - video->filename
                                                   : (ptrdiff_t)strlen(video->filename));
    *file = (clip_file){.request = request,
                        .cutting = {.index = clip->index,
                                    .start_s = clip->start_s,
                                    .end_s = clip->end_s,
                                    .may_copy = may_copy,
                                    .wanted = is_wanted,
                                    .done = on_done,
                                    .ctx = file,
                                    .file = VX_NO_STORED_FILE,
                                    .fd = -1}};
    snprintf(file->cutting.video_id, sizeof file->cutting.video_id, "%s", video->id);
    snprintf(file->filename, sizeof file->filename, "%.*s.%d.mp4", stem, video->filename,
             clip->index);
    vx_store_table_path(request->server->store, video->sha256, file->cutting.table_path,
                        sizeof file->cutting.table_path);
    return file;
}

void vx_clip_content_get(vx_request *request) {
    int may_copy;
    if (!vx_params_choice(request, "copy", "false true", 0, &may_copy))
        return;
    VX_AUTO(vx_video) video = vx_videos_find_with_file(request);
    const vx_clip *clip = video ? find_clip(request, video) : NULL;
    if (!clip)
        return;
    clip_file *file = request->state = describe(request, video, clip, may_copy);
    request->state_free = file ? free_clip_file : NULL;
    request->failed |= !file;
    if (!file)
        return;
    file->cutting.fd = vx_cutter_open(request->server->cutter, &file->cutting);
    if (file->cutting.fd >= 0) {
        reply_file(request, file);
        return;
    }
    if (!vx_videos_find_file(request, video, &file->cutting.file))
        return;
    vx_request_wait(request, finish);
    if (vx_cutter_submit(request->server->cutter, &file->cutting))
        return;
    file->refused = true;
    vx_request_wake(request);
}
