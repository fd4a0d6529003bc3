/* vectors.c — one vector for each clip and vector space; vector_scan.c streams those of a space. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "catalog_internal.h"

/* The clip is looked up by the insert, so that no vector is stored for a clip that is gone: its data would be NULL.
 * (INSERT … SELECT copies what it selects into a table of its own first, as vectors have a trigger.) OR FAIL: else
 * SQLite copies every page that the insert and its trigger touch, to be able to take this one statement back; whoever
 * writes takes the whole item back when one fails. */
static int insert_one(vx_catalog *catalog, int64_t space, int64_t clip, const float *vector,
                      size_t bytes, vx_err *err) {
    int64_t key = vx_catalog_vector_key(space, clip);
    VX_SQL(q, &catalog->writer,
           "INSERT OR FAIL INTO vectors (key, data, checksum)"
           " VALUES (?, (SELECT ? FROM clips WHERE row = ?), ?)");
    vx_sql_bind_int(&q, key);
    vx_sql_bind_blob(&q, vector, bytes);
    vx_sql_bind_int(&q, clip);
    vx_sql_bind_int(&q, vx_catalog_checksum(key, vector, bytes));
    int rc = vx_sql_run(&q, err);
    if (rc && sqlite3_extended_errcode(catalog->writer.handle) == SQLITE_CONSTRAINT_NOTNULL)
        rc = VX_FAIL(err, -EINVAL, "catalog: no clip %" PRId64, clip);
    return rc;
}

/* The space is looked up once, and counts all its new vectors at once. */
int vx_catalog_insert_vectors(vx_catalog *catalog, int64_t space, const int64_t *clips, size_t n,
                              const float *vectors, int dim, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(find, &catalog->writer, "SELECT 1 FROM spaces WHERE row = ? AND dim = ?");
    vx_sql_bind_int(&find, space);
    vx_sql_bind_int(&find, dim);
    rc = vx_sql_next(&find, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, -EINVAL, "catalog: no vector space %" PRId64 " of %d dimensions", space,
                       dim);
    size_t done = 0;
    for (rc = 0; done < n && !rc; done += !rc)
        rc = insert_one(catalog, space, clips[done], vectors + done * (size_t)dim,
                        (size_t)dim * sizeof *vectors, err);
    VX_SQL(count, &catalog->writer, "UPDATE spaces SET vectors = vectors + ? WHERE row = ?");
    vx_sql_bind_int(&count, (int64_t)done);
    vx_sql_bind_int(&count, space);
    int count_rc = vx_sql_run(&count, rc ? NULL : err);
    return rc ? rc : count_rc;
}

int vx_catalog_delete_vectors(vx_catalog *catalog, int64_t space, const int64_t *clips, size_t n,
                              vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    for (size_t i = 0; i < n && !rc; i++) {
        VX_SQL(q, &catalog->writer, "DELETE FROM vectors WHERE key = ?");
        vx_sql_bind_int(&q, vx_catalog_vector_key(space, clips[i]));
        rc = vx_sql_run(&q, err);
    }
    return rc;
}

int vx_catalog_get_vector(vx_catalog *catalog, int64_t space, int64_t clip_row, float *ret_vector,
                          int dim, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT data, checksum FROM vectors WHERE key = ?");
    int64_t key = vx_catalog_vector_key(space, clip_row);
    vx_sql_bind_int(&q, key);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "clip %" PRId64 " has no vector", clip_row);
    size_t bytes;
    const void *data = vx_sql_blob(&q, &bytes);
    if (bytes != (size_t)dim * sizeof *ret_vector)
        return VX_FAIL(err, -EINVAL,
                       "catalog: the vector of clip %" PRId64 " is not of dimension %d", clip_row,
                       dim);
    if (!vx_catalog_is_right(catalog, &q, (vx_health_row){VX_HEALTH_VECTOR, key}, data, bytes))
        return VX_FAIL(err, -EIO,
                       "catalog: the vector of clip %" PRId64 " is damaged; see vidx check",
                       clip_row);
    memcpy(ret_vector, data, bytes);
    return 0;
}
