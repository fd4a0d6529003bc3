/* decisions.c — what people decided about duplicates. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "catalog_internal.h"

void vx_decision_clear(vx_decision *decision) {
    free(decision->videos);
    *decision = (vx_decision){0};
}

static int insert_video(vx_catalog *catalog, int64_t decision, const vx_decision_video *video,
                        vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "INSERT OR REPLACE INTO duplicate_decision_videos (decision, video, role, video_row,"
           " bytes, pending, of_row) VALUES (?, ?, ?, ?, ?, ?, ?)");
    vx_sql_bind_int(&q, decision);
    vx_sql_bind_text(&q, video->id);
    vx_sql_bind_int(&q, video->role);
    vx_sql_bind_int(&q, video->row);
    vx_sql_bind_int(&q, video->bytes);
    vx_sql_bind_int(&q, video->pending);
    vx_sql_bind_int(&q, video->of);
    return vx_sql_run(&q, err);
}

/* Also of what goes for the sake of a video that is now said to be unrelated to it. */
static int overrule_older(vx_catalog *catalog, int64_t decision, vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "UPDATE duplicate_decision_videos SET pending = 0 WHERE pending = 1 AND decision <> ?1"
           " AND video IN (SELECT video FROM duplicate_decision_videos WHERE decision = ?1)"
           " AND (video IN (SELECT video FROM duplicate_decision_videos"
           " WHERE decision = ?1 AND role <> ?3)"
           " OR of_row IN (SELECT video_row FROM duplicate_decision_videos"
           " WHERE decision = ?1 AND role = ?2))");
    vx_sql_bind_int(&q, decision);
    vx_sql_bind_int(&q, VX_ROLE_UNRELATED);
    vx_sql_bind_int(&q, VX_ROLE_OTHER);
    return vx_sql_run(&q, err);
}

int vx_catalog_insert_decision(vx_catalog *catalog, vx_decision *decision, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    {
        VX_SQL(q, &catalog->writer,
               "INSERT INTO duplicate_decisions (kind, policy, created_us, due_us)"
               " VALUES (?, ?, ?, ?) RETURNING row");
        vx_sql_bind_int(&q, decision->kind);
        vx_sql_bind_text(&q, decision->policy);
        vx_sql_bind_int(&q, decision->created_us);
        vx_sql_bind_int(&q, decision->due_us);
        rc = vx_sql_next(&q, err);
        if (rc <= 0)
            return rc ? rc : VX_FAIL(err, -EIO, "catalog: the decision was not stored");
        decision->row = vx_sql_int(&q);
        rc = vx_sql_next(&q, err);
    }
    for (size_t i = 0; i < decision->n && !rc; i++)
        rc = insert_video(catalog, decision->row, &decision->videos[i], err);
    return rc ? rc : overrule_older(catalog, decision->row, err);
}

int vx_catalog_delete_decision(vx_catalog *catalog, int64_t row, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "DELETE FROM duplicate_decisions WHERE row = ? RETURNING row");
    vx_sql_bind_int(&q, row);
    rc = vx_sql_next(&q, err);
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no decision %" PRId64, row);
    return rc < 0 ? rc : vx_sql_next(&q, err);
}

/* The columns of DECISION_VIDEO, in their order. */
#define DECISION_VIDEO "m.video, m.role, m.video_row, m.bytes, m.pending, m.of_row"
static void read_video(vx_sql *q, vx_decision_video *ret) {
    vx_sql_text_into(q, ret->id, sizeof ret->id);
    ret->role = (vx_decision_role)vx_sql_int(q);
    ret->row = vx_sql_int(q);
    ret->bytes = vx_sql_int(q);
    ret->pending = vx_sql_int(q) != 0;
    ret->of = vx_sql_int(q);
}

static int read_videos(vx_db *db, vx_decision *decision, vx_err *err) {
    VX_SQL(q, db,
           "SELECT " DECISION_VIDEO " FROM duplicate_decision_videos m WHERE m.decision = ?"
           " ORDER BY m.video");
    vx_sql_bind_int(&q, decision->row);
    size_t capacity = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        if (!vx_make_room(decision->videos, decision->n, capacity))
            return VX_FAIL(err, -ENOMEM, "out of memory");
        read_video(&q, &decision->videos[decision->n++]);
    }
    return rc;
}

