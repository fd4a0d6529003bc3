/* Where model packages are looked for, and in which order. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "cli/models_folder.h"

static char root[32], program[64], home[64];

static void make_file(const char *relative) {
    char command[512];
    snprintf(command, sizeof command, "f='%.31s/%.128s' && mkdir -p \"${f%%/*}\" && touch \"$f\"",
             root, relative);
    assert_int_equal(system(command), 0);
}

static int setup(void **state) {
    (void)state;
    strcpy(root, "/tmp/vidx-models-XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(program, sizeof program, "%s/build/release", root);
    snprintf(home, sizeof home, "%s/home", root);
    make_file("build/release/vidx");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void check(const char *wanted) {
    char path[PATH_MAX], full[256];
    vx_err err = {0};
    assert_int_equal(vx_models_folder_search(program, home, path, &err), 0);
    snprintf(full, sizeof full, "%s/%s", root, wanted);
    assert_string_equal(path, full);
}

/* Made from the last place to the first: each wins over those before. */
static void first_place_with_a_package_wins(void **state) {
    (void)state;
    static const char *const places[] = {"home/.local/share/vidx/models", "models", "build/models",
                                         "build/release/models"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char manifest[128];
        snprintf(manifest, sizeof manifest, "%s/some-model/manifest.json", places[i]);
        make_file(manifest);
        check(places[i]);
    }
}

static void folder_without_a_package_is_passed_over(void **state) {
    (void)state;
    make_file("build/release/models/some-model/export.py");
    make_file("build/models/manifest.json");
    make_file("models/some-model/manifest.json");
    check("models");
}

static void given_folder_is_used_as_it_is(void **state) {
    (void)state;
    char path[PATH_MAX];
    vx_err err = {0};
    make_file("build/release/models/some-model/manifest.json");
    assert_int_equal(vx_models_folder_find("not/there", path, &err), 0);
    assert_string_equal(path, "not/there");
}

static void no_package_anywhere_says_how_to_get_one(void **state) {
    (void)state;
    char path[PATH_MAX];
    vx_err err = {0};
    struct stat info;
    if (!stat("/usr/share/vidx/models", &info))
        skip();
    assert_int_equal(vx_models_folder_search(program, NULL, path, &err), VX_MODELS_FOLDER_NONE);
    assert_non_null(strstr(err.msg, "/usr/share/vidx/models"));
    assert_non_null(strstr(err.msg, "get one with: ./dev model efficientnet-lite0"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_place_with_a_package_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_without_a_package_is_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(given_folder_is_used_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(no_package_anywhere_says_how_to_get_one, setup, teardown),
    };
    return cmocka_run_group_tests_name("models_folder", tests, NULL, NULL);
}
