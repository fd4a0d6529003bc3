/* backfill.c — the jobs: accepted by the committer, run one after another by the coordinator.
 *
 * A model's job is found in `of_model` from the transaction that makes it until it is cancelled or its
 * end is about to be written, so that asking twice gives one job. Helpers share the list of videos
 * through a cursor.
 */
#include "backfill.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "backfill_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "writer/writer.h"
#include "base/outcome.h"
#include "library/vector_spaces.h"

#define HELPERS_MAX 64

struct vx_backfill {
    pthread_t coordinator;
    bool started;
    vx_mutex mu;
    vx_cond work;
    bool stopping VX_GUARDED;
    vx_backfill_job *queue VX_GUARDED;                   /* oldest first */
    vx_backfill_job *of_model[VX_MODELS_MAX] VX_GUARDED; /* waiting or running; borrows */
};

/* Without its lock: nobody else has the job any more. */
VX_NO_LOCK_ANALYSIS static vx_backfill_job *free_job(vx_backfill_job *job) {
    if (!job)
        return NULL;
    vx_jobs_unwatch(job->server, &job->live);
    json_decref(job->failures);
    free(job->videos);
    vx_mutex_done(&job->mu);
    free(job);
    return NULL;
}

static vx_backfill_job *new_job(vx_server *server, vx_model *model) {
    vx_backfill_job *job = vx_new(vx_backfill_job);
    if (!job)
        return NULL;
    json_t *failures = json_array();
    *job = (vx_backfill_job){.server = server, .model = model, .failures = failures};
    vx_mutex_init(&job->mu);
    return failures ? job : free_job(job);
}

static vx_backfill_job **slot_of(vx_server *server, const vx_model *model) {
    return &server->backfill->of_model[model - server->models];
}

static void set_job_of_model(vx_server *server, const vx_model *model, vx_backfill_job *job) {
    vx_mutex_lock(&server->backfill->mu);
    *slot_of(server, model) = job;
    vx_mutex_unlock(&server->backfill->mu);
}

/* Unless another has taken the place of one that was cancelled. */
static void leave_model(vx_backfill_job *job) {
    vx_backfill_job **slot = slot_of(job->server, job->model);
    vx_mutex_lock(&job->server->backfill->mu);
    if (*slot == job)
        *slot = NULL;
    vx_mutex_unlock(&job->server->backfill->mu);
}

static void enqueue(vx_server *server, vx_backfill_job *job) {
    struct vx_backfill *b = server->backfill;
    vx_mutex_lock(&b->mu);
    vx_backfill_job **end = &b->queue;
    while (*end)
        end = &(*end)->next_queued;
    *end = job;
    vx_cond_signal(&b->work);
    vx_mutex_unlock(&b->mu);
}

/* ---- what is missing ---- */

static int note_clip(void *ctx, int64_t video, int64_t clip, vx_err *err) {
    vx_backfill_job *job = ctx;
    if (vx_index_has(job->model->index, clip) || (job->n && job->videos[job->n - 1] == video))
        return vx_backfill_is_over(job) ? VX_FAIL(err, -ECANCELED, "the job is over") : 0;
    if (!vx_make_room(job->videos, job->n, job->capacity))
        return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu videos", job->n + 1);
    job->videos[job->n++] = video;
    return 0;
}

/* ---- running one ---- */

static int decode_threads(void) {
    return vx_thread_cores() > 1 ? 2 : 1;
}

static void *run_helper(void *ctx) {
    vx_backfill_job *job = ctx;
    while (!vx_backfill_is_over(job)) {
        size_t i = atomic_fetch_add(&job->next, 1);
        if (i >= job->n)
            break;
        vx_backfill_video(job, job->videos[i], decode_threads());
    }
    return NULL;
}

/* This thread is the first helper. */
static void run_helpers(vx_backfill_job *job) {
    pthread_t helpers[HELPERS_MAX];
    int wanted = vx_thread_cores() / 2 - 1, n = 0;
    vx_err err;
    while (n < wanted && n < HELPERS_MAX &&
           !vx_thread_start(&helpers[n], "vx-backfill", run_helper, job, &err))
        n++;
    run_helper(job);
    while (n > 0)
        pthread_join(helpers[--n], NULL);
}

/* Best effort: what remains goes with the next backfill. */
static void give_up_old_digests(vx_backfill_job *job) {
    vx_err err;
    if (vx_spaces_give_up_old(job->server, job->model, &err))
        vx_log_failed(VX_LOG_WARN, "backfill", &err, "job=%s", job->live.id);
}

/* ---- its end ---- */

typedef struct ending {
    vx_backfill_job *job;
    vx_job_state state;
    vx_outcome outcome;
    const char *message;
} ending;

