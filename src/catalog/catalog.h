/* catalog.h — the durable state: videos, clips, vectors, fingerprints and jobs, in one SQLite file.
 *
 * WAL, synchronous=FULL: when vx_catalog_commit returns 0 the transaction is on the disk. Only this
 * folder uses SQLite. Migrations are numbered (PRAGMA user_version); a catalog that a newer vidx
 * wrote is refused.
 *
 * Reads    "get", "list", "count", "has", "find" and "scan" may be called from any thread. Each
 *          takes a connection from a small pool and sees what is committed. The thread inside a
 *          write transaction reads its own writes.
 * Writes   "insert", "set", "merge", "update", "delete", "prune" and "retire" need a transaction:
 *          any thread, between vx_catalog_begin and _commit or _rollback of that same thread.
 *          vx_catalog_begin waits until another thread's transaction has ended.
 * Errs     VX_CATALOG_* (> 0) or -errno: -ENOSPC when the disk is full, -EIO with SQLite's text.
 *          Every non-zero return fills *err, outcomes too, and leaves outputs untouched. What asks
 *          for one thing returns VX_CATALOG_NOT_FOUND when it is not there.
 * Cost     a commit is one fsync of the log; about every 500 commits it also folds the log into the
 *          file (two more). Reading a video takes some ten µs, a clip's video five.
 *
 * Folders in place have a header of their own, folder_rows.h.
 *
 * long because every other table of the database is here, and one header tells all rules of its use.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/clip_frames.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/path.h"

typedef enum vx_catalog_outcome {
    VX_CATALOG_NOT_FOUND = VX_CODES_CATALOG,
    VX_CATALOG_EXISTS,  /* that SHA-256 is stored already */
    VX_CATALOG_TOO_NEW, /* written by a newer vidx */
    VX_CATALOG_DAMAGED, /* its checksum is wrong */
} vx_catalog_outcome;

typedef struct vx_catalog vx_catalog;

/* Opens or creates <path> and locks it (<path>.lock) against a second vidx. Recovers the log of a
 * process that was killed. readers: connections in the pool (0 = 4).
 * -EBUSY: in use by another process; VX_CATALOG_TOO_NEW; -EINVAL: another program's database;
 * -EIO: damaged, with what to do. */
int vx_catalog_open(const char *path, int readers, vx_catalog **ret_catalog, vx_err *err);
vx_catalog *vx_catalog_close(vx_catalog *catalog);
VX_DEFINE_AUTO(vx_catalog, vx_catalog_close)

/* False once any read has met damage: a page that SQLite cannot read or make sense of, which stays so until
 * the next open, or a vector, fingerprint or description of pictures whose checksum is wrong, until it is replaced or deleted.
 * ret_reason: the first, in words. Cost: a read of that row. */
bool vx_catalog_health(vx_catalog *catalog, char *ret_reason, size_t capacity);

/* ---- Transactions ---- */

int vx_catalog_begin(vx_catalog *catalog, vx_err *err);
/* On failure everything since begin is undone, and the next begin works. A full disk or lack of
 * memory in any write can undo the whole transaction at once: every later call of it, and commit,
 * then fails with that code. */
int vx_catalog_commit(vx_catalog *catalog, vx_err *err);
void vx_catalog_rollback(vx_catalog *catalog); /* outside one: does nothing */
/* Between begin and commit, so that one item of a group can fail without the others: each savepoint
 * ends in either release (keep) or rollback_to (undo since the savepoint). They do not nest. */
int vx_catalog_savepoint(vx_catalog *catalog, vx_err *err);
int vx_catalog_release(vx_catalog *catalog, vx_err *err);
void vx_catalog_rollback_to(vx_catalog *catalog);

/* Hears of every change of videos: once after each commit that inserted, changed or deleted some (n > 0;
 * a row of what was undone may be among them), on the committing thread, before vx_catalog_commit
 * returns and before another transaction begins. It reads what it wants to know of them; rows are
 * borrowed until its return. One listener, set before the first transaction. */
typedef void (*vx_catalog_on_changed)(void *ctx, const int64_t *video_rows, size_t n);
void vx_catalog_set_listener(vx_catalog *catalog, vx_catalog_on_changed on_changed, void *ctx);

/* ---- Videos, with their clips ---- */

#define VX_VIDEO_ID_CHARS 25 /* "v" and the first 24 hex digits of the SHA-256 */
#define VX_CLIP_ID_CHARS 32  /* <video id>.<index> */

typedef enum vx_verdict_kind {
    VX_VERDICT_NEW,
    VX_VERDICT_EXACT,
    VX_VERDICT_COPY,
    VX_VERDICT_SIMILAR,
    VX_VERDICT_PART_OF,        /* all of it is in the other one */
    VX_VERDICT_CONTAINS,       /* it holds all of the other one, and more */
    VX_VERDICT_SHARED_SEGMENT, /* a part of each is the same */
    VX_VERDICT_KINDS,
} vx_verdict_kind;                                 /* stored: append, never renumber */
const char *vx_verdict_name(vx_verdict_kind kind); /* "new", "exact", … */

typedef struct vx_verdict_row {
    vx_verdict_kind kind;
    char of[VX_VIDEO_ID_CHARS + 1];      /* "" when new */
    float score, share, offset_s;        /* NaN = not known */
    float share_of_new, share_of_stored; /* of each whole length, 0..1; NaN = not known */
    bool mirrored;
} vx_verdict_row;

vx_verdict_row vx_verdict_row_new(void); /* `new`: nothing known */

/* Whether the pictures of a video were looked at a second time (verify/), for what hashes do not see. */
typedef enum vx_evidence_state {
    VX_EVIDENCE_NONE,    /* no, and nobody will */
    VX_EVIDENCE_PENDING, /* not yet: its verdict may be revised */
    VX_EVIDENCE_DONE,
    VX_EVIDENCE_FAILED, /* no: the process ended each time somebody did */
} vx_evidence_state;    /* stored: append, never renumber */
const char *
vx_evidence_state_name(vx_evidence_state state); /* "none", "pending", "done", "failed" */

/* Gives (a jansson object) {"verdict","of","score","share","share_of_new",
 * "share_of_stored","offset_s","mirrored"}, NaN as null; NULL
 * without memory. The fields and digits are those of the HTTP API's `duplicate`, for job reports and
 * clips.jsonl. To be written with VX_VERDICT_JSON_DIGITS or more. Threads: any. */
