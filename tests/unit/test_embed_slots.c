/* Clips without a copy: slots of a pool, written, submitted and awaited, with a model that is a few lines
 * of C: a clip is one number, the length of the vector that it becomes, below zero a failure. */
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
#include "embed/slot_pool.h"

enum { DIM = 2, N_SLOTS = 3 };

typedef struct device {
    vx_slot_pool *pool;
    vx_batcher *batcher;
    atomic_bool stuck; /* a run does not end */
    atomic_int n_begun, n_run;
} device;

static int run(void *ctx, int line, const void *const *items, int n, float *ret_vectors,
               vx_err *err) {
    (void)line;
    device *d = ctx;
    atomic_fetch_add(&d->n_begun, 1);
    while (atomic_load(&d->stuck))
        usleep(1000);
    for (int i = 0; i < n; i++) {
        float length = *(const float *)items[i];
        if (length < 0)
            return VX_FAIL(err, -EIO, "a bad clip");
        ret_vectors[i * DIM] = length;
        ret_vectors[i * DIM + 1] = 0;
    }
    atomic_fetch_add(&d->n_run, n);
    return 0;
}

static void release(void *slot) {
    vx_slot_free(slot);
}

static void start(device *d, int max_batch) {
    *d = (device){0};
    const vx_slot_pool_params slots = {
        .model = "lengths", .device = "cpu", .slot_bytes = sizeof(float), .n_slots = N_SLOTS};
    const vx_batcher_params params = {.model = "lengths",
                                      .dim = DIM,
                                      .max_batch = max_batch,
                                      .threads = 1,
                                      .run = run,
                                      .ctx = d,
                                      .done = release};
    assert_int_equal(vx_slot_pool_new(&slots, &d->pool, NULL), 0);
    assert_int_equal(vx_batcher_start(&params, &d->batcher, NULL), 0);
}

static void stop(device *d) {
    vx_slot_pool_close(d->pool);
    vx_batcher_free(d->batcher);
    vx_slot_pool_free(d->pool);
}

static vx_slot *claim(device *d, float length) {
    vx_slot *slot = NULL;
    assert_int_equal(vx_slot_pool_claim(d->pool, &slot, NULL), 0);
    *vx_slot_clip(slot) = length;
    return slot;
}

static int submit(device *d, vx_slot *slot, vx_embed_job **ret_job) {
    const vx_batch_item item = {vx_slot_clip(slot), slot};
    vx_slot_pool_send(slot);
    return vx_batcher_submit(d->batcher, &item, 1, ret_job, NULL);
}

static vx_embed_job *send(device *d, float length) {
    vx_embed_job *job;
    assert_int_equal(submit(d, claim(d, length), &job), 0);
    return job;
}

/* The device is in a run of one clip that does not end. */
static vx_embed_job *hold_up(device *d) {
    atomic_store(&d->stuck, true);
    vx_embed_job *job = send(d, 1);
    while (!atomic_load(&d->n_begun))
        usleep(1000);
    return job;
}

static void jobs_may_be_awaited_in_any_order(void **state) {
    (void)state;
    enum { N = 3 };
    device d;
    start(&d, 2);
    vx_embed_job *jobs[N];
    const float lengths[N] = {0.9995f, 1, 1.0005f};
    for (int i = 0; i < N; i++)
        jobs[i] = send(&d, lengths[i]);
    for (int i = N - 1; i >= 0; i--) {
        float vector[DIM];
        assert_int_equal(vx_embed_job_await(jobs[i], vector, NULL), 0);
        assert_true(vx_embed_job_is_done(jobs[i]));
        assert_true(vector[0] == lengths[i]);
        vx_embed_job_free(jobs[i]);
    }
    stop(&d);
}

