/* duplicates.h — which stored videos are copies of each other: a scan of all pairs, groups, decisions.
 *
 *   scan       compares every video with every other, or only what came since the last scan (scan.c)
 *   groups     videos that pairs connect, with a proposed keeper and why (groups.c, keeper.c)
 *   decisions  keep, delete, "no duplicates": stored, and undone on request (decide.c)
 *
 * A scan is a durable job of the kind "duplicates". Its pairs are in the catalog, written block by block
 * with the mark that a video has been compared: so kill -9 costs one block, and a scan that is asked for
 * again only compares what has no mark. A pair has a kind, by the rule of the verdict at insert.
 *
 * Of very many videos that are all alike not every pair is kept: a video keeps VX_DUPLICATES_PAIRS, and every pair
 * that joins two groups. So memory and disk grow with the videos, not with the pairs, and the groups are
 * those that all pairs would make.
 *
 * Threads: one for scans, one for deletions. Everything is callable from any thread, unless said otherwise.
 */
#pragma once

#include <stdio.h>

#include "base/outcome.h"
#include "collection/collection.h"
#include "extract/extract.h"
#include "jobs/jobs.h"
#include "library/library.h"
#include "store/store.h"
#include "writer/writer.h"

#define VX_DUPLICATES_KIND "duplicates"
#define VX_DUPLICATES_PAIRS 16 /* that a video keeps, of those in one group */

typedef struct vx_duplicates vx_duplicates;

typedef struct vx_duplicates_params { /* borrows all, until stop */
    vx_collection *collection;
    vx_writer *writer;
    vx_jobs *jobs; /* gets the kind "duplicates"; NULL: scans are no jobs (vidx dedup) */
    vx_library *library;
    const vx_store *store; /* of the files that are looked at again */
    const vx_extractor
        *extractor; /* its limits, decoder and slots; not evidence: hashes alone decide */
    int threads;    /* of comparing vectors; 0 = one per core */
    bool
        listed; /* videos are files that a folder lists (batch/inventory.h): files with the same bytes make groups,
                       and a video's age is that of its file */
    /* With listed: only files below these places count, absolute [n_places]; NULL: all. Folders above all places
     * do not set a file aside. */
    const char *const *places;
    size_t n_places;
} vx_duplicates_params;

int vx_duplicates_new(const vx_duplicates_params *params, vx_duplicates **ret_duplicates,
                      vx_err *err);
/* Starts the threads. */
int vx_duplicates_start(vx_duplicates *duplicates, vx_err *err);
/* From here on a running scan ends at its next tile; it goes on at the next start. */
void vx_duplicates_begin_stop(vx_duplicates *duplicates);
/* Needs the writer still running. NULL-safe. */
void vx_duplicates_stop(vx_duplicates *duplicates);
/* After the jobs. NULL-safe. */
vx_duplicates *vx_duplicates_free(vx_duplicates *duplicates);

/* ---- scanning ---- */

typedef struct vx_scan_report {
    int64_t videos;   /* that were compared: those without a mark */
    int64_t among;    /* with so many */
    int64_t pairs;    /* related pairs that were stored */
    int64_t compared; /* pairs of videos whose pictures were compared */
    int64_t looked;   /* videos to which the deep look was given */
} vx_scan_report;

typedef struct vx_scan_watch {
    bool (*is_over)(void *ctx); /* true: end soon */
    void (*on_progress)(void *ctx, int64_t done,
                        int64_t total); /* units of no meaning; NULL: nobody asks */
    void *ctx;
} vx_scan_watch;

/* One scan, on the caller's thread, until its end: for `vidx dedup`.
 *   filter  compares only videos that pass; such a scan marks none. NULL: all
 * -ECANCELED: is_over. What was done by then stays. */
int vx_duplicates_scan(const vx_duplicates_params *params, const vx_filter *filter,
                       const vx_scan_watch *watch, vx_scan_report *ret_report, vx_err *err);

/* The deep look: after a scan without a filter, finds by the pictures of the nearest videos what vectors of whole clips
 * and hashes do not (looks.c). Some seconds a video that is no copy or part of an older one, once each; nothing where the
 * extractor has no evidence. Adds to the report; watch is told videos. -ECANCELED: is_over. What was done by then stays. */
int vx_duplicates_look_deeper(const vx_duplicates_params *params, const vx_scan_watch *watch,
                              vx_scan_report *report, vx_err *err);

/* rc 0: the job is durable, or the same one was waiting or running already. On the writer's thread; must be
 * short. */
