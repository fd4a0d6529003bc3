/* The torch shim: what goes in comes out, and what is wrong is named. Runs on modules that
 * tests/testmodel/make.py wrote into $VX_TEST_MODELS. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "torch/torch_shim.h"

enum { T = 4, SIZE = 64, DIM = 64, CLIP_FLOATS = T * 3 * SIZE * SIZE };

static int load(const char *package, vx_torch_module **ret, vx_err *err) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/video.pt", getenv("VX_TEST_MODELS"), package);
    return vx_torch_load(path, "cpu", ret, err);
}

static vx_torch_view clips_view(float *clips, int n) {
    return (vx_torch_view){clips, VX_TORCH_F32, 5, {n, T, 3, SIZE, SIZE}};
}

static void fill(float *clips, int n, int seed) {
    for (int i = 0; i < n * CLIP_FLOATS; i++)
        clips[i] = (float)((i * 7 + i / 4096 * seed) % 255) / 127.0f - 1.0f;
}

static void run_on_two_clips_gives_what_each_alone_gives(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    assert_int_equal(load("tiny", &module, &err), 0);
    VX_AUTO_FREE float *clips = vx_new_array(2 * CLIP_FLOATS, sizeof(float));
    fill(clips, 2, 3);
    float both[2 * DIM], one[DIM];
    vx_torch_view in = clips_view(clips, 2), out = {both, VX_TORCH_F32, 2, {2, DIM}};
    assert_int_equal(vx_torch_run(module, &in, 1, &out, &err), 0);
    for (int clip = 0; clip < 2; clip++) {
        in = clips_view(clips + clip * CLIP_FLOATS, 1);
        out = (vx_torch_view){one, VX_TORCH_F32, 2, {1, DIM}};
        assert_int_equal(vx_torch_run(module, &in, 1, &out, &err), 0);
        for (int i = 0; i < DIM; i++)
            assert_float_equal(one[i], both[clip * DIM + i], 1e-5);
    }
    double difference = 0;
    for (int i = 0; i < DIM; i++)
        difference += fabs((double)both[i] - (double)both[DIM + i]);
    assert_true(difference > 0.1); /* the second clip was not overwritten by the first */
}

static void run_into_another_dtype_converts(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    assert_int_equal(load("answers-long", &module, &err), 0);
    VX_AUTO_FREE float *clip = vx_new_array(CLIP_FLOATS, sizeof(float));
    int64_t numbers[DIM] = {0};
    vx_torch_view in = clips_view(clip, 1), out = {numbers, VX_TORCH_I64, 2, {1, DIM}};
    assert_int_equal(vx_torch_run(module, &in, 1, &out, &err), 0);
    assert_int_equal(numbers[0], 2);
    assert_int_equal(numbers[DIM - 1], 2);
}

static void run_answering_another_shape_names_both(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    assert_int_equal(load("answers-dim", &module, &err), 0);
    VX_AUTO_FREE float *clip = vx_new_array(CLIP_FLOATS, sizeof(float));
    float vector[DIM + 1];
    vector[DIM] = 7;
    vx_torch_view in = clips_view(clip, 1), out = {vector, VX_TORCH_F32, 2, {1, DIM}};
    assert_int_equal(vx_torch_run(module, &in, 1, &out, &err), VX_TORCH_BAD_RESULT);
    assert_non_null(strstr(err.msg, "[1, 65]"));
    assert_non_null(strstr(err.msg, "[1, 64]"));
    assert_float_equal(vector[DIM], 7, 0); /* nothing behind the view was touched */
}

static void run_answering_no_tensor_is_bad_result(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    assert_int_equal(load("answers-tuple", &module, &err), 0);
    VX_AUTO_FREE float *clip = vx_new_array(CLIP_FLOATS, sizeof(float));
    float vector[DIM];
    vx_torch_view in = clips_view(clip, 1), out = {vector, VX_TORCH_F32, 2, {1, DIM}};
    assert_int_equal(vx_torch_run(module, &in, 1, &out, &err), VX_TORCH_BAD_RESULT);
    assert_non_null(strstr(err.msg, "Tuple"));
}

