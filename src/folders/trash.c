/* trash.c — what is deleted: files that people deleted, where they may be moved, and videos that are missing for long.
 *
 * The trash is that of freedesktop.org (Trash Specification 1.0) for a directory on a file system of its own:
 * DIR/.Trash-<uid>/files/NAME, and info/NAME.trashinfo, which says where it was and when it went. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "folders_internal.h"

/* ---- the trash ---- */

/* Opens a folder of the trash, made if it is not there; never through a link. */
static int open_folder(int parent, const char *name, int *ret_fd, vx_err *err) {
    struct stat facts;
    if (mkdirat(parent, name, 0700) && errno != EEXIST)
        return VX_FAIL_ERRNO(err, "making the trash folder %s", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return VX_FAIL_ERRNO(err, "opening the trash folder %s", name);
    if (fstat(fd, &facts) || facts.st_uid != geteuid()) {
        close(fd);
        return VX_FAIL(err, -EPERM, "the trash folder %s belongs to another user", name);
    }
    *ret_fd = fd;
    return 0;
}

/* Where it was, as a URL has it, and when it went. */
static int write_info(int fd, const vx_folder_file *file, vx_err *err) {
    char path[PATH_MAX], text[3 * PATH_MAX + 128], date[32];
    int rc = vx_below_join(file->dir, file->name, path);
    if (rc)
        return VX_FAIL(err, rc, "the path is too long");
    time_t now = time(NULL);
    struct tm local;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", localtime_r(&now, &local));
    size_t n = (size_t)snprintf(text, sizeof text, "[Trash Info]\nPath=");
    for (const char *c = path; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                     (*c >= '0' && *c <= '9') || strchr("-._~/", *c);
        n +=
            (size_t)snprintf(text + n, sizeof text - n, plain ? "%c" : "%%%02X", (unsigned char)*c);
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "\nDeletionDate=%s\n", date);
    if (write(fd, text, n) != (ssize_t)n || fsync(fd))
        return VX_FAIL_ERRNO(err, "writing a .trashinfo file");
    return 0;
}

typedef struct trash {
    int top, files, info;
} trash;

static void close_trash(const trash *t) {
    if (t->top >= 0)
        close(t->top);
    if (t->files >= 0)
        close(t->files);
    if (t->info >= 0)
        close(t->info);
}

static int open_trash(int root_fd, trash *t, vx_err *err) {
    char name[32];
    *t = (trash){-1, -1, -1};
    snprintf(name, sizeof name, ".Trash-%u", geteuid());
    int rc = open_folder(root_fd, name, &t->top, err);
    if (!rc)
        rc = open_folder(t->top, "files", &t->files, err);
    return rc ? rc : open_folder(t->top, "info", &t->info, err);
}

/* A name that is free in the trash: NAME, NAME.2, …, cut so that it can be one. Gives the open info file. */
static int take_name(const trash *t, const char *name, char ret_name[NAME_MAX + 1], int *ret_fd,
                     vx_err *err) {
    enum { TRIES = 10000, SUFFIXES = sizeof ".10000.trashinfo" };
    char info[NAME_MAX + 1];
    for (int i = 1; i <= TRIES; i++) {
        char number[8] = "";
        if (i > 1)
            snprintf(number, sizeof number, ".%d", i);
        snprintf(ret_name, NAME_MAX + 1, "%.*s%s", NAME_MAX - SUFFIXES, name, number);
        snprintf(info, sizeof info, "%.*s.trashinfo", NAME_MAX - 10, ret_name);
        *ret_fd = openat(t->info, info, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (*ret_fd >= 0)
            return 0;
        if (errno != EEXIST)
            return VX_FAIL_ERRNO(err, "making a .trashinfo file");
    }
    return VX_FAIL(err, -EEXIST, "the trash has %d files of this name", TRIES);
}

/* Some network file systems cannot look and rename in one step; the info file keeps the name for us. */
static int rename_to_free(int from_fd, const char *from, int to_fd, const char *to) {
    struct stat facts;
    int rc = renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE);
    if (rc && errno == EINVAL && fstatat(to_fd, to, &facts, AT_SYMLINK_NOFOLLOW) && errno == ENOENT)
        rc = renameat(from_fd, from, to_fd, to);
    return rc;
}

/* parent_fd: the folder that the file is in. */
static int move_in(const trash *t, int parent_fd, const vx_folder_file *file, vx_err *err) {
    char name[NAME_MAX + 1], info[NAME_MAX + 16];
    VX_AUTO_FD int fd = -1;
    int rc = take_name(t, file->name, name, &fd, err);
    if (rc)
        return rc;
    rc = write_info(fd, file, err);
    if (!rc && rename_to_free(parent_fd, file->name, t->files, name))
        rc = VX_FAIL_ERRNO(err, "moving it to the trash");
    snprintf(info, sizeof info, "%s.trashinfo", name);
    if (rc)
        unlinkat(t->info, info, 0);
    else if (fsync(t->files) || fsync(parent_fd))
        vx_log(VX_LOG_WARN, "folders", "trash=unsynced errno=%d", errno);
    return rc;
}

/* 0: it is in the trash, or not there any more; -ESTALE: it is another file by now, which stays. */
static int move_file(const vx_folder *folder, const vx_folder_file *file, vx_err *err) {
    struct stat facts;
    trash t;
    VX_AUTO_FD int root = vx_below_open_root(folder->row.path);
    if (root < 0)
        return VX_FAIL(err, root, "the folder %s cannot be opened", folder->row.name);
    VX_AUTO_FD int parent = vx_below_open(root, file->dir, NULL, O_RDONLY | O_DIRECTORY);
    if (parent == -ENOENT)
        return 0;
    if (parent < 0)
        return VX_FAIL(err, parent, "its folder cannot be opened: %s", strerror(-parent));
    if (fstatat(parent, file->name, &facts, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : VX_FAIL_ERRNO(err, "looking at it");
    if (!vx_folder_file_is(file, &facts, false))
        return VX_FAIL(err, -ESTALE, "it has changed since it was read");
    int rc = open_trash(root, &t, err);
    if (!rc)
        rc = move_in(&t, parent, file, err);
    close_trash(&t);
    return rc;
}

static vx_folder *find_allowing(vx_folders *all, const char *name) {
    for (size_t i = 0; i < all->n; i++)
        if (all->items[i].row.trash && !strcmp(all->items[i].row.name, name))
            return &all->items[i];
    return NULL;
}

typedef struct row_change {
    vx_catalog *catalog;
    int64_t row;
    const char *video;
} row_change;

static int apply_gone(void *ctx, vx_err *err) {
    const row_change *c = ctx;
    return vx_catalog_delete_folder_file(c->catalog, c->row, err);
}

static int apply_trashed(void *ctx, vx_err *err) {
    const row_change *c = ctx;
    return vx_catalog_set_trashed(c->catalog, c->video, err);
}

/* All files of one video. What cannot be moved stays, and is told. */
static int trash_video(vx_folders *all, const vx_forgotten *video, vx_err *err) {
    enum { PLACES = 1000 };
    vx_folder_file *files = NULL;
    size_t n = 0;
    row_change c = {.catalog = all->params.catalog, .video = video->video};
    int rc = vx_catalog_list_video_places(c.catalog, video->video, PLACES, &files, &n, err);
    for (size_t i = 0; i < n && !rc; i++) {
        vx_folder *folder = find_allowing(all, files[i].folder);
        vx_err why;
        char quoted[512];
        if (!folder || files[i].missing_us)
            continue;
        int moved = move_file(folder, &files[i], &why);
        vx_log_quote(files[i].name, quoted, sizeof quoted);
        c.row = files[i].row;
        if (moved)
            vx_log_failed(VX_LOG_WARN, "folders", &why, "folder=%s file=%s trash=no",
                          folder->row.name, quoted);
        else
            rc = vx_writer_run(all->work.writer, apply_gone, NULL, &c, err);
        if (!moved && !rc)
            vx_log(VX_LOG_INFO, "folders", "folder=%s file=%s trash=yes video=%s", folder->row.name,
                   quoted, video->video);
    }
    vx_folder_files_free(files, n);
    return rc ? rc : vx_writer_run(all->work.writer, apply_trashed, NULL, &c, err);
}

int vx_folders_empty_into_trash(vx_folders *all, vx_err *err) {
    enum { AT_ONCE = 100 };
    vx_forgotten *videos = NULL;
    size_t n = 0;
    int rc = vx_catalog_list_forgotten(all->params.catalog, NULL, true, AT_ONCE, &videos, &n, err);
    for (size_t i = 0; i < n; i++) {
        if (!rc)
            rc = trash_video(all, &videos[i], err);
        free(videos[i].filename);
    }
    free(videos);
    if (!rc && n == AT_ONCE)
        vx_folders_wake(all);
    return rc;
}

/* ---- videos that are missing for too long ---- */

typedef struct deletion {
    vx_mutex mu;
    vx_cond ended;
    bool has_ended VX_GUARDED;
    int rc;
    vx_err err;
} deletion;

static void on_deleted(void *ctx, int rc, const vx_err *err) {
    deletion *d = ctx;
    d->rc = rc;
    if (rc)
        d->err = *err;
    vx_mutex_lock(&d->mu);
    d->has_ended = true;
    vx_cond_signal(&d->ended);
    vx_mutex_unlock(&d->mu);
}

VX_NO_LOCK_ANALYSIS static int delete_video(vx_folders *all, const char *id, vx_err *err) {
    deletion d = {0};
    vx_mutex_init(&d.mu);
    vx_cond_init(&d.ended);
    vx_outcome refused =
        vx_library_delete_video(all->work.library, id, VX_WRITER_WAIT, on_deleted, &d);
    vx_mutex_lock(&d.mu);
    while (!refused && !d.has_ended)
        vx_cond_wait(&d.ended, &d.mu);
    vx_mutex_unlock(&d.mu);
    vx_cond_done(&d.ended);
    vx_mutex_done(&d.mu);
    if (refused)
        return VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
    if (d.rc)
        *err = d.err;
    return d.rc;
}

static int apply_expired(void *ctx, vx_err *err) {
    const row_change *c = ctx;
    return vx_catalog_set_video_places_expired(c->catalog, c->video, err);
}

static int apply_forgotten(void *ctx, vx_err *err) {
    const row_change *c = ctx;
    return vx_catalog_delete_expired_places(c->catalog, c->video, err);
}

/* Marked first: a crash in between leaves rows that are found again, and a deletion that nobody wished. */
static int expire_file(vx_folders *all, int64_t row, const char *id, vx_err *err) {
    VX_AUTO(vx_video) video = NULL;
    row_change c = {.catalog = all->params.catalog, .row = row, .video = id};
    if (!*id) /* of a forgotten folder, and never read */
        return vx_writer_run(all->work.writer, apply_gone, NULL, &c, err);
    int rc = vx_writer_run(all->work.writer, apply_expired, NULL, &c, err);
    if (!rc)
        rc = vx_catalog_get_video(c.catalog, id, &video, err);
    if (!rc && vx_video_is_in_place(video) && !vx_video_has_file(video)) {
        rc = delete_video(all, id, err);
        vx_log(VX_LOG_INFO, "folders", "video=%s deleted=%s reason=\"missing for too long\"", id,
               rc ? "no" : "yes");
    }
    if (rc && rc != VX_CATALOG_NOT_FOUND)
        return rc;
    return vx_writer_run(all->work.writer, apply_forgotten, NULL, &c, err);
}

int vx_folders_expire(vx_folders *all, vx_err *err) {
    enum { AT_ONCE = 100 };
    size_t n = AT_ONCE;
    int rc = 0;
    while (n == AT_ONCE && !rc && !atomic_load(&all->stopping)) {
        vx_folder_file *files = NULL;
        n = 0;
        rc = vx_catalog_find_folder_expired(all->params.catalog,
                                            vx_clock_unix_us() - all->params.keep_us, AT_ONCE,
                                            &files, &n, err);
        for (size_t i = 0; i < n && !rc; i++)
            rc = expire_file(all, files[i].row, files[i].video, err);
        vx_folder_files_free(files, n);
    }
    return rc;
}
