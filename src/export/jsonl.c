/* jsonl.c — a JSON object for each clip. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/hex.h"
#include "export_internal.h"

static json_t *number(double value) {
    return isfinite(value) ? json_real(round(value * 1e6) / 1e6) : json_null();
}

/* All but the metadata and the vector. */
static json_t *facts(const vx_export_row *row) {
    const vx_video *video = row->video;
    char sha256[65], clip_id[VX_CLIP_ID_CHARS + 1], created[VX_CLOCK_ISO_BYTES];
    vx_hex_encode(video->sha256, 32, sha256);
    vx_clip_id_of(video->id, row->clip->index, clip_id);
    vx_clock_iso(video->created_us, created);
    return json_pack("{s:s, s:I, s:s, s:s, s:i, s:o, s:o, s:s, s:o, s:s, s:s, s:s}", "id", clip_id,
                     "faiss_id", (json_int_t)row->clip->row, "video_id", video->id, "sha256",
                     sha256, "clip_index", row->clip->index, "start_s", number(row->clip->start_s),
                     "end_s", number(row->clip->end_s), "filename", video->filename, "duration_s",
                     number(video->duration_s), "created_at", created, "model", row->model,
                     "frames", vx_clip_frames_name(video->frames));
}

/* As it is stored, on one line: outside of its strings JSON has line breaks as blanks only. */
static void append_metadata(vx_export_buffer *out, const char *json) {
    vx_export_append(out, ",\"metadata\":", 12);
    for (const char *p = json; *p; p++)
        vx_export_append(out, *p == '\n' || *p == '\r' ? " " : p, 1);
}

static void append_cluster(vx_export_buffer *out, const vx_export_row *row) {
    char text[96] = ",\"cluster\":null,\"cluster_score\":null";
    if (row->cluster >= 0)
        snprintf(text, sizeof text, ",\"cluster\":%d,\"cluster_score\":%.6f", (int)row->cluster,
                 (double)row->cluster_score);
    vx_export_append(out, text, strlen(text));
}

int vx_export_jsonl_row(vx_export_buffer *out, const vx_export_row *row, vx_err *err) {
    json_t *object = facts(row);
    VX_AUTO_FREE char *text =
        object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(object);
    if (!text)
        return VX_FAIL(err, -ENOMEM, "no memory for a line of the export");
    vx_export_append(out, text, strlen(text) - 1);
    if (row->has_cluster)
        append_cluster(out, row);
    append_metadata(out, row->video->metadata ? row->video->metadata : "{}");
    if (row->no_vector) {
        vx_export_append(out, "}\n", 2);
        return 0;
    }
    vx_export_append(out, ",\"embedding\":[", 14);
    for (int i = 0; i < row->dim; i++) {
        char digits[VX_DECIMAL_BYTES];
        vx_decimal_float(row->vector[i], digits);
        if (i)
            vx_export_append(out, ",", 1);
        vx_export_append(out, digits, strlen(digits));
    }
    vx_export_append(out, "]}\n", 3);
    return 0;
}
