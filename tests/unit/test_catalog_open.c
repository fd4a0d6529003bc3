/* Opening: migrations from every version, and the files that are refused. */
#include <errno.h>
#include <sys/wait.h>

#include "catalog_fixture.h"

/* ---- Migrations ---- */

static void raw_open(fixture *f, vx_db *db, char path[128]) {
    snprintf(path, 128, "%s.2", f->path);
    OK(vx_db_open(db, path, VX_DB_WRITER, &oops));
}

static void raw_close(vx_db *db, const char *path) {
    vx_db_close(db);
    unlink(path);
}

static int64_t ask(vx_db *db, const char *sql) {
    sqlite3_stmt *stmt;
    assert_int_equal(sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return value;
}

static void catalog_of_every_older_version_is_brought_up_with_its_rows(void **state) {
    const char *steps[] = {
        vx_catalog_migrations[0],
        "ALTER TABLE spaces ADD COLUMN colour TEXT NOT NULL DEFAULT 'red';",
        "CREATE TABLE extra (n INTEGER); INSERT INTO extra SELECT count(*) FROM spaces;",
    };
    const int n = (int)VX_LEN(steps);
    for (int from = 0; from <= n; from++) {
        vx_db db;
        char path[128];
        raw_open(*state, &db, path);
        OK(vx_catalog_migrate(&db, steps, from, &oops));
        assert_int_equal(ask(&db, "PRAGMA user_version"), from);
        if (from > 0)
            sqlite3_exec(db.handle, "INSERT INTO spaces (model, digest, dim) VALUES ('m', 'd', 3)",
                         NULL, NULL, NULL);
        OK(vx_catalog_migrate(&db, steps, n, &oops));
        assert_int_equal(ask(&db, "PRAGMA user_version"), n);
        assert_int_equal(ask(&db, "SELECT count(*) FROM spaces WHERE colour = 'red'"), from > 0);
        assert_int_equal(ask(&db, "SELECT n FROM extra"), from > 0 && from < n);
        raw_close(&db, path);
    }
}

static void vectors_stored_before_they_were_counted_are_counted(void **state) {
    vx_db db;
    char path[128];
    raw_open(*state, &db, path);
    OK(vx_catalog_migrate(&db, vx_catalog_migrations, 1, &oops));
    assert_int_equal(sqlite3_exec(db.handle,
                                  "INSERT INTO spaces (model, digest, dim) VALUES ('m', 'd', 3),"
                                  " ('m', 'e', 3), ('n', 'd', 3);"
                                  "INSERT INTO vectors VALUES (1 << 40 | 1, x'00'),"
                                  " (1 << 40 | 2, x'00'), (3 << 40, x'00')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    OK(vx_catalog_migrate(&db, vx_catalog_migrations, vx_catalog_n_migrations, &oops));
    assert_int_equal(ask(&db, "SELECT vectors FROM spaces WHERE row = 1"), 2);
    assert_int_equal(ask(&db, "SELECT vectors FROM spaces WHERE row = 2"), 0);
    assert_int_equal(ask(&db, "SELECT vectors FROM spaces WHERE row = 3"), 1);
    raw_close(&db, path);
}

static void migration_that_fails_leaves_the_version_before_it(void **state) {
    const char *steps[] = {vx_catalog_migrations[0],
                           "CREATE TABLE half (n INTEGER); CREATE TABLE half (n INTEGER);"};
    vx_db db;
    char path[128];
    raw_open(*state, &db, path);
    vx_err err;
    assert_int_equal(vx_catalog_migrate(&db, steps, 2, &err), -EIO);
    assert_string_equal(err.msg, "catalog: migration 0002: table half already exists");
    assert_int_equal(ask(&db, "PRAGMA user_version"), 1);
    assert_int_equal(ask(&db, "SELECT count(*) FROM sqlite_master WHERE name = 'half'"), 0);
    raw_close(&db, path);
}

static void catalog_has_the_settings_that_durability_rests_on(void **state) {
    fixture *f = *state;
    vx_db *w = &f->catalog->writer;
    assert_int_equal(ask(w, "SELECT journal_mode = 'wal' FROM pragma_journal_mode"), 1);
    assert_int_equal(ask(w, "PRAGMA synchronous"), 2);
    assert_int_equal(ask(w, "PRAGMA foreign_keys"), 1);
    assert_int_equal(ask(w, "PRAGMA page_size"), 16384);
    assert_int_equal(ask(w, "PRAGMA user_version"), vx_catalog_n_migrations);
    assert_int_equal(ask(&f->catalog->readers[0], "PRAGMA query_only"), 1);
}

/* ---- Refused files ---- */

static void assert_refused(const char *path, int code, const char *part_of_message) {
    vx_catalog *catalog = NULL;
    vx_err err = {0};
    assert_int_equal(vx_catalog_open(path, 0, &catalog, &err), code);
    assert_null(catalog);
    if (!strstr(err.msg, part_of_message))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, part_of_message);
}

static void write_file(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    fclose(file);
}

static size_t read_file(const char *path, uint8_t *data, size_t capacity) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(data, 1, capacity, file);
    fclose(file);
    return n;
}

static void catalog_of_a_newer_vidx_is_refused(void **state) {
    fixture *f = *state;
    f->catalog = vx_catalog_close(f->catalog);
    char says[64], back[64];
    snprintf(says, sizeof says, "newer vidx (schema 99, this one knows %d)",
             vx_catalog_n_migrations);
    snprintf(back, sizeof back, "PRAGMA user_version = %d", vx_catalog_n_migrations);
    raw_exec(f->path, "PRAGMA user_version = 99");
    assert_refused(f->path, VX_CATALOG_TOO_NEW, says);
    raw_exec(f->path, back);
    fixture_open(f);
}

static void database_of_another_program_is_refused_and_not_touched(void **state) {
    fixture *f = *state;
    f->catalog = vx_catalog_close(f->catalog);
    unlink(f->path);
    raw_exec(f->path, "CREATE TABLE theirs (n INTEGER); PRAGMA user_version = 1");
    static uint8_t before[65536], after[65536];
    size_t n = read_file(f->path, before, sizeof before);
    assert_refused(f->path, -EINVAL, "not one of vidx");
    assert_int_equal(read_file(f->path, after, sizeof after), n);
    assert_memory_equal(before, after, n);
}

static void file_that_is_no_database_is_refused_with_advice(void **state) {
    fixture *f = *state;
    f->catalog = vx_catalog_close(f->catalog);
    char text[4096];
    memset(text, 'x', sizeof text);
    write_file(f->path, text, sizeof text);
    assert_refused(f->path, -EIO, "restore a backup");
}

static void catalog_with_a_damaged_schema_is_refused_with_advice(void **state) {
    fixture *f = *state;
    f->catalog = vx_catalog_close(f->catalog);
    static uint8_t data[1 << 20];
    size_t n = read_file(f->path, data, sizeof data);
    memset(data + 100, 0xEE, 16384 - 100); /* the rest of the first page, after its header */
    write_file(f->path, data, n);
    assert_refused(f->path, -EIO, "restore a backup");
}

static void directory_that_is_missing_is_named(void **state) {
    (void)state;
    assert_refused("/nonexistent/dir/catalog.db", -ENOENT, "/nonexistent/dir/catalog.db");
}

/* ---- One process ---- */

static void catalog_open_twice_is_refused_and_names_the_process(void **state) {
    fixture *f = *state;
    char expected[64];
    snprintf(expected, sizeof expected, "another vidx (process %d) uses this data", (int)getpid());
    assert_refused(f->path, -EBUSY, expected);
    pid_t child = fork();
    if (child == 0) {
        vx_catalog *catalog;
        _exit(vx_catalog_open(f->path, 0, &catalog, NULL) == -EBUSY ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    vx_video_free(add_video(f, 1, 1)); /* the refused attempts have not hurt the first */
    fixture_reopen(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(catalog_of_every_older_version_is_brought_up_with_its_rows),
        TEST(vectors_stored_before_they_were_counted_are_counted),
        TEST(migration_that_fails_leaves_the_version_before_it),
        TEST(catalog_has_the_settings_that_durability_rests_on),
        TEST(catalog_of_a_newer_vidx_is_refused),
        TEST(database_of_another_program_is_refused_and_not_touched),
        TEST(file_that_is_no_database_is_refused_with_advice),
        TEST(catalog_with_a_damaged_schema_is_refused_with_advice),
        TEST(directory_that_is_missing_is_named),
        TEST(catalog_open_twice_is_refused_and_names_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
