/* check.c — the first reading: every row is looked at, and nothing is stored. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "clip/clip.h"
#include "import_internal.h"

#define ROWS_A_LOOK 4096 /* at whether the import is over */
#define BAD(...) VX_FAIL(err, VX_IMPORT_ROW_BAD, __VA_ARGS__)

/* Every refused row is counted; the first ones are told. why may be err. */
static int refuse(vx_import_report *report, int64_t row, const vx_err *why, vx_err *err) {
    if (report->refused++ >= VX_IMPORT_REFUSALS)
        return 0;
    if (!report->refusals &&
        !(report->refusals = vx_new_array(VX_IMPORT_REFUSALS, sizeof *report->refusals)))
        return VX_FAIL(err, -ENOMEM, "no memory for the report of refused rows");
    vx_import_refusal *refusal = &report->refusals[report->refused - 1];
    refusal->row = row;
    snprintf(refusal->why, sizeof refusal->why, "%.199s", why->msg);
    return 0;
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
    int n_clips;           /* of the last video */
    vx_clip_frames frames; /* likewise */
} checking;

static int check_row(checking *c, const vx_import_reader *reader, vx_err *err) {
    vx_import_facts found;
    int rc = vx_import_read_facts(reader, &found, err);
    if (rc)
        return rc;
    bool same = c->n && !memcmp(found.sha256, c->last, sizeof c->last);
    if (same && found.frames != c->frames)
        return BAD("frames must be the same in all rows of a video");
    if (same)
        return c->n_clips++ < VX_CLIP_MAX ? 0 : BAD("its video has more than %d rows", VX_CLIP_MAX);
    c->n_clips = 1;
    c->frames = found.frames;
    memcpy(c->last, found.sha256, sizeof c->last);
    if (!vx_make_room(c->videos, c->n, c->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for %zu videos", c->n);
    beginning *video = &c->videos[c->n++];
    memcpy(&video->video, found.sha256, sizeof video->video);
    video->row = reader->row.number;
    return 0;
}

static int by_video(const void *a, const void *b) {
    const beginning *x = a, *y = b;
    return x->video != y->video ? (x->video > y->video ? 1 : -1)
                                : (x->row > y->row) - (x->row < y->row);
}

/* The rows of a video must lie behind each other: it is stored at once. */
static int refuse_scattered(checking *c, vx_err *err) {
    vx_err why;
    int rc = 0;
    if (c->n)
        qsort(c->videos, c->n, sizeof *c->videos, by_video);
    for (size_t i = 1; i < c->n && !rc; i++)
        if (c->videos[i].video == c->videos[i - 1].video) {
            VX_FAIL(&why, VX_IMPORT_ROW_BAD,
                    "rows of its video ended before, at the one of row %" PRId64,
                    c->videos[i - 1].row);
            rc = refuse(c->report, c->videos[i].row, &why, err);
        }
    return rc;
}

static int check_rows(checking *c, vx_err *err) {
    __attribute__((cleanup(vx_import_reader_close))) vx_import_reader reader = {0};
    int rc = vx_import_reader_open(&reader, c->params, err);
    if (rc)
        return rc;
    while ((rc = vx_import_reader_next(&reader, err)) == 1 || rc == VX_IMPORT_ROW_BAD) {
        if (c->report->rows++ == VX_IMPORT_MAX_ROWS)
            return VX_FAIL(err, VX_IMPORT_BAD, "there are more than %d rows", VX_IMPORT_MAX_ROWS);
        if (c->report->rows % ROWS_A_LOOK == 0 &&
            vx_import_is_over(c->params, VX_IMPORT_CHECKING, c->report->rows,
                              vx_import_reader_rows(&reader)))
            return VX_FAIL(err, VX_IMPORT_STOPPED, "the import was stopped");
        if (rc == 1)
            rc = check_row(c, &reader, err);
        if (rc == VX_IMPORT_ROW_BAD)
            rc = refuse(c->report, reader.row.number, err, err);
        if (rc)
            return rc;
    }
    return rc;
}

int vx_import_check(const vx_import_params *params, vx_import_report *report, vx_err *err) {
    checking c = {.params = params, .report = report};
    int rc = check_rows(&c, err);
    if (!rc)
        rc = refuse_scattered(&c, err);
    free(c.videos);
    if (!rc && report->refused)
        rc = VX_FAIL(err, VX_IMPORT_BAD,
                     "%" PRId64 " of %" PRId64
                     " rows cannot be imported, and nothing was stored; row %" PRId64 ": %.100s",
                     report->refused, report->rows, report->refusals[0].row,
                     report->refusals[0].why);
    return rc;
}
