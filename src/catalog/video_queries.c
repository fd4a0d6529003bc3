/* video_queries.c — finding videos, with their clips. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "catalog_internal.h"

/* ---- A page of videos with their clips ---- */

#define VIDEO_COLUMNS                                                                              \
    "row, id, sha256, filename, source_path, metadata, bytes, container, codec, width_px,"         \
    " height_px, fps, duration_s, created_us, verdict, duplicate_of, score, share,"                \
    " share_of_new, share_of_stored, offset_s,"                                                    \
    " mirrored, decode_path, frames_decoded, frames_total, sample_aspect_ratio, rotation_deg,"     \
    " hdr, clip_rule, rules, fingerprints, frames, evidence, updated_us,"                          \
    " (SELECT group_concat(folder || CASE dir WHEN '' THEN '/' ELSE '/' || dir || '/' END"         \
    " || name, '//') FROM"                                                                         \
    " (SELECT * FROM folder_files WHERE video = videos.id AND missing_us = 0 LIMIT 16))"

/* And where its clips are in clusterings, as filters name it. For DISTINCT alone SQLite makes a table, which takes
 * longer than all the rest: not for a video that is in none. */
#define CLUSTERS_COLUMN                                                                            \
    ", CASE WHEN EXISTS (SELECT 1 FROM cluster_members WHERE video = videos.row) THEN"             \
    " (SELECT group_concat(DISTINCT clusterings.id || '.' ||"                                      \
    " CASE WHEN cluster < 0 THEN 'none' ELSE cluster END)"                                         \
    " FROM cluster_members CROSS JOIN clusterings ON clusterings.row = clustering"                 \
    " WHERE cluster_members.video = videos.row AND clusterings.state < 2) END"

typedef struct video_page {
    vx_video **videos; /* row descending */
    size_t n;
} video_page;

static void video_page_done(video_page *page) {
    for (size_t i = 0; i < page->n; i++)
        vx_video_free(page->videos[i]);
    free(page->videos);
}
#define VIDEO_PAGE(name) __attribute__((cleanup(video_page_done))) video_page name = {NULL, 0}

/* The columns in the order of VIDEO_COLUMNS. */
static int read_video(vx_sql *q, vx_video **ret_video, vx_err *err) {
    VX_AUTO(vx_video) video = vx_new(vx_video);
    if (!video)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    bool oom = false;
    video->row = vx_sql_int(q);
    vx_sql_text_into(q, video->id, sizeof video->id);
    size_t sha_bytes;
    const void *sha256 = vx_sql_blob(q, &sha_bytes);
    if (sha_bytes != sizeof video->sha256)
        return VX_FAIL(err, -EIO, "catalog: video %s has no SHA-256", video->id);
    memcpy(video->sha256, sha256, sizeof video->sha256);
    video->filename = vx_sql_text(q, &oom);
    video->source_path = vx_sql_text(q, &oom);
    video->metadata = vx_sql_text(q, &oom);
    video->bytes = vx_sql_int(q);
    vx_sql_text_into(q, video->container, sizeof video->container);
    vx_sql_text_into(q, video->codec, sizeof video->codec);
    video->width_px = (int)vx_sql_int(q);
    video->height_px = (int)vx_sql_int(q);
    video->fps = vx_sql_real(q);
    video->duration_s = vx_sql_real(q);
    video->created_us = vx_sql_int(q);
    video->duplicate.kind = (vx_verdict_kind)vx_sql_int(q);
    vx_sql_text_into(q, video->duplicate.of, sizeof video->duplicate.of);
    video->duplicate.score = (float)vx_sql_real(q);
    video->duplicate.share = (float)vx_sql_real(q);
    video->duplicate.share_of_new = (float)vx_sql_real(q);
    video->duplicate.share_of_stored = (float)vx_sql_real(q);
    video->duplicate.offset_s = (float)vx_sql_real(q);
    video->duplicate.mirrored = vx_sql_int(q) != 0;
    vx_sql_text_into(q, video->decode_path, sizeof video->decode_path);
    video->frames_decoded = vx_sql_int(q);
    video->frames_total = vx_sql_int(q);
    video->sample_aspect_ratio = vx_sql_real(q);
    int64_t rotation_deg = -1;
    vx_sql_int_or_null(q, &rotation_deg);
    video->rotation_deg = (int)rotation_deg;
    vx_sql_text_into(q, video->hdr, sizeof video->hdr);
    vx_sql_text_into(q, video->clip_rule, sizeof video->clip_rule);
    video->rules = (int)vx_sql_int(q);
    video->fingerprints = (int)vx_sql_int(q);
    video->frames = (vx_clip_frames)vx_sql_int(q);
    video->evidence = (vx_evidence_state)vx_sql_int(q);
    video->updated_us = vx_sql_int(q);
    video->places = vx_sql_text(q, &oom);
    if (oom)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    *ret_video = vx_take(video);
    return 0;
}

