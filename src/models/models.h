/* models.h — the loaded models, each with its vector space: its row in the catalog and its index.
 *
 * Several models may be loaded. Each has a vector space of its own, so vectors of two models, or of
 * two versions of one, never meet. The first is the default: verdicts rest on its vectors, and
 * searches that name no model use it.
 *
 * Beside them there may be a copy model, whose role is another: it describes single pictures, evenly spread over each
 * video, and its index has a row for each (copy_model.c). It answers no search; the second look (verdict/copies.c) asks
 * it which older videos may be copies. Memory: 2.6 kB a picture of 512 numbers, up to VX_PICTURES_MAX a video.
 *
 * Threads  open, load and free: one (main). Everything else: any; the structs are constant from
 *          vx_models_load_vectors on, but for the atomic.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/err.h"
#include "base/mem.h"
#include "catalog/catalog.h"
#include "embed/embed.h"
#include "index/index.h"

#define VX_MODELS_MAX 8

typedef struct vx_model {
    vx_embedder *embedder;
    const vx_model_info *info; /* of the embedder */
    int64_t space;             /* the catalog's row of this model and digest */
    vx_index *index;           /* clip rows of that vector space */
    const char *chosen;        /* why this one: "named", or auto's reason; static */
    atomic_llong failures;     /* videos stored without its vectors, because it failed on them */
} vx_model;

typedef struct vx_models {
    vx_model items[VX_MODELS_MAX]; /* [n], the default first */
    int n;
    const char *models_dir;
    struct vx_models *copy; /* [1] the copy model alone, without a space; NULL: none; owned */
} vx_models;

typedef struct vx_models_params {
    vx_catalog *catalog;    /* borrows, until open returned */
    const char *models_dir; /* borrows, for the models' life */
    const char *names;      /* comma separated, the first is the default; or auto */
    const char *copy;       /* the package of the copy model; NULL: none */
    const char *device;     /* auto, cpu, cuda:N */
    bool reproducible;      /* as vx_embedder_params has it */
} vx_models_params;

/* Loads the models and makes their rows in the catalog. Names: all or none, a package that is refused
 * refuses the start. auto: the best that loads (model_choice.h), what is refused on the way is logged.
 * VX_EMBED_* or -errno. */
int vx_models_open(const vx_models_params *params, vx_models **ret_models, vx_err *err);
vx_models *vx_models_free(vx_models *models);
VX_DEFINE_AUTO(vx_models, vx_models_free)

/* Builds the index of every model from the catalog.
 *   index_threads  0 = one per core
 *   index_on_gpu   models that run on a GPU keep a copy of their index's codes there, as long as it has room:
 *                  a run that finds none takes it back */
int vx_models_load_vectors(vx_models *models, vx_catalog *catalog, int index_threads,
                           bool index_on_gpu, vx_err *err);

/* The devices that embed clips with this model. */
void vx_model_get_devices(const vx_model *model, vx_devices *ret_devices);

/* vx_embedder_on_no_memory of each. */
void vx_models_on_no_memory(vx_models *models, void (*relieve)(void *ctx), void *ctx);

/* NULL = the default one. NULL when none of that name is loaded: err names those that are. */
vx_model *vx_models_find(vx_models *models, const char *name, vx_err *err);
/* Its place among the items. */
int vx_models_index_of(const vx_models *models, const vx_model *model);
/* Whether a loaded model has this vector space now. */
bool vx_models_have_space(const vx_models *models, int64_t space);
/* Clips that have no vector of this model: made while it was not loaded, had another digest, or
 * failed. Cost: counts the catalog's clips. */
int vx_models_count_missing(const vx_model *model, vx_catalog *catalog, int64_t *ret_clips,
                            vx_err *err);

/* ---- the copy model (copy_model.c) ---- */

#define VX_PICTURES_MAX 32 /* of a video */
/* How many pictures of a video are described: one in two seconds, 3 at least. */
size_t vx_picture_count(double length_s);
/* The time of one of them, by its number or by its id modulo VX_PICTURES_MAX. */
double vx_picture_time(double length_s, int64_t picture);
/* Its id in the index: those of older videos are smaller. */
int64_t vx_picture_id(int64_t video, size_t picture);

/* For vx_models_open: sets models->copy, also on failure. */
int vx_models_open_copy(vx_models *models, const char *name, const char *device, vx_err *err);
/* For vx_models_load_vectors. -EIO: stored vectors of another size. */
int vx_model_load_pictures(vx_model *copy, vx_catalog *catalog, vx_err *err);
/* Enters a video's n pictures, float32 [n, dim], into the index, or takes out what is there. One thread at a time. */
int vx_model_add_pictures(vx_model *copy, int64_t video, const float *vectors, size_t n,
                          vx_err *err);
int vx_model_remove_pictures(vx_model *copy, int64_t video, vx_err *err);
