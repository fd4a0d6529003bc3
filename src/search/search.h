/* search.h — the read path: texts, clips, vectors or an uploaded file to ranked hits.
 *
 * Threads: vx_search_submit from any thread, never blocks; done runs on a search thread.
 */
#pragma once

#include "base/outcome.h"
#include "collection/collection.h"
#include "extract/extract.h"
#include "filter/filter.h"
#include "store/store.h"
#include "stores/stores.h"

#define VX_SEARCH_MAX_K 1000
#define VX_SEARCH_MAX_QUERIES 64
#define VX_SEARCH_MAX_HITS 10000   /* the sum of k over the queries of one request */
#define VX_SEARCH_MAX_EXAMPLES 100 /* ids in like, and in unlike */
#define VX_SEARCH_MAX_DEPTH 10000  /* hits that pages of one query reach */
#define VX_SEARCH_BINS 200         /* of a histogram: scores from -1 to 1, 0.01 each */

typedef enum vx_query_by {
    VX_QUERY_TEXT,
    VX_QUERY_VIDEO,
    VX_QUERY_CLIP,
    VX_QUERY_VECTOR,
    VX_QUERY_FILE,
    VX_QUERY_EXAMPLES /* by `like` alone */
} vx_query_by;

/* How a query's own subject (text, video, clip, vector or file) and its examples become one vector.
 * A subject or an example of several clips counts as the direction of the mean of their vectors. */
typedef enum vx_combine {
    VX_COMBINE_MEAN,   /* mean of the subject and of all in like, less the mean of unlike */
    VX_COMBINE_ROCCHIO /* 1 subject + 0.75 mean(like) - 0.15 mean(unlike); without a subject the mean
                          of like stands for it. Rocchio's formula with the weights of Manning,
                          Raghavan and Schütze, Introduction to Information Retrieval, 9.1.1 */
} vx_combine;

/* Ids of stored videos and clips. */
typedef struct vx_examples {
    char **ids; /* [n]; owned, each of them too */
    size_t n;   /* 0..VX_SEARCH_MAX_EXAMPLES */
} vx_examples;

typedef struct vx_hit {
    char video_id[VX_VIDEO_ID_CHARS + 1];
    char clip_id[VX_CLIP_ID_CHARS + 1];
    double start_s, end_s;
    float score;
    bool has_file;             /* false: its video was imported */
    const char *frames;        /* what it is made of, by vx_clip_frames_name; NULL: not known */
    char *filename, *metadata; /* owned */
} vx_hit;

/* What the answer to one query cost. Times are those of the whole step, with the queries that were
 * answered together. */
typedef struct vx_search_work {
    int64_t
        rows_scanned; /* clips compared, mostly by their codes, once for each vector of the query */
    int64_t rows_on_gpu;   /* by a GPU, of these */
    int64_t rows_rescored; /* of which the exact score was computed */
    int64_t
        filter_videos; /* that pass its filter; -1: it has none, or one of clips, or nobody asked */
    int64_t filter_clips; /* the same for a filter of clips; else -1 */
    int64_t index_us, catalog_us, histogram_us;
} vx_search_work;

/* The end of a page: the hit with this score and clip row, the position-th of all. Hits are in order of
 * falling score, then of rising row, so what is inserted later moves no hit to another page. */
typedef struct vx_search_cursor {
    float score;
    int64_t row;
    size_t position; /* 0: the beginning */
} vx_search_cursor;
/* A cursor as text, of letters, digits and '-'. Reading gives false for anything else. */
#define VX_SEARCH_CURSOR_CHARS 48
void vx_search_cursor_write(const vx_search_cursor *cursor,
                            char ret_text[VX_SEARCH_CURSOR_CHARS + 1]);
bool vx_search_cursor_read(const char *text, vx_search_cursor *ret_cursor);

typedef struct vx_hits {
    vx_hit *items; /* best first, ties by clip row; owned */
    size_t n;
    size_t first_rank;    /* of items[0]; the best of all has rank 1 */
    bool more;            /* there are hits behind these, within VX_SEARCH_MAX_DEPTH */
    vx_search_cursor end; /* where the next page begins */
    int64_t *histogram;   /* [VX_SEARCH_BINS]; owned; NULL unless asked for */
    vx_search_work work;
} vx_hits;
void vx_hits_clear(vx_hits *hits);

