/* extract_model.h — one model's share of a run over a video; private to extract.c.
 *
 * The model wants T frames of every clip. Pictures come in ascending order, each is resized once and
 * copied into every slot that wants it; complete clips are embedded in batches while the decode goes
 * on, so that only open clips and one batch hold tensors.
 * Threads: the run's.
 */
#pragma once

#include "clip/clip.h"
#include "media/media.h"
#include "models/models.h"

/* One picture that one clip's tensor wants. Sorted by frame, so that a cursor follows the decode. */
typedef struct vx_want {
    int64_t frame;
    size_t clip;
    int slot; /* 0..T-1 within the clip */
} vx_want;

typedef struct vx_extract_model {
    vx_model *model; /* borrows */
    vx_want *wants;
    size_t n_wants, next_want;

    size_t n_clips, tensor_floats; /* T·3·H·W */
    float **tensors;               /* [n_clips], NULL until a picture arrives and after embedding */
    int *missing;                  /* [n_clips] pictures still to come */
    size_t *ready;                 /* clips complete and not embedded yet */
    size_t n_ready, batch;
    float *batch_tensor; /* [batch, T,3,H,W] */
    float *vectors;      /* float32 [n_clips, dim]; owned until taken */
    int64_t prepare_us, embed_us;
} vx_extract_model;

/* Plans the T frames of each clip. *part is zero before; _clear follows on failure too. */
int vx_extract_model_plan(vx_extract_model *part, const vx_media *media, const vx_span *spans,
                          size_t n_clips, vx_err *err);
/* Frees all; what is left wants no pictures and gives no vectors. */
void vx_extract_model_clear(vx_extract_model *part);

/* A decoded picture, made RGB by the first model that wants it. */
typedef struct vx_extract_picture {
    int64_t frame;
    vx_picture *picture; /* borrows */
    const vx_frame *rgb; /* NULL until a model wanted it; borrows from picture */
} vx_extract_picture;

/* Puts the picture into the tensors, if it is wanted. VX_PREPROCESS_BAD_SHAPE or -errno. */
int vx_extract_model_prepare(vx_extract_model *part, vx_extract_picture *picture, vx_err *err);
/* Whether the complete clips are a batch; all: whatever their number. */
bool vx_extract_model_is_due(const vx_extract_model *part, bool all);
/* Embeds the complete clips. VX_EMBED_CLOSED or -errno. */
int vx_extract_model_embed(vx_extract_model *part, vx_err *err);
