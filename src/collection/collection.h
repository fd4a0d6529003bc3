/* collection.h — the stored videos as they are searched: the catalog and the indexes in memory.
 *
 * The catalog is the truth. Each model's index of clip vectors (models/) and the index of frame
 * fingerprints are derived from it at start and changed together with it: rows first, inside the
 * writer's transaction, then the indexes. A row that is in an index but not committed yet, or no
 * more, is found by no search, because searches look every hit up in the catalog.
 *
 * The columns that filters read follow each commit (columns.c).
 *
 * A list of recent inserts tells the verdict what has come since it last read the indexes
 * (verdict/verdict.h).
 *
 * Threads  open and close: one (main). What changes something: the writer's thread, inside its
 *          transaction. Reading through the members: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/err.h"
#include "base/idset.h"
#include "base/mem.h"
#include "base/thread.h"
#include "catalog/catalog.h"
#include "filter/filter.h"
#include "fingerprint/fingerprint.h"
#include "models/models.h"

/* The last videos whose vectors or fingerprints entered the indexes: the n-th at n % VX_RECENT_MAX.
 * The writer's thread writes and reads the list; any thread may read the count. */
#define VX_RECENT_MAX 256
typedef struct vx_recent_inserts {
    atomic_ullong n;
    int64_t videos[VX_RECENT_MAX]; /* catalog rows */
} vx_recent_inserts;

/* Videos that were found to have lost their file (library/missing_files.c). */
typedef struct vx_missing_files {
    vx_mutex mu;
    int64_t *videos VX_GUARDED; /* [n] catalog rows; owned */
    size_t n VX_GUARDED;
} vx_missing_files;

/* Whether the columns of filters miss a change: there was no memory, or the catalog could not be read, for
 * it. Then filters read the catalog until vx_collection_heal_columns has read all videos again. */
typedef struct vx_lost_columns {
    atomic_bool are_lost;
    vx_mutex
        mu; /* held while a video goes from the catalog into the columns: the later state stays */
    int64_t known_to VX_GUARDED; /* while they are lost: changes up to this row are followed */
    bool again VX_GUARDED;       /* a change has been missed since the healing began */
    bool told VX_GUARDED;        /* in the log, that healing fails */
} vx_lost_columns;

typedef struct vx_collection {
    vx_catalog *catalog; /* borrows */
    vx_models *models;   /* borrows */
    vx_fp_index *fingerprints;
    vx_filter_columns *columns;
    vx_lost_columns lost_columns;
    atomic_ullong changes; /* commits that changed videos */
    vx_recent_inserts recent;
    vx_missing_files missing_files;
} vx_collection;

/* Reads every vector, fingerprint and field of the catalog into the indexes. index_threads and
 * index_on_gpu as vx_models_load_vectors has them.
 * Borrows catalog and models until close. */
int vx_collection_open(vx_catalog *catalog, vx_models *models, int index_threads, bool index_on_gpu,
                       vx_collection **ret_collection, vx_err *err);
vx_collection *vx_collection_close(vx_collection *collection);
VX_DEFINE_AUTO(vx_collection, vx_collection_close)

/* A video's vectors or fingerprints have just entered the indexes. */
void vx_collection_note_recent(vx_collection *collection, int64_t video_row);

/* ---- files that are missing (missing_files.c); any thread ---- */

/* videos: [n] catalog rows; takes them, in place of those that were noted before. */
void vx_collection_set_missing_files(vx_collection *collection, int64_t *videos, size_t n);
bool vx_collection_misses_file(vx_collection *collection, int64_t video_row);
/* The video has its file again, or is gone itself; it need not be noted. */
void vx_collection_file_is_back(vx_collection *collection, int64_t video_row);
int64_t vx_collection_count_missing_files(vx_collection *collection);

/* What a decoded video adds beside its row. All borrowed. */
typedef struct vx_collection_data {
    float *const *vectors; /* [models->n] float32 [n_clips, dim]; NULL: none of that model */
    const vx_fp_frame *fingerprint; /* [n_frames] */
    size_t n_frames;
} vx_collection_data;

/* Inserts the rows of a new video; fills in what vx_catalog_insert_video does. */
int vx_collection_insert(vx_collection *collection, vx_video *video, const vx_collection_data *data,
                         vx_err *err);
/* Enters an inserted video into the indexes. On failure none of it is in them. */
int vx_collection_index(vx_collection *collection, const vx_video *video,
                        const vx_collection_data *data, vx_err *err);
/* Replaces what a stored video is made of: the row's media facts (vx_catalog_set_media), clips, vectors and
 * fingerprint. Vectors that data lacks are gone; a fingerprint stays if data has none. Fills in the rows of
 * video->clips. */
