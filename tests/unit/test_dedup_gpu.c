/* All pairs where a GPU finds them: as the processors do, also when it fails. The device is one in plain C. */
#include "pair_rows.h"

#include <errno.h>

#include "torch/torch_shim.h"

struct vx_pair_scan {
    size_t n_rows, dim;
    float *rows; /* [n_rows, dim] rounded */
};

static struct fake {
    int64_t free_bytes;
    int fail_new, fail_put, fail_run; /* this many calls from now; 0: none */
    size_t room;                      /* pairs that a run gives */
    int n_runs, n_open;
} fake;

static void fake_reset(void) {
    fake = (struct fake){.free_bytes = INT64_C(1) << 40, .room = VX_PAIR_SCAN_ROOM};
}

static int fake_memory(const char *device, int64_t *ret_free_bytes, int64_t *ret_total_bytes,
                       vx_err *err) {
    (void)device, (void)err;
    *ret_free_bytes = fake.free_bytes;
    *ret_total_bytes = INT64_C(1) << 41;
    return 0;
}

static int fake_new(const char *device, size_t n_rows, size_t dim, vx_pair_scan **ret_scan,
                    vx_err *err) {
    if (fake.fail_new)
        return VX_FAIL(err, VX_TORCH_NO_DEVICE, "there is no %s", device);
    vx_pair_scan *scan = vx_new(vx_pair_scan);
    *scan = (vx_pair_scan){n_rows, dim, vx_new_array(n_rows * dim, sizeof(float))};
    fake.n_open++;
    *ret_scan = scan;
    return 0;
}

static vx_pair_scan *fake_free(vx_pair_scan *scan) {
    free(scan->rows);
    free(scan);
    fake.n_open--;
    return NULL;
}

/* To 11 bits, as float16 has them. */
static float rounded(float x) {
    int exponent;
    float part = frexpf(x, &exponent);
    return isfinite(x) ? ldexpf(rintf(part * 2048) / 2048, exponent) : x;
}

static int fake_put(vx_pair_scan *scan, size_t first, size_t n, const float *rows, vx_err *err) {
    if (fake.fail_put && --fake.fail_put == 0)
        return VX_FAIL(err, -EIO, "the fake device is broken");
    assert_true(first + n <= scan->n_rows);
    for (size_t i = 0; i < n * scan->dim; i++)
        scan->rows[first * scan->dim + i] = rounded(rows[i]);
    return 0;
}

/* Most of this program's time under a sanitizer, were it checked: nothing of vidx is in it. */
__attribute__((no_sanitize("address", "thread", "undefined"))) static float
product(const float *a, const float *b, size_t dim) {
    float sum = 0;
    for (size_t d = 0; d < dim; d++)
        sum += a[d] * b[d];
    return sum;
}

/* From the last to the first: the device promises no order. */
static int fake_run(vx_pair_scan *scan, const vx_pair_scan_run_params *p, vx_pair_found *ret_found,
                    size_t *ret_n, vx_err *err) {
    fake.n_runs++;
    if (fake.fail_run && --fake.fail_run == 0)
        return VX_FAIL(err, -EIO, "the fake device is broken");
    assert_true(p->n_others <= VX_PAIR_SCAN_OTHERS && p->row + p->n_rows <= scan->n_rows &&
                p->other + p->n_others <= scan->n_rows);
    size_t n = 0;
    for (size_t r = p->row + p->n_rows; r-- > p->row;)
        for (size_t o = p->other + p->n_others; o-- > p->other;) {
            const float *rows = scan->rows;
            if (o >= r ||
                !(product(rows + r * scan->dim, rows + o * scan->dim, scan->dim) >= p->at_least))
                continue;
            if (n < fake.room)
                ret_found[n] = (vx_pair_found){(uint32_t)r, (uint32_t)o};
            n++;
        }
    *ret_n = n > fake.room ? VX_PAIR_SCAN_ROOM + 1 : n;
    return 0;
}

static const vx_dedup_device device = {
    .memory = fake_memory, .open = fake_new, .free = fake_free, .put = fake_put, .run = fake_run};