/* The same and CLUSTERS_COLUMN. */
static int read_clustered(vx_sql *q, vx_video **ret_video, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    bool oom = false;
    int rc = read_video(q, &video, err);
    if (rc)
        return rc;
    video->clusters = vx_sql_text(q, &oom);
    if (oom)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    *ret_video = vx_take(video);
    return 0;
}

static int read_page(vx_sql *q, size_t limit, video_page *page, vx_err *err) {
    page->videos = vx_new_array(limit, sizeof *page->videos);
    if (!page->videos)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    int rc = 0;
    while (page->n < limit && (rc = vx_sql_next(q, err)) > 0) {
        rc = read_video(q, &page->videos[page->n], err);
        if (rc)
            return rc;
        page->n++;
    }
    return rc < 0 ? rc : 0;
}

static void read_clip(vx_sql *q, vx_clip *ret_clip) {
    ret_clip->row = vx_sql_int(q);
    ret_clip->index = (int)vx_sql_int(q);
    ret_clip->start_s = vx_sql_real(q);
    ret_clip->end_s = vx_sql_real(q);
}

static int append_clip(vx_video *video, const vx_clip *clip, vx_err *err) {
    if ((video->n_clips & (video->n_clips - 1)) == 0) { /* full at 0, 1, 2, 4, 8 … */
        vx_clip *grown =
            vx_regrow(video->clips, video->n_clips ? 2 * video->n_clips : 1, sizeof *video->clips);
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "out of memory");
        video->clips = grown;
    }
    video->clips[video->n_clips++] = *clip;
    return 0;
}

/* "[12,11,5]": one bound parameter for a list of any length. */
static char *rows_as_json(const int64_t *rows, size_t n) {
    size_t bytes;
    if (!vx_mul(n, 21, &bytes) || !vx_add(bytes, 3, &bytes)) /* 20 characters and a comma */
        return NULL;
    char *text = malloc(bytes);
    if (!text)
        return NULL;
    size_t used = 0;
    text[used++] = '[';
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%" PRId64, i ? "," : "", rows[i]);
    memcpy(text + used, "]", 2);
    return text;
}

static char *page_as_json(const video_page *page) {
    VX_AUTO_FREE int64_t *rows = vx_new_array(page->n, sizeof *rows);
    for (size_t i = 0; rows && i < page->n; i++)
        rows[i] = page->videos[i]->row;
    return rows ? rows_as_json(rows, page->n) : NULL;
}

/* One query for the clips of the whole page: both are in the same descending order of rows. */
static int read_clips(vx_db *db, video_page *page, vx_err *err) {
    VX_AUTO_FREE char *rows = page_as_json(page);
    if (!rows)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    VX_SQL(q, db,
           "SELECT video, row, position, start_s, end_s FROM clips"
           " WHERE video IN (SELECT value FROM json_each(?)) ORDER BY video DESC, position");
    vx_sql_bind_text(&q, rows);
    int rc;
    size_t i = 0;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t video = vx_sql_int(&q);
        vx_clip clip;
        read_clip(&q, &clip);
        while (i < page->n && page->videos[i]->row != video)
            i++;
        if (i == page->n)
            return VX_FAIL(err, -EIO, "catalog: a clip of an unknown video");
        if ((rc = append_clip(page->videos[i], &clip, err)))
            return rc;
    }
    return rc;
}

