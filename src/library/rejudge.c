/* rejudge.c — judges videos anew whose original was deleted, or which came out differently when they were
 * read again (backfill/reread.c).
 *
 * The transaction that deletes the original marks them (videos.rejudge) and makes a durable job of the kind
 * "rejudge", unless one waits or runs. The upkeep thread takes the marked videos from the oldest on. It
 * compares each with older ones alone, as when it was stored: of copies that lost their original the oldest
 * becomes `new` and the others its copies. As older videos can only go, this needs no transaction. The writer
 * gets the verdicts of up to AT_ONCE videos in one write, which looks only whether the videos are still there,
 * so that uploads commit in between. The marks say what is left, and the job goes on from them after a restart.
 * If it is cancelled they stay, and the next job takes them too.
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
#include "base/log.h"
#include "library_internal.h"
#include "verdict/verdict.h"

#define KIND "rejudge"
#define WRITE_AFTER_US 1000000 /* what was judged for so long is written */
enum { AT_ONCE = 64 };

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

/* ---- the job ---- */

static vx_job *new_job(void) {
    vx_job *job = vx_new(vx_job);
    if (job)
        atomic_store(&job->phase, VX_PHASE_COMMIT);
    return job;
}

static void set_job(vx_library *library, vx_job *job, bool durable) {
    vx_mutex_lock(&library->mu);
    library->rejudge = job;
    library->rejudge_durable = durable;
    if (!job)
        vx_cond_signal(&library->rejudge_ended);
    vx_mutex_unlock(&library->mu);
}

static vx_job *get_job(vx_library *library, bool only_durable) {
    vx_mutex_lock(&library->mu);
    vx_job *job = only_durable && !library->rejudge_durable ? NULL : library->rejudge;
    vx_mutex_unlock(&library->mu);
    return job;
}

static void free_job(vx_library *library, vx_job *job) {
    vx_jobs_remove(library->params.jobs, job);
    free(job);
}

int vx_library_begin_rejudge(vx_library *library, vx_job **ret_job, vx_err *err) {
    *ret_job = NULL;
    vx_job *live = get_job(library, false);
    if (live) { /* one that is cancelled ends without these */
        library->rejudge_again |= atomic_load(&live->cancelled);
        return 0;
    }
    vx_job *job = new_job();
    if (!job)
        return VX_FAIL(err, -ENOMEM, "no memory for a job");
    int rc = vx_jobs_prepare(library->params.jobs, KIND, job, err);
    if (!rc)
        rc = vx_jobs_insert(library->params.jobs, KIND, job, "{}", err);
    if (rc) {
        free_job(library, job);
        return rc;
    }
    vx_jobs_add(library->params.jobs, job);
    set_job(library, job, false);
    *ret_job = job;
    return 0;
}

