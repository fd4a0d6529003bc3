/* pictures.c — what a copy model says of the pictures of each video. */
#include <errno.h>
#include <inttypes.h>

#include "catalog_internal.h"

static int fail_if_unchanged(vx_catalog *catalog, int64_t video, vx_err *err) {
    return sqlite3_changes(catalog->writer.handle)
               ? 0
               : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, video);
}

int vx_catalog_begin_pictures(vx_catalog *catalog, int64_t video, const char *digest, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(
        q, &catalog->writer,
        "INSERT INTO pictures (video, digest, tries) SELECT row, ?1, 1 FROM videos WHERE row = ?2"
        " ON CONFLICT (video) DO UPDATE SET digest = ?1, data = NULL, checksum = NULL,"
        " tries = iif(digest = ?1, tries + 1, 1)");
    vx_sql_bind_text(&q, digest);
    vx_sql_bind_int(&q, video);
    rc = vx_sql_run(&q, err);
    return rc ? rc : fail_if_unchanged(catalog, video, err);
}

int vx_catalog_break_off_pictures(vx_catalog *catalog, int64_t video, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "UPDATE pictures SET tries = max(tries - 1, 0) WHERE video = ?");
    vx_sql_bind_int(&q, video);
    return vx_sql_run(&q, err);
}

int vx_catalog_set_pictures(vx_catalog *catalog, int64_t video, const char *digest,
                            const float *vectors, size_t bytes, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(
        q, &catalog->writer,
        "INSERT INTO pictures (video, digest, data, checksum) SELECT row, ?1, ?2, ?3 FROM videos"
        " WHERE row = ?4 ON CONFLICT (video) DO UPDATE SET digest = ?1, data = ?2, checksum = ?3,"
        " tries = 0");
    vx_sql_bind_text(&q, digest);
    vx_sql_bind_blob(&q, vectors, bytes);
    vx_sql_bind_int(&q, vx_catalog_checksum(video, vectors, bytes));
    vx_sql_bind_int(&q, video);
    rc = vx_sql_run(&q, err);
    return rc ? rc : fail_if_unchanged(catalog, video, err);
}

static int stream_pictures(vx_catalog *catalog, vx_db *db, const char *digest,
                           vx_catalog_on_pictures on_pictures, void *ctx, vx_err *err) {
    VX_SQL(q, db,
           "SELECT video, data, checksum FROM pictures WHERE digest = ? AND data IS NOT NULL"
           " ORDER BY video");
    vx_sql_bind_text(&q, digest);
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t video = vx_sql_int(&q);
        size_t bytes;
        const void *data = vx_sql_blob(&q, &bytes);
        if (vx_catalog_is_right(catalog, &q, (vx_health_row){VX_HEALTH_PICTURES, video}, data,
                                bytes) &&
            (rc = on_pictures(ctx, video, data, bytes, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_scan_pictures(vx_catalog *catalog, const char *digest,
                             vx_catalog_on_pictures on_pictures, void *ctx, vx_err *err) {
    vx_db db;
    int rc = vx_db_open(&db, catalog->path, VX_DB_SCANNER, err);
    db.health = &catalog->health;
    if (!rc)
        rc = stream_pictures(catalog, &db, digest, on_pictures, ctx, err);
    vx_db_close(&db);
    return rc;
}

/* A video that is pending is described by its second look; a copy or a part has its original's pictures. */
#define UNDESCRIBED                                                                                \
    " FROM videos WHERE row > ?1 AND evidence NOT IN (1, 3) AND verdict NOT IN (?2, ?3)"           \
    " AND NOT EXISTS (SELECT 1 FROM pictures WHERE video = videos.row AND digest = ?4"             \
    " AND (data IS NOT NULL OR tries >= ?5))"

static void bind_undescribed(vx_sql *q, int64_t above_row, const char *digest) {
    vx_sql_bind_int(q, above_row);
    vx_sql_bind_int(q, VX_VERDICT_COPY);
    vx_sql_bind_int(q, VX_VERDICT_PART_OF);
    vx_sql_bind_text(q, digest);
    vx_sql_bind_int(q, VX_CATALOG_LOOK_TRIES);
}

int vx_catalog_find_undescribed(vx_catalog *catalog, const char *digest, int64_t above_row,
                                int64_t *ret_row, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT row" UNDESCRIBED " ORDER BY row LIMIT 1");
    bind_undescribed(&q, above_row, digest);
    int rc = vx_sql_next(&q, err);
    *ret_row = rc > 0 ? vx_sql_int(&q) : 0;
    return rc < 0 ? rc : 0;
}

int vx_catalog_count_undescribed(vx_catalog *catalog, const char *digest, int64_t *ret_n,
                                 vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*)" UNDESCRIBED);
    bind_undescribed(&q, 0, digest);
    int rc = vx_sql_next(&q, err);
    *ret_n = rc > 0 ? vx_sql_int(&q) : 0;
    return rc < 0 ? rc : 0;
}
