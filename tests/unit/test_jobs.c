/* The tries of a job: how long it waits, and when it is parked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/outcome.h"
#include "jobs/jobs_internal.h"

#include <errno.h>

#define S 1000000LL

/* The wait after one more try that failed, in seconds; -1 = parked. */
static int fail_at(vx_job_tries *tries, int64_t now_us, int64_t took_us) {
    tries->attempts++;
    if (vx_jobs_plan_next(tries, took_us, now_us) == VX_JOB_PARKED)
        return -1;
    return (int)((tries->next_try_us - now_us) / S);
}

static void waits_double_up_to_half_a_minute_and_are_minutes_after_an_hour(void **state) {
    (void)state;
    static const int waits[] = {1, 2, 4, 8, 16, 30, 30};
    vx_job_tries tries = {0};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(fail_at(&tries, 100 * S, 0), waits[i]);
    assert_int_equal(tries.failing_us, 100 * S);
    assert_int_equal(fail_at(&tries, 3699 * S, 0), 30);
    assert_int_equal(fail_at(&tries, 3700 * S, 0), 300);
}

static void wait_is_not_shorter_than_the_try_was(void **state) {
    (void)state;
    vx_job_tries tries = {0};
    assert_int_equal(fail_at(&tries, 100 * S, 45 * S), 45);
}

static void job_is_parked_after_ten_tries_and_a_day(void **state) {
    (void)state;
    vx_job_tries tries = {0}, rare = {0};
    for (int i = 0; i < 20; i++)
        assert_true(fail_at(&tries, S + i, 0) > 0);
    assert_true(fail_at(&tries, 86400 * S, 0) > 0);
    assert_int_equal(fail_at(&tries, 86401 * S, 0), -1);
    assert_int_equal(tries.next_try_us, 0);
    assert_true(fail_at(&rare, S, 0) > 0);
    for (int i = 2; i < 10; i++)
        assert_true(fail_at(&rare, 2 * 86400 * S, 0) > 0);
    assert_int_equal(fail_at(&rare, 2 * 86400 * S, 0), -1);
}

static void what_the_machine_lacks_is_no_fault_of_the_file(void **state) {
    (void)state;
    static const int passing[] = {-EMFILE, -ENFILE, -ENOMEM, -EAGAIN}, full[] = {-ENOSPC, -EDQUOT};
    for (size_t i = 0; i < VX_LEN(passing); i++)
        assert_int_equal(vx_outcome_of_error(passing[i], NULL), VX_OUTCOME_BUSY);
    for (size_t i = 0; i < VX_LEN(full); i++)
        assert_int_equal(vx_outcome_of_error(full[i], NULL), VX_OUTCOME_NO_SPACE);
    assert_int_equal(vx_outcome_of_error(-EIO, NULL), VX_OUTCOME_INTERNAL);
    assert_true(vx_outcome_is_our_fault(VX_OUTCOME_INTERNAL));
    assert_true(vx_outcome_is_our_fault(VX_OUTCOME_BUSY));
    assert_true(vx_outcome_is_our_fault(VX_OUTCOME_NO_SPACE));
    assert_false(vx_outcome_is_our_fault(VX_OUTCOME_MEDIA_DAMAGED));
    assert_false(vx_outcome_is_our_fault(VX_OUTCOME_DUPLICATE));
    assert_false(vx_outcome_is_our_fault(VX_OUTCOME_CANCELLED));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_half_a_minute_and_are_minutes_after_an_hour),
        cmocka_unit_test(wait_is_not_shorter_than_the_try_was),
        cmocka_unit_test(job_is_parked_after_ten_tries_and_a_day),
        cmocka_unit_test(what_the_machine_lacks_is_no_fault_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
