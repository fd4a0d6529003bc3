#include "verify.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "jobs/sweep.h"

#define KIND "evidence"
enum {
    AT_ONCE = 64,
    NICE = 10, /* a tenth of what a thread of uploads gets where they use all cores */
    /* While there are uploads, it rests this many times as long as a piece of work took: a thread's priority does not
     * reach the model's threads or the disk. */
    REST = 19,
    REST_STEP_US = 100000,
};

struct vx_verify {
    vx_verify_params params;
    vx_sweep *sweep;
    atomic_bool stopping;
    atomic_int n_uploads; /* that are being processed */
    atomic_llong
        undescribed; /* videos stored before the start that the copy model has yet to describe */
    pthread_t thread;
    bool started;
    int64_t
        described_to; /* the thread's: videos up to this row were there at the start, and have been described */
    bool
        looks; /* was started; stays when the thread has ended: what is stored then waits for the next start */
    vx_mutex mu;
    vx_cond woken;
    bool asked VX_GUARDED; /* a job waits */
    vx_verify_stats stats VX_GUARDED;
};

const vx_extractor *vx_verify_extractor(const vx_verify *verify) {
    return verify->params.extractor;
}

vx_evidence_state vx_verify_state(const vx_verify *verify, vx_verdict_kind verdict) {
    if (!verify->looks || verify->params.extractor->evidence < VX_EVIDENCE_FULL)
        return VX_EVIDENCE_NONE;
    return vx_verdict_wants_look(verdict) ? VX_EVIDENCE_PENDING : VX_EVIDENCE_DONE;
}

int vx_verify_begin(vx_verify *verify, vx_job **ret_job, vx_err *err) {
    return vx_sweep_begin(verify->sweep, ret_job, err);
}

void vx_verify_finish(vx_verify *verify, vx_job *job, int rc) {
    if (job)
        vx_sweep_finish(verify->sweep, job, rc);
}

/* ---- one video ---- */

typedef struct stored_video {
    vx_verify *verify;
    const vx_job *job;
    int64_t since_us; /* when the piece of work began that it is at */
    int64_t rested_us;
    vx_verdict_stored stored;
    vx_verdict_looks looks;
    char *json;      /* of the looks */
    float *pictures; /* float32 [n_pictures, dim] as the copy model describes them; owned */
    size_t n_pictures;
    bool failed, revised;
} stored_video;

static void stored_video_done(stored_video *s) {
    free(s->json);
    free(s->pictures);
    vx_verdict_stored_done(&s->stored);
}

static bool is_over(void *ctx) {
    const stored_video *s = ctx;
    return atomic_load(&s->verify->stopping) || atomic_load(&s->job->cancelled);
}

/* After a piece of work, while there are uploads. */
static void rest(stored_video *s) {
    vx_verify *verify = s->verify;
    int64_t begun_us = vx_clock_monotonic_us(), now_us = begun_us;
    int64_t until_us = now_us + REST * (now_us - s->since_us);
    vx_mutex_lock(&verify->mu);
    while (atomic_load(&verify->n_uploads) > 0 && !is_over(s) && now_us < until_us) {
        vx_cond_wait_until(&verify->woken, &verify->mu, now_us + REST_STEP_US);
        now_us = vx_clock_monotonic_us();
    }
    vx_mutex_unlock(&verify->mu);
    s->since_us = now_us;
    s->rested_us += now_us - begun_us;
}

void vx_verify_note_uploads(vx_verify *verify, int change) {
    atomic_fetch_add(&verify->n_uploads, change);
}

static void on_check(void *ctx, const vx_video *of, const vx_evidence *evidence) {
    stored_video *s = ctx;
    vx_mutex_lock(&s->verify->mu);
    s->verify->stats.looks[evidence->kind]++;
    vx_mutex_unlock(&s->verify->mu);
    vx_log(VX_LOG_DEBUG, KIND, "video=%s of=%s kind=%s motion=%.3f inliers=%d", s->stored.video->id,
           of->id, vx_evidence_kind_name(evidence->kind), (double)evidence->motion,
           evidence->n_inliers);
    rest(s);
}

