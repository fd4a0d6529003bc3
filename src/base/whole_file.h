/* whole_file.h — a file that appears under its name whole or not at all.
 *
 *     vx_whole_file file;
 *     int rc = vx_whole_file_open(&file, path, err);
 *     if (!rc)
 *         rc = vx_whole_file_end(&file, write_content(file.stream), err);
 *
 * It is written beside its place, under the name with six random characters, and renamed when it is on disk.
 * What stood under the name before stays until then.
 *
 * Threads: any number, each with its own file. */
#pragma once

#include <limits.h>
#include <stdio.h>

#include "err.h"

typedef struct vx_whole_file {
    FILE *stream; /* buffered, for writing and seeking; owned, not to be closed by the caller */
    const char *path;
    char temporary[PATH_MAX];
} vx_whole_file;

/* Borrows path until vx_whole_file_end(). Errors: -ENAMETOOLONG and those of creating a file; then there is nothing
 * to end. */
int vx_whole_file_open(vx_whole_file *file, const char *path, vx_err *err);

/* Ends a file that was opened. With rc 0 the file is made durable and gets its name, readable for all. Otherwise, or
 * if that fails, it is thrown away. Returns rc, or why it could not be made durable. */
int vx_whole_file_end(vx_whole_file *file, int rc, vx_err *err);

/* Makes the names in a folder durable. */
int vx_sync_folder(const char *folder, vx_err *err);
