/* jobs.c — jobs that survive a restart. */
#include <errno.h>
#include <string.h>

#include "catalog_internal.h"

void vx_job_row_clear(vx_job_row *job) {
    free(job->kind);
    free(job->request);
    free(job->result);
    *job = (vx_job_row){0};
}

/* A finished job without a time would never be pruned. */
static int check_times(vx_job_state state, int64_t finished_us, vx_err *err) {
    bool finished = state != VX_JOB_QUEUED && state != VX_JOB_RUNNING;
    if (finished != (finished_us != 0))
        return VX_FAIL(err, -EINVAL, "catalog: a job is finished exactly when it says when");
    return 0;
}

int vx_catalog_insert_job(vx_catalog *catalog, const vx_job_row *job, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc)
        rc = check_times(job->state, job->finished_us, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO jobs (id, state, kind, request, result, created_us, finished_us)"
           " VALUES (?, ?, ?, ?, ?, ?, ?)");
    vx_sql_bind_text(&q, job->id);
    vx_sql_bind_int(&q, (int64_t)job->state);
    vx_sql_bind_text(&q, job->kind);
    vx_sql_bind_text(&q, job->request);
    vx_sql_bind_text(&q, job->result);
    vx_sql_bind_int(&q, job->created_us);
    vx_sql_bind_int(&q, job->finished_us);
    return vx_sql_run(&q, err);
}

int vx_catalog_update_job(vx_catalog *catalog, const char *job_id, vx_job_state state,
                          const char *result_json, int64_t finished_us, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc)
        rc = check_times(state, finished_us, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE jobs SET state = ?, result = ?, finished_us = ? WHERE id = ?");
    vx_sql_bind_int(&q, (int64_t)state);
    vx_sql_bind_text(&q, result_json);
    vx_sql_bind_int(&q, finished_us);
    vx_sql_bind_text(&q, job_id);
    rc = vx_sql_run(&q, err);
    if (rc)
        return rc;
    if (sqlite3_changes(catalog->writer.handle) == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no job %s", job_id);
    return 0;
}

int vx_catalog_prune_jobs(vx_catalog *catalog, int64_t before_us, int max, int *ret_n,
                          vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "DELETE FROM jobs WHERE rowid IN (SELECT rowid FROM jobs"
           " WHERE state > 1 AND finished_us < ? ORDER BY finished_us LIMIT ?)");
    vx_sql_bind_int(&q, before_us);
    vx_sql_bind_int(&q, max > 0 ? max : 0);
    rc = vx_sql_run(&q, err);
    if (!rc)
        *ret_n = sqlite3_changes(catalog->writer.handle);
    return rc;
}

#define JOB_COLUMNS "id, state, kind, request, result, created_us, finished_us"

/* The columns in the order of JOB_COLUMNS. *ret_job is empty again on failure. */
static int read_job(vx_sql *q, vx_job_row *ret_job, vx_err *err) {
    bool oom = false;
    vx_sql_text_into(q, ret_job->id, sizeof ret_job->id);
    ret_job->state = (vx_job_state)vx_sql_int(q);
    ret_job->kind = vx_sql_text(q, &oom);
    ret_job->request = vx_sql_text(q, &oom);
    ret_job->result = vx_sql_text(q, &oom);
    ret_job->created_us = vx_sql_int(q);
    ret_job->finished_us = vx_sql_int(q);
    if (!oom)
        return 0;
    vx_job_row_clear(ret_job);
    return VX_FAIL(err, -ENOMEM, "out of memory");
}

int vx_catalog_get_job(vx_catalog *catalog, const char *job_id, vx_job_row *ret_job, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT " JOB_COLUMNS " FROM jobs WHERE id = ?");
    vx_sql_bind_text(&q, job_id);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no job %s", job_id);
    return read_job(&q, ret_job, err);
}

int vx_catalog_count_jobs(vx_catalog *catalog, int64_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*) FROM jobs");
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_n = rc ? vx_sql_int(&q) : 0;
    return 0;
}

typedef struct job_list {
    vx_job_row *rows;
    size_t n, capacity;
} job_list;

static void job_list_done(job_list *list) {
    for (size_t i = 0; i < list->n; i++)
        vx_job_row_clear(&list->rows[i]);
    free(list->rows);
}

static int read_jobs(vx_sql *q, size_t limit, int64_t before_us, const char *before_id,
                     job_list *list, vx_err *err) {
    vx_sql_bind_int(q, before_id ? before_us : INT64_MAX);
    vx_sql_bind_text(q, before_id ? before_id : "");
    vx_sql_bind_int(q, limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
    int rc;
    while ((rc = vx_sql_next(q, err)) > 0) {
        if (!vx_make_room(list->rows, list->n, list->capacity))
            return VX_FAIL(err, -ENOMEM, "out of memory");
        if ((rc = read_job(q, &list->rows[list->n], err)))
            return rc;
        list->n++;
    }
    return rc;
}

/* Two statements, because the partial index serves only a query that says `state <= 1` itself. */
#define NEWEST_BEFORE " (created_us, id) < (?, ?) ORDER BY created_us DESC, id DESC LIMIT ?"

int vx_catalog_list_jobs(vx_catalog *catalog, size_t limit, int64_t before_us,
                         const char *before_id, bool unfinished_only, vx_job_row **ret_jobs,
                         size_t *ret_n, vx_err *err) {
    __attribute__((cleanup(job_list_done))) job_list list = {0};
    VX_READER(reader, catalog);
    int rc;
    if (unfinished_only) {
        VX_SQL(q, reader.db, "SELECT " JOB_COLUMNS " FROM jobs WHERE state <= 1 AND" NEWEST_BEFORE);
        rc = read_jobs(&q, limit, before_us, before_id, &list, err);
    } else {
        VX_SQL(q, reader.db, "SELECT " JOB_COLUMNS " FROM jobs WHERE" NEWEST_BEFORE);
        rc = read_jobs(&q, limit, before_us, before_id, &list, err);
    }
    if (rc)
        return rc;
    *ret_n = list.n;
    list.n = 0;
    *ret_jobs = vx_take(list.rows);
    return 0;
}