/* ---- its pictures, as the copy model describes them ---- */

static const vx_model *copy_model(const vx_verify *verify) {
    const vx_models *copy = verify->params.collection->models->copy;
    return copy ? &copy->items[0] : NULL;
}

static int apply_pictures(void *ctx, vx_err *err) {
    stored_video *s = ctx;
    return vx_collection_set_pictures(s->verify->params.collection, s->stored.video->row,
                                      s->pictures, s->n_pictures, err);
}

static void undo_pictures(void *ctx) {
    const stored_video *s = ctx;
    vx_collection_forget_pictures(s->verify->params.collection, s->stored.video->row);
}

/* files NULL: its file is not there. */
static int describe(stored_video *s, const vx_verdict_files *files, vx_err *err) {
    vx_verify *verify = s->verify;
    const vx_video *video = s->stored.video;
    const vx_model *copy = copy_model(verify);
    if (!copy || vx_index_has(copy->index, vx_picture_id(video->row, 0)))
        return 0;
    int rc = files
                 ? vx_verdict_describe(files, video->duration_s, &s->pictures, &s->n_pictures, err)
                 : 0;
    if (!rc)
        rc = vx_writer_run(verify->params.writer, apply_pictures, undo_pictures, s, err);
    if (rc)
        return rc;
    s->stored.subject.described = true;
    s->stored.subject.pictures = s->pictures;
    s->stored.subject.n_pictures = s->n_pictures;
    vx_mutex_lock(&verify->mu);
    verify->stats.described++;
    vx_mutex_unlock(&verify->mu);
    rest(s);
    return 0;
}

/* ---- both ---- */

/* Describes a video, and looks at it if it is pending. */
static int work_on(stored_video *s, bool looks, vx_err *err) {
    const vx_verify_params *p = &s->verify->params;
    VX_AUTO_STORED_FILE file = VX_NO_STORED_FILE;
    bool there = !vx_store_find_file(p->store, s->stored.video->sha256,
                                     s->stored.video->source_path, &file, err);
    if (!there)
        vx_log_failed(VX_LOG_DEBUG, KIND, err, "video=%s", s->stored.video->id);
    const vx_verdict_files files = {.store = p->store,
                                    .extractor = p->extractor,
                                    .path = file.path,
                                    .sha256 = s->stored.video->sha256,
                                    .decode_threads = 1,
                                    .cancelled = is_over,
                                    .on_check = on_check,
                                    .ctx = s};
    int rc = describe(s, there ? &files : NULL, err);
    if (rc || !there || !looks)
        return rc;
    return vx_verdict_look_again(p->collection, &s->stored.subject, &files, p->extractor->evidence,
                                 &s->looks, err);
}

/* If a video is gone, or its verdict has changed since, nothing is written: what is still pending is looked at once
 * more. */
static int apply_looks(void *ctx, vx_err *err) {
    stored_video *s = ctx;
    vx_collection *collection = s->verify->params.collection;
    vx_verdict_row revised;
    int rc = vx_verdict_revise(collection, &s->stored.video->duplicate, &s->looks, &s->revised,
                               &revised, err);
    if (!rc)
        rc = vx_catalog_end_second_look(collection->catalog, s->stored.video->row,
                                        &s->stored.video->duplicate, s->revised ? &revised : NULL,
                                        s->json, err);
    return rc;
}

static int apply_begin(void *ctx, vx_err *err) {
    stored_video *s = ctx;
    return vx_catalog_begin_second_look(s->verify->params.collection->catalog, s->stored.video->row,
                                        &s->failed, err);
}

static int apply_break_off(void *ctx, vx_err *err) {
    const stored_video *s = ctx;
    return vx_catalog_break_off_second_look(s->verify->params.collection->catalog,
                                            s->stored.video->row, err);
}