static void caller_goes_on_while_the_model_runs(void **state) {
    (void)state;
    device d;
    start(&d, 1);
    vx_embed_job *job = hold_up(&d);
    vx_slot *next = claim(&d, 1); /* the decode of the next clip */
    assert_false(vx_embed_job_is_done(job));
    atomic_store(&d.stuck, false);
    float vector[DIM];
    assert_int_equal(vx_embed_job_await(job, vector, NULL), 0);
    vx_embed_job_free(job);
    vx_slot_free(next);
    stop(&d);
}

static void claim_never_waits_for_clips_that_are_being_written(void **state) {
    (void)state;
    device d;
    vx_slot *held[3 * N_SLOTS]; /* one video with more open clips than there are slots */
    start(&d, 1);
    for (size_t i = 0; i < VX_LEN(held); i++)
        held[i] = claim(&d, 1);
    for (size_t i = 0; i < VX_LEN(held); i++)
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(vx_slot_clip(held[i]), vx_slot_clip(held[k]));
    for (size_t i = 0; i < VX_LEN(held); i++)
        vx_slot_free(held[i]);
    stop(&d);
}

static void *claim_one(void *ctx) {
    device *d = ctx;
    vx_slot *slot = NULL;
    return vx_slot_pool_claim(d->pool, &slot, NULL) ? NULL : slot;
}

static void claim_waits_while_the_device_has_clips_and_no_slot_is_free(void **state) {
    (void)state;
    device d;
    start(&d, 1);
    vx_embed_job *job = hold_up(&d);
    vx_slot *held[N_SLOTS - 1];
    for (size_t i = 0; i < VX_LEN(held); i++)
        held[i] = claim(&d, 1);
    pthread_t claimer;
    void *slot;
    assert_int_equal(pthread_create(&claimer, NULL, claim_one, &d), 0);
    usleep(20000);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    assert_int_equal(pthread_timedjoin_np(claimer, &slot, &now), ETIMEDOUT);
    atomic_store(&d.stuck, false);
    pthread_join(claimer, &slot);
    assert_non_null(slot);
    vx_slot_free(slot);
    for (size_t i = 0; i < VX_LEN(held); i++)
        vx_slot_free(held[i]);
    vx_embed_job_free(job);
    stop(&d);
}

static void cancelled_job_gives_its_slots_back_unrun(void **state) {
    (void)state;
    device d;
    start(&d, 1);
    vx_embed_job *first = hold_up(&d), *second = send(&d, 1), *third = send(&d, 1);
    assert_null(vx_embed_job_free(second)); /* does not wait for the run */
    vx_slot *slot = claim(&d, 1);           /* its slot is free */
    vx_slot_free(slot);
    atomic_store(&d.stuck, false);
    float vector[DIM];
    assert_int_equal(vx_embed_job_await(third, vector, NULL), 0);
    assert_int_equal(d.n_run, 2);
    vx_embed_job_free(first);
    vx_embed_job_free(third);
    stop(&d);
}

static void job_freed_in_its_run_waits_for_the_run(void **state) {
    (void)state;
    device d;
    start(&d, 1);
    vx_embed_job *job = hold_up(&d);
    atomic_store(&d.stuck, false);
    vx_embed_job_free(job);
    assert_int_equal(d.n_run, 1);
    stop(&d);
}

static void failure_of_a_clip_is_told_to_its_job_alone(void **state) {
    (void)state;
    device d;
    start(&d, 1);
    vx_embed_job *good = send(&d, 1), *bad = send(&d, -1), *after = send(&d, 1);
    float vector[DIM];
    vx_err err;
    assert_int_equal(vx_embed_job_await(bad, vector, &err), -EIO);
    assert_string_equal(err.msg, "a bad clip");
    assert_int_equal(vx_embed_job_await(good, vector, NULL), 0);
    assert_int_equal(vx_embed_job_await(after, vector, NULL), 0);
    vx_embed_job_free(good);
    vx_embed_job_free(bad);
    vx_embed_job_free(after);
    stop(&d);
}

static void *stop_it(void *ctx) {
    stop(ctx);
    return NULL;
}

