/* folders.h — videos that are indexed where they lie: folders that were named at the start (--folder).
 *
 * Each file that is named as a video is a row of the catalog: whose bytes it has, or why it has none. A walk over
 * the folder makes and changes these rows; a thread reads those that wait, one after the other, and gives them to the
 * write path (ingest/), which stores vectors and fingerprints and copies nothing. So what is still to be done after a
 * crash is what the rows say.
 *
 * What is looked at. Regular files below the folder whose name ends as a video's does. Symbolic links are not
 * followed. Hidden, trash and system folders, folders with a file .nomedia, hidden files, and the data folder are
 * left out. A file is read when it has not changed for `quiet_us`.
 *
 * Whose bytes. A video is its SHA-256: several files with the same bytes are one video, a file that moved is the same
 * video at another path, and other bytes under a path are another video. That the bytes of a path are those that
 * were read is known by size, mtime and ctime; a file is opened only below its folder, without following links, and
 * only while size and mtime are the same (vx_folders_open_file).
 *
 * What is gone. A file that is not there is missing, with its video, which stays searchable for `keep_us` and is then
 * deleted. A folder that cannot be opened, is another directory than when the walk began, or holds no video at all
 * any more, is taken for one that is not mounted: nothing in it is marked.
 *
 * What is deleted. Nothing here changes a file. A video that a person deletes while its file is there is remembered
 * by its id and not indexed again. Only in a folder that was given as DIR:trash the file is moved, to
 * DIR/.Trash-<uid> (freedesktop.org, on the same file system).
 *
 * Changes are heard by inotify; a walk every `walk_every_us` finds what was not. If inotify has no watches left,
 * there is a walk every `walk_limited_us`.
 *
 * Errs     VX_FOLDERS_* (> 0), -errno
 * Threads  open, start, stop and free: main. Everything else: any.
 */
#pragma once

#include "catalog/folder_rows.h"
#include "ingest/ingest.h"
#include "library/library.h"
#include "writer/writer.h"

#define VX_FOLDERS_BAD VX_CODES_FOLDERS             /* a folder cannot be used as it was given */
#define VX_FOLDERS_NOT_FOUND (VX_CODES_FOLDERS + 1) /* no folder of this name was given */
#define VX_FOLDERS_MAX 64

typedef struct vx_folders vx_folders;

typedef struct vx_folders_params {
    const char
        *folders; /* "[NAME=]DIR[:trash]", one a line; NULL: none. Borrows, until open returns */
    const char *data_dir; /* left out; borrows, until open returns */
    int64_t quiet_us;     /* a file that changed more recently may still be written */
    int64_t keep_us;      /* a missing video is deleted after this */
    int64_t walk_every_us;
    vx_catalog *catalog; /* borrows the rest, until free */
    vx_store *store;     /* opens files in place from here on */
} vx_folders_params;

/* Whether these can be folders: VX_FOLDERS_BAD. */
int vx_folders_check(const char *folders, const char *data_dir, vx_err *err);
/* Reads nothing yet; a folder need not be there. VX_FOLDERS_BAD. */
int vx_folders_open(const vx_folders_params *params, vx_folders **ret_folders, vx_err *err);

typedef struct vx_folders_work { /* borrows all, until free */
    vx_ingest *ingest;
    vx_library *library;
    vx_writer *writer;
    vx_collection *collection;
    vx_clip_spec clip; /* the rule that cuts what is found */
    int n_at_once;     /* videos in the write path */
} vx_folders_work;

/* Starts to walk, to listen and to read: at once. Without folders there is only tidying up. */
int vx_folders_start(vx_folders *folders, const vx_folders_work *work, vx_err *err);
void vx_folders_begin_stop(vx_folders *folders);
/* Ends the threads; before the write path stops, which may still call back until then. NULL-safe. */
void vx_folders_stop(vx_folders *folders);
/* NULL-safe. */
vx_folders *vx_folders_free(vx_folders *folders);

/* ---- what they are ---- */

typedef enum vx_folder_health {
    VX_FOLDER_READY,    /* it was walked, and changes are heard */
    VX_FOLDER_STARTING, /* it is being walked for the first time since the start */
    VX_FOLDER_AWAY,     /* it cannot be opened: not mounted */
    VX_FOLDER_EMPTY,    /* it holds no video although some were known: perhaps not mounted */
    VX_FOLDER_UNUSED,   /* the catalog knows it; it was not given at this start */
} vx_folder_health;
const char *vx_folder_health_name(vx_folder_health health);
const char *vx_folder_state_name(vx_folder_state state);
/* Space separated, in the order of vx_folder_state. */
#define VX_FOLDER_STATE_NAMES "indexed waiting failed forgotten missing"

typedef struct vx_folder_view {
    vx_folder_row row; /* path is owned */
    vx_folder_health health;
    char problem[320]; /* what is wrong with the folder, and what to do; "" */
    int64_t files[VX_FOLDER_STATES], bytes[VX_FOLDER_STATES];
    bool walking;
    int64_t walked_dirs, walked_files; /* of the walk that runs, or of the last one */
    int64_t unreadable,
        links;       /* of the last whole walk: folders, and symbolic links that it passed over */
    int64_t watches; /* folders of which changes are heard */
    bool limited;    /* inotify has no more for the others */
    int64_t reading; /* files in work */
    double bytes_per_s,
        eta_s; /* of what waits, since it began; NaN: nothing does, or not known yet */
} vx_folder_view;
/* Those given at this start first, then the others, by name. Gives an array (vx_folder_views_free).
 *   name  only the folder of that name, so that the files of others are not counted; NULL: all */
int vx_folders_list(vx_folders *folders, const char *name, vx_folder_view **ret_views,
                    size_t *ret_n, vx_err *err);
void vx_folder_views_free(vx_folder_view *views, size_t n);
/* The name of the folder with that name or index ("0": the first of vx_folders_list). VX_FOLDERS_NOT_FOUND. */
int vx_folders_find(vx_folders *folders, const char *name_or_index,
                    char ret_name[VX_FOLDER_NAME_CHARS + 1], vx_err *err);

/* Walks that folder soon. accept_empty: if it holds no video at all, all that was known there is missing. It must have
 * been given: VX_FOLDERS_NOT_FOUND. */
int vx_folders_walk(vx_folders *folders, const char *name, bool accept_empty, vx_err *err);
bool vx_folders_is_given(const vx_folders *folders, const char *name);

/* On the writer's thread; short. */
typedef void (*vx_folders_done)(void *ctx, int rc, const vx_err *err);
/* Forgets a folder that was not given: videos that lie there alone are deleted soon, as no wish of a person. Not OK
 * (BUSY, STOPPING, INTERNAL): done is not called. */
vx_outcome vx_folders_forget(vx_folders *folders, const char *name, vx_folders_done done,
                             void *ctx);
/* A video that was deleted is to be indexed again if its file is there. rc VX_CATALOG_NOT_FOUND. */
vx_outcome vx_folders_remember(vx_folders *folders, const char *video_id, vx_folders_done done,
                               void *ctx);
/* The catalog has changed: something waits, or is to be moved to the trash. */
void vx_folders_wake(vx_folders *folders);

/* Opens a file of the video for reading, in one of these folders. -ENOENT: it is in none of them, or has changed, and
 * why. Also without a vx_folders: vidx check. */
int vx_folders_open_file(vx_catalog *catalog, const vx_folder_row *folders, size_t n,
                         const char *video_id, int *ret_fd, vx_err *err);
