/* whole_file.c — writes beside the place, makes durable, renames. */
#include "whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

#define BUFFER_BYTES (1 << 20)

int vx_whole_file_open(vx_whole_file *file, const char *path, vx_err *err) {
    *file = (vx_whole_file){.path = path};
    if (snprintf(file->temporary, sizeof file->temporary, "%s.XXXXXX", path) >=
        (int)sizeof file->temporary)
        return VX_FAIL(err, -ENAMETOOLONG, "the path %s is too long", path);
    int fd = mkostemp(file->temporary, O_CLOEXEC);
    if (fd < 0)
        return VX_FAIL_ERRNO(err, "creating a file beside %s", path);
    file->stream = fdopen(fd, "w");
    if (file->stream && !setvbuf(file->stream, NULL, _IOFBF, BUFFER_BYTES))
        return 0;
    int rc = VX_FAIL_ERRNO(err, "creating a file beside %s", path);
    if (file->stream)
        fclose(file->stream);
    else
        close(fd);
    unlink(file->temporary);
    return rc;
}

int vx_sync_folder(const char *folder, vx_err *err) {
    VX_AUTO_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) ? VX_FAIL_ERRNO(err, "making the folder %s durable", folder) : 0;
}

int vx_whole_file_end(vx_whole_file *file, int rc, vx_err *err) {
    int fd = fileno(file->stream);
    if (!rc && (fchmod(fd, 0644) || fflush(file->stream) || fsync(fd)))
        rc = VX_FAIL_ERRNO(err, "writing %s", file->path);
    if (fclose(file->stream) && !rc)
        rc = VX_FAIL_ERRNO(err, "writing %s", file->path);
    if (!rc && rename(file->temporary, file->path))
        rc = VX_FAIL_ERRNO(err, "putting %s into place", file->path);
    if (rc) {
        unlink(file->temporary);
        return rc;
    }
    const char *slash = strrchr(file->path, '/');
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file->path + 1) : 1,
             slash ? file->path : ".");
    return vx_sync_folder(folder, err);
}
