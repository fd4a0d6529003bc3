/* fields.c — the fields that filters can name, and their values. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/decimal.h"
#include "base/hex.h"
#include "base/log.h"
#include "filter_internal.h"

/* ---- of every video: as the API shows them ---- */

static bool text_or_null(vx_cell *cell, const char *text) {
    return text && *text ? vx_cell_text(cell, text, strlen(text)) : vx_cell_null(cell);
}

static bool float_or_null(vx_cell *cell, float value) {
    return isfinite(value) ? vx_cell_real(cell, vx_decimal_of_float(value)) : vx_cell_null(cell);
}

static bool rounded(vx_cell *cell, double value) {
    return vx_cell_real(cell, round(value * 1e6) / 1e6);
}

#define APPEND(name, expression)                                                                   \
    static bool name(const vx_video *video, vx_cell *cell) {                                       \
        return expression;                                                                         \
    }
APPEND(append_id, vx_cell_text(cell, video->id, strlen(video->id)))
APPEND(append_filename, vx_cell_text(cell, video->filename, strlen(video->filename)))
APPEND(append_bytes, vx_cell_int(cell, video->bytes))
APPEND(append_created, vx_cell_int(cell, video->created_us))
APPEND(append_has_file, vx_cell_bool(cell, vx_video_has_file(video)))
APPEND(append_frames, text_or_null(cell, vx_clip_frames_name(video->frames)))
APPEND(append_container, text_or_null(cell, video->container))
APPEND(append_codec, text_or_null(cell, video->codec))
APPEND(append_width, video->width_px ? vx_cell_int(cell, video->width_px) : vx_cell_null(cell))
APPEND(append_height, video->height_px ? vx_cell_int(cell, video->height_px) : vx_cell_null(cell))
APPEND(append_fps, rounded(cell, video->fps))
APPEND(append_duration, rounded(cell, video->duration_s))
APPEND(append_aspect, rounded(cell, video->sample_aspect_ratio))
APPEND(append_rotation,
       video->rotation_deg < 0 ? vx_cell_null(cell) : vx_cell_int(cell, video->rotation_deg))
APPEND(append_hdr, text_or_null(cell, video->hdr))
APPEND(append_verdict, text_or_null(cell, vx_verdict_name(video->duplicate.kind)))
APPEND(append_of, text_or_null(cell, video->duplicate.of))
APPEND(append_score, float_or_null(cell, video->duplicate.score))
APPEND(append_share, float_or_null(cell, video->duplicate.share))
APPEND(append_share_of_new, float_or_null(cell, video->duplicate.share_of_new))
APPEND(append_share_of_stored, float_or_null(cell, video->duplicate.share_of_stored))
APPEND(append_offset, float_or_null(cell, video->duplicate.offset_s))
APPEND(append_mirrored, vx_cell_bool(cell, video->duplicate.mirrored))
APPEND(append_decode_path, text_or_null(cell, video->decode_path))

#define APPEND_OF_CLIP(name, expression)                                                           \
    static bool name(const vx_clip *clip, vx_cell *cell) {                                         \
        return expression;                                                                         \
    }
APPEND_OF_CLIP(append_start, rounded(cell, clip->start_s))
APPEND_OF_CLIP(append_end, rounded(cell, clip->end_s))

/* Each of "a,b,c". */
static bool append_clusters(const vx_video *video, vx_cell *cell) {
    for (const char *at = video->clusters; at && *at;) {
        size_t n = strcspn(at, ",");
        if (!vx_cell_text(cell, at, n))
            return false;
        at += n + (at[n] != '\0');
    }
    return true;
}

/* Each of "films/a/b.mp4//nas/b.mp4", up to its first slash or whole. */
static bool append_places(const vx_video *video, vx_cell *cell, bool only_folder) {
    for (const char *at = video->places; at && *at;) {
        const char *end = strstr(at, "//");
        size_t n = end ? (size_t)(end - at) : strlen(at);
        if (!vx_cell_text(cell, at, only_folder ? strcspn(at, "/") : n))
            return false;
        at += n + (end ? 2 : 0);
    }
    return true;
}
APPEND(append_folder, append_places(video, cell, true))
APPEND(append_path, append_places(video, cell, false))

