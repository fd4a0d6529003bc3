/* jobs.c — durable background jobs: the rows in the catalog and the live table beside them. */
#include "jobs.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/thread.h"
#include "ingest/ingest_internal.h"

struct vx_jobs {
    vx_mutex mu;
    vx_ingest_item *live VX_GUARDED; /* by ->next_job; borrows: removed before an item is freed */
    vx_job_live *others VX_GUARDED;  /* of other kinds; borrows */
};

int vx_jobs_start(vx_server *server, vx_err *err) {
    server->jobs = vx_new(struct vx_jobs);
    if (!server->jobs)
        return VX_FAIL(err, -ENOMEM, "no memory for the job table");
    vx_mutex_init(&server->jobs->mu);
    return 0;
}

void vx_jobs_stop(vx_server *server) {
    if (!server->jobs)
        return;
    vx_mutex_done(&server->jobs->mu);
    free(vx_take(server->jobs));
}

void vx_jobs_add(vx_server *server, vx_ingest_item *item) {
    vx_mutex_lock(&server->jobs->mu);
    item->next_job = server->jobs->live;
    server->jobs->live = item;
    vx_mutex_unlock(&server->jobs->mu);
}

void vx_jobs_remove(vx_server *server, vx_ingest_item *item) {
    vx_mutex_lock(&server->jobs->mu);
    for (vx_ingest_item **slot = &server->jobs->live; *slot; slot = &(*slot)->next_job) {
        if (*slot != item)
            continue;
        *slot = item->next_job;
        break;
    }
    vx_mutex_unlock(&server->jobs->mu);
}

void vx_jobs_watch(vx_server *server, vx_job_live *job) {
    vx_mutex_lock(&server->jobs->mu);
    job->next = server->jobs->others;
    server->jobs->others = job;
    vx_mutex_unlock(&server->jobs->mu);
}

void vx_jobs_unwatch(vx_server *server, vx_job_live *job) {
    vx_mutex_lock(&server->jobs->mu);
    vx_job_live **slot = &server->jobs->others;
    while (*slot && *slot != job)
        slot = &(*slot)->next;
    if (*slot)
        *slot = job->next;
    vx_mutex_unlock(&server->jobs->mu);
}

/* ---- what a row holds ---- */

static char *request_json(const vx_ingest_item *item) {
    char digest[65];
    vx_hex_encode(vx_upload_sha256(item->upload), 32, digest);
    char clip[96];
    vx_clip_describe(&item->clip, clip);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:s}", "file", vx_upload_name(item->upload), "sha256",
        digest, "filename", item->filename, "metadata", item->metadata, "request_id",
        item->request_id, "reject_duplicates", (int)item->reject_duplicates, "clip", clip);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

#define AS_STORED (JSON_COMPACT | VX_VERDICT_JSON_DIGITS)

/* As in the answer to an upload; NULL where nothing is or was stored. */
static json_t *report_json(const vx_ingest_result *result) {
    if (!result->video)
        return NULL;
    return json_pack("{s:o}", "duplicate", vx_verdict_json(&result->verdict));
}

char *vx_jobs_result_json(const vx_ingest_result *result) {
    json_t *object =
        json_pack("{s:s, s:s*, s:s*, s:o*}", "outcome", vx_outcome_name(result->outcome), "message",
                  result->outcome > VX_OUTCOME_EXISTING ? result->err.msg : NULL, "video_id",
                  result->video ? result->video->id : NULL, "report", report_json(result));
    char *text = object ? json_dumps(object, AS_STORED) : NULL;
    json_decref(object);
    return text;
}

/* The item of a job row, with its kept file adopted. */
static int item_of_row(vx_server *server, const vx_job_row *row, vx_ingest_item **ret_item,
                       vx_err *err) {
    const char *file, *digest, *filename, *metadata, *request_id, *clip;
    int reject;
    VX_AUTO(vx_ingest_item) item = vx_new(vx_ingest_item);
    json_t *object = json_loads(row->request, 0, NULL);
    uint8_t sha256[32];
    int rc = 0;
    if (!item || !object ||
        json_unpack(object, "{s:s, s:s, s:s, s:s, s:s, s:b, s:s}", "file", &file, "sha256", &digest,
                    "filename", &filename, "metadata", &metadata, "request_id", &request_id,
                    "reject_duplicates", &reject, "clip", &clip) ||
        !vx_hex_decode(digest, 32, sha256) || vx_clip_parse(clip, &item->clip, err)) {
        rc = VX_FAIL(err, -EINVAL, "job %s: its request cannot be read", row->id);
    } else {
        item->filename = strdup(filename);
        item->metadata = strdup(metadata);
        item->reject_duplicates = reject != 0;
        item->background = true;
        snprintf(item->request_id, sizeof item->request_id, "%s", request_id);
        strcpy(item->job_id, row->id);
        bool stored = true;
        rc = item->filename && item->metadata
                 ? vx_catalog_has_sha256(server->catalog, sha256, &stored, err)
                 : VX_FAIL(err, -ENOMEM, "no memory for job %s", row->id);
        if (!rc)
            rc = vx_upload_adopt(server->store, file, sha256, !stored, &item->upload, err);
    }
    json_decref(object);
    if (!rc)
        *ret_item = vx_take(item);
    return rc;
}

