/* The line before a model, with a model that is a few lines of C: an item is the length of the vector
 * that it becomes, below zero a failure. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "embed/batcher.h"

enum { DIM = 2 };

static int n_batches, largest;
static bool mixed; /* a batch had items of several lengths */
static int held_us;

static int run(void *ctx, int line, const void *const *items, int n, float *ret_vectors,
               vx_err *err) {
    (void)line;
    (void)ctx;
    n_batches++;
    largest = n > largest ? n : largest;
    usleep((useconds_t)held_us);
    for (int i = 0; i < n; i++) {
        float length = *(const float *)items[i];
        mixed |= length != *(const float *)items[0];
        if (length < 0)
            return VX_FAIL(err, -EIO, "batch %d", n_batches);
        ret_vectors[i * DIM] = length;
        ret_vectors[i * DIM + 1] = 0;
    }
    return 0;
}

static vx_batcher *start_with(int max_batch, bool separate_jobs) {
    vx_batcher *batcher = NULL;
    vx_batcher_params params = {.model = "lengths",
                                .dim = DIM,
                                .max_batch = max_batch,
                                .separate_jobs = separate_jobs,
                                .threads = 1,
                                .run = run};
    n_batches = largest = held_us = 0;
    mixed = false;
    assert_int_equal(vx_batcher_start(&params, &batcher, NULL), 0);
    return batcher;
}

static vx_batcher *start(int max_batch) {
    return start_with(max_batch, false);
}

typedef struct caller {
    vx_batcher *batcher;
    float length;
    pthread_t thread;
} caller;

static void *call(void *ctx) {
    const caller *c = ctx;
    const float items[] = {c->length, c->length, c->length};
    float vectors[VX_LEN(items) * DIM];
    return vx_batcher_run(c->batcher, -1, items, sizeof(float), VX_LEN(items), vectors, NULL)
               ? ctx
               : NULL;
}

/* Five jobs of three items, which wait while the first of them is run for 20 ms. */
static void run_five_at_once(vx_batcher *batcher) {
    caller callers[5];
    held_us = 20000;
    for (int i = 0; i < 5; i++) {
        callers[i] = (caller){.batcher = batcher, .length = 1 + 1e-4f * (float)i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call, &callers[i]), 0);
    }
    for (int i = 0; i < 5; i++) {
        void *failed;
        pthread_join(callers[i].thread, &failed);
        assert_null(failed);
    }
    vx_batcher_free(batcher);
}

static void separate_jobs_never_share_a_batch(void **state) {
    (void)state;
    run_five_at_once(start_with(8, true));
    assert_false(mixed);
    assert_int_equal(largest, 3);
    assert_int_equal(n_batches, 5);
}

static void jobs_that_wait_share_batches(void **state) {
    (void)state;
    run_five_at_once(start_with(8, false));
    assert_true(mixed);
    assert_true(largest > 3 && n_batches < 5);
}

static void items_over_a_batch_come_back_in_their_places(void **state) {
    (void)state;
    vx_batcher *batcher = start(3);
    const float items[] = {1, 0.9999f, 0.9995f, 1, 1.0005f, 1.0001f, 1};
    float vectors[VX_LEN(items) * DIM];
    assert_int_equal(
        vx_batcher_run(batcher, -1, items, sizeof(float), VX_LEN(items), vectors, NULL), 0);
    for (size_t i = 0; i < VX_LEN(items); i++)
        assert_true(vectors[i * DIM] == items[i] && vectors[i * DIM + 1] == 0);
    assert_int_equal(largest, 3);
    assert_int_equal(n_batches, 3);
    vx_batcher_free(batcher);
}

static void vector_that_is_not_quite_a_unit_is_refused_with_its_length(void **state) {
    (void)state;
    vx_batcher *batcher = start(4);
    float vectors[2 * DIM];
    vx_err err;
    const float lengths[] = {1.002f, 0.998f, 0, 16};
    for (size_t i = 0; i < VX_LEN(lengths); i++) {
        const float items[] = {1, lengths[i]};
        char says[64];
        assert_int_equal(vx_batcher_run(batcher, -1, items, sizeof(float), 2, vectors, &err), -EIO);
        snprintf(says, sizeof says, "a vector of length %g, not 1", (double)lengths[i]);
        assert_non_null(strstr(err.msg, says));
    }
    vx_batcher_free(batcher);
}

