/* The writer: writes in groups, and what their callbacks submit. */
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
#include "library/library_internal.h"

enum { ROOM = 1024 }; /* in the writer's queue */

static char dir[64];
static vx_catalog *catalog;
static vx_store *store;
static vx_writer *writer;

static int open_writer(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/vidx-commit-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    char path[96];
    snprintf(path, sizeof path, "%s/catalog.db", dir);
    return vx_store_open(&(vx_store_params){.data_dir = dir}, &store, NULL) ||
           vx_catalog_open(path, 0, &catalog, NULL) ||
           vx_writer_start(catalog, store, &writer, NULL);
}

static int close_writer(void **state) {
    (void)state;
    char command[96];
    vx_writer_stop(writer);
    vx_catalog_close(catalog);
    vx_store_close(store);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static sem_t begun, may_end;
static atomic_int n_done;

static int do_nothing(vx_write *write, vx_err *err) {
    (void)write, (void)err;
    return 0;
}

static void count(vx_write *write, int rc, const vx_err *err) {
    (void)write, (void)err;
    atomic_fetch_add(&n_done, rc == 0);
}

static int hold_up(vx_write *write, vx_err *err) {
    (void)write, (void)err;
    sem_post(&begun);
    sem_wait(&may_end);
    return 0;
}

static vx_write follower = {.apply = do_nothing, .done = count};

static void submit_follower(vx_write *write, int rc, const vx_err *err) {
    count(write, rc, err);
    vx_writer_submit(writer, &follower, VX_WRITER_WAIT); /* counts itself, if it is taken */
}

static vx_write first, others[ROOM];

/* The writer holds the first write, and there is no room behind it. */
static void fill_queue(void (*first_done)(vx_write *, int, const vx_err *)) {
    first = (vx_write){.apply = hold_up, .done = first_done};
    n_done = 0;
    sem_init(&begun, 0, 0);
    sem_init(&may_end, 0, 0);
    alarm(60); /* whoever waits for room in vain waits for ever */
    assert_int_equal(vx_writer_submit(writer, &first, VX_WRITER_WAIT), VX_OUTCOME_OK);
    sem_wait(&begun);
    for (int i = 0; i < ROOM; i++) {
        others[i] = (vx_write){.apply = do_nothing, .done = count};
        assert_int_equal(vx_writer_submit(writer, &others[i], VX_WRITER_REFUSE), VX_OUTCOME_OK);
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
    vx_library library = {.params = {.writer = writer}};
    vx_write late = {.apply = do_nothing, .done = count};
    fill_queue(count);
    assert_int_equal(vx_writer_submit(writer, &late, VX_WRITER_REFUSE), VX_OUTCOME_BUSY);
    assert_int_equal(
        vx_library_delete_video(&library, "v1", VX_WRITER_REFUSE, keep_result, &result),
        VX_OUTCOME_BUSY);
    vx_writer_begin_stop(writer);
    assert_int_equal(vx_writer_submit(writer, &late, VX_WRITER_REFUSE), VX_OUTCOME_STOPPING);
    assert_int_equal(result, 77);
    empty_queue(1 + ROOM);
    assert_int_equal(vx_writer_submit(writer, &late, VX_WRITER_REFUSE), VX_OUTCOME_OK);
    while (atomic_load(&n_done) < 1 + ROOM + 1)
        usleep(1000);
}

/* A clip of no video: SQLite is told to notice when the transaction is committed. */
static int spoil_group(vx_write *write, vx_err *err) {
    (void)write;
    int rc =
        sqlite3_exec(catalog->writer.handle,
                     "PRAGMA defer_foreign_keys = ON;"
                     "INSERT INTO clips (video, position, start_s, end_s) VALUES (99, 0, 0, 1)",
                     NULL, NULL, NULL);
    return rc ? VX_FAIL(err, -EIO, "the test cannot spoil its group: %d", rc) : 0;
}

static void count_failed_commit(vx_write *write, int rc, const vx_err *err) {
    (void)write;
    atomic_fetch_add(&n_done, rc && strstr(err->msg, "FOREIGN KEY") ? 1 : 100);
}

static void write_whose_group_cannot_be_committed_is_told(void **state) {
    (void)state;
    vx_write held = {.apply = hold_up, .done = count};
    vx_write spoils = {.apply = spoil_group, .done = count_failed_commit};
    vx_write beside = {.apply = do_nothing, .done = count_failed_commit};
    n_done = 0;
    sem_init(&begun, 0, 0);
    sem_init(&may_end, 0, 0);
    assert_int_equal(vx_writer_submit(writer, &held, VX_WRITER_WAIT), VX_OUTCOME_OK);
    sem_wait(&begun);
    vx_writer_submit(writer, &spoils, VX_WRITER_WAIT);
    vx_writer_submit(writer, &beside, VX_WRITER_WAIT);
    empty_queue(3);
    assert_int_equal(n_done, 3);
    /* A crash may bring back what was committed, not what was never tried to be. */
    assert_true(spoils.in_doubt && beside.in_doubt && !held.in_doubt);
}

static int refuse(vx_write *write, vx_err *err) {
    (void)write;
    return VX_FAIL(err, -EIO, "this one alone fails");
}

static void count_refused(vx_write *write, int rc, const vx_err *err) {
    (void)write, (void)err;
    atomic_fetch_add(&n_done, rc == -EIO);
}

static void write_that_fails_by_itself_is_not_in_doubt(void **state) {
    (void)state;
    vx_write fails = {.apply = refuse, .done = count_refused};
    n_done = 0;
    sem_init(&may_end, 0, 0);
    assert_int_equal(vx_writer_submit(writer, &fails, VX_WRITER_WAIT), VX_OUTCOME_OK);
    empty_queue(1);
    assert_false(fails.in_doubt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(callback_that_submits_while_the_queue_is_full_does_not_wait,
                                        open_writer, close_writer),
        cmocka_unit_test_setup_teardown(change_while_the_queue_is_full_is_refused_and_does_not_wait,
                                        open_writer, close_writer),
        cmocka_unit_test_setup_teardown(write_that_fails_by_itself_is_not_in_doubt, open_writer,
                                        close_writer),
        cmocka_unit_test_setup_teardown(write_whose_group_cannot_be_committed_is_told, open_writer,
                                        close_writer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
