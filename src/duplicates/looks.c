/* looks.c — the deep look of a scan: what neither vectors of whole clips nor hashes find (a crop, a picture in a picture, a
 * passage in a compilation), pictures show.
 *
 * Each video that is no copy or part of an older one is looked at once, by its moments and by parts of its pictures, beside
 * the nearest older videos (verdict/, the second look). What they share is stored as a pair, where no closer one is. A
 * video is marked when that is done, in the same write: so a scan that stops goes on with the next.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/log.h"
#include "duplicates_internal.h"
#include "evidence.h"

typedef struct looking {
    const vx_duplicates_params *p;
    const vx_scan_watch *watch;
    vx_scan_report *report;
    /* the video: */
    int64_t row;
    vx_verdict_stored stored;
    vx_verdict_looks looks;
    vx_duplicate_pair
        before[VX_VERDICT_LOOKS_MAX]; /* [looks.n] the pair that is stored; kind NEW: none */
    vx_duplicate_pair found[VX_VERDICT_LOOKS_MAX]; /* [n_found] */
    float segments[VX_VERDICT_LOOKS_MAX][4];
    size_t n_found;
} looking;

static bool is_over(void *ctx) {
    const looking *l = ctx;
    return l->watch->is_over && l->watch->is_over(l->watch->ctx);
}

/* ---- pairs of what was seen ---- */

static int note_before(void *ctx, const vx_duplicate_pair *pair, vx_err *err) {
    (void)err;
    looking *l = ctx;
    int64_t other = pair->a == l->row ? pair->b : pair->a;
    for (size_t i = 0; i < l->looks.n; i++)
        if (l->looks.items[i].found.of == other)
            l->before[i] = *pair;
    return 0;
}

static bool is_closer(const vx_verdict_found *found, const vx_duplicate_pair *before) {
    return found->kind != VX_VERDICT_NEW &&
           vx_rule_closeness(found->kind) > vx_rule_closeness(before->kind);
}

/* a is the older one, which was looked at. */
static void add_pair(looking *l, const vx_verdict_look *look, float score) {
    const vx_verdict_found *found = &look->found;
    float *segment = l->segments[l->n_found];
    segment[0] = (float)look->in_stored.start_s;
    segment[1] = (float)look->in_stored.end_s;
    segment[2] = (float)look->in_new.start_s;
    segment[3] = (float)look->in_new.end_s;
    l->found[l->n_found++] = (vx_duplicate_pair){.a = found->of,
                                                 .b = l->row,
                                                 .kind = found->kind,
                                                 .score = score,
                                                 .share = found->motion,
                                                 .share_of_a = found->share_of_stored,
                                                 .share_of_b = found->share_of_new,
                                                 .offset_s = found->offset_s,
                                                 .mirrored = found->mirrored,
                                                 .segments = segment,
                                                 .n_segments = 1};
}

static int find_pairs(looking *l, vx_err *err) {
    for (size_t i = 0; i < l->looks.n; i++)
        l->before[i] = (vx_duplicate_pair){.kind = VX_VERDICT_NEW, .score = NAN};
    int rc = vx_catalog_scan_pairs_of(l->p->collection->catalog, l->row, note_before, l, err);
    l->n_found = 0;
    for (size_t i = 0; i < l->looks.n && !rc; i++)
        if (is_closer(&l->looks.items[i].found, &l->before[i]))
            add_pair(l, &l->looks.items[i], l->before[i].score);
    return rc;
}

static int apply(void *ctx, vx_err *err) {
    const looking *l = ctx;
    vx_catalog *catalog = l->p->collection->catalog;
    int rc = vx_catalog_insert_pairs(catalog, l->found, l->n_found, err);
    return rc ? rc : vx_catalog_set_looked(catalog, l->row, err);
}

/* ---- one video ---- */

/* One whose own file is gone or cannot be read has shown nothing. */
static int look(looking *l, vx_err *err) {
    const vx_duplicates_params *p = l->p;
    const vx_video *video = l->stored.video;
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    l->looks = (vx_verdict_looks){0};
    if (!vx_video_has_file(video) ||
        vx_store_find_file(p->store, video->sha256, video->source_path, &file, err))
        return 0;
    const vx_verdict_files files = {.store = p->store,
                                    .extractor = p->extractor,
                                    .path = file.path,
                                    .sha256 = video->sha256,
                                    .decode_threads = 1,
                                    .cancelled = is_over,
                                    .ctx = l};
    int rc = vx_verdict_look_again(p->collection, &l->stored.subject, &files, VX_EVIDENCE_DEEP,
                                   &l->looks, err);
    if (rc == VX_MEDIA_STOPPED)
        return VX_FAIL(err, -ECANCELED, "the scan was stopped");
    if (rc == -EIO) {
        vx_log_failed(VX_LOG_WARN, VX_DUPLICATES_KIND, err, "video=%s", video->id);
        l->looks = (vx_verdict_looks){0};
        return 0;
    }
    return rc;
}

static int look_at_video(looking *l, int64_t row, vx_err *err) {
    l->row = row;
    int rc = vx_verdict_stored_read(l->p->collection, row, &l->stored, err);
    if (rc)
        return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
    rc = look(l, err);
    if (!rc)
        rc = find_pairs(l, err);
    if (!rc)
        rc = vx_writer_run(l->p->writer, apply, NULL, l, err);
    vx_verdict_stored_done(&l->stored);
    l->report->looked += !rc;
    l->report->pairs += rc ? 0 : (int64_t)l->n_found;
    return rc;
}

int vx_duplicates_look_deeper(const vx_duplicates_params *params, const vx_scan_watch *watch,
                              vx_scan_report *report, vx_err *err) {
    enum { AT_ONCE = 64 };
    looking l = {.p = params, .watch = watch, .report = report};
    vx_catalog *catalog = params->collection->catalog;
    int64_t rows[AT_ONCE], last = 0, total = 0;
    size_t n = 1;
    int rc = params->extractor->evidence ? vx_catalog_count_unlooked(catalog, &total, err) : 0;
    for (int64_t done = 0; total && n && !rc;) {
        rc = vx_catalog_find_unlooked(catalog, last, AT_ONCE, rows, &n, err);
        for (size_t i = 0; i < n && !rc; i++) {
            if (is_over(&l))
                return VX_FAIL(err, -ECANCELED, "the scan was stopped");
            rc = look_at_video(&l, last = rows[i], err);
            done += !rc;
            if (!rc && watch->on_progress)
                watch->on_progress(watch->ctx, done, total > done ? total : done);
        }
    }
    return rc;
}
