/* query_ask.c — questions to vectors: a text through the model's text tower, a clip or a video from
 * the index, a file through the same extraction as ingest. */
#include "search_internal.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "embed_texts.h"
#include "extract/extract.h"

void vx_asked_clear(vx_asked *asked) {
    free(asked->vectors);
    vx_video_free(asked->video);
    *asked = (vx_asked){0};
}

/* Leaves the video no clip but the one of that id, if it has it. */
static void keep_clip(vx_video *video, const char *clip_id) {
    size_t n = 0;
    for (size_t i = 0; i < video->n_clips; i++) {
        char id[VX_CLIP_ID_CHARS + 1];
        vx_clip_id_of(video->id, video->clips[i].index, id);
        if (!strcmp(clip_id, id))
            video->clips[n++] = video->clips[i];
    }
    video->n_clips = n;
}

/* Vectors of all clips of asked->video. */
static vx_outcome load_vectors(const vx_model *model, vx_asked *asked, const char *what,
                               vx_err *err) {
    const vx_video *video = asked->video;
    size_t dim = (size_t)model->info->dim;
    asked->vectors = vx_new_array(video->n_clips, dim * sizeof(float));
    if (!asked->vectors) {
        VX_FAIL(err, -ENOMEM, "no memory for the query's vectors");
        return VX_OUTCOME_INTERNAL;
    }
    for (size_t i = 0; i < video->n_clips; i++) {
        int rc =
            vx_index_get(model->index, video->clips[i].row, asked->vectors + asked->n * dim, err);
        if (rc < 0)
            return VX_OUTCOME_INTERNAL;
        asked->n += rc == 0;
    }
    if (asked->n)
        return VX_OUTCOME_OK;
    VX_FAIL(err, VX_CATALOG_NOT_FOUND, "there is no %s with this id that has a vector of model %s",
            what, model->info->name);
    return VX_OUTCOME_NOT_FOUND;
}

static vx_outcome ask_by_id(vx_server *server, const vx_model *model, const vx_question *question,
                            vx_asked *asked, vx_err *err) {
    bool by_clip = question->by == VX_QUERY_CLIP;
    const char *what = by_clip ? "clip" : "video";
    char video_id[VX_VIDEO_ID_CHARS + 1] = "";
    const char *end = by_clip ? strrchr(question->id, '.') : question->id + strlen(question->id);
    if (end && end - question->id <= VX_VIDEO_ID_CHARS)
        memcpy(video_id, question->id, (size_t)(end - question->id));
    int rc = vx_catalog_get_video(server->catalog, video_id, &asked->video, err);
    if (rc == VX_CATALOG_NOT_FOUND) {
        VX_FAIL(err, rc, "there is no %s with this id", what);
        return VX_OUTCOME_NOT_FOUND;
    }
    if (rc)
        return VX_OUTCOME_INTERNAL;
    if (by_clip)
        keep_clip(asked->video, question->id);
    return load_vectors(model, asked, what, err);
}

/* A loaded model whose vectors have that length, or NULL. */
static const char *model_of_dim(const vx_server *server, size_t dim) {
    for (int i = 0; i < server->n_models; i++)
        if ((size_t)server->models[i].info->dim == dim)
            return server->models[i].info->name;
    return NULL;
}

static vx_outcome ask_by_vector(const vx_server *server, const vx_model *model,
                                vx_question *question, vx_asked *asked, vx_err *err) {
    size_t dim = (size_t)model->info->dim;
    if (question->dim != dim) {
        const char *other = model_of_dim(server, question->dim);
        VX_FAIL(err, 1, "the vector has %zu number%s, model %s has %zu%s%s%s", question->dim,
                question->dim == 1 ? "" : "s", model->info->name, dim, other ? "; name model " : "",
                other ? other : "", other ? " to search in its space" : "");
        return VX_OUTCOME_WRONG_SPACE;
    }
    double square = 0;
    for (size_t i = 0; i < dim; i++)
        square += (double)question->vector[i] * question->vector[i];
    if (!isfinite(square) || square < 1e-24) {
        VX_FAIL(err, 1,
                square < 1e-24 ? "the vector is all zero: it has no direction"
                               : "the vector holds a number that is not finite");
        return VX_OUTCOME_BAD_REQUEST;
    }
    for (size_t i = 0; i < dim; i++)
        question->vector[i] = (float)(question->vector[i] / sqrt(square));
    asked->vectors = vx_take(question->vector);
    asked->n = 1;
    return VX_OUTCOME_OK;
}

