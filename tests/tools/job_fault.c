/* job_fault.c — LD_PRELOAD: faults of the machine, while the file $VX_TEST_FAULT exists. Its one line is
 * "open ERRNO", "rename ERRNO" (of what lies in incoming/, or moves to media/) or "crash": the process ends
 * where a decoder is opened. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool fails(const char *what) {
    char line[64] = "", name[16];
    const char *path = getenv("VX_TEST_FAULT");
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY) : -1;
    int number = 0;
    if (fd < 0)
        return false;
    long n = syscall(SYS_read, fd, line, sizeof line - 1);
    syscall(SYS_close, fd);
    if (n <= 0 || sscanf(line, "%15s %d", name, &number) < 1 || strcmp(name, what) != 0)
        return false;
    errno = number;
    return true;
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    if (strstr(path, "/incoming/")) {
        if (fails("crash"))
            abort();
        if (fails("open"))
            return -1;
    }
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE_OF_ARGUMENTS                                                                          \
    mode_t mode = 0;                                                                               \
    va_list list;                                                                                  \
    va_start(list, flags);                                                                         \
    if (flags & (O_CREAT | O_TMPFILE))                                                             \
        mode = va_arg(list, mode_t);                                                               \
    va_end(list);

int open(const char *path, int flags, ...) {
    MODE_OF_ARGUMENTS
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE_OF_ARGUMENTS
    return open_at(AT_FDCWD, path, flags, mode);
}

int renameat(int from, const char *old, int to, const char *new) {
    return fails("rename") ? -1 : (int)syscall(SYS_renameat, from, old, to, new);
}