struct json_t *vx_verdict_json(const vx_verdict_row *verdict);
#define VX_VERDICT_JSON_DIGITS JSON_REAL_PRECISION(9)

typedef struct vx_clip {
    int64_t row; /* catalog row, the index's id; assigned at insert */
    int index;   /* 0.. within the video */
    double start_s, end_s;
} vx_clip;

/* One stored video. Strings are malloc'ed, owned by the struct. */
typedef struct vx_video {
    int64_t row;
    char id[VX_VIDEO_ID_CHARS + 1];
    uint8_t sha256[32];
    char *filename; /* as the client said, any UTF-8 without NUL */
    char *
        source_path; /* NULL: the store has the bytes; else a file outside it (vidx embed), VX_IN_PLACE, or
                        VX_NO_FILE: see vx_store_find_file */
    char *metadata; /* JSON object text */
    int64_t bytes;
    char container[32], codec[32];
    int width_px, height_px;
    double fps, duration_s;
    int64_t created_us; /* UNIX time in µs */
    vx_verdict_row duplicate;
    char decode_path[8]; /* "cpu", "nvdec", "mixed" */
    int64_t frames_decoded, frames_total;
    double sample_aspect_ratio; /* of a shown pixel, width to height; NaN: not known */
    int rotation_deg;   /* clockwise turn that was applied: 0, 90, 180, 270; -1: not known */
    char hdr[8];        /* "sdr", "pq", "hlg"; "" */
    char clip_rule[96]; /* that cut it into clips; "" */
    int rules;          /* by which its file was read: VX_MEDIA_RULES of that time; 0 */
    char
        *clusters; /* "c….3,c….none": where its clips are, each once; NULL: in no clustering, or not
                           asked for. Set by vx_catalog_get_video_by_row, _get_video_alone and the scans */
    char *
        places; /* "films/a/b.mp4//nas/b.mp4": up to 16 files in folders in place that have its bytes, each
                     behind the name of its folder, not always UTF-8; NULL: none */
    int fingerprints;      /* which pictures were hashed: a vx_fingerprints of extract.h */
    vx_clip_frames frames; /* what all its clips are made of */
    vx_evidence_state evidence;
    int64_t updated_us; /* UNIX time in µs at which its verdict last changed; 0: never */
    vx_clip *clips;
    size_t n_clips;
} vx_video;
#define VX_NO_FILE "" /* it was imported: there are vectors, and no file */
static inline bool vx_video_is_in_place(const vx_video *video) {
    return video->source_path && !strcmp(video->source_path, VX_IN_PLACE);
}
/* False, too, for one whose file in place is missing. */
static inline bool vx_video_has_file(const vx_video *video) {
    return !video->source_path ||
           (*video->source_path && (!vx_video_is_in_place(video) || video->places));
}
vx_video *vx_video_free(vx_video *video);
VX_DEFINE_AUTO(vx_video, vx_video_free)
void vx_video_id_of(const uint8_t sha256[32], char ret_id[VX_VIDEO_ID_CHARS + 1]);
void vx_clip_id_of(const char *video_id, int index, char ret_id[VX_CLIP_ID_CHARS + 1]);

/* Inserts the video and its clips; fills video->id (from the SHA-256), video->row and clips[].row.
 * VX_CATALOG_EXISTS; -EEXIST: another file with the same first 96 bits of SHA-256 (forged). */
int vx_catalog_insert_video(vx_catalog *catalog, vx_video *video, vx_err *err);
/* Up to max videos whose verdict names this one become `new` and wait to be judged anew; ret_n: how many. */
int vx_catalog_orphan_copies(vx_catalog *catalog, const char *video_id, size_t max, size_t *ret_n,
                             vx_err *err);
/* Removes the video, its clips, vectors and fingerprint, and orphans all its copies. VX_CATALOG_NOT_FOUND. */
int vx_catalog_delete_video(vx_catalog *catalog, const char *video_id, vx_err *err);
/* Replaces a video's verdict, which then no longer waits to be judged anew. VX_CATALOG_NOT_FOUND. */
int vx_catalog_set_verdict(vx_catalog *catalog, int64_t row, const vx_verdict_row *verdict,
                           vx_evidence_state evidence, vx_err *err);
/* Has videos judged anew that are pending and whose verdict rests on hashes of pictures (copy, part_of, contains,
 * shared_segment). ret_n: how many. */
int vx_catalog_rejudge_pictures(vx_catalog *catalog, size_t *ret_n, vx_err *err);
#define VX_CATALOG_LOOK_TRIES 3
/* Counts a second look that begins, before the files are touched, so that one which ends the process is known after the
 * restart. *ret_failed: VX_CATALOG_LOOK_TRIES have begun and none has ended: the video is not looked at, and is FAILED.
 * _break_off: it was stopped, and is no try. VX_CATALOG_NOT_FOUND: the video is gone or is not pending. */
int vx_catalog_begin_second_look(vx_catalog *catalog, int64_t row, bool *ret_failed, vx_err *err);
int vx_catalog_break_off_second_look(vx_catalog *catalog, int64_t row, vx_err *err);
/* The second look at a video that is pending has ended: its verdict becomes `revised` (NULL: it stays), and looks
 * (JSON, borrows) what was seen. VX_CATALOG_NOT_FOUND: it is gone, is not pending, waits to be judged anew, or has
 * another verdict than the one that the look started from. */
int vx_catalog_end_second_look(vx_catalog *catalog, int64_t row, const vx_verdict_row *seen,
                               const vx_verdict_row *revised, const char *looks, vx_err *err);
/* The oldest videos above a row that wait for their second look: rows, rising, up to max into ret_rows. Those that
 * wait to be judged anew come first to that. */
int vx_catalog_find_pending(vx_catalog *catalog, int64_t above_row, size_t max, int64_t *ret_rows,
                            size_t *ret_n, vx_err *err);
/* How many these are, and when the oldest was stored (0: there is none). */
int vx_catalog_count_pending(vx_catalog *catalog, int64_t *ret_n, int64_t *ret_oldest_us,
                             vx_err *err);
/* What the second look at a video saw: gives JSON (free()), NULL: there was none. VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_looks(vx_catalog *catalog, int64_t row, char **ret_looks, vx_err *err);
/* The oldest videos above a row that wait to be judged anew: rows, rising, up to max into ret_rows. */
int vx_catalog_find_rejudged(vx_catalog *catalog, int64_t above_row, size_t max, int64_t *ret_rows,
                             size_t *ret_n, vx_err *err);
