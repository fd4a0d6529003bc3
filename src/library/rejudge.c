/* rejudge.c — judges videos anew whose original was deleted, or which came out differently when they were
 * read again (backfill/reread.c).
 *
 * The transaction that deletes the original marks them (videos.rejudge) and makes a durable job of the kind
 * "rejudge", unless one waits or runs (jobs/sweep.h). The upkeep thread takes the marked videos from the oldest on. It
 * compares each with older ones alone, as when it was stored: of copies that lost their original the oldest
 * becomes `new` and the others its copies. Those whose verdict still names a stored video wait for a look at the
 * pictures alone, and are judged some at once. As older videos can only go, this needs no transaction. The writer
 * gets the verdicts of up to AT_ONCE videos in one write, which looks only whether the videos are still there,
 * so that uploads commit in between.
 *
 * Stored are the hashes of two frames per second. They suffice for a copy of the whole, and most of these
 * videos are one. For any other verdict the file is decoded again, because an upload is asked with more
 * frames and with their mirror images (extract/). As at upload, a match of hashes counts after another look at the
 * pictures alone (verdict/); a video without a file is judged by its hashes.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/crew.h"
#include "base/log.h"
#include "library_internal.h"
#include "verdict/verdict.h"

#define KIND "rejudge"
#define WRITE_AFTER_US 1000000           /* what was judged for so long is written */
enum { AT_ONCE = 64, MOST_JUDGES = 16 }; /* a judge keeps up to 78 MB of pictures */

/* The videos that the last verdicts named, or that turned out new. Those that wait are compared with them in
 * any case: of a thousand copies the fingerprint index names sixteen, which may all be newer. */
typedef struct originals {
    int64_t rows[VX_VERDICT_MORE];
    size_t n; /* ever noted: the i-th is at i % VX_VERDICT_MORE */
} originals;

static size_t n_originals(const originals *o) {
    return o->n < VX_VERDICT_MORE ? o->n : VX_VERDICT_MORE;
}

static void note_original(originals *o, int64_t row) {
    for (size_t i = 0; i < n_originals(o); i++)
        if (o->rows[i] == row)
            return;
    o->rows[o->n++ % VX_VERDICT_MORE] = row;
}

/* ---- one video ---- */

typedef struct stored_video {
    vx_library *library;
    const vx_job *job;
    vx_video *video;
    float *vectors;          /* float32 [subject.n_clips, dim] */
    vx_fp_video fingerprint; /* at first without mirror images */
    vx_verdict_subject subject;
} stored_video;

/* What is written of it. */
typedef struct judged {
    int64_t row, of; /* row: 0 = not judged yet; of: the video that the verdict names; 0 = none */
    vx_verdict_row verdict;
    vx_evidence_state evidence;
} judged;

static void stored_video_done(stored_video *s) {
    vx_fp_video_clear(&s->fingerprint);
    free(s->vectors);
    vx_video_free(s->video);
}

