/* videos.c — inserting, changing and deleting videos with their clips. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "catalog_internal.h"

/* The id is unique; the whole SHA-256 is compared so that a forged file with the same first
 * 96 bits is refused and not taken for the stored one. */
static int outcome_of_same_id(vx_catalog *catalog, const vx_video *video, vx_err *err) {
    bool stored;
    int rc = vx_catalog_has_sha256(catalog, video->sha256, &stored, err);
    if (rc)
        return rc;
    if (!stored)
        return VX_FAIL(err, -EEXIST, "another file has the id %s", video->id);
    return VX_FAIL(err, VX_CATALOG_EXISTS, "video %s is stored already", video->id);
}

/* SQLite would give out once more what an undone transaction gave out. But searches may have met those
 * rows in the indexes meanwhile, and would take the new video for the one that is gone. */
static int next_row(vx_db *db, const char *table, int64_t *last, int64_t *ret_row, vx_err *err) {
    if (!*last) {
        VX_SQL(q, db, "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?");
        vx_sql_bind_text(&q, table);
        int rc = vx_sql_next(&q, err);
        if (rc < 0)
            return rc;
        *last = vx_sql_int(&q);
    }
    *ret_row = ++*last;
    return 0;
}

/* From sample_aspect_ratio to fingerprints. */
static void bind_looks(vx_sql *q, const vx_video *video) {
    vx_sql_bind_real(q, video->sample_aspect_ratio);
    vx_sql_bind_real(q, video->rotation_deg < 0 ? (double)NAN : video->rotation_deg);
    vx_sql_bind_text(q, video->hdr[0] ? video->hdr : NULL);
    vx_sql_bind_text(q, video->clip_rule[0] ? video->clip_rule : NULL);
    vx_sql_bind_int(q, video->rules);
    vx_sql_bind_int(q, video->fingerprints);
}