static char *result_json(const ending *end) {
    vx_backfill_job *job = end->job;
    vx_mutex_lock(&job->mu);
    json_t *object = json_pack(
        "{s:s, s:s*, s:{s:I, s:I, s:I, s:O}}", "outcome", vx_outcome_name(end->outcome), "message",
        end->message, "report", "embedded", (json_int_t)job->embedded, "deleted",
        (json_int_t)job->deleted, "failed", (json_int_t)job->failed, "failures", job->failures);
    vx_mutex_unlock(&job->mu);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

/* The row of one that was cancelled has its end, and gets the report. */
static int apply_end(void *ctx, vx_server *server, vx_err *err) {
    ending *end = ctx;
    const char *id = end->job->live.id;
    vx_job_row row = {0};
    int rc = vx_catalog_get_job(server->catalog, id, &row, err);
    if (rc)
        return rc;
    bool cancelled = row.state == VX_JOB_CANCELLED;
    int64_t finished_us = cancelled ? row.finished_us : vx_clock_unix_us();
    vx_job_row_clear(&row);
    if (cancelled)
        *end = (ending){end->job, VX_JOB_CANCELLED, VX_OUTCOME_CANCELLED,
                        "cancelled; what was embedded before stays"};
    VX_AUTO_FREE char *json = result_json(end);
    if (!json)
        return VX_FAIL(err, -ENOMEM, "no memory for a job's result");
    return vx_catalog_update_job(server->catalog, id, end->state, json, finished_us, err);
}

/* Could the end not be written, the job stays queued, and the next start finds little to do. */
static void write_end(ending end) {
    vx_backfill_job *job = end.job;
    vx_err err;
    leave_model(job);
    if (vx_commit_run(job->server, apply_end, &end, &err))
        vx_log_failed(VX_LOG_ERROR, "backfill", &err, "job=%s", job->live.id);
    vx_mutex_lock(&job->mu);
    vx_log(VX_LOG_INFO, "backfill",
           "job=%s model=%s outcome=%s embedded=%lld deleted=%lld failed=%lld", job->live.id,
           job->model->info->name, vx_outcome_name(end.outcome), (long long)job->embedded,
           (long long)job->deleted, (long long)job->failed);
    vx_mutex_unlock(&job->mu);
}

static int64_t internal_failures(vx_backfill_job *job) {
    vx_mutex_lock(&job->mu);
    int64_t n = job->internal;
    vx_mutex_unlock(&job->mu);
    return n;
}

static void run_job(vx_backfill_job *job) {
    vx_err err = {0};
    atomic_store(&job->live.started_us, vx_clock_monotonic_us());
    int rc = vx_catalog_scan_clips(job->server->catalog, note_clip, job, &err);
    atomic_store(&job->live.total, (int64_t)job->n);
    if (!rc)
        run_helpers(job);
    if (atomic_load(&job->server->stopping))
        return;
    if (!rc && !internal_failures(job) && !atomic_load(&job->live.cancelled))
        give_up_old_digests(job);
    write_end(rc ? (ending){job, VX_JOB_FAILED, VX_OUTCOME_INTERNAL, err.msg}
                 : (ending){job, VX_JOB_DONE, VX_OUTCOME_OK, NULL});
}

static vx_backfill_job *wait_for_job(struct vx_backfill *b) {
    vx_mutex_lock(&b->mu);
    while (!b->queue && !b->stopping)
        vx_cond_wait(&b->work, &b->mu);
    vx_backfill_job *job = b->stopping ? NULL : b->queue;
    if (job)
        b->queue = job->next_queued;
    vx_mutex_unlock(&b->mu);
    return job;
}

static void *run_coordinator(void *ctx) {
    vx_server *server = ctx;
    for (vx_backfill_job *job; (job = wait_for_job(server->backfill)); free_job(job))
        run_job(job);
    return NULL;
}

/* ---- becoming durable ---- */

typedef struct accept_op {
    vx_commit_op op;
    vx_model *model;
    vx_backfill_job *job; /* made by this operation; NULL: there was one */
    char job_id[VX_JOB_ID_CHARS + 1];
    vx_backfill_accepted accepted;
    void *ctx;
} accept_op;

static int insert_job(vx_server *server, const vx_backfill_job *job, vx_err *err) {
    char request[256]; /* both are of plain characters */
    snprintf(request, sizeof request, "{\"model\":\"%s\",\"digest\":\"%s\"}",
             job->model->info->name, job->model->info->digest);
    vx_job_row row = {.state = VX_JOB_QUEUED,
                      .kind = "backfill",
                      .request = request,
                      .created_us = vx_clock_unix_us()};
    strcpy(row.id, job->live.id);
    return vx_catalog_insert_job(server->catalog, &row, err);
}

static bool find_running(vx_server *server, accept_op *a) {
    struct vx_backfill *b = server->backfill;
    vx_mutex_lock(&b->mu);
    const vx_backfill_job *job = *slot_of(server, a->model);
    bool running = job && !atomic_load(&job->live.cancelled);
    if (running)
        strcpy(a->job_id, job->live.id);
    vx_mutex_unlock(&b->mu);
    return running;
}

static int accept_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    accept_op *a = (accept_op *)op;
    if (find_running(server, a))
        return 0;
    a->job = new_job(server, a->model);
    if (!a->job)
        return VX_FAIL(err, -ENOMEM, "no memory for a job");
    int rc = vx_jobs_new_id(a->job->live.id, err);
    if (!rc)
        rc = insert_job(server, a->job, err);
    if (rc)
        return rc;
    strcpy(a->job_id, a->job->live.id);
    vx_jobs_watch(server, &a->job->live);
    set_job_of_model(server, a->model, a->job);
    return 0;
}

