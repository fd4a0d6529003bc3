/* output.c — see the header. */
#include "output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/whole_file.h"

#define STAGING ".vidx/staging"
#define BUFFER_BYTES (1 << 20)

int vx_batch_join(char ret_path[PATH_MAX], const char *output, const char *name, vx_err *err) {
    if (snprintf(ret_path, PATH_MAX, "%s/%s", output, name) >= PATH_MAX)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", output);
    return 0;
}

int vx_batch_make_folders(const char *path, vx_err *err) {
    char partial[PATH_MAX];
    if (snprintf(partial, sizeof partial, "%s", path) >= (int)sizeof partial)
        return VX_FAIL(err, -ENAMETOOLONG, "%s is too long a path", path);
    for (char *slash = partial; *slash;) {
        slash += strspn(slash, "/");
        slash += strcspn(slash, "/");
        char end = *slash;
        *slash = '\0';
        if (mkdir(partial, 0777) && errno != EEXIST)
            return VX_FAIL_ERRNO(err, "creating the folder %s", partial);
        *slash = end;
    }
    return 0;
}

int vx_batch_sync_folder(const char *output, const char *name, vx_err *err) {
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, name, err);
    return rc ? rc : vx_sync_folder(path, err);
}

static int write_file(const char *output, const char *name, vx_batch_write_content write, void *ctx,
                      bool durable, vx_err *err) {
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, name, err);
    if (rc)
        return rc;
    VX_AUTO(FILE) file = fopen(path, "we");
    if (!file)
        return VX_FAIL_ERRNO(err, "creating %s", path);
    if (durable)
        setvbuf(file, NULL, _IOFBF, BUFFER_BYTES);
    errno = 0;
    rc = write(file, ctx);
    if (rc)
        errno = -rc;
    if (rc || fflush(file) || ferror(file) || (durable && fsync(fileno(file)))) {
        errno = errno ? errno : EIO;
        return VX_FAIL_ERRNO(err, "writing %s", path);
    }
    return 0;
}

int vx_batch_write_file(const char *output, const char *name, vx_batch_write_content write,
                        void *ctx, vx_err *err) {
    return write_file(output, name, write, ctx, true, err);
}

int vx_batch_move(const char *output, const char *from, const char *to, vx_err *err) {
    char source[PATH_MAX], target[PATH_MAX];
    int rc = vx_batch_join(source, output, from, err);
    if (!rc)
        rc = vx_batch_join(target, output, to, err);
    if (!rc && rename(source, target))
        rc = VX_FAIL_ERRNO(err, "putting %s into place", target);
    return rc;
}

int vx_batch_remove(const char *output, const char *name, vx_err *err) {
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, name, err);
    if (!rc && remove(path) && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
        rc = VX_FAIL_ERRNO(err, "removing %s", path);
    return rc;
}

int vx_batch_open_staging(const char *output, vx_err *err) {
    char path[PATH_MAX];
    int rc = vx_batch_join(path, output, STAGING, err);
    if (rc)
        return rc;
    if (mkdir(path, 0700) && errno != EEXIST)
        return VX_FAIL_ERRNO(err, "creating %s", path);
    DIR *folder = opendir(path);
    if (!folder)
        return VX_FAIL_ERRNO(err, "reading %s", path);
    for (struct dirent *entry; (entry = readdir(folder));)
        unlinkat(dirfd(folder), entry->d_name, 0); /* "." and ".." refuse */
    closedir(folder);
    return 0;
}

bool vx_batch_same_content(const char *a, const char *b) {
    VX_AUTO(FILE) x = fopen(a, "re");
    VX_AUTO(FILE) y = fopen(b, "re");
    if (!x || !y)
        return false;
    char left[1 << 14], right[1 << 14];
    for (;;) {
        size_t n = fread(left, 1, sizeof left, x), m = fread(right, 1, sizeof right, y);
        if (n != m || memcmp(left, right, n) || ferror(x) || ferror(y))
            return false;
        if (n < sizeof left)
            return true;
    }
}

int vx_batch_replace(const char *output, const char *name, vx_batch_write_content write, void *ctx,
                     vx_err *err) {
    int rc = vx_batch_open_staging(output, err);
    if (!rc)
        rc = vx_batch_write_file(output, STAGING "/new", write, ctx, err);
    if (!rc)
        rc = vx_batch_move(output, STAGING "/new", name, err);
    return rc ? rc : vx_batch_sync_folder(output, ".", err);
}

/* ---- many files ---- */

/* Moves the staged file to <name>, whose folder may not be there yet. */
static int install(const char *output, const char *name, vx_err *err) {
    int rc = vx_batch_move(output, STAGING "/new", name, err);
    if (rc != -ENOENT)
        return rc;
    char folder[PATH_MAX];
    rc = vx_batch_join(folder, output, name, err);
    if (rc)
        return rc;
    *strrchr(folder, '/') = '\0';
    rc = vx_batch_make_folders(folder, err);
    return rc ? rc : vx_batch_move(output, STAGING "/new", name, err);
}

int vx_batch_put(const char *output, const char *name, vx_batch_write_content write, void *ctx,
                 bool *ret_written, vx_err *err) {
    char staged[PATH_MAX], path[PATH_MAX];
    int rc = write_file(output, STAGING "/new", write, ctx, false, err);
    if (!rc)
        rc = vx_batch_join(staged, output, STAGING "/new", err);
    if (!rc)
        rc = vx_batch_join(path, output, name, err);
    if (rc)
        return rc;
    *ret_written = !vx_batch_same_content(staged, path);
    if (*ret_written)
        return install(output, name, err);
    unlink(staged);
    return 0;
}

typedef struct span {
    const void *bytes;
    size_t n;
} span;

static int write_span(FILE *file, void *ctx) {
    const span *s = ctx;
    return fwrite(s->bytes, 1, s->n, file) == s->n ? 0 : -errno;
}

static bool has_content(const char *path, const span *s) {
    struct stat info;
    VX_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) || !S_ISREG(info.st_mode) || (size_t)info.st_size != s->n)
        return false;
    VX_AUTO_FREE char *found = malloc(s->n + 1);
    return found && read(fd, found, s->n) == (ssize_t)s->n && !memcmp(found, s->bytes, s->n);
}

int vx_batch_put_bytes(const char *output, const char *name, const void *bytes, size_t n,
                       bool *ret_written, vx_err *err) {
    char path[PATH_MAX];
    span s = {bytes, n};
    int rc = vx_batch_join(path, output, name, err);
    if (rc)
        return rc;
    *ret_written = !has_content(path, &s);
    if (!*ret_written)
        return 0;
    rc = write_file(output, STAGING "/new", write_span, &s, false, err);
    return rc ? rc : install(output, name, err);
}

int vx_batch_sync(const char *output, vx_err *err) {
    VX_AUTO_FD int fd = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || syncfs(fd))
        return VX_FAIL_ERRNO(err, "making %s durable", output);
    return 0;
}