/* What two statements read is of one moment in between. */
static int begin_reading(vx_db *db, bool *ret_own, vx_err *err) {
    *ret_own = !vx_db_in_transaction(db);
    return *ret_own ? vx_db_run(db, "BEGIN", err) : 0;
}

static void end_reading(vx_db *db, bool own) {
    if (own && vx_db_in_transaction(db))
        vx_db_run(db, "ROLLBACK", NULL);
}

static int read_snapshot(vx_db *db, vx_sql *q, size_t limit, video_page *page, vx_err *err) {
    bool own;
    int rc = begin_reading(db, &own, err);
    if (!rc)
        rc = read_page(q, limit, page, err);
    if (!rc && page->n > 0)
        rc = read_clips(db, page, err);
    vx_sql_end(q);
    end_reading(db, own);
    return rc;
}

static int read_one(vx_db *db, vx_sql *q, vx_video **ret_video, vx_err *err) {
    VIDEO_PAGE(page);
    int rc = read_snapshot(db, q, 1, &page, err);
    if (rc)
        return rc;
    if (page.n == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no such video");
    *ret_video = vx_take(page.videos[0]);
    return 0;
}

/* ---- Videos ---- */

int vx_catalog_get_video(vx_catalog *catalog, const char *video_id, vx_video **ret_video,
                         vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT " VIDEO_COLUMNS " FROM videos WHERE id = ?");
    vx_sql_bind_text(&q, video_id);
    return read_one(reader.db, &q, ret_video, err);
}

int vx_catalog_get_video_by_sha256(vx_catalog *catalog, const uint8_t sha256[32],
                                   vx_video **ret_video, vx_err *err) {
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_video_id_of(sha256, id);
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT " VIDEO_COLUMNS " FROM videos WHERE id = ? AND sha256 = ?");
    vx_sql_bind_text(&q, id);
    vx_sql_bind_blob(&q, sha256, 32);
    return read_one(reader.db, &q, ret_video, err);
}

/* With its clips and clusters. Two statements: inside a transaction they are of one moment. */
static int read_by_row(vx_db *db, int64_t row, vx_video **ret_video, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    VX_SQL(q, db, "SELECT " VIDEO_COLUMNS CLUSTERS_COLUMN " FROM videos WHERE row = ?");
    vx_sql_bind_int(&q, row);
    int rc = vx_sql_next(&q, err);
    if (rc <= 0)
        return rc ? rc : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no such video");
    if ((rc = read_clustered(&q, &video, err)))
        return rc;
    VX_SQL(clips, db,
           "SELECT row, position, start_s, end_s FROM clips WHERE video = ? ORDER BY position");
    vx_sql_bind_int(&clips, row);
    while ((rc = vx_sql_next(&clips, err)) > 0) {
        vx_clip clip;
        read_clip(&clips, &clip);
        if ((rc = append_clip(video, &clip, err)))
            return rc;
    }
    if (!rc)
        *ret_video = vx_take(video);
    return rc;
}

int vx_catalog_get_video_by_row(vx_catalog *catalog, int64_t row, vx_video **ret_video,
                                vx_err *err) {
    VX_READER(reader, catalog);
    bool own;
    int rc = begin_reading(reader.db, &own, err);
    if (!rc)
        rc = read_by_row(reader.db, row, ret_video, err);
    end_reading(reader.db, own);
    return rc;
}

int vx_catalog_read_videos(vx_catalog *catalog, const int64_t *rows, size_t n,
                           vx_catalog_on_row on_row, void *ctx, vx_err *err) {
    VX_READER(reader, catalog);
    bool own;
    int rc = begin_reading(reader.db, &own, err);
    for (size_t i = 0; i < n && !rc; i++) {
        VX_AUTO(vx_video) video = NULL;
        rc = read_by_row(reader.db, rows[i], &video, err);
        if (!rc || rc == VX_CATALOG_NOT_FOUND)
            rc = on_row(ctx, rows[i], video, err);
    }
    end_reading(reader.db, own);
    return rc;
}

int vx_catalog_find_videos_of_clips(vx_catalog *catalog, const int64_t *clips, size_t n,
                                    int64_t *ret_videos, vx_err *err) {
    if (n == 0)
        return 0;
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT row, video FROM clips WHERE row BETWEEN ? AND ? ORDER BY row");
    vx_sql_bind_int(&q, clips[0]);
    vx_sql_bind_int(&q, clips[n - 1]);
    size_t i = 0;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t clip = vx_sql_int(&q), video = vx_sql_int(&q);
        while (i < n && clips[i] < clip)
            ret_videos[i++] = 0;
        if (i < n && clips[i] == clip)
            ret_videos[i++] = video;
    }
    while (i < n)
        ret_videos[i++] = 0;
    return rc;
}

