/* store.h — uploads on their way in, and the content-addressed files where they end.
 *
 *   <data>/incoming/<random>          partial and sealed uploads
 *   <data>/media/<2 hex>/<64 hex>     stored files, named by their SHA-256, never by a client
 *   <data>/tables/<64 hex>            packet tables of the same (media.h): derived, made anew at need
 *
 * Life of an upload: begin → write… → end (digest known) → seal (fsync) → publish (rename into the
 * store) or free (the file is removed). A sealed upload that was kept survives its upload and a restart;
 * it is adopted by its name, and verified before it is used. Nothing is held in memory but one digest context.
 *
 * What a power cut leaves: after seal the bytes, after vx_upload_keep also their name in incoming/,
 * after vx_store_sync their name in media/. Whoever writes a name down makes it durable first.
 *
 * Errs     VX_UPLOAD_* (> 0); -ENOSPC when the disk is full; other -errno. Outputs are untouched on
 *          non-zero
 * Threads  one upload belongs to one thread at a time, but that one may seal it while another reads
 *          its file and asks for path, name, digest and size; the store may be used from any thread
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"

#define VX_UPLOAD_TOO_LARGE VX_CODES_STORE       /* larger than max_upload_bytes */
#define VX_UPLOAD_NOT_FOUND (VX_CODES_STORE + 1) /* the file is gone */

typedef struct vx_store vx_store;
typedef struct vx_upload vx_upload;

typedef struct vx_store_params {
    const char *data_dir;     /* borrows; created if absent */
    int64_t max_upload_bytes; /* 0 = no limit */
    int64_t reserve_bytes;    /* an upload that would leave less free space than this is refused
                                 before it begins: the catalog needs room to delete */
} vx_store_params;

/* Creates the folders that are missing, and makes their names durable, that of data_dir in its parent
 * too. The store is for one process: the catalog's lock sees to it. */
int vx_store_open(const vx_store_params *params, vx_store **ret_store, vx_err *err);
vx_store *vx_store_close(vx_store *store);
VX_DEFINE_AUTO(vx_store, vx_store_close)

/* expected_bytes: what the client announced, -1 = not known. VX_UPLOAD_TOO_LARGE, -ENOSPC. */
int vx_upload_begin(vx_store *store, int64_t expected_bytes, vx_upload **ret_upload, vx_err *err);
/* Appends n bytes (borrows). VX_UPLOAD_TOO_LARGE. */
int vx_upload_write(vx_upload *upload, const void *bytes, size_t n, vx_err *err);
/* Nothing more can be written; the digest is valid, the file readable by its path, not yet durable.
 */
int vx_upload_end(vx_upload *upload, vx_err *err);
/* Ends it if it has not ended, and makes its bytes durable (fsync). Waits for the disk. */
int vx_upload_seal(vx_upload *upload, vx_err *err);
/* The sealed file now stays when the upload is freed, and survives a crash (the folder is fsynced):
 * for jobs that are acknowledged before they run. */
int vx_upload_keep(vx_upload *upload, vx_err *err);
/* Moves the sealed file into the store; idempotent when the same bytes are there already. The
 * rename is durable only after vx_store_sync of the same digest (so that a group shares it). On
 * failure the file is where it was. */
int vx_upload_publish(vx_upload *upload, vx_err *err);
/* Publishes and syncs a sealed upload by itself: a stored video has lost its file, and the same bytes came
 * again. */
int vx_upload_restore(vx_upload *upload, vx_err *err);
/* Takes a publish back (the transaction that named the file failed): sealed again. The caller knows
 * that no stored video needs the file. */
int vx_upload_unpublish(vx_upload *upload, vx_err *err);
/* Removes the file unless it was published or kept. */
vx_upload *vx_upload_free(vx_upload *upload);
VX_DEFINE_AUTO(vx_upload, vx_upload_free)
/* Takes back vx_upload_keep: the file goes with the upload again. */
void vx_upload_unkeep(vx_upload *upload);

const char *vx_upload_path(const vx_upload *upload); /* borrows; the store's path once published */
const char *vx_upload_name(const vx_upload *upload); /* borrows; for vx_upload_adopt */
const uint8_t *vx_upload_sha256(const vx_upload *upload); /* 32 bytes, valid once ended */
int64_t vx_upload_bytes(const vx_upload *upload);

/* An upload of a kept file, by its name; stays kept. The file is not looked at: vx_upload_verify. */
int vx_upload_adopt(vx_store *store, const char *name, const uint8_t sha256[32],
                    vx_upload **ret_upload, vx_err *err);
/* Reads the whole file of an adopted upload, whose digest must be the right one; then it is sealed. No
 * work for others. A file that had been published, but whose transaction was undone, is taken back out
 * of the store: the caller knows that no stored video needs it. -ENOENT: the file is gone. */
int vx_upload_verify(vx_upload *upload, vx_err *err);
/* Removes a kept file that no upload is adopted for; absent is fine. */
int vx_store_discard(vx_store *store, const char *name, vx_err *err);
/* A file outside the store (vidx embed): hashed here, never moved, never removed. */
int vx_upload_external(const char *path, vx_upload **ret_upload, vx_err *err);
/* The same of a file that is open and lies in place (vx_store_find_file): its source is VX_IN_PLACE.
 *   fd          takes, also on failure; of a regular file
 *   keep_going  NULL, or told before each MiB how many bytes were read since the last call; false ends it:
 *               -ECANCELED */