void vx_library_finish_rejudge(vx_library *library, vx_job *job, int rc) {
    if (!job)
        return;
    set_job(library, rc ? NULL : job, true);
    if (rc)
        free_job(library, job);
    else
        vx_library_wake_upkeep(library);
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
    int64_t row, of; /* of: the video that the verdict names; 0 = none */
    vx_verdict_row verdict;
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

/* A video whose vectors or fingerprint are not there is judged without them. */
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
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

static bool is_over(void *ctx) {
    const stored_video *s = ctx;
    return atomic_load(&s->library->stopping) || atomic_load(&s->job->cancelled);
}

static void find_path(const stored_video *s, char path[PATH_MAX]) {
    if (s->video->source_path)
        snprintf(path, PATH_MAX, "%s", s->video->source_path);
    else
        vx_store_path(s->library->params.store, s->video->sha256, path, PATH_MAX);
}

/* False, after a line in the log, when the file cannot be decoded: then what is stored has to do. */
static bool decode_fingerprint(stored_video *s) {
    const vx_library_params *p = &s->library->params;
    char path[PATH_MAX], table_path[PATH_MAX];
    vx_extract found = {0};
    vx_err err;
    vx_store_table_path(p->store, s->video->sha256, table_path, PATH_MAX);
    find_path(s, path);
    const vx_extract_watch watch = {.cancelled = is_over, .ctx = s};
    const vx_extract_params params = {.path = path,
                                      .table_path = table_path,
                                      .spans = &(vx_span){0, s->video->duration_s},
                                      .n_spans = 1,
                                      .fingerprints = true,
                                      .decode_threads = 1,
                                      .watch = &watch};
    vx_outcome outcome = vx_extract_run(p->extractor, &params, &found, &err);
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
    char path[PATH_MAX];
    find_path(s, path);
    const vx_verdict_files files = {.store = s->library->params.store,
                                    .extractor = s->library->params.extractor,
                                    .path = path,
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

/* VX_CATALOG_NOT_FOUND: deleted meanwhile. */
static int judge_stored(vx_library *library, const vx_job *job, int64_t row, originals *seen,
                        judged *ret, vx_err *err) {
    stored_video s = {.library = library, .job = job};
    *ret = (judged){.row = row};
    int rc = read_stored(&s, row, err);
    s.subject.more = seen->rows;
    s.subject.n_more = n_originals(seen);
    if (!rc)
        rc = judge(&s, ret, err);
    if (!rc && ret->verdict.kind != VX_VERDICT_COPY && s.fingerprint.n_frames &&
        decode_fingerprint(&s))
        rc = judge(&s, ret, err);
    if (rc == -EIO && s.video) { /* what is damaged must not stop the others: it stays new */
        vx_log_failed(VX_LOG_WARN, KIND, err, "video=%s", s.video->id);
        ret->verdict = vx_verdict_row_new();
        ret->of = 0;
        rc = 0;
    }
    if (!rc)
        note_original(seen, ret->of ? ret->of : row);
    stored_video_done(&s);
    return rc;
}

/* ---- all of them ---- */

typedef struct group {
    vx_library *library;
    judged items[AT_ONCE];
    size_t n;
} group;

static int apply_verdicts(void *ctx, vx_err *err) {
    const group *g = ctx;
    vx_catalog *catalog = g->library->params.collection->catalog;
    int rc = 0;
    for (size_t i = 0; i < g->n && !rc; i++) {
        const judged *j = &g->items[i];
        bool has = true;
        if (j->of)
            rc = vx_catalog_has_video(catalog, j->of, &has, err);
        if (!rc && has) /* else it keeps its mark, and is judged once more */
            rc = vx_catalog_set_verdict(catalog, j->row, &j->verdict, err);
        rc = rc == VX_CATALOG_NOT_FOUND ? 0 : rc; /* deleted meanwhile */
    }
    return rc;
}

static int write_verdicts(group *g, vx_job *job, vx_err *err) {
    int rc = g->n ? vx_writer_run(g->library->params.writer, apply_verdicts, NULL, g, err) : 0;
    if (!rc)
        atomic_fetch_add(&job->done, (long long)g->n);
    g->n = 0;
    return rc;
}

/* Judges videos and writes their verdicts, in one write or several. */
static int rejudge_rows(vx_library *library, vx_job *job, const int64_t *rows, size_t n,
                        originals *seen, vx_err *err) {
    group g = {.library = library};
    int64_t start_us = vx_clock_monotonic_us();
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = judge_stored(library, job, rows[i], seen, &g.items[g.n], err);
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

static int rejudge_marked(vx_library *library, vx_job *job, vx_err *err) {
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

typedef struct ending {
    vx_library *library;
    vx_job *job;
    vx_job *next; /* made for videos that were marked after this one was cancelled */
    bool more;    /* videos were marked meanwhile */
} ending;

static int apply_end(void *ctx, vx_err *err) {
    ending *end = ctx;
    vx_library *library = end->library;
    int64_t row;
    size_t n = 0;
    int rc = 0;
    if (!atomic_load(&end->job->cancelled))
        rc = vx_catalog_find_rejudged(library->params.collection->catalog, 0, 1, &row, &n, err);
    end->more = n > 0;
    if (rc || n)
        return rc;
    VX_AUTO_FREE char *result = vx_jobs_result(VX_OUTCOME_OK, NULL, NULL, NULL);
    rc = vx_jobs_end(library->params.jobs, end->job->id, VX_JOB_DONE, result, err);
    if (rc && rc != VX_JOBS_ENDED && rc != VX_CATALOG_NOT_FOUND)
        return rc;
    set_job(library, NULL, false); /* whoever marks more from here on makes another job */
    if (!library->rejudge_again)
        return 0;
    library->rejudge_again = false;
    return vx_library_begin_rejudge(library, &end->next, err);
}

static void undo_end(void *ctx) {
    ending *end = ctx;
    if (end->next) {
        vx_library_finish_rejudge(end->library, end->next, -ECANCELED);
        end->library->rejudge_again = true;
        end->next = NULL;
    }
    if (!end->more)
        set_job(end->library, end->job, true);
}

/* Broken off or failed by a fault of ours: the marks stay, and the job is made again from its row. */
static void try_again(vx_library *library, vx_job *job, vx_outcome outcome, const vx_err *why) {
    set_job(library, NULL, false);
    vx_jobs_try_again(library->params.jobs, job, outcome, why);
    free(job);
}

int vx_library_rejudge(vx_library *library, vx_err *err) {
    vx_job *job = get_job(library, true);
    if (!job)
        return 0;
    atomic_store(&job->started_us, vx_clock_monotonic_us());
    int rc = vx_jobs_begin(library->params.jobs, job, err);
    if (rc == VX_JOBS_ENDED) { /* as the end of one that is cancelled later */
        atomic_store(&job->cancelled, true);
        rc = 0;
    }
    ending end = {.library = library, .job = job, .more = true};
    while (!rc && end.more) {
        rc = rejudge_marked(library, job, err);
        if (!rc && atomic_load(&library->stopping))
            rc = VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
        if (!rc)
            rc = vx_writer_run(library->params.writer, apply_end, undo_end, &end, err);
    }
    if (rc) {
        try_again(library, job, vx_outcome_of_error(rc, err), err);
        return rc == -ESHUTDOWN ? 0 : rc;
    }
    vx_log(VX_LOG_INFO, KIND, "job=%s videos=%lld", job->id, (long long)atomic_load(&job->done));
    free_job(library, job);
    vx_library_finish_rejudge(library, end.next, 0);
    return 0;
}

void vx_library_wait_rejudged(vx_library *library) {
    vx_mutex_lock(&library->mu);
    while (library->rejudge && !atomic_load(&library->stopping))
        vx_cond_wait(&library->rejudge_ended, &library->mu);
    vx_mutex_unlock(&library->mu);
}

/* ---- jobs made again from their rows ---- */

/* One is enough for all that wait; another finds nothing to do then. */
static vx_outcome parse(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    if (get_job(ctx, false)) {
        VX_FAIL(err, -EBUSY, "another job judges videos anew");
        return VX_OUTCOME_BUSY;
    }
    vx_job *job = new_job();
    if (!job) {
        VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
        return VX_OUTCOME_BUSY;
    }
    strcpy(job->id, row->id);
    *ret_job = job;
    return VX_OUTCOME_OK;
}

static vx_outcome run(void *ctx, vx_job *job) {
    vx_library *library = ctx;
    vx_mutex_lock(&library->mu);
    bool taken = library->rejudge != NULL;
    if (!taken) {
        library->rejudge = job;
        library->rejudge_durable = true;
    }
    vx_mutex_unlock(&library->mu);
    if (taken) {
        free(job);
        return VX_OUTCOME_BUSY;
    }
    vx_jobs_add(library->params.jobs, job);
    vx_library_wake_upkeep(library);
    return VX_OUTCOME_OK;
}

void vx_library_add_rejudge_kind(vx_library *library) {
    const vx_job_kind kind = {.name = KIND, .ctx = library, .parse = parse, .run = run};
    vx_jobs_add_kind(library->params.jobs, &kind);
}
