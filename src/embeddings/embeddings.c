/* embeddings.c — the pool, and what becomes of one input on it. */
#include "embeddings.h"

#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "base/pool.h"
#include "base/thread.h"

/* Enough to hide the waiting for hosts; the model has a worker and batches of its own. */
enum { THREADS = 4, QUEUE_CAPACITY = 1024 };
#define MAX_PICTURE_BYTES ((size_t)16 << 20)
#define MAX_PICTURE_SIDE_PX 4096

struct vx_embeddings {
    const vx_extractor *extractor;
    vx_store *store;
    vx_search *search;
    vx_fetcher *fetcher;
    vx_pool *threads;
    atomic_bool stopping;
};

struct vx_embeddings_work {
    vx_embeddings *service;
    vx_mutex mu; /* guards left, and outcome and err of the request */
    size_t left VX_GUARDED;
};

typedef struct task {
    vx_embeddings_request *of;
    size_t index;
} task;

vx_embeddings_request *vx_embeddings_request_free(vx_embeddings_request *e) {
    if (!e)
        return NULL;
    if (e->work)
        vx_mutex_done(&e->work->mu);
    free(e->work);
    free(e->vectors);
    free(e);
    return NULL;
}

static bool is_stopping(void *ctx) {
    const vx_embeddings_request *e = ctx;
    return atomic_load(&e->work->service->stopping);
}

static bool is_abandoned(const vx_embeddings_request *e) {
    return e->abandoned && e->abandoned(e->ctx);
}

/* Nobody gets the result. */
static bool is_over(void *ctx) {
    return is_stopping(ctx) || is_abandoned(ctx);
}

/* ---- outcomes ---- */

static vx_outcome outcome_of(int rc) {
    return rc > 0 ? VX_OUTCOME_BAD_REQUEST : vx_outcome_of_error(rc, NULL);
}

/* One input has ended; the last one ends the request. */
static void finish_one(vx_embeddings_request *e, size_t index, vx_outcome outcome,
                       const vx_err *err) {
    vx_mutex_lock(&e->work->mu);
    if (outcome && !e->outcome) {
        e->outcome = outcome;
        e->err = *err;
        if (e->n > 1)
            VX_WRAP(&e->err, "input[%zu]", index);
    }
    bool last = --e->work->left == 0;
    vx_mutex_unlock(&e->work->mu);
    if (last)
        e->done(e->ctx);
}

static bool has_failed(vx_embeddings_request *e) {
    vx_mutex_lock(&e->work->mu);
    bool failed = e->outcome != VX_OUTCOME_OK;
    vx_mutex_unlock(&e->work->mu);
    return failed;
}

/* ---- bytes of a part ---- */

typedef int (*sink)(void *ctx, const void *bytes, size_t n, vx_err *err);

static int decode_part(vx_input_part part, sink put, void *ctx, vx_err *err) {
    enum { STEP = 64 * 1024 };
    uint8_t bytes[STEP / 4 * 3];
    for (size_t at = 0, n; at < part.n; at += STEP) {
        size_t step = part.n - at < STEP ? part.n - at : STEP;
        if (!vx_base64_decode(part.text + at, step, at + step == part.n, bytes, &n))
            return VX_FAIL(err, 1, "this is not base64, near character %zu", at);
        int rc = put(ctx, bytes, n, err);
        if (rc)
            return rc;
    }
    return 0;
}

typedef struct fetching {
    sink put;
    void *ctx;
    vx_embeddings_request *e;
} fetching;

static int put_fetched(void *ctx, const void *bytes, size_t n, vx_err *err) {
    const fetching *f = ctx;
    return f->put(f->ctx, bytes, n, err);
}

static bool fetch_is_void(void *ctx) {
    const fetching *f = ctx;
    return is_over(f->e) || has_failed(f->e);
}

static int fetch_part(vx_embeddings_request *e, vx_input_part part, sink put, void *ctx,
                      vx_err *err) {
    VX_AUTO_FREE char *url = strndup(part.text, part.n);
    if (!url)
        return VX_FAIL(err, -ENOMEM, "no memory for a URL");
    fetching f = {put, ctx, e};
    vx_fetch_call call = {.sink = put_fetched, .cancelled = fetch_is_void, .ctx = &f};
    return vx_fetch_get(e->work->service->fetcher, url, &call, err);
}

static int read_part(vx_embeddings_request *e, bool is_url, vx_input_part part, sink put, void *ctx,
                     vx_err *err) {
    return is_url ? fetch_part(e, part, put, ctx, err) : decode_part(part, put, ctx, err);
}

/* ---- a video ---- */

static int put_file(void *ctx, const void *bytes, size_t n, vx_err *err) {
    return vx_upload_write(ctx, bytes, n, err);
}

