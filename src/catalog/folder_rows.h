/* folder_rows.h — folders in place (folders/): which files lie there, and whose bytes they have. The rules of catalog.h
 * hold here, too: what needs a transaction, threads and errors. */
#pragma once

#include "catalog.h"

#define VX_FOLDER_NAME_CHARS 63
typedef struct vx_folder_row {
    char name[VX_FOLDER_NAME_CHARS + 1];
    char *path;        /* absolute; owned */
    bool trash;        /* files may be moved to its trash */
    int64_t walked_us; /* when all of it was last read, UNIX time; 0: never */
} vx_folder_row;

/* The bytes of one file at one path. */
typedef struct vx_folder_file {
    int64_t row;
    char folder[VX_FOLDER_NAME_CHARS + 1];
    char *dir, *name;                  /* below the folder ("" = itself), not always UTF-8; owned */
    int64_t bytes, mtime_ns, ctime_ns; /* as they were when the row was made */
    char video[VX_VIDEO_ID_CHARS + 1]; /* the id that these bytes have; "": not read yet */
    char *error;                       /* why they are no video; NULL; owned */
    bool retry;                        /* that may pass */
    bool recheck;     /* to be read again: they may have changed although size and mtime have not */
    int64_t ready_us; /* not to be read before; UNIX time */
    int64_t missing_us; /* since when they are gone; UNIX time; 0: they are there */
} vx_folder_file;
void vx_folder_file_clear(vx_folder_file *file);
/* The array, too. NULL-safe. */
void vx_folder_files_free(vx_folder_file *files, size_t n);

/* What a file is to the collection. */
typedef enum vx_folder_state {
    VX_FOLDER_INDEXED,   /* its video is stored */
    VX_FOLDER_WAITING,   /* to be read */
    VX_FOLDER_FAILED,    /* see its error */
    VX_FOLDER_FORGOTTEN, /* its video was deleted, and is not indexed again */
    VX_FOLDER_MISSING,   /* it is gone */
    VX_FOLDER_STATES,
} vx_folder_state;

/* Notes a folder, or its new path. */
int vx_catalog_set_folder(vx_catalog *catalog, const vx_folder_row *folder, vx_err *err);
int vx_catalog_set_folder_walked(vx_catalog *catalog, const char *name, int64_t walked_us,
                                 vx_err *err);
/* By name; gives an array (free() each path, then it). */
int vx_catalog_list_folders(vx_catalog *catalog, vx_folder_row **ret_folders, size_t *ret_n,
                            vx_err *err);
/* Its files have been missing for too long from here on. VX_CATALOG_NOT_FOUND. */
int vx_catalog_delete_folder(vx_catalog *catalog, const char *name, vx_err *err);

/* A new file; sets its row. video, error and missing_us are not looked at. */
int vx_catalog_insert_folder_file(vx_catalog *catalog, vx_folder_file *file, vx_err *err);
/* The same bytes, later: mtime, ctime, ready_us, error, retry and recheck become these; bytes may change of a file that was
 * not read. What was missing is there. The listener hears of its video. */
int vx_catalog_update_folder_file(vx_catalog *catalog, const vx_folder_file *file, vx_err *err);
/* Gone since then. One that was never read, or whose video has a file elsewhere in folders, is forgotten at once. The
 * listener hears of its video. */
int vx_catalog_set_folder_file_missing(vx_catalog *catalog, const vx_folder_file *file,
                                       int64_t missing_us, vx_err *err);
int vx_catalog_delete_folder_file(vx_catalog *catalog, int64_t row, vx_err *err);
/* The bytes of a file are those of a video. What was missing of that video is forgotten: it has moved here. A video in
 * place that is named as such a file was is named `filename` (NULL: keep). One that was imported without a file has this one. */
int vx_catalog_set_folder_file_video(vx_catalog *catalog, int64_t row, const char *video_id,
                                     const char *filename, vx_err *err);
/* Files that failed in a way that may pass wait to be read again. */
int vx_catalog_update_folder_retries(vx_catalog *catalog, const char *folder, vx_err *err);

