/* copy.c — a copy of the whole catalog, by SQLite's online backup in one step: one read transaction, which
 * hinders no writer. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "catalog_internal.h"

/* A log of an earlier copy would be taken for that of this one. */
static void remove_copy(const char *path) {
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    char name[4200];
    for (size_t i = 0; i < VX_LEN(suffixes); i++) {
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        unlink(name);
    }
}

static int copy_pages(vx_db *from, sqlite3 *to, vx_err *err) {
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from->handle, "main");
    if (!backup)
        return VX_FAIL(err, -EIO, "catalog: copying: %s", sqlite3_errmsg(to));
    int step = sqlite3_backup_step(backup, -1), end = sqlite3_backup_finish(backup);
    if (step == SQLITE_DONE && end == SQLITE_OK)
        return 0;
    int code = end == SQLITE_FULL ? -ENOSPC : end == SQLITE_NOMEM ? -ENOMEM : -EIO;
    return VX_FAIL(err, code, "catalog: copying: %s",
                   sqlite3_errstr(step == SQLITE_DONE ? end : step));
}

int vx_catalog_copy(vx_catalog *catalog, const char *path, vx_err *err) {
    vx_db from;
    sqlite3 *to = NULL;
    remove_copy(path);
    int rc = vx_db_open(&from, catalog->path, VX_DB_SCANNER, err);
    if (!rc && sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL))
        rc = VX_FAIL(err, -EIO, "catalog: creating %s: %s", path, sqlite3_errmsg(to));
    if (!rc)
        rc = copy_pages(&from, to, err);
    sqlite3_close(to);
    vx_db_close(&from);
    return rc;
}