typedef void (*vx_duplicates_accepted)(void *ctx, int rc, const char *job_id, const vx_err *err);
/* Never blocks. BUSY, STOPPING or INTERNAL (no memory): accepted is not called.
 *   filter_json  NULL, or the text of a filter that was parsed before; borrows
 *   keep         the text of a policy that was parsed before, or NULL: largest_picture. In groups in which not every
 *                pair was compared, those with what it keeps are; borrows
 *   fast         without the deep look; with a filter there is none */
vx_outcome vx_duplicates_submit(vx_duplicates *duplicates, const char *filter_json,
                                const char *keep, bool fast, vx_duplicates_accepted accepted,
                                void *ctx);

/* ---- groups ---- */

/* Which of a group's videos is kept. A video in a trash or hidden folder never wins over one that is not. */
typedef enum vx_keep_by {
    VX_KEEP_LARGEST_PICTURE,
    VX_KEEP_HIGHEST_BITRATE,
    VX_KEEP_LONGEST,
    VX_KEEP_OLDEST, /* by the time of the upload */
    VX_KEEP_NEWEST,
    VX_KEEP_PATH,     /* in the first of the named folders that has one of them */
    VX_KEEP_METADATA, /* the greatest number, true before false, any value before none */
} vx_keep_by;

#define VX_KEEP_MAX_BYTES 300 /* of a policy's text */
#define VX_KEEP_FOLDERS_MAX 16
typedef struct vx_keep_policy {
    vx_keep_by by;
    char text[VX_KEEP_MAX_BYTES + 1];  /* as it was asked for: "path:films,backup" */
    char names[VX_KEEP_MAX_BYTES + 1]; /* the folders, each ended by NUL; or the field, "a.b" */
    const char
        *folders[VX_KEEP_FOLDERS_MAX]; /* [n_folders] of PATH, in names: do not copy the struct */
    size_t n_folders;
} vx_keep_policy;
/* largest_picture, highest_bitrate, longest, oldest, newest, path:FOLDER[,FOLDER], metadata:FIELD. 0, or
 * -EINVAL: err says what is wrong. */
int vx_keep_policy_parse(const char *text, vx_keep_policy *ret_policy, vx_err *err);

/* A further listed file with a video's bytes. */
typedef struct vx_group_file {
    char *path;   /* owned */
    bool is_link; /* another name (hard link) of the file before it, that is no bytes of its own */
} vx_group_file;

typedef struct vx_group_video {
    int64_t row;
    char id[VX_VIDEO_ID_CHARS + 1];
    char *filename;      /* owned */
    vx_group_file *same; /* [n_same] links of that file first; NULL: none; owned */
    size_t n_same,
        n_files; /* n_files: files with these bytes, whatever the number of their names */
    int64_t bytes, created_us; /* of the upload, or of the listed file */
    int width_px, height_px;
    double duration_s; /* NaN: not known */
    bool set_aside;    /* in a trash or hidden folder */
    bool no_file;      /* none is stored or listed, or it is missing: it lets no other one go */
    bool
        keep; /* by the policy; else it may go: a kept one holds all of it. `same` goes in any case, but for links of what is kept */
    size_t of;      /* which one that is; its own number if it is kept */
    bool unchecked; /* kept for want of a comparison with a kept one, see vx_duplicates_plan */
} vx_group_video;
void vx_group_video_clear(vx_group_video *video);

/* Two videos of a group: what the second is to the first. */
typedef struct vx_group_pair {
    size_t first, second; /* numbers of videos */
    vx_verdict_kind kind;
    float score, share, share_of_first, share_of_second,
        offset_s; /* offset_s: time in first minus in second */
    bool mirrored;
} vx_group_pair;

typedef enum vx_group_state { VX_GROUP_OPEN, VX_GROUP_DECIDED } vx_group_state;

typedef struct vx_group {
    char id[VX_VIDEO_ID_CHARS + 1]; /* "g" and the digits of its least video id */
    char revision[9];               /* another for other members */
    vx_group_state state;
    int64_t decision; /* DECIDED: by which */
    vx_group_video
        *videos; /* [n_videos] the keeper first, then in the order of the policy; owned */
    size_t n_videos;
    vx_group_pair *pairs; /* [n_pairs] by first and second; owned */
    size_t n_pairs;
    int64_t bytes, removable_bytes; /* of all files; of those that may go */
    char why[256];                  /* why the first one is proposed, in words */
} vx_group;
vx_group *vx_group_free(vx_group *group);
VX_DEFINE_AUTO(vx_group, vx_group_free)

