/* catalog_internal.h — what the files of src/catalog share. */
#pragma once

#include <stdatomic.h>

#include "base/thread.h"
#include "catalog.h"
#include "db.h"

struct vx_catalog {
    char *path;
    int lock_fd;
    int file_fd; /* the catalog itself, for hints to the page cache; see vx_catalog_close */
    vx_health health;
    atomic_llong last_commit_us; /* monotonic; 0: nothing since the log was emptied */
    atomic_llong n_unchecked;    /* vectors and fingerprints met without a checksum */
    int64_t checked_vector, checked_fingerprint; /* up to these keys checksums were added */
    vx_mutex write_lock; /* held from vx_catalog_begin to _commit or _rollback */
    vx_db writer;
    int64_t last_video, last_clip; /* rows given out, also by what was undone; 0 = not read yet */
    vx_catalog_on_changed on_changed; /* of the writer, as the next ones; NULL: nobody */
    void *changed_ctx;
    int64_t *changed; /* rows of videos that this transaction has touched, some more than once */
    size_t n_changed, changed_capacity;
    bool changed_lost; /* there was no memory for one */
    int n_readers;
    vx_db *readers; /* [n_readers] */
    vx_mutex pool_lock;
    vx_cond reader_free;
    int n_free VX_GUARDED;
    vx_db **free_readers VX_GUARDED; /* stack [n_free] */
};

/* The numbered migrations, generated from migrations/NNNN.sql; [i] leads to user_version i + 1. */
extern const char *const vx_catalog_migrations[];
extern const int vx_catalog_n_migrations;
/* Refuses what is not a catalog of this vidx (VX_CATALOG_TOO_NEW, -EINVAL), untouched; else
 * switches db to WAL and brings it up to user_version n, each step in one transaction. */
int vx_catalog_migrate(vx_db *db, const char *const *migrations, int n, vx_err *err);
/* 0: a catalog of exactly version n. */
int vx_catalog_check_version(vx_db *db, int n, vx_err *err);

/* A connection for reading: one of the pool (waits for a free one), or the writer when the calling
 * thread is inside its own write transaction, so that it sees what it has written. */
typedef struct vx_reader {
    vx_catalog *catalog;
    vx_db *db;
} vx_reader;
vx_reader vx_catalog_take_reader(vx_catalog *catalog);
void vx_catalog_give_reader(vx_reader *reader);
#define VX_READER(name, catalog)                                                                   \
    __attribute__((cleanup(vx_catalog_give_reader))) vx_reader name =                              \
        vx_catalog_take_reader(catalog)

/* True on the thread that has a write transaction of this catalog open. */
bool vx_catalog_is_writing(const vx_catalog *catalog);
/* 0, or why this thread may not write: no transaction, or SQLite gave it up. */
int vx_catalog_check_writing(vx_catalog *catalog, vx_err *err);

/* video_queries.c: the first video above a row, without its clips. VX_CATALOG_NOT_FOUND. */
int vx_catalog_read_next_video(vx_db *db, int64_t above_row, vx_video **ret_video, vx_err *err);

/* The listener hears of this video after the commit, as if its row were changed. */
void vx_catalog_note_changed(vx_catalog *catalog, int64_t video_row);

/* clusterings.c: the clusterings of a space's vectors are retired. */
int vx_catalog_retire_clusterings_of(vx_catalog *catalog, int64_t space, vx_err *err);

/* Whether there is a file of the video in a row of that table (vx_video_has_file). */
#define VX_SQL_HAS_FILE(videos)                                                                    \
    " (" videos ".source_path IS NULL OR " videos ".source_path <> '' AND"                         \
    " (" videos ".source_path <> 'folder:' OR EXISTS (SELECT 1 FROM folder_files"                  \
    " WHERE folder_files.video = " videos ".id AND folder_files.missing_us = 0)))"

/* folders.c: a video that is about to be deleted is not indexed again from where it lies. */
int vx_catalog_forget_places(vx_catalog *catalog, const char *video_id, vx_err *err);
/* And is again: it has been stored. */
int vx_catalog_remember(vx_catalog *catalog, const char *video_id, vx_err *err);

/* checksums.c: of a row's key and data. */
uint32_t vx_catalog_checksum(int64_t key, const void *data, size_t bytes);
/* The next column is the checksum of that row. False: it is wrong, which the catalog's health then says.
 * A row without one is counted and taken as right. */
bool vx_catalog_is_right(vx_catalog *catalog, vx_sql *q, vx_health_row row, const void *data,
                         size_t bytes);

/* vectors.key of a space and a clip; clip rows stay below 2^40 by a CHECK. */
static inline int64_t vx_catalog_vector_key(int64_t space, int64_t clip) {
    return space << 40 | clip;
}
static inline int64_t vx_catalog_clip_of_key(int64_t key) {
    return key & ((INT64_C(1) << 40) - 1);
}
