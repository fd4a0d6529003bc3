/* videos.c — /v1/videos: list, get, rename, change metadata, delete. */
#include "api/resources/videos.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/http/body.h"
#include "api/http/json.h"
#include "api/http/params.h"
#include "api/http/reply.h"
#include "api/http/text.h"
#include "api/resources/change.h"
#include "api/resources/handlers.h"
#include "api/resources/show.h"
#include "server/server.h"

#define MAX_METADATA_BYTES ((size_t)256 * 1024)

bool vx_videos_check_filename(vx_request *request, const char *name) {
    if (*name && vx_utf8_is_plain(name) && vx_utf8_length(name) <= VX_MAX_FILENAME_CHARS)
        return true;
    vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                     "filename must be 1 to %d characters of UTF-8 without control characters.",
                     VX_MAX_FILENAME_CHARS);
    return false;
}

/* ---- One ---- */

vx_video *vx_videos_find(vx_request *request) {
    vx_video *video = NULL;
    vx_err err;
    int rc = vx_catalog_get_video(request->server->catalog, request->args[0], &video, &err);
    if (rc == VX_CATALOG_NOT_FOUND)
        vx_reply_not_found(request, "video", request->args[0]);
    else if (rc)
        vx_reply_failure(request, &err);
    return rc ? NULL : video;
}

vx_video *vx_videos_find_with_file(vx_request *request) {
    VX_AUTO(vx_video) video = vx_videos_find(request);
    if (!video || vx_video_has_file(video))
        return vx_take(video);
    if (vx_video_is_in_place(video)) {
        VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
        vx_videos_find_file(request, video, &file); /* says why it is not there */
        return NULL;
    }
    vx_reply_problem(request, VX_PROBLEM_NOT_FOUND,
                     "Not found: this video was imported without its file.");
    return NULL;
}

bool vx_videos_find_file(vx_request *request, const vx_video *video, vx_stored_file *ret_file) {
    vx_err err;
    int rc = vx_store_find_file(request->server->store, video->sha256, video->source_path, ret_file,
                                &err);
    if (rc == -ENOENT)
        vx_reply_problem(request, VX_PROBLEM_FILE_AWAY, "The file cannot be read now: %s.",
                         err.msg);
    else if (rc)
        vx_reply_failure(request, &err);
    return !rc;
}

void vx_videos_reply_lost(vx_request *request, const vx_err *err) {
    VX_AUTO(vx_video) still_there = vx_videos_find(request);
    if (still_there)
        vx_reply_failure(request, err);
}

void vx_videos_get(vx_request *request) {
    VX_AUTO(vx_video) video = vx_videos_find(request);
    if (!video)
        return;
    VX_AUTO_OUT out = {0};
    vx_show_video(&out, NULL, video, NULL);
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

void vx_videos_evidence_get(vx_request *request) {
    VX_AUTO(vx_video) video = vx_videos_find(request);
    VX_AUTO_FREE char *looks = NULL;
    char job_id[VX_JOB_ID_CHARS + 1] = "";
    vx_err err;
    if (!video)
        return;
    int rc = vx_catalog_get_looks(request->server->catalog, video->row, &looks, &err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        vx_reply_not_found(request, "video", request->args[0]);
        return;
    }
    if (rc) {
        vx_reply_failure(request, &err);
        return;
    }
    VX_AUTO_OUT out = {0};
    vx_out_begin(&out, NULL, '{');
    vx_out_string(&out, "evidence", vx_evidence_state_name(video->evidence));
    if (video->evidence == VX_EVIDENCE_PENDING)
        vx_verify_get_job_id(request->server->verify, job_id);
    vx_out_string(&out, "job_id", *job_id ? job_id : NULL);
    vx_show_time(&out, "updated_at", video->updated_us);
    vx_show_verdict(&out, "duplicate", &video->duplicate);
    vx_out_json(&out, "looks", looks ? looks : "[]");
    vx_out_end(&out, '}');
    vx_reply_json(request, VX_SUCCESS_OK, &out);
}

/* ---- Changes (the request waits for the writer) ---- */

static void finish_delete(vx_request *request) {
    if (vx_change_succeeded(request, "video"))
        vx_reply_empty(request, VX_SUCCESS_NO_CONTENT);
}

void vx_videos_delete(vx_request *request) {
    if (vx_change_begin(request, finish_delete))
        vx_change_refuse(request,
                         vx_library_delete_video(request->server->library, request->args[0],
                                                 VX_WRITER_REFUSE, vx_change_done, request));
}

static void finish_patch(vx_request *request) {
    if (vx_change_succeeded(request, "video"))
        vx_videos_get(request);
}

typedef struct patch {
    char *filename, *metadata; /* owned; NULL = keep */
} patch;

static void patch_clear(patch *p) {
    free(p->filename);
    free(p->metadata);
}

/* False after a reply. */
static bool read_patch(vx_request *request, patch *ret_patch) {
    json_t *body = vx_body_json(request), *metadata = json_object_get(body, "metadata");
    const char *filename;
    if (!vx_json_only(request, body, "filename metadata") ||
        !vx_json_string(request, body, "filename", &filename) ||
        (filename && !vx_videos_check_filename(request, filename)))
        return false;
    if (metadata && !json_is_object(metadata)) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER,
                         "metadata must be an object. Its members replace those of the same name; "
                         "null removes one.");
        return false;
    }
    if (!filename && !metadata) {
        vx_reply_problem(request, VX_PROBLEM_BAD_PARAMETER, "Send filename or metadata, or both.");
        return false;
    }
    ret_patch->filename = filename ? strdup(filename) : NULL;
    ret_patch->metadata = metadata ? json_dumps(metadata, JSON_COMPACT) : NULL;
    request->failed = (filename && !ret_patch->filename) || (metadata && !ret_patch->metadata);
    return !request->failed;
}

void vx_videos_patch(vx_request *request) {
    __attribute__((cleanup(patch_clear))) patch p = {0};
    VX_AUTO(vx_video) video = read_patch(request, &p) ? vx_videos_find(request) : NULL;
    if (!video)
        return;
    if (p.metadata && strlen(p.metadata) + strlen(video->metadata) > MAX_METADATA_BYTES) {
        vx_reply_problem(request, VX_PROBLEM_BODY_TOO_LARGE,
                         "The limit for the metadata of one video is %zu bytes.",
                         MAX_METADATA_BYTES);
        return;
    }
    if (vx_change_begin(request, finish_patch))
        vx_change_refuse(request, vx_library_patch_video(request->server->library, request->args[0],
                                                         vx_take(p.filename), vx_take(p.metadata),
                                                         vx_change_done, request));
}
