/* imports.c — imports as jobs: accepted once their files are safe and their headers are right, run one after
 * another, ended with a report. */
#include "imports.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/thread.h"

#define KIND "import"

typedef struct import_job {
    vx_job job;
    vx_imports *owner;       /* borrows */
    vx_import_request asked; /* owns what it takes */
    int64_t accepted_us;     /* UNIX time */
    bool adopted;            /* its files are of an earlier process, or try */
    vx_import_report report;
    struct import_job *next;
} import_job;

typedef struct needed_file {
    char name[64];
} needed_file;

struct vx_imports {
    vx_imports_params params;
    vx_pool *sealers;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    needed_file *needed; /* [n_needed]; of jobs of before the start */
    size_t n_needed, needed_capacity;
    bool needs_all; /* a row could not be read: no file may go */
    vx_mutex mu;
    vx_cond work;
    bool stopped VX_GUARDED;      /* nothing is taken from the queue any more */
    import_job *queue VX_GUARDED; /* oldest first */
    size_t n_waiting VX_GUARDED;  /* from their submission on */
    vx_imports_stats stats VX_GUARDED;
};

static import_job *free_job(import_job *job) {
    vx_jobs_remove(job->owner->params.jobs, &job->job);
    vx_upload_free(job->asked.vectors);
    vx_upload_free(job->asked.rows);
    free(job->asked.filename);
    free(job->asked.source);
    vx_import_report_done(&job->report);
    free(job);
    return NULL;
}

static void count_waiting(vx_imports *owner, int more) {
    vx_mutex_lock(&owner->mu);
    owner->n_waiting = (size_t)((ptrdiff_t)owner->n_waiting + more);
    vx_mutex_unlock(&owner->mu);
}

/* The job stays queued in the catalog. */
static void give_up(import_job *job) {
    vx_err err;
    VX_FAIL(&err, -ESHUTDOWN, "the server is shutting down");
    if (job->asked.ended)
        job->asked.ended(job->asked.ctx, VX_OUTCOME_STOPPING, &err);
    free_job(job);
}

static void enqueue(import_job *job) {
    vx_imports *owner = job->owner;
    vx_mutex_lock(&owner->mu);
    bool stopped = owner->stopped;
    import_job **end = &owner->queue;
    while (*end)
        end = &(*end)->next;
    if (!stopped)
        *end = job;
    vx_cond_signal(&owner->work);
    vx_mutex_unlock(&owner->mu);
    if (stopped)
        give_up(job);
}

/* ---- one job ---- */

static bool watch(void *ctx, vx_import_stage stage, int64_t done, int64_t total) {
    import_job *job = ctx;
    int phase = stage == VX_IMPORT_CHECKING ? VX_PHASE_PROBE : VX_PHASE_COMMIT;
    if (atomic_exchange(&job->job.phase, phase) != phase)
        atomic_store(&job->job.started_us, vx_clock_monotonic_us()); /* the rate is another one */
    atomic_store(&job->job.total, total);
    atomic_store(&job->job.done, done);
    return atomic_load(&job->job.cancelled) || atomic_load(&job->owner->stopping);
}

static vx_import_params params_of(import_job *job) {
    const vx_import_request *asked = &job->asked;
    return (vx_import_params){.catalog = job->owner->params.collection->catalog,
                              .collection = job->owner->params.collection,
                              .writer = job->owner->params.writer,
                              .vectors_path = vx_upload_path(asked->vectors),
                              .rows_path = asked->rows ? vx_upload_path(asked->rows) : NULL,
                              .name = asked->filename,
                              .source = asked->source,
                              .space = asked->model->space,
                              .dim = asked->model->info->dim,
                              .normalize = asked->normalize,
                              .since_us = job->accepted_us,
                              .watch = watch,
                              .ctx = job};
}

