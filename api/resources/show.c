#include "api/resources/show.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "catalog/folder_rows.h"
#include "extract/extract.h"

void vx_show_time(vx_out *out, const char *key, int64_t unix_us) {
    char text[VX_CLOCK_ISO_BYTES];
    if (unix_us)
        vx_clock_iso(unix_us, text);
    vx_out_string(out, key, unix_us ? text : NULL);
}

void vx_show_seconds(vx_out *out, const char *key, double value) {
    vx_out_number(out, key, round(value * 1e6) / 1e6);
}

void vx_show_verdict(vx_out *out, const char *key, const vx_verdict_row *verdict) {
    vx_out_begin(out, key, '{');
    vx_out_string(out, "verdict", vx_verdict_name(verdict->kind));
    vx_out_string(out, "of", verdict->of[0] ? verdict->of : NULL);
    vx_out_float(out, "score", verdict->score);
    vx_out_float(out, "share", verdict->share);
    vx_out_float(out, "share_of_new", verdict->share_of_new);
    vx_out_float(out, "share_of_stored", verdict->share_of_stored);
    vx_out_float(out, "offset_s", verdict->offset_s);
    vx_out_bool(out, "mirrored", verdict->mirrored);
    vx_out_end(out, '}');
}

static const char *text_or_null(const char *text) {
    return *text ? text : NULL;
}

static void show_media(vx_out *out, const vx_video *video) {
    vx_out_begin(out, "media", '{');
    vx_out_string(out, "container", text_or_null(video->container));
    vx_out_string(out, "codec", text_or_null(video->codec));
    vx_out_number(out, "width", video->width_px ? video->width_px : (double)NAN);
    vx_out_number(out, "height", video->height_px ? video->height_px : (double)NAN);
    vx_show_seconds(out, "fps", video->fps);
    vx_show_seconds(out, "duration_s", video->duration_s);
    vx_out_number(out, "sample_aspect_ratio", round(video->sample_aspect_ratio * 1e6) / 1e6);
    vx_out_number(out, "rotation", video->rotation_deg < 0 ? (double)NAN : video->rotation_deg);
    vx_out_string(out, "hdr", video->hdr[0] ? video->hdr : NULL);
    vx_out_end(out, '}');
}

static void show_clips(vx_out *out, const vx_video *video) {
    vx_out_begin(out, "clips", '[');
    for (size_t i = 0; i < video->n_clips; i++) {
        const vx_clip *clip = &video->clips[i];
        char id[VX_CLIP_ID_CHARS + 1];
        vx_clip_id_of(video->id, clip->index, id);
        vx_out_begin(out, NULL, '{');
        vx_out_string(out, "id", id);
        vx_out_int(out, "index", clip->index);
        vx_show_seconds(out, "start_s", clip->start_s);
        vx_show_seconds(out, "end_s", clip->end_s);
        vx_out_end(out, '}');
    }
    vx_out_end(out, ']');
}

/* Of "films/a/b.mp4//nas/b.mp4". */
static void show_places(vx_out *out, const vx_video *video) {
    vx_out_begin(out, "places", '[');
    for (const char *at = video->places; at && *at;) {
        char folder[VX_FOLDER_NAME_CHARS + 1], path[PATH_MAX];
        const char *end = strstr(at, "//");
        size_t n = end ? (size_t)(end - at) : strlen(at), n_folder = strcspn(at, "/");
        snprintf(folder, sizeof folder, "%.*s", (int)n_folder, at);
        snprintf(path, sizeof path, "%.*s", (int)(n - n_folder - 1), at + n_folder + 1);
        vx_out_begin(out, NULL, '{');
        vx_out_string(out, "folder", folder);
        vx_out_string(out, "path", path);
        vx_out_end(out, '}');
        at += n + (end ? 2 : 0);
    }
    vx_out_end(out, ']');
}

void vx_show_video(vx_out *out, const char *key, const vx_video *video,
                   const vx_verdict_row *verdict) {
    char sha256[65];
    vx_hex_encode(video->sha256, 32, sha256);
    vx_out_begin(out, key, '{');
    vx_out_string(out, "id", video->id);
    vx_out_string(out, "sha256", sha256);
    vx_out_string(out, "filename", video->filename);
    vx_out_int(out, "bytes", video->bytes);
    vx_out_bool(out, "has_file", vx_video_has_file(video));
    show_places(out, video);
    show_media(out, video);
    vx_out_json(out, "metadata", video->metadata ? video->metadata : "{}");
    vx_show_time(out, "created_at", video->created_us);
    vx_out_string(out, "frames", vx_clip_frames_name(video->frames));
    vx_out_string(out, "status", "ready"); /* a video is in the catalog once it is searchable */
    show_clips(out, video);
    vx_show_verdict(out, "duplicate", verdict ? verdict : &video->duplicate);
    vx_out_string(out, "evidence", vx_evidence_state_name(video->evidence));
    vx_show_time(out, "updated_at", video->updated_us);
    vx_out_begin(out, "decode", '{');
    vx_out_string(out, "path", text_or_null(video->decode_path));
    vx_out_int(out, "frames_decoded", video->frames_decoded);
    vx_out_int(out, "frames_total", video->frames_total);
    vx_out_string(out, "fingerprints", vx_fingerprints_name((vx_fingerprints)video->fingerprints));
    vx_out_end(out, '}');
    vx_out_end(out, '}');
}
