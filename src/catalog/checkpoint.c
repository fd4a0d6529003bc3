/* checkpoint.c — folding the log into the file while nobody writes.
 *
 * By itself SQLite does so in the commit that fills the log, which then takes longer, and never for the
 * last commits before a pause. An idle server with an empty log starts faster after a crash, and its one
 * file is all that a backup needs. */
#include <errno.h>

#include "base/clock.h"
#include "catalog_internal.h"

static int truncate_log(vx_db *db, bool *ret_busy, vx_err *err) {
    sqlite3_busy_timeout(db->handle, 0);
    VX_SQL(q, db, "PRAGMA wal_checkpoint(TRUNCATE)");
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_busy = vx_sql_int(&q) != 0;
    return 0;
}

int vx_catalog_checkpoint_when_idle(vx_catalog *catalog, int64_t idle_us, vx_err *err) {
    long long last_us = atomic_load(&catalog->last_commit_us);
    if (!last_us || vx_clock_monotonic_us() - last_us < idle_us)
        return 0;
    vx_db db;
    bool busy = true;
    int rc = vx_db_open(&db, catalog->path, VX_DB_SCANNER, err);
    db.health = &catalog->health;
    if (!rc)
        rc = truncate_log(&db, &busy, err);
    vx_db_close(&db);
    if (rc == -EBUSY) /* a writer came */
        return 0;
    if (!rc && !busy) /* unless a commit came meanwhile */
        atomic_compare_exchange_strong(&catalog->last_commit_us, &last_us, 0);
    return rc;
}
