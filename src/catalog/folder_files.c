/* folder_files.c — the files in folders in place: one row for the bytes of one file at one path. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "catalog_internal.h"
#include "folder_rows.h"

#define FILE_COLUMNS                                                                               \
    " row, folder, dir, name, bytes, mtime_ns, ctime_ns, video, error, retry, recheck,"            \
    " ready_us, missing_us"

void vx_folder_file_clear(vx_folder_file *file) {
    free(file->dir);
    free(file->name);
    free(file->error);
    *file = (vx_folder_file){0};
}

void vx_folder_files_free(vx_folder_file *files, size_t n) {
    for (size_t i = 0; i < n; i++)
        vx_folder_file_clear(&files[i]);
    free(files);
}

static int read_file(vx_sql *q, vx_folder_file *ret_file, vx_err *err) {
    bool oom = false;
    vx_folder_file file = {.row = vx_sql_int(q)};
    vx_sql_text_into(q, file.folder, sizeof file.folder);
    file.dir = vx_sql_text(q, &oom);
    file.name = vx_sql_text(q, &oom);
    file.bytes = vx_sql_int(q);
    file.mtime_ns = vx_sql_int(q);
    file.ctime_ns = vx_sql_int(q);
    vx_sql_text_into(q, file.video, sizeof file.video);
    file.error = vx_sql_text(q, &oom);
    file.retry = vx_sql_int(q);
    file.recheck = vx_sql_int(q);
    file.ready_us = vx_sql_int(q);
    file.missing_us = vx_sql_int(q);
    if (oom) {
        vx_folder_file_clear(&file);
        return VX_FAIL(err, -ENOMEM, "out of memory");
    }
    *ret_file = file;
    return 0;
}

static int read_files(vx_sql *q, size_t max, vx_folder_file **ret_files, size_t *ret_n,
                      vx_err *err) {
    vx_folder_file *files = NULL;
    size_t n = 0, capacity = 0;
    int rc = 0;
    while (n < max && (rc = vx_sql_next(q, err)) > 0) {
        rc = vx_make_room(files, n, capacity) ? read_file(q, &files[n], err)
                                              : VX_FAIL(err, -ENOMEM, "out of memory");
        if (rc)
            break;
        n++;
    }
    if (rc < 0) {
        vx_folder_files_free(files, n);
        return rc;
    }
    *ret_files = files;
    *ret_n = n;
    return 0;
}

/* ---- changes ---- */

/* What filters know of a video changes with where its bytes lie. */
static int note_video(vx_catalog *catalog, const char *video_id, vx_err *err) {
    if (!*video_id)
        return 0;
    VX_SQL(q, &catalog->writer, "SELECT row FROM videos WHERE id = ?");
    vx_sql_bind_text(&q, video_id);
    int rc = vx_sql_next(&q, err);
    if (rc > 0 && catalog->on_changed)
        vx_catalog_note_changed(catalog, vx_sql_int(&q));
    return rc < 0 ? rc : 0;
}

int vx_catalog_insert_folder_file(vx_catalog *catalog, vx_folder_file *file, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO folder_files (folder, dir, name, bytes, mtime_ns, ctime_ns, ready_us)"
           " VALUES (?, ?, ?, ?, ?, ?, ?)");
    vx_sql_bind_text(&q, file->folder);
    vx_sql_bind_text(&q, file->dir);
    vx_sql_bind_text(&q, file->name);
    vx_sql_bind_int(&q, file->bytes);
    vx_sql_bind_int(&q, file->mtime_ns);
    vx_sql_bind_int(&q, file->ctime_ns);
    vx_sql_bind_int(&q, file->ready_us);
    rc = vx_sql_run(&q, err);
    if (!rc)
        file->row = sqlite3_last_insert_rowid(catalog->writer.handle);
    return rc;
}

