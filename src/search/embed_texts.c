/* embed_texts.c — texts to vectors of a loaded model. */
#include "search.h"

/* Names a model that would have answered: a loaded one, or else a package that could be. */
static vx_outcome refuse_text(const vx_models *models, const vx_model *model, vx_err *err) {
    char names[128];
    for (int i = 0; i < models->n; i++)
        if (models->items[i].info->has_text) {
            VX_FAIL(err, VX_EMBED_NO_TEXT, "model %s takes no text; name model %s to search by it",
                    model->info->name, models->items[i].info->name);
            return VX_OUTCOME_WRONG_SPACE;
        }
    vx_models_with_text(models->models_dir, names, sizeof names);
    VX_FAIL(err, VX_EMBED_NO_TEXT, "model %s takes no text, and no other is loaded; %s%s",
            model->info->name,
            names[0] ? "the server can be started with one that does: " : "no package here does",
            names);
    return VX_OUTCOME_WRONG_SPACE;
}

vx_outcome vx_embed_texts(const vx_models *models, const vx_model *model, const vx_text *texts,
                          int n, float *ret_vectors, vx_text_report *ret_report, vx_err *err) {
    switch (vx_embedder_run_texts(model->embedder, texts, n, ret_vectors, ret_report, err)) {
    case 0:
        return VX_OUTCOME_OK;
    case VX_EMBED_NO_TEXT:
        return refuse_text(models, model, err);
    case VX_EMBED_BAD_TEXT:
        return VX_OUTCOME_BAD_REQUEST;
    case VX_EMBED_CLOSED:
        return VX_OUTCOME_STOPPING;
    default:
        return VX_OUTCOME_INTERNAL;
    }
}