static json_t *report_json(const vx_import_report *r) {
    json_t *refusals = r->refused ? json_array() : NULL;
    for (int64_t i = 0; i < r->refused && i < VX_IMPORT_REFUSALS; i++)
        json_array_append_new(refusals,
                              json_pack("{s:I, s:s}", "row", (json_int_t)r->refusals[i].row,
                                        "reason", r->refusals[i].why));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o*}", "rows", (json_int_t)r->rows, "stored",
                     (json_int_t)r->stored, "existing", (json_int_t)r->existing, "unlike",
                     (json_int_t)r->unlike, "vectors", (json_int_t)r->vectors, "refused",
                     (json_int_t)r->refused, "refusals", refusals);
}

typedef struct ending {
    import_job *job;
    vx_outcome outcome;
    const char *message;
} ending;

static int apply_end(void *ctx, vx_err *err) {
    const ending *end = ctx;
    VX_AUTO_FREE char *result =
        vx_jobs_result(end->outcome, end->message, NULL, report_json(&end->job->report));
    return vx_jobs_end(end->job->owner->params.jobs, end->job->job.id,
                       end->outcome ? VX_JOB_FAILED : VX_JOB_DONE, result, err);
}

/* The files go with the job. */
static void drop_files(import_job *job) {
    vx_upload_unkeep(job->asked.vectors);
    if (job->asked.rows)
        vx_upload_unkeep(job->asked.rows);
}

static void count_end(import_job *job, vx_outcome outcome, int64_t start_us) {
    const vx_import_report *r = &job->report;
    int64_t us = vx_clock_monotonic_us() - start_us;
    vx_imports *owner = job->owner;
    vx_mutex_lock(&owner->mu);
    owner->stats.finished[outcome]++;
    owner->stats.rows += r->rows;
    owner->stats.videos += r->stored;
    owner->stats.vectors += r->vectors;
    owner->stats.refused += r->refused;
    owner->stats.total_us += us;
    vx_mutex_unlock(&owner->mu);
    vx_log(
        VX_LOG_INFO, KIND,
        "job=%s outcome=%s model=%s rows=%lld stored=%lld existing=%lld vectors=%lld refused=%lld "
        "s=%.1f",
        job->job.id, vx_outcome_name(outcome), job->asked.model->info->name, (long long)r->rows,
        (long long)r->stored, (long long)r->existing, (long long)r->vectors, (long long)r->refused,
        (double)us / 1e6);
}

/* What is wrong with the files ends the job; what is wrong here is tried again. */
static vx_outcome end_job(import_job *job, int rc, vx_err *why) {
    vx_jobs *jobs = job->owner->params.jobs;
    bool cancelled = atomic_load(&job->job.cancelled) || rc == VX_JOBS_ENDED;
    if (!cancelled && (rc == 0 || rc == VX_IMPORT_BAD)) {
        ending end = {job, rc ? VX_OUTCOME_IMPORT_REFUSED : VX_OUTCOME_OK, why->msg};
        vx_err err;
        rc = vx_writer_run(job->owner->params.writer, apply_end, NULL, &end, &err);
        if (!rc) {
            drop_files(job);
            return end.outcome;
        }
        *why = err;
        cancelled = rc == VX_JOBS_ENDED;
    }
    if (cancelled) { /* its row has its end */
        drop_files(job);
        VX_FAIL(why, VX_JOBS_ENDED, "the import was cancelled");
        return VX_OUTCOME_CANCELLED;
    }
    if (rc == VX_IMPORT_STOPPED || atomic_load(&job->owner->stopping))
        rc = VX_FAIL(why, -ESHUTDOWN, "the server is shutting down");
    vx_outcome outcome = vx_outcome_of_error(rc, why);
    vx_jobs_try_again(jobs, &job->job, outcome, why);
    return outcome;
}

static int verify_files(import_job *job, vx_err *err) {
    int rc = vx_upload_verify(job->asked.vectors, err);
    return rc || !job->asked.rows ? rc : vx_upload_verify(job->asked.rows, err);
}

