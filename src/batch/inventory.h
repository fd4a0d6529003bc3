/* inventory.h — which file of the input folder is which stored video: the memory of vidx embed.
 *
 * It lives in the catalog: the metadata of a stored video is
 *   {"made_with": "<first model> <digest> <clip rule> <fingerprints>[ keyframes]",
 *    "files": [{"path", "bytes", "mtime_ns"}]}
 * with every path that has its bytes. The first path is committed together with the video, further
 * ones by _save; a crash before that costs reading those files again, but no embedding. A file whose
 * path, size and modification time are unchanged is not read again.
 *
 * Threads: one at a time; waits for the writer where said.
 */
#pragma once

#include "input_files.h"
#include "parts.h"

/* A stored video. */
typedef struct vx_batch_video {
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_batch_file *files; /* those with its bytes, in no order; NULL = it will be pruned */
    bool changed;         /* its metadata in the catalog is out of date */
} vx_batch_video;

typedef struct vx_batch_inventory vx_batch_inventory;

/* Reads the catalog and connects every known and unchanged file with its video
 * (files->items[].video). Files of an unreadable folder, and those of other places than were walked, count as
 * still there. Borrows both.
 * -EEXIST: the output was made with another first model, clip rule, fingerprint or frames setting. (Vectors
 * that further models have not made are for missing_vectors.h.) */
int vx_batch_inventory_open(const vx_batch_parts *parts, vx_batch_files *files,
                            vx_batch_inventory **ret_inventory, vx_err *err);
vx_batch_inventory *vx_batch_inventory_free(vx_batch_inventory *inventory);
VX_DEFINE_AUTO(vx_batch_inventory, vx_batch_inventory_free)

/* Metadata for a video that is about to be stored from this file; NULL when out of memory. free(). */
char *vx_batch_inventory_metadata(const vx_batch_inventory *inventory, const vx_batch_file *file);

/* Notes that the file has the bytes of this stored video.
 *   in_catalog  the video's metadata names the file already */
int vx_batch_inventory_add_file(vx_batch_inventory *inventory, const char *video_id,
                                vx_batch_file *file, bool in_catalog, vx_err *err);

/* Whether a stored video of that id has a file. */
bool vx_batch_inventory_has_file(const vx_batch_inventory *inventory, const char *video_id);
/* Stored videos, with or without files. */
size_t vx_batch_inventory_count(const vx_batch_inventory *inventory);
/* How many stored files are gone from a place that was walked. */
size_t vx_batch_inventory_count_gone(const vx_batch_inventory *inventory, const char *place);

/* Every file of a stored video, those under unreadable folders too, ascending by path.
 *   first_only  of several files with the same bytes only the first
 *   ret_files   gives the array (free()), borrows the files */
int vx_batch_inventory_files(const vx_batch_inventory *inventory, bool first_only,
                             vx_batch_file ***ret_files, size_t *ret_n, vx_err *err);

/* Writes changed metadata. Waits until it is durable. */
int vx_batch_inventory_save(vx_batch_inventory *inventory, vx_err *err);
/* Deletes the stored videos that no file has. Waits until it is durable. */
int vx_batch_inventory_prune(vx_batch_inventory *inventory, size_t *ret_removed, vx_err *err);

/* The paths in a stored video's metadata, ascending: gives a JSON array of strings (json_decref),
 * NULL when it is not metadata of ours. */
struct json_t;
struct json_t *vx_batch_inventory_paths(const char *metadata);