/* One number a row of the query. */
static int read_rows(vx_sql *q, size_t max, int64_t *ret_rows, size_t *ret_n, vx_err *err) {
    size_t n = 0;
    int rc = 0;
    while (n < max && (rc = vx_sql_next(q, err)) > 0)
        ret_rows[n++] = vx_sql_int(q);
    if (rc < 0)
        return rc;
    *ret_n = n;
    return 0;
}

/* Read by older rules, or hashed less than now; on key frames nothing is more than 1 (vx_fingerprints_of_frames).
 * What has no file cannot be read again. Said in both parts, so that SQLite finds the index of each. */
#define OUTDATED                                                                                   \
    "(source_path IS NOT '' AND rules < ?) OR"                                                     \
    " (source_path IS NOT '' AND fingerprints < ? AND (frames = 0 OR fingerprints < 1))"

int vx_catalog_find_outdated(vx_catalog *catalog, int rules, int fingerprints, int64_t above_row,
                             size_t max, int64_t *ret_rows, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT row FROM videos WHERE (" OUTDATED ") AND row > ?"
           " ORDER BY row LIMIT ?");
    vx_sql_bind_int(&q, rules);
    vx_sql_bind_int(&q, fingerprints);
    vx_sql_bind_int(&q, above_row);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_rows(&q, max, ret_rows, ret_n, err);
}

int vx_catalog_find_videos(vx_catalog *catalog, int64_t above_row, size_t max, int64_t *ret_rows,
                           size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT row FROM videos WHERE row > ? ORDER BY row LIMIT ?");
    vx_sql_bind_int(&q, above_row);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_rows(&q, max, ret_rows, ret_n, err);
}

int vx_catalog_has_video(vx_catalog *catalog, int64_t row, bool *ret_has, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT 1 FROM videos WHERE row = ?");
    vx_sql_bind_int(&q, row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_has = rc > 0;
    return 0;
}

int vx_catalog_get_video_of_clip(vx_catalog *catalog, int64_t clip_row, vx_video **ret_video,
                                 vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT " VIDEO_COLUMNS ", clip, position, start_s, end_s FROM videos JOIN"
           " (SELECT row AS clip, video, position, start_s, end_s FROM clips WHERE row = ?)"
           " ON row = video");
    vx_sql_bind_int(&q, clip_row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no clip %" PRId64, clip_row);
    VX_AUTO(vx_video) video = NULL;
    if ((rc = read_video(&q, &video, err)))
        return rc;
    vx_clip clip;
    read_clip(&q, &clip);
    if ((rc = append_clip(video, &clip, err)))
        return rc;
    *ret_video = vx_take(video);
    return 0;
}

int vx_catalog_get_video_alone(vx_catalog *catalog, int64_t row, vx_video **ret_video,
                               vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT " VIDEO_COLUMNS CLUSTERS_COLUMN " FROM videos WHERE row = ?");
    vx_sql_bind_int(&q, row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, row);
    return read_clustered(&q, ret_video, err);
}

int vx_catalog_read_next_video(vx_db *db, int64_t above_row, vx_video **ret_video, vx_err *err) {
    VX_SQL(q, db,
           "SELECT " VIDEO_COLUMNS CLUSTERS_COLUMN
           " FROM videos WHERE row > ? ORDER BY row LIMIT 1");
    vx_sql_bind_int(&q, above_row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video above %" PRId64, above_row);
    return read_clustered(&q, ret_video, err);
}

int vx_catalog_get_metadata(vx_catalog *catalog, int64_t row, char **ret_metadata, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT metadata FROM videos WHERE row = ?");
    vx_sql_bind_int(&q, row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, row);
    bool oom = false;
    char *metadata = vx_sql_text(&q, &oom);
    if (!metadata)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    *ret_metadata = metadata;
    return 0;
}

int vx_catalog_scan_videos(vx_catalog *catalog, vx_catalog_on_video on_video, void *ctx,
                           vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT " VIDEO_COLUMNS CLUSTERS_COLUMN " FROM videos ORDER BY row");
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0) {
        VX_AUTO(vx_video) video = NULL;
        if ((rc = read_clustered(&q, &video, err)) || (rc = on_video(ctx, video, err)))
            return rc;
    }
    return rc;
}

int vx_catalog_get_duration(vx_catalog *catalog, int64_t row, double *ret_s, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT duration_s FROM videos WHERE row = ?");
    vx_sql_bind_int(&q, row);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, row);
    *ret_s = vx_sql_real(&q);
    return 0;
}

