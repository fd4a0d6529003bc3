/* clips.c — clips by themselves; those of one video come and go with it (videos.c). */
#include <errno.h>

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

static int read_hit(vx_db *db, int64_t clip_row, vx_clip_hit *ret_hit, vx_err *err) {
    VX_SQL(q, db,
           "SELECT position, start_s, end_s, id, filename, metadata," VX_SQL_HAS_FILE(
               "videos") ", frames FROM clips CROSS JOIN videos ON videos.row = video WHERE "
                         "clips.row = ?");
    vx_sql_bind_int(&q, clip_row);
    *ret_hit = (vx_clip_hit){0};
    int rc = vx_sql_next(&q, err);
    if (rc <= 0)
        return rc;
    bool oom = false;
    ret_hit->index = (int)vx_sql_int(&q);
    ret_hit->start_s = vx_sql_real(&q);
    ret_hit->end_s = vx_sql_real(&q);
    vx_sql_text_into(&q, ret_hit->video_id, sizeof ret_hit->video_id);
    ret_hit->filename = vx_sql_text(&q, &oom);
    ret_hit->metadata = vx_sql_text(&q, &oom);
    ret_hit->has_file = vx_sql_int(&q);
    ret_hit->frames = (vx_clip_frames)vx_sql_int(&q);
    return oom ? VX_FAIL(err, -ENOMEM, "out of memory") : 0;
}

int vx_catalog_get_clip_hits(vx_catalog *catalog, const int64_t *clip_rows, size_t n,
                             vx_clip_hit *ret_hits, vx_err *err) {
    VX_READER(reader, catalog);
    bool own = !vx_db_in_transaction(reader.db); /* the writer's thread reads what it has written */
    int rc = own ? vx_db_run(reader.db, "BEGIN", err) : 0;
    size_t done = 0;
    for (; done < n && !rc; done++)
        rc = read_hit(reader.db, clip_rows[done], &ret_hits[done], err);
    if (own && vx_db_in_transaction(reader.db))
        vx_db_run(reader.db, "ROLLBACK", NULL);
    for (size_t i = 0; rc && i < done; i++) {
        free(ret_hits[i].filename);
        free(ret_hits[i].metadata);
    }
    return rc;
}
