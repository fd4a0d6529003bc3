/* store.c — rows to videos. A first reading checks every row and stores nothing; the second one stores whole
 * videos, 1024 in a transaction, so that a process that ends leaves whole videos behind, which the next import
 * of the same files meets as stored. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "clip/clip.h"
#include "rows.h"

#define VIDEOS_AT_ONCE 1024
#define NAME_BYTES 1024
#define SAME_TIME_S 1e-3 /* clips that begin and end so near each other are the same */
#define MAX_METADATA_BYTES ((size_t)256 * 1024)
#define NEVER_OUTDATED (1 << 30) /* there is no file that could be read by newer rules */

/* What a row says of its video and clip. */
typedef struct facts {
    uint8_t sha256[32];
    const char *filename;              /* borrowed; NULL: none */
    const json_t *metadata;            /* borrowed; NULL: none */
    double start_s, end_s, duration_s; /* duration NaN: not known */
} facts;

typedef struct importing {
    const vx_import_params *params;
    vx_import_report *report;
    int64_t first_row; /* of videos that this run has inserted; 0 = none yet */
    vx_video *video;   /* whose clips are being gathered; NULL: none */
    float *vectors;    /* float32 [video->n_clips, dim] */
    size_t clips_capacity, vectors_capacity;
    int n_open; /* videos of the transaction that is open */
} importing;

/* ---- reading a row ---- */

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
static int make_id(const vx_import_params *params, const char *key, uint8_t sha256[32],
                   vx_err *err) {
    char text[2 * NAME_BYTES + 64];
    int n = snprintf(text, sizeof text, "vidx import%c%s%c%s", 0, params->source, 0, key);
    if (n >= (int)sizeof text)
        return BAD("its id is too long");
    return EVP_Digest(text, (size_t)n, sha256, NULL, EVP_sha256(), NULL)
               ? 0
               : VX_FAIL(err, -EIO, "libcrypto cannot compute a SHA-256");
}

static int read_id(const vx_import_params *params, const vx_import_row *row, facts *ret,
                   vx_err *err) {
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
    snprintf(number, sizeof number, "#%" PRId64, row->id >= 0 ? row->id : row->number);
    return sha256 ? 0 : make_id(params, video_id ? video_id : id ? id : number, ret->sha256, err);
}

