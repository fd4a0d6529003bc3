/* clips.c — clips by themselves; those of one video come and go with it (videos.c). */
#include "catalog_internal.h"

static int stream_clips(vx_db *db, vx_catalog_on_clip on_clip, void *ctx, vx_err *err) {
    VX_SQL(q, db,
           "SELECT video, row, position, start_s, end_s FROM clips ORDER BY video, position");
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t video = vx_sql_int(&q);
        vx_clip clip = {.row = vx_sql_int(&q)};
        clip.index = (int)vx_sql_int(&q);
        clip.start_s = vx_sql_real(&q);
        clip.end_s = vx_sql_real(&q);
        if ((rc = on_clip(ctx, video, &clip, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_scan_clips(vx_catalog *catalog, vx_catalog_on_clip on_clip, void *ctx, vx_err *err) {
    vx_db db;
    int rc = vx_db_open(&db, catalog->path, VX_DB_SCANNER, err);
    db.health = &catalog->health;
    if (!rc)
        rc = stream_clips(&db, on_clip, ctx, err);
    vx_db_close(&db);
    return rc;
}