int vx_collection_replace(vx_collection *collection, vx_video *video,
                          const vx_collection_data *data, vx_err *err);
/* After that transaction, on the writer's thread, as long as the video is stored: the same in the indexes,
 * which until then have what `old` has.
 *   video  as _replace left it */
void vx_collection_reindex(vx_collection *collection, const vx_video *old, const vx_video *video,
                           const vx_collection_data *data);
/* Takes a video out of all indexes: it was deleted, or its transaction failed. */
void vx_collection_unindex(vx_collection *collection, const vx_video *video);

/* What the copy model, which is loaded, says of a video's pictures: float32 [n, dim], n 0: it has none to show. In place of
 * what is there, in catalog and index; taken out again by _forget_pictures if that transaction fails.
 * VX_CATALOG_NOT_FOUND: the video was deleted. */
int vx_collection_set_pictures(vx_collection *collection, int64_t video_row, const float *vectors,
                               size_t n, vx_err *err);
void vx_collection_forget_pictures(vx_collection *collection, int64_t video_row);

/* Gives clips of a stored video the vectors that they lack, in catalog and indexes; a clip that has one
 * keeps it.
 *   vectors     [models->n] float32 [n_clips, dim]; NULL: none of that model
 *   ret_added   int64 [models->n, n_clips]: of each model the clip rows that got a vector
 *   ret_n_added [VX_MODELS_MAX] how many; both are set on failure too, for _remove_vectors
 * VX_CATALOG_NOT_FOUND: the video was deleted meanwhile. */
int vx_collection_add_vectors(vx_collection *collection, const vx_video *video,
                              float *const *vectors, int64_t *ret_added,
                              size_t ret_n_added[VX_MODELS_MAX], vx_err *err);
/* Takes these vectors out of the indexes again: their transaction failed. */
void vx_collection_remove_vectors(vx_collection *collection, const vx_video *video,
                                  const int64_t *added, const size_t n_added[VX_MODELS_MAX]);

/* Enters vectors of many videos, which are inserted, into the index of one model; nothing if no loaded model
 * has the space.
 *   clips, videos  int64 [n]: rows; those of a video side by side
 *   vectors        float32 [n, dim]
 * On failure none of them is in it. */
int vx_collection_index_vectors(vx_collection *collection, int64_t space, const int64_t *clips,
                                const int64_t *videos, const float *vectors, size_t n, vx_err *err);
/* Takes them out again: their transaction failed. */
void vx_collection_unindex_vectors(vx_collection *collection, int64_t space, const int64_t *clips,
                                   size_t n);

/* ---- filters (columns.c) ---- */

/* The rows of the videos that pass, newest first; gives the array (free()).
 *   below_row  only rows below this; 0 = all
 *   max        the newest so many; 0 = all
 * Every change whose transaction has ended counts. -ENOMEM, -EIO. Threads: any. Cost: about a millisecond
 * for 100,000 videos and a condition; where a field is neither one of every video nor declared, some
 * 5 µs for each video that the other conditions leave. */
int vx_collection_select(vx_collection *collection, const vx_filter *filter, int64_t below_row,
                         size_t max, int64_t **ret_rows, size_t *ret_n, vx_err *err);
/* All of them as a set; gives it. Of a filter of clips (vx_filter_is_of_clips): the rows of the clips that
 * pass. */
int vx_collection_select_set(vx_collection *collection, const vx_filter *filter, vx_idset **ret_set,
                             vx_err *err);
/* The same as a lazy set (base/idset.h), which borrows the filter until it is freed. *ret_set NULL: it cannot be;
 * ask for the other one, as where the set turns out not to be sound. */
int vx_collection_select_lazily(vx_collection *collection, const vx_filter *filter,
                                vx_idset **ret_set, vx_err *err);
/* The same of videos alone: of a filter of clips, the videos of which some clip passes. */
int vx_collection_select_videos(vx_collection *collection, const vx_filter *filter,
                                vx_idset **ret_set, vx_err *err);

/* Where the columns miss a change, reads all videos into them again, some 50,000 a second, while filters read
 * the catalog; ends early once *stop is true. Failures are logged once, and the next call tries again.
 * Threads: any one. */
void vx_collection_heal_columns(vx_collection *collection, const atomic_bool *stop);
bool vx_collection_has_lost_columns(const vx_collection *collection);

/* The declared fields are those that the catalog names now: called after a transaction that changed
 * them. _fill tells their columns about the videos that were there before, one by one, and ends early
 * once *stop is true; until then filters read what is missing from the metadata. Threads: _read: the
 * writer's; _fill: any one. */
int vx_collection_read_indexes(vx_collection *collection, vx_err *err);
int vx_collection_fill_columns(vx_collection *collection, const atomic_bool *stop, vx_err *err);
