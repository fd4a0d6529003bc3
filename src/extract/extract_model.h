/* extract_model.h — one model's share of a run over a video; private to extract.c.
 *
 * The model wants T frames of every clip. Pictures come in ascending order, each is resized once and
 * written into every clip that wants it. A clip's memory is a slot of the embedder (embed.h); when it
 * is complete it is submitted, and the decode goes on while the model runs.
 * Threads: the run's.
 */
#pragma once

#include "base/slots.h"
#include "clip/clip.h"
#include "extract_card.h"
#include "keys.h"
#include "media/media.h"
#include "models/models.h"
#include "view.h"

/* One picture that one clip's tensor wants. Sorted by frame, so that a cursor follows the decode. */
typedef struct vx_want {
    int64_t frame;
    size_t clip;
    int place; /* 0..T-1 within the clip */
} vx_want;

typedef struct vx_extract_model {
    vx_model *model;              /* borrows */
    vx_turn *turn;                /* of the run, which decodes; borrows */
    const vx_extract_view *views; /* [n_clips]; NULL: all of every picture; borrows */
    vx_want *wants;
    size_t n_wants, next_want;

    size_t n_clips, picture_floats; /* 3·H·W */
    vx_slot **slots;                /* [n_clips], NULL until a picture arrives and once submitted */
    int *missing;                   /* [n_clips] pictures still to come */
    size_t *ready;                  /* [n_clips] clips in the order in which they became complete */
    size_t n_ready, n_submitted;    /* of `ready` */
    vx_embed_job **jobs;            /* [n_clips]; NULL once its vectors are taken */
    size_t n_jobs, n_done_jobs; /* each has the next `together` of `ready`, the last one the rest */
    size_t together;
    float *vectors;               /* float32 [n_clips, dim]; owned until taken */
    int64_t prepare_us, embed_us; /* embed_us: waited for the model */
} vx_extract_model;

/* Plans the T frames of each clip; keys: of which each is the nearest one; none: the exact frames. *part is
 * zero before; _clear follows on failure too. */
int vx_extract_model_plan(vx_extract_model *part, const vx_media *media,
                          const vx_extract_keys *keys, const vx_span *spans, size_t n_clips,
                          vx_err *err);
/* Frees all; what is left wants no pictures and gives no vectors. */
void vx_extract_model_clear(vx_extract_model *part);

/* A decoded picture, made RGB by the first model that wants it. */
typedef struct vx_extract_picture {
    int64_t frame;
    vx_picture *picture;   /* borrows */
    const vx_frame *rgb;   /* NULL until a model wanted it; borrows from picture */
    vx_extract_card *card; /* borrows; NULL: the CPU prepares it */
} vx_extract_picture;

/* Puts the picture into the clips that want it; on the card, it is there after vx_extract_card_flush. May
 * wait until the model's worker is done with a slot.
 * VX_PREPROCESS_BAD_SHAPE, VX_EMBED_CLOSED or -errno. */
int vx_extract_model_prepare(vx_extract_model *part, vx_extract_picture *picture, vx_err *err);
/* Submits the complete clips, `together` at a time, and takes the vectors that are there.
 * finish: submits all and waits for every vector. VX_EMBED_CLOSED or -errno. */
int vx_extract_model_embed(vx_extract_model *part, bool finish, vx_err *err);
