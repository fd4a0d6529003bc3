/* `--model auto` as a function of what is there: the table of its header, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "models/model_choice.h"

enum { C336, C448, C224, IV2, LITE };

#define GPU                                                                                        \
    { .present = true, .on_gpu = true }
#define CPU                                                                                        \
    { .present = true }
#define STORED_CPU                                                                                 \
    { .present = true, .stored = true }
#define STORED_GPU                                                                                 \
    { .present = true, .on_gpu = true, .stored = true }

/* expected: names in order, separated by spaces; "" = none. */
static void expect(const vx_model_candidate *candidates, const char *expected) {
    size_t order[VX_MODEL_RANKS];
    char found[256] = "";
    size_t n = vx_model_order(candidates, order);
    for (size_t i = 0; i < n; i++) {
        strcat(found, i ? " " : "");
        strcat(found, vx_model_ranks[order[i]].name);
    }
    assert_string_equal(found, expected);
}

#define EXPECT(expected, ...) expect((vx_model_candidate[VX_MODEL_RANKS]){__VA_ARGS__}, expected)

static void gpu_with_room_takes_the_best_package_that_is_there(void **state) {
    (void)state;
    EXPECT("cosmos-embed1-336p cosmos-embed1-448p cosmos-embed1-224p internvideo2-1b "
           "efficientnet-lite0",
           [C336] = GPU, [C448] = GPU, [C224] = GPU, [IV2] = GPU, [LITE] = GPU);
    EXPECT("cosmos-embed1-448p efficientnet-lite0", [C448] = GPU, [LITE] = GPU);
    EXPECT("internvideo2-1b efficientnet-lite0", [IV2] = GPU, [LITE] = GPU);
}

static void gpu_too_small_for_the_best_takes_the_next(void **state) {
    (void)state;
    /* 336p found no room, so its package chose the CPU */
    EXPECT("cosmos-embed1-224p efficientnet-lite0", [C336] = CPU, [C224] = GPU, [LITE] = GPU);
}

static void cpu_takes_the_model_made_for_it(void **state) {
    (void)state;
    EXPECT("efficientnet-lite0", [C336] = CPU, [C224] = CPU, [IV2] = CPU, [LITE] = CPU);
    EXPECT("", [C336] = CPU);
}

static void nothing_there_gives_none(void **state) {
    (void)state;
    EXPECT("", [LITE] = {.stored = true}); /* its vectors are there, its package is not */
}

static void collection_stays_with_its_model(void **state) {
    (void)state;
    EXPECT("efficientnet-lite0 cosmos-embed1-336p", [C336] = GPU, [LITE] = STORED_GPU);
    EXPECT("cosmos-embed1-224p cosmos-embed1-336p", [C336] = GPU, [C224] = STORED_GPU);
    EXPECT("cosmos-embed1-336p efficientnet-lite0", [C336] = STORED_CPU, [LITE] = CPU);
    EXPECT("cosmos-embed1-336p efficientnet-lite0", [C336] = STORED_GPU, [LITE] = STORED_GPU);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpu_with_room_takes_the_best_package_that_is_there),
        cmocka_unit_test(gpu_too_small_for_the_best_takes_the_next),
        cmocka_unit_test(cpu_takes_the_model_made_for_it),
        cmocka_unit_test(nothing_there_gives_none),
        cmocka_unit_test(collection_stays_with_its_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