static void job_that_fails_twice_tells_the_first_reason(void **state) {
    (void)state;
    vx_batcher *batcher = start(1);
    const float items[] = {1, -1, 1, -1};
    float vectors[VX_LEN(items) * DIM];
    vx_err err;
    assert_int_equal(
        vx_batcher_run(batcher, -1, items, sizeof(float), VX_LEN(items), vectors, &err), -EIO);
    assert_string_equal(err.msg, "batch 2");
    assert_int_equal(n_batches, 4);
    vx_batcher_free(batcher);
}

/* ---- several lines ----------------------------------------------------------------------------
 *
 * Devices that are a few lines of C. An item is the length of its vector, as above; from BREAKS on it breaks
 * whatever device runs it. */

enum { N_DEVICES = 2, BREAKS = 100 };

typedef struct devices {
    atomic_bool away[N_DEVICES];
    atomic_int n_inside, most_inside, n_revived;
    atomic_int wait_for; /* a run goes on once so many have been inside */
} devices;

static int run_on(void *ctx, int line, const void *const *items, int n, float *ret_vectors,
                  vx_err *err) {
    devices *d = ctx;
    int inside = atomic_fetch_add(&d->n_inside, 1) + 1;
    if (inside > atomic_load(&d->most_inside))
        atomic_store(&d->most_inside, inside);
    for (int ms = 0; atomic_load(&d->most_inside) < atomic_load(&d->wait_for) && ms < 180000; ms++)
        usleep(1000);
    int rc =
        atomic_load(&d->away[line]) ? VX_FAIL(err, -ENODEV, "device %d fell off the bus", line) : 0;
    for (int i = 0; i < n && !rc; i++) {
        ret_vectors[i * DIM] = *(const float *)items[i];
        ret_vectors[i * DIM + 1] = 0;
        if (*(const float *)items[i] >= BREAKS)
            rc = VX_FAIL(err, -ENODEV, "device %d was broken", line);
    }
    usleep(1000); /* so that the other line meets the next items */
    atomic_fetch_sub(&d->n_inside, 1);
    return rc;
}

static int revive_device(void *ctx, int line, vx_err *err) {
    devices *d = ctx;
    if (atomic_load(&d->away[line]))
        return VX_FAIL(err, -ENODEV, "device %d is still away", line);
    atomic_fetch_add(&d->n_revived, 1);
    return 0;
}

static vx_batcher *start_devices(devices *d) {
    vx_batcher *batcher = NULL;
    const vx_batcher_params params = {.model = "lengths",
                                      .dim = DIM,
                                      .max_batch = 1,
                                      .threads = 1,
                                      .n_lines = N_DEVICES,
                                      .run = run_on,
                                      .revive = revive_device,
                                      .revive_us = 1000,
                                      .ctx = d};
    *d = (devices){0};
    assert_int_equal(vx_batcher_start(&params, &batcher, NULL), 0);
    return batcher;
}

static int run_all(vx_batcher *batcher, int n, vx_err *err) {
    float items[64], vectors[64 * DIM];
    for (int i = 0; i < n; i++)
        items[i] = 1 + 1e-5f * (float)i;
    int rc = vx_batcher_run(batcher, -1, items, sizeof(float), n, vectors, err);
    for (int i = 0; i < n && !rc; i++)
        assert_true(vectors[i * DIM] == items[i]);
    return rc;
}

static vx_embedder_stats stats_of(vx_batcher *batcher) {
    vx_embedder_stats stats;
    vx_batcher_get_stats(batcher, &stats);
    return stats;
}

static void expect_lost(vx_batcher *batcher, int line, bool lost) {
    for (int ms = 0; stats_of(batcher).lines[line].lost != lost; ms++) {
        assert_true(ms < 180000);
        usleep(1000);
    }
}

static void lines_run_at_once_and_take_from_one_queue(void **state) {
    (void)state;
    devices d;
    vx_batcher *batcher = start_devices(&d);
    atomic_store(&d.wait_for, 2);
    assert_int_equal(run_all(batcher, 2, NULL), 0);
    assert_int_equal(atomic_load(&d.most_inside), 2);
    atomic_store(&d.wait_for, 0);
    assert_int_equal(run_all(batcher, 40, NULL), 0);
    const vx_embedder_stats stats = stats_of(batcher);
    assert_int_equal(stats.n_lines, 2);
    assert_int_equal(stats.lines[0].clips + stats.lines[1].clips, 42);
    assert_true(stats.lines[0].clips > 1 && stats.lines[1].clips > 1);
    vx_batcher_free(batcher);
}