const vx_field_row vx_fields[] = {
    {"id", VX_FIELD_STRING, append_id},
    {"filename", VX_FIELD_STRING, append_filename},
    {"bytes", VX_FIELD_NUMBER, append_bytes},
    {"has_file", VX_FIELD_BOOL, append_has_file},
    {"folder", VX_FIELD_STRING, append_folder, .is_array = true},
    {"path", VX_FIELD_STRING, append_path, .is_array = true},
    {"created_at", VX_FIELD_DATE, append_created},
    {"frames", VX_FIELD_STRING, append_frames},
    {"media.container", VX_FIELD_STRING, append_container},
    {"media.codec", VX_FIELD_STRING, append_codec},
    {"media.width", VX_FIELD_NUMBER, append_width},
    {"media.height", VX_FIELD_NUMBER, append_height},
    {"media.fps", VX_FIELD_NUMBER, append_fps},
    {"media.duration_s", VX_FIELD_NUMBER, append_duration},
    {"media.sample_aspect_ratio", VX_FIELD_NUMBER, append_aspect},
    {"media.rotation", VX_FIELD_NUMBER, append_rotation},
    {"media.hdr", VX_FIELD_STRING, append_hdr},
    {"duplicate.verdict", VX_FIELD_STRING, append_verdict},
    {"duplicate.of", VX_FIELD_STRING, append_of},
    {"duplicate.score", VX_FIELD_NUMBER, append_score},
    {"duplicate.share", VX_FIELD_NUMBER, append_share},
    {"duplicate.share_of_new", VX_FIELD_NUMBER, append_share_of_new},
    {"duplicate.share_of_stored", VX_FIELD_NUMBER, append_share_of_stored},
    {"duplicate.offset_s", VX_FIELD_NUMBER, append_offset},
    {"duplicate.mirrored", VX_FIELD_BOOL, append_mirrored},
    {"decode.path", VX_FIELD_STRING, append_decode_path},
    {"cluster", VX_FIELD_STRING, append_clusters, .is_array = true},
    {"clips.start_s", VX_FIELD_NUMBER, .append_of_clip = append_start},
    {"clips.end_s", VX_FIELD_NUMBER, .append_of_clip = append_end},
};
const size_t vx_n_fields = VX_LEN(vx_fields);

/* ---- of the metadata ---- */

void vx_field_done(vx_field *field) {
    for (size_t i = 0; i < field->n_steps; i++)
        free(field->steps[i]);
    free(field->steps);
    free(field->name);
    *field = (vx_field){.row = -1};
}

/* One step at *p, up to its dot or the end, without backslashes. */
static int read_step(const char **p, vx_field *field, vx_err *err) {
    char *step = field->steps[field->n_steps] = malloc(strlen(*p) + 1);
    if (!step)
        return VX_FAIL(err, -ENOMEM, "no memory for a field");
    field->n_steps++;
    size_t n = 0;
    for (; **p && **p != '.'; (*p)++) {
        if (**p == '\\' && *++*p != '.' && **p != '\\')
            return VX_FAIL(err, VX_FILTER_BAD,
                           "a backslash in a field stands before a dot or a backslash of the key");
        step[n++] = **p;
    }
    step[n] = '\0';
    if (!n)
        return VX_FAIL(err, VX_FILTER_BAD, "a step of the field is empty");
    return 0;
}

static int parse_metadata(const char *path, vx_field *field, vx_err *err) {
    size_t n = 1;
    for (const char *p = path; *p; p++)
        n += *p == '.';
    field->steps = vx_new_array(n, sizeof *field->steps);
    if (!field->steps)
        return VX_FAIL(err, -ENOMEM, "no memory for a field");
    for (const char *p = path;;) {
        int rc = read_step(&p, field, err);
        if (rc || !*p)
            return rc;
        p++;
    }
}