static void run_that_throws_gives_the_reason_in_one_line(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    assert_int_equal(load("throws", &module, &err), 0);
    VX_AUTO_FREE float *clip = vx_new_array(CLIP_FLOATS, sizeof(float));
    float vector[DIM];
    vx_torch_view in = clips_view(clip, 1), out = {vector, VX_TORCH_F32, 2, {1, DIM}};
    assert_int_equal(vx_torch_run(module, &in, 1, &out, &err), VX_TORCH_BAD_RESULT);
    assert_non_null(strstr(err.msg, "shape '[7, -1, 11]' is invalid"));
    assert_null(strchr(err.msg, '\n'));
}

/* hungry asks the allocator for petabytes when it is given more than two clips. */
static void run_without_memory_is_told_from_other_failures(void **state) {
    (void)state;
    enum { N = 3, FLOATS = 8 * 3 * 32 * 32, HUNGRY_DIM = 48 };
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    assert_int_equal(load("hungry", &module, &err), 0);
    VX_AUTO_FREE float *clips = vx_new_array(N * FLOATS, sizeof(float));
    float vectors[N * HUNGRY_DIM];
    for (int n = N; n > 0; n--) {
        vx_torch_view in = {clips, VX_TORCH_F32, 5, {n, 8, 3, 32, 32}};
        vx_torch_view out = {vectors, VX_TORCH_F32, 2, {n, HUNGRY_DIM}};
        int expected = n > 2 ? VX_TORCH_OUT_OF_MEMORY : 0;
        assert_int_equal(vx_torch_run(module, &in, 1, &out, &err), expected);
        if (expected)
            assert_non_null(strstr(err.msg, "allocate memory"));
    }
}

/* What torch writes below an error of CUDA; of some it says more. */
#define CUDA(said)                                                                                 \
    "CUDA error: " said "\nCUDA kernel errors might be asynchronously reported at some other API " \
    "call, so the stacktrace below might be incorrect.\nFor debugging consider passing "           \
    "CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side "             \
    "assertions.\n"

/* The texts are those of CUDA 13.0's cudaGetErrorString and of torch 2.11's C10_CUDA_CHECK, TORCH_CUDABLAS_CHECK and
 * AT_CUDNN_CHECK; the last two of its allocators. */
static void texts_of_failures_tell_a_lost_device_and_want_of_memory(void **state) {
    (void)state;
    static const char *const lost[] = {
        CUDA("CUDA-capable device(s) is/are busy or unavailable"),
        CUDA("no CUDA-capable device is detected"),
        CUDA("uncorrectable ECC error encountered"),
        CUDA("uncorrectable NVLink error detected during the execution"),
        CUDA("Invalid access of peer GPU memory over nvlink or a hardware error"),
        CUDA("an illegal memory access was encountered"),
        CUDA("the launch timed out and was terminated"),
        CUDA("context is destroyed"),
        CUDA("device-side assert triggered"),
        CUDA("hardware stack error"),
        CUDA("an illegal instruction was encountered"),
        CUDA("misaligned address"),
        CUDA("operation not supported on global/shared address space"),
        CUDA("invalid program counter"),
        CUDA("unspecified launch failure"),
        CUDA("initialization error"),
        CUDA("driver shutting down"),
        CUDA("system not yet initialized"),
        CUDA("MPS client failed to connect to the MPS control daemon or the MPS server"),
        CUDA("the remote procedural call between the MPS server and the MPS client failed"),
        CUDA("the MPS client has been terminated by the server"),
        CUDA("unknown error"),
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa)`",
        "CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasLtMatmul( ltHandle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    };
    static const char *const no_memory[] = {
        CUDA("out of memory"),
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB "
        "of which 12 MiB is "
        "free.",
        "[enforce fail at alloc_cpu.cpp:125] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to "
        "allocate 9 bytes. Error code 12 (Cannot allocate memory)",
    };
    static const char *const neither[] = {
        CUDA("invalid argument"),
        CUDA("operation not permitted when stream is capturing"),
        CUDA("no kernel image is available for execution on the device"),
        CUDA("too many resources requested for launch"),
        "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm( handle)`",
        "shape '[7, -1, 11]' is invalid for input of size 24576",
    };
    for (size_t i = 0; i < VX_LEN(lost); i++)
        if (vx_torch_outcome_of(lost[i]) != VX_TORCH_DEVICE_LOST)
            fail_msg("is not taken for a lost device: %s", lost[i]);
    for (size_t i = 0; i < VX_LEN(no_memory); i++)
        if (vx_torch_outcome_of(no_memory[i]) != VX_TORCH_OUT_OF_MEMORY)
            fail_msg("is not taken for want of memory: %s", no_memory[i]);
    for (size_t i = 0; i < VX_LEN(neither); i++)
        if (vx_torch_outcome_of(neither[i]))
            fail_msg("is taken for %d: %s", vx_torch_outcome_of(neither[i]), neither[i]);
}