typedef struct vx_group_query {
    unsigned kinds;  /* bit 1 << vx_verdict_kind: pairs that make groups; 0 = VX_GROUP_KINDS */
    float min_score; /* of similar pairs; 0: all */
    const vx_filter *filter; /* pairs of videos that pass alone; NULL: all */
    const vx_keep_policy *policy;
    int state;    /* vx_group_state, or -1: any */
    size_t limit; /* 0 = no limit */
    int64_t
        after_bytes; /* the page begins behind the group of these removable bytes and id; "" = at the start */
    char after_id[VX_VIDEO_ID_CHARS + 1];
    /* Of vx_duplicates_plan: */
    size_t max_looks;           /* pairs whose files are decoded, at most */
    const vx_scan_watch *watch; /* NULL, or its is_over ends it */
} vx_group_query;
/* The relations that a person calls duplicates. */
#define VX_GROUP_KINDS                                                                             \
    (1U << VX_VERDICT_EXACT | 1U << VX_VERDICT_COPY | 1U << VX_VERDICT_PART_OF |                   \
     1U << VX_VERDICT_CONTAINS)

typedef struct vx_group_page {
    vx_group **groups; /* [n]; owned */
    size_t n;
    bool more;
    int64_t total, total_removable_bytes; /* of all that the query asks for */
} vx_group_page;
void vx_group_page_clear(vx_group_page *page);

/* Groups by removable bytes, most first, then by id. Blocks for as long as it takes to read what has changed
 * since the last call: some 20 µs a video of a group. */
int vx_duplicates_list(vx_duplicates *duplicates, const vx_group_query *query,
                       vx_group_page *ret_page, vx_err *err);
#define VX_GROUP_COMPARED_MAX 20000
/* One group, with videos that have no pair with a kept one compared with it: up to VX_GROUP_COMPARED_MAX comparisons,
 * of which max_looks decode files, and 256 for one video; those that had less are unchecked. Such pairs are stored, so
 * that another call goes on. -ESHUTDOWN: begin_stop. -ECANCELED: the watch. VX_CATALOG_NOT_FOUND: there is no group of
 * that id under the query. Blocks. */
int vx_duplicates_plan(vx_duplicates *duplicates, const vx_group_query *query, const char *group_id,
                       vx_group **ret_group, vx_err *err);

/* As vx_duplicates_plan, again and again, in all groups of the query, without a bound of looks or comparisons. Best effort
 * where groups change meanwhile. Blocks: for minutes, where much must be looked at; the watch ends it. */
int vx_duplicates_complete(vx_duplicates *duplicates, const vx_group_query *query, vx_err *err);

/* ---- decisions (decide.c) ---- */

/* Stores a decision, whose row is set; from its due time on the thread of deletions deletes what it says. If
 * people said that videos are unrelated, those whose verdict says otherwise are judged anew. Blocks. */
int vx_duplicates_decide(vx_duplicates *duplicates, vx_decision *decision, vx_err *err);
/* Undoes it: what was deleted by then stays deleted. VX_CATALOG_NOT_FOUND. Blocks. */
int vx_duplicates_undo(vx_duplicates *duplicates, int64_t decision, vx_err *err);

typedef struct vx_duplicates_stats {
    int64_t scans[VX_OUTCOME_INTERNAL + 1]; /* by outcome */
    int64_t videos_scanned, pairs_found, pairs_compared;
    int64_t videos_deleted, bytes_deleted, deletions_failed;
    int64_t decisions, undone;
} vx_duplicates_stats;
void vx_duplicates_get_stats(vx_duplicates *duplicates, vx_duplicates_stats *ret_stats);

/* ---- files of groups (export.c, text.c) ---- */

typedef enum vx_groups_format {
    VX_GROUPS_CSV,   /* RFC 4180 with a first line of names */
    VX_GROUPS_JSONL, /* JSON objects */
    VX_GROUPS_TEXT,  /* for people (text.c) */
    VX_GROUPS_PATHS, /* only the names of what may go */
} vx_groups_format;
/* A line for each video of each group, and for each further file. Errors are those of the stream. */
int vx_groups_write(const vx_group_page *page, vx_groups_format format, FILE *out, vx_err *err);

/* The pair of two of its videos, first < second; NULL: no such pair is known. */
const vx_group_pair *vx_group_find_pair(const vx_group *group, size_t first, size_t second);