static vx_outcome embed_video(vx_embeddings_request *e, size_t index, float *ret_vector,
                              vx_err *err) {
    const vx_input *input = &e->inputs[index];
    const vx_embeddings *service = e->work->service;
    vx_models *models = service->extractor->models;
    VX_AUTO(vx_upload) file = NULL;
    int rc = vx_upload_begin(service->store, -1, &file, err);
    if (!rc)
        rc = read_part(e, input->is_url, input->parts[0], put_file, file, err);
    if (!rc)
        rc = vx_upload_end(file, err); /* not sealed: it need not outlive the answer */
    if (rc)
        return outcome_of(rc);
    int slot = vx_models_index_of(models, e->model);
    vx_clip_spec whole = {.mode = VX_CLIP_WHOLE};
    vx_extract extract = {0};
    vx_extract_watch watch = {.cancelled = is_over, .ctx = e};
    vx_extract_params params = {.path = vx_upload_path(file),
                                .clip = &whole,
                                .models = 1U << slot,
                                .frames = e->frames,
                                .watch = &watch};
    vx_outcome outcome = vx_extract_run(service->extractor, &params, &extract, err);
    if (!outcome) {
        memcpy(ret_vector, extract.vectors[slot], (size_t)e->model->info->dim * sizeof(float));
        e->made_of[index] = extract.frames;
    }
    vx_extract_clear(&extract);
    return outcome;
}

/* ---- pictures ---- */

typedef struct bytes {
    uint8_t *data;
    size_t n, capacity;
} bytes;

static int put_memory(void *ctx, const void *more, size_t n, vx_err *err) {
    bytes *b = ctx;
    if (n > MAX_PICTURE_BYTES - b->n)
        return VX_FAIL(err, 1, "the picture has more than %zu bytes", MAX_PICTURE_BYTES);
    if (b->n + n > b->capacity) {
        size_t capacity = (b->n + n) * 2;
        uint8_t *data = vx_regrow(b->data, capacity, 1);
        if (!data)
            return VX_FAIL(err, -ENOMEM, "no memory for a picture");
        b->data = data;
        b->capacity = capacity;
    }
    memcpy(b->data + b->n, more, n);
    b->n += n;
    return 0;
}

typedef struct slot {
    const vx_preprocess_spec *spec;
    float *tensor; /* float32 [3, H, W] */
} slot;

static int prepare(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    const slot *to = ctx;
    const vx_frame *rgb;
    (void)frame, (void)time_s;
    int rc = vx_picture_rgb(picture, &rgb, err);
    return rc ? rc : vx_preprocess_frame(to->spec, rgb, to->tensor, err);
}

static int read_picture(vx_embeddings_request *e, const vx_input *input, int at, slot to,
                        vx_err *err) {
    bytes jpeg = {0};
    int rc = read_part(e, input->is_url, input->parts[at], put_memory, &jpeg, err);
    if (!rc)
        rc = vx_media_jpeg(jpeg.data, jpeg.n, MAX_PICTURE_SIDE_PX, prepare, &to, err);
    free(jpeg.data);
    return rc ? VX_WRAP(err, "frame %d", at), rc : 0;
}

static vx_outcome embed_pictures(vx_embeddings_request *e, const vx_input *input, float *ret_vector,
                                 vx_err *err) {
    const vx_model_info *m = e->model->info;
    size_t picture = 3 * (size_t)m->preprocess.width_px * (size_t)m->preprocess.height_px;
    VX_AUTO_FREE float *tensor = vx_new_array((size_t)m->n_frames, picture * sizeof(float));
    if (!tensor)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip"), VX_OUTCOME_INTERNAL;
    int64_t picks[64];
    vx_model_sample(m, VX_INPUT_FRAMES, picks);
    for (int t = 0; t < m->n_frames; t++) {
        float *to = tensor + (size_t)t * picture;
        if (t && picks[t] == picks[t - 1]) {
            memcpy(to, to - picture, picture * sizeof(float));
            continue;
        }
        int rc = read_picture(e, input, (int)picks[t], (slot){&m->preprocess, to}, err);
        if (rc)
            return outcome_of(rc);
    }
    int rc = vx_embedder_run(e->model->embedder, tensor, 1, ret_vector, err);
    return rc == VX_EMBED_CLOSED ? VX_OUTCOME_STOPPING : outcome_of(rc);
}

/* ---- the pool ---- */