static void shutdown_refuses_what_waits_and_outlives_held_slots(void **state) {
    (void)state;
    device d;
    start(&d, 1);
    vx_embed_job *running = hold_up(&d), *queued = send(&d, 1), *late;
    vx_slot *held = claim(&d, 1);
    pthread_t stopper, claimer;
    void *slot;
    assert_int_equal(pthread_create(&claimer, NULL, claim_one, &d), 0);
    assert_int_equal(pthread_create(&stopper, NULL, stop_it, &d), 0);
    pthread_join(claimer, &slot); /* it waited, or came too late: refused in any case */
    assert_null(slot);
    atomic_store(&d.stuck, false);
    float vector[DIM];
    assert_int_equal(vx_embed_job_await(queued, vector, NULL), VX_EMBED_CLOSED);
    assert_int_equal(vx_embed_job_await(running, vector, NULL), 0);
    assert_int_equal(submit(&d, held, &late), VX_EMBED_CLOSED); /* and the slot is back */
    vx_embed_job_free(queued);
    vx_embed_job_free(running);
    pthread_join(stopper, NULL);
}

/* ---- many videos ---- */

enum { VIDEOS = 6, OPEN_CLIPS = 2, CLIPS = 200 };

typedef struct video {
    device *device;
    pthread_t thread;
} video;

/* Overlapping clips: a slot is submitted when OPEN_CLIPS are open; the last ones are given back. */
static void *play(void *ctx) {
    const video *v = ctx;
    vx_slot *open[OPEN_CLIPS] = {0};
    vx_embed_job *jobs[CLIPS] = {0};
    bool failed = false;
    for (int i = 0; i < CLIPS; i++) {
        vx_slot **place = &open[i % OPEN_CLIPS];
        if (*place)
            failed |= submit(v->device, vx_take(*place), &jobs[i]) != 0;
        *place = claim(v->device, 1);
    }
    for (int i = 0; i < OPEN_CLIPS; i++)
        vx_slot_free(open[i]);
    for (int i = 0; i < CLIPS; i++) {
        float vector[DIM];
        failed |= jobs[i] && vx_embed_job_await(jobs[i], vector, NULL) != 0;
        vx_embed_job_free(jobs[i]);
    }
    return failed ? ctx : NULL;
}

static void many_videos_share_a_small_pool_without_deadlock(void **state) {
    (void)state;
    device d;
    video videos[VIDEOS];
    start(&d, 2);
    for (int i = 0; i < VIDEOS; i++) {
        videos[i] = (video){.device = &d};
        assert_int_equal(pthread_create(&videos[i].thread, NULL, play, &videos[i]), 0);
    }
    for (int i = 0; i < VIDEOS; i++) {
        void *failed;
        pthread_join(videos[i].thread, &failed);
        assert_null(failed);
    }
    assert_int_equal(d.n_run, VIDEOS * (CLIPS - OPEN_CLIPS));
    /* never more memory than the pool and a slot for each clip that is being written */
    assert_true(vx_slot_pool_most(d.pool) <= N_SLOTS + VIDEOS * OPEN_CLIPS);
    stop(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_may_be_awaited_in_any_order),
        cmocka_unit_test(caller_goes_on_while_the_model_runs),
        cmocka_unit_test(claim_never_waits_for_clips_that_are_being_written),
        cmocka_unit_test(claim_waits_while_the_device_has_clips_and_no_slot_is_free),
        cmocka_unit_test(cancelled_job_gives_its_slots_back_unrun),
        cmocka_unit_test(job_freed_in_its_run_waits_for_the_run),
        cmocka_unit_test(failure_of_a_clip_is_told_to_its_job_alone),
        cmocka_unit_test(shutdown_refuses_what_waits_and_outlives_held_slots),
        cmocka_unit_test(many_videos_share_a_small_pool_without_deadlock),
    };
    return cmocka_run_group_tests_name("embed_slots", tests, NULL, NULL);
}