/* From here on the process may end by what is in the files. */
static int begin(stored_video *s, vx_err *err) {
    int rc = vx_writer_run(s->verify->params.writer, apply_begin, NULL, s, err);
    if (!rc && s->failed)
        vx_log(VX_LOG_ERROR, KIND,
               "video=%s evidence=failed hint=\"the server ended %d times while it looked at it\"",
               s->stored.video->id, VX_CATALOG_LOOK_TRIES);
    return rc;
}

static void note_end(stored_video *s, int64_t took_us) {
    vx_verify *verify = s->verify;
    vx_mutex_lock(&verify->mu);
    verify->stats.videos += !s->failed;
    verify->stats.failed += s->failed;
    verify->stats.revised += s->revised;
    verify->stats.looks_us += took_us;
    vx_mutex_unlock(&verify->mu);
    if (s->revised)
        vx_log(VX_LOG_INFO, "revised", "video=%s was=%s verdict=%s", s->stored.video->id,
               vx_verdict_name(s->stored.video->duplicate.kind),
               vx_verdict_name(s->looks.found.kind));
}

/* A video whose own data is damaged must not stop the others: it is done, with nothing found. */
static int look_and_note(stored_video *s, vx_err *err) {
    vx_err ignored;
    int rc = work_on(s, true, err);
    if (rc == -EIO) {
        vx_log_failed(VX_LOG_WARN, KIND, err, "video=%s", s->stored.video->id);
        s->looks = (vx_verdict_looks){0};
        rc = 0;
    }
    if (!rc && !(s->json = vx_verdict_looks_json(&s->looks)))
        rc = VX_FAIL(err, -ENOMEM, "no memory for what was seen");
    if (!rc)
        rc = vx_writer_run(s->verify->params.writer, apply_looks, NULL, s, err);
    if (rc)
        vx_writer_run(s->verify->params.writer, apply_break_off, NULL, s, &ignored);
    return rc;
}

static int verify_video(vx_verify *verify, vx_job *job, int64_t row, vx_err *err) {
    int64_t start_us = vx_clock_monotonic_us();
    stored_video s = {.verify = verify, .job = job, .since_us = start_us};
    int rc = vx_verdict_stored_read(verify->params.collection, row, &s.stored, err);
    if (!rc)
        rc = begin(&s, err);
    if (!rc && !s.failed)
        rc = look_and_note(&s, err);
    if (!rc)
        note_end(&s, vx_clock_monotonic_us() - start_us - s.rested_us);
    stored_video_done(&s);
    return rc == VX_CATALOG_NOT_FOUND || rc == VX_MEDIA_STOPPED ? 0 : rc;
}

/* ---- videos that were stored without the copy model ---- */

static int apply_begin_pictures(void *ctx, vx_err *err) {
    const stored_video *s = ctx;
    return vx_catalog_begin_pictures(s->verify->params.collection->catalog, s->stored.video->row,
                                     copy_model(s->verify)->info->digest, err);
}

static int apply_break_off_pictures(void *ctx, vx_err *err) {
    const stored_video *s = ctx;
    return vx_catalog_break_off_pictures(s->verify->params.collection->catalog,
                                         s->stored.video->row, err);
}

static int describe_video(vx_verify *verify, vx_job *job, int64_t row, vx_err *err) {
    stored_video s = {.verify = verify, .job = job, .since_us = vx_clock_monotonic_us()};
    vx_err ignored;
    int rc = vx_verdict_stored_read(verify->params.collection, row, &s.stored, err);
    if (!rc)
        rc = vx_writer_run(verify->params.writer, apply_begin_pictures, NULL, &s, err);
    if (!rc) {
        rc = work_on(&s, false, err);
        if (rc)
            vx_writer_run(verify->params.writer, apply_break_off_pictures, NULL, &s, &ignored);
    }
    stored_video_done(&s);
    return rc == VX_CATALOG_NOT_FOUND ? 0 : rc;
}

