/* input_files.h — the video files below a folder, or below several places, as they were when these were walked.
 *
 * A file is taken for a video by its suffix; media/ finds out what it really holds. Symbolic links
 * are not followed. An output folder may lie below the input, so folders named .vidx are left out,
 * and the clips/ beside one if --write-clips made it. Threads: one at a time.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct vx_batch_video; /* inventory.h */

typedef struct vx_batch_file {
    char *path; /* relative to the folder, or absolute (vx_batch_find_files_at), UTF-8; owned */
    int64_t bytes, mtime_ns;
    struct vx_batch_video *video; /* the stored video with its bytes; NULL = not known yet */
    struct vx_batch_file *next;   /* the next file of that video */
} vx_batch_file;

typedef struct vx_batch_files {
    vx_batch_file *items; /* [n], ascending by path (bytes); does not move */
    size_t n;
    int64_t bytes;
    size_t n_symlinks; /* to videos and folders; passed over */
    bool complete;     /* every folder could be read */
    const char *const *
        places; /* [n_places] absolute, sorted; borrowed; NULL: one folder, to which paths are relative */
    size_t n_places;
} vx_batch_files;
vx_batch_files *vx_batch_files_free(vx_batch_files *files);
VX_DEFINE_AUTO(vx_batch_files, vx_batch_files_free)

/* Called for what is inside but cannot be read or named; path and reason are borrowed. */
typedef void (*vx_batch_on_problem)(void *ctx, const char *path, const char *reason);

/* folder: an absolute path. -errno when the folder itself cannot be read. */
int vx_batch_find_files(const char *folder, vx_batch_on_problem on_problem, void *ctx,
                        vx_batch_files **ret_files, vx_err *err);

/* The files below several folders, and files, which need no suffix; each file once. Paths are absolute.
 *   places  [n] absolute paths without symbolic links; borrows, as long as the files live */
int vx_batch_find_files_at(const char *const *places, size_t n, vx_batch_on_problem on_problem,
                           void *ctx, vx_batch_files **ret_files, vx_err *err);
/* Whether a path is in what was walked, if there is such a file. */
bool vx_batch_files_cover(const vx_batch_files *files, const char *path);
/* Whether there are files below a place, or whether it is one. */
bool vx_batch_files_below(const vx_batch_files *files, const char *place);
/* Whether a path is that place or lies below it. */
bool vx_batch_is_below(const char *path, const char *place);
/* Where a file is. folder: that of relative paths. -ENAMETOOLONG. */
int vx_batch_file_path(const char *folder, const vx_batch_file *file, char ret_path[PATH_MAX],
                       vx_err *err);

/* Whether a file is hidden, or in a hidden folder or a trash folder, below the input folder: a part of
 * its path begins with a dot, or has one of the names that systems give to their trash. */
bool vx_batch_file_is_set_aside(const vx_batch_file *file);

/* NULL when there is none of that path. */
vx_batch_file *vx_batch_files_find(const vx_batch_files *files, const char *path);
