/* models.h — the loaded models, each with its vector space: its row in the catalog and its index.
 *
 * Several models may be loaded. Each has a vector space of its own, so vectors of two models, or of
 * two versions of one, never meet. The first is the default: verdicts rest on its vectors, and
 * searches that name no model use it.
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
} vx_models;

typedef struct vx_models_params {
    vx_catalog *catalog;    /* borrows, until open returned */
    const char *models_dir; /* borrows, for the models' life */
    const char *names;      /* comma separated, the first is the default; or auto */
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
