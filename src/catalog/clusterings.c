/* clusterings.c — groups of similar clips, and which clips are in them.
 *
 * A clustering that is being built has members that filters could name already; nobody knows its id before
 * its job has ended. Members are inserted and deleted in parts, so that uploads commit in between.
 */
#include <errno.h>
#include <string.h>

#include "catalog_internal.h"

void vx_clustering_row_clear(vx_clustering_row *clustering) {
    free(clustering->request);
    free(clustering->summary);
    free(clustering->centroids);
    *clustering = (vx_clustering_row){0};
}

void vx_cluster_members_free(vx_cluster_member *members, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(members[i].filename);
    free(members);
}

/* ---- writing ---- */

int vx_catalog_insert_clustering(vx_catalog *catalog, vx_clustering_row *clustering, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO clusterings (id, space, state, created_us, request, summary, centroids)"
           " VALUES (?, ?, ?, ?, ?, ?, ?)");
    vx_sql_bind_text(&q, clustering->id);
    vx_sql_bind_int(&q, clustering->space);
    vx_sql_bind_int(&q, VX_CLUSTERING_BUILDING);
    vx_sql_bind_int(&q, clustering->created_us);
    vx_sql_bind_text(&q, clustering->request);
    vx_sql_bind_text(&q, clustering->summary);
    vx_sql_bind_blob(&q, clustering->centroids ? (void *)clustering->centroids : "",
                     clustering->centroid_bytes);
    rc = vx_sql_run(&q, err);
    if (!rc)
        clustering->row = sqlite3_last_insert_rowid(catalog->writer.handle);
    return rc;
}

static int insert_member(vx_catalog *catalog, const vx_clustering_row *clustering,
                         const vx_cluster_member *m, vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "INSERT INTO cluster_members (clustering, cluster, place, clip, video, score, outlier, "
           "x, y)"
           " SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? FROM vectors WHERE key = ?");
    vx_sql_bind_int(&q, clustering->row);
    vx_sql_bind_int(&q, m->cluster);
    vx_sql_bind_int(&q, m->place);
    vx_sql_bind_int(&q, m->clip);
    vx_sql_bind_int(&q, m->video);
    vx_sql_bind_real(&q, (double)m->score);
    vx_sql_bind_int(&q, m->outlier);
    vx_sql_bind_real(&q, (double)m->x);
    vx_sql_bind_real(&q, (double)m->y);
    vx_sql_bind_int(&q, vx_catalog_vector_key(clustering->space, m->clip));
    return vx_sql_run(&q, err);
}

int vx_catalog_insert_members(vx_catalog *catalog, const vx_clustering_row *clustering,
                              const vx_cluster_member *members, size_t n, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = insert_member(catalog, clustering, &members[i], err);
        vx_catalog_note_changed(catalog, members[i].video);
    }
    return rc;
}

int vx_catalog_finish_clustering(vx_catalog *catalog, int64_t row, const char *summary,
                                 vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE clusterings SET state = ?, summary = ? WHERE row = ? AND state = ?");
    vx_sql_bind_int(&q, VX_CLUSTERING_READY);
    vx_sql_bind_text(&q, summary);
    vx_sql_bind_int(&q, row);
    vx_sql_bind_int(&q, VX_CLUSTERING_BUILDING);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "the clustering was deleted");
    return rc;
}

int vx_catalog_retire_clustering(vx_catalog *catalog, const char *id, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    /* Another id, so that the job that made it can make it once more. */
    VX_SQL(q, &catalog->writer,
           "UPDATE clusterings SET state = ?, id = id || ':' || row WHERE id = ? AND state <> ?");
    vx_sql_bind_int(&q, VX_CLUSTERING_DELETED);
    vx_sql_bind_text(&q, id);
    vx_sql_bind_int(&q, VX_CLUSTERING_DELETED);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no clustering of that id");
    return rc;
}

int vx_catalog_retire_clusterings_of(vx_catalog *catalog, int64_t space, vx_err *err) {
    /* Their members go with the vectors, of which the listener does not hear. */
    VX_SQL(members, &catalog->writer,
           "SELECT DISTINCT video FROM cluster_members WHERE clustering IN"
           " (SELECT row FROM clusterings WHERE space = ? AND state <> ?)");
    vx_sql_bind_int(&members, space);
    vx_sql_bind_int(&members, VX_CLUSTERING_DELETED);
    int rc;
    while ((rc = vx_sql_next(&members, err)) > 0)
        vx_catalog_note_changed(catalog, vx_sql_int(&members));
    if (rc)
        return rc;
    VX_SQL(
        q, &catalog->writer,
        "UPDATE clusterings SET state = ?, id = id || ':' || row WHERE space = ? AND state <> ?");
    vx_sql_bind_int(&q, VX_CLUSTERING_DELETED);
    vx_sql_bind_int(&q, space);
    vx_sql_bind_int(&q, VX_CLUSTERING_DELETED);
    return vx_sql_run(&q, err);
}