/* The video and those whose verdict names it wait to be judged anew; until then verdicts stay. */
int vx_catalog_mark_rejudged(vx_catalog *catalog, int64_t row, const char *video_id, vx_err *err);
/* Replaces what was read from the file of video->row: container to duration_s, frames_decoded and the fields
 * from there to frames. VX_CATALOG_NOT_FOUND. */
int vx_catalog_set_media(vx_catalog *catalog, const vx_video *video, vx_err *err);
/* A video of which there is no file in the store, imported or in place, has one of that size from here on; of an
 * imported one nobody has read it yet (rules are 0). VX_CATALOG_NOT_FOUND: it is gone, or has a file. */
int vx_catalog_adopt_file(vx_catalog *catalog, int64_t row, int64_t bytes, vx_err *err);
/* Makes the clips of video->row those of the struct, whose rows it fills in: one keeps the row of the clip that
 * had its index. All vectors of the old clips are deleted, whatever their vector space. */
int vx_catalog_replace_clips(vx_catalog *catalog, vx_video *video, vx_err *err);
/* The videos that the verdicts of the last few hundred below a row name: up to max rows into ret_rows. */
int vx_catalog_find_originals(vx_catalog *catalog, int64_t before_row, size_t max,
                              int64_t *ret_rows, size_t *ret_n, vx_err *err);
/* VX_CATALOG_NOT_FOUND. */
int vx_catalog_set_metadata(vx_catalog *catalog, const char *video_id, const char *metadata_json,
                            vx_err *err);
/* VX_CATALOG_NOT_FOUND. */
int vx_catalog_set_filename(vx_catalog *catalog, const char *video_id, const char *filename,
                            vx_err *err);
/* Merges an object by RFC 7396 (null removes a member), in one step: of two patches both count.
 * Names are compared as written: an escaped one is another name. VX_CATALOG_NOT_FOUND. */
int vx_catalog_merge_metadata(vx_catalog *catalog, const char *video_id, const char *patch_json,
                              vx_err *err);

/* Each gives the video with all its clips. VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_video(vx_catalog *catalog, const char *video_id, vx_video **ret_video,
                         vx_err *err);
int vx_catalog_get_video_by_sha256(vx_catalog *catalog, const uint8_t sha256[32],
                                   vx_video **ret_video, vx_err *err);
int vx_catalog_get_video_by_row(vx_catalog *catalog, int64_t row, vx_video **ret_video,
                                vx_err *err);
/* Calls back for each of these rows, with its video as vx_catalog_get_video_by_row gives it, borrowed until the callback
 * returns; NULL: there is none any more. All are of one moment. Non-zero stops and is returned. Cheaper than one by one. */
typedef int (*vx_catalog_on_row)(void *ctx, int64_t row, const vx_video *video, vx_err *err);
int vx_catalog_read_videos(vx_catalog *catalog, const int64_t *rows, size_t n,
                           vx_catalog_on_row on_row, void *ctx, vx_err *err);
/* The video without its clips (n_clips is 0). VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_video_alone(vx_catalog *catalog, int64_t row, vx_video **ret_video, vx_err *err);
/* Gives its metadata alone (free()). VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_metadata(vx_catalog *catalog, int64_t row, char **ret_metadata, vx_err *err);
/* Calls back for every committed video, without its clips, in order of rows, on the calling thread; the
 * video is borrowed until the callback returns. Non-zero stops the scan and is returned. */
typedef int (*vx_catalog_on_video)(void *ctx, const vx_video *video, vx_err *err);
int vx_catalog_scan_videos(vx_catalog *catalog, vx_catalog_on_video on_video, void *ctx,
                           vx_err *err);
/* The rows of the videos that n clips belong to, into ret_videos [n]; 0 for a clip that is gone. The
 * clips rise. Cost: a look at every clip from the first to the last. */
int vx_catalog_find_videos_of_clips(vx_catalog *catalog, const int64_t *clips, size_t n,
                                    int64_t *ret_videos, vx_err *err);
/* Seconds; NaN if it is not known. VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_duration(vx_catalog *catalog, int64_t row, double *ret_s, vx_err *err);
/* Videos whose file was read by older rules than these, or of which fewer pictures were hashed than would be
 * now (of key frames vx_fingerprints_of_frames): rows above a row, rising, up to max into ret_rows; and how many there are. */
int vx_catalog_find_outdated(vx_catalog *catalog, int rules, int fingerprints, int64_t above_row,
                             size_t max, int64_t *ret_rows, size_t *ret_n, vx_err *err);
int vx_catalog_count_outdated(vx_catalog *catalog, int rules, int fingerprints, int64_t *ret_n,
                              vx_err *err);
/* The oldest videos above a row: rows, rising, up to max into ret_rows. */
int vx_catalog_find_videos(vx_catalog *catalog, int64_t above_row, size_t max, int64_t *ret_rows,
                           size_t *ret_n, vx_err *err);
/* Whether there is a video of that row. */
int vx_catalog_has_video(vx_catalog *catalog, int64_t row, bool *ret_has, vx_err *err);
/* The video that a clip belongs to, with that clip alone (n_clips is 1): a search hit in a film of a
 * thousand shots costs no more than another. VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_video_of_clip(vx_catalog *catalog, int64_t clip_row, vx_video **ret_video,
                                 vx_err *err);

/* What a search shows of a clip. */
typedef struct vx_clip_hit {
    char video_id[VX_VIDEO_ID_CHARS + 1];
    int index;
    double start_s, end_s;
    bool has_file;
    vx_clip_frames frames;
    char *filename, *metadata; /* owned; filename NULL: there is no such clip */
} vx_clip_hit;
/* Of n clips (any order), all at one moment; a tenth of the cost of so many calls of the one above. On failure
 * nothing is owned. */
int vx_catalog_get_clip_hits(vx_catalog *catalog, const int64_t *clip_rows, size_t n,
                             vx_clip_hit *ret_hits, vx_err *err);

typedef struct vx_video_query {
    size_t limit;       /* 1..1000 */
    int64_t before_row; /* newest first: rows below this; 0 = from the newest */
} vx_video_query;
/* The videos of n rows (1..1000, falling), with their clips; those that are gone are left out. Gives an
 * array as the next one does. */