static int unknown_field(const char *name, vx_err *err) {
    char shown[80];
    if (!strcmp(name, "metadata"))
        return VX_FAIL(err, VX_FILTER_BAD, "name a member of the metadata: metadata.camera");
    return VX_FAIL(err, VX_FILTER_BAD,
                   *name == '$' ? "there is no operator %s here"
                                : "there is no field %s; a member of the metadata is metadata.NAME",
                   vx_log_quote(name, shown, sizeof shown));
}

int vx_field_parse(const char *name, vx_field *ret_field, vx_err *err) {
    vx_field field = {.row = -1};
    if (strlen(name) > VX_FILTER_MAX_FIELD)
        return VX_FAIL(err, VX_FILTER_BAD, "a field has at most %d bytes", VX_FILTER_MAX_FIELD);
    for (size_t i = 0; i < vx_n_fields; i++)
        if (!strcmp(name, vx_fields[i].name)) {
            *ret_field = (vx_field){.row = (int)i};
            return 0;
        }
    if (strncmp(name, "metadata.", 9))
        return unknown_field(name, err);
    int rc = parse_metadata(name + 9, &field, err);
    if (!rc && !(field.name = strdup(name)))
        rc = VX_FAIL(err, -ENOMEM, "no memory for a field");
    if (rc)
        vx_field_done(&field);
    else
        *ret_field = field;
    return rc;
}

int vx_filter_check_metadata_field(const char *name, vx_err *err) {
    vx_field field = {.row = -1};
    int rc = vx_field_parse(name, &field, err);
    if (!rc && field.row >= 0)
        rc = VX_FAIL(err, VX_FILTER_BAD, "%s is a field of every video and needs no index", name);
    vx_field_done(&field);
    return rc;
}

static bool append_json(const json_t *value, vx_cell *cell) {
    switch (json_typeof(value)) {
    case JSON_NULL:
        return vx_cell_null(cell);
    case JSON_TRUE:
    case JSON_FALSE:
        return vx_cell_bool(cell, json_is_true(value));
    case JSON_INTEGER:
        return vx_cell_int(cell, json_integer_value(value));
    case JSON_REAL:
        return vx_cell_real(cell, json_real_value(value));
    case JSON_STRING:
        return vx_cell_text(cell, json_string_value(value), json_string_length(value));
    case JSON_OBJECT:
        break;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(value); i++)
            if (!append_json(json_array_get(value, i), cell))
                return false;
    }
    return true;
}

/* Appends what the steps lead to. Depth: that of the JSON, which the API limits. */
static bool walk(const json_t *value, char *const *steps, size_t n_steps, bool in_array,
                 vx_cell *cell, vx_cell_shape *shape) {
    if (n_steps && json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++)
            if (!walk(json_array_get(value, i), steps, n_steps, true, cell, shape))
                return false;
        return true;
    }
    if (n_steps) {
        const json_t *member = json_object_get(value, *steps);
        return !member || walk(member, steps + 1, n_steps - 1, in_array, cell, shape);
    }
    *shape = in_array || json_is_array(value) ? VX_CELL_ARRAY : VX_CELL_ONE;
    return append_json(value, cell);
}

bool vx_field_read(const vx_field *field, const vx_video *video, const vx_clip *clip,
                   const json_t *metadata, vx_cell *cell) {
    vx_cell_shape shape = VX_CELL_MISSING;
    if (field->row >= 0)
        shape = vx_fields[field->row].is_array ? VX_CELL_ARRAY : VX_CELL_ONE;
    bool fine = true;
    vx_cell_begin(cell);
    if (field->row < 0)
        fine = walk(metadata, field->steps, field->n_steps, false, cell, &shape);
    else if (!vx_field_is_of_clips(field))
        fine = vx_fields[field->row].append(video, cell);
    else if (clip)
        fine = vx_fields[field->row].append_of_clip(clip, cell);
    else
        shape = VX_CELL_MISSING;
    if (fine && !cell->n) { /* the first cell, and no scalar: room for the shape */
        fine = vx_cell_null(cell);
        cell->n = 1;
    }
    if (fine)
        cell->bytes[0] = (unsigned char)shape;
    return fine;
}