typedef struct vx_search_result {
    vx_outcome outcome;
    const char *model; /* that was searched; NULL when none of that name is loaded. Borrows */
    const char *store,
        *consistency;   /* of the outside store that answered; NULL: the index. Static */
    const char *frames; /* what the clips of a file are made of; NULL: there is none. Static */
    vx_err err;         /* of several queries it names the one: "queries[2]: …" */
    vx_hits *answers;   /* [n], in the order of the queries; owned */
    size_t n;
    int64_t encode_us; /* turning all queries into vectors */
    int64_t
        filter_us; /* preparing the filters, and finding what passes as far as the index does not ask for it */
} vx_search_result;
typedef void (*vx_search_done)(void *ctx, vx_search_result *result); /* may take result->answers */
void vx_search_result_clear(vx_search_result *result);

/* The clips of a video that is searched by are never among its hits; nor the clip that is; nor those
 * of an example. */
typedef struct vx_query {
    vx_query_by by;
    char *id;      /* VIDEO, CLIP; owned */
    char *text;    /* TEXT: UTF-8; owned */
    float *vector; /* VECTOR: float32 [dim], finite, not all zero; normalised here; owned */
    size_t dim;
    vx_upload *upload;        /* FILE; takes; need not be sealed */
    vx_clip_frames frames;    /* FILE: what its clips are to be made of */
    vx_examples like, unlike; /* EXAMPLES: at least one like; with any other subject optional */
    vx_combine combine;       /* only looked at with examples */
    size_t k;      /* 1..VX_SEARCH_MAX_K; with what comes before it <= VX_SEARCH_MAX_DEPTH */
    size_t offset; /* hits to leave out at the beginning */
    vx_search_cursor after;     /* hits behind this one only; in place of offset */
    float min_score, max_score; /* -1..1; clips that score less or more are no hits */
    bool group_by_video;        /* one hit per video, its best */
    bool histogram;             /* count how many clips, or videos, have which score */
    vx_filter *filter; /* only videos, or clips, that pass; NULL: that of the request; owned */
} vx_query;

/* Several queries to one model, answered together: their texts are one batch of the model, and
 * those of one vector and the same k are one search of the index. */
typedef struct vx_search_request {
    vx_query *queries; /* [n]; owned */
    size_t n;          /* 1..VX_SEARCH_MAX_QUERIES */
    char *model;       /* NULL = the default one; one not loaded is VX_OUTCOME_WRONG_SPACE; owned */
    vx_filter *filter; /* of queries that have none; NULL = all videos; owned */
    bool explain; /* count what passes the filters, too: vx_search_work.filter_videos and _clips */
    vx_search_done done;
    /* NULL, or whether nobody waits for the result any more: then it ends as CANCELLED at the next picture
     * of its file. Any thread, until `done`; must be short. */
    bool (*abandoned)(void *ctx);
    void *ctx;
} vx_search_request;
vx_search_request *vx_search_request_new(size_t n); /* n empty queries; NULL: no memory */
vx_search_request *vx_search_request_free(vx_search_request *request);
VX_DEFINE_AUTO(vx_search_request, vx_search_request_free)

typedef struct vx_search vx_search;

/* Borrows all until stop. remote: answers searches by the default model, NULL: the indexes do. threads: searches at once; 0 = cores + 30. Beside these, searches by file run
 * half as many at once as there are cores, two at least; eight times as many may wait. */
int vx_search_start(vx_collection *collection, const vx_extractor *extractor, vx_remote *remote,
                    int threads, vx_search **ret_search, vx_err *err);
/* From here on what waits is answered with STOPPING, and a decode ends at its next picture. */
void vx_search_begin_stop(vx_search *search);
/* NULL-safe. */
vx_search *vx_search_stop(vx_search *search);
VX_DEFINE_AUTO(vx_search, vx_search_stop)
/* Takes the request. OK: done will be called exactly once. BUSY (too many wait), STOPPING: it was freed. */
vx_outcome vx_search_submit(vx_search *search, vx_search_request *request);

/* Runs fn(ctx) on a search thread: for short CPU work that must not hold an HTTP thread (a
 * thumbnail). False when the queue is full or the server stops: fn is not called. */
bool vx_search_run(vx_search *search, void (*fn)(void *ctx), void *ctx);

typedef struct vx_search_stats {
    int64_t finished[VX_OUTCOME_INTERNAL + 1], total_us, queued;
} vx_search_stats;
void vx_search_get_stats(vx_search *search, vx_search_stats *ret_stats);

/* ---- texts, for whoever embeds without searching ---- */

/* n texts → ret_vectors float32 [n, dim], with refusals that say what to do. Blocks until the model has
 * run. OK, BAD_REQUEST (ret_report->bad says which), WRONG_SPACE (the model takes no text; err names
 * one that does), STOPPING or INTERNAL. */
vx_outcome vx_embed_texts(const vx_models *models, const vx_model *model, const vx_text *texts,
                          int n, float *ret_vectors, vx_text_report *ret_report, vx_err *err);
