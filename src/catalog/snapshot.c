/* snapshot.c — one read transaction, used over many calls. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "catalog_internal.h"

struct vx_snapshot {
    vx_catalog *catalog; /* borrows */
    vx_db db;
    vx_sql clips;
    bool reads_clips; /* `clips` is begun */
    int64_t space;
};

static void end_clips(vx_snapshot *snapshot) {
    if (snapshot->reads_clips)
        vx_sql_end(&snapshot->clips);
    snapshot->reads_clips = false;
}

vx_snapshot *vx_snapshot_close(vx_snapshot *snapshot) {
    if (!snapshot)
        return NULL;
    end_clips(snapshot);
    vx_db_close(&snapshot->db);
    free(snapshot);
    return NULL;
}

/* SQLite begins a read transaction at its first read. */
static int pin(vx_db *db, vx_err *err) {
    int rc = vx_db_run(db, "BEGIN", err);
    if (rc)
        return rc;
    VX_SQL(q, db, "SELECT count(*) FROM spaces");
    rc = vx_sql_next(&q, err);
    return rc < 0 ? rc : 0;
}

int vx_catalog_open_snapshot(vx_catalog *catalog, vx_snapshot **ret_snapshot, vx_err *err) {
    VX_AUTO(vx_snapshot) snapshot = vx_new(vx_snapshot);
    if (!snapshot)
        return VX_FAIL(err, -ENOMEM, "no memory for a snapshot");
    snapshot->catalog = catalog;
    int rc = vx_db_open(&snapshot->db, catalog->path, VX_DB_SCANNER, err);
    snapshot->db.health = &catalog->health;
    if (!rc)
        rc = pin(&snapshot->db, err);
    if (!rc)
        *ret_snapshot = vx_take(snapshot);
    return rc;
}

int vx_snapshot_next_video(vx_snapshot *snapshot, int64_t above_row, vx_video **ret_video,
                           vx_err *err) {
    return vx_catalog_read_next_video(&snapshot->db, above_row, ret_video, err);
}

int vx_snapshot_last_video(vx_snapshot *snapshot, int64_t *ret_row, vx_err *err) {
    VX_SQL(q, &snapshot->db, "SELECT coalesce(max(row), 0) FROM videos");
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_row = vx_sql_int(&q);
    return 0;
}

int vx_snapshot_count_vectors(vx_snapshot *snapshot, int64_t space, int64_t *ret_n, vx_err *err) {
    VX_SQL(q, &snapshot->db, "SELECT vectors FROM spaces WHERE row = ?");
    vx_sql_bind_int(&q, space);
    int rc = vx_sql_next(&q, err);
    if (rc >= 0)
        *ret_n = rc ? vx_sql_int(&q) : 0;
    return rc < 0 ? rc : 0;
}

int vx_snapshot_count_vectors_of(vx_snapshot *snapshot, int64_t space, int64_t first, int64_t last,
                                 int64_t *ret_n, vx_err *err) {
    VX_SQL(q, &snapshot->db,
           "SELECT count(*) FROM clips AS c JOIN vectors ON key = (? << 40 | c.row)"
           " WHERE video BETWEEN ? AND ?");
    vx_sql_bind_int(&q, space);
    vx_sql_bind_int(&q, first);
    vx_sql_bind_int(&q, last);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_n = vx_sql_int(&q);
    return 0;
}

void vx_snapshot_begin_clips(vx_snapshot *snapshot, int64_t video_row, int64_t space) {
    end_clips(snapshot);
    snapshot->clips =
        vx_sql_begin(&snapshot->db, "SELECT c.row, position, start_s, end_s, data, checksum"
                                    " FROM clips AS c JOIN vectors ON key = (? << 40 | c.row)"
                                    " WHERE video = ? ORDER BY position");
    vx_sql_bind_int(&snapshot->clips, space);
    vx_sql_bind_int(&snapshot->clips, video_row);
    snapshot->reads_clips = true;
    snapshot->space = space;
}

int vx_snapshot_next_clip(vx_snapshot *snapshot, int dim, vx_clip *ret_clip, float *ret_vector,
                          vx_err *err) {
    vx_sql *q = &snapshot->clips;
    int rc = vx_sql_next(q, err);
    if (rc <= 0) {
        end_clips(snapshot);
        return rc;
    }
    *ret_clip = (vx_clip){.row = vx_sql_int(q)};
    ret_clip->index = (int)vx_sql_int(q);
    ret_clip->start_s = vx_sql_real(q);
    ret_clip->end_s = vx_sql_real(q);
    if (!ret_vector)
        return 1;
    size_t bytes;
    const void *data = vx_sql_blob(q, &bytes);
    vx_health_row row = {VX_HEALTH_VECTOR, vx_catalog_vector_key(snapshot->space, ret_clip->row)};
    if (bytes != (size_t)dim * sizeof *ret_vector ||
        !vx_catalog_is_right(snapshot->catalog, q, row, data, bytes))
        return VX_FAIL(err, -EIO, "the vector of clip %" PRId64 " is damaged; a backfill mends it",
                       ret_clip->row);
    memcpy(ret_vector, data, bytes);
    return 1;
}

int vx_snapshot_find_clustering(vx_snapshot *snapshot, const char *id, int64_t space,
                                int64_t *ret_clustering, vx_err *err) {
    VX_SQL(q, &snapshot->db, "SELECT row, space FROM clusterings WHERE id = ? AND state = ?");
    vx_sql_bind_text(&q, id);
    vx_sql_bind_int(&q, VX_CLUSTERING_READY);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no clustering %.30s", id);
    *ret_clustering = vx_sql_int(&q);
    return vx_sql_int(&q) == space
               ? 0
               : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "the clustering %.30s is of another model", id);
}

int vx_snapshot_get_cluster(vx_snapshot *snapshot, int64_t clustering, int64_t clip,
                            int32_t *ret_cluster, float *ret_score, vx_err *err) {
    VX_SQL(q, &snapshot->db,
           "SELECT cluster, score FROM cluster_members WHERE clip = ? AND clustering = ?");
    vx_sql_bind_int(&q, clip);
    vx_sql_bind_int(&q, clustering);
    int rc = vx_sql_next(&q, err);
    *ret_cluster = rc > 0 ? (int32_t)vx_sql_int(&q) : -1;
    *ret_score = *ret_cluster >= 0 ? (float)vx_sql_real(&q) : NAN;
    return rc < 0 ? rc : 0;
}