static const vx_dedup_gpu gpu = {.device = "cuda:0", .min_pairs = -1, .functions = &device};

static int setup(void **state) {
    (void)state;
    fake_reset();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return fake.n_open != 0;
}

static void hits_of_a_gpu_are_those_of_the_processors(void **state) {
    (void)state;
    check_shapes(&gpu);
    assert_true(fake.n_runs > 0);
}

static void pair_on_the_bar_counts_whatever_the_rounding(void **state) {
    (void)state;
    check_bars(&gpu);
}

static void row_that_is_no_number_is_in_no_pair(void **state) {
    (void)state;
    check_no_numbers(&gpu);
}

static void rows_of_an_index_are_read_and_copied(void **state) {
    (void)state;
    VX_AUTO(vx_index) index = NULL;
    float *vectors = rows_near(5000, 24, 1500);
    int64_t ids[5000];
    vx_err err;
    for (int i = 0; i < 5000; i++)
        ids[i] = 3 * (5000 - i);
    assert_int_equal(vx_index_new(&(vx_index_params){.dim = 24}, &index, &err), 0);
    assert_int_equal(vx_index_add(index, ids, NULL, vectors, 5000, &err), 0);
    assert_int_equal(vx_index_remove(index, &ids[10], 1, &err), 0);
    const vx_dedup_indexed indexed = {.index = index, .ids = ids, .n = 5000};
    const vx_dedup_rows rows = vx_dedup_rows_of_index(&indexed);
    assert_true(check_same_hits(&rows, 0.9f, 0, &gpu, true) > 1000);
    free(vectors);
}

static size_t check_plain(bool is_used) {
    float *vectors = rows_near(5000, 24, 1500);
    const vx_dedup_rows rows = {.n = 5000, .dim = 24, .vectors = vectors};
    size_t n = check_same_hits(&rows, 0.9f, 0, &gpu, is_used);
    free(vectors);
    return n;
}

static void device_that_breaks_loses_no_hit(void **state) {
    (void)state;
    for (int call = 1; call <= 3; call++) {
        fake_reset();
        fake.fail_run = call;
        assert_true(check_plain(true) > 1000);
        assert_int_equal(fake.n_runs, call); /* it is not asked again */
        assert_int_equal(fake.n_open, 0);
    }
}

static void device_without_room_or_that_is_not_there_is_not_used(void **state) {
    (void)state;
    fake.free_bytes = INT64_C(1) << 39; /* a quarter of it all */
    check_plain(false);
    fake_reset();
    fake.fail_new = 1;
    check_plain(false);
    fake_reset();
    fake.fail_put = 1;
    check_plain(false);
    assert_int_equal(fake.n_runs, 0);
}

static void too_many_pairs_for_the_device_are_found_by_the_processors(void **state) {
    (void)state;
    fake.room = 100;
    assert_true(check_plain(true) > 1000);
    assert_true(fake.n_runs > 1);
}

static void few_pairs_are_not_sent_to_a_device(void **state) {
    (void)state;
    float *vectors = rows_near(1000, 24, 100);
    const vx_dedup_rows rows = {.n = 1000, .dim = 24, .vectors = vectors};
    const vx_dedup_gpu later = {
        .device = "cuda:0", .first = 990, .min_pairs = 10000, .functions = &device};
    check_same_hits(&rows, 0.9f, 990, &later, false);
    free(vectors);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hits_of_a_gpu_are_those_of_the_processors, setup, teardown),
        cmocka_unit_test_setup_teardown(pair_on_the_bar_counts_whatever_the_rounding, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_that_is_no_number_is_in_no_pair, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_of_an_index_are_read_and_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(device_that_breaks_loses_no_hit, setup, teardown),
        cmocka_unit_test_setup_teardown(device_without_room_or_that_is_not_there_is_not_used, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(too_many_pairs_for_the_device_are_found_by_the_processors,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(few_pairs_are_not_sent_to_a_device, setup, teardown),
    };
    return cmocka_run_group_tests_name("all pairs on a GPU", tests, NULL, NULL);
}