int vx_catalog_get_videos(vx_catalog *catalog, const int64_t *rows, size_t n,
                          vx_video ***ret_videos, size_t *ret_n, vx_err *err);
/* Gives an array of n videos (each vx_video_free, then free()). */
int vx_catalog_list_videos(vx_catalog *catalog, const vx_video_query *query, vx_video ***ret_videos,
                           size_t *ret_n, vx_err *err);
/* Whether these bytes are stored. */
int vx_catalog_has_sha256(vx_catalog *catalog, const uint8_t sha256[32], bool *ret_stored,
                          vx_err *err);
int vx_catalog_count_videos(vx_catalog *catalog, int64_t *ret_n, vx_err *err);
int vx_catalog_count_clips(vx_catalog *catalog, int64_t *ret_n, vx_err *err);

/* Calls back for every committed clip, in order of videos and of clips in each, on the calling
 * thread. A non-zero return of the callback stops the scan and is returned. */
typedef int (*vx_catalog_on_clip)(void *ctx, int64_t video_row, const vx_clip *clip, vx_err *err);
int vx_catalog_scan_clips(vx_catalog *catalog, vx_catalog_on_clip on_clip, void *ctx, vx_err *err);

/* ---- Declared fields of the metadata (filter/) ---- */

/* These n fields, in place of those before; repeats count once. */
int vx_catalog_set_indexes(vx_catalog *catalog, const char *const *fields, size_t n, vx_err *err);
/* Calls back for each, in order of names; borrowed until return. Non-zero stops it and is returned. */
typedef int (*vx_catalog_on_index)(void *ctx, const char *field, vx_err *err);
int vx_catalog_list_indexes(vx_catalog *catalog, vx_catalog_on_index on_index, void *ctx,
                            vx_err *err);

/* ---- Clusterings: groups of similar clips (clusterings/) ---- */

#define VX_CLUSTERING_ID_CHARS 25         /* "c" and 24 hex digits */
#define VX_CLUSTER_ID_CHARS (25 + 1 + 20) /* "<clustering>.<number>", or "….none" */

typedef enum vx_clustering_state {
    VX_CLUSTERING_BUILDING, /* its job has not ended */
    VX_CLUSTERING_READY,
    VX_CLUSTERING_DELETED, /* its members are being deleted */
} vx_clustering_state;     /* stored: append, never renumber */

typedef struct vx_clustering_row {
    int64_t row;
    char id[VX_CLUSTERING_ID_CHARS + 1];
    int64_t space; /* of its vectors */
    vx_clustering_state state;
    int64_t created_us;
    char *request, *summary; /* JSON; owned */
    float *centroids;        /* float32 [k, dim]; owned; NULL before vx_catalog_read_centroids */
    size_t centroid_bytes;
} vx_clustering_row;
void vx_clustering_row_clear(vx_clustering_row *clustering);

/* One clip in a clustering. */
typedef struct vx_cluster_member {
    int32_t cluster;     /* 0.., or -1: in none */
    int64_t place;       /* 0.. within the cluster, by falling score */
    int64_t clip, video; /* rows */
    float score;         /* NaN: there is no cluster */
    bool outlier;
    float x, y;
    /* Only read: */
    char video_id[VX_VIDEO_ID_CHARS + 1];
    int clip_index;
    double start_s, end_s;
    char *filename; /* owned */
} vx_cluster_member;
void vx_cluster_members_free(vx_cluster_member *members, size_t n); /* the array, too */

/* state and row are not looked at: BUILDING; fills in row. */
int vx_catalog_insert_clustering(vx_catalog *catalog, vx_clustering_row *clustering, vx_err *err);
/* Clips that have lost their vector meanwhile are left out. The listener hears of the videos. */
int vx_catalog_insert_members(vx_catalog *catalog, const vx_clustering_row *clustering,
                              const vx_cluster_member *members, size_t n, vx_err *err);
/* READY, with this summary. VX_CATALOG_NOT_FOUND. */
int vx_catalog_finish_clustering(vx_catalog *catalog, int64_t row, const char *summary,
                                 vx_err *err);
/* From here on nobody finds it, whatever its state was. VX_CATALOG_NOT_FOUND. */
int vx_catalog_retire_clustering(vx_catalog *catalog, const char *id, vx_err *err);
/* Retires those that are being built by a job that has ended. */
int vx_catalog_retire_unfinished_clusterings(vx_catalog *catalog, vx_err *err);
/* Deletes up to `max` members of a retired clustering, and the clustering once it has none left. ret_more
 * false: there was no retired clustering. The listener hears of the videos. */
int vx_catalog_delete_members(vx_catalog *catalog, int max, bool *ret_more, vx_err *err);

/* A ready one, or (any) also one that is being built; without its centroids. VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_clustering(vx_catalog *catalog, const char *id, bool any,
                              vx_clustering_row *ret_clustering, vx_err *err);
/* Adds them: up to some 16 MB. VX_CATALOG_NOT_FOUND: it was deleted meanwhile. */
int vx_catalog_read_centroids(vx_catalog *catalog, vx_clustering_row *clustering, vx_err *err);
/* The ready ones, newest first: rows below before_row (0 = all), of a space (0 = any), up to limit. brief:
 * request and summary, which may be large, stay NULL. Gives an array (each vx_clustering_row_clear, then
 * free()). */
int vx_catalog_list_clusterings(vx_catalog *catalog, int64_t before_row, int64_t space,
                                size_t limit, bool brief, vx_clustering_row **ret_clusterings,
                                size_t *ret_n, vx_err *err);

typedef struct vx_member_query {
    int64_t clustering;    /* row */
    int32_t first_cluster; /* clusters from this one */
    int32_t last_cluster;  /* to this one */
    int32_t after_cluster; /* behind this member */
    int64_t after_place;   /* -1: from the beginning of after_cluster */
    bool only_outliers;
    size_t limit;
} vx_member_query;
/* In order of clusters and places. Gives an array (vx_cluster_members_free). */
int vx_catalog_list_members(vx_catalog *catalog, const vx_member_query *query,
                            vx_cluster_member **ret_members, size_t *ret_n, vx_err *err);
/* Calls back for each cluster that has members, in order of numbers, -1 first; non-zero stops it. */
typedef int (*vx_catalog_on_cluster)(void *ctx, int32_t cluster, int64_t n, int64_t n_outliers,
                                     vx_err *err);