int vx_catalog_update_folder_file(vx_catalog *catalog, const vx_folder_file *file, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE folder_files SET bytes = ?, mtime_ns = ?, ctime_ns = ?, error = ?, retry = ?,"
           " recheck = ?, ready_us = ?, missing_us = 0 WHERE row = ?");
    vx_sql_bind_int(&q, file->bytes);
    vx_sql_bind_int(&q, file->mtime_ns);
    vx_sql_bind_int(&q, file->ctime_ns);
    vx_sql_bind_text(&q, file->error);
    vx_sql_bind_int(&q, file->retry);
    vx_sql_bind_int(&q, file->recheck);
    vx_sql_bind_int(&q, file->ready_us);
    vx_sql_bind_int(&q, file->row);
    rc = vx_sql_run(&q, err);
    return rc ? rc : note_video(catalog, file->video, err);
}

int vx_catalog_delete_folder_file(vx_catalog *catalog, int64_t row, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "DELETE FROM folder_files WHERE row = ?");
    vx_sql_bind_int(&q, row);
    return vx_sql_run(&q, err);
}

/* The name of a video in place is that of its file, unless somebody has named it otherwise since: no file of it, there
 * or missing, has that name. `filename` stands for names as they are shown, which are compared only if they are UTF-8. */
static int follow_name(vx_catalog *catalog, const char *video_id, const char *filename,
                       vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET filename = ?1 WHERE id = ?2 AND source_path = 'folder:' AND"
           " filename <> ?1"
           " AND EXISTS (SELECT 1 FROM folder_files WHERE video = ?2 AND name = videos.filename"
           " AND missing_us <> 0)"
           " AND NOT EXISTS (SELECT 1 FROM folder_files WHERE video = ?2"
           " AND name = videos.filename AND missing_us = 0)");
    vx_sql_bind_text(&q, filename);
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

static int drop_missing(vx_catalog *catalog, const char *video_id, vx_err *err) {
    VX_SQL(q, &catalog->writer, "DELETE FROM folder_files WHERE video = ? AND missing_us <> 0");
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

/* A video has files that are missing only while none is there: one that was moved may be read at its new place before
 * anybody looks at the old one. */
static int settle_elsewhere(vx_catalog *catalog, const char *video_id, vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "SELECT name FROM folder_files WHERE video = ? AND missing_us = 0 ORDER BY row DESC "
           "LIMIT 1");
    vx_sql_bind_text(&q, video_id);
    int rc = vx_sql_next(&q, err);
    if (rc <= 0)
        return rc;
    bool oom = false;
    VX_AUTO_FREE char *name = vx_sql_text(&q, &oom);
    VX_AUTO_FREE char *shown = name ? vx_utf8_show(name) : NULL;
    if (!shown)
        return VX_FAIL(err, -ENOMEM, "out of memory");
    rc = follow_name(catalog, video_id, shown, err);
    return rc ? rc : drop_missing(catalog, video_id, err);
}

int vx_catalog_set_folder_file_missing(vx_catalog *catalog, const vx_folder_file *file,
                                       int64_t missing_us, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc && !*file->video)
        return vx_catalog_delete_folder_file(catalog, file->row, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "UPDATE folder_files SET missing_us = ? WHERE row = ?");
    vx_sql_bind_int(&q, missing_us);
    vx_sql_bind_int(&q, file->row);
    rc = vx_sql_run(&q, err);
    if (!rc)
        rc = settle_elsewhere(catalog, file->video, err);
    return rc ? rc : note_video(catalog, file->video, err);
}

/* A video that was imported has a file from here on; nobody has read it yet. */
static int adopt_in_place(vx_catalog *catalog, const char *video_id, int64_t file_row,
                          vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "UPDATE videos SET source_path = 'folder:', rules = 0,"
           " bytes = (SELECT bytes FROM folder_files WHERE row = ?)"
           " WHERE id = ? AND source_path = ''");
    vx_sql_bind_int(&q, file_row);
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

int vx_catalog_set_folder_file_video(vx_catalog *catalog, int64_t row, const char *video_id,
                                     const char *filename, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE folder_files SET video = ?, error = NULL, retry = 0, recheck = 0 WHERE row = ?");
    vx_sql_bind_text(&q, video_id);
    vx_sql_bind_int(&q, row);
    rc = vx_sql_run(&q, err);
    if (!rc && filename)
        rc = follow_name(catalog, video_id, filename, err);
    if (!rc)
        rc = drop_missing(catalog, video_id, err);
    if (!rc)
        rc = adopt_in_place(catalog, video_id, row, err);
    return rc ? rc : note_video(catalog, video_id, err);
}

