/* encode.c — queries to vectors: a text through the model's text tower, a clip or a video from
 * the index, a file through the same extraction as ingest. */
#include "search_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

/* A loaded model whose vectors have that length, or NULL. */
static const char *model_of_dim(const vx_models *models, size_t dim) {
    for (int i = 0; i < models->n; i++)
        if ((size_t)models->items[i].info->dim == dim)
            return models->items[i].info->name;
    return NULL;
}

static vx_outcome encode_vector(const vx_models *models, const vx_model *model, vx_query *query,
                                vx_encoded_query *encoded, vx_err *err) {
    size_t dim = (size_t)model->info->dim;
    if (query->dim != dim) {
        const char *other = model_of_dim(models, query->dim);
        VX_FAIL(err, 1, "the vector has %zu number%s, model %s has %zu%s%s%s", query->dim,
                query->dim == 1 ? "" : "s", model->info->name, dim, other ? "; name model " : "",
                other ? other : "", other ? " to search in its space" : "");
        return VX_OUTCOME_WRONG_SPACE;
    }
    double square = 0;
    for (size_t i = 0; i < dim; i++)
        square += (double)query->vector[i] * query->vector[i];
    if (!isfinite(square) || square < 1e-24) {
        VX_FAIL(err, 1,
                square < 1e-24 ? "the vector is all zero: it has no direction"
                               : "the vector holds a number that is not finite");
        return VX_OUTCOME_BAD_REQUEST;
    }
    for (size_t i = 0; i < dim; i++)
        query->vector[i] = (float)(query->vector[i] / sqrt(square));
    encoded->vectors = vx_take(query->vector);
    encoded->n = 1;
    return VX_OUTCOME_OK;
}

typedef struct asked {
    vx_search *search;
    const vx_search_request *request;
} asked;

static bool is_over(void *ctx) {
    const asked *a = ctx;
    return atomic_load(&a->search->stopping) || vx_search_is_abandoned(a->request);
}

/* A film takes minutes: a server that stops does not wait for it, nor for a client that has left. */
static vx_outcome encode_file(vx_search *search, const vx_model *model,
                              const vx_search_request *request, vx_query *query,
                              vx_encoded_query *encoded, vx_err *err) {
    if (vx_upload_end(query->upload, err)) /* not sealed: it need not outlive the answer */
        return VX_OUTCOME_INTERNAL;
    vx_extract extract = {0};
    int slot = vx_models_index_of(search->collection->models, model);
    asked by = {search, request};
    vx_extract_watch watch = {.cancelled = is_over, .ctx = &by};
    vx_extract_params params = {.path = vx_upload_path(query->upload),
                                .clip = &search->extractor->clip,
                                .models = 1U << slot,
                                .frames = query->frames,
                                .watch = &watch};
    vx_outcome outcome = vx_extract_run(search->extractor, &params, &extract, err);
    if (outcome == VX_OUTCOME_CANCELLED && atomic_load(&search->stopping)) {
        VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
        outcome = VX_OUTCOME_STOPPING;
    }
    if (!outcome) {
        encoded->n = extract.n_clips;
        encoded->frames = vx_clip_frames_name(extract.frames);
        encoded->vectors = vx_take(extract.vectors[slot]);
    }
    vx_extract_clear(&extract);
    return outcome;
}

/* ---- texts ---- */

/* Embeds the texts among the queries, as one batch. *ret_failed: the query that is at fault. */
static vx_outcome encode_texts(const vx_models *models, const vx_model *model,
                               const vx_search_request *request, vx_encoded_query *encoded,
                               size_t *ret_failed, vx_err *err) {
    vx_text texts[VX_SEARCH_MAX_QUERIES];
    size_t from[VX_SEARCH_MAX_QUERIES], dim = (size_t)model->info->dim;
    int n = 0;
    for (size_t i = 0; i < request->n; i++)
        if (request->queries[i].by == VX_QUERY_TEXT) {
            texts[n] = (vx_text){request->queries[i].text, strlen(request->queries[i].text)};
            from[n++] = i;
        }
    if (!n)
        return VX_OUTCOME_OK;
    *ret_failed = from[0];
    VX_AUTO_FREE float *vectors = vx_new_array((size_t)n * dim, sizeof *vectors);
    if (!vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %d texts", n), VX_OUTCOME_INTERNAL;
    vx_text_report report = {0};
    vx_outcome outcome = vx_embed_texts(models, model, texts, n, vectors, &report, err);
    *ret_failed = from[report.bad];
    for (int i = 0; i < n && !outcome; i++) {
        vx_encoded_query *one = &encoded[from[i]];
        one->vectors = vx_new_array(dim, sizeof(float));
        if (!one->vectors)
            return VX_FAIL(err, -ENOMEM, "no memory for a vector"), VX_OUTCOME_INTERNAL;
        memcpy(one->vectors, vectors + (size_t)i * dim, dim * sizeof(float));
        one->n = 1;
    }
    return outcome;
}

/* ---- all ---- */

static vx_outcome encode_one(vx_search *search, const vx_model *model,
                             const vx_search_request *request, vx_query *query,
                             vx_encoded_query *encoded, vx_err *err) {
    switch (query->by) {
    case VX_QUERY_TEXT: /* all together, above */
    case VX_QUERY_EXAMPLES:
        return VX_OUTCOME_OK;
    case VX_QUERY_VECTOR:
        return encode_vector(search->collection->models, model, query, encoded, err);
    case VX_QUERY_FILE:
        return encode_file(search, model, request, query, encoded, err);
    default:
        return vx_search_load(search->collection->catalog, model, query->id,
                              query->by == VX_QUERY_CLIP, encoded, err);
    }
}

vx_outcome vx_search_encode(vx_search *search, const vx_model *model, vx_search_request *request,
                            vx_encoded_query *ret_encoded, vx_err *err) {
    size_t failed = 0;
    vx_outcome outcome =
        encode_texts(search->collection->models, model, request, ret_encoded, &failed, err);
    for (size_t i = 0; i < request->n && !outcome; i++) {
        vx_query *query = &request->queries[i];
        outcome = encode_one(search, model, request, query, &ret_encoded[i], err);
        if (!outcome && query->like.n + query->unlike.n)
            outcome = vx_search_add_examples(search->collection->catalog, model, query,
                                             &ret_encoded[i], err);
        failed = i;
    }
    if (outcome && request->n > 1)
        VX_WRAP(err, "queries[%zu]", failed);
    return outcome;
}