static int insert_video_row(vx_catalog *catalog, vx_video *video, vx_err *err) {
    int64_t row;
    int rc = next_row(&catalog->writer, "videos", &catalog->last_video, &row, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO videos (row, id, sha256, filename, source_path, metadata, bytes, container,"
           " codec, width_px, height_px, fps, duration_s, created_us, verdict, duplicate_of, score,"
           " share, share_of_new, share_of_stored, offset_s, mirrored, decode_path, frames_decoded,"
           " frames_total, sample_aspect_ratio, rotation_deg, hdr, clip_rule, rules, fingerprints,"
           " evidence) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
           " ON CONFLICT (id) DO NOTHING");
    vx_sql_bind_int(&q, row);
    vx_sql_bind_text(&q, video->id);
    vx_sql_bind_blob(&q, video->sha256, sizeof video->sha256);
    vx_sql_bind_text(&q, video->filename);
    vx_sql_bind_text(&q, video->source_path);
    vx_sql_bind_text(&q, video->metadata ? video->metadata : "{}");
    vx_sql_bind_int(&q, video->bytes);
    vx_sql_bind_text(&q, video->container);
    vx_sql_bind_text(&q, video->codec);
    vx_sql_bind_int(&q, video->width_px);
    vx_sql_bind_int(&q, video->height_px);
    vx_sql_bind_real(&q, video->fps);
    vx_sql_bind_real(&q, video->duration_s);
    vx_sql_bind_int(&q, video->created_us);
    vx_sql_bind_int(&q, (int64_t)video->duplicate.kind);
    vx_sql_bind_text(&q, video->duplicate.of);
    vx_sql_bind_real(&q, (double)video->duplicate.score);
    vx_sql_bind_real(&q, (double)video->duplicate.share);
    vx_sql_bind_real(&q, (double)video->duplicate.share_of_new);
    vx_sql_bind_real(&q, (double)video->duplicate.share_of_stored);
    vx_sql_bind_real(&q, (double)video->duplicate.offset_s);
    vx_sql_bind_int(&q, video->duplicate.mirrored);
    vx_sql_bind_text(&q, video->decode_path);
    vx_sql_bind_int(&q, video->frames_decoded);
    vx_sql_bind_int(&q, video->frames_total);
    bind_looks(&q, video);
    vx_sql_bind_int(&q, video->evidence);
    rc = vx_sql_run(&q, err);
    if (rc)
        return rc;
    if (sqlite3_changes(catalog->writer.handle) == 0)
        return outcome_of_same_id(catalog, video, err);
    video->row = row;
    return 0;
}

static int insert_clip(vx_catalog *catalog, int64_t video, vx_clip *clip, vx_err *err) {
    int64_t row;
    int rc = next_row(&catalog->writer, "clips", &catalog->last_clip, &row, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO clips (row, video, position, start_s, end_s) VALUES (?, ?, ?, ?, ?)");
    vx_sql_bind_int(&q, row);
    vx_sql_bind_int(&q, video);
    vx_sql_bind_int(&q, clip->index);
    vx_sql_bind_real(&q, clip->start_s);
    vx_sql_bind_real(&q, clip->end_s);
    rc = vx_sql_run(&q, err);
    if (!rc)
        clip->row = row;
    return rc;
}

int vx_catalog_insert_video(vx_catalog *catalog, vx_video *video, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    vx_video_id_of(video->sha256, video->id);
    rc = insert_video_row(catalog, video, err);
    for (size_t i = 0; i < video->n_clips && !rc; i++)
        rc = insert_clip(catalog, video->row, &video->clips[i], err);
    return rc;
}

static int changed_one(vx_catalog *catalog, const char *video_id, vx_err *err) {
    if (sqlite3_changes(catalog->writer.handle) == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %s", video_id);
    return 0;
}

int vx_catalog_orphan_copies(vx_catalog *catalog, const char *video_id, size_t max, size_t *ret_n,
                             vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(
        q, &catalog->writer,
        "UPDATE videos SET verdict = ?, duplicate_of = '', score = NULL, share = NULL,"
        " share_of_new = NULL, share_of_stored = NULL, offset_s = NULL, mirrored = 0, rejudge = 1,"
        " updated_us = ? WHERE row IN (SELECT row FROM videos WHERE duplicate_of = ? AND"
        " duplicate_of <> '' LIMIT ?)");
    vx_sql_bind_int(&q, VX_VERDICT_NEW);
    vx_sql_bind_int(&q, vx_clock_unix_us());
    vx_sql_bind_text(&q, video_id);
    vx_sql_bind_int(&q, max > INT64_MAX ? INT64_MAX : (int64_t)max);
    rc = vx_sql_run(&q, err);
    *ret_n = rc ? 0 : (size_t)sqlite3_changes(catalog->writer.handle);
    return rc;
}

/* Clips and fingerprint go by foreign key, vectors by a trigger on the clips. */
int vx_catalog_delete_video(vx_catalog *catalog, const char *video_id, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "DELETE FROM videos WHERE id = ?");
    vx_sql_bind_text(&q, video_id);
    rc = vx_sql_run(&q, err);
    if (!rc)
        rc = changed_one(catalog, video_id, err);
    size_t n;
    return rc ? rc : vx_catalog_orphan_copies(catalog, video_id, SIZE_MAX, &n, err);
}

/* From verdict to mirrored. */
static void bind_verdict(vx_sql *q, const vx_verdict_row *verdict) {
    vx_sql_bind_int(q, (int64_t)verdict->kind);
    vx_sql_bind_text(q, verdict->of);
    vx_sql_bind_real(q, (double)verdict->score);
    vx_sql_bind_real(q, (double)verdict->share);
    vx_sql_bind_real(q, (double)verdict->share_of_new);
    vx_sql_bind_real(q, (double)verdict->share_of_stored);
    vx_sql_bind_real(q, (double)verdict->offset_s);
    vx_sql_bind_int(q, verdict->mirrored);
}
#define SET_VERDICT                                                                                \
    "UPDATE videos SET verdict = ?1, duplicate_of = ?2, score = ?3, share = ?4, share_of_new = "   \
    "?5,"                                                                                          \
    " share_of_stored = ?6, offset_s = ?7, mirrored = ?8, updated_us ="                            \
    " CASE WHEN verdict = ?1 AND duplicate_of = ?2 THEN updated_us ELSE ?9 END"

static int changed_row(vx_catalog *catalog, int64_t row, vx_err *err) {
    if (sqlite3_changes(catalog->writer.handle) == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, row);
    return 0;
}

int vx_catalog_set_verdict(vx_catalog *catalog, int64_t row, const vx_verdict_row *verdict,
                           vx_evidence_state evidence, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, SET_VERDICT ", rejudge = 0, evidence = ?10 WHERE row = ?11");
    bind_verdict(&q, verdict);
    vx_sql_bind_int(&q, vx_clock_unix_us());
    vx_sql_bind_int(&q, evidence);
    vx_sql_bind_int(&q, row);
    rc = vx_sql_run(&q, err);
    return rc ? rc : changed_row(catalog, row, err);
}

/* ---- the second look ---- */

static int revise(vx_catalog *catalog, int64_t row, const vx_verdict_row *revised, vx_err *err) {
    VX_SQL(q, &catalog->writer, SET_VERDICT " WHERE row = ?10");
    bind_verdict(&q, revised);
    vx_sql_bind_int(&q, vx_clock_unix_us());
    vx_sql_bind_int(&q, row);
    return vx_sql_run(&q, err);
}

int vx_catalog_rejudge_pictures(vx_catalog *catalog, size_t *ret_n, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET rejudge = 1 WHERE evidence = 1 AND verdict IN (?, ?, ?, ?)");
    vx_sql_bind_int(&q, VX_VERDICT_COPY);
    vx_sql_bind_int(&q, VX_VERDICT_PART_OF);
    vx_sql_bind_int(&q, VX_VERDICT_CONTAINS);
    vx_sql_bind_int(&q, VX_VERDICT_SHARED_SEGMENT);
    rc = vx_sql_run(&q, err);
    *ret_n = rc ? 0 : (size_t)sqlite3_changes(catalog->writer.handle);
    return rc;
}

int vx_catalog_begin_second_look(vx_catalog *catalog, int64_t row, bool *ret_failed, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET look_tries = min(look_tries + 1, ?1),"
           " evidence = iif(look_tries < ?1, evidence, ?2)"
           " WHERE row = ?3 AND evidence = ?4 RETURNING evidence");
    vx_sql_bind_int(&q, VX_CATALOG_LOOK_TRIES);
    vx_sql_bind_int(&q, VX_EVIDENCE_FAILED);
    vx_sql_bind_int(&q, row);
    vx_sql_bind_int(&q, VX_EVIDENCE_PENDING);
    rc = vx_sql_next(&q, err);
    if (rc <= 0)
        return rc ? rc : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, row);
    *ret_failed = vx_sql_int(&q) == VX_EVIDENCE_FAILED;
    rc = vx_sql_next(&q, err);
    return rc < 0 ? rc : 0;
}

