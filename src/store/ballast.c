/* ballast.c — a file that only takes room, to be given up when the disk is full. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store_internal.h"

#define MAX_BALLAST_BYTES (INT64_C(8) << 20)
#define MIN_BALLAST_BYTES (INT64_C(256) << 10) /* what a small transaction of the catalog writes */
#define SHARE_OF_FREE 32

static int path_of(const vx_store *store, char ret_path[PATH_MAX], vx_err *err) {
    if (snprintf(ret_path, PATH_MAX, "%s/ballast", store->data_dir) < PATH_MAX)
        return 0;
    return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", store->data_dir);
}

int vx_store_make_ballast(vx_store *store, vx_err *err) {
    char path[PATH_MAX];
    int64_t free_bytes;
    struct stat info;
    int rc = path_of(store, path, err);
    if (!rc)
        rc = vx_store_get_free(store, &free_bytes, err);
    if (rc)
        return rc;
    if (!stat(path, &info) && info.st_size >= MIN_BALLAST_BYTES) {
        atomic_store(&store->has_ballast, true);
        return 0;
    }
    int64_t bytes = free_bytes / SHARE_OF_FREE;
    if (bytes < MIN_BALLAST_BYTES)
        return 0;
    VX_AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC ? 0 : VX_FAIL_ERRNO(err, "creating %s", path);
    rc = posix_fallocate(fd, 0, bytes < MAX_BALLAST_BYTES ? bytes : MAX_BALLAST_BYTES);
    atomic_store(&store->has_ballast, !rc);
    if (!rc)
        return 0;
    unlink(path);
    errno = rc;
    return rc == ENOSPC || rc == EINVAL ? 0 : VX_FAIL_ERRNO(err, "making room for %s", path);
}

void vx_store_drop_ballast(vx_store *store) {
    char path[PATH_MAX];
    vx_err err;
    if (!path_of(store, path, &err))
        unlink(path);
    atomic_store(&store->has_ballast, false);
}

bool vx_store_has_ballast(const vx_store *store) {
    return atomic_load(&store->has_ballast);
}
