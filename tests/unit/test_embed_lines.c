/* A model on several devices: towers on the CPU stand for cards, and a module that fails in CUDA's words for one that
 * falls away. Packages come from tests/testmodel/make.py, in $VX_TEST_MODELS. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "embed/embed.h"
#include "package_fixture.h"

enum { T = 4, SIZE = 64, DIM = 64, CLIP_FLOATS = T * 3 * SIZE * SIZE };

static void lists_of_devices_are_read_or_refused_with_a_reason(void **state) {
    (void)state;
    vx_devices devices;
    vx_err err;
    assert_int_equal(vx_devices_parse("cuda:1,cuda:0,cuda:11", 0, &devices, &err), 0);
    assert_int_equal(devices.n, 3);
    assert_string_equal(devices.names[0], "cuda:1");
    assert_string_equal(devices.names[2], "cuda:11");
    assert_int_equal(vx_devices_parse("all", 2, &devices, &err), 0);
    assert_int_equal(devices.n, 2);
    assert_string_equal(devices.names[1], "cuda:1");
    assert_int_equal(vx_devices_parse("auto", 2, &devices, &err), 0);
    assert_int_equal(devices.n, 1);
    static const struct {
        const char *text, *reason;
    } wrong[] = {{"all", "there is no GPU here"},
                 {"cuda:0,cuda:0", "cuda:0 is named twice"},
                 {"cuda:0,cpu", "'cpu' is not"},
                 {"cpu,cpu", "'cpu' is not"},
                 {"cuda:0,", "'' is not"},
                 {",cuda:0", "'' is not"},
                 {"cuda:00", "'cuda:00' is not"},
                 {"cuda:-1", "'cuda:-1' is not"},
                 {"cuda:12345678901", "'cuda:12345678901' is not"},
                 {"", "'' is not"},
                 {"cuda:0,cuda:1,cuda:2,cuda:3,cuda:4,cuda:5,cuda:6,cuda:7,cuda:8,cuda:9,cuda:10,"
                  "cuda:11,cuda:12,cuda:13,cuda:14,cuda:15,cuda:16",
                  "more than 16"}};
    for (size_t i = 0; i < VX_LEN(wrong); i++) {
        assert_int_equal(vx_devices_parse(wrong[i].text, 0, &devices, &err), VX_EMBED_NO_DEVICE);
        assert_non_null(strstr(err.msg, wrong[i].reason));
    }
}

/* Two towers on the CPU stand for two cards. */
static vx_embedder *open_lines(const char *name, int n) {
    vx_embedder *e = NULL;
    vx_err err;
    const vx_embedder_params params = {.models_dir = models(),
                                       .name = name,
                                       .device = "cpu",
                                       .threads = 1,
                                       .max_batch = 2,
                                       .cpu_lines = n};
    assert_int_equal(vx_embedder_open(&params, &e, &err), 0);
    return e;
}

static void two_towers_share_the_clips_and_give_what_one_gives(void **state) {
    (void)state;
    enum { N = 24 };
    VX_AUTO(vx_embedder) two = open_lines("slow", 2);
    VX_AUTO(vx_embedder) one = open_lines("tiny", 1);
    VX_AUTO_FREE float *clips = vx_new_array(N * CLIP_FLOATS, sizeof(float));
    VX_AUTO_FREE float *alone = vx_new_array(N * DIM, sizeof(float));
    VX_AUTO_FREE float *shared = vx_new_array(N * DIM, sizeof(float));
    for (int i = 0; i < N * CLIP_FLOATS; i++)
        clips[i] = (float)((i * 7 + i / 97) % 255) / 127.0f - 1.0f;
    assert_int_equal(vx_embedder_run(two, clips, N, shared, NULL), 0);
    assert_int_equal(vx_embedder_run(one, clips, N, alone, NULL), 0);
    for (int i = 0; i < N * DIM; i++)
        assert_float_equal(alone[i], shared[i], 1e-5);
    vx_embedder_stats stats;
    vx_embedder_get_stats(two, &stats);
    assert_int_equal(stats.n_lines, 2);
    assert_string_equal(stats.lines[1].device, "cpu");
    assert_int_equal(stats.lines[0].clips + stats.lines[1].clips, N);
    assert_true(stats.lines[0].clips > 0 && stats.lines[1].clips > 0);
}

static void device_that_was_lost_is_loaded_again(void **state) {
    (void)state;
    enum { FLOATS = 8 * 3 * 32 * 32, NUMBERS = 48 };
    VX_AUTO(vx_embedder) e = open_lines("fragile", 1);
    VX_AUTO_FREE float *clip = vx_new_array(FLOATS, sizeof(float));
    float before[NUMBERS], after[NUMBERS];
    vx_err err;
    vx_embedder_stats stats;
    for (int i = 0; i < FLOATS; i++)
        clip[i] = (float)(i % 7) / 7;
    assert_int_equal(vx_embedder_run(e, clip, 1, before, &err), 0);
    for (int i = 0; i < FLOATS; i++)
        clip[i] -= 9; /* dark */
    assert_int_equal(vx_embedder_run(e, clip, 1, after, &err), -EHOSTDOWN);
    assert_non_null(strstr(err.msg, "cpu was lost"));
    assert_non_null(strstr(err.msg, "unspecified launch failure"));
    for (int i = 0; i < FLOATS; i++)
        clip[i] = (float)(i % 7) / 7;
    int rc = -EHOSTDOWN;
    for (int ms = 0; rc == -EHOSTDOWN && ms < 180000; ms += 10) {
        rc = vx_embedder_run(e, clip, 1, after, &err);
        usleep(10000);
    }
    assert_int_equal(rc, 0);
    assert_memory_equal(before, after, sizeof before);
    vx_embedder_get_stats(e, &stats);
    assert_false(stats.lines[0].lost);
    assert_non_null(
        strstr(stats.lines[0].why, "unspecified launch failure")); /* stays to be read */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_devices_are_read_or_refused_with_a_reason),
        cmocka_unit_test(two_towers_share_the_clips_and_give_what_one_gives),
        cmocka_unit_test(device_that_was_lost_is_loaded_again),
    };
    return cmocka_run_group_tests_name("embed_lines", tests, NULL, NULL);
}