/* ---- becoming durable ---- */

typedef struct accept_op {
    vx_commit_op op;
    vx_ingest_item *item;
    void (*on_accepted)(vx_server *, vx_ingest_item *, int, const vx_err *);
} accept_op;

static int accept_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    vx_ingest_item *item = ((accept_op *)op)->item;
    VX_AUTO_FREE char *request = request_json(item);
    if (!request)
        return VX_FAIL(err, -ENOMEM, "no memory for a job");
    vx_job_row row = {.state = VX_JOB_QUEUED,
                      .kind = "ingest",
                      .request = request,
                      .created_us = vx_clock_unix_us()};
    strcpy(row.id, item->job_id);
    return vx_catalog_insert_job(server->catalog, &row, err);
}

static void accept_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    accept_op *a = (accept_op *)op;
    if (rc)
        vx_jobs_remove(server, a->item);
    a->on_accepted(server, a->item, rc, err);
    free(a);
}

int vx_jobs_new_id(char ret_id[VX_JOB_ID_CHARS + 1], vx_err *err) {
    uint8_t bytes[12];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return VX_FAIL_ERRNO(err, "reading random bytes");
    ret_id[0] = 'j';
    vx_hex_encode(bytes, sizeof bytes, ret_id + 1);
    return 0;
}

void vx_jobs_accept(vx_server *server, vx_ingest_item *item,
                    void (*on_accepted)(vx_server *server, vx_ingest_item *item, int rc,
                                        const vx_err *err)) {
    vx_err err = {0};
    accept_op *op = vx_new(accept_op);
    int rc =
        op ? vx_jobs_new_id(item->job_id, &err) : VX_FAIL(&err, -ENOMEM, "no memory for a job");
    if (!rc) {
        *op = (accept_op){{.apply = accept_apply, .done = accept_done}, item, on_accepted};
        /* Live before its row can be seen: whoever reads the id may cancel it at once. */
        vx_jobs_add(server, item);
        if (!vx_commit_submit(server, &op->op, VX_COMMIT_WAIT))
            return;
        vx_jobs_remove(server, item);
        rc = VX_FAIL(&err, -ESHUTDOWN, "the server is shutting down");
    }
    free(op);
    on_accepted(server, item, rc, &err);
}

/* ---- what a client sees ---- */

void vx_job_view_clear(vx_job_view *view) {
    free(view->kind);
    free(view->filename);
    free(view->model);
    free(view->report);
    free(view->message);
    *view = (vx_job_view){0};
}

static char *copy_string(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? strdup(text) : NULL;
}

static void view_result(vx_job_view *view, const char *result_json) {
    json_t *object = result_json ? json_loads(result_json, 0, NULL) : NULL;
    const char *outcome = json_string_value(json_object_get(object, "outcome"));
    const char *video = json_string_value(json_object_get(object, "video_id"));
    view->outcome = outcome ? vx_outcome_of_name(outcome) : VX_OUTCOME_OK;
    if (video)
        snprintf(view->video_id, sizeof view->video_id, "%s", video);
    view->message = copy_string(object, "message");
    const json_t *report = json_object_get(object, "report");
    view->report = report ? json_dumps(report, AS_STORED) : NULL;
    json_decref(object);
}

static void set_times(vx_job_view *view, int64_t started_us) {
    view->state = started_us ? VX_JOB_RUNNING : VX_JOB_QUEUED;
    if (started_us && view->done > 0 && view->total > 0)
        view->eta_s = (double)(vx_clock_monotonic_us() - started_us) / 1e6 *
                      (double)(view->total - view->done) / (double)view->done;
}

