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

#include "embed/batcher.h"

enum { DIM = 2 };

static int n_batches, largest;
static bool mixed; /* a batch had items of several lengths */
static int held_us;

static int run(void *ctx, const void *const *items, int n, float *ret_vectors, vx_err *err) {
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
    return vx_batcher_run(c->batcher, items, sizeof(float), VX_LEN(items), vectors, NULL) ? ctx
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
    assert_int_equal(vx_batcher_run(batcher, items, sizeof(float), VX_LEN(items), vectors, NULL),
                     0);
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
        assert_int_equal(vx_batcher_run(batcher, items, sizeof(float), 2, vectors, &err), -EIO);
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
    assert_int_equal(vx_batcher_run(batcher, items, sizeof(float), VX_LEN(items), vectors, &err),
                     -EIO);
    assert_string_equal(err.msg, "batch 2");
    assert_int_equal(n_batches, 4);
    vx_batcher_free(batcher);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separate_jobs_never_share_a_batch),
        cmocka_unit_test(jobs_that_wait_share_batches),
        cmocka_unit_test(items_over_a_batch_come_back_in_their_places),
        cmocka_unit_test(vector_that_is_not_quite_a_unit_is_refused_with_its_length),
        cmocka_unit_test(job_that_fails_twice_tells_the_first_reason),
    };
    return cmocka_run_group_tests_name("batcher", tests, NULL, NULL);
}
