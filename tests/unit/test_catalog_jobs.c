/* Jobs: their course, their pages, their end. */
#include <errno.h>

#include "catalog_fixture.h"

static void add_job(fixture *f, const char *id, vx_job_state state, int64_t created_us,
                    int64_t finished_us) {
    vx_job_row job = {.state = state,
                      .kind = (char *)"ingest",
                      .request = (char *)"{\"file\":\"it's\"}",
                      .created_us = created_us,
                      .finished_us = finished_us};
    snprintf(job.id, sizeof job.id, "%s", id);
    OK(vx_catalog_insert_job(f->catalog, &job, &oops));
}

static void job_runs_its_course_and_survives_reopening(void **state) {
    fixture *f = *state;
    OK(vx_catalog_begin(f->catalog, &oops));
    add_job(f, "j1", VX_JOB_QUEUED, 100, 0);
    OK(vx_catalog_update_job(f->catalog, "j1", VX_JOB_RUNNING, NULL, 0, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    fixture_reopen(f);
    vx_job_row job;
    OK(vx_catalog_get_job(f->catalog, "j1", &job, &oops));
    assert_string_equal(job.id, "j1");
    assert_int_equal(job.state, VX_JOB_RUNNING);
    assert_string_equal(job.kind, "ingest");
    assert_string_equal(job.request, "{\"file\":\"it's\"}");
    assert_null(job.result);
    assert_int_equal(job.created_us, 100);
    assert_int_equal(job.finished_us, 0);
    vx_job_row_clear(&job);
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_update_job(f->catalog, "j1", VX_JOB_FAILED, "{\"why\":1}", 200, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    OK(vx_catalog_get_job(f->catalog, "j1", &job, &oops));
    assert_int_equal(job.state, VX_JOB_FAILED);
    assert_string_equal(job.result, "{\"why\":1}");
    assert_int_equal(job.finished_us, 200);
    vx_job_row_clear(&job);
}

static void job_finished_without_a_time_is_refused(void **state) {
    fixture *f = *state;
    vx_err err;
    OK(vx_catalog_begin(f->catalog, &oops));
    add_job(f, "j1", VX_JOB_QUEUED, 100, 0);
    assert_int_equal(vx_catalog_update_job(f->catalog, "j1", VX_JOB_DONE, NULL, 0, &err), -EINVAL);
    assert_int_equal(vx_catalog_update_job(f->catalog, "j1", VX_JOB_RUNNING, NULL, 5, &err),
                     -EINVAL);
    vx_catalog_rollback(f->catalog);
}

/* "j5 j4 …" of one page. */
static void assert_jobs(fixture *f, size_t limit, int64_t before_us, const char *before_id,
                        int state, const char *expected) {
    vx_job_row *jobs = NULL;
    size_t n = 0;
    OK(vx_catalog_list_jobs(f->catalog, limit, before_us, before_id, state, &jobs, &n, &oops));
    char ids[256] = "";
    for (size_t i = 0; i < n; i++) {
        strcat(strcat(ids, i ? " " : ""), jobs[i].id);
        vx_job_row_clear(&jobs[i]);
    }
    free(jobs);
    assert_string_equal(ids, expected);
}

static void job_list_pages_through_equal_times_and_prunes_the_old(void **state) {
    fixture *f = *state;
    OK(vx_catalog_begin(f->catalog, &oops));
    add_job(f, "jz", VX_JOB_DONE, 100, 110);
    add_job(f, "jb", VX_JOB_QUEUED, 200, 0);
    add_job(f, "jc", VX_JOB_FAILED, 200, 210);
    add_job(f, "jd", VX_JOB_RUNNING, 200, 0);
    add_job(f, "j0", VX_JOB_CANCELLED, 300, 310);
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_jobs(f, 10, 0, NULL, VX_JOBS_ANY, "j0 jd jc jb jz");
    assert_jobs(f, 2, 0, NULL, VX_JOBS_ANY, "j0 jd");
    assert_jobs(f, 2, 200, "jd", VX_JOBS_ANY, "jc jb");
    assert_jobs(f, 2, 200, "jb", VX_JOBS_ANY, "jz");
    assert_jobs(f, 10, 0, NULL, VX_JOBS_UNFINISHED, "jd jb");
    assert_jobs(f, 10, 200, "jd", VX_JOBS_UNFINISHED, "jb");
    OK(vx_catalog_begin(f->catalog, &oops));
    int pruned = 0;
    OK(vx_catalog_prune_jobs(f->catalog, 310, 1, &pruned, &oops));
    assert_int_equal(pruned, 1);
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_jobs(f, 10, 0, NULL, VX_JOBS_ANY, "j0 jd jc jb");
    OK(vx_catalog_begin(f->catalog, &oops));
    OK(vx_catalog_prune_jobs(f->catalog, 310, 100, &pruned, &oops));
    OK(vx_catalog_commit(f->catalog, &oops));
    assert_jobs(f, 10, 0, NULL, VX_JOBS_ANY, "j0 jd jb");
}

static void job_list_without_a_limit_gives_all(void **state) {
    fixture *f = *state;
    vx_job_row *jobs = NULL;
    size_t n = 99;
    OK(vx_catalog_list_jobs(f->catalog, SIZE_MAX, 0, NULL, VX_JOBS_UNFINISHED, &jobs, &n, &oops));
    assert_int_equal(n, 0);
    free(jobs);
    OK(vx_catalog_begin(f->catalog, &oops));
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "j%03d", i);
        add_job(f, id, VX_JOB_QUEUED, 1000 + i, 0);
    }
    OK(vx_catalog_commit(f->catalog, &oops));
    OK(vx_catalog_list_jobs(f->catalog, SIZE_MAX, 0, NULL, VX_JOBS_UNFINISHED, &jobs, &n, &oops));
    assert_int_equal(n, 100);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(jobs[i].created_us, 1099 - (int64_t)i);
        vx_job_row_clear(&jobs[i]);
    }
    free(jobs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(job_runs_its_course_and_survives_reopening),
        TEST(job_finished_without_a_time_is_refused),
        TEST(job_list_pages_through_equal_times_and_prunes_the_old),
        TEST(job_list_without_a_limit_gives_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