/* The next one; *ret_any false: there is none left. */
static int describe_next(vx_verify *verify, vx_job *job, bool *ret_any, vx_err *err) {
    int64_t row = 0;
    int rc = atomic_load(&verify->undescribed) > 0
                 ? vx_catalog_find_undescribed(verify->params.collection->catalog,
                                               copy_model(verify)->info->digest,
                                               verify->described_to, &row, err)
                 : 0;
    *ret_any = row > 0;
    if (!rc && row)
        rc = describe_video(verify, job, row, err);
    if (rc)
        return rc;
    if (row) {
        verify->described_to = row;
        atomic_fetch_add(&job->done, 1);
    }
    /* What is stored from here on is pending, or described already. */
    if (!row || atomic_fetch_sub(&verify->undescribed, 1) == 1)
        atomic_store(&verify->undescribed, 0);
    return 0;
}

/* ---- all of them ---- */

/* Those above *last, which it moves on. */
static int look_at_pending(vx_verify *verify, vx_job *job, int64_t *last, vx_err *err) {
    vx_catalog *catalog = verify->params.collection->catalog;
    int64_t rows[AT_ONCE];
    size_t n = 1;
    int rc = 0;
    while (!rc && n) {
        rc = vx_catalog_find_pending(catalog, *last, AT_ONCE, rows, &n, err);
        for (size_t i = 0; i < n && !rc; i++) {
            if (atomic_load(&verify->stopping) || atomic_load(&job->cancelled))
                return 0;
            rc = verify_video(verify, job, rows[i], err);
            atomic_fetch_add(&job->done, !rc);
            *last = rows[i];
        }
    }
    return rc;
}

static int verify_pending(void *ctx, vx_job *job, vx_err *err) {
    vx_verify *verify = ctx;
    int64_t last = 0, oldest_us, n_pending = 0;
    bool any = true;
    if (verify->params.extractor->evidence < VX_EVIDENCE_FULL)
        return 0;
    int rc =
        vx_catalog_count_pending(verify->params.collection->catalog, &n_pending, &oldest_us, err);
    if (!rc)
        atomic_store(&job->total,
                     atomic_load(&job->done) + n_pending + atomic_load(&verify->undescribed));
    while (!rc && any && !atomic_load(&verify->stopping) && !atomic_load(&job->cancelled)) {
        rc = look_at_pending(verify, job, &last, err);
        if (!rc && !atomic_load(&verify->stopping) && !atomic_load(&job->cancelled))
            rc = describe_next(verify, job, &any, err);
    }
    return rc == VX_MEDIA_STOPPED ? 0 : rc;
}

static int find_marks(void *ctx, bool *ret_any, vx_err *err) {
    const vx_verify *verify = ctx;
    int64_t row;
    size_t n = 0;
    int rc = verify->params.extractor->evidence >= VX_EVIDENCE_FULL
                 ? vx_catalog_find_pending(verify->params.collection->catalog, 0, 1, &row, &n, err)
                 : 0;
    *ret_any = n > 0 || atomic_load(&verify->undescribed) > 0;
    return rc;
}

/* ---- the thread ---- */

static void wake(void *ctx) {
    vx_verify *verify = ctx;
    vx_mutex_lock(&verify->mu);
    verify->asked = true;
    vx_cond_signal(&verify->woken);
    vx_mutex_unlock(&verify->mu);
}

static void *run(void *ctx) {
    vx_verify *verify = ctx;
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* without it, only slower for others */
    vx_mutex_lock(&verify->mu);
    while (!atomic_load(&verify->stopping)) {
        if (!verify->asked) {
            vx_cond_wait(&verify->woken, &verify->mu);
            continue;
        }
        verify->asked = false;
        vx_mutex_unlock(&verify->mu);
        vx_err err;
        if (vx_sweep_run(verify->sweep, &err))
            vx_log_failed(VX_LOG_WARN, KIND, &err, "hint=\"it is tried again\"");
        vx_mutex_lock(&verify->mu);
    }
    vx_mutex_unlock(&verify->mu);
    return NULL;
}