/* How far the live item is; false when no such job is in this process right now. */
static bool view_progress(vx_server *server, vx_job_view *view) {
    bool found = false;
    vx_mutex_lock(&server->jobs->mu);
    for (vx_ingest_item *job = server->jobs->live; job; job = job->next_job) {
        if (strcmp(job->job_id, view->id))
            continue;
        vx_ingest_work *work = job->work;
        int64_t started_us = atomic_load(&work->started_us);
        found = true;
        view->phase = (vx_phase)atomic_load(&work->phase);
        view->done = atomic_load(&work->done);
        view->total = atomic_load(&work->total);
        set_times(view, started_us);
        vx_video_id_of(vx_upload_sha256(job->upload), view->video_id);
    }
    for (const vx_job_live *job = server->jobs->others; job; job = job->next) {
        if (strcmp(job->id, view->id))
            continue;
        int64_t started_us = atomic_load(&job->started_us);
        found = true;
        view->phase = VX_PHASE_EMBED;
        view->done = atomic_load(&job->done);
        view->total = atomic_load(&job->total);
        set_times(view, started_us);
    }
    vx_mutex_unlock(&server->jobs->mu);
    return found;
}

static bool is_unfinished(const vx_job_row *row) {
    return row->state == VX_JOB_QUEUED || row->state == VX_JOB_RUNNING;
}

/* A job's end is written before it leaves the live table. So one that is neither ended in the row
 * read nor live has ended between the two looks, and its row says so now; or it waits for the next
 * start. */
static void read_again(vx_server *server, vx_job_row *row) {
    vx_job_row now = {0};
    vx_err unread;
    if (vx_catalog_get_job(server->catalog, row->id, &now, &unread))
        return;
    vx_job_row_clear(row);
    *row = now;
}

/* Takes what row holds. */
static void view_of_row(vx_server *server, vx_job_row *row, vx_job_view *ret_view) {
    *ret_view = (vx_job_view){.state = row->state, .eta_s = NAN};
    strcpy(ret_view->id, row->id);
    if (is_unfinished(row) && !view_progress(server, ret_view))
        read_again(server, row);
    if (!is_unfinished(row)) {
        ret_view->state = row->state;
        ret_view->phase = row->state == VX_JOB_DONE ? VX_PHASE_DONE : VX_PHASE_FAILED;
    }
    ret_view->created_us = row->created_us;
    ret_view->finished_us = row->finished_us;
    ret_view->kind = vx_take(row->kind);
    json_t *request = json_loads(row->request, 0, NULL);
    ret_view->filename = copy_string(request, "filename");
    ret_view->model = copy_string(request, "model");
    json_decref(request);
    view_result(ret_view, row->result);
    vx_job_row_clear(row);
}

int vx_jobs_get(vx_server *server, const char *id, vx_job_view *ret_view, vx_err *err) {
    vx_job_row row = {0};
    int rc = vx_catalog_get_job(server->catalog, id, &row, err);
    if (!rc)
        view_of_row(server, &row, ret_view);
    return rc;
}

int vx_jobs_list(vx_server *server, const char *cursor, size_t limit, vx_job_view **ret_views,
                 size_t *ret_n, vx_err *err) {
    vx_job_row last = {0}, *rows = NULL;
    size_t n = 0;
    int rc = cursor[0] ? vx_catalog_get_job(server->catalog, cursor, &last, err) : 0;
    if (!rc)
        rc = vx_catalog_list_jobs(server->catalog, limit, last.created_us,
                                  cursor[0] ? cursor : NULL, false, &rows, &n, err);
    vx_job_row_clear(&last);
    vx_job_view *views = rc ? NULL : vx_new_array(n, sizeof *views);
    if (!rc && !views)
        rc = VX_FAIL(err, -ENOMEM, "no memory for %zu jobs", n);
    for (size_t i = 0; i < n; i++) {
        if (views)
            view_of_row(server, &rows[i], &views[i]);
        else
            vx_job_row_clear(&rows[i]);
    }
    free(rows);
    if (rc)
        return rc;
    *ret_views = views;
    *ret_n = n;
    return 0;
}

/* ---- the end ---- */

int vx_jobs_end(vx_server *server, const char *id, vx_job_state state, const char *result_json,
                vx_err *err) {
    vx_job_row row = {0};
    int rc = vx_catalog_get_job(server->catalog, id, &row, err);
    if (!rc && !is_unfinished(&row))
        rc = VX_FAIL(err, VX_JOBS_ENDED, "the job was cancelled");
    vx_job_row_clear(&row);
    return rc ? rc
              : vx_catalog_update_job(server->catalog, id, state, result_json, vx_clock_unix_us(),
                                      err);
}