static int read_facts(const vx_import_params *params, const vx_import_row *row, facts *ret,
                      vx_err *err) {
    const json_t *object = row->facts;
    int rc = read_id(params, row, ret, err);
    if (!rc)
        rc = read_text(object, "filename", &ret->filename, err);
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

/* ---- checking ---- */

static void refuse(vx_import_report *report, int64_t row, const vx_err *why) {
    if (report->refused < VX_IMPORT_REFUSALS) {
        report->refusals[report->refused].row = row;
        snprintf(report->refusals[report->refused].why, sizeof report->refusals[0].why, "%.199s",
                 why->msg);
    }
    report->refused++;
}

/* Where the rows of a video begin: the start of its SHA-256, and the row. */
typedef struct beginning {
    uint64_t video;
    int64_t row;
} beginning;

typedef struct checking {
    const vx_import_params *params;
    vx_import_report *report;
    beginning *videos; /* [n]; owned */
    size_t n, capacity;
    uint8_t last[32];
    int n_clips; /* of the last video */
} checking;

static int check_row(checking *c, const vx_import_row *row, vx_err *err) {
    facts found;
    int rc = read_facts(c->params, row, &found, err);
    if (rc)
        return rc;
    if (c->n && !memcmp(found.sha256, c->last, sizeof c->last))
        return c->n_clips++ < VX_CLIP_MAX ? 0 : BAD("its video has more than %d rows", VX_CLIP_MAX);
    c->n_clips = 1;
    memcpy(c->last, found.sha256, sizeof c->last);
    if (!vx_make_room(c->videos, c->n, c->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu videos", c->n);
    beginning *video = &c->videos[c->n++];
    memcpy(&video->video, found.sha256, sizeof video->video);
    video->row = row->number;
    return 0;
}

static int by_video(const void *a, const void *b) {
    const beginning *x = a, *y = b;
    return x->video != y->video ? (x->video > y->video ? 1 : -1)
                                : (x->row > y->row) - (x->row < y->row);
}

/* The rows of a video must lie behind each other: it is stored at once. */
static void refuse_scattered(checking *c) {
    vx_err why;
    if (c->n)
        qsort(c->videos, c->n, sizeof *c->videos, by_video);
    for (size_t i = 1; i < c->n; i++)
        if (c->videos[i].video == c->videos[i - 1].video) {
            VX_FAIL(&why, VX_IMPORT_ROW_BAD,
                    "rows of its video ended before, at the one of row %" PRId64,
                    c->videos[i - 1].row);
            refuse(c->report, c->videos[i].row, &why);
        }
}

static int check_rows(checking *c, vx_err *err) {
    __attribute__((cleanup(vx_import_reader_close))) vx_import_reader reader = {0};
    int rc = vx_import_reader_open(&reader, c->params, err);
    if (rc)
        return rc;
    while ((rc = vx_import_reader_next(&reader, err)) == 1 || rc == VX_IMPORT_ROW_BAD) {
        c->report->rows++;
        if (rc == 1)
            rc = check_row(c, &reader.row, err);
        if (rc == VX_IMPORT_ROW_BAD)
            refuse(c->report, reader.row.number, err);
        else if (rc)
            return rc;
    }
    return rc;
}

static int check_all(const vx_import_params *params, vx_import_report *report, vx_err *err) {
    checking c = {.params = params, .report = report};
    int rc = check_rows(&c, err);
    if (!rc)
        refuse_scattered(&c);
    free(c.videos);
    if (!rc && report->refused)
        rc = VX_FAIL(err, VX_IMPORT_BAD,
                     "%" PRId64 " of %" PRId64
                     " rows cannot be imported, and nothing was stored; row %" PRId64 ": %.100s",
                     report->refused, report->rows, report->refusals[0].row,
                     report->refusals[0].why);
    return rc;
}

/* ---- storing ---- */

static int begin(importing *in, vx_err *err) {
    int rc = in->n_open ? 0 : vx_catalog_begin(in->params->catalog, err);
    in->n_open += !rc;
    return rc;
}

static int commit(importing *in, vx_err *err) {
    int rc = in->n_open ? vx_catalog_commit(in->params->catalog, err) : 0;
    in->n_open = 0;
    return rc;
}

static int insert_vectors(importing *in, const vx_video *video, vx_err *err) {
    VX_AUTO_FREE int64_t *rows = vx_new_array(video->n_clips, sizeof *rows);
    if (!rows)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    for (size_t i = 0; i < video->n_clips; i++)
        rows[i] = video->clips[i].row;
    int rc = vx_catalog_insert_vectors(in->params->catalog, in->params->space, rows, video->n_clips,
                                       in->vectors, in->params->dim, err);
    in->report->vectors += rc ? 0 : (int64_t)video->n_clips;
    return rc;
}

static bool have_same_clips(const vx_video *a, const vx_video *b) {
    for (size_t i = 0; a->n_clips == b->n_clips && i < a->n_clips; i++)
        if (fabs(a->clips[i].start_s - b->clips[i].start_s) > SAME_TIME_S ||
            fabs(a->clips[i].end_s - b->clips[i].end_s) > SAME_TIME_S)
            return false;
    return a->n_clips == b->n_clips;
}

/* A video that is there gets the vectors if it has the same clips and none of the model. */
static int add_to_existing(importing *in, vx_err *err) {
    VX_AUTO(vx_video) stored = NULL;
    VX_AUTO_FREE float *vector = vx_new_array((size_t)in->params->dim, sizeof *vector);
    if (!vector)
        return VX_FAIL(err, -ENOMEM, "no memory for a vector");
    int rc = vx_catalog_get_video_by_sha256(in->params->catalog, in->video->sha256, &stored, err);
    if (rc)
        return rc;
    if (in->first_row && stored->row >= in->first_row)
        return VX_FAIL(err, VX_IMPORT_BAD, "the file has changed since it was checked");
    in->report->existing++;
    for (size_t i = 0; i < stored->n_clips; i++) {
        int has = vx_catalog_get_vector(in->params->catalog, in->params->space,
                                        stored->clips[i].row, vector, in->params->dim, err);
        if (has != VX_CATALOG_NOT_FOUND)
            return 0;
    }
    if (have_same_clips(stored, in->video))
        return insert_vectors(in, stored, err);
    in->report->unlike++;
    return 0;
}

/* The video that was gathered. */
static int store_video(importing *in, vx_err *err) {
    if (!in->video)
        return 0;
    int rc = begin(in, err);
    if (!rc)
        rc = vx_catalog_insert_video(in->params->catalog, in->video, err);
    if (rc == VX_CATALOG_EXISTS) {
        rc = add_to_existing(in, err);
    } else if (!rc) {
        in->first_row = in->first_row ? in->first_row : in->video->row;
        in->report->stored++;
        rc = insert_vectors(in, in->video, err);
    }
    in->video = vx_video_free(in->video);
    in->clips_capacity = 0;
    return !rc && in->n_open >= VIDEOS_AT_ONCE ? commit(in, err) : rc;
}

static int new_video(importing *in, const facts *found, int64_t number, vx_err *err) {
    vx_video *video = in->video = vx_new(vx_video);
    char name[64];
    if (!video)
        return VX_FAIL(err, -ENOMEM, "no memory for a video");
    memcpy(video->sha256, found->sha256, sizeof video->sha256);
    snprintf(name, sizeof name, "%.40s#%" PRId64, in->params->source, number);
    video->filename = strdup(found->filename && *found->filename ? found->filename : name);
    video->source_path = strdup(VX_NO_FILE);
    video->metadata = found->metadata ? json_dumps(found->metadata, JSON_COMPACT) : strdup("{}");
    video->fps = video->sample_aspect_ratio = (double)NAN;
    video->duration_s = found->duration_s;
    video->created_us = vx_clock_unix_us();
    video->duplicate = vx_verdict_row_new();
    video->rotation_deg = -1;
    video->rules = NEVER_OUTDATED;
    return video->filename && video->source_path && video->metadata
               ? 0
               : VX_FAIL(err, -ENOMEM, "no memory for a video");
}

static int add_row(importing *in, const vx_import_row *row, vx_err *err) {
    facts found;
    size_t dim = (size_t)in->params->dim;
    int rc = read_facts(in->params, row, &found, err);
    if (!rc && in->video && memcmp(in->video->sha256, found.sha256, sizeof found.sha256) != 0)
        rc = store_video(in, err);
    if (!rc && !in->video)
        rc = new_video(in, &found, row->number, err);
    if (rc)
        return rc;
    vx_video *video = in->video;
    if (video->n_clips == VX_CLIP_MAX)
        return VX_FAIL(err, VX_IMPORT_BAD, "the file has changed since it was checked");
    if (!vx_make_room(video->clips, video->n_clips, in->clips_capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", video->n_clips);
    if ((video->n_clips + 1) * dim > in->vectors_capacity) {
        float *grown = vx_regrow(in->vectors, 2 * (video->n_clips + 1), dim * sizeof *grown);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", video->n_clips);
        in->vectors = grown;
        in->vectors_capacity = 2 * (video->n_clips + 1) * dim;
    }
    memcpy(in->vectors + video->n_clips * dim, row->vector, dim * sizeof *row->vector);
    video->clips[video->n_clips] =
        (vx_clip){.index = (int)video->n_clips, .start_s = found.start_s, .end_s = found.end_s};
    video->n_clips++;
    return 0;
}

static int store_all(importing *in, vx_err *err) {
    __attribute__((cleanup(vx_import_reader_close))) vx_import_reader reader = {0};
    int rc = vx_import_reader_open(&reader, in->params, err);
    if (rc)
        return rc;
    while ((rc = vx_import_reader_next(&reader, err)) == 1)
        if ((rc = add_row(in, &reader.row, err)))
            break;
    if (!rc)
        rc = store_video(in, err);
    if (!rc)
        rc = commit(in, err);
    vx_catalog_rollback(in->params->catalog);
    if (rc > 0)
        VX_WRAP(err, "row %" PRId64, reader.row.number);
    return rc;
}

int vx_import_run(const vx_import_params *params, vx_import_report *ret_report, vx_err *err) {
    *ret_report = (vx_import_report){0};
    int rc = check_all(params, ret_report, err);
    if (rc)
        return rc;
    importing in = {.params = params, .report = ret_report};
    rc = store_all(&in, err);
    vx_video_free(in.video);
    free(in.vectors);
    return rc;
}
