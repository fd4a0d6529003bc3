/* Spaces of vectors: which model and digest each belongs to, what lacks in one, and their end. */
#include <errno.h>

#include "catalog_internal.h"

int vx_catalog_has_model(vx_catalog *catalog, const char *model, bool *ret_has, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT 1 FROM spaces WHERE model = ? AND vectors > 0 AND instr(digest, ':') = 0");
    vx_sql_bind_text(&q, model);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_has = rc > 0;
    return 0;
}

int vx_catalog_list_spaces(vx_catalog *catalog, vx_space **ret_spaces, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT row, model, substr(digest, 1, 64), dim, vectors, instr(digest, ':') > 0"
           " FROM spaces ORDER BY row");
    VX_AUTO_FREE vx_space *spaces = NULL;
    size_t n = 0, capacity = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        if (!vx_make_room(spaces, n, capacity))
            return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu spaces", n + 1);
        vx_space *space = &spaces[n++];
        space->row = vx_sql_int(&q);
        vx_sql_text_into(&q, space->model, sizeof space->model);
        vx_sql_text_into(&q, space->digest, sizeof space->digest);
        space->dim = (int)vx_sql_int(&q);
        space->vectors = vx_sql_int(&q);
        space->given_up = vx_sql_int(&q);
    }
    if (rc)
        return rc;
    *ret_spaces = vx_take(spaces);
    *ret_n = n;
    return 0;
}

int vx_catalog_give_up_space(vx_catalog *catalog, int64_t space, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE spaces SET digest = digest || ':' || row"
           " WHERE row = ? AND instr(digest, ':') = 0");
    vx_sql_bind_int(&q, space);
    return vx_sql_run(&q, err);
}

static int find_given_up(vx_catalog *catalog, int64_t *ret_space, vx_err *err) {
    VX_SQL(q, &catalog->writer, "SELECT row FROM spaces WHERE instr(digest, ':') > 0 LIMIT 1");
    int rc = vx_sql_next(&q, err);
    if (rc > 0)
        *ret_space = vx_sql_int(&q);
    return rc;
}

static int drop_space(vx_catalog *catalog, int64_t space, vx_err *err) {
    VX_SQL(q, &catalog->writer, "DELETE FROM spaces WHERE row = ?");
    vx_sql_bind_int(&q, space);
    return vx_sql_run(&q, err);
}

int vx_catalog_drop_given_up(vx_catalog *catalog, int max, bool *ret_more, vx_err *err) {
    int64_t space = 0;
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc)
        rc = find_given_up(catalog, &space, err);
    if (rc < 0)
        return rc;
    *ret_more = rc > 0;
    if (rc == 0)
        return 0;
    VX_SQL(q, &catalog->writer,
           "DELETE FROM vectors WHERE key IN"
           " (SELECT key FROM vectors WHERE key >= ? AND key < ? LIMIT ?)");
    vx_sql_bind_int(&q, vx_catalog_vector_key(space, 0));
    vx_sql_bind_int(&q, vx_catalog_vector_key(space + 1, 0));
    vx_sql_bind_int(&q, max);
    rc = vx_sql_run(&q, err);
    if (rc || sqlite3_changes(catalog->writer.handle) == max)
        return rc;
    return drop_space(catalog, space, err);
}

static int stream_clips(vx_db *db, vx_catalog_on_clip on_clip, void *ctx, vx_err *err) {
    VX_SQL(q, db, "SELECT video, row FROM clips ORDER BY video, position"); /* out of the index */
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t video = vx_sql_int(&q), clip = vx_sql_int(&q);
        if ((rc = on_clip(ctx, video, clip, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_scan_clips(vx_catalog *catalog, vx_catalog_on_clip on_clip, void *ctx, vx_err *err) {
    vx_db db;
    int rc = vx_db_open(&db, catalog->path, VX_DB_SCANNER, err);
    if (!rc)
        rc = stream_clips(&db, on_clip, ctx, err);
    vx_db_close(&db);
    return rc;
}