int vx_upload_in_place(int fd, bool (*keep_going)(void *ctx, int64_t n_bytes), void *ctx,
                       vx_upload **ret_upload, vx_err *err);

/* What videos.source_path is for this upload: the path of an external file, VX_IN_PLACE, NULL for one of ours;
 * borrows. */
const char *vx_upload_external_path(const vx_upload *upload);
/* The open file of vx_upload_in_place; else -1. Borrows. */
int vx_upload_in_place_fd(const vx_upload *upload);

/* The path that the file of these bytes has, or would have: capacity is PATH_MAX. */
void vx_store_path(const vx_store *store, const uint8_t sha256[32], char *ret_path,
                   size_t capacity);

/* ---- the file of a video, wherever it lies ---- */

/* A file to read by its path, which is right until it is released. */
typedef struct vx_stored_file {
    char path[PATH_MAX];
    int fd; /* of a file in place, open for reading; else -1 */
} vx_stored_file;
#define VX_NO_STORED_FILE ((vx_stored_file){.fd = -1})
void vx_stored_file_release(vx_stored_file *file);
#define VX_AUTO_STORED_FILE __attribute__((cleanup(vx_stored_file_release))) vx_stored_file

/* Opens the file of these bytes that lies in place, for reading. -ENOENT: there is none, or none that still has
 * these bytes, and why. Threads: any. */
typedef int (*vx_store_open_in_place)(void *ctx, const uint8_t sha256[32], int *ret_fd,
                                      vx_err *err);
/* Before anybody asks for a file; once. */
void vx_store_set_in_place(vx_store *store, vx_store_open_in_place open, void *ctx);
/* Where to read the bytes of a video: the one place that decides it.
 *   source  videos.source_path: NULL: in this store; an absolute path; VX_IN_PLACE; "": there is no file
 * -ENOENT: there is no file (of one that should be in the store or at a path this is not looked at), and why. */
int vx_store_find_file(const vx_store *store, const uint8_t sha256[32], const char *source,
                       vx_stored_file *ret_file, vx_err *err);

/* Whether the file of these bytes is there, by its name and size: the digest is not computed. */
bool vx_store_has(const vx_store *store, const uint8_t sha256[32], int64_t bytes);
/* Where the packet table of that file is kept (PATH_MAX); it may not be there. It goes with the file, or
 * by vx_store_remove_table when the file was not stored. */
void vx_store_table_path(const vx_store *store, const uint8_t sha256[32], char *ret_path,
                         size_t capacity);
void vx_store_remove_table(vx_store *store, const uint8_t sha256[32]);
/* Makes earlier publishes and removals of these digests durable: one fsync per folder, all at once,
 * so that a group waits for the disk about as long as one file. */
int vx_store_sync(vx_store *store, const uint8_t (*sha256)[32], size_t n, vx_err *err);
/* Also what was set aside of it. Absent is fine. */
int vx_store_remove(vx_store *store, const uint8_t sha256[32], vx_err *err);
/* Renames a damaged file to <64 hex>.damaged: it counts as missing from then on, so that the same bytes sent
 * again take its place, and people can still get at what is left of it. */
int vx_store_set_aside(vx_store *store, const uint8_t sha256[32], vx_err *err);
int vx_store_remove_incoming(vx_store *store, const char *name, vx_err *err);

typedef struct vx_store_file {
    bool incoming;
    const char *name;    /* borrows */
    uint8_t sha256[32];  /* of a stored file, by its name; not computed */
    int64_t modified_us; /* UNIX time */
} vx_store_file;
/* Every file in media/ that is named by a digest, and in incoming/ that is named as an upload. Non-zero of
 * the callback, which may remove or rename that file, stops the listing and is returned. */
typedef int (*vx_store_on_file)(void *ctx, const vx_store_file *file, vx_err *err);
int vx_store_list(vx_store *store, vx_store_on_file on_file, void *ctx, vx_err *err);

/* The ballast is a file that only takes room, data/ballast: given up when the disk is full, it lets the
 * catalog write that something is deleted. make: 1/32 of what is free, 256 KiB to 8 MiB, if it is not there
 * already; without room for it, it is left out. Any thread. */
int vx_store_make_ballast(vx_store *store, vx_err *err);
void vx_store_drop_ballast(vx_store *store);
bool vx_store_has_ballast(const vx_store *store);

/* What the data disk has left for this user, in bytes. */
int vx_store_get_free(const vx_store *store, int64_t *ret_bytes, vx_err *err);

/* At start, before anything is accepted: removes stored files whose digest `known` denies and
 * incoming files whose name `wanted` denies. ret_removed counts both. */
int vx_store_sweep(vx_store *store, bool (*known)(void *ctx, const uint8_t sha256[32]),
                   bool (*wanted)(void *ctx, const char *name), void *ctx, int64_t *ret_removed,
                   vx_err *err);