int vx_catalog_get_decision(vx_catalog *catalog, int64_t row, vx_decision *ret_decision,
                            vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT kind, policy, created_us, due_us FROM duplicate_decisions WHERE row = ?");
    vx_sql_bind_int(&q, row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no decision %" PRId64, row);
    vx_decision found = {.row = row};
    found.kind = (vx_decision_kind)vx_sql_int(&q);
    vx_sql_text_into(&q, found.policy, sizeof found.policy);
    found.created_us = vx_sql_int(&q);
    found.due_us = vx_sql_int(&q);
    rc = read_videos(reader.db, &found, err);
    if (rc)
        vx_decision_clear(&found);
    else
        *ret_decision = found;
    return rc;
}

int vx_catalog_list_decisions(vx_catalog *catalog, int64_t before_row, size_t limit,
                              int64_t *ret_rows, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(
        q, reader.db,
        "SELECT row FROM duplicate_decisions WHERE ?1 = 0 OR row < ?1 ORDER BY row DESC LIMIT ?2");
    vx_sql_bind_int(&q, before_row);
    vx_sql_bind_int(&q, (int64_t)limit);
    size_t n = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0 && n < limit)
        ret_rows[n++] = vx_sql_int(&q);
    *ret_n = n;
    return rc < 0 ? rc : 0;
}

int vx_catalog_scan_decided(vx_catalog *catalog, vx_catalog_on_decided on_decided, void *ctx,
                            vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT d.row, d.kind, m.role, coalesce(v.row, 0) FROM duplicate_decisions d"
           " JOIN duplicate_decision_videos m ON m.decision = d.row"
           " LEFT JOIN videos v ON v.id = m.video ORDER BY d.row, m.video");
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t decision = vx_sql_int(&q);
        vx_decision_kind kind = (vx_decision_kind)vx_sql_int(&q);
        vx_decision_role role = (vx_decision_role)vx_sql_int(&q);
        if ((rc = on_decided(ctx, decision, kind, role, vx_sql_int(&q), err)))
            return rc;
    }
    return rc;
}

int vx_catalog_find_unrelated(vx_catalog *catalog, const char *video_id, int64_t **ret_rows,
                              size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT DISTINCT v.row FROM duplicate_decision_videos own"
           " JOIN duplicate_decisions d ON d.row = own.decision AND d.kind = ?2"
           " JOIN duplicate_decision_videos other ON other.decision = own.decision"
           " AND other.video <> own.video AND (own.role = ?3 OR other.role = ?3)"
           " JOIN videos v ON v.id = other.video WHERE own.video = ?1");
    vx_sql_bind_text(&q, video_id);
    vx_sql_bind_int(&q, VX_DECISION_UNRELATED);
    vx_sql_bind_int(&q, VX_ROLE_UNRELATED);
    VX_AUTO_FREE int64_t *rows = NULL;
    size_t n = 0, capacity = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        if (!vx_make_room(rows, n, capacity))
            return VX_FAIL(err, -ENOMEM, "out of memory");
        rows[n++] = vx_sql_int(&q);
    }
    if (rc)
        return rc;
    *ret_rows = vx_take(rows);
    *ret_n = n;
    return 0;
}

int vx_catalog_find_due(vx_catalog *catalog, int64_t now_us, size_t max,
                        vx_decision_video *ret_videos, int64_t *ret_decisions, size_t *ret_n,
                        int64_t *ret_next_us, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT d.due_us, d.row, " DECISION_VIDEO
           " FROM duplicate_decision_videos m JOIN duplicate_decisions d ON d.row = m.decision"
           " WHERE m.pending = 1 ORDER BY d.due_us, d.row, m.video LIMIT ?");
    vx_sql_bind_int(&q, (int64_t)max + 1);
    *ret_n = 0;
    *ret_next_us = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t due_us = vx_sql_int(&q);
        if (due_us > now_us || *ret_n == max) {
            *ret_next_us = due_us;
            return 0;
        }
        ret_decisions[*ret_n] = vx_sql_int(&q);
        read_video(&q, &ret_videos[(*ret_n)++]);
    }
    return rc;
}

int vx_catalog_check_deletion(vx_catalog *catalog, int64_t decision, const char *video_id,
                              vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(
        q, &catalog->writer,
        "SELECT EXISTS (SELECT 1 FROM duplicate_decision_videos k"
        " JOIN videos kv ON kv.row = k.video_row WHERE k.decision = m.decision AND k.role = ?3"
        " AND m.of_row IN (0, k.video_row) AND (" VX_SQL_HAS_FILE("kv") " OR NOT" VX_SQL_HAS_FILE(
            "v") ")) FROM duplicate_decision_videos m"
                 " JOIN videos v ON v.id = m.video AND v.row = m.video_row"
                 " WHERE m.decision = ?1 AND m.video = ?2 AND m.pending = 1");
    vx_sql_bind_int(&q, decision);
    vx_sql_bind_text(&q, video_id);
    vx_sql_bind_int(&q, VX_ROLE_KEPT);
    rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "it is not to be deleted any more");
    return vx_sql_int(&q) ? 0
                          : VX_FAIL(err, -ESTALE,
                                    "it stays: the video that was to be kept for it was deleted");
}

int vx_catalog_set_deleted(vx_catalog *catalog, int64_t decision, const char *video_id,
                           vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE duplicate_decision_videos SET pending = 0 WHERE decision = ? AND video = ?");
    vx_sql_bind_int(&q, decision);
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}