static void a_line_alone_is_asked_for(void **state) {
    (void)state;
    devices d;
    vx_batcher *batcher = start_devices(&d);
    const float item = 1;
    float vector[DIM];
    for (int i = 0; i < 5; i++)
        assert_int_equal(vx_batcher_run(batcher, 1, &item, sizeof item, 1, vector, NULL), 0);
    assert_int_equal(stats_of(batcher).lines[1].clips, 5);
    vx_batcher_free(batcher);
}

static void another_line_takes_over_what_a_lost_one_had(void **state) {
    (void)state;
    devices d;
    vx_err err = {0};
    vx_batcher *batcher = start_devices(&d);
    atomic_store(&d.away[0], true);
    for (int i = 0; i < 5; i++) /* both lines get some, until the first is lost */
        assert_int_equal(run_all(batcher, 40, &err), 0);
    expect_lost(batcher, 0, true);
    assert_non_null(strstr(stats_of(batcher).lines[0].why, "device 0 fell off the bus"));
    assert_int_equal(stats_of(batcher).lines[0].clips, 0);
    atomic_store(&d.away[0], false);
    expect_lost(batcher, 0, false);
    assert_int_equal(atomic_load(&d.n_revived), 1);
    atomic_store(&d.most_inside, 0);
    atomic_store(&d.wait_for, 2);
    assert_int_equal(run_all(batcher, 2, NULL), 0); /* on both */
    vx_batcher_free(batcher);
}

static void without_a_line_all_are_told_why_until_one_is_back(void **state) {
    (void)state;
    devices d;
    vx_err err = {0};
    vx_batcher *batcher = start_devices(&d);
    atomic_store(&d.away[0], true);
    atomic_store(&d.away[1], true);
    for (int i = 0; i < 2; i++) /* in work, and then while both are away */
        assert_int_equal(run_all(batcher, 40, &err), -EHOSTDOWN);
    assert_non_null(strstr(err.msg, "fell off the bus"));
    expect_lost(batcher, 0, true);
    expect_lost(batcher, 1, true);
    assert_int_equal(run_all(batcher, 1, &err), -EHOSTDOWN);
    assert_non_null(strstr(err.msg, "no device that works now"));
    atomic_store(&d.away[1], false);
    expect_lost(batcher, 1, false);
    assert_int_equal(run_all(batcher, 40, &err), 0);
    vx_batcher_free(batcher); /* the first one is still away */
}

static void item_that_breaks_devices_ends_after_two(void **state) {
    (void)state;
    devices d;
    vx_err err = {0};
    vx_batcher *batcher = start_devices(&d);
    const float items[] = {BREAKS};
    float vectors[VX_LEN(items) * DIM];
    assert_int_equal(vx_batcher_run(batcher, -1, items, sizeof(float), 1, vectors, &err),
                     -EHOSTDOWN);
    expect_lost(batcher, 0, false);
    expect_lost(batcher, 1, false);
    assert_int_equal(atomic_load(&d.n_revived), 2);
    assert_int_equal(run_all(batcher, 20, &err), 0);
    vx_batcher_free(batcher);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separate_jobs_never_share_a_batch),
        cmocka_unit_test(jobs_that_wait_share_batches),
        cmocka_unit_test(items_over_a_batch_come_back_in_their_places),
        cmocka_unit_test(vector_that_is_not_quite_a_unit_is_refused_with_its_length),
        cmocka_unit_test(job_that_fails_twice_tells_the_first_reason),
        cmocka_unit_test(lines_run_at_once_and_take_from_one_queue),
        cmocka_unit_test(a_line_alone_is_asked_for),
        cmocka_unit_test(another_line_takes_over_what_a_lost_one_had),
        cmocka_unit_test(without_a_line_all_are_told_why_until_one_is_back),
        cmocka_unit_test(item_that_breaks_devices_ends_after_two),
    };
    return cmocka_run_group_tests_name("batcher", tests, NULL, NULL);
}
