/* below.c — opening what lies below a folder, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/log.h"
#include "folders_internal.h"

int vx_below_open_root(const char *path) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int vx_below_join(const char *dir, const char *name, char ret_path[PATH_MAX]) {
    int n = name ? snprintf(ret_path, PATH_MAX, "%s%s%s", dir, *dir ? "/" : "", name)
                 : snprintf(ret_path, PATH_MAX, "%s", *dir ? dir : ".");
    return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static const int always = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

int vx_below_open_by_parts(int root_fd, const char *dir, const char *name, int flags) {
    VX_AUTO_FD int parent = -1;
    char whole[PATH_MAX], *path = whole;
    int at = root_fd, rc = vx_below_join(dir, name, whole);
    if (rc)
        return rc;
    for (char *part = path, *slash; (slash = strchr(part, '/')); part = slash + 1) {
        *slash = '\0';
        if (!strcmp(part, ".."))
            return -EXDEV;
        int next = openat(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0)
            return -errno;
        if (parent >= 0)
            close(parent);
        at = parent = next;
        path = slash + 1;
    }
    if (!strcmp(path, ".."))
        return -EXDEV;
    int fd = openat(at, path, flags | always);
    return fd < 0 ? -errno : fd;
}

int vx_below_open(int root_fd, const char *dir, const char *name, int flags) {
    static atomic_bool has_none;
    char path[PATH_MAX];
    int rc = vx_below_join(dir, name, path);
    if (rc)
        return rc;
    if (!atomic_load(&has_none)) {
        const struct open_how how = {.flags = (uint64_t)(flags | always),
                                     .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                                RESOLVE_NO_MAGICLINKS};
        long fd = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno != ENOSYS && errno != EPERM)
            return -errno;
        atomic_store(&has_none, errno == ENOSYS);
    }
    return vx_below_open_by_parts(root_fd, dir, name, flags);
}

/* ---- the file of a video ---- */

static const vx_folder_row *find_folder(const vx_folder_row *folders, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(folders[i].name, name))
            return &folders[i];
    return NULL;
}

/* Opens one file if it is as it was when it was read; *err says why not. */
static int open_place(const vx_folder_row *folder, const vx_folder_file *file, vx_err *err) {
    char quoted[512];
    vx_log_quote(file->name, quoted, sizeof quoted);
    VX_AUTO_FD int root = vx_below_open_root(folder->path);
    if (root < 0)
        return VX_FAIL(err, -ENOENT, "the folder %s cannot be opened: %s", folder->name,
                       strerror(-root));
    int fd = vx_below_open(root, file->dir, file->name, O_RDONLY);
    struct stat facts;
    if (fd < 0)
        return VX_FAIL(err, -ENOENT, "%s in the folder %s cannot be opened: %s", quoted,
                       folder->name, strerror(-fd));
    if (!fstat(fd, &facts) && vx_folder_file_is(file, &facts, false))
        return fd;
    close(fd);
    return VX_FAIL(err, -ENOENT, "%s in the folder %s has changed since it was read", quoted,
                   folder->name);
}

int vx_folders_open_file(vx_catalog *catalog, const vx_folder_row *folders, size_t n,
                         const char *video_id, int *ret_fd, vx_err *err) {
    enum { PLACES = 16 };
    vx_folder_file *places = NULL;
    size_t n_places = 0;
    int fd = vx_catalog_list_video_places(catalog, video_id, PLACES, &places, &n_places, err);
    if (fd)
        return fd;
    fd = VX_FAIL(err, -ENOENT, "its file is in no folder that is known");
    for (size_t i = 0; i < n_places && fd < 0; i++) {
        const vx_folder_row *folder = find_folder(folders, n, places[i].folder);
        char since[VX_CLOCK_ISO_BYTES];
        vx_clock_iso(places[i].missing_us, since);
        if (places[i].missing_us)
            fd = i ? fd
                   : VX_FAIL(err, -ENOENT, "its file is missing from the folder %s since %s",
                             places[i].folder, since);
        else if (!folder)
            fd = VX_FAIL(err, -ENOENT, "its folder %s was not given with --folder",
                         places[i].folder);
        else
            fd = open_place(folder, &places[i], err);
    }
    vx_folder_files_free(places, n_places);
    if (fd < 0)
        return fd;
    *ret_fd = fd;
    return 0;
}