typedef struct leftover {
    vx_verify *verify;
    vx_job *job;
} leftover;

static int apply_leftover(void *ctx, vx_err *err) {
    leftover *l = ctx;
    bool any = false;
    int rc = find_marks(l->verify, &any, err);
    return rc || !any ? rc : vx_verify_begin(l->verify, &l->job, err);
}

static void undo_leftover(void *ctx) {
    leftover *l = ctx;
    vx_verify_finish(l->verify, vx_take(l->job), -EIO);
}

int vx_verify_new(const vx_verify_params *params, vx_verify **ret_verify, vx_err *err) {
    vx_verify *verify = vx_new(vx_verify);
    if (!verify)
        return VX_FAIL(err, -ENOMEM, "no memory for the second look");
    verify->params = *params;
    vx_mutex_init(&verify->mu);
    vx_cond_init(&verify->woken);
    const vx_sweep_params sweep = {.jobs = params->jobs,
                                   .writer = params->writer,
                                   .kind = KIND,
                                   .phase = VX_PHASE_COMMIT,
                                   .counts_crashes = true,
                                   .stopping = &verify->stopping,
                                   .find_marks = find_marks,
                                   .work = verify_pending,
                                   .wake = wake,
                                   .ctx = verify};
    int rc = vx_sweep_new(&sweep, &verify->sweep, err);
    if (rc)
        vx_verify_free(verify);
    else
        *ret_verify = verify;
    return rc;
}

/* A job that was cancelled, a run with evidence off, or one without the copy model may have left videos that wait. */
int vx_verify_start(vx_verify *verify, vx_err *err) {
    leftover l = {.verify = verify};
    const vx_model *copy = copy_model(verify);
    int64_t n = 0;
    int rc = copy ? vx_catalog_count_undescribed(verify->params.collection->catalog,
                                                 copy->info->digest, &n, err)
                  : 0;
    if (rc)
        return rc;
    atomic_store(&verify->undescribed, n);
    rc = vx_thread_start(&verify->thread, "vx-verify", run, verify, err);
    verify->started = verify->looks = !rc;
    if (!rc && !vx_sweep_is_left(verify->sweep))
        rc = vx_writer_run(verify->params.writer, apply_leftover, undo_leftover, &l, err);
    if (!rc)
        vx_verify_finish(verify, l.job, 0);
    return rc;
}

void vx_verify_begin_stop(vx_verify *verify) {
    vx_mutex_lock(&verify->mu);
    atomic_store(&verify->stopping, true);
    vx_cond_signal(&verify->woken);
    vx_mutex_unlock(&verify->mu);
}

void vx_verify_stop(vx_verify *verify) {
    if (!verify || !verify->started)
        return;
    vx_verify_begin_stop(verify);
    pthread_join(verify->thread, NULL);
    verify->started = false;
}

vx_verify *vx_verify_free(vx_verify *verify) {
    if (!verify)
        return NULL;
    vx_sweep_free(verify->sweep);
    vx_cond_done(&verify->woken);
    vx_mutex_done(&verify->mu);
    free(verify);
    return NULL;
}

void vx_verify_get_job_id(vx_verify *verify, char ret_id[VX_JOB_ID_CHARS + 1]) {
    vx_sweep_get_job_id(verify->sweep, ret_id);
}

int vx_verify_get_stats(vx_verify *verify, vx_verify_stats *ret_stats, vx_err *err) {
    int64_t oldest_us = 0;
    vx_mutex_lock(&verify->mu);
    *ret_stats = verify->stats;
    vx_mutex_unlock(&verify->mu);
    ret_stats->undescribed = atomic_load(&verify->undescribed);
    int rc = vx_catalog_count_pending(verify->params.collection->catalog, &ret_stats->pending,
                                      &oldest_us, err);
    ret_stats->lag_us = oldest_us ? vx_clock_unix_us() - oldest_us : 0;
    ret_stats->lag_us = ret_stats->lag_us > 0 ? ret_stats->lag_us : 0;
    return rc;
}
