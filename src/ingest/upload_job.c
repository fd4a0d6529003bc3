/* upload_job.c — what the catalog's row of an upload with wait=false holds, and the way back from it. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/hex.h"
#include "base/log.h"
#include "ingest_internal.h"

char *vx_upload_job_request(const vx_ingest_item *item) {
    char digest[65];
    vx_hex_encode(vx_upload_sha256(item->upload), 32, digest);
    char clip[96];
    vx_clip_describe(&item->clip, clip);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:b, s:s}", "file",
                  vx_upload_name(item->upload), "sha256", digest, "filename", item->filename,
                  "metadata", item->metadata, "request_id", item->request_id, "reject_duplicates",
                  (int)item->reject_duplicates, "clip", clip, "wait_for_evidence",
                  (int)item->waits_for_evidence, "frames", vx_clip_frames_name(item->frames));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

/* The request's fields into the item; true if all are there and can be read. */
static bool read_request(const json_t *object, vx_ingest_item *item, const char **ret_file,
                         uint8_t ret_sha256[32]) {
    const char *digest, *filename, *metadata, *request_id, *clip;
    const char *frames = vx_clip_frames_name(VX_CLIP_FRAMES_EXACT); /* not in rows of older */
    int reject, wait = 0;                                           /* versions */
    if (json_unpack((json_t *)object, "{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s?b, s?s}", "file",
                    ret_file, "sha256", &digest, "filename", &filename, "metadata", &metadata,
                    "request_id", &request_id, "reject_duplicates", &reject, "clip", &clip,
                    "wait_for_evidence", &wait, "frames", &frames))
        return false;
    item->filename = strdup(filename);
    item->metadata = strdup(metadata);
    item->reject_duplicates = reject != 0;
    item->waits_for_evidence = wait != 0;
    item->background = true;
    snprintf(item->request_id, sizeof item->request_id, "%s", request_id);
    return item->filename && item->metadata && vx_hex_decode(digest, 32, ret_sha256) &&
           !vx_clip_parse(clip, &item->clip, NULL) && vx_clip_frames_of_name(frames, &item->frames);
}

vx_outcome vx_upload_job_parse(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    vx_ingest *ingest = ctx;
    VX_AUTO(vx_ingest_item) item = vx_new(vx_ingest_item);
    json_t *object = json_loads(row->request, 0, NULL);
    const char *file;
    uint8_t sha256[32];
    int rc;
    if (!item || !object)
        rc = VX_FAIL(err, item ? -EINVAL : -ENOMEM, "job %s: its request cannot be read", row->id);
    else if (!read_request(object, item, &file, sha256))
        rc = VX_FAIL(err, -EINVAL, "job %s: its request is incomplete", row->id);
    else
        rc = vx_upload_adopt(ingest->params.store, file, sha256, &item->upload, err);
    json_decref(object);
    if (rc)
        return vx_outcome_of_error(rc, err);
    strcpy(item->job.id, row->id);
    vx_video_id_of(sha256, item->job.video_id);
    *ret_job = &vx_take(item)->job;
    return VX_OUTCOME_OK;
}

void vx_upload_job_note(void *ctx, const vx_job_row *row) {
    vx_ingest *ingest = ctx;
    json_t *object = json_loads(row->request, 0, NULL);
    const char *file = json_string_value(json_object_get(object, "file"));
    const char *digest = json_string_value(json_object_get(object, "sha256"));
    vx_needed_file needed = {0};
    if (file && digest && strlen(file) < sizeof needed.name &&
        vx_hex_decode(digest, 32, needed.sha256) &&
        vx_make_room(ingest->needed, ingest->n_needed, ingest->needed_capacity)) {
        strcpy(needed.name, file);
        ingest->needed[ingest->n_needed++] = needed;
    } else {
        ingest->needs_all = true;
    }
    json_decref(object);
}

void vx_upload_job_discard(void *ctx, const vx_job_row *row) {
    vx_ingest *ingest = ctx;
    json_t *object = json_loads(row->request, 0, NULL);
    const char *file = json_string_value(json_object_get(object, "file"));
    vx_err err;
    if (file && vx_store_discard(ingest->params.store, file, &err))
        vx_log_failed(VX_LOG_WARN, "job", &err, "job=%s", row->id);
    json_decref(object);
}

bool vx_ingest_needs_file(const vx_ingest *ingest, const char *name) {
    for (size_t i = 0; i < ingest->n_needed; i++)
        if (!strcmp(ingest->needed[i].name, name))
            return true;
    return ingest->needs_all;
}

bool vx_ingest_needs_bytes(const vx_ingest *ingest, const uint8_t sha256[32]) {
    for (size_t i = 0; i < ingest->n_needed; i++)
        if (!memcmp(ingest->needed[i].sha256, sha256, 32))
            return true;
    return ingest->needs_all;
}

int vx_upload_job_end(vx_ingest_item *item, const vx_ingest_result *result, vx_err *err) {
    if (!item->job.id[0])
        return 0;
    /* The verdict as in the answer to an upload; none where nothing is or was stored. */
    json_t *report =
        result->video ? json_pack("{s:o}", "duplicate", vx_verdict_json(&result->verdict)) : NULL;
    VX_AUTO_FREE char *json = vx_jobs_result(result->outcome, result->err.msg,
                                             result->video ? result->video->id : NULL, report);
    vx_job_state state = result->outcome <= VX_OUTCOME_EXISTING    ? VX_JOB_DONE
                         : result->outcome == VX_OUTCOME_CANCELLED ? VX_JOB_CANCELLED
                                                                   : VX_JOB_FAILED;
    return vx_jobs_end(item->ingest->params.jobs, item->job.id, state, json, err);
}