static void accept_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    accept_op *a = (accept_op *)op;
    if (a->job && !rc) {
        enqueue(server, a->job);
    } else if (a->job) {
        leave_model(a->job);
        free_job(a->job);
    }
    a->accepted(a->ctx, rc, a->job_id, err);
    free(a);
}

vx_outcome vx_backfill_submit(vx_server *server, vx_model *model, vx_backfill_accepted accepted,
                              void *ctx) {
    accept_op *a = vx_new(accept_op);
    if (!a)
        return VX_OUTCOME_INTERNAL;
    *a = (accept_op){.op = {.apply = accept_apply, .done = accept_done},
                     .model = model,
                     .accepted = accepted,
                     .ctx = ctx};
    vx_outcome refused = vx_commit_submit(server, &a->op, VX_COMMIT_REFUSE);
    if (refused)
        free(a);
    return refused;
}

/* ---- start and end ---- */

static int fail_row(void *ctx, vx_server *server, vx_err *err) {
    const vx_job_row *row = ctx;
    return vx_catalog_update_job(
        server->catalog, row->id, VX_JOB_FAILED,
        "{\"outcome\":\"wrong_space\",\"message\":\"the server was started "
        "again without this model\"}",
        vx_clock_unix_us(), err);
}

static int resume_row(vx_server *server, vx_job_row *row, vx_err *err) {
    json_t *request = json_loads(row->request, 0, NULL);
    const char *name = json_string_value(json_object_get(request, "model"));
    vx_err unread;
    vx_model *model = name ? vx_server_find_model(server, name, &unread) : NULL;
    json_decref(request);
    if (!model || *slot_of(server, model))
        return vx_commit_run(server, fail_row, row, err);
    vx_backfill_job *job = new_job(server, model);
    if (!job)
        return VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
    strcpy(job->live.id, row->id);
    vx_jobs_watch(server, &job->live);
    set_job_of_model(server, model, job);
    enqueue(server, job);
    return 0;
}

static int resume(vx_server *server, vx_err *err) {
    vx_job_row *rows = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_jobs(server->catalog, SIZE_MAX, 0, NULL, true, &rows, &n, err);
    for (size_t i = n; i-- > 0;) { /* oldest first */
        if (!rc && !strcmp(rows[i].kind, "backfill"))
            rc = resume_row(server, &rows[i], err);
        vx_job_row_clear(&rows[i]);
    }
    free(rows);
    return rc;
}

int vx_backfill_start(vx_server *server, vx_err *err) {
    struct vx_backfill *b = server->backfill = vx_new(struct vx_backfill);
    if (!b)
        return VX_FAIL(err, -ENOMEM, "no memory for the backfill");
    vx_mutex_init(&b->mu);
    vx_cond_init(&b->work);
    int rc = resume(server, err);
    if (!rc)
        rc = vx_thread_start(&b->coordinator, "vx-backfill", run_coordinator, server, err);
    b->started = !rc;
    return rc;
}

void vx_backfill_stop(vx_server *server) {
    struct vx_backfill *b = server->backfill;
    if (!b)
        return;
    vx_mutex_lock(&b->mu);
    b->stopping = true;
    vx_cond_signal(&b->work);
    vx_mutex_unlock(&b->mu);
    if (b->started)
        pthread_join(b->coordinator, NULL);
    vx_mutex_lock(&b->mu);
    vx_backfill_job *waiting = vx_take(b->queue);
    vx_mutex_unlock(&b->mu);
    for (vx_backfill_job *job = waiting, *next; job; job = next) {
        next = job->next_queued;
        free_job(job);
    }
    vx_cond_done(&b->work);
    vx_mutex_done(&b->mu);
    free(vx_take(server->backfill));
}
