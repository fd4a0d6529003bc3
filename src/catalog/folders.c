/* folders.c — the folders in place that were given, and the videos in them that people deleted. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "catalog_internal.h"
#include "folder_rows.h"

/* ---- folders ---- */

int vx_catalog_set_folder(vx_catalog *catalog, const vx_folder_row *folder, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer,
           "INSERT INTO folders (name, path, trash) VALUES (?, ?, ?)"
           " ON CONFLICT (name) DO UPDATE SET path = excluded.path, trash = excluded.trash");
    vx_sql_bind_text(&q, folder->name);
    vx_sql_bind_text(&q, folder->path);
    vx_sql_bind_int(&q, folder->trash);
    return vx_sql_run(&q, err);
}

int vx_catalog_set_folder_walked(vx_catalog *catalog, const char *name, int64_t walked_us,
                                 vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "UPDATE folders SET walked_us = ? WHERE name = ?");
    vx_sql_bind_int(&q, walked_us);
    vx_sql_bind_text(&q, name);
    return vx_sql_run(&q, err);
}

int vx_catalog_list_folders(vx_catalog *catalog, vx_folder_row **ret_folders, size_t *ret_n,
                            vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT name, path, trash, walked_us FROM folders ORDER BY name");
    vx_folder_row *folders = NULL;
    size_t n = 0, capacity = 0;
    bool oom = false;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0 && !oom) {
        oom = !vx_make_room(folders, n, capacity);
        if (oom)
            break;
        vx_folder_row *folder = &folders[n];
        vx_sql_text_into(&q, folder->name, sizeof folder->name);
        folder->path = vx_sql_text(&q, &oom);
        folder->trash = vx_sql_int(&q);
        folder->walked_us = vx_sql_int(&q);
        n += !oom;
    }
    if (oom)
        rc = VX_FAIL(err, -ENOMEM, "out of memory");
    if (rc < 0) {
        for (size_t i = 0; i < n; i++)
            free(folders[i].path);
        free(folders);
        return rc;
    }
    *ret_folders = folders;
    *ret_n = n;
    return 0;
}

int vx_catalog_delete_folder(vx_catalog *catalog, const char *name, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(q, &catalog->writer, "DELETE FROM folders WHERE name = ?");
    vx_sql_bind_text(&q, name);
    rc = vx_sql_run(&q, err);
    if (!rc && sqlite3_changes(catalog->writer.handle) == 0)
        rc = VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no folder %.64s", name);
    return rc;
}

/* ---- what people deleted ---- */

int vx_catalog_forget_places(vx_catalog *catalog, const char *video_id, vx_err *err) {
    VX_SQL(q, &catalog->writer,
           "INSERT OR REPLACE INTO folder_forgotten (video, filename, bytes, forgotten_us, trash)"
           " SELECT id, filename, bytes, ?, EXISTS (SELECT 1 FROM folder_files AS f, folders"
           " WHERE f.video = videos.id AND folders.name = f.folder AND trash)"
           " FROM videos WHERE id = ?"
           " AND EXISTS (SELECT 1 FROM folder_files AS f WHERE f.video = videos.id AND missing_us "
           "<> 1)");
    vx_sql_bind_int(&q, vx_clock_unix_us());
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

int vx_catalog_remember(vx_catalog *catalog, const char *video_id, vx_err *err) {
    VX_SQL(q, &catalog->writer, "DELETE FROM folder_forgotten WHERE video = ?");
    vx_sql_bind_text(&q, video_id);
    return vx_sql_run(&q, err);
}

int vx_catalog_is_forgotten(vx_catalog *catalog, const char *video_id, bool *ret_is, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db, "SELECT 1 FROM folder_forgotten WHERE video = ?");
    vx_sql_bind_text(&q, video_id);
    int rc = vx_sql_next(&q, err);
    if (rc >= 0)
        *ret_is = rc > 0;
    return rc < 0 ? rc : 0;
}

int vx_catalog_list_forgotten(vx_catalog *catalog, const char *above, bool only_trash, size_t max,
                              vx_forgotten **ret_forgotten, size_t *ret_n, vx_err *err) {
    VX_READER(reader, catalog);
    VX_SQL(q, reader.db,
           "SELECT video, filename, bytes, forgotten_us, trash FROM folder_forgotten"
           " WHERE video > ? AND trash >= ? ORDER BY video LIMIT ?");
    vx_sql_bind_text(&q, above ? above : "");
    vx_sql_bind_int(&q, only_trash);
    vx_sql_bind_int(&q, (int64_t)max);
    vx_forgotten *items = NULL;
    size_t n = 0, capacity = 0;
    bool oom = false;
    int rc;
    while ((rc = vx_sql_next(&q, err)) > 0 && !oom) {
        oom = !vx_make_room(items, n, capacity);
        if (oom)
            break;
        vx_forgotten *item = &items[n];
        vx_sql_text_into(&q, item->video, sizeof item->video);
        item->filename = vx_sql_text(&q, &oom);
        item->bytes = vx_sql_int(&q);
        item->forgotten_us = vx_sql_int(&q);
        item->trash = vx_sql_int(&q);
        n += !oom;
    }
    if (oom)
        rc = VX_FAIL(err, -ENOMEM, "out of memory");
    if (rc < 0) {
        for (size_t i = 0; i < n; i++)
            free(items[i].filename);
        free(items);
        return rc;
    }
    *ret_forgotten = items;
    *ret_n = n;
    return 0;
}

int vx_catalog_delete_forgotten(vx_catalog *catalog, const char *video_id, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (!rc)
        rc = vx_catalog_remember(catalog, video_id, err);
    if (rc)
        return rc;
    if (sqlite3_changes(catalog->writer.handle) == 0)
        return VX_FAIL(err, VX_CATALOG_NOT_FOUND, "no video %.64s was deleted from a folder",
                       video_id);
    VX_SQL(missing, &catalog->writer,
           "DELETE FROM folder_files WHERE video = ? AND missing_us <> 0");
    vx_sql_bind_text(&missing, video_id);
    rc = vx_sql_run(&missing, err);
    if (rc)
        return rc;
    VX_SQL(there, &catalog->writer, "UPDATE folder_files SET video = NULL WHERE video = ?");
    vx_sql_bind_text(&there, video_id);
    return vx_sql_run(&there, err);
}

int vx_catalog_set_trashed(vx_catalog *catalog, const char *video_id, vx_err *err) {
    int rc = vx_catalog_check_writing(catalog, err);
    if (rc)
        return rc;
    VX_SQL(gone, &catalog->writer,
           "DELETE FROM folder_forgotten WHERE video = ?1 AND NOT EXISTS"
           " (SELECT 1 FROM folder_files WHERE video = ?1)");
    vx_sql_bind_text(&gone, video_id);
    rc = vx_sql_run(&gone, err);
    if (rc)
        return rc;
    VX_SQL(stays, &catalog->writer, "UPDATE folder_forgotten SET trash = 0 WHERE video = ?");
    vx_sql_bind_text(&stays, video_id);
    return vx_sql_run(&stays, err);
}
