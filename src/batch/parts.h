/* parts.h — what a run uses of the product. Only parts.c knows the server. Threads: any. */
#pragma once

#include "catalog/catalog.h"
#include "clip/clip.h"
#include "embed/embed.h"
#include "extract/extract.h"
#include "index/index.h"
#include "ingest/ingest.h"
#include "media/media.h"
#include "writer/writer.h"

#define VX_BATCH_MODELS_MAX 8

typedef struct vx_batch_model {
    const vx_model_info *info;
    vx_index *index;
} vx_batch_model;

typedef struct vx_batch_parts { /* all borrowed */
    struct vx_server *server;
    vx_catalog *catalog;
    vx_batch_model models[VX_BATCH_MODELS_MAX]; /* the first gives verdicts and duplicates */
    int n_models;
    vx_clip_spec clip; /* the rule of this run */
    vx_shots *shots;   /* NULL = no package of it */
    const vx_media_limits *limits;
    bool fingerprints;
    int workers; /* of the ingest pool */
} vx_batch_parts;

void vx_batch_parts_of(struct vx_server *server, int workers, vx_batch_parts *ret_parts);

/* As vx_ingest_submit: takes the item. */
vx_outcome vx_batch_submit(const vx_batch_parts *parts, vx_ingest_item *item);
/* What ingest is working on ends at its next picture, what waits at once. */
void vx_batch_stop_ingest(const vx_batch_parts *parts);

/* As vx_commit_set_metadata and vx_commit_delete_video, waiting for room. */
vx_outcome vx_batch_set_metadata(const vx_batch_parts *parts, const char *video_id,
                                 const char *metadata, vx_commit_video_done done, void *ctx);
vx_outcome vx_batch_delete_video(const vx_batch_parts *parts, const char *video_id,
                                 vx_commit_video_done done, void *ctx);

/* How many clips have no vector of the m-th model. */
int vx_batch_count_missing(const vx_batch_parts *parts, int m, int64_t *ret_clips, vx_err *err);
/* Computes the vectors that a stored video is missing, from a file with its bytes.
 *   models  bit i = parts->models[i] */
vx_outcome vx_batch_fill_video(const vx_batch_parts *parts, const vx_video *video, const char *path,
                               unsigned models, int decode_threads, const vx_extract_watch *watch,
                               vx_err *err);
/* Removes vectors that other digests of the m-th model made. Waits until it is durable. */
int vx_batch_remove_old_vectors(const vx_batch_parts *parts, int m, vx_err *err);
