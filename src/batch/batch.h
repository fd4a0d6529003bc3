/* batch.h — `vidx embed`: turns every video below a folder into vectors in an output folder, without
 * a server. `vidx dedup` reads the videos of its folders by it, too, and writes no outputs.
 *
 *   vx_batch_open   looks at both folders and lists the videos
 *   vx_batch_run    embeds what is new, fills in missing vectors, writes the outputs
 *
 * Only the catalog, <output>/.vidx/catalog.db, says what is done. So a run may end at any moment,
 * kill -9 included, and the next one goes on where it was. Progress, skipped videos and the summary
 * go to stderr.
 *
 * This is the folder's public header; README.md says what the others are for.
 *
 * Threads: one run at a time, on one thread. The caller handles SIGINT and SIGTERM: `interrupted`.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "parts.h"

typedef enum vx_batch_layout {
    VX_BATCH_LAYOUT_VIDX,    /* video_index.faiss, embeddings.npy, clips.jsonl: layout_vidx.h */
    VX_BATCH_LAYOUT_CURATOR, /* NeMo Curator's tree: layout_curator.h */
    VX_BATCH_LAYOUT_NONE,    /* nothing but the catalog and failed.jsonl */
} vx_batch_layout;

typedef struct vx_batch_params {
    const char *input, *output; /* folders as they were typed; all borrowed until free */
    /* Instead of input, and with LAYOUT_NONE: folders and files [n_places], absolute, without symbolic links. What
     * is stored of other places stays. */
    const char *const *places;
    size_t n_places;
    const char *models_dir; /* where the models come from, for people to read */
    vx_batch_layout layout;
    double dedup_threshold;    /* cosine, 0..1: also list near-duplicate clips; 0 = do not */
    bool write_clips;          /* also write each clip as a file */
    const char *encoder;       /* for these files, as vx_media_cut_params has it */
    bool quiet;                /* say only what went wrong */
    bool (*interrupted)(void); /* true: end soon. Called often, from one thread at a time */
} vx_batch_params;

typedef struct vx_batch vx_batch;

/* Makes the output folder if it is absent. */
int vx_batch_open(const vx_batch_params *params, vx_batch **ret_batch, vx_err *err);
vx_batch *vx_batch_free(vx_batch *batch);
VX_DEFINE_AUTO(vx_batch, vx_batch_free)

/* The folder where catalog and store of this output are, for whoever opens the parts. Borrowed. */
const char *vx_batch_data_dir(const vx_batch *batch);

typedef enum vx_batch_end {
    VX_BATCH_DONE,
    VX_BATCH_SOME_SKIPPED, /* done, but some videos could not be read: failed.jsonl says why */
    VX_BATCH_SOME_FAILED,  /* done, but some videos failed and the fault is not in them */
    VX_BATCH_INTERRUPTED,  /* the same call goes on; outputs may be those of an earlier run */
} vx_batch_end;

enum {
    VX_BATCH_WORKERS_MAX = 256,
    VX_BATCH_QUEUE =
        2048, /* that ingest must have: 1000 are inside, and for a moment those that end */
};

/* The whole job. After an end by INTERRUPTED, or a failure, ingest takes no more videos.
 *   parts    copied; what it points to is borrowed until free
 *   ret_end  set when 0 is returned
 * -errno ends the run early; what was embedded stays. */
int vx_batch_run(vx_batch *batch, const vx_batch_parts *parts, vx_batch_end *ret_end, vx_err *err);

/* "<command>: <message>" on stderr, with control characters as \xNN. */
void vx_batch_print_error(const char *command, const vx_err *err);