int vx_catalog_count_members(vx_catalog *catalog, int64_t clustering,
                             vx_catalog_on_cluster on_cluster, void *ctx, vx_err *err);
/* Calls back for each member, in no order; non-zero stops it. */
typedef int (*vx_catalog_on_label)(void *ctx, int64_t clip, int32_t cluster, vx_err *err);
int vx_catalog_scan_labels(vx_catalog *catalog, int64_t clustering, vx_catalog_on_label on_label,
                           void *ctx, vx_err *err);
int vx_catalog_count_clusterings(vx_catalog *catalog, int64_t *ret_n, vx_err *err);

/* ---- Vector spaces: the vectors of one model and digest ---- */

typedef struct vx_vector_space {
    int64_t row;
    char model[64], digest[65];
    int dim;
    int64_t vectors; /* how many it holds */
    bool retired;    /* being deleted */
} vx_vector_space;

/* The row of the space of that model and digest (64 hex digits), inserted when there is none.
 * -EINVAL: stored with another dim. */
int vx_catalog_insert_vector_space(vx_catalog *catalog, const char *model, const char *digest,
                                   int dim, int64_t *ret_space, vx_err *err);
/* From here on no model finds the space or its vectors, and they cannot be had back. Retiring twice
 * is retiring once. */
int vx_catalog_retire_vector_space(vx_catalog *catalog, int64_t space, vx_err *err);
/* Deletes up to `max` vectors of a retired space, and the space once it has none left. ret_more
 * false: there was no retired space. The file does not shrink: later rows take the room. */
int vx_catalog_delete_retired_vectors(vx_catalog *catalog, int max, bool *ret_more, vx_err *err);
/* All, oldest first, retired ones too. Gives the array (free()). */
int vx_catalog_list_vector_spaces(vx_catalog *catalog, vx_vector_space **ret_spaces, size_t *ret_n,
                                  vx_err *err);
/* Whether a model of that name, whatever its digest, has vectors in a space that is not retired. */
int vx_catalog_has_vectors_of(vx_catalog *catalog, const char *model, bool *ret_has, vx_err *err);

/* ---- Vectors: float32 [dim], one for each clip and vector space ---- */

/* Deletes those of n clips that have one, in a transaction of the writer: damaged ones, which no scan gave. */
int vx_catalog_delete_vectors(vx_catalog *catalog, int64_t space, const int64_t *clips, size_t n,
                              vx_err *err);
/* The vectors of n clips, all those of a video at once: float32 [n, dim], clips [n] their rows. -EINVAL:
 * no such clip, no such space of that dim, or a clip has one already. After a failure those
 * before it are in, unless the caller undoes its savepoint. Cost: 10,000 of 1280 dimensions some 100 ms. */
int vx_catalog_insert_vectors(vx_catalog *catalog, int64_t space, const int64_t *clips, size_t n,
                              const float *vectors, int dim, vx_err *err);
/* Copies float32 [dim] into ret_vector; VX_CATALOG_NOT_FOUND; -EINVAL if the stored size differs; -EIO
 * if its checksum does. */
int vx_catalog_get_vector(vx_catalog *catalog, int64_t space, int64_t clip_row, float *ret_vector,
                          int dim, vx_err *err);

/* Streams every committed vector of a space, in chunks of up to chunk_rows: clip rows int64 [n],
 * vectors float32 [n, dim], both borrowed until the callback returns. Non-zero stops the scan and is
 * returned. Runs on `threads` connections of its own, which take stretches of chunk_rows clip rows in
 * turn: each call's rows are in clip order, and the callback is called concurrently (one thread: on
 * the caller's). A vector whose checksum is wrong is left out; vx_catalog_health then tells. Pages that came from the disk leave the page cache again. Cost: on two cores some
 * 4 GB/s from the page cache. */
typedef int (*vx_catalog_on_vectors)(void *ctx, const int64_t *clip_rows, const float *vectors,
                                     size_t n, vx_err *err);
int vx_catalog_scan_vectors(vx_catalog *catalog, int64_t space, int dim, size_t chunk_rows,
                            int threads, vx_catalog_on_vectors on_vectors, void *ctx, vx_err *err);

/* Writes a copy of the catalog as it is at one moment, in place of what is there; others may write meanwhile. It
 * is durable, but its name is not. */
int vx_catalog_copy(vx_catalog *catalog, const char *path, vx_err *err);

/* ---- Snapshots: all of one moment, read in steps while others write ----
 *
 * One read transaction on a connection of its own. While it is open the log is not folded into the file and
 * grows with what is written. Threads: external lock. */

typedef struct vx_snapshot vx_snapshot;
int vx_catalog_open_snapshot(vx_catalog *catalog, vx_snapshot **ret_snapshot, vx_err *err);
vx_snapshot *vx_snapshot_close(vx_snapshot *snapshot);
VX_DEFINE_AUTO(vx_snapshot, vx_snapshot_close)
/* The first video above a row, without its clips. VX_CATALOG_NOT_FOUND: there is none. */
int vx_snapshot_next_video(vx_snapshot *snapshot, int64_t above_row, vx_video **ret_video,
                           vx_err *err);
/* The row of the newest video; 0: there is none. */
int vx_snapshot_last_video(vx_snapshot *snapshot, int64_t *ret_row, vx_err *err);
/* How many vectors a space has. */
int vx_snapshot_count_vectors(vx_snapshot *snapshot, int64_t space, int64_t *ret_n, vx_err *err);
/* How many of them the clips of the videos with rows first..last have. */
int vx_snapshot_count_vectors_of(vx_snapshot *snapshot, int64_t space, int64_t first, int64_t last,
                                 int64_t *ret_n, vx_err *err);
/* Begins to read the clips of a video that have a vector of that space; then one after the other, in their
 * order: 1, or 0: no more.
 *   ret_vector  float32 [dim]; NULL: not read. -EIO: its checksum is wrong, or it is of another dim */
void vx_snapshot_begin_clips(vx_snapshot *snapshot, int64_t video_row, int64_t space);
int vx_snapshot_next_clip(vx_snapshot *snapshot, int dim, vx_clip *ret_clip, float *ret_vector,
                          vx_err *err);
/* The row of a finished clustering of that space. VX_CATALOG_NOT_FOUND. */
int vx_snapshot_find_clustering(vx_snapshot *snapshot, const char *id, int64_t space,
                                int64_t *ret_clustering, vx_err *err);