int vx_catalog_break_off_second_look(vx_catalog *catalog, int64_t row, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET look_tries = max(look_tries - 1, 0) WHERE row = ?");
    vx_sql_bind_int(&q, row);
    rc = vx_sql_run(&q, err);
    return rc ? rc : changed_row(catalog, row, err);
}

int vx_catalog_end_second_look(vx_catalog *catalog, int64_t row, const vx_verdict_row *seen,
                               const vx_verdict_row *revised, const char *looks, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(
        q, &catalog->writer,
        "UPDATE videos SET evidence = ?, looks = ?, look_tries = 0 WHERE row = ? AND evidence = ?"
        " AND rejudge = 0 AND verdict = ? AND duplicate_of = ?");
    vx_sql_bind_int(&q, VX_EVIDENCE_DONE);
    vx_sql_bind_text(&q, looks);
    vx_sql_bind_int(&q, row);
    vx_sql_bind_int(&q, VX_EVIDENCE_PENDING);
    vx_sql_bind_int(&q, (int64_t)seen->kind);
    vx_sql_bind_text(&q, seen->of);
    rc = vx_sql_run(&q, err);
    if (!rc)
        rc = changed_row(catalog, row, err);
    return rc || !revised ? rc : revise(catalog, row, revised, err);
}

