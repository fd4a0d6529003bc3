/* fingerprints.c — one fingerprint for each video. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "catalog_internal.h"

int vx_catalog_insert_fingerprint(vx_catalog *catalog, int64_t video, const void *blob,
                                  size_t bytes, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO fingerprints (video, data, checksum) VALUES (?, ?, ?)");
    vx_sql_bind_int(&q, video);
    vx_sql_bind_blob(&q, blob, bytes);
    vx_sql_bind_int(&q, vx_catalog_checksum(video, blob, bytes));
    return vx_sql_run(&q, err);
}

int vx_catalog_delete_fingerprint(vx_catalog *catalog, int64_t video, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "DELETE FROM fingerprints WHERE video = ?");
    vx_sql_bind_int(&q, video);
    return vx_sql_run(&q, err);
}

int vx_catalog_get_fingerprint(vx_catalog *catalog, int64_t video_row, void **ret_blob,
                               size_t *ret_bytes, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT data, checksum FROM fingerprints WHERE video = ?");
    vx_sql_bind_int(&q, video_row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "video %" PRId64 " has no fingerprint",
                       video_row);
    size_t bytes;
    const void *data = vx_sql_blob(&q, &bytes);
    if (!vx_catalog_is_right(catalog, &q, (vx_health_row){VX_HEALTH_FINGERPRINT, video_row}, data,
                             bytes))
        return VX_FAIL(err, VX_CATALOG_DAMAGED,
                       "catalog: the fingerprint of video %" PRId64 " is damaged; see vidx check",
                       video_row);
    void *copy = malloc(bytes ? bytes : 1);
    if (!copy)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    if (bytes)
        memcpy(copy, data, bytes);
    *ret_blob = copy;
    *ret_bytes = bytes;
    return 0;
}

static int stream_fingerprints(vx_catalog *catalog, vx_db *db,
                               vx_catalog_on_fingerprint on_fingerprint, void *ctx, vx_err *err) {
    VX_SQL(q, db, "SELECT video, data, checksum FROM fingerprints ORDER BY video");
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t video = vx_sql_int(&q);
        size_t bytes;
        const void *blob = vx_sql_blob(&q, &bytes);
        if (!vx_catalog_is_right(catalog, &q, (vx_health_row){VX_HEALTH_FINGERPRINT, video}, blob,
                                 bytes))
            continue;
        if ((rc = on_fingerprint(ctx, video, blob, bytes, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_scan_fingerprints(vx_catalog *catalog, vx_catalog_on_fingerprint on_fingerprint,
                                 void *ctx, vx_err *err) {
    vx_db db;
    int rc = vx_db_open(&db, catalog->path, VX_DB_SCANNER, err);
    db.health = &catalog->health;
    if (!rc)
        rc = stream_fingerprints(catalog, &db, on_fingerprint, ctx, err);
    vx_db_close(&db);
    return rc;
}
