/* vector_spaces.c — one vector space for each model and digest: made, listed, retired and deleted.
 *
 * A retired space has ":<row>" behind its digest. No package has such a digest, so that the same
 * package, loaded again, gets a new space while the vectors of the retired one are being deleted. */
#include <errno.h>

#include "catalog_internal.h"

static int find_space(vx_db *db, const char *model, const char *digest, int64_t *ret_space,
                      int *ret_dim, vx_err *err) {
    VX_SQL(q, db, "SELECT row, dim FROM spaces WHERE model = ? AND digest = ?");
    vx_sql_bind_text(&q, model);
    vx_sql_bind_text(&q, digest);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_CATALOG_NOT_FOUND;
    *ret_space = vx_sql_int(&q);
    *ret_dim = (int)vx_sql_int(&q);
    return 0;
}

int vx_catalog_insert_vector_space(vx_catalog *catalog, const char *model, const char *digest,
                                   int dim, int64_t *ret_space, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    vx_db *db = &catalog->writer;
    int64_t space = 0;
    int stored_dim;
    rc = find_space(db, model, digest, &space, &stored_dim, err);
    if (rc == 0 && stored_dim != dim)
        return VX_FAIL(err, -EINVAL, "model %s is stored with %d dimensions, not %d", model,
                       stored_dim, dim);
    if (rc == VX_CATALOG_NOT_FOUND) {
        VX_SQL(q, db, "INSERT INTO spaces (model, digest, dim) VALUES (?, ?, ?)");
        vx_sql_bind_text(&q, model);
        vx_sql_bind_text(&q, digest);
        vx_sql_bind_int(&q, dim);
        rc = vx_sql_run(&q, err);
        space = sqlite3_last_insert_rowid(db->handle);
    }
    if (rc)
        return rc;
    *ret_space = space;
    return 0;
}

int vx_catalog_has_vectors_of(vx_catalog *catalog, const char *model, bool *ret_has, vx_err *err) {
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

int vx_catalog_list_vector_spaces(vx_catalog *catalog, vx_vector_space **ret_spaces, size_t *ret_n,
                                  vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT row, model, substr(digest, 1, 64), dim, vectors, instr(digest, ':') > 0"
           " FROM spaces ORDER BY row");
    VX_AUTO_FREE vx_vector_space *spaces = NULL;
    size_t n = 0, capacity = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        if (!vx_make_room(spaces, n, capacity))
            return VX_FAIL(err, -ENOMEM, "no memory for a list of %zu spaces", n + 1);
        vx_vector_space *space = &spaces[n++];
        space->row = vx_sql_int(&q);
        vx_sql_text_into(&q, space->model, sizeof space->model);
        vx_sql_text_into(&q, space->digest, sizeof space->digest);
        space->dim = (int)vx_sql_int(&q);
        space->vectors = vx_sql_int(&q);
        space->retired = vx_sql_int(&q);
    }
    if (rc)
        return rc;
    *ret_spaces = vx_take(spaces);
    *ret_n = n;
    return 0;
}

int vx_catalog_retire_vector_space(vx_catalog *catalog, int64_t space, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE spaces SET digest = digest || ':' || row"
           " WHERE row = ? AND instr(digest, ':') = 0");
    vx_sql_bind_int(&q, space);
    rc = vx_sql_run(&q, err);
    return rc ? rc : vx_catalog_retire_clusterings_of(catalog, space, err);
}

/* One call may leave the deleting of the space itself to the next one. */
int vx_catalog_delete_retired_vectors(vx_catalog *catalog, int max, bool *ret_more, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(find, &catalog->writer, "SELECT row FROM spaces WHERE instr(digest, ':') > 0 LIMIT 1");
    rc = vx_sql_next(&find, err);
    if (rc < 0)
        return rc;
    *ret_more = rc > 0;
    if (rc == 0)
        return 0;
    int64_t space = vx_sql_int(&find);
    VX_SQL(empty, &catalog->writer,
           "DELETE FROM vectors WHERE key IN"
           " (SELECT key FROM vectors WHERE key >= ? AND key < ? LIMIT ?)");
    vx_sql_bind_int(&empty, vx_catalog_vector_key(space, 0));
    vx_sql_bind_int(&empty, vx_catalog_vector_key(space + 1, 0));
    vx_sql_bind_int(&empty, max);
    rc = vx_sql_run(&empty, err);
    if (rc || sqlite3_changes(catalog->writer.handle) == max)
        return rc;
    VX_SQL(drop, &catalog->writer, "DELETE FROM spaces WHERE row = ?");
    vx_sql_bind_int(&drop, space);
    return vx_sql_run(&drop, err);
}
