/* container_headers.c — see the header. */
#include "container_headers.h"

#include <errno.h>
#include <jansson.h>
#include <search.h>
#include <string.h>

#include "output.h"

#define FILE_NAME ".vidx/headers.jsonl"

typedef struct known {
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_media_header header;
    bool used;
} known;

struct vx_batch_container_headers {
    const char *input, *output;
    void *by_id;  /* tsearch tree of known, owned */
    bool changed; /* entries were added */
    FILE *file;   /* while saving */
    int rc;
};

static int compare(const void *a, const void *b) {
    return strcmp(((const known *)a)->id, ((const known *)b)->id);
}

vx_batch_container_headers *vx_batch_container_headers_free(vx_batch_container_headers *headers) {
    if (!headers)
        return NULL;
    tdestroy(headers->by_id, free);
    free(headers);
    return NULL;
}

static int add(vx_batch_container_headers *headers, const known *added) {
    known *copy = vx_new(known);
    if (!copy)
        return -ENOMEM;
    *copy = *added;
    known **slot = tsearch(copy, &headers->by_id, compare);
    if (!slot || *slot != copy)
        free(copy);
    return slot ? 0 : -ENOMEM;
}

static void copy_text(char *target, size_t size, const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(target, size, "%s", text ? text : "");
}

/* A line that is not ours is a header that will be read again. */
static int load_line(vx_batch_container_headers *headers, const char *line) {
    json_t *json = json_loads(line, 0, NULL);
    known e = {.header = {
                   .width_px = (int)json_integer_value(json_object_get(json, "width")),
                   .height_px = (int)json_integer_value(json_object_get(json, "height")),
                   .fps = json_number_value(json_object_get(json, "fps")),
                   .duration_s = json_number_value(json_object_get(json, "duration_s")),
               }};
    copy_text(e.id, sizeof e.id, json, "video_id");
    copy_text(e.header.codec, sizeof e.header.codec, json, "codec");
    copy_text(e.header.pixel_format, sizeof e.header.pixel_format, json, "pixel_format");
    copy_text(e.header.audio_codec, sizeof e.header.audio_codec, json, "audio_codec");
    json_decref(json);
    bool whole = e.id[0] && e.header.width_px > 0 && e.header.height_px > 0 && e.header.fps > 0 &&
                 e.header.duration_s > 0;
    return whole ? add(headers, &e) : 0;
}

int vx_batch_container_headers_open(const char *input, const char *output,
                                    vx_batch_container_headers **ret_headers, vx_err *err) {
    VX_AUTO(vx_batch_container_headers) headers = vx_new(vx_batch_container_headers);
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, FILE_NAME, err);
    if (rc)
        return rc;
    if (!headers)
        return VX_FAIL(err, -ENOMEM, "no memory for the videos' headers");
    headers->input = input;
    headers->output = output;
    VX_AUTO(FILE) file = fopen(path, "re");
    VX_AUTO_FREE char *line = NULL;
    size_t size = 0;
    while (file && !rc && getline(&line, &size, file) > 0)
        rc = load_line(headers, line);
    if (rc)
        return VX_FAIL(err, rc, "no memory for the videos' headers");
    *ret_headers = vx_take(headers);
    return 0;
}

static void measured(const vx_video *video, vx_media_header *header) {
    *header = (vx_media_header){.width_px = video->width_px,
                                .height_px = video->height_px,
                                .fps = video->fps,
                                .duration_s = video->duration_s};
    snprintf(header->codec, sizeof header->codec, "%s", video->codec);
}

/* What Curator would refuse a video for has to come from the measurement. */
static void complete(const vx_video *video, vx_media_header *header) {
    vx_media_header measure;
    measured(video, &measure);
    if (!(header->fps > 0))
        header->fps = measure.fps;
    if (!(header->duration_s > 0))
        header->duration_s = measure.duration_s;
    if (header->width_px <= 0 || header->height_px <= 0) {
        header->width_px = measure.width_px;
        header->height_px = measure.height_px;
    }
}

int vx_batch_container_headers_get(vx_batch_container_headers *headers, const vx_video *video,
                                   const vx_batch_file *file, vx_media_header *ret_header,
                                   vx_err *err) {
    known e = {.used = true};
    char path[PATH_MAX];
    strcpy(e.id, video->id);
    known **slot = tfind(&e, &headers->by_id, compare);
    if (slot) {
        (*slot)->used = true;
        *ret_header = (*slot)->header;
        return 0;
    }
    int rc = vx_batch_join(path, headers->input, file->path, err);
    if (!rc)
        rc = vx_media_read_header(path, NULL, &e.header, err);
    if (rc == -ENOMEM)
        return rc;
    if (rc) {
        measured(video, ret_header);
        return 0;
    }
    complete(video, &e.header);
    *ret_header = e.header;
    headers->changed = true;
    return add(headers, &e) ? VX_FAIL(err, -ENOMEM, "no memory for the videos' headers") : 0;
}

/* ---- saving ---- */

static void write_line(const void *node, VISIT visit, void *ctx) {
    vx_batch_container_headers *headers = ctx;
    const known *e = *(known *const *)node;
    const vx_media_header *h = &e->header;
    if ((visit != postorder && visit != leaf) || !e->used || headers->rc)
        return;
    json_t *line = json_pack("{s:s, s:i, s:i, s:f, s:f, s:s, s:s, s:s}", "video_id", e->id, "width",
                             h->width_px, "height", h->height_px, "fps", h->fps, "duration_s",
                             h->duration_s, "codec", h->codec, "pixel_format", h->pixel_format,
                             "audio_codec", h->audio_codec);
    if (!line || json_dumpf(line, headers->file, JSON_COMPACT))
        headers->rc = -ENOMEM;
    json_decref(line);
    fputc('\n', headers->file);
}

static int write_lines(FILE *file, void *ctx) {
    vx_batch_container_headers *headers = ctx;
    headers->file = file;
    headers->rc = 0;
    twalk_r(headers->by_id, write_line, headers);
    return headers->rc;
}

int vx_batch_container_headers_save(vx_batch_container_headers *headers, vx_err *err) {
    return headers->changed
               ? vx_batch_replace(headers->output, FILE_NAME, write_lines, headers, err)
               : 0;
}