int vx_catalog_update_folder_retries(vx_catalog *catalog, const char *folder, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE folder_files SET error = NULL, retry = 0"
           " WHERE folder = ? AND error IS NOT NULL AND missing_us = 0 AND retry = 1");
    vx_sql_bind_text(&q, folder);
    return vx_sql_run(&q, err);
}

int vx_catalog_delete_expired_places(vx_catalog *catalog, const char *video_id, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "DELETE FROM folder_files WHERE video = ? AND missing_us = 1");
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

int vx_catalog_set_video_places_expired(vx_catalog *catalog, const char *video_id, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "UPDATE folder_files SET missing_us = 1 WHERE video = ? AND"
           " (missing_us <> 0 OR folder NOT IN (SELECT name FROM folders))");
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

/* ---- queries ---- */

int vx_catalog_list_folder_dir(vx_catalog *catalog, const char *folder, const char *dir,
                               vx_folder_file **ret_files, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT" FILE_COLUMNS " FROM folder_files WHERE folder = ?1 AND dir = ?2 AND"
           " missing_us = 0 UNION ALL"
           " SELECT" FILE_COLUMNS " FROM folder_files WHERE folder = ?1 AND dir = ?2 AND"
           " missing_us <> 0 ORDER BY name, missing_us");
    vx_sql_bind_text(&q, folder);
    vx_sql_bind_text(&q, dir);
    return read_files(&q, SIZE_MAX, ret_files, ret_n, err);
}

static void free_texts(char **texts, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(texts[i]);
    free(texts);
}

/* Those below dir are between "dir/" and "dir0", as "0" follows "/". */
int vx_catalog_list_folder_dirs(vx_catalog *catalog, const char *folder, const char *dir,
                                const char *above, size_t max, char ***ret_dirs, size_t *ret_n,
                                vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT DISTINCT dir FROM folder_files WHERE folder = ?1 AND missing_us = 0"
           " AND (?3 IS NULL OR dir > ?3)"
           " AND (?2 = '' OR dir = ?2 OR (dir > ?2 || '/' AND dir < ?2 || '0'))"
           " ORDER BY dir LIMIT ?4");
    vx_sql_bind_text(&q, folder);
    vx_sql_bind_text(&q, dir);
    vx_sql_bind_text(&q, above);
    vx_sql_bind_int(&q, (int64_t)max);
    char **dirs = NULL;
    size_t n = 0, capacity = 0;
    bool oom = false;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0 && !oom) {
        oom = !vx_make_room(dirs, n, capacity);
        if (!oom && (dirs[n] = vx_sql_text(&q, &oom)))
            n++;
    }
    if (oom)
        rc = VX_FAIL(err, -ENOMEM, "out of memory");
    if (rc < 0) {
        free_texts(dirs, n);
        return rc;
    }
    *ret_dirs = dirs;
    *ret_n = n;
    return 0;
}

static int find_next_ready(vx_db *db, const char *folder, int64_t *ret_next_us, vx_err *err) {
    VX_SQL(q, db,
           "SELECT min(ready_us) FROM folder_files WHERE folder = ? AND"
           " (video IS NULL OR recheck = 1) AND error IS NULL AND missing_us = 0");
    vx_sql_bind_text(&q, folder);
    int rc = vx_sql_next(&q, err);
    *ret_next_us = 0;
    if (rc > 0)
        vx_sql_int_or_null(&q, ret_next_us);
    return rc < 0 ? rc : 0;
}

