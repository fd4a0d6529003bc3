/* Spaces of vectors: which model and digest each belongs to, what lacks in one, and the end of those
 * that a newer digest has replaced. */
#include "catalog/catalog_internal.h"

int vx_catalog_has_model(vx_catalog *catalog, const char *model, bool *ret_has, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT 1 FROM spaces WHERE model = ? AND EXISTS (SELECT 1 FROM vectors"
           " WHERE key >= spaces.row << 40 AND key < (spaces.row + 1) << 40)");
    vx_sql_bind_text(&q, model);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_has = rc > 0;
    return 0;
}

int vx_catalog_old_digests(vx_catalog *catalog, const char *model, int64_t space, size_t max,
                           char (*ret_digests)[65], size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT digest FROM spaces WHERE model = ? AND row <> ? ORDER BY row LIMIT ?");
    vx_sql_bind_text(&q, model);
    vx_sql_bind_int(&q, space);
    vx_sql_bind_int(&q, (int64_t)max);
    size_t n = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0)
        vx_sql_text_into(&q, ret_digests[n++], sizeof *ret_digests);
    if (rc == 0)
        *ret_n = n;
    return rc;
}

static int find_old_space(vx_catalog *catalog, const char *model, int64_t space, int64_t *ret_old,
                          vx_err *err) {
    VX_SQL(q, &catalog->writer, "SELECT row FROM spaces WHERE model = ? AND row <> ? LIMIT 1");
    vx_sql_bind_text(&q, model);
    vx_sql_bind_int(&q, space);
    int rc = vx_sql_next(&q, err);
    if (rc > 0)
        *ret_old = vx_sql_int(&q);
    return rc;
}

static int drop_space(vx_catalog *catalog, int64_t space, vx_err *err) {
    VX_SQL(q, &catalog->writer, "DELETE FROM spaces WHERE row = ?");
    vx_sql_bind_int(&q, space);
    return vx_sql_run(&q, err);
}

int vx_catalog_drop_old_vectors(vx_catalog *catalog, const char *model, int64_t space, int max,
                                bool *ret_more, vx_err *err) {
    int64_t old = 0;
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc)
        rc = find_old_space(catalog, model, space, &old, err);
    if (rc < 0)
        return rc;
    *ret_more = rc > 0;
    if (rc == 0)
        return 0;
    VX_SQL(q, &catalog->writer,
           "DELETE FROM vectors WHERE key IN"
           " (SELECT key FROM vectors WHERE key >= ? AND key < ? LIMIT ?)");
    vx_sql_bind_int(&q, vx_catalog_vector_key(old, 0));
    vx_sql_bind_int(&q, vx_catalog_vector_key(old + 1, 0));
    vx_sql_bind_int(&q, max);
    rc = vx_sql_run(&q, err);
    if (rc || sqlite3_changes(catalog->writer.handle) == max)
        return rc;
    return drop_space(catalog, old, err);
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
