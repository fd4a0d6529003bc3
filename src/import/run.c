/* run.c — rows to videos. A first reading checks every row and stores nothing (check.c); the second one
 * stores whole videos, some thousand in a transaction (lot.c), so that a process that ends leaves whole videos
 * behind, which the next import of the same files meets as stored. */
#include "import.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "clip/clip.h"
#include "import_internal.h"

/* A lot. Ids are random, so its videos change nearly every page of their index, however few they are: large lots
 * write it less often. But uploads wait while one is written, a tenth of a second. */
#define VIDEOS_AT_ONCE 4096
#define BYTES_AT_ONCE ((size_t)16 << 20) /* of vectors */
#define NEVER_OUTDATED (1 << 30)         /* there is no file that could be read by newer rules */

void vx_import_report_done(vx_import_report *report) {
    free(report->refusals);
    *report = (vx_import_report){0};
}

/* ---- videos of rows ---- */

static int begin_video(vx_import_lot *lot, const vx_import_facts *facts, int64_t row, vx_err *err) {
    const char *source = lot->params->source;
    VX_AUTO(vx_video) video = vx_new(vx_video);
    char name[64];
    if (!video || !vx_make_room(lot->videos, lot->n, lot->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a video");
    memcpy(video->sha256, facts->sha256, sizeof video->sha256);
    snprintf(name, sizeof name, "%.40s#%" PRId64, source, row);
    video->filename = strdup(facts->filename && *facts->filename ? facts->filename : name);
    video->source_path = strdup(VX_NO_FILE);
    video->metadata = facts->metadata ? json_dumps(facts->metadata, JSON_COMPACT) : strdup("{}");
    video->fps = video->sample_aspect_ratio = (double)NAN;
    video->duration_s = facts->duration_s;
    video->created_us = vx_clock_unix_us();
    video->duplicate = vx_verdict_row_new();
    video->rotation_deg = -1;
    video->rules = NEVER_OUTDATED;
    video->frames = facts->frames;
    if (!video->filename || !video->source_path || !video->metadata)
        return VX_FAIL(err, -ENOMEM, "no memory for a video");
    lot->videos[lot->n++] = vx_take(video);
    return 0;
}

/* Of the last video of the lot. */
static int add_clip(vx_import_lot *lot, const vx_import_facts *facts, const float *vector,
                    vx_err *err) {
    vx_video *video = lot->videos[lot->n - 1];
    size_t dim = (size_t)lot->params->dim, capacity = video->n_clips;
    if (video->n_clips == VX_CLIP_MAX)
        return VX_FAIL(err, VX_IMPORT_BAD, "the file has changed since it was checked");
    /* The array grows at 1, 2, 4, … clips. */
    if ((capacity & (capacity - 1)) == 0) {
        vx_clip *grown = vx_regrow(video->clips, capacity ? 2 * capacity : 1, sizeof *grown);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for %zu clips", capacity);
        video->clips = grown;
    }
    if (lot->n_clips == lot->vectors_capacity) {
        size_t wanted = lot->vectors_capacity ? 2 * lot->vectors_capacity : 1024;
        float *grown = vx_regrow(lot->vectors, wanted, dim * sizeof *grown);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", wanted);
        lot->vectors = grown;
        lot->vectors_capacity = wanted;
    }
    memcpy(lot->vectors + lot->n_clips++ * dim, vector, dim * sizeof *vector);
    video->clips[video->n_clips] =
        (vx_clip){.index = (int)video->n_clips, .start_s = facts->start_s, .end_s = facts->end_s};
    video->n_clips++;
    return 0;
}

/* ---- the second reading ---- */

/* A lot ends before the first row of a video. */
static int add_row(vx_import_lot *lot, const vx_import_reader *reader, vx_import_report *report,
                   vx_err *err) {
    const vx_import_row *row = &reader->row;
    vx_import_facts facts;
    int rc = vx_import_read_facts(reader, &facts, err);
    bool begins = !lot->n || memcmp(lot->videos[lot->n - 1]->sha256, facts.sha256, 32) != 0;
    size_t bytes = lot->n_clips * (size_t)lot->params->dim * sizeof(float);
    bool full = lot->n >= VIDEOS_AT_ONCE || bytes >= BYTES_AT_ONCE;
    if (!rc && begins && full) {
        rc = vx_import_lot_store(lot, report, err);
        if (!rc && vx_import_is_over(lot->params, VX_IMPORT_STORING, row->number, report->rows))
            rc = VX_FAIL(err, VX_IMPORT_STOPPED, "the import was stopped");
    }
    if (!rc && begins)
        rc = begin_video(lot, &facts, row->number, err);
    return rc ? rc : add_clip(lot, &facts, row->vector, err);
}

static int store_all(vx_import_lot *lot, vx_import_report *report, vx_err *err) {
    __attribute__((cleanup(vx_import_reader_close))) vx_import_reader reader = {0};
    int rc = vx_import_reader_open(&reader, lot->params, err);
    if (rc)
        return rc;
    while ((rc = vx_import_reader_next(&reader, err)) == 1)
        if ((rc = add_row(lot, &reader, report, err)))
            break;
    if (!rc)
        rc = vx_import_lot_store(lot, report, err);
    if (rc == VX_IMPORT_ROW_BAD)
        rc = VX_FAIL(err, VX_IMPORT_BAD, "row %" PRId64 " has changed since it was checked",
                     reader.row.number);
    return rc;
}

int vx_import_look(const vx_import_params *params, vx_err *err) {
    __attribute__((cleanup(vx_import_reader_close))) vx_import_reader reader = {0};
    return vx_import_reader_open(&reader, params, err);
}

int vx_import_run(const vx_import_params *params, vx_import_report *ret_report, vx_err *err) {
    *ret_report = (vx_import_report){0};
    int rc = vx_import_check(params, ret_report, err);
    if (rc)
        return rc;
    vx_import_lot lot = {.params = params};
    rc = store_all(&lot, ret_report, err);
    vx_import_lot_done(&lot);
    return rc;
}