static int read_vectors(stored_video *s, vx_err *err) {
    const vx_model *model = &s->library->params.collection->models->items[0];
    size_t dim = (size_t)model->info->dim;
    s->vectors = vx_new_array(s->video->n_clips, dim * sizeof *s->vectors);
    if (!s->vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", s->video->n_clips);
    for (size_t i = 0; i < s->video->n_clips; i++)
        if (!vx_index_get(model->index, s->video->clips[i].row,
                          s->vectors + s->subject.n_clips * dim, err))
            s->subject.n_clips++;
    return 0;
}

/* A video whose vectors or fingerprint are not there, or whose fingerprint is damaged, is judged without them. */
static int read_stored(stored_video *s, int64_t row, vx_err *err) {
    const vx_collection *collection = s->library->params.collection;
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes = 0;
    int rc = vx_catalog_get_video_by_row(collection->catalog, row, &s->video, err);
    if (!rc)
        rc = read_vectors(s, err);
    if (rc)
        return rc;
    rc = vx_catalog_get_fingerprint(collection->catalog, row, &blob, &bytes, err);
    if (!rc)
        rc = vx_fp_unpack(blob, bytes, &s->fingerprint.frames, &s->fingerprint.n_frames, err);
    strcpy(s->subject.id, s->video->id);
    s->subject.vectors = s->vectors;
    s->subject.fingerprint = &s->fingerprint;
    s->subject.length_s = s->video->duration_s;
    s->subject.before_row = row;
    s->subject.before_clip = s->video->n_clips ? s->video->clips[0].row : 0;
    return rc == VX_CATALOG_NOT_FOUND || rc == VX_CATALOG_DAMAGED ? 0 : rc;
}

static bool is_over(void *ctx) {
    const stored_video *s = ctx;
    return atomic_load(&s->library->stopping) || atomic_load(&s->job->cancelled);
}

/* False, after a line in the log, when it is not there: then file.path is "", which nobody can open. */
static bool find_file(const stored_video *s, vx_stored_file *ret_file) {
    vx_err err;
    const vx_video *video = s->video;
    int rc = vx_store_find_file(s->library->params.store, video->sha256, video->source_path,
                                ret_file, &err);
    if (rc && vx_video_has_file(video))
        vx_log_failed(VX_LOG_WARN, KIND, &err, "video=%s", video->id);
    return !rc;
}

/* False, after a line in the log, when the file cannot be decoded: then what is stored has to do. */
static bool decode_fingerprint(stored_video *s) {
    const vx_library_params *p = &s->library->params;
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    char table_path[PATH_MAX];
    vx_extract found = {0};
    vx_err err;
    vx_store_table_path(p->store, s->video->sha256, table_path, PATH_MAX);
    if (!find_file(s, &file))
        return false;
    const vx_extract_watch watch = {.cancelled = is_over, .ctx = s};
    const vx_extract_params params = {.path = file.path,
                                      .table_path = table_path,
                                      .spans = &(vx_span){0, s->video->duration_s},
                                      .n_spans = 1,
                                      .fingerprints = true,
                                      .decode_threads = 1,
                                      .watch = &watch};
    vx_outcome outcome = vx_extract_run(vx_verify_extractor(p->verify), &params, &found, &err);
    if (!outcome && found.fingerprint.n_frames) {
        vx_fp_video_clear(&s->fingerprint);
        s->fingerprint = found.fingerprint;
        found.fingerprint = (vx_fp_video){0};
    } else if (outcome && outcome != VX_OUTCOME_CANCELLED) {
        vx_log_failed(VX_LOG_WARN, KIND, &err, "video=%s", s->video->id);
    }
    vx_extract_clear(&found);
    return !outcome;
}

/* -ECANCELED: is_over. */
static int judge(stored_video *s, judged *ret, vx_err *err) {
    vx_collection *collection = s->library->params.collection;
    vx_verdict_candidates candidates = {0};
    VX_AUTO(vx_video) of = NULL;
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    find_file(s, &file);
    const vx_verdict_files files = {.store = s->library->params.store,
                                    .extractor = vx_verify_extractor(s->library->params.verify),
                                    .path = file.path,
                                    .sha256 = s->video->sha256,
                                    .decode_threads = 1,
                                    .cancelled = is_over,
                                    .ctx = s};
    int rc = vx_verdict_find_candidates(collection, &s->subject, &candidates, err);
    for (bool again = !rc; again; again = rc == VX_VERDICT_UNSEEN) {
        rc = vx_video_has_file(s->video)
                 ? vx_verdict_check(collection, &s->subject, &files, &candidates, err)
                 : 0;
        if (!rc)
            rc = vx_verdict_decide(collection, &s->subject, &candidates, &ret->verdict, &of, err);
    }
    vx_verdict_candidates_clear(&candidates);
    if (rc == VX_MEDIA_STOPPED)
        return VX_FAIL(err, -ECANCELED, "the job was broken off");
    ret->of = of ? of->row : 0;
    return rc;
}

/* The video that its verdict names; 0: the verdict names none, or it is gone. */
static int find_original(const stored_video *s, int64_t *ret_row, vx_err *err) {
    VX_AUTO(vx_video) of = NULL;
    *ret_row = 0;
    if (s->video->duplicate.kind == VX_VERDICT_NEW)
        return 0;
    int rc = vx_catalog_get_video(s->library->params.collection->catalog, s->video->duplicate.of,
                                  &of, err);
    if (!rc)
        *ret_row = of->row;
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

/* VX_CATALOG_NOT_FOUND: deleted meanwhile.
 *   original  what else it is compared with: 0 = what was seen before */
static int judge_read(stored_video *s, int64_t original, originals *seen, judged *ret,
                      vx_err *err) {
    vx_library *library = s->library;
    const int64_t row = s->subject.before_row;
    *ret = (judged){.row = row};
    s->subject.more = original ? &original : seen->rows;
    s->subject.n_more = original ? 1 : n_originals(seen);
    int rc = judge(s, ret, err);
    if (!rc && ret->verdict.kind != VX_VERDICT_COPY && s->fingerprint.n_frames &&
        decode_fingerprint(s))
        rc = judge(s, ret, err);
    if (!rc && vx_video_has_file(s->video))
        ret->evidence = vx_verify_state(library->params.verify, ret->verdict.kind);
    return rc;
}

/* What is damaged must not stop the others: it stays new. */
static int note_damage(const stored_video *s, int64_t row, int rc, judged *ret, const vx_err *err) {
    if (rc != -EIO || !s->video)
        return rc;
    vx_log_failed(VX_LOG_WARN, KIND, err, "video=%s", s->video->id);
    *ret = (judged){.row = row, .verdict = vx_verdict_row_new()};
    if (vx_video_has_file(s->video))
        ret->evidence = vx_verify_state(s->library->params.verify, ret->verdict.kind);
    return 0;
}

static int judge_stored(vx_library *library, const vx_job *job, int64_t row, originals *seen,
                        judged *ret, vx_err *err) {
    stored_video s = {.library = library, .job = job};
    int rc = read_stored(&s, row, err);
    if (!rc)
        rc = judge_read(&s, 0, seen, ret, err);
    rc = note_damage(&s, row, rc, ret, err);
    stored_video_done(&s);
    return rc;
}

/* ---- those whose original is there, at once ---- */

/* Each is compared with its original and with what a search finds: no order matters. */
typedef struct apart {
    vx_library *library;
    const vx_job *job;
    const int64_t *rows; /* [AT_ONCE] at most */
    judged items[AT_ONCE];
    int rcs[AT_ONCE];
    vx_err errs[AT_ONCE];
} apart;

static void judge_apart(void *ctx, size_t i) {
    apart *a = ctx;
    stored_video s = {.library = a->library, .job = a->job};
    int64_t original = 0;
    a->items[i] = (judged){0};
    a->rcs[i] = is_over(&s) ? 0 : read_stored(&s, a->rows[i], &a->errs[i]);
    if (!a->rcs[i] && s.video)
        a->rcs[i] = find_original(&s, &original, &a->errs[i]);
    if (!a->rcs[i] && original)
        a->rcs[i] = judge_read(&s, original, NULL, &a->items[i], &a->errs[i]);
    a->rcs[i] = note_damage(&s, a->rows[i], a->rcs[i], &a->items[i], &a->errs[i]);
    stored_video_done(&s);
}

/* ---- all of them ---- */

typedef struct group {
    vx_library *library;
    judged items[AT_ONCE];
    size_t n;
    vx_job *verify_job; /* for the second look at them, if this made it */
} group;

static int apply_verdicts(void *ctx, vx_err *err) {
    group *g = ctx;
    vx_catalog *catalog = g->library->params.collection->catalog;
    bool pending = false;
    int rc = 0;
    for (size_t i = 0; i < g->n && !rc; i++) {
        const judged *j = &g->items[i];
        bool has = true;
        if (j->of)
            rc = vx_catalog_has_video(catalog, j->of, &has, err);
        if (!rc && has) /* else it keeps its mark, and is judged once more */
            rc = vx_catalog_set_verdict(catalog, j->row, &j->verdict, j->evidence, err);
        pending |= j->evidence == VX_EVIDENCE_PENDING;
        rc = rc == VX_CATALOG_NOT_FOUND ? 0 : rc; /* deleted meanwhile */
    }
    return rc || !pending ? rc : vx_verify_begin(g->library->params.verify, &g->verify_job, err);
}

static void undo_verdicts(void *ctx) {
    group *g = ctx;
    vx_verify_finish(g->library->params.verify, vx_take(g->verify_job), -EIO);
}

static int write_verdicts(group *g, vx_job *job, vx_err *err) {
    int rc =
        g->n ? vx_writer_run(g->library->params.writer, apply_verdicts, undo_verdicts, g, err) : 0;
    if (!rc)
        vx_verify_finish(g->library->params.verify, vx_take(g->verify_job), 0);
    if (!rc)
        atomic_fetch_add(&job->done, (long long)g->n);
    g->n = 0;
    return rc;
}

/* Judges videos and writes their verdicts, in one write or several. */
static int rejudge_rows(vx_library *library, vx_job *job, const int64_t *rows, size_t n,
                        originals *seen, vx_err *err) {
    group g = {.library = library};
    apart a = {.library = library, .job = job, .rows = rows};
    int rc = 0;
    int judges = library->params.judges;
    vx_crew_run("vx-judge", judges < MOST_JUDGES ? judges : MOST_JUDGES, n, judge_apart, &a);
    int64_t start_us = vx_clock_monotonic_us();
    for (size_t i = 0; i < n && !rc; i++) {
        g.items[g.n] = a.items[i];
        rc = a.rcs[i];
        if (rc)
            *err = a.errs[i];
        else if (!a.items[i].row)
            rc = judge_stored(library, job, rows[i], seen, &g.items[g.n], err);
        if (!rc)
            note_original(seen, g.items[g.n].of ? g.items[g.n].of : rows[i]);
        if (atomic_load(&library->stopping) || atomic_load(&job->cancelled)) {
            rc = rc == -ECANCELED ? 0 : rc;
            break; /* the last one may have been broken off */
        }
        g.n += !rc;
        rc = rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
        if (!rc && vx_clock_monotonic_us() - start_us >= WRITE_AFTER_US) {
            rc = write_verdicts(&g, job, err);
            start_us = vx_clock_monotonic_us();
        }
    }
    return rc ? rc : write_verdicts(&g, job, err);
}

static int rejudge_marked(void *ctx, vx_job *job, vx_err *err) {
    vx_library *library = ctx;
    vx_catalog *catalog = library->params.collection->catalog;
    int64_t rows[AT_ONCE], last = 0;
    size_t n = 0;
    originals seen = {0};
    int rc = vx_catalog_find_rejudged(catalog, 0, 1, rows, &n, err);
    if (!rc && n) /* as an earlier try left them */
        rc = vx_catalog_find_originals(catalog, rows[0], VX_VERDICT_MORE, seen.rows, &seen.n, err);
    while (!rc && n) {
        rc = vx_catalog_find_rejudged(catalog, last, AT_ONCE, rows, &n, err);
        if (!rc && n)
            rc = rejudge_rows(library, job, rows, n, &seen, err);
        if (atomic_load(&library->stopping) || atomic_load(&job->cancelled))
            break;
        last = n ? rows[n - 1] : last;
    }
    return rc;
}

static int find_marks(void *ctx, bool *ret_any, vx_err *err) {
    const vx_library *library = ctx;
    int64_t row;
    size_t n = 0;
    int rc = vx_catalog_find_rejudged(library->params.collection->catalog, 0, 1, &row, &n, err);
    *ret_any = n > 0;
    return rc;
}

static void wake(void *ctx) {
    vx_library_wake_upkeep(ctx);
}

int vx_library_new_rejudge(vx_library *library, vx_err *err) {
    const vx_sweep_params params = {.jobs = library->params.jobs,
                                    .writer = library->params.writer,
                                    .kind = KIND,
                                    .phase = VX_PHASE_COMMIT,
                                    .stopping = &library->stopping,
                                    .find_marks = find_marks,
                                    .work = rejudge_marked,
                                    .wake = wake,
                                    .ctx = library};
    return vx_sweep_new(&params, &library->rejudge, err);
}

int vx_library_rejudge(vx_library *library, vx_err *err) {
    return vx_sweep_run(library->rejudge, err);
}

int vx_library_begin_rejudge(vx_library *library, vx_job **ret_job, vx_err *err) {
    return vx_sweep_begin(library->rejudge, ret_job, err);
}

void vx_library_finish_rejudge(vx_library *library, vx_job *job, int rc) {
    vx_sweep_finish(library->rejudge, job, rc);
}

typedef struct marking {
    vx_library *library;
    vx_job *job;
} marking;

static int apply_marking(void *ctx, vx_err *err) {
    marking *m = ctx;
    size_t n = 0;
    int rc = vx_catalog_rejudge_pictures(m->library->params.collection->catalog, &n, err);
    return rc || !n ? rc : vx_library_begin_rejudge(m->library, &m->job, err);
}

static void undo_marking(void *ctx) {
    marking *m = ctx;
    vx_library_finish_rejudge(m->library, vx_take(m->job), -EIO);
}

int vx_library_check_pictures(vx_library *library, vx_err *err) {
    marking m = {.library = library};
    int rc = vx_writer_run(library->params.writer, apply_marking, undo_marking, &m, err);
    if (rc)
        return rc;
    vx_library_finish_rejudge(library, m.job, 0);
    vx_library_wait_rejudged(library);
    return 0;
}

void vx_library_wait_rejudged(vx_library *library) {
    vx_sweep_wait(library->rejudge);
}