int vx_catalog_count_pending(vx_catalog *catalog, int64_t *ret_n, int64_t *ret_oldest_us,
                             vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(
        q, reader.db,
        "SELECT count(*), (SELECT created_us FROM videos WHERE evidence = 1 ORDER BY row LIMIT 1)"
        " FROM videos WHERE evidence = 1");
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    *ret_n = vx_sql_int(&q);
    *ret_oldest_us = vx_sql_int(&q);
    return 0;
}

int vx_catalog_get_looks(vx_catalog *catalog, int64_t row, char **ret_looks, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT looks FROM videos WHERE row = ?");
    vx_sql_bind_int(&q, row);
    int rc = vx_sql_next(&q, err);
    if (rc <= 0)
        return rc ? rc : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, row);
    bool oom = false;
    *ret_looks = vx_sql_text(&q, &oom);
    return oom ? VX_FAIL(err, -ENOMEM, "out of memory") : 0;
}

int vx_catalog_adopt_file(vx_catalog *catalog, int64_t row, int64_t bytes, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET source_path = NULL, bytes = ?, rules = 0 WHERE row = ? AND "
           "source_path = ''");
    vx_sql_bind_int(&q, bytes);
    vx_sql_bind_int(&q, row);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no imported video %" PRId64, row);
    return rc;
}

static int read_rows(vx_sql *q, size_t max, int64_t *ret_rows, size_t *ret_n, vx_err *err) {
    size_t n = 0;
    int rc;
    while ((rc = vx_sql_next(q, err)) > 0 && n < max)
        ret_rows[n++] = vx_sql_int(q);
    if (rc < 0)
        return rc;
    *ret_n = n;
    return 0;
}

int vx_catalog_find_rejudged(vx_catalog *catalog, int64_t above_row, size_t max, int64_t *ret_rows,
                             size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT row FROM videos WHERE rejudge = 1 AND row > ? ORDER BY row LIMIT ?");
    vx_sql_bind_int(&q, above_row);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_rows(&q, max, ret_rows, ret_n, err);
}

int vx_catalog_find_pending(vx_catalog *catalog, int64_t above_row, size_t max, int64_t *ret_rows,
                            size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT row FROM videos WHERE evidence = 1 AND rejudge = 0 AND row > ?"
           " ORDER BY row LIMIT ?");
    vx_sql_bind_int(&q, above_row);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_rows(&q, max, ret_rows, ret_n, err);
}

int vx_catalog_find_originals(vx_catalog *catalog, int64_t before_row, size_t max,
                              int64_t *ret_rows, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT DISTINCT original.row FROM (SELECT duplicate_of FROM videos"
           " WHERE row < ? AND duplicate_of <> '' ORDER BY row DESC LIMIT 500) AS recent"
           " JOIN videos AS original ON original.id = recent.duplicate_of LIMIT ?");
    vx_sql_bind_int(&q, before_row);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_rows(&q, max, ret_rows, ret_n, err);
}