/* The cluster of a clip, and its cosine with the centroid; -1 and NaN: it is in none, or not in the clustering. */
int vx_snapshot_get_cluster(vx_snapshot *snapshot, int64_t clustering, int64_t clip,
                            int32_t *ret_cluster, float *ret_score, vx_err *err);

/* ---- Fingerprints: bytes that the fingerprint module packed, one for each video ---- */

int vx_catalog_insert_fingerprint(vx_catalog *catalog, int64_t video, const void *blob,
                                  size_t bytes, vx_err *err);
/* There need not be one. */
int vx_catalog_delete_fingerprint(vx_catalog *catalog, int64_t video, vx_err *err);
/* Gives malloc'ed bytes. VX_CATALOG_NOT_FOUND, VX_CATALOG_DAMAGED. */
int vx_catalog_get_fingerprint(vx_catalog *catalog, int64_t video_row, void **ret_blob,
                               size_t *ret_bytes, vx_err *err);
/* Calls back for every committed fingerprint, in order of video rows, on the calling thread; the
 * blob is borrowed until the callback returns. One whose checksum is wrong is left out, as above. Non-zero stops the scan and is returned. */
typedef int (*vx_catalog_on_fingerprint)(void *ctx, int64_t video_row, const void *blob,
                                         size_t bytes, vx_err *err);
int vx_catalog_scan_fingerprints(vx_catalog *catalog, vx_catalog_on_fingerprint on_fingerprint,
                                 void *ctx, vx_err *err);

/* ---- Pictures: what a copy model says of them, float32 [n, dim] for each video ---- */

/* Counts a try that begins, before the file is touched; what was there is gone. _break_off: it was stopped, and is no
 * try. VX_CATALOG_NOT_FOUND: the video is gone. */
int vx_catalog_begin_pictures(vx_catalog *catalog, int64_t video, const char *digest, vx_err *err);
int vx_catalog_break_off_pictures(vx_catalog *catalog, int64_t video, vx_err *err);
/* digest: of the model's package. bytes 0: it has none to show. In place of what is there. VX_CATALOG_NOT_FOUND. */
int vx_catalog_set_pictures(vx_catalog *catalog, int64_t video, const char *digest,
                            const float *vectors, size_t bytes, vx_err *err);
/* Calls back for those of a digest, in order of video rows, on the calling thread; the vectors are borrowed until it
 * returns; non-zero stops it and is returned. Those whose checksum is wrong are left out; vx_catalog_health then tells. */
typedef int (*vx_catalog_on_pictures)(void *ctx, int64_t video, const float *vectors, size_t bytes,
                                      vx_err *err);
int vx_catalog_scan_pictures(vx_catalog *catalog, const char *digest,
                             vx_catalog_on_pictures on_pictures, void *ctx, vx_err *err);
/* The oldest video above a row that has none of that digest, and is no copy or part of another: 0: there is none. Not those
 * that are pending, or at which VX_CATALOG_LOOK_TRIES tries have not ended. And how many there are. Cost: looks at every
 * video. */
int vx_catalog_find_undescribed(vx_catalog *catalog, const char *digest, int64_t above_row,
                                int64_t *ret_row, vx_err *err);
int vx_catalog_count_undescribed(vx_catalog *catalog, const char *digest, int64_t *ret_n,
                                 vx_err *err);

/* ---- Duplicates (duplicates/): pairs that a scan found ---- */

/* What b is to a: as a verdict at insert would have it with b the new video and a the stored one. */
typedef struct vx_duplicate_pair {
    int64_t a, b; /* video rows, a < b */
    vx_verdict_kind kind;
    float score, share, share_of_a, share_of_b; /* NaN: not known */
    float offset_s;                             /* time in a minus time in b; NaN: not known */
    bool mirrored;
    float *segments; /* float32 [n_segments, 4]: from and to in a, from and to in b, in seconds */
    size_t n_segments;
} vx_duplicate_pair;

/* Inserts or replaces pairs; one of a video that is gone is left out. Borrows the segments. */
int vx_catalog_insert_pairs(vx_catalog *catalog, const vx_duplicate_pair *pairs, size_t n,
                            vx_err *err);
/* The video was compared with all others, with so many vectors; capped: not all its pairs were kept. One that
 * is gone is left out. */
int vx_catalog_set_scanned(vx_catalog *catalog, int64_t video, int64_t vectors, bool capped,
                           vx_err *err);
/* From here on what is stored rests on this basis; what rested on another is deleted. */
int vx_catalog_set_basis(vx_catalog *catalog, const char *basis, vx_err *err);
/* Calls back for each pair, in order of a and b, without segments; borrowed until return. Non-zero stops it
 * and is returned. */
typedef int (*vx_catalog_on_pair)(void *ctx, const vx_duplicate_pair *pair, vx_err *err);
int vx_catalog_scan_pairs(vx_catalog *catalog, vx_catalog_on_pair on_pair, void *ctx, vx_err *err);
/* The same for the pairs of one video. */
int vx_catalog_scan_pairs_of(vx_catalog *catalog, int64_t video, vx_catalog_on_pair on_pair,
                             void *ctx, vx_err *err);
/* The segments of a pair: gives float32 [n, 4] (free()), NULL with n 0 where it has none or is gone. */
int vx_catalog_get_segments(vx_catalog *catalog, int64_t a, int64_t b, float **ret_segments,
                            size_t *ret_n, vx_err *err);
/* Calls back for each video that was compared, in order of rows, with the number of its vectors then. */
typedef int (*vx_catalog_on_scanned)(void *ctx, int64_t video, int64_t vectors, vx_err *err);
int vx_catalog_scan_scanned(vx_catalog *catalog, vx_catalog_on_scanned on_scanned, void *ctx,
                            vx_err *err);
/* The deep look at a video that was compared is done. */
int vx_catalog_set_looked(vx_catalog *catalog, int64_t video, vx_err *err);
/* Videos that were compared, are no copy or part of an older one, and are still to be looked at: up to n, rising from behind
 * a row. */
int vx_catalog_find_unlooked(vx_catalog *catalog, int64_t after, size_t n, int64_t *ret_rows,
                             size_t *ret_n, vx_err *err);
int vx_catalog_count_unlooked(vx_catalog *catalog, int64_t *ret_n, vx_err *err);

