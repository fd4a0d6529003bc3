/* facts.c — what a row says of its video and clip: its names and their ranges. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/hex.h"
#include "import_internal.h"

#define NAME_BYTES 1024
#define MAX_METADATA_BYTES ((size_t)256 * 1024)

#define BAD(...) VX_FAIL(err, VX_IMPORT_ROW_BAD, __VA_ARGS__)

static int read_seconds(const json_t *object, const char *name, double initial, double *ret_s,
                        vx_err *err) {
    const json_t *value = json_object_get(object, name);
    *ret_s = value && !json_is_null(value) ? json_number_value(value) : initial;
    if (value && !json_is_null(value) && (!json_is_number(value) || !(*ret_s >= 0) || *ret_s > 1e9))
        return BAD("%s must be a number of seconds", name);
    return 0;
}

static int read_text(const json_t *object, const char *name, const char **ret_text, vx_err *err) {
    const json_t *value = json_object_get(object, name);
    *ret_text = json_string_value(value);
    if (value && !json_is_null(value) && !*ret_text)
        return BAD("%s must be a string", name);
    if (*ret_text &&
        (strlen(*ret_text) != json_string_length(value) || json_string_length(value) > NAME_BYTES))
        return BAD("%s must be at most %d bytes without NUL", name, NAME_BYTES);
    return 0;
}

/* What the id is made of where there is no SHA-256 of a file. */
static int make_id(const vx_import_reader *reader, const char *key, uint8_t sha256[32],
                   vx_err *err) {
    static const char first[] = "vidx import"; /* with its NUL */
    const char *source = reader->params->source;
    return EVP_DigestInit_ex2(reader->digest, NULL, NULL) &&
                   EVP_DigestUpdate(reader->digest, first, sizeof first) &&
                   EVP_DigestUpdate(reader->digest, source, strlen(source) + 1) &&
                   EVP_DigestUpdate(reader->digest, key, strlen(key)) &&
                   EVP_DigestFinal_ex(reader->digest, sha256, NULL)
               ? 0
               : VX_FAIL(err, -EIO, "libcrypto cannot compute a SHA-256");
}

static int read_id(const vx_import_reader *reader, vx_import_facts *ret, vx_err *err) {
    const vx_import_row *row = &reader->row;
    const char *sha256, *video_id, *id;
    char number[32];
    int rc = read_text(row->facts, "sha256", &sha256, err);
    if (!rc)
        rc = read_text(row->facts, "video_id", &video_id, err);
    if (!rc)
        rc = read_text(row->facts, "id", &id, err);
    if (rc)
        return rc;
    if (sha256 && !(strlen(sha256) == 64 && vx_hex_decode(sha256, 32, ret->sha256)))
        return BAD("sha256 must be 64 hexadecimal digits in lower case");
    if (sha256)
        return 0;
    const char *key = video_id ? video_id : id ? id : number;
    if (key == number)
        snprintf(number, sizeof number, "#%" PRId64, row->id >= 0 ? row->id : row->number);
    return make_id(reader, key, ret->sha256, err);
}

static int read_frames(const json_t *object, vx_clip_frames *ret_frames, vx_err *err) {
    const char *name;
    int rc = read_text(object, "frames", &name, err);
    *ret_frames = VX_CLIP_FRAMES_EXACT;
    if (!rc && name && !vx_clip_frames_of_name(name, ret_frames))
        rc = BAD("frames must be exact or keyframes");
    return rc;
}

int vx_import_read_facts(const vx_import_reader *reader, vx_import_facts *ret, vx_err *err) {
    const json_t *object = reader->row.facts;
    int rc = read_id(reader, ret, err);
    if (!rc)
        rc = read_text(object, "filename", &ret->filename, err);
    if (!rc)
        rc = read_frames(object, &ret->frames, err);
    if (!rc)
        rc = read_seconds(object, "start_s", 0, &ret->start_s, err);
    if (!rc)
        rc = read_seconds(object, "end_s", ret->start_s, &ret->end_s, err);
    if (!rc)
        rc = read_seconds(object, "duration_s", (double)NAN, &ret->duration_s, err);
    if (rc)
        return rc;
    ret->metadata = json_object_get(object, "metadata");
    if (json_is_null(ret->metadata))
        ret->metadata = NULL;
    if (ret->metadata && !json_is_object(ret->metadata))
        return BAD("metadata must be an object");
    if (ret->metadata && json_dumpb(ret->metadata, NULL, 0, JSON_COMPACT) > MAX_METADATA_BYTES)
        return BAD("metadata must be at most %zu bytes", MAX_METADATA_BYTES);
    return ret->end_s < ret->start_s ? BAD("end_s lies before start_s") : 0;
}
