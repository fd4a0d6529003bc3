/* migrate.c — brings a catalog file to this version's schema. */
#include <errno.h>
#include <string.h>

#include "catalog_internal.h"

#define APPLICATION_ID 0x76696478 /* "vidx", as 0001.sql writes it */

static int read_header(vx_db *db, int64_t *ret_version, int64_t *ret_application,
                       int64_t *ret_tables, vx_err *err) {
    VX_SQL(q, db,
           "SELECT (SELECT user_version FROM pragma_user_version),"
           " (SELECT application_id FROM pragma_application_id),"
           " (SELECT count(*) FROM sqlite_master)");
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_version = vx_sql_int(&q);
    *ret_application = vx_sql_int(&q);
    *ret_tables = vx_sql_int(&q);
    return 0;
}

/* The pragma answers with the mode it got: a file system without shared memory keeps another. */
static int switch_to_wal(vx_db *db, vx_err *err) {
    VX_SQL(q, db, "PRAGMA journal_mode = WAL");
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    char mode[16];
    vx_sql_text_into(&q, mode, sizeof mode);
    if (strcmp(mode, "wal"))
        return VX_FAIL(err, -ENOTSUP, "this file system cannot hold a catalog in WAL mode");
    return 0;
}

static int apply(vx_db *db, const char *sql, int number, vx_err *err) {
    char set_version[48];
    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", number);
    const char *const steps[] = {"BEGIN IMMEDIATE", sql, set_version, "COMMIT"};
    for (int i = 0; i < 4; i++) {
        if (sqlite3_exec(db->handle, steps[i], NULL, NULL, NULL) == SQLITE_OK)
            continue;
        int rc =
            VX_FAIL(err, -EIO, "catalog: migration %04d: %s", number, sqlite3_errmsg(db->handle));
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
        return rc;
    }
    return 0;
}

static int check_application(int64_t version, int64_t application, int64_t tables, int n,
                             vx_err *err) {
    if ((tables > 0 || version > 0) && application != APPLICATION_ID)
        return VX_FAIL(err, -EINVAL, "an SQLite database, but not one of vidx");
    if (version > n)
        return VX_FAIL(err, VX_CATALOG_TOO_NEW,
                       "written by a newer vidx (schema %lld, this one knows %d): upgrade vidx",
                       (long long)version, n);
    return 0;
}

int vx_catalog_check_version(vx_db *db, int n, vx_err *err) {
    int64_t version, application, tables;
    int rc = read_header(db, &version, &application, &tables, err);
    if (!rc)
        rc = check_application(version, application, tables, n, err);
    if (!rc && version < n)
        rc = VX_FAIL(err, -EINVAL, "written by an older vidx (schema %lld, this one needs %d)",
                     (long long)version, n);
    return rc;
}

int vx_catalog_migrate(vx_db *db, const char *const *migrations, int n, vx_err *err) {
    int64_t version, application, tables;
    int rc = read_header(db, &version, &application, &tables, err);
    if (!rc)
        rc = check_application(version, application, tables, n, err);
    if (rc)
        return rc;
    rc = switch_to_wal(db, err); /* not before: it changes the file */
    for (int i = (int)version; i < n && !rc; i++)
        rc = apply(db, migrations[i], i + 1, err);
    return rc;
}