int vx_catalog_find_folder_file(vx_catalog *catalog, const char *folder, int64_t above_row,
                                int64_t ready_us, vx_folder_file *ret_file, int64_t *ret_next_us,
                                vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT" FILE_COLUMNS " FROM folder_files WHERE folder = ? AND row > ? AND"
           " (video IS NULL OR recheck = 1) AND error IS NULL AND missing_us = 0 AND ready_us <= ?"
           " ORDER BY row LIMIT 1");
    vx_sql_bind_text(&q, folder);
    vx_sql_bind_int(&q, above_row);
    vx_sql_bind_int(&q, ready_us);
    int rc = vx_sql_next(&q, err);
    if (rc > 0)
        return read_file(&q, ret_file, err);
    if (!rc)
        rc = find_next_ready(reader.db, folder, ret_next_us, err);
    return rc ? rc : VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no file waits in %s", folder);
}

int vx_catalog_has_folder_file(vx_catalog *catalog, const char *folder, bool *ret_has,
                               vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT 1 FROM folder_files WHERE folder = ? AND missing_us = 0 AND video IS NOT NULL"
           " LIMIT 1");
    vx_sql_bind_text(&q, folder);
    int rc = vx_sql_next(&q, err);
    if (rc >= 0)
        *ret_has = rc > 0;
    return rc < 0 ? rc : 0;
}

int vx_catalog_list_video_places(vx_catalog *catalog, const char *video_id, size_t max,
                                 vx_folder_file **ret_files, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT" FILE_COLUMNS " FROM folder_files WHERE video = ?"
           " ORDER BY missing_us <> 0, row LIMIT ?");
    vx_sql_bind_text(&q, video_id);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_files(&q, max, ret_files, ret_n, err);
}

int vx_catalog_find_folder_expired(vx_catalog *catalog, int64_t before_us, size_t max,
                                   vx_folder_file **ret_files, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT" FILE_COLUMNS " FROM folder_files AS f WHERE missing_us <> 0 AND missing_us < ?1"
           " AND NOT EXISTS (SELECT 1 FROM folder_files AS o WHERE o.video = f.video AND"
           " o.missing_us >= ?1)"
           " UNION ALL SELECT" FILE_COLUMNS " FROM folder_files WHERE folder NOT IN"
           " (SELECT name FROM folders) LIMIT ?2");
    vx_sql_bind_int(&q, before_us);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_files(&q, max, ret_files, ret_n, err);
}

/* ---- by state ---- */

#define IS_FORGOTTEN " EXISTS (SELECT 1 FROM folder_forgotten AS g WHERE g.video = f.video)"
/* vx_folder_state of a row f. */
#define STATE                                                                                      \
    " CASE WHEN missing_us <> 0 THEN 4 WHEN error IS NOT NULL THEN 2"                              \
    " WHEN video IS NULL THEN 1 WHEN" IS_FORGOTTEN " THEN 3 ELSE 0 END"

int vx_catalog_list_folder_files(vx_catalog *catalog, const char *folder, vx_folder_state state,
                                 int64_t above_row, size_t max, vx_folder_file **ret_files,
                                 size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT" FILE_COLUMNS " FROM folder_files AS f WHERE folder = ?1 AND row > ?2"
           " AND (?3 = 5 OR" STATE " = ?3) ORDER BY row LIMIT ?4");
    vx_sql_bind_text(&q, folder);
    vx_sql_bind_int(&q, above_row);
    vx_sql_bind_int(&q, (int64_t)state);
    vx_sql_bind_int(&q, (int64_t)max);
    return read_files(&q, max, ret_files, ret_n, err);
}

int vx_catalog_count_folder_files(vx_catalog *catalog, const char *folder,
                                  int64_t ret_files[VX_FOLDER_STATES],
                                  int64_t ret_bytes[VX_FOLDER_STATES], vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT" STATE " AS state, count(*), sum(bytes) FROM folder_files AS f"
           " WHERE folder = ? GROUP BY state");
    vx_sql_bind_text(&q, folder);
    int rc;
    memset(ret_files, 0, VX_FOLDER_STATES * sizeof *ret_files);
    memset(ret_bytes, 0, VX_FOLDER_STATES * sizeof *ret_bytes);
    while ((rc = vx_sql_next(&q, err)) > 0) {
        int64_t state = vx_sql_int(&q);
        ret_files[state] = vx_sql_int(&q);
        ret_bytes[state] = vx_sql_int(&q);
    }
    return rc;
}