/* The files in one folder of folders, present and missing ones, in order of names (bytes). Gives an array. */
int vx_catalog_list_folder_dir(vx_catalog *catalog, const char *folder, const char *dir,
                               vx_folder_file **ret_files, size_t *ret_n, vx_err *err);
/* The folders of folders, dir and those below it, that have files which are there: up to max above `above` (NULL:
 * all), in order. Gives an array of texts (free() each, then it). */
int vx_catalog_list_folder_dirs(vx_catalog *catalog, const char *folder, const char *dir,
                                const char *above, size_t max, char ***ret_dirs, size_t *ret_n,
                                vx_err *err);
/* The first file above a row that waits and is ready by then. VX_CATALOG_NOT_FOUND; *ret_next_us is then when the
 * next one is, of those above 0 (0: none). */
int vx_catalog_find_folder_file(vx_catalog *catalog, const char *folder, int64_t above_row,
                                int64_t ready_us, vx_folder_file *ret_file, int64_t *ret_next_us,
                                vx_err *err);
/* Whether a file in a folder of this name is there. */
int vx_catalog_has_folder_file(vx_catalog *catalog, const char *folder, bool *ret_has, vx_err *err);
/* Where the bytes of a video lie or have been, those that are there first, up to max. Gives an array. */
int vx_catalog_list_video_places(vx_catalog *catalog, const char *video_id, size_t max,
                                 vx_folder_file **ret_files, size_t *ret_n, vx_err *err);
/* Files of a state (VX_FOLDER_STATES: any) above a row, up to max. Gives an array. */
int vx_catalog_list_folder_files(vx_catalog *catalog, const char *folder, vx_folder_state state,
                                 int64_t above_row, size_t max, vx_folder_file **ret_files,
                                 size_t *ret_n, vx_err *err);
/* How many files and bytes a folder has of each state. Cost: some 100 ms for 100,000 files. */
int vx_catalog_count_folder_files(vx_catalog *catalog, const char *folder,
                                  int64_t ret_files[VX_FOLDER_STATES],
                                  int64_t ret_bytes[VX_FOLDER_STATES], vx_err *err);
/* Files of folders that are forgotten, or that have been missing since before then, of videos of which none is missing
 * since later: up to max. */
int vx_catalog_find_folder_expired(vx_catalog *catalog, int64_t before_us, size_t max,
                                   vx_folder_file **ret_files, size_t *ret_n, vx_err *err);
/* The missing files of a video have been so for too long: its deletion from here on is no wish of a person. */
int vx_catalog_set_video_places_expired(vx_catalog *catalog, const char *video_id, vx_err *err);
/* Forgets them; after the video was deleted. */
int vx_catalog_delete_expired_places(vx_catalog *catalog, const char *video_id, vx_err *err);

/* A video that was deleted while its file was in a folder. vx_catalog_delete_video notes it, and
 * vx_catalog_insert_video of the same bytes takes it back. */
typedef struct vx_forgotten {
    char video[VX_VIDEO_ID_CHARS + 1];
    char *filename; /* owned */
    int64_t bytes, forgotten_us;
    bool trash; /* its files are to be moved to the trash, where that is allowed */
} vx_forgotten;
int vx_catalog_is_forgotten(vx_catalog *catalog, const char *video_id, bool *ret_is, vx_err *err);
/* In order of ids, above one (NULL: all), up to max; only_trash: that are to be moved. Gives an array (free() each
 * filename, then it). */
int vx_catalog_list_forgotten(vx_catalog *catalog, const char *above, bool only_trash, size_t max,
                              vx_forgotten **ret_forgotten, size_t *ret_n, vx_err *err);
/* Its files wait to be read again. VX_CATALOG_NOT_FOUND. */
int vx_catalog_delete_forgotten(vx_catalog *catalog, const char *video_id, vx_err *err);
/* Nothing of it is to be moved any more; forgotten too if it has no files. */
int vx_catalog_set_trashed(vx_catalog *catalog, const char *video_id, vx_err *err);