/* ---- and what people decided ---- */

typedef enum vx_decision_kind {
    VX_DECISION_KEEP,      /* they are duplicates, and all stay */
    VX_DECISION_DELETE,    /* some go */
    VX_DECISION_UNRELATED, /* they are no duplicates */
} vx_decision_kind;        /* stored: append, never renumber */

typedef enum vx_decision_role {
    VX_ROLE_KEPT,
    VX_ROLE_DELETED,
    VX_ROLE_UNRELATED, /* is no duplicate of any other video of the decision */
    VX_ROLE_OTHER,     /* to which an unrelated one is none */
} vx_decision_role;    /* stored, likewise */

typedef struct vx_decision_video {
    char id[VX_VIDEO_ID_CHARS + 1];
    vx_decision_role role;
    int64_t row;   /* DELETED: of the video that is meant; rows are never given out twice */
    int64_t bytes; /* of its file */
    bool pending;  /* is to be deleted, and was not yet */
    int64_t of;    /* DELETED: row of the kept video that holds it; 0: any kept one will do */
} vx_decision_video;

typedef struct vx_decision {
    int64_t row;
    vx_decision_kind kind;
    char policy[320];           /* that chose what to keep; "" */
    int64_t created_us, due_us; /* due_us: when deletion begins; 0 */
    vx_decision_video *videos;  /* [n]; owned */
    size_t n;
} vx_decision;
void vx_decision_clear(vx_decision *decision);

/* Fills in decision->row. The newest decision about a video wins: what older ones have pending about its videos
 * is not deleted any more. */
int vx_catalog_insert_decision(vx_catalog *catalog, vx_decision *decision, vx_err *err);
/* Undoes it: what was deleted by then stays deleted. VX_CATALOG_NOT_FOUND. */
int vx_catalog_delete_decision(vx_catalog *catalog, int64_t row, vx_err *err);
/* Gives the decision with its videos. VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_decision(vx_catalog *catalog, int64_t row, vx_decision *ret_decision,
                            vx_err *err);
/* Newest first, rows below before_row (0 = from the newest); gives rows into ret_rows [limit]. */
int vx_catalog_list_decisions(vx_catalog *catalog, int64_t before_row, size_t limit,
                              int64_t *ret_rows, size_t *ret_n, vx_err *err);
/* Calls back for each video of each decision, with the row that the video has now (0 = it is not stored);
 * in order of decisions. */
typedef int (*vx_catalog_on_decided)(void *ctx, int64_t decision, vx_decision_kind kind,
                                     vx_decision_role role, int64_t video, vx_err *err);
int vx_catalog_scan_decided(vx_catalog *catalog, vx_catalog_on_decided on_decided, void *ctx,
                            vx_err *err);
/* The stored videos to which this one is said to be unrelated: gives rows (free()). */
int vx_catalog_find_unrelated(vx_catalog *catalog, const char *video_id, int64_t **ret_rows,
                              size_t *ret_n, vx_err *err);
/* The first videos that are to be deleted by now: up to max into ret_videos, with their decisions. ret_next_us:
 * when the next ones are due, 0 = never. */
int vx_catalog_find_due(vx_catalog *catalog, int64_t now_us, size_t max,
                        vx_decision_video *ret_videos, int64_t *ret_decisions, size_t *ret_n,
                        int64_t *ret_next_us, vx_err *err);
/* In the transaction that deletes the video: whether it is still to be deleted, for there is something left that
 * holds it. VX_CATALOG_NOT_FOUND: the decision was undone or overruled, or the video that was meant is gone;
 * -ESTALE: no kept video that holds it is stored. */
int vx_catalog_check_deletion(vx_catalog *catalog, int64_t decision, const char *video_id,
                              vx_err *err);
/* It is gone, or stays after all. */
int vx_catalog_set_deleted(vx_catalog *catalog, int64_t decision, const char *video_id,
                           vx_err *err);

/* ---- Outside stores, and what they have yet to hear (stores/) ---- */

#define VX_STORE_NAME_CHARS 64

typedef struct vx_outside_row {
    char name[VX_STORE_NAME_CHARS + 1];
    char *url; /* owned; without a secret */
    char model[64];
    int64_t space;      /* of the vectors that it gets */
    int64_t sent;       /* it has every change up to this one */
    int64_t check_due;  /* 1: it must be compared with the collection */
    int64_t checked_us; /* UNIX time; 0 = never */
    int64_t refused;    /* clips that it would not take */
    int64_t created_us;
} vx_outside_row;
void vx_outside_row_clear(vx_outside_row *store);

/* From the first store on every video has a row among the changes. Cost of the first: some 3 s for a
 * million videos. VX_CATALOG_EXISTS: of that name. */
int vx_catalog_insert_outside(vx_catalog *catalog, const vx_outside_row *store, vx_err *err);
/* VX_CATALOG_NOT_FOUND. */
int vx_catalog_delete_outside(vx_catalog *catalog, const char *name, vx_err *err);
/* Writes space, sent, check_due, checked_us and refused of the store of that name. VX_CATALOG_NOT_FOUND. */
int vx_catalog_update_outside(vx_catalog *catalog, const vx_outside_row *store, vx_err *err);
/* It must be compared with the collection. VX_CATALOG_NOT_FOUND. */
int vx_catalog_ask_check(vx_catalog *catalog, const char *name, vx_err *err);
/* As if the video had changed: every store gets it again. It need not be there. */
int vx_catalog_mark_changed(vx_catalog *catalog, int64_t video, vx_err *err);
/* Oldest first. Gives an array (each vx_outside_row_clear, then free()). */
int vx_catalog_list_outside(vx_catalog *catalog, vx_outside_row **ret_stores, size_t *ret_n,
                            vx_err *err);

/* The last change of a video. */
typedef struct vx_change {
    int64_t seq; /* rises with each change of the collection, in the order of their commits */
    int64_t video;
    int clips; /* it may have had this many before; more than it has now: those are gone */
    char deleted[VX_VIDEO_ID_CHARS + 1]; /* its id, if it is gone; "" while it is stored */
} vx_change;
/* Up to max changes above a number, rising. */
int vx_catalog_list_changes(vx_catalog *catalog, int64_t above, size_t max, vx_change *ret_changes,
                            size_t *ret_n, vx_err *err);