static void run_media(vx_embeddings_request *e, size_t index) {
    vx_err err = {0};
    vx_outcome outcome = VX_OUTCOME_OK;
    float *vector = e->vectors + index * (size_t)e->model->info->dim;
    const vx_input *input = &e->inputs[index];
    if (is_stopping(e)) {
        VX_FAIL(&err, -ESHUTDOWN, "the server is shutting down");
        outcome = VX_OUTCOME_STOPPING;
    } else if (is_abandoned(e)) {
        VX_FAIL(&err, VX_OUTCOME_CANCELLED, "the client has left");
        outcome = VX_OUTCOME_CANCELLED;
    } else if (!has_failed(e)) { /* the others' work would be for nothing */
        outcome = input->kind == VX_INPUT_VIDEO ? embed_video(e, index, vector, &err)
                                                : embed_pictures(e, input, vector, &err);
        if (outcome && is_over(e))
            outcome = is_stopping(e) ? VX_OUTCOME_STOPPING : VX_OUTCOME_CANCELLED;
    }
    finish_one(e, index, outcome, &err);
}

static void run_texts(void *ctx) {
    vx_embeddings_request *e = ctx;
    vx_text texts[VX_EMBEDDINGS_MAX];
    vx_text_report report = {0};
    vx_err err = {0};
    for (size_t i = 0; i < e->n; i++)
        texts[i] = (vx_text){e->inputs[i].parts[0].text, e->inputs[i].parts[0].n};
    vx_outcome outcome = vx_embed_texts(e->work->service->extractor->models, e->model, texts,
                                        (int)e->n, e->vectors, &report, &err);
    e->n_tokens = report.tokens;
    finish_one(e, (size_t)report.bad, outcome, &err);
}

static void run_task(void *ctx, void *item) {
    (void)ctx;
    task *t = item;
    run_media(t->of, t->index);
    free(t);
}

/* What could not be queued has ended, too. */
static void refuse(vx_embeddings_request *e, size_t index) {
    vx_err err;
    bool stopping = is_stopping(e);
    VX_FAIL(&err, 1, stopping ? "the server is shutting down" : "too many inputs wait already");
    finish_one(e, index, stopping ? VX_OUTCOME_STOPPING : VX_OUTCOME_BUSY, &err);
}

static void submit_media(vx_embeddings *service, vx_embeddings_request *e) {
    size_t n = e->n; /* e may be gone once its last input has ended */
    for (size_t i = 0; i < n; i++) {
        task *t = vx_new(task);
        if (t)
            *t = (task){e, i};
        if (t && vx_pool_try_push(service->threads, t))
            continue;
        free(t);
        refuse(e, i);
    }
}

void vx_embeddings_submit(vx_embeddings *service, vx_embeddings_request *e) {
    size_t all;
    bool texts = e->inputs[0].kind == VX_INPUT_TEXT;
    e->work = vx_new(struct vx_embeddings_work);
    if (vx_mul(e->n, (size_t)e->model->info->dim, &all))
        e->vectors = vx_new_array(all, sizeof(float));
    if (!e->work || !e->vectors) {
        VX_FAIL(&e->err, -ENOMEM, "no memory for %zu embeddings", e->n);
        e->outcome = VX_OUTCOME_INTERNAL;
        free(vx_take(e->work));
        e->done(e->ctx);
        return;
    }
    e->work->service = service;
    vx_mutex_init(&e->work->mu);
    vx_mutex_lock(&e->work->mu);
    e->work->left = texts ? 1 : e->n;
    vx_mutex_unlock(&e->work->mu);
    if (!texts)
        submit_media(service, e);
    else if (!vx_search_run(service->search, run_texts, e))
        refuse(e, 0);
}

/* ---- start and stop ---- */

int vx_embeddings_start(const vx_extractor *extractor, vx_store *store, vx_search *search,
                        const vx_fetch_params *fetch, vx_embeddings **ret_embeddings, vx_err *err) {
    VX_AUTO(vx_embeddings) service = vx_new(vx_embeddings);
    if (!service)
        return VX_FAIL(err, -ENOMEM, "no memory for the embeddings pool");
    service->extractor = extractor;
    service->store = store;
    service->search = search;
    const vx_pool_params params = {
        .name = "vx-embeddings", .n_threads = THREADS, .capacity = QUEUE_CAPACITY, .run = run_task};
    int rc = vx_fetcher_new(fetch, &service->fetcher, err);
    if (!rc)
        rc = vx_pool_new(&params, &service->threads, err);
    if (!rc)
        *ret_embeddings = vx_take(service);
    return rc;
}

void vx_embeddings_begin_stop(vx_embeddings *service) {
    atomic_store(&service->stopping, true);
}

vx_embeddings *vx_embeddings_stop(vx_embeddings *service) {
    if (!service)
        return NULL;
    vx_embeddings_begin_stop(service);
    vx_pool_free(service->threads);
    vx_fetcher_free(service->fetcher);
    free(service);
    return NULL;
}
