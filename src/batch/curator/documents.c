/* documents.c — the JSON of NeMo Curator's tree, and which clips make a chunk. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "curator.h"

#define CHUNK_S 256 /* Curator's: 32 clips of 8 seconds */
#define JSON_LIKE_PYTHON (JSON_INDENT(4) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17))

/* ---- names ---- */

int vx_curator_name_clip(const vx_curator_source *source, vx_curator_clip *clip) {
    VX_AUTO_FREE char *key = NULL;
    if (asprintf(&key, "%s_%lld_%lld", source->path, (long long)clip->span.first,
                 (long long)clip->span.last) < 0)
        return -ENOMEM;
    vx_curator_uuid(key, clip->uuid);
    return 0;
}

int vx_curator_name_chunk(const vx_curator_source *source, size_t index,
                          char ret_uuid[VX_UUID_CHARS + 1]) {
    VX_AUTO_FREE char *key = NULL;
    if (asprintf(&key, "%s_%zu", source->path, index) < 0)
        return -ENOMEM;
    vx_curator_uuid(key, ret_uuid);
    return 0;
}

size_t vx_curator_chunk_end(const vx_curator_clip *clips, size_t n, size_t begin) {
    int64_t seconds = 0;
    size_t end = begin;
    while (end < n && seconds < CHUNK_S) {
        seconds += (int64_t)(clips[end].span.end_s - clips[end].span.start_s);
        end++;
    }
    return end;
}

/* ---- documents ---- */

/* Takes json, which may be NULL. */
static char *text_of(json_t *json) {
    char *text = json ? json_dumps(json, JSON_LIKE_PYTHON) : NULL;
    json_decref(json);
    return text;
}

static json_int_t count_frames(const vx_media_header *header) {
    return (json_int_t)(header->duration_s * header->fps);
}

char *vx_curator_meta_json(const vx_curator_source *source, const vx_curator_clip *clip,
                           const char *location) {
    const vx_media_header *h = source->header, *f = &clip->file_header;
    json_t *meta = json_pack("{s:s, s:s, s:[f,f], s:i, s:i, s:f, s:s}", "span_uuid", clip->uuid,
                             "source_video", source->path, "duration_span", clip->span.start_s,
                             clip->span.end_s, "width_source", h->width_px, "height_source",
                             h->height_px, "framerate_source", h->fps, "clip_location", location);
    /* What Curator asks ffprobe about a clip that it has transcoded. */
    json_t *measures =
        clip->has_file
            ? json_pack("{s:i, s:i, s:f, s:I, s:s, s:I}", "width", f->width_px, "height",
                        f->height_px, "framerate", f->fps, "num_frames", count_frames(f),
                        "video_codec", f->codec, "num_bytes", (json_int_t)clip->file_bytes)
            : json_object();
    bool whole = meta && measures && !json_object_update(meta, measures) &&
                 !json_object_set_new(meta, "windows", json_array()) &&
                 !json_object_set_new(meta, "valid", json_false());
    json_decref(measures);
    if (!whole)
        json_decref(vx_take(meta));
    return text_of(meta);
}

char *vx_curator_chunk_json(const vx_curator_source *source, const vx_curator_clip *clips, size_t n,
                            size_t index) {
    double total_s = 0, longest_s = 0;
    json_int_t n_files = 0;
    json_t *ids = json_array(), *windows = json_object(), *enhanced = json_object();
    for (size_t i = 0; i < n; i++) {
        double length_s = clips[i].span.end_s - clips[i].span.start_s;
        total_s += length_s;
        longest_s = fmax(longest_s, length_s);
        n_files += clips[i].has_file;
        json_array_append_new(ids, json_string(clips[i].uuid));
        json_object_set_new(windows, clips[i].uuid, json_object());
        json_object_set_new(enhanced, clips[i].uuid, json_object());
    }
    return text_of(json_pack(
        "{s:s, s:I, s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:f, s:f, s:o, s:[], s:o, s:o}", "video",
        source->path, "clip_chunk_index", (json_int_t)index, "num_clips_filtered_by_motion", 0,
        "num_clips_filtered_by_aesthetic", 0, "num_clips_passed", (json_int_t)n,
        "num_clips_transcoded", n_files, "num_clips_with_embeddings", (json_int_t)n,
        "num_clips_with_caption", 0, "num_clips_with_webp", 0, "total_clip_duration", total_s,
        "max_clip_duration", longest_s, "clips", ids, "filtered_clips", "all_windows", windows,
        "all_windows_enhanced_caption", enhanced));
}

char *vx_curator_video_json(const vx_curator_source *source, size_t n_clips, size_t n_chunks) {
    const vx_media_header *h = source->header;
    return text_of(json_pack("{s:s, s:i, s:i, s:f, s:I, s:f, s:s, s:s?, s:s?, s:I, s:I}", "video",
                             source->path, "height", h->height_px, "width", h->width_px,
                             "framerate", h->fps, "num_frames", count_frames(h), "duration",
                             h->duration_s, "video_codec", h->codec, "pixel_format",
                             h->pixel_format[0] ? h->pixel_format : NULL, "audio_format",
                             h->audio_codec[0] ? h->audio_codec : NULL, "num_total_clips",
                             (json_int_t)n_clips, "num_clip_chunks", (json_int_t)n_chunks));
}
