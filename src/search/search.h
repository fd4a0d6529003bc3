/* query.h — the read path: texts, clips, vectors or an uploaded file to ranked hits.
 *
 * Threads: vx_query_submit from any thread, never blocks; done runs on a search thread.
 */
#pragma once

#include "base/outcome.h"
#include "server/server.h"

#define VX_QUERY_MAX_K 1000
#define VX_QUERY_MAX_QUESTIONS 64
#define VX_QUERY_MAX_HITS 10000 /* the sum of k over the questions of one query */

typedef enum vx_query_by {
    VX_QUERY_TEXT,
    VX_QUERY_VIDEO,
    VX_QUERY_CLIP,
    VX_QUERY_VECTOR,
    VX_QUERY_FILE
} vx_query_by;

typedef struct vx_hit {
    char video_id[VX_VIDEO_ID_CHARS + 1];
    char clip_id[VX_CLIP_ID_CHARS + 1];
    double start_s, end_s;
    float score;
    char *filename, *metadata; /* owned */
} vx_hit;

typedef struct vx_hits {
    vx_hit *items; /* best first, ties by clip row; owned */
    size_t n;
} vx_hits;
void vx_hits_clear(vx_hits *hits);

typedef struct vx_query_result {
    vx_outcome outcome;
    const char *model; /* that was asked; NULL when none of that name is loaded. Borrows */
    vx_err err;        /* of several questions it names the one: "queries[2]: …" */
    vx_hits *answers;  /* [n], in the order of the questions; owned */
    size_t n;
} vx_query_result;
typedef void (*vx_query_done)(void *ctx, vx_query_result *result); /* may take result->answers */
void vx_query_result_clear(vx_query_result *result);

/* A video's own clips are never among its hits; nor a clip's own. */
typedef struct vx_question {
    vx_query_by by;
    char *id;      /* VIDEO, CLIP; owned */
    char *text;    /* TEXT: UTF-8; owned */
    float *vector; /* VECTOR: float32 [dim], finite, not all zero; normalised here; owned */
    size_t dim;
    vx_upload *upload;   /* FILE; takes; need not be sealed */
    size_t k;            /* 1..VX_QUERY_MAX_K */
    float min_score;     /* -1..1 */
    bool group_by_video; /* one hit per video, its best */
} vx_question;

/* Several questions to one model, answered together: their texts are one batch of the model, and
 * those of one vector and the same k are one search of the index. */
typedef struct vx_query {
    vx_question *questions; /* [n]; owned */
    size_t n;               /* 1..VX_QUERY_MAX_QUESTIONS */
    char *model; /* NULL = the default one; one not loaded is VX_OUTCOME_WRONG_SPACE; owned */
    vx_query_done done;
    void *ctx;
} vx_query;
vx_query *vx_query_new(size_t n); /* n empty questions; NULL: no memory */
vx_query *vx_query_free(vx_query *query);
VX_DEFINE_AUTO(vx_query, vx_query_free)

int vx_query_start(vx_server *server, vx_err *err);
void vx_query_stop(vx_server *server);
/* Takes the query. OK: done will be called exactly once. BUSY, STOPPING: it was freed. */
vx_outcome vx_query_submit(vx_server *server, vx_query *query);

/* Runs fn(ctx) on a search thread: for short CPU work that must not hold an HTTP thread (a
 * thumbnail). False when the queue is full or the server stops: fn is not called. */
bool vx_query_run(vx_server *server, void (*fn)(void *ctx), void *ctx);

typedef struct vx_query_stats {
    int64_t finished[VX_OUTCOME_INTERNAL + 1], total_us, queued;
} vx_query_stats;
void vx_query_get_stats(vx_server *server, vx_query_stats *ret_stats);