static bool is_stopping(void *ctx) {
    return atomic_load(&((const vx_server *)ctx)->stopping);
}

/* A film takes minutes: a server that stops does not wait for it. */
static vx_outcome ask_by_file(vx_server *server, const vx_model *model, vx_question *question,
                              vx_asked *asked, vx_err *err) {
    if (vx_upload_end(question->upload, err)) /* not sealed: it need not outlive the answer */
        return VX_OUTCOME_INTERNAL;
    vx_extract extract = {0};
    int slot = (int)(model - server->models);
    vx_extract_watch watch = {.cancelled = is_stopping, .ctx = server};
    vx_extract_params params = {.path = vx_upload_path(question->upload),
                                .clip = &server->clip,
                                .models = 1U << slot,
                                .watch = &watch};
    vx_outcome outcome = vx_extract_run(server, &params, &extract, err);
    if (outcome == VX_OUTCOME_CANCELLED) {
        VX_FAIL(err, -ESHUTDOWN, "the server is shutting down");
        outcome = VX_OUTCOME_STOPPING;
    }
    if (!outcome) {
        asked->n = extract.n_clips;
        asked->vectors = vx_take(extract.vectors[slot]);
    }
    vx_extract_clear(&extract);
    return outcome;
}

/* ---- texts ---- */

/* Embeds the texts among the questions, as one batch. *ret_failed: the question that is at fault. */
static vx_outcome ask_by_texts(vx_server *server, const vx_model *model, const vx_query *query,
                               vx_asked *asked, size_t *ret_failed, vx_err *err) {
    vx_text texts[VX_QUERY_MAX_QUESTIONS];
    size_t from[VX_QUERY_MAX_QUESTIONS], dim = (size_t)model->info->dim;
    int n = 0;
    for (size_t i = 0; i < query->n; i++)
        if (query->questions[i].by == VX_QUERY_TEXT) {
            texts[n] = (vx_text){query->questions[i].text, strlen(query->questions[i].text)};
            from[n++] = i;
        }
    if (!n)
        return VX_OUTCOME_OK;
    *ret_failed = from[0];
    VX_AUTO_FREE float *vectors = vx_new_array((size_t)n * dim, sizeof *vectors);
    if (!vectors)
        return VX_FAIL(err, -ENOMEM, "no memory for %d texts", n), VX_OUTCOME_INTERNAL;
    vx_text_report report = {0};
    vx_outcome outcome = vx_embed_texts(server, model, texts, n, vectors, &report, err);
    *ret_failed = from[report.bad];
    for (int i = 0; i < n && !outcome; i++) {
        vx_asked *one = &asked[from[i]];
        one->vectors = vx_new_array(dim, sizeof(float));
        if (!one->vectors)
            return VX_FAIL(err, -ENOMEM, "no memory for a vector"), VX_OUTCOME_INTERNAL;
        memcpy(one->vectors, vectors + (size_t)i * dim, dim * sizeof(float));
        one->n = 1;
    }
    return outcome;
}

/* ---- all ---- */

static vx_outcome ask_one(vx_server *server, const vx_model *model, vx_question *question,
                          vx_asked *asked, vx_err *err) {
    switch (question->by) {
    case VX_QUERY_TEXT: /* all together, above */
        return VX_OUTCOME_OK;
    case VX_QUERY_VECTOR:
        return ask_by_vector(server, model, question, asked, err);
    case VX_QUERY_FILE:
        return ask_by_file(server, model, question, asked, err);
    default:
        return ask_by_id(server, model, question, asked, err);
    }
}

vx_outcome vx_query_ask(vx_server *server, vx_model *model, vx_query *query, vx_asked *ret_asked,
                        vx_err *err) {
    size_t failed = 0;
    vx_outcome outcome = ask_by_texts(server, model, query, ret_asked, &failed, err);
    for (size_t i = 0; i < query->n && !outcome; i++) {
        outcome = ask_one(server, model, &query->questions[i], &ret_asked[i], err);
        failed = i;
    }
    if (outcome && query->n > 1)
        VX_WRAP(err, "queries[%zu]", failed);
    return outcome;
}
