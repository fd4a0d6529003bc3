/* batch_library.h — which file of the input folder is which stored video: the memory of vidx embed.
 *
 * It lives in the catalog: the metadata of a stored video is
 *   {"made_with": "<first model> <digest> <clip rule> <fingerprints>",
 *    "files": [{"path", "bytes", "mtime_ns"}]}
 * with every path that has its bytes. The first path is committed together with the video, further
 * ones by _flush: a crash before costs reading those files again, never an embedding. A file whose
 * path, size and modification time stand there is not read again.
 *
 * Threads: one at a time; blocks for the committer where said.
 */
#pragma once

#include "files.h"
#include "server/server.h"

typedef struct vx_batch_video {
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_batch_file *files; /* that have its bytes now, in no order; NULL = it will be pruned */
    bool dirty;           /* the metadata says otherwise */
} vx_batch_video;

typedef struct vx_batch_library vx_batch_library;

/* Reads the catalog and links every file that is known and unchanged (files->items[].video). What
 * stands under an unreadable folder counts as still there. Borrows server and files.
 * -EEXIST: it was made with another first model, clip rule or fingerprint setting. What further
 * models lack is for batch_missing.h. */
int vx_batch_library_open(vx_server *server, vx_batch_files *files, vx_batch_library **ret_library,
                          vx_err *err);
vx_batch_library *vx_batch_library_free(vx_batch_library *library);
VX_DEFINE_AUTO(vx_batch_library, vx_batch_library_free)

/* Metadata for a video that is to be stored from this file; NULL when out of memory. free(). */
char *vx_batch_library_metadata(const vx_batch_library *library, const vx_batch_file *file);

/* The file's bytes are those of this stored video. written: the catalog names the file already. */
int vx_batch_library_link(vx_batch_library *library, const char *video_id, vx_batch_file *file,
                          bool written, vx_err *err);

/* Whether a stored video of that id has a file. */
bool vx_batch_library_has(const vx_batch_library *library, const char *video_id);
/* Stored videos, with or without files. */
size_t vx_batch_library_count(const vx_batch_library *library);

/* Every file of a stored video, those under unreadable folders too, ascending by path; first_only:
 * of a video's files only the first. Gives the array (free()), borrows the files. */
int vx_batch_library_files(const vx_batch_library *library, bool first_only,
                           vx_batch_file ***ret_files, size_t *ret_n, vx_err *err);

/* Writes what links changed. Waits until it is durable. */
int vx_batch_library_flush(vx_batch_library *library, vx_err *err);
/* Removes the stored videos that no file has. Waits until it is durable. */
int vx_batch_library_prune(vx_batch_library *library, size_t *ret_removed, vx_err *err);

/* The paths in a stored video's metadata, ascending: gives a JSON array of strings (json_decref),
 * NULL when it is not metadata of ours. */
struct json_t;
struct json_t *vx_batch_library_paths(const char *metadata);