static void run_job(import_job *job) {
    vx_err err = {0};
    int64_t start_us = vx_clock_monotonic_us();
    atomic_store(&job->job.started_us, start_us);
    int rc = vx_jobs_begin(job->owner->params.jobs, &job->job, &err);
    if (!rc && job->adopted)
        rc = verify_files(job, &err);
    const vx_import_params params = params_of(job);
    if (!rc)
        rc = vx_import_run(&params, &job->report, &err);
    vx_outcome outcome = end_job(job, rc, &err);
    count_end(job, outcome, start_us);
    if (job->asked.ended)
        job->asked.ended(job->asked.ctx, outcome, &err);
}

static void *run_jobs(void *ctx) {
    vx_imports *owner = ctx;
    for (import_job *job;;) {
        vx_mutex_lock(&owner->mu);
        while (!owner->queue && !atomic_load(&owner->stopping))
            vx_cond_wait(&owner->work, &owner->mu);
        job = atomic_load(&owner->stopping) ? NULL : owner->queue;
        if (job) {
            owner->queue = job->next;
            owner->n_waiting--;
        }
        vx_mutex_unlock(&owner->mu);
        if (!job)
            return NULL;
        run_job(job);
        free_job(job);
    }
}

/* ---- new jobs ---- */

static char *request_json(const import_job *job) {
    const vx_import_request *asked = &job->asked;
    char digest[65], rows_digest[65] = "";
    vx_hex_encode(vx_upload_sha256(asked->vectors), 32, digest);
    if (asked->rows)
        vx_hex_encode(vx_upload_sha256(asked->rows), 32, rows_digest);
    json_t *object = json_pack(
        "{s:s, s:s, s:s*, s:s*, s:s, s:s, s:s, s:b}", "file", vx_upload_name(asked->vectors),
        "sha256", digest, "rows", asked->rows ? vx_upload_name(asked->rows) : NULL, "rows_sha256",
        asked->rows ? rows_digest : NULL, "filename", asked->filename, "source", asked->source,
        "model", asked->model->info->name, "normalize", asked->normalize);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

/* Before the job is durable: nothing of it stays. */
static void refuse(import_job *job, int rc, const vx_err *err) {
    job->asked.accepted(
        job->asked.ctx,
        rc == VX_IMPORT_BAD ? VX_OUTCOME_IMPORT_REFUSED : vx_outcome_of_error(rc, err), NULL, err);
    drop_files(job);
    count_waiting(job->owner, -1);
    free_job(job);
}

static void on_accepted(vx_job *base, int rc, const vx_err *err) {
    import_job *job = VX_CONTAINER_OF(base, import_job, job);
    if (rc) {
        refuse(job, rc, err);
        return;
    }
    job->asked.accepted(job->asked.ctx, VX_OUTCOME_OK, base->id, NULL);
    enqueue(job);
}

static int seal(vx_upload *upload, vx_err *err) {
    int rc = vx_upload_seal(upload, err);
    return rc ? rc : vx_upload_keep(upload, err);
}

static void accept_job(void *ctx, void *item) {
    (void)ctx;
    import_job *job = item;
    vx_err err = {0};
    const vx_import_params params = params_of(job);
    int rc = vx_upload_end(job->asked.vectors, &err);
    if (!rc && job->asked.rows)
        rc = vx_upload_end(job->asked.rows, &err);
    if (!rc)
        rc = vx_import_look(&params, &err);
    if (!rc)
        rc = seal(job->asked.vectors, &err);
    if (!rc && job->asked.rows)
        rc = seal(job->asked.rows, &err);
    if (rc)
        refuse(job, rc, &err);
    else
        vx_jobs_accept(job->owner->params.jobs, KIND, &job->job, request_json(job), on_accepted);
}

vx_outcome vx_imports_submit(vx_imports *owner, const vx_import_request *request) {
    if (atomic_load(&owner->stopping))
        return VX_OUTCOME_STOPPING;
    import_job *job = vx_new(import_job);
    if (!job)
        return VX_OUTCOME_INTERNAL;
    *job = (import_job){.owner = owner, .asked = *request, .accepted_us = vx_clock_unix_us()};
    vx_mutex_lock(&owner->mu);
    bool full = owner->n_waiting >= VX_IMPORTS_MAX_WAITING;
    owner->n_waiting += !full;
    vx_mutex_unlock(&owner->mu);
    if (!full && vx_pool_try_push(owner->sealers, job))
        return VX_OUTCOME_OK;
    if (!full)
        count_waiting(owner, -1);
    free(job);
    return VX_OUTCOME_BUSY;
}

/* ---- jobs made again from their rows ---- */

/* The files that a row names. False: they cannot be read. */
static bool read_files(const json_t *object, const char *ret_name[2], uint8_t ret_sha256[2][32]) {
    static const char *const keys[2][2] = {{"file", "sha256"}, {"rows", "rows_sha256"}};
    for (int i = 0; i < 2; i++) {
        const char *digest = json_string_value(json_object_get(object, keys[i][1]));
        ret_name[i] = json_string_value(json_object_get(object, keys[i][0]));
        if (ret_name[i] &&
            (!digest || strlen(digest) != 64 || !vx_hex_decode(digest, 32, ret_sha256[i]) ||
             strlen(ret_name[i]) >= sizeof((needed_file *)NULL)->name))
            return false;
    }
    return ret_name[0] != NULL;
}

static int read_request(vx_imports *owner, const json_t *object, vx_import_request *asked,
                        vx_err *err) {
    const char *names[2], *filename = json_string_value(json_object_get(object, "filename")),
                          *source = json_string_value(json_object_get(object, "source"));
    uint8_t sha256[2][32];
    if (!filename || !source || !read_files(object, names, sha256))
        return VX_FAIL(err, -EINVAL, "the request of an import is incomplete");
    asked->filename = strdup(filename);
    asked->source = strdup(source);
    asked->normalize = json_is_true(json_object_get(object, "normalize"));
    if (!asked->filename || !asked->source)
        return VX_FAIL(err, -ENOMEM, "no memory for an import");
    int rc = vx_upload_adopt(owner->params.store, names[0], sha256[0], &asked->vectors, err);
    if (!rc && names[1])
        rc = vx_upload_adopt(owner->params.store, names[1], sha256[1], &asked->rows, err);
    return rc;
}

static vx_outcome parse_row(void *ctx, const vx_job_row *row, vx_job **ret_job, vx_err *err) {
    vx_imports *owner = ctx;
    json_t *object = json_loads(row->request, 0, NULL);
    const char *name = json_string_value(json_object_get(object, "model"));
    const vx_model *model =
        name ? vx_models_find(owner->params.collection->models, name, err) : NULL;
    import_job *job = model ? vx_new(import_job) : NULL;
    if (!job) {
        json_decref(object);
        VX_FAIL(err, 1,
                model ? "no memory for an import"
                      : "the server was started again without this model");
        return model ? VX_OUTCOME_BUSY : VX_OUTCOME_WRONG_SPACE;
    }
    *job = (import_job){
        .owner = owner, .asked = {.model = model}, .accepted_us = row->created_us, .adopted = true};
    int rc = read_request(owner, object, &job->asked, err);
    json_decref(object);
    if (rc) {
        free_job(job);
        return vx_outcome_of_error(rc, err);
    }
    strcpy(job->job.id, row->id);
    *ret_job = &job->job;
    return VX_OUTCOME_OK;
}

static vx_outcome run_parsed(void *ctx, vx_job *job) {
    vx_imports *owner = ctx;
    vx_jobs_add(owner->params.jobs, job);
    count_waiting(owner, 1);
    enqueue(VX_CONTAINER_OF(job, import_job, job));
    return VX_OUTCOME_OK;
}

static void note(void *ctx, const vx_job_row *row) {
    vx_imports *owner = ctx;
    json_t *object = json_loads(row->request, 0, NULL);
    const char *names[2];
    uint8_t sha256[2][32];
    if (!read_files(object, names, sha256))
        owner->needs_all = true;
    for (int i = 0; i < 2 && !owner->needs_all; i++) {
        if (!names[i])
            continue;
        if (vx_make_room(owner->needed, owner->n_needed, owner->needed_capacity))
            strcpy(owner->needed[owner->n_needed++].name, names[i]);
        else
            owner->needs_all = true;
    }
    json_decref(object);
}

static void discard(void *ctx, const vx_job_row *row) {
    vx_imports *owner = ctx;
    json_t *object = json_loads(row->request, 0, NULL);
    const char *names[2] = {0};
    uint8_t sha256[2][32];
    vx_err err;
    for (int i = 0; i < 2 && read_files(object, names, sha256); i++)
        if (names[i] && vx_store_discard(owner->params.store, names[i], &err))
            vx_log_failed(VX_LOG_WARN, "job", &err, "job=%s", row->id);
    json_decref(object);
}

bool vx_imports_needs_file(const vx_imports *owner, const char *name) {
    for (size_t i = 0; i < owner->n_needed; i++)
        if (!strcmp(owner->needed[i].name, name))
            return true;
    return owner->needs_all;
}

/* ---- start and stop ---- */

int vx_imports_new(const vx_imports_params *params, vx_imports **ret_imports, vx_err *err) {
    vx_imports *owner = vx_new(vx_imports);
    if (!owner)
        return VX_FAIL(err, -ENOMEM, "no memory for imports");
    owner->params = *params;
    vx_mutex_init(&owner->mu);
    vx_cond_init(&owner->work);
    vx_jobs_add_kind(params->jobs, &(vx_job_kind){.name = KIND,
                                                  .ctx = owner,
                                                  .note = note,
                                                  .parse = parse_row,
                                                  .run = run_parsed,
                                                  .discard = discard});
    *ret_imports = owner;
    return 0;
}

int vx_imports_start(vx_imports *owner, vx_err *err) {
    const vx_pool_params sealers = {.name = "vx-import-files",
                                    .n_threads = 1,
                                    .capacity = VX_IMPORTS_MAX_WAITING,
                                    .run = accept_job,
                                    .ctx = owner};
    int rc = vx_pool_new(&sealers, &owner->sealers, err);
    if (!rc)
        rc = vx_thread_start(&owner->thread, "vx-imports", run_jobs, owner, err);
    owner->started = !rc;
    return rc;
}

void vx_imports_begin_stop(vx_imports *owner) {
    vx_mutex_lock(&owner->mu);
    atomic_store(&owner->stopping, true);
    vx_cond_signal(&owner->work);
    vx_mutex_unlock(&owner->mu);
}

void vx_imports_stop(vx_imports *owner) {
    if (!owner)
        return;
    vx_imports_begin_stop(owner);
    owner->sealers = vx_pool_free(owner->sealers);
    if (owner->started)
        pthread_join(owner->thread, NULL);
    owner->started = false;
    vx_mutex_lock(&owner->mu);
    owner->stopped = true;
    import_job *waiting = vx_take(owner->queue);
    vx_mutex_unlock(&owner->mu);
    for (import_job *job = waiting, *next; job; job = next) {
        next = job->next;
        give_up(job);
    }
}

vx_imports *vx_imports_free(vx_imports *owner) {
    if (!owner)
        return NULL;
    free(owner->needed);
    vx_cond_done(&owner->work);
    vx_mutex_done(&owner->mu);
    free(owner);
    return NULL;
}

void vx_imports_get_stats(vx_imports *owner, vx_imports_stats *ret_stats) {
    vx_mutex_lock(&owner->mu);
    *ret_stats = owner->stats;
    vx_mutex_unlock(&owner->mu);
}