/* The job "j<hex>" makes the clustering "c<hex>". */
int vx_catalog_retire_unfinished_clusterings(vx_catalog *catalog, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE clusterings SET state = ?, id = id || ':' || row WHERE state = ? AND NOT EXISTS"
           " (SELECT 1 FROM jobs WHERE jobs.id = 'j' || substr(clusterings.id, 2)"
           " AND jobs.finished_us = 0)");
    vx_sql_bind_int(&q, VX_CLUSTERING_DELETED);
    vx_sql_bind_int(&q, VX_CLUSTERING_BUILDING);
    return vx_sql_run(&q, err);
}

static int delete_some(vx_catalog *catalog, int64_t clustering, int max, int *ret_n, vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "DELETE FROM cluster_members WHERE (clustering, cluster, place) IN"
           " (SELECT clustering, cluster, place FROM cluster_members WHERE clustering = ? LIMIT ?)"
           " RETURNING video");
    vx_sql_bind_int(&q, clustering);
    vx_sql_bind_int(&q, max);
    int rc;
    for (*ret_n = 0; (rc = vx_sql_next(&q, err)) > 0; ++*ret_n)
        vx_catalog_note_changed(catalog, vx_sql_int(&q));
    return rc;
}

int vx_catalog_delete_members(vx_catalog *catalog, int max, bool *ret_more, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err), n;
    if (rc)
        return rc;
    VX_SQL(find, &catalog->writer, "SELECT row FROM clusterings WHERE state = ? LIMIT 1");
    vx_sql_bind_int(&find, VX_CLUSTERING_DELETED);
    rc = vx_sql_next(&find, err);
    if (rc < 0)
        return rc;
    *ret_more = rc > 0;
    if (rc == 0)
        return 0;
    int64_t row = vx_sql_int(&find);
    rc = delete_some(catalog, row, max, &n, err);
    if (rc || n == max)
        return rc;
    VX_SQL(drop, &catalog->writer, "DELETE FROM clusterings WHERE row = ?");
    vx_sql_bind_int(&drop, row);
    return vx_sql_run(&drop, err);
}

/* ---- reading ---- */

#define CLUSTERING_COLUMNS "row, id, space, state, created_us, request, summary"

static int read_clustering(vx_sql *q, vx_clustering_row *ret, vx_err *err) {
    bool oom = false;
    ret->row = vx_sql_int(q);
    vx_sql_text_into(q, ret->id, sizeof ret->id);
    ret->space = vx_sql_int(q);
    ret->state = (vx_clustering_state)vx_sql_int(q);
    ret->created_us = vx_sql_int(q);
    ret->request = vx_sql_text(q, &oom);
    ret->summary = vx_sql_text(q, &oom);
    return oom ? VX_FAIL(err, -ENOMEM, "out of memory") : 0;
}

static int copy_centroids(vx_sql *q, vx_clustering_row *ret, vx_err *err) {
    const void *data = vx_sql_blob(q, &ret->centroid_bytes);
    ret->centroids = malloc(ret->centroid_bytes + 1);
    if (!ret->centroids)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    if (ret->centroid_bytes)
        memcpy(ret->centroids, data, ret->centroid_bytes);
    return 0;
}

int vx_catalog_get_clustering(vx_catalog *catalog, const char *id, bool any,
                              vx_clustering_row *ret_clustering, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT " CLUSTERING_COLUMNS " FROM clusterings WHERE id = ? AND state BETWEEN ? AND ?");
    vx_sql_bind_text(&q, id);
    vx_sql_bind_int(&q, any ? VX_CLUSTERING_BUILDING : VX_CLUSTERING_READY);
    vx_sql_bind_int(&q, VX_CLUSTERING_READY);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no clustering of that id");
    *ret_clustering = (vx_clustering_row){0};
    rc = read_clustering(&q, ret_clustering, err);
    if (rc)
        vx_clustering_row_clear(ret_clustering);
    return rc;
}

int vx_catalog_read_centroids(vx_catalog *catalog, vx_clustering_row *clustering, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT centroids FROM clusterings WHERE row = ? AND state = ?");
    vx_sql_bind_int(&q, clustering->row);
    vx_sql_bind_int(&q, VX_CLUSTERING_READY);
    int rc = vx_sql_next(&q, err);
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "the clustering was deleted");
    return rc < 0 ? rc : copy_centroids(&q, clustering, err);
}

