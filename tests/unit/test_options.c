/* Settings: four places, the later wins; a wrong one is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cli/options.h"

typedef struct settings {
    const char *data_dir, *folders;
    int64_t threads, limit;
    double seconds;
    bool off;
} settings;

static const vx_option table[] = {
    {"data-dir", VX_OPTION_TEXT, offsetof(settings, data_dir), "here", "DIR", "where"},
    {"threads", VX_OPTION_COUNT, offsetof(settings, threads), NULL, "N", "how many"},
    {"limit", VX_OPTION_BYTES, offsetof(settings, limit), "1k", "BYTES", "how much"},
    {"seconds", VX_OPTION_REAL, offsetof(settings, seconds), "1.5", "S", "how long"},
    {"folder", VX_OPTION_LINES, offsetof(settings, folders), NULL, "DIR", "which"},
    {"off", VX_OPTION_FLAG, offsetof(settings, off), NULL, NULL, "whether"},
};

static int parse(settings *s, vx_err *err, const char *a, const char *b) {
    char *argv[] = {"cmd", (char *)a, (char *)b, NULL};
    *s = (settings){0};
    return vx_options_parse("usage", table, VX_LEN(table), 1 + !!a + !!b, argv, s, err);
}

static void words_without_an_option_are_operands_where_these_are_taken(void **state) {
    (void)state;
    char *argv[] = {"cmd", "a", "--threads", "3", "b", "--", "--off", NULL};
    settings s = {0};
    vx_err err;
    int first;
    assert_int_equal(vx_options_parse("usage", table, VX_LEN(table), 7, argv, &s, &err),
                     VX_OPTION_WRONG);
    assert_int_equal(
        vx_options_parse_operands("usage", table, VX_LEN(table), 7, argv, &s, &first, &err), 0);
    assert_true(s.threads == 3 && !s.off && first == 4);
    assert_string_equal(argv[4], "a");
    assert_string_equal(argv[6], "--off");
}

static const char *config_file(const char *text) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/vidx-options-%d.json", (int)getpid());
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    return path;
}

static int clean_up(void **state) {
    (void)state;
    unsetenv("VIDX_DATA_DIR");
    unsetenv("VIDX_CONFIG");
    remove(config_file(""));
    return 0;
}

static void settings_without_anything_are_the_defaults(void **state) {
    (void)state;
    settings s;
    assert_int_equal(parse(&s, NULL, NULL, NULL), 0);
    assert_string_equal(s.data_dir, "here");
    assert_int_equal(s.limit, 1024);
    assert_float_equal(s.seconds, 1.5, 0);
    assert_false(s.off);
}

static void settings_in_several_places_the_later_wins(void **state) {
    (void)state;
    settings s;
    setenv("VIDX_CONFIG", config_file("{\"data-dir\": \"file\", \"threads\": 3, \"off\": true}"),
           1);
    assert_int_equal(parse(&s, NULL, NULL, NULL), 0);
    assert_string_equal(s.data_dir, "file");
    assert_int_equal(s.threads, 3);
    assert_true(s.off);
    setenv("VIDX_DATA_DIR", "environment", 1);
    assert_int_equal(parse(&s, NULL, NULL, NULL), 0);
    assert_string_equal(s.data_dir, "environment");
    assert_int_equal(parse(&s, NULL, "--data-dir", "flag"), 0);
    assert_string_equal(s.data_dir, "flag");
}

static void sizes_with_units_are_powers_of_1024(void **state) {
    (void)state;
    settings s;
    assert_int_equal(parse(&s, NULL, "--limit=3G", NULL), 0);
    assert_true(s.limit == 3LL << 30);
    vx_err err = {0};
    assert_int_equal(parse(&s, &err, "--limit=99999999t", NULL), VX_OPTION_WRONG);
    assert_int_equal(parse(&s, &err, "--limit=5x", NULL), VX_OPTION_WRONG);
}

static void wrong_settings_are_named_with_their_place(void **state) {
    (void)state;
    settings s;
    vx_err err = {0};
    assert_int_equal(parse(&s, &err, "--thread", "two"), VX_OPTION_WRONG);
    assert_non_null(strstr(err.msg, "--threads must be a whole number from 0, not 'two'"));
    assert_int_equal(parse(&s, &err, "--seconds", "nan"), VX_OPTION_WRONG);
    assert_int_equal(parse(&s, &err, "--nonsense", NULL), VX_OPTION_WRONG);
    assert_non_null(strstr(err.msg, "--nonsense"));
    assert_int_equal(parse(&s, &err, "stray", NULL), VX_OPTION_WRONG);
    assert_non_null(strstr(err.msg, "'stray'"));
    setenv("VIDX_CONFIG", config_file("{\"dada-dir\": \"x\"}"), 1);
    assert_int_equal(parse(&s, &err, NULL, NULL), VX_OPTION_WRONG);
    assert_non_null(strstr(err.msg, "key dada-dir of"));
    setenv("VIDX_CONFIG", config_file("{\"threads\": "), 1);
    assert_int_equal(parse(&s, &err, NULL, NULL), VX_OPTION_WRONG);
    assert_non_null(strstr(err.msg, "not a JSON object"));
}

static void help_lists_every_setting_and_is_reported(void **state) {
    (void)state;
    settings s;
    char text[4096] = "";
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int terminal = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    int r = parse(&s, NULL, "--help", NULL);
    fflush(stdout);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
    rewind(file);
    assert_in_range(fread(text, 1, sizeof text - 1, file), 1, sizeof text - 1);
    fclose(file);
    assert_int_equal(r, VX_OPTION_HELP);
    for (size_t i = 0; i < VX_LEN(table); i++)
        assert_non_null(strstr(text, table[i].name));
    assert_non_null(strstr(text, "(default 1.5)"));
}

static void setting_given_several_times_has_all_of_the_last_place(void **state) {
    (void)state;
    settings s;
    char folders[] = "--folder=a", more[] = "--folder=b=c";
    assert_int_equal(parse(&s, NULL, folders, more), 0);
    assert_string_equal(s.folders, "a\nb=c");
    setenv("VIDX_CONFIG", config_file("{\"folder\": [\"x\", \"y\"]}"), 1);
    assert_int_equal(parse(&s, NULL, NULL, NULL), 0);
    assert_string_equal(s.folders, "x\ny");
    assert_int_equal(parse(&s, NULL, folders, NULL), 0);
    assert_string_equal(s.folders, "a");
    setenv("VIDX_CONFIG", config_file("{\"folder\": [\"x\", 1]}"), 1);
    vx_err err;
    assert_int_equal(parse(&s, &err, NULL, NULL), VX_OPTION_WRONG);
    assert_non_null(strstr(err.msg, "folder"));
    setenv("VIDX_CONFIG", config_file("{\"threads\": [1]}"), 1);
    assert_int_equal(parse(&s, &err, NULL, NULL), VX_OPTION_WRONG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_without_an_option_are_operands_where_these_are_taken),
        cmocka_unit_test_teardown(settings_without_anything_are_the_defaults, clean_up),
        cmocka_unit_test_teardown(settings_in_several_places_the_later_wins, clean_up),
        cmocka_unit_test_teardown(sizes_with_units_are_powers_of_1024, clean_up),
        cmocka_unit_test_teardown(setting_given_several_times_has_all_of_the_last_place, clean_up),
        cmocka_unit_test_teardown(wrong_settings_are_named_with_their_place, clean_up),
        cmocka_unit_test_teardown(help_lists_every_setting_and_is_reported, clean_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
