/* files_kind.c — a folder of files as a kind of store; files.c writes it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "outside.h"

typedef struct files {
    vx_outside outside; /* first */
    int lock;           /* of the folder; -1: not taken yet */
} files;

static files *of(vx_outside *outside) {
    return VX_CONTAINER_OF(outside, files, outside);
}

static int open_files(vx_outside **ret_outside, vx_err *err) {
    files *opened = vx_new(files);
    if (!opened)
        return VX_FAIL(err, -ENOMEM, "no memory for a store");
    opened->lock = -1;
    *ret_outside = &opened->outside;
    return 0;
}

static int ensure(vx_outside *outside, vx_err *err) {
    (void)err;
    snprintf(outside->version, sizeof outside->version, "files, %s", outside->url.format);
    return 0;
}

static void close_files(vx_outside *outside) {
    if (of(outside)->lock >= 0)
        close(of(outside)->lock);
    free(of(outside));
}

const vx_outside_kind vx_outside_files = {
    .name = "files", .open = open_files, .ensure = ensure, .close = close_files};

int vx_files_lock(vx_outside *outside, const char *folder, vx_err *err) {
    files *opened = of(outside);
    char path[PATH_MAX];
    if (opened->lock >= 0)
        return 0;
    if (snprintf(path, sizeof path, "%s/lock", folder) >= (int)sizeof path)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", folder);
    opened->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (opened->lock < 0)
        return VX_FAIL_ERRNO(err, "opening %s", path);
    if (!flock(opened->lock, LOCK_EX | LOCK_NB))
        return 0;
    close(opened->lock);
    opened->lock = -1;
    return VX_FAIL(err, VX_OUTSIDE_UNFIT, "another store or process writes to %.200s", folder);
}