int vx_catalog_list_clusterings(vx_catalog *catalog, int64_t before_row, int64_t space,
                                size_t limit, bool brief, vx_clustering_row **ret_clusterings,
                                size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT row, id, space, state, created_us, iif(?5, NULL, request),"
           " iif(?5, NULL, summary)"
           " FROM clusterings WHERE state = ?1 AND (?2 = 0 OR row < ?2)"
           " AND (?3 = 0 OR space = ?3) ORDER BY row DESC LIMIT ?4");
    vx_sql_bind_int(&q, VX_CLUSTERING_READY);
    vx_sql_bind_int(&q, before_row);
    vx_sql_bind_int(&q, space);
    vx_sql_bind_int(&q, (int64_t)limit);
    vx_sql_bind_int(&q, brief);
    vx_clustering_row *rows = NULL;
    size_t n = 0, capacity = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        if (!vx_make_room(rows, n, capacity)) {
            rc = VX_FAIL(err, -ENOMEM, "out of memory");
            break;
        }
        rows[n] = (vx_clustering_row){0};
        rc = read_clustering(&q, &rows[n++], err);
        if (rc)
            break;
    }
    for (size_t i = 0; rc && i < n; i++)
        vx_clustering_row_clear(&rows[i]);
    if (rc) {
        free(rows);
        return rc;
    }
    *ret_clusterings = rows;
    *ret_n = n;
    return 0;
}

static void read_member(vx_sql *q, vx_cluster_member *m, bool *oom) {
    *m = (vx_cluster_member){.cluster = (int32_t)vx_sql_int(q)};
    m->place = vx_sql_int(q);
    m->clip = vx_sql_int(q);
    m->video = vx_sql_int(q);
    m->score = (float)vx_sql_real(q);
    m->outlier = vx_sql_int(q) != 0;
    m->x = (float)vx_sql_real(q);
    m->y = (float)vx_sql_real(q);
    vx_sql_text_into(q, m->video_id, sizeof m->video_id);
    m->filename = vx_sql_text(q, oom);
    m->clip_index = (int)vx_sql_int(q);
    m->start_s = vx_sql_real(q);
    m->end_s = vx_sql_real(q);
}

int vx_catalog_list_members(vx_catalog *catalog, const vx_member_query *query,
                            vx_cluster_member **ret_members, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT m.cluster, m.place, m.clip, m.video, m.score, m.outlier, m.x, m.y,"
           " videos.id, videos.filename, clips.position, clips.start_s, clips.end_s"
           " FROM cluster_members AS m CROSS JOIN videos ON videos.row = m.video"
           " CROSS JOIN clips ON clips.row = m.clip"
           " WHERE m.clustering = ? AND m.cluster BETWEEN ? AND ?"
           " AND (m.cluster, m.place) > (?, ?) AND m.outlier >= ?"
           " ORDER BY m.cluster, m.place LIMIT ?");
    vx_sql_bind_int(&q, query->clustering);
    vx_sql_bind_int(&q, query->first_cluster);
    vx_sql_bind_int(&q, query->last_cluster);
    vx_sql_bind_int(&q, query->after_cluster);
    vx_sql_bind_int(&q, query->after_place);
    vx_sql_bind_int(&q, query->only_outliers);
    vx_sql_bind_int(&q, (int64_t)query->limit);
    vx_cluster_member *members = vx_new_array(query->limit, sizeof *members);
    size_t n = 0;
    bool oom = !members;
    int rc = 0;
    while (!oom && n < query->limit && (rc = vx_sql_next(&q, err)) > 0)
        read_member(&q, &members[n++], &oom);
    if (oom)
        rc = VX_FAIL(err, -ENOMEM, "out of memory");
    if (rc < 0) {
        vx_cluster_members_free(members, n);
        return rc;
    }
    *ret_members = members;
    *ret_n = n;
    return 0;
}

int vx_catalog_count_members(vx_catalog *catalog, int64_t clustering,
                             vx_catalog_on_cluster on_cluster, void *ctx, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT cluster, count(*), sum(outlier) FROM cluster_members WHERE clustering = ?"
           " GROUP BY cluster ORDER BY cluster");
    vx_sql_bind_int(&q, clustering);
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int32_t cluster = (int32_t)vx_sql_int(&q);
        int64_t n = vx_sql_int(&q), n_outliers = vx_sql_int(&q);
        if ((rc = on_cluster(ctx, cluster, n, n_outliers, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_scan_labels(vx_catalog *catalog, int64_t clustering, vx_catalog_on_label on_label,
                           void *ctx, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT clip, cluster FROM cluster_members WHERE clustering = ?");
    vx_sql_bind_int(&q, clustering);
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t clip = vx_sql_int(&q);
        if ((rc = on_label(ctx, clip, (int32_t)vx_sql_int(&q), err)))
            return rc;
    }
    return rc;
}

int vx_catalog_count_clusterings(vx_catalog *catalog, int64_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*) FROM clusterings WHERE state = ?");
    vx_sql_bind_int(&q, VX_CLUSTERING_READY);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_n = vx_sql_int(&q);
    return 0;
}