typedef struct cancel_op {
    vx_commit_op op;
    const char *id;
    vx_jobs_cancelled done;
    void *ctx;
} cancel_op;

static int cancel_apply(vx_commit_op *op, vx_server *server, vx_err *err) {
    vx_ingest_result result = {.outcome = VX_OUTCOME_CANCELLED};
    VX_FAIL(&result.err, VX_OUTCOME_CANCELLED, "the job was cancelled");
    VX_AUTO_FREE char *json = vx_jobs_result_json(&result);
    if (!json)
        return VX_FAIL(err, -ENOMEM, "no memory for a job's result");
    return vx_jobs_end(server, ((cancel_op *)op)->id, VX_JOB_CANCELLED, json, err);
}

static void tell_live(vx_server *server, const char *id) {
    vx_mutex_lock(&server->jobs->mu);
    for (vx_ingest_item *job = server->jobs->live; job; job = job->next_job)
        if (!strcmp(job->job_id, id))
            atomic_store(&job->work->cancelled, true);
    for (vx_job_live *job = server->jobs->others; job; job = job->next)
        if (!strcmp(job->id, id))
            atomic_store(&job->cancelled, true);
    vx_mutex_unlock(&server->jobs->mu);
    vx_ingest_release_cancelled(server);
}

static void cancel_done(vx_commit_op *op, vx_server *server, int rc, const vx_err *err) {
    cancel_op *c = (cancel_op *)op;
    if (!rc)
        tell_live(server, c->id);
    c->done(c->ctx, rc == VX_JOBS_ENDED ? 0 : rc, err);
    free(c);
}

vx_outcome vx_jobs_cancel(vx_server *server, const char *id, vx_jobs_cancelled done, void *ctx) {
    cancel_op *c = vx_new(cancel_op);
    if (!c)
        return VX_OUTCOME_INTERNAL;
    *c = (cancel_op){{.apply = cancel_apply, .done = cancel_done}, id, done, ctx};
    vx_outcome refused = vx_commit_submit(server, &c->op, VX_COMMIT_REFUSE);
    if (refused)
        free(c);
    return refused;
}

/* ---- after a restart ---- */

static void fail_unreadable(vx_server *server, const vx_job_row *row, const vx_err *reason) {
    vx_log_failed(VX_LOG_ERROR, "resume", reason, "job=%s", row->id);
    vx_ingest_result result = {.outcome = VX_OUTCOME_INTERNAL, .err = *reason};
    VX_AUTO_FREE char *json = vx_jobs_result_json(&result);
    vx_err err;
    int rc = vx_catalog_begin(server->catalog, &err);
    if (!rc)
        rc = vx_catalog_update_job(server->catalog, row->id, VX_JOB_FAILED, json,
                                   vx_clock_unix_us(), &err);
    if (!rc)
        rc = vx_catalog_commit(server->catalog, &err);
    vx_catalog_rollback(server->catalog); /* after a commit there is nothing left to undo */
    if (rc)
        vx_log_failed(VX_LOG_ERROR, "resume", &err, "job=%s", row->id);
}

int vx_jobs_load(vx_server *server, vx_ingest_item ***ret_items, size_t *ret_n, vx_err *err) {
    vx_job_row *rows = NULL;
    size_t n = 0, kept = 0;
    int rc = vx_catalog_list_jobs(server->catalog, SIZE_MAX, 0, NULL, true, &rows, &n, err);
    if (rc)
        return rc;
    vx_ingest_item **items = vx_new_array(n, sizeof(vx_ingest_item *));
    if (!items)
        rc = VX_FAIL(err, -ENOMEM, "no memory for %zu unfinished jobs", n);
    for (size_t i = n; i-- > 0;) { /* oldest first */
        vx_err reason;
        if (strcmp(rows[i].kind, "ingest")) {
            vx_job_row_clear(&rows[i]);
            continue;
        }
        if (items && item_of_row(server, &rows[i], &items[kept], &reason) == 0)
            kept++;
        else if (items)
            fail_unreadable(server, &rows[i], &reason);
        vx_job_row_clear(&rows[i]);
    }
    free(rows);
    if (rc)
        return rc;
    *ret_items = items;
    *ret_n = kept;
    return 0;
}
