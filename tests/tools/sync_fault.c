/* Preloaded into the program under test: no sync of a file succeeds while the file $VIDX_TEST_SYNC_FAULT is
 * there and holds the end of that file's name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) int fsync(int fd);
__attribute__((visibility("default"))) int fdatasync(int fd);

static int fails(int fd) {
    char link[40], path[512], end[64];
    const char *name = getenv("VIDX_TEST_SYNC_FAULT");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t n_end = read(file, end, sizeof end);
    close(file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    return n_end > 0 && n >= n_end && !memcmp(path + n - n_end, end, (size_t)n_end);
}

int fsync(int fd) {
    return fails(fd) ? (errno = EIO, -1) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    return fails(fd) ? (errno = EIO, -1) : (int)syscall(SYS_fdatasync, fd);
}
