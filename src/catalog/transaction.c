/* transaction.c — the one write transaction, and its savepoints.
 *
 * The thread that holds it is remembered per thread: its reads go to the writer's connection
 * (readers.c), so that it sees what it has written. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "catalog_internal.h"

/* The catalog this thread has a write transaction of: its reads go to the writer's connection. */
static _Thread_local const vx_catalog *writing;

/* ---- who hears of changed videos ---- */

void vx_catalog_note_changed(vx_catalog *catalog, int64_t row) {
    if (!catalog->on_changed ||
        (catalog->n_changed && catalog->changed[catalog->n_changed - 1] == row))
        return;
    if (vx_make_room(catalog->changed, catalog->n_changed, catalog->changed_capacity))
        catalog->changed[catalog->n_changed++] = row;
    else
        catalog->changed_lost = true;
}

/* SQLite tells of every row that a statement touches, however many it touches at once. */
static void note_change(void *ctx, int operation, const char *database, const char *table,
                        sqlite3_int64 row) {
    (void)operation, (void)database;
    if (!strcmp(table, "videos"))
        vx_catalog_note_changed(ctx, row);
}

void vx_catalog_set_listener(vx_catalog *catalog, vx_catalog_on_changed on_changed, void *ctx) {
    catalog->on_changed = on_changed;
    catalog->changed_ctx = ctx;
    sqlite3_update_hook(catalog->writer.handle, on_changed ? note_change : NULL, catalog);
}

static void forget_changes(vx_catalog *catalog) {
    catalog->n_changed = 0;
    catalog->changed_lost = false;
}

/* ---- the transaction ---- */

bool vx_catalog_is_writing(const vx_catalog *catalog) {
    return writing == catalog;
}

int vx_catalog_check_writing(vx_catalog *catalog, vx_err *err) {
    if (!vx_catalog_is_writing(catalog))
        return VX_FAIL(err, -EINVAL, "catalog: no transaction on this thread");
    int lost = catalog->writer.lost_transaction;
    if (lost)
        return VX_FAIL(err, lost, "catalog: an earlier failure undid the transaction: %s",
                       strerror(-lost));
    return 0;
}

int vx_catalog_begin(vx_catalog *catalog, vx_err *err) VX_NO_LOCK_ANALYSIS {
    if (writing)
        return VX_FAIL(err, -EINVAL, "catalog: this thread is inside a transaction already");
    if (!catalog->writer.handle)
        return VX_FAIL(err, -EROFS, "catalog: it was opened to read alone");
    vx_mutex_lock(&catalog->write_lock);
    catalog->writer.lost_transaction = 0;
    int rc = vx_db_run(&catalog->writer, "BEGIN IMMEDIATE", err);
    if (rc) {
        vx_mutex_unlock(&catalog->write_lock);
        return rc;
    }
    writing = catalog;
    return 0;
}

static void end_transaction(vx_catalog *catalog) VX_NO_LOCK_ANALYSIS {
    if (vx_db_in_transaction(&catalog->writer))
        vx_db_run(&catalog->writer, "ROLLBACK", NULL);
    forget_changes(catalog);
    writing = NULL;
    vx_mutex_unlock(&catalog->write_lock);
}

int vx_catalog_commit(vx_catalog *catalog, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc && catalog->changed_lost)
        rc = VX_FAIL(err, -ENOMEM, "catalog: no memory to note which videos change");
    if (!rc)
        rc = vx_db_run(&catalog->writer, "COMMIT", err);
    if (!rc)
        atomic_store(&catalog->last_commit_us, vx_clock_monotonic_us());
    if (!rc && catalog->n_changed)
        catalog->on_changed(catalog->changed_ctx, catalog->changed, catalog->n_changed);
    if (vx_catalog_is_writing(catalog))
        end_transaction(catalog);
    return rc;
}

void vx_catalog_rollback(vx_catalog *catalog) {
    if (vx_catalog_is_writing(catalog))
        end_transaction(catalog);
}

int vx_catalog_savepoint(vx_catalog *catalog, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    return rc ? rc : vx_db_run(&catalog->writer, "SAVEPOINT item", err);
}

int vx_catalog_release(vx_catalog *catalog, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    return rc ? rc : vx_db_run(&catalog->writer, "RELEASE item", err);
}

void vx_catalog_rollback_to(vx_catalog *catalog) {
    if (vx_catalog_check_writing(catalog, NULL))
        return; /* all is undone already; the commit will say so */
    vx_err err;
    if (vx_db_run(&catalog->writer, "ROLLBACK TO item", &err) ||
        vx_db_run(&catalog->writer, "RELEASE item", &err))
        catalog->writer.lost_transaction = err.code; /* the item may still be in: commit nothing */
}
