/* Preloaded into vidx (LD_PRELOAD), makes calls fail as a machine in trouble does.
 *
 *   VIDX_FAULT   a file; while it exists, its one line says what fails: CALL ERRNO FROM_BYTE PART
 *                CALL       open (of a whole path: uploads are created below a folder, and not meant),
 *                           read, rename, sync or stat (of a name in a folder)
 *                ERRNO      0: the process ends, as if a decoder had crashed
 *                FROM_BYTE  reads fail from this place of the file on
 *                PART       of the path, which decides whose calls fail
 */
#undef _FILE_OFFSET_BITS /* would make open and open64 one symbol */
#undef _FORTIFY_SOURCE   /* would make what is replaced here inline */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static bool fails(const char *call, const char *path, int fd, off_t at) {
    const char *rule_path = getenv("VIDX_FAULT");
    char rule[256] = "", name[16], part[128], link[64], target[512] = "";
    long long from;
    int code;
    int rule_fd = rule_path ? (int)syscall(SYS_openat, AT_FDCWD, rule_path, O_RDONLY) : -1;
    if (rule_fd < 0)
        return false;
    long n = syscall(SYS_read, rule_fd, rule, sizeof rule - 1);
    syscall(SYS_close, rule_fd);
    if (n <= 0 || sscanf(rule, "%15s %d %lld %127s", name, &code, &from, part) != 4 ||
        strcmp(name, call) || at < from)
        return false;
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) < 0)
            return false;
        path = target;
    }
    if (!strstr(path, part))
        return false;
    if (!code)
        abort();
    errno = code;
    return true;
}

#define MODE_OF(flags)                                                                             \
    ({                                                                                             \
        mode_t mode = 0;                                                                           \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        if ((flags) & (O_CREAT | O_TMPFILE))                                                       \
            mode = va_arg(more, mode_t);                                                           \
        va_end(more);                                                                              \
        mode;                                                                                      \
    })

EXPORT int open(const char *path, int flags, ...) {
    return fails("open", path, -1, 0)
               ? -1
               : (int)syscall(SYS_openat, AT_FDCWD, path, flags, MODE_OF(flags));
}

EXPORT int open64(const char *path, int flags, ...) {
    return fails("open", path, -1, 0)
               ? -1
               : (int)syscall(SYS_openat, AT_FDCWD, path, flags, MODE_OF(flags));
}

EXPORT ssize_t read(int fd, void *to, size_t n) {
    return fails("read", NULL, fd, lseek(fd, 0, SEEK_CUR)) ? -1 : syscall(SYS_read, fd, to, n);
}

EXPORT ssize_t pread(int fd, void *to, size_t n, off_t at) {
    return fails("read", NULL, fd, at) ? -1 : syscall(SYS_pread64, fd, to, n, at);
}

EXPORT ssize_t pread64(int fd, void *to, size_t n, off_t at) {
    return fails("read", NULL, fd, at) ? -1 : syscall(SYS_pread64, fd, to, n, at);
}

EXPORT int fsync(int fd) {
    return fails("sync", NULL, fd, 0) ? -1 : (int)syscall(SYS_fsync, fd);
}

EXPORT int fdatasync(int fd) {
    return fails("sync", NULL, fd, 0) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

EXPORT int fstatat(int fd, const char *name, struct stat *facts, int flags) {
    return fails("stat", name, -1, 0) ? -1 : (int)syscall(SYS_newfstatat, fd, name, facts, flags);
}

EXPORT int fstatat64(int fd, const char *name, struct stat64 *facts, int flags) {
    return fails("stat", name, -1, 0) ? -1 : (int)syscall(SYS_newfstatat, fd, name, facts, flags);
}

EXPORT int renameat(int from, const char *old, int to, const char *new) {
    return fails("rename", NULL, to, 0) ? -1 : (int)syscall(SYS_renameat, from, old, to, new);
}
