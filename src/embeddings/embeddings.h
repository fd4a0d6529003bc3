/* embeddings.h — texts, videos and frames to vectors, for POST /v1/embeddings; nothing is stored.
 *
 * A video's bytes lie in a temporary file while it is decoded, frames in memory. What must be
 * fetched or decoded runs on a pool of its own, so that a slow host holds up no search; texts run
 * on a search thread.
 * Threads: vx_embeddings_submit from any thread, never blocks; done runs on a pool's thread.
 */
#pragma once

#include "base/outcome.h"
#include "extract/extract.h"
#include "fetch/fetch.h"
#include "search/search.h"
#include "store/store.h"

#define VX_EMBEDDINGS_MAX 64 /* inputs of one request */
#define VX_INPUT_FRAMES 8    /* pictures that stand for a video */

typedef enum vx_input_kind { VX_INPUT_TEXT, VX_INPUT_VIDEO, VX_INPUT_PICTURES } vx_input_kind;

/* A stretch of the request's text: what to embed, base64 of it, or the URL where it is. Borrows. */
typedef struct vx_input_part {
    const char *text;
    size_t n;
} vx_input_part;

typedef struct vx_input {
    vx_input_kind kind;
    bool is_url;
    vx_input_part parts[VX_INPUT_FRAMES]; /* the first alone for a text and a video */
} vx_input;

struct vx_embeddings_work; /* embeddings.c */

/* One request. The inputs' texts must stay until done was called. */
typedef struct vx_embeddings_request {
    vx_model *model;
    vx_clip_frames frames; /* what videos are to be made of */
    vx_input inputs[VX_EMBEDDINGS_MAX];
    size_t n; /* 1..VX_EMBEDDINGS_MAX; all texts, or none */
    void (*done)(void *ctx);
    /* NULL, or whether nobody waits for the result any more: then it ends as CANCELLED, early. Any thread,
     * until `done`; must be short. */
    bool (*abandoned)(void *ctx);
    void *ctx;

    /* Set once done is called. */
    float *vectors;                            /* float32 [n, dim]; owned */
    vx_clip_frames made_of[VX_EMBEDDINGS_MAX]; /* [n], of videos: what they are made of */
    int64_t n_tokens;
    vx_outcome outcome;
    vx_err err; /* of several inputs it names the one: "input[2]: …" */

    struct vx_embeddings_work *work;
} vx_embeddings_request;
vx_embeddings_request *vx_embeddings_request_free(vx_embeddings_request *request); /* after done */
VX_DEFINE_AUTO(vx_embeddings_request, vx_embeddings_request_free)

typedef struct vx_embeddings vx_embeddings;

/* Borrows all until stop; fetch: what clients may name by URL. */
int vx_embeddings_start(const vx_extractor *extractor, vx_store *store, vx_search *search,
                        const vx_fetch_params *fetch, vx_embeddings **ret_embeddings, vx_err *err);
/* From here on what waits is answered with STOPPING, and a decode or a transfer ends early. */
void vx_embeddings_begin_stop(vx_embeddings *embeddings);
/* NULL-safe. */
vx_embeddings *vx_embeddings_stop(vx_embeddings *embeddings);
VX_DEFINE_AUTO(vx_embeddings, vx_embeddings_stop)
/* done is called exactly once, perhaps before the return. */
void vx_embeddings_submit(vx_embeddings *embeddings, vx_embeddings_request *request);
