/* The committer: operations in groups, and what their callbacks submit. */
#include <errno.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog/catalog_internal.h"
#include "writer/writer.h"

enum { ROOM = 1024 }; /* in the committer's queue */

static char dir[64];
static vx_server server;

static int open_committer(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/vidx-commit-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    char path[96];
    snprintf(path, sizeof path, "%s/catalog.db", dir);
    server = (vx_server){0};
    return vx_catalog_open(path, 0, &server.catalog, NULL) || vx_commit_start(&server, NULL);
}

static int close_committer(void **state) {
    (void)state;
    char command[96];
    vx_commit_stop(&server);
    vx_catalog_close(server.catalog);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static sem_t begun, may_end;
static atomic_int n_done;

static int do_nothing(vx_commit_op *op, vx_server *s, vx_err *err) {
    (void)op, (void)s, (void)err;
    return 0;
}

static void count(vx_commit_op *op, vx_server *s, int rc, const vx_err *err) {
    (void)op, (void)s, (void)err;
    atomic_fetch_add(&n_done, rc == 0);
}

static int hold_up(vx_commit_op *op, vx_server *s, vx_err *err) {
    (void)op, (void)s, (void)err;
    sem_post(&begun);
    sem_wait(&may_end);
    return 0;
}

static vx_commit_op follower = {.apply = do_nothing, .done = count};

static void submit_follower(vx_commit_op *op, vx_server *s, int rc, const vx_err *err) {
    count(op, s, rc, err);
    vx_commit_submit(s, &follower, VX_COMMIT_WAIT); /* counts itself, if it is taken */
}

static vx_commit_op first, others[ROOM];

/* The committer holds the first operation, and there is no room behind it. */
static void fill_queue(void (*first_done)(vx_commit_op *, vx_server *, int, const vx_err *)) {
    first = (vx_commit_op){.apply = hold_up, .done = first_done};
    n_done = 0;
    sem_init(&begun, 0, 0);
    sem_init(&may_end, 0, 0);
    alarm(60); /* whoever waits for room in vain waits for ever */
    assert_int_equal(vx_commit_submit(&server, &first, VX_COMMIT_WAIT), VX_OUTCOME_OK);
    sem_wait(&begun);
    for (int i = 0; i < ROOM; i++) {
        others[i] = (vx_commit_op){.apply = do_nothing, .done = count};
        assert_int_equal(vx_commit_submit(&server, &others[i], VX_COMMIT_REFUSE), VX_OUTCOME_OK);
    }
}

static void empty_queue(int n) {
    sem_post(&may_end);
    while (atomic_load(&n_done) < n)
        usleep(1000);
    alarm(0);
}

/* As when a background job's insert fails while a thousand requests wait. */
static void callback_that_submits_while_the_queue_is_full_does_not_wait(void **state) {
    (void)state;
    fill_queue(submit_follower);
    empty_queue(1 + ROOM + 1);
}

static void keep_result(void *ctx, int rc, const vx_err *err) {
    (void)err;
    *(int *)ctx = rc;
}

static void change_while_the_queue_is_full_is_refused_and_does_not_wait(void **state) {
    (void)state;
    int result = 77;
    vx_commit_op late = {.apply = do_nothing, .done = count};
    fill_queue(count);
    assert_int_equal(vx_commit_submit(&server, &late, VX_COMMIT_REFUSE), VX_OUTCOME_BUSY);
    assert_int_equal(vx_commit_delete_video(&server, "v1", VX_COMMIT_REFUSE, keep_result, &result),
                     VX_OUTCOME_BUSY);
    atomic_store(&server.stopping, true);
    assert_int_equal(vx_commit_submit(&server, &late, VX_COMMIT_REFUSE), VX_OUTCOME_STOPPING);
    assert_int_equal(result, 77);
    empty_queue(1 + ROOM);
    assert_int_equal(vx_commit_submit(&server, &late, VX_COMMIT_REFUSE), VX_OUTCOME_OK);
    while (atomic_load(&n_done) < 1 + ROOM + 1)
        usleep(1000);
}

/* A clip of no video: SQLite is told to notice when the transaction is committed. */
static int spoil_group(vx_commit_op *op, vx_server *s, vx_err *err) {
    (void)op;
    int rc =
        sqlite3_exec(s->catalog->writer.handle,
                     "PRAGMA defer_foreign_keys = ON;"
                     "INSERT INTO clips (video, position, start_s, end_s) VALUES (99, 0, 0, 1)",
                     NULL, NULL, NULL);
    return rc ? VX_FAIL(err, -EIO, "the test cannot spoil its group: %d", rc) : 0;
}

static void count_failed_commit(vx_commit_op *op, vx_server *s, int rc, const vx_err *err) {
    (void)op, (void)s;
    atomic_fetch_add(&n_done, rc && strstr(err->msg, "FOREIGN KEY") ? 1 : 100);
}

static void operation_whose_group_cannot_be_committed_is_told(void **state) {
    (void)state;
    vx_commit_op held = {.apply = hold_up, .done = count};
    vx_commit_op spoils = {.apply = spoil_group, .done = count_failed_commit};
    vx_commit_op beside = {.apply = do_nothing, .done = count_failed_commit};
    n_done = 0;
    sem_init(&begun, 0, 0);
    sem_init(&may_end, 0, 0);
    assert_int_equal(vx_commit_submit(&server, &held, VX_COMMIT_WAIT), VX_OUTCOME_OK);
    sem_wait(&begun);
    vx_commit_submit(&server, &spoils, VX_COMMIT_WAIT);
    vx_commit_submit(&server, &beside, VX_COMMIT_WAIT);
    empty_queue(3);
    assert_int_equal(n_done, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(callback_that_submits_while_the_queue_is_full_does_not_wait,
                                        open_committer, close_committer),
        cmocka_unit_test_setup_teardown(change_while_the_queue_is_full_is_refused_and_does_not_wait,
                                        open_committer, close_committer),
        cmocka_unit_test_setup_teardown(operation_whose_group_cannot_be_committed_is_told,
                                        open_committer, close_committer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
