/* stores.c — outside stores, and the changes that they have yet to hear.
 *
 * The triggers of the migration that made the tables keep one row for each video in `changes`, so that no code that changes a
 * video can forget the stores, and a change and its row are one transaction. Comparing rows instead would
 * read the whole collection to find one new video; a log of every change would grow without end while a
 * store is away. Here a store's place is one number, and what it missed is at most one row for each video. */
#include <errno.h>
#include <string.h>

#include "catalog_internal.h"

/* Every video that is stored gets a row, in order of age: the first store begins with all of them. */
static int fill_changes(vx_db *db, vx_err *err) {
    return vx_db_run(db,
                     "INSERT OR IGNORE INTO changes (video, seq)"
                     " SELECT row, (SELECT coalesce(max(seq), 0) FROM changes) +"
                     " row_number() OVER (ORDER BY row) FROM videos",
                     err);
}

int vx_catalog_insert_outside(vx_catalog *catalog, const vx_outside_row *store, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT OR IGNORE INTO stores (name, url, model, space, created_us)"
           " VALUES (?, ?, ?, ?, ?)");
    vx_sql_bind_text(&q, store->name);
    vx_sql_bind_text(&q, store->url);
    vx_sql_bind_text(&q, store->model);
    vx_sql_bind_int(&q, store->space);
    vx_sql_bind_int(&q, store->created_us);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_EXISTS, "a store named %s exists already", store->name);
    return rc ? rc : fill_changes(&catalog->writer, err);
}

/* Forgets the deleted videos that every store has heard of. The last row stays: the next number follows it. */
static int prune_changes(vx_db *db, vx_err *err) {
    return vx_db_run(db,
                     "DELETE FROM changes WHERE deleted IS NOT NULL"
                     " AND seq <= (SELECT min(sent) FROM stores)"
                     " AND seq < (SELECT max(seq) FROM changes)",
                     err);
}

int vx_catalog_delete_outside(vx_catalog *catalog, const char *name, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "DELETE FROM stores WHERE name = ?");
    vx_sql_bind_text(&q, name);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no store %.64s", name);
    if (!rc) /* nothing is kept for nobody */
        rc = vx_db_run(&catalog->writer,
                       "DELETE FROM changes WHERE NOT EXISTS (SELECT 1 FROM stores)", err);
    return rc ? rc : prune_changes(&catalog->writer, err);
}

int vx_catalog_update_outside(vx_catalog *catalog, const vx_outside_row *store, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE stores SET space = ?, sent = ?, check_due = ?, checked_us = ?, refused = ?"
           " WHERE name = ?");
    vx_sql_bind_int(&q, store->space);
    vx_sql_bind_int(&q, store->sent);
    vx_sql_bind_int(&q, store->check_due);
    vx_sql_bind_int(&q, store->checked_us);
    vx_sql_bind_int(&q, store->refused);
    vx_sql_bind_text(&q, store->name);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no store %.64s", store->name);
    return rc ? rc : prune_changes(&catalog->writer, err);
}

int vx_catalog_ask_check(vx_catalog *catalog, const char *name, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "UPDATE stores SET check_due = 1 WHERE name = ?");
    vx_sql_bind_text(&q, name);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no store %.64s", name);
    return rc;
}

int vx_catalog_mark_changed(vx_catalog *catalog, int64_t video, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO changes (video, seq)"
           " SELECT row, (SELECT coalesce(max(seq), 0) + 1 FROM changes) FROM videos WHERE row = ?"
           " ON CONFLICT (video) DO UPDATE SET seq = excluded.seq");
    vx_sql_bind_int(&q, video);
    return vx_sql_run(&q, err);
}

void vx_outside_row_clear(vx_outside_row *store) {
    free(store->url);
    *store = (vx_outside_row){0};
}

int vx_catalog_list_outside(vx_catalog *catalog, vx_outside_row **ret_stores, size_t *ret_n,
                            vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT name, url, model, space, sent, check_due, checked_us, refused, created_us"
           " FROM stores ORDER BY created_us, name");
    vx_outside_row *stores = NULL;
    size_t n = 0, capacity = 0;
    int rc;
    bool oom = false;
    while ((rc = vx_sql_next(&q, err)) > 0 && !oom) {
        if (!vx_make_room(stores, n, capacity)) {
            oom = true;
            break;
        }
        vx_outside_row *store = &stores[n++];
        vx_sql_text_into(&q, store->name, sizeof store->name);
        store->url = vx_sql_text(&q, &oom);
        vx_sql_text_into(&q, store->model, sizeof store->model);
        store->space = vx_sql_int(&q);
        store->sent = vx_sql_int(&q);
        store->check_due = vx_sql_int(&q);
        store->checked_us = vx_sql_int(&q);
        store->refused = vx_sql_int(&q);
        store->created_us = vx_sql_int(&q);
    }
    if (oom)
        rc = VX_FAIL(err, -ENOMEM, "no memory for a list of stores");
    if (rc < 0) {
        for (size_t i = 0; i < n; i++)
            free(stores[i].url);
        free(stores);
        return rc;
    }
    *ret_stores = stores;
    *ret_n = n;
    return 0;
}

int vx_catalog_list_changes(vx_catalog *catalog, int64_t above, size_t max, vx_change *ret_changes,
                            size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT seq, video, clips, deleted FROM changes WHERE seq > ? ORDER BY seq LIMIT ?");
    vx_sql_bind_int(&q, above);
    vx_sql_bind_int(&q, (int64_t)max);
    size_t n = 0;
    int rc;
    while (n < max && (rc = vx_sql_next(&q, err)) > 0) {
        vx_change *change = &ret_changes[n++];
        change->seq = vx_sql_int(&q);
        change->video = vx_sql_int(&q);
        change->clips = (int)vx_sql_int(&q);
        vx_sql_text_into(&q, change->deleted, sizeof change->deleted);
    }
    if (n < max && rc < 0)
        return rc;
    *ret_n = n;
    return 0;
}

int vx_catalog_last_change(vx_catalog *catalog, int64_t *ret_seq, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT coalesce(max(seq), 0) FROM changes");
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_seq = vx_sql_int(&q);
    return 0;
}

int vx_catalog_count_changes(vx_catalog *catalog, int64_t above, int64_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*) FROM changes WHERE seq > ?");
    vx_sql_bind_int(&q, above);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_n = vx_sql_int(&q);
    return 0;
}
