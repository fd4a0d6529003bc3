/* A file appears under its name whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/whole_file.h"

static char folder[64], path[96];

static int set_up(void **state) {
    (void)state;
    strcpy(folder, "/tmp/vidx-whole-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/list.csv", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails if anything else is left */
}

static int n_files(void) {
    int n = 0;
    DIR *files = opendir(folder);
    for (struct dirent *entry; (entry = readdir(files));)
        n += entry->d_name[0] != '.';
    closedir(files);
    return n;
}

static const char *content(void) {
    static char text[16];
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[n] = 0;
    if (file)
        fclose(file);
    return text;
}

static int write_text(const char *text, int result, vx_err *err) {
    vx_whole_file file;
    assert_int_equal(vx_whole_file_open(&file, path, err), 0);
    fputs(text, file.stream);
    return vx_whole_file_end(&file, result, err);
}

static void whole_file_that_ended_well_has_its_name_and_is_readable(void **state) {
    (void)state;
    vx_err err = {0};
    struct stat facts;
    assert_int_equal(write_text("one", 0, &err), 0);
    assert_string_equal(content(), "one");
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0644);
    assert_int_equal(n_files(), 1);
}

static void whole_file_that_failed_leaves_what_was_there(void **state) {
    (void)state;
    vx_err err = {0};
    assert_int_equal(write_text("one", 0, &err), 0);
    assert_int_equal(write_text("two", -EIO, &err), -EIO);
    assert_string_equal(content(), "one");
    assert_int_equal(n_files(), 1);
}

static void whole_file_has_no_name_before_its_end(void **state) {
    (void)state;
    vx_err err = {0};
    vx_whole_file file;
    assert_int_equal(vx_whole_file_open(&file, path, &err), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(vx_whole_file_end(&file, 0, &err), 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void whole_file_in_the_working_folder_needs_no_slash(void **state) {
    (void)state;
    vx_err err = {0};
    vx_whole_file file;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(vx_whole_file_open(&file, "list.csv", &err), 0);
    assert_int_equal(vx_whole_file_end(&file, 0, &err), 0);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(access(path, F_OK), 0);
}

static void whole_file_in_a_folder_that_is_not_there_says_so(void **state) {
    (void)state;
    vx_err err = {0};
    vx_whole_file file;
    assert_int_equal(vx_whole_file_open(&file, "/nowhere/list.csv", &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/nowhere/list.csv"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_file_that_ended_well_has_its_name_and_is_readable,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(whole_file_that_failed_leaves_what_was_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(whole_file_has_no_name_before_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whole_file_in_the_working_folder_needs_no_slash, set_up,
                                        tear_down),
        cmocka_unit_test(whole_file_in_a_folder_that_is_not_there_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
