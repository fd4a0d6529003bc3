/* rejudge.c — judges videos anew whose original was deleted, or which came out differently when they were
 * read again (backfill/reread.c).
 *
 * The transaction that deletes the original marks them (videos.rejudge) and makes a durable job of the kind
 * "rejudge", unless one waits or runs. The upkeep thread takes the marked videos from the oldest on,
 * reads their vectors and fingerprints, looks for candidates, and writes one verdict in a transaction, so
 * that uploads commit in between. The marks say what is left: so it goes on after a restart. A video is
 * compared with older ones alone, as it was when it was stored. Of copies that lost their original the
 * oldest so becomes `new` and the others its copies.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "library_internal.h"
#include "verdict/verdict.h"

#define KIND "rejudge"
enum { AT_ONCE = 64 };

/* The last videos that turned out new. Copies of one of them that wait too are compared with it in any case:
 * of a thousand copies the fingerprint index names sixteen, which may all be newer. */
typedef struct originals {
    int64_t rows[VX_VERDICT_MORE];
    size_t n; /* ever noted: the i-th is at i % VX_VERDICT_MORE */
} originals;

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
    if (get_job(library, false))
        return 0;
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
    vx_video *video;
    float *vectors; /* float32 [subject.n_clips, dim] */
    vx_fp_video fingerprint;
    vx_verdict_subject subject;
    vx_verdict_candidates candidates;
    bool is_new;
} stored_video;

static void stored_video_done(stored_video *s) {
    vx_verdict_candidates_clear(&s->candidates);
    vx_fp_video_clear(&s->fingerprint);
    free(s->vectors);
    vx_video_free(s->video);
}

/* A video whose vectors or fingerprint are not there is judged without them. */
static int read_stored(stored_video *s, int64_t row, vx_err *err) {
    const vx_collection *collection = s->library->params.collection;
    const vx_model *model = &collection->models->items[0];
    VX_AUTO_FREE void *blob = NULL;
    size_t bytes = 0, dim = (size_t)model->info->dim;
    int rc = vx_catalog_get_video_by_row(collection->catalog, row, &s->video, err);
    if (rc)
        return rc;
    s->vectors = vx_new_array(s->video->n_clips, dim * sizeof *s->vectors);
    if (!s->vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %zu vectors", s->video->n_clips);
    for (size_t i = 0; i < s->video->n_clips; i++)
        if (!vx_index_get(model->index, s->video->clips[i].row,
                          s->vectors + s->subject.n_clips * dim, err))
            s->subject.n_clips++;
    rc = vx_catalog_get_fingerprint(collection->catalog, row, &blob, &bytes, err);
    if (!rc)
        rc = vx_fp_unpack(blob, bytes, &s->fingerprint.frames, &s->fingerprint.n_frames, err);
    if (!rc)
        rc = vx_fp_mirror(s->fingerprint.frames, s->fingerprint.n_frames, &s->fingerprint.mirrored,
                          err);
    s->subject.vectors = s->vectors;
    s->subject.fingerprint = &s->fingerprint;
    s->subject.length_s = s->video->duration_s;
    s->subject.before_row = row;
    s->subject.before_clip = s->video->n_clips ? s->video->clips[0].row : 0;
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

static int apply_verdict(void *ctx, vx_err *err) {
    stored_video *s = ctx;
    vx_collection *collection = s->library->params.collection;
    VX_AUTO(vx_video) of = NULL;
    vx_verdict_row verdict;
    int rc = vx_verdict_decide(collection, &s->subject, &s->candidates, &verdict, &of, err);
    s->is_new = !rc && verdict.kind == VX_VERDICT_NEW;
    return rc ? rc : vx_catalog_set_verdict(collection->catalog, s->video->row, &verdict, err);
}

static int apply_unjudged(void *ctx, vx_err *err) {
    const stored_video *s = ctx;
    const vx_verdict_row verdict = vx_verdict_row_new();
    return vx_catalog_set_verdict(s->library->params.collection->catalog, s->video->row, &verdict,
                                  err);
}

/* 0: it does not wait any more. */
static int rejudge_video(vx_library *library, int64_t row, originals *seen, vx_err *err) {
    const vx_library_params *p = &library->params;
    stored_video s = {.library = library};
    int rc = read_stored(&s, row, err);
    s.subject.more = seen->rows;
    s.subject.n_more = seen->n < VX_VERDICT_MORE ? seen->n : VX_VERDICT_MORE;
    if (!rc)
        rc = vx_verdict_find_candidates(p->collection, &s.subject, &s.candidates, err);
    if (!rc)
        rc = vx_writer_run(p->writer, apply_verdict, NULL, &s, err);
    if (rc == -EIO && s.video) { /* what is damaged must not stop the others: it stays new */
        vx_log_failed(VX_LOG_WARN, KIND, err, "video=%s", s.video->id);
        rc = vx_writer_run(p->writer, apply_unjudged, NULL, &s, err);
    }
    if (s.is_new)
        seen->rows[seen->n++ % VX_VERDICT_MORE] = row;
    stored_video_done(&s);
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc; /* deleted meanwhile */
}

/* ---- all of them ---- */

typedef struct ending {
    vx_library *library;
    vx_job *job;
    bool more; /* videos were marked meanwhile */
} ending;

static int apply_end(void *ctx, vx_err *err) {
    ending *end = ctx;
    vx_catalog *catalog = end->library->params.collection->catalog;
    int64_t row;
    size_t n = 0;
    int rc = atomic_load(&end->job->cancelled)
                 ? vx_catalog_set_none_rejudged(catalog, err)
                 : vx_catalog_find_rejudged(catalog, 0, 1, &row, &n, err);
    end->more = n > 0;
    if (rc || n)
        return rc;
    VX_AUTO_FREE char *result = vx_jobs_result(VX_OUTCOME_OK, NULL, NULL, NULL);
    rc = vx_jobs_end(end->library->params.jobs, end->job->id, VX_JOB_DONE, result, err);
    if (rc && rc != VX_JOBS_ENDED && rc != VX_CATALOG_NOT_FOUND)
        return rc;
    set_job(end->library, NULL, false); /* whoever marks more from here on makes another job */
    return 0;
}

static void undo_end(void *ctx) {
    const ending *end = ctx;
    if (!end->more)
        set_job(end->library, end->job, true);
}

static int rejudge_marked(vx_library *library, vx_job *job, vx_err *err) {
    int64_t rows[AT_ONCE], last = 0;
    size_t n = AT_ONCE;
    originals seen = {0};
    int rc = 0;
    while (!rc && n) {
        rc = vx_catalog_find_rejudged(library->params.collection->catalog, last, AT_ONCE, rows, &n,
                                      err);
        for (size_t i = 0; i < n && !rc; i++) {
            if (atomic_load(&library->stopping) || atomic_load(&job->cancelled))
                return 0;
            rc = rejudge_video(library, last = rows[i], &seen, err);
            atomic_fetch_add(&job->done, 1);
        }
    }
    return rc;
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
    ending end = {library, job, true};
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