int vx_catalog_mark_rejudged(vx_catalog *catalog, int64_t row, const char *video_id, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET rejudge = 1 WHERE row = ?1 OR (duplicate_of = ?2 AND duplicate_of <> "
           "'')");
    vx_sql_bind_int(&q, row);
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

/* ---- read again ---- */

int vx_catalog_set_media(vx_catalog *catalog, const vx_video *video, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET container = ?, codec = ?, width_px = ?, height_px = ?, fps = ?,"
           " duration_s = ?, decode_path = ?, frames_decoded = ?, frames_total = ?,"
           " sample_aspect_ratio = ?, rotation_deg = ?, hdr = ?, clip_rule = ?, rules = ?,"
           " fingerprints = ? WHERE row = ?");
    vx_sql_bind_text(&q, video->container);
    vx_sql_bind_text(&q, video->codec);
    vx_sql_bind_int(&q, video->width_px);
    vx_sql_bind_int(&q, video->height_px);
    vx_sql_bind_real(&q, video->fps);
    vx_sql_bind_real(&q, video->duration_s);
    vx_sql_bind_text(&q, video->decode_path);
    vx_sql_bind_int(&q, video->frames_decoded);
    vx_sql_bind_int(&q, video->frames_total);
    bind_looks(&q, video);
    vx_sql_bind_int(&q, video->row);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %" PRId64, video->row);
    return rc;
}

static int delete_vectors_of_video(vx_catalog *catalog, int64_t video, vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "DELETE FROM vectors WHERE key IN (SELECT (spaces.row << 40) | clips.row"
           " FROM clips CROSS JOIN spaces WHERE clips.video = ?)");
    vx_sql_bind_int(&q, video);
    return vx_sql_run(&q, err);
}

static int delete_clips_from(vx_catalog *catalog, int64_t video, size_t index, vx_err *err) {
    VX_SQL(q, &catalog->writer, "DELETE FROM clips WHERE video = ? AND position >= ?");
    vx_sql_bind_int(&q, video);
    vx_sql_bind_int(&q, (int64_t)index);
    return vx_sql_run(&q, err);
}

/* Sets clip->row; 0: there is none of that index. */
static int move_clip(vx_catalog *catalog, int64_t video, vx_clip *clip, vx_err *err) {
    VX_SQL(
        q, &catalog->writer,
        "UPDATE clips SET start_s = ?, end_s = ? WHERE video = ? AND position = ? RETURNING row");
    vx_sql_bind_real(&q, clip->start_s);
    vx_sql_bind_real(&q, clip->end_s);
    vx_sql_bind_int(&q, video);
    vx_sql_bind_int(&q, clip->index);
    int rc = vx_sql_next(&q, err);
    if (rc < 0)
        return rc;
    clip->row = rc ? vx_sql_int(&q) : 0;
    return 0;
}

int vx_catalog_replace_clips(vx_catalog *catalog, vx_video *video, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc)
        rc = delete_vectors_of_video(catalog, video->row, err);
    if (!rc)
        rc = delete_clips_from(catalog, video->row, video->n_clips, err);
    for (size_t i = 0; i < video->n_clips && !rc; i++) {
        rc = move_clip(catalog, video->row, &video->clips[i], err);
        if (!rc && !video->clips[i].row)
            rc = insert_clip(catalog, video->row, &video->clips[i], err);
    }
    return rc;
}

/* ---- what clients change ---- */

int vx_catalog_set_metadata(vx_catalog *catalog, const char *video_id, const char *metadata_json,
                            vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "UPDATE videos SET metadata = ? WHERE id = ?");
    vx_sql_bind_text(&q, metadata_json);
    vx_sql_bind_text(&q, video_id);
    rc = vx_sql_run(&q, err);
    if (rc)
        return rc;
    return changed_one(catalog, video_id, err);
}

int vx_catalog_set_filename(vx_catalog *catalog, const char *video_id, const char *filename,
                            vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "UPDATE videos SET filename = ? WHERE id = ?");
    vx_sql_bind_text(&q, filename);
    vx_sql_bind_text(&q, video_id);
    rc = vx_sql_run(&q, err);
    if (rc)
        return rc;
    return changed_one(catalog, video_id, err);
}

int vx_catalog_merge_metadata(vx_catalog *catalog, const char *video_id, const char *patch_json,
                              vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET metadata = json_patch(metadata, ?) WHERE id = ?");
    vx_sql_bind_text(&q, patch_json);
    vx_sql_bind_text(&q, video_id);
    rc = vx_sql_run(&q, err);
    if (rc)
        return rc;
    return changed_one(catalog, video_id, err);
}
