/* folders_internal.h — what the parts of folders/ share, from the bottom to the top: below.c opens files, feed.c reads
 * them, given.c knows the folders, inotify.c hears of changes, walk.c compares a folder with its rows, trash.c moves
 * files away, watch.c is the thread that does the last three, views.c shows the folders, run.c starts and stops. */
#pragma once

#include <sys/stat.h>

#include "base/atomic.h"
#include "base/thread.h"
#include "folders.h"

/* ---- below.c ---- */

/* Opens a directory to walk or to open files below it. -errno. */
int vx_below_open_root(const char *path);
/* Opens dir/name below a root without following any link; name NULL: dir itself. Gives a descriptor or -errno;
 * whatever it is, this does not wait for it. */
int vx_below_open(int root_fd, const char *dir, const char *name, int flags);
/* The same one part of the path after the other: where the kernel has no openat2, or a sandbox does not let it
 * through. */
int vx_below_open_by_parts(int root_fd, const char *dir, const char *name, int flags);
/* The same path as text: "dir/name". -ENAMETOOLONG. */
int vx_below_join(const char *dir, const char *name, char ret_path[PATH_MAX]);

static inline int64_t vx_time_ns(const struct timespec *time) {
    return time->tv_sec * INT64_C(1000000000) + time->tv_nsec;
}
/* Whether the file is as it was when the row was made; ctime: also by that. */
static inline bool vx_folder_file_is(const vx_folder_file *file, const struct stat *facts,
                                     bool ctime) {
    return S_ISREG(facts->st_mode) && facts->st_size == file->bytes &&
           vx_time_ns(&facts->st_mtim) == file->mtime_ns &&
           (!ctime || vx_time_ns(&facts->st_ctim) == file->ctime_ns);
}

/* ---- given.c ---- */

typedef struct vx_texts {
    char **items; /* [n]; owned, with the array */
    size_t n, capacity;
} vx_texts;
bool vx_texts_add(vx_texts *texts, const char *text);
void vx_texts_clear(vx_texts *texts);

typedef struct vx_folder {
    vx_folder_row row;
    /* watch.c's thread alone: */
    bool is_known; /* which directory it is, since the last whole walk */
    dev_t device;
    ino_t inode;
    int64_t next_walk_us; /* monotonic */
    vx_texts dirty;       /* folders of which something was heard */
    vx_texts fresh;       /* of these, such that are to be walked with all below them */
    /* feed.c's thread alone: */
    int64_t last_row; /* that was taken */
    /* Any, under folders->mu: */
    vx_folder_health health VX_GUARDED;
    char problem[320] VX_GUARDED;
    bool walk_asked VX_GUARDED, accept_empty VX_GUARDED, walking VX_GUARDED, limited VX_GUARDED;
    int64_t walked_dirs VX_GUARDED, walked_files VX_GUARDED, unreadable VX_GUARDED,
        links VX_GUARDED, watches VX_GUARDED, reading VX_GUARDED;
    int64_t busy_since_us VX_GUARDED, bytes_read VX_GUARDED; /* since files wait; 0: none does */
} vx_folder;

struct vx_folders {
    vx_folders_params params;
    vx_folders_work work;
    vx_folder *items; /* [n] */
    size_t n;
    bool has_data_dir;
    dev_t data_device;
    ino_t data_inode;
    atomic_bool stopping, tidy_asked;
    bool started;
    pthread_t watcher, feeder;
    int wake_fd; /* eventfd of the watcher */
    /* watch.c's thread alone: */
    int inotify_fd; /* -1: there is none */
    struct vx_watch *watches;
    size_t n_watches;
    /* feed.c: */
    vx_mutex mu;
    vx_cond fed;
    bool more VX_GUARDED; /* there may be new rows that wait */
    int n_inside VX_GUARDED;
    struct vx_reading *ended VX_GUARDED;  /* list */
    struct vx_reading *inside VX_GUARDED; /* list of those in the write path */
};

/* ---- walk.c; the watcher's thread ---- */

/* Compares all of a folder with its rows. accept_empty as of vx_folders_walk. */
int vx_folder_walk_all(vx_folders *folders, vx_folder *folder, bool accept_empty, vx_err *err);
/* Compares one folder below it, and (deep) those below that. ret_elsewhere: it is another directory than at the last
 * whole walk, and nothing was changed. */
int vx_folder_walk_dir(vx_folders *folders, vx_folder *folder, const char *dir, bool deep,
                       bool *ret_elsewhere, vx_err *err);
/* When a file of these facts may be read: UNIX time, 0: now. */
int64_t vx_folder_ready_us(const vx_folders *folders, const struct stat *facts);

/* "[NAME=]DIR[:trash]", one a line. Gives an array of VX_FOLDERS_MAX, of which n are used. VX_FOLDERS_BAD. */
int vx_folder_items_parse(const char *folders, const char *data_dir, vx_folder **ret_items,
                          size_t *ret_n, vx_err *err);
void vx_folder_items_free(vx_folder *items, size_t n);

/* ---- inotify.c; the watcher's thread ---- */

void vx_folders_listen(vx_folders *folders);
void vx_folders_unwatch(vx_folders *folders);
/* Reads what was heard into the lists of each folder. False: nothing was. */
bool vx_folders_hear(vx_folders *folders);
/* Hears of changes in the folder that is open at fd, from here on. */
void vx_folder_watch(vx_folders *folders, vx_folder *folder, const char *dir, int fd);

/* ---- watch.c ---- */

void *vx_folders_run_watcher(void *ctx);

/* ---- feed.c ---- */

void *vx_folders_run_feeder(void *ctx);
/* Something waits. */
void vx_folders_feed(vx_folders *folders);
/* Of a list; NULL-safe. */
void vx_readings_free(struct vx_reading *readings);

/* ---- trash.c; the watcher's thread ---- */

/* Moves what people deleted to the trash, where that is allowed. */
int vx_folders_empty_into_trash(vx_folders *folders, vx_err *err);
/* Deletes videos that have been missing for too long. */
int vx_folders_expire(vx_folders *folders, vx_err *err);
