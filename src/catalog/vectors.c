/* vectors.c — one vector for each clip and vector space; vector_scan.c streams those of a space. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "catalog_internal.h"

/* One statement that also proves that the space, the clip and the size belong together. */
int vx_catalog_insert_vector(vx_catalog *catalog, int64_t space, int64_t clip, const float *vector,
                             int dim, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO vectors (key, data) SELECT (spaces.row << 40) | clips.row, ?"
           " FROM spaces, clips WHERE spaces.row = ? AND spaces.dim = ? AND clips.row = ?");
    vx_sql_bind_blob(&q, vector, (size_t)dim * sizeof *vector);
    vx_sql_bind_int(&q, space);
    vx_sql_bind_int(&q, dim);
    vx_sql_bind_int(&q, clip);
    rc = vx_sql_run(&q, err);
    if (rc)
        return rc;
    if (sqlite3_changes(catalog->writer.handle) == 0)
        return VX_FAIL(err, -EINVAL,
                       "catalog: no clip %" PRId64 " or no space %" PRId64 " of dimension %d", clip,
                       space, dim);
    return 0;
}

int vx_catalog_get_vector(vx_catalog *catalog, int64_t space, int64_t clip_row, float *ret_vector,
                          int dim, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT data FROM vectors WHERE key = ?");
    vx_sql_bind_int(&q, vx_catalog_vector_key(space, clip_row));
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
    memcpy(ret_vector, data, bytes);
    return 0;
}