static void run_with_impossible_views_is_refused(void **state) {
    (void)state;
    vx_err err;
    VX_AUTO(vx_torch_module) module = NULL;
    assert_int_equal(load("tiny", &module, &err), 0);
    float vector[DIM];
    vx_torch_view view = {vector, VX_TORCH_F32, VX_TORCH_MAX_DIMS + 1, {1}};
    assert_int_equal(vx_torch_run(module, &view, 1, &view, &err), VX_TORCH_BAD_RESULT);
    view = (vx_torch_view){vector, (vx_torch_dtype)3, 1, {DIM}};
    assert_int_equal(vx_torch_run(module, &view, 1, &view, &err), VX_TORCH_BAD_RESULT);
    assert_int_equal(vx_torch_run(module, &view, 0, &view, &err), VX_TORCH_BAD_RESULT);
}

static void load_of_what_is_no_archive_names_the_file(void **state) {
    (void)state;
    vx_err err;
    vx_torch_module *module = NULL;
    assert_int_equal(load("no-script", &module, &err), VX_TORCH_BAD_FILE);
    assert_non_null(strstr(err.msg, "no-script/video.pt"));
    assert_int_equal(load("absent", &module, &err), VX_TORCH_BAD_FILE);
    assert_null(module);
}

static void device_that_is_not_there_is_no_device(void **state) {
    (void)state;
    vx_err err;
    vx_torch_module *module = NULL;
    static const char *const wrong[] = {"cuda:63", "cuda:", "cuda:x", "cuda:-1", "gpu", "", "cpu0"};
    for (size_t i = 0; i < VX_LEN(wrong); i++)
        assert_int_equal(vx_torch_load("x", wrong[i], &module, &err), VX_TORCH_NO_DEVICE);
    int64_t free_bytes, total_bytes;
    assert_int_equal(vx_torch_memory("cuda:63", &free_bytes, &total_bytes, &err),
                     VX_TORCH_NO_DEVICE);
    assert_null(module);
    assert_true(vx_torch_cuda_count() >= 0);
}

static void version_reads_like_one(void **state) {
    (void)state;
    int major, minor;
    assert_int_equal(sscanf(vx_torch_version(), "%d.%d.", &major, &minor), 2);
    assert_true(major >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(run_on_two_clips_gives_what_each_alone_gives),
        cmocka_unit_test(run_into_another_dtype_converts),
        cmocka_unit_test(run_answering_another_shape_names_both),
        cmocka_unit_test(run_answering_no_tensor_is_bad_result),
        cmocka_unit_test(run_that_throws_gives_the_reason_in_one_line),
        cmocka_unit_test(run_without_memory_is_told_from_other_failures),
        cmocka_unit_test(texts_of_failures_tell_a_lost_device_and_want_of_memory),
        cmocka_unit_test(run_with_impossible_views_is_refused),
        cmocka_unit_test(load_of_what_is_no_archive_names_the_file),
        cmocka_unit_test(device_that_is_not_there_is_no_device),
        cmocka_unit_test(version_reads_like_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