/* The number of the newest change; 0: there is none. */
int vx_catalog_last_change(vx_catalog *catalog, int64_t *ret_seq, vx_err *err);
int vx_catalog_count_changes(vx_catalog *catalog, int64_t above, int64_t *ret_n, vx_err *err);

/* ---- Upkeep ---- */

/* Inside a transaction: gives checksums to vectors and fingerprints that were stored before there were
 * any, if a scan has met such; looks at up to `max` rows. ret_more false: all have one. */
int vx_catalog_add_checksums(vx_catalog *catalog, int max, bool *ret_more, vx_err *err);
/* Outside of one: folds the log into the file and empties it, if something was committed since the last
 * time, but nothing within idle_us. Waits for no one: what is in use keeps the log until the next call.
 * Cost: up to 64 MiB of writes and three fsyncs, on a connection of its own. */
int vx_catalog_checkpoint_when_idle(vx_catalog *catalog, int64_t idle_us, vx_err *err);

/* ---- Checking and repair (check/) ---- */

/* Opens a catalog that another process may have open and write to: nothing can be written, and nothing is
 * created or migrated. -EINVAL: another program's database, or of an older vidx; VX_CATALOG_TOO_NEW; -EIO. */
int vx_catalog_open_to_read(const char *path, vx_catalog **ret_catalog, vx_err *err);

typedef enum vx_flaw_kind {
    VX_FLAW_STRUCTURE,       /* pages, tables or indexes, by SQLite's integrity check */
    VX_FLAW_REFERENCE,       /* a row that refers to one that is gone */
    VX_FLAW_VECTOR,          /* a vector that is not what was stored */
    VX_FLAW_VECTOR_ORPHANED, /* a vector of no clip or no model */
    VX_FLAW_FINGERPRINT,     /* a fingerprint that is not what was stored */
    VX_FLAW_PICTURES,        /* what a copy model said of pictures, and is not what was stored */
    VX_FLAW_COUNT,           /* a vector space that counts its vectors wrong */
} vx_flaw_kind;
typedef struct vx_flaw {
    vx_flaw_kind kind;
    int64_t row;
    char table[16], text[320];
    bool repaired;
} vx_flaw;
/* Reads everything once: some 1 GB/s. Non-zero of the callback stops it and is returned. */
typedef int (*vx_catalog_on_flaw)(void *ctx, const vx_flaw *flaw, vx_err *err);
int vx_catalog_check(vx_catalog *catalog, vx_catalog_on_flaw on_flaw, void *ctx, vx_err *err);
/* Outside a transaction: deletes vectors, fingerprints and rows without their other half, counts again and
 * rebuilds the indexes; videos stay. Sets `repaired` of each flaw that is gone. */
int vx_catalog_repair(vx_catalog *catalog, vx_flaw *flaws, size_t n, vx_err *err);

/* ---- Jobs that must survive a restart ---- */

#define VX_JOB_ID_CHARS 25 /* "j" and 24 random hex digits */

typedef enum vx_job_state {
    VX_JOB_QUEUED,
    VX_JOB_RUNNING,
    VX_JOB_DONE,
    VX_JOB_FAILED,
    VX_JOB_CANCELLED,
    VX_JOB_PARKED, /* not ended: tried too often; a client may have it tried again */
} vx_job_state;

/* How often an unfinished job was tried. */
typedef struct vx_job_tries {
    int attempts;        /* tries that have begun */
    int crashes;         /* of these, the process ended meanwhile */
    int64_t failing_us;  /* when the first try failed; 0 = none has */
    int64_t next_try_us; /* when the next one begins; 0 = as soon as there is room */
} vx_job_tries;

/* Strings are malloc'ed, owned by the struct. */
typedef struct vx_job_row {
    char id[VX_JOB_ID_CHARS + 1];
    vx_job_state state;
    char *kind;    /* "ingest", … */
    char *request; /* JSON: all that is needed to run it again after a restart */
    char *result;  /* JSON or NULL: video_id, or the problem that ended it */
    int64_t created_us;
    int64_t finished_us; /* 0 exactly while queued, running or parked */
    vx_job_tries tries;
    char *last_error; /* why the last try that failed did, or NULL */
} vx_job_row;
void vx_job_row_clear(vx_job_row *job);

/* The tries and last_error are left out: it has none yet. -EINVAL: finished_us does not fit the state. */
int vx_catalog_insert_job(vx_catalog *catalog, const vx_job_row *job, vx_err *err);
/* result_json NULL: none. VX_CATALOG_NOT_FOUND; -EINVAL as above. */
int vx_catalog_update_job(vx_catalog *catalog, const char *job_id, vx_job_state state,
                          const char *result_json, int64_t finished_us, vx_err *err);
/* For a job that has not ended, which gets this state: queued, running or parked. last_error NULL: keeps
 * the one it has. VX_CATALOG_NOT_FOUND: there is none, or it has ended. */
int vx_catalog_update_job_tries(vx_catalog *catalog, const char *job_id, vx_job_state state,
                                const vx_job_tries *tries, const char *last_error, vx_err *err);
/* Jobs that are parked, and jobs that wait for a next try. */
int vx_catalog_count_jobs(vx_catalog *catalog, int64_t *ret_parked, int64_t *ret_waiting,
                          vx_err *err);
/* Deletes jobs that finished before before_us, oldest first, at most `max`; ret_n tells how many. */
int vx_catalog_prune_jobs(vx_catalog *catalog, int64_t before_us, int max, int *ret_n, vx_err *err);
/* Gives the row (vx_job_row_clear). VX_CATALOG_NOT_FOUND. */
int vx_catalog_get_job(vx_catalog *catalog, const char *job_id, vx_job_row *ret_job, vx_err *err);
int vx_catalog_count_jobs_in(vx_catalog *catalog, int state, int64_t *ret_n, vx_err *err);
/* Newest first, up to `limit` (SIZE_MAX = all). before_us/before_id: the cursor, the last job of
 * the page before; 0/NULL = from the newest. state: a vx_job_state, or one of these. Gives an array
 * (each vx_job_row_clear, then free()). */
#define VX_JOBS_ANY (-1)
#define VX_JOBS_UNFINISHED (-2) /* queued and running */
int vx_catalog_list_jobs(vx_catalog *catalog, size_t limit, int64_t before_us,
                         const char *before_id, int state, vx_job_row **ret_jobs, size_t *ret_n,
                         vx_err *err);