int vx_catalog_list_videos(vx_catalog *catalog, const vx_video_query *query, vx_video ***ret_videos,
                           size_t *ret_n, vx_err *err) {
    if (query->limit < 1 || query->limit > 1000)
        return VX_FAIL(err, -EINVAL, "catalog: a page of %zu videos", query->limit);
    VIDEO_PAGE(page);
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT " VIDEO_COLUMNS " FROM videos WHERE row < ? ORDER BY row DESC LIMIT ?");
    vx_sql_bind_int(&q, query->before_row > 0 ? query->before_row : INT64_MAX);
    vx_sql_bind_int(&q, (int64_t)query->limit);
    int rc = read_snapshot(reader.db, &q, query->limit, &page, err);
    if (rc)
        return rc;
    *ret_n = page.n;
    page.n = 0;
    *ret_videos = vx_take(page.videos);
    return 0;
}

int vx_catalog_get_videos(vx_catalog *catalog, const int64_t *rows, size_t n,
                          vx_video ***ret_videos, size_t *ret_n, vx_err *err) {
    if (n < 1 || n > 1000)
        return VX_FAIL(err, -EINVAL, "catalog: a page of %zu videos", n);
    VX_AUTO_FREE char *list = rows_as_json(rows, n);
    if (!list)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    VIDEO_PAGE(page);
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT " VIDEO_COLUMNS " FROM videos WHERE row IN (SELECT value FROM json_each(?))"
           " ORDER BY row DESC");
    vx_sql_bind_text(&q, list);
    int rc = read_snapshot(reader.db, &q, n, &page, err);
    if (rc)
        return rc;
    *ret_n = page.n;
    page.n = 0;
    *ret_videos = vx_take(page.videos);
    return 0;
}

static int read_int(vx_sql *q, int64_t *ret_value, vx_err *err) {
    int rc = vx_sql_next(q, err);
    if (rc < 0)
        return rc;
    *ret_value = rc ? vx_sql_int(q) : 0;
    return 0;
}

int vx_catalog_count_videos(vx_catalog *catalog, int64_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*) FROM videos");
    return read_int(&q, ret_n, err);
}

int vx_catalog_count_outdated(vx_catalog *catalog, int rules, int fingerprints, int64_t *ret_n,
                              vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*) FROM videos WHERE " OUTDATED);
    vx_sql_bind_int(&q, rules);
    vx_sql_bind_int(&q, fingerprints);
    return read_int(&q, ret_n, err);
}

int vx_catalog_count_clips(vx_catalog *catalog, int64_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT count(*) FROM clips");
    return read_int(&q, ret_n, err);
}

int vx_catalog_has_sha256(vx_catalog *catalog, const uint8_t sha256[32], bool *ret_stored,
                          vx_err *err) {
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_video_id_of(sha256, id);
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT 1 FROM videos WHERE id = ? AND sha256 = ?");
    vx_sql_bind_text(&q, id);
    vx_sql_bind_blob(&q, sha256, 32);
    int64_t found;
    int rc = read_int(&q, &found, err);
    if (!rc)
        *ret_stored = found != 0;
    return rc;
}
