/* embedder.c — one worker thread that owns a module and joins what waits into batches.
 *
 * A caller puts a request on its own stack into the line and sleeps; the worker takes clips from
 * the front of the line, across requests, until a batch is full or the line is empty. It never
 * waits for more: on a busy server the line fills while a batch runs, on an idle one a clip must
 * not pay for a batch that does not come.
 *
 * A request is in the line until its last clip has been taken, and is touched by the worker until
 * `done` is set under the lock; after that it belongs to its caller again.
 *
 * Threads  `lock` guards the line, the flags, the counters and every request in the line. The
 *          module and the batch buffers belong to the worker and need no lock.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "embed/package.h"
#include "torch/torch_shim.h"

typedef struct request {
    const float *clips; /* borrows, until done */
    float *vectors;     /* borrows, until done */
    int n_clips, n_taken, n_finished;
    int code; /* 0 or the first failure, explained in err */
    vx_err err;
    bool done;
    struct request *next;
} request;

/* A clip on its way through a batch: its request and its place there. */
typedef struct ticket {
    request *from;
    int index;
} ticket;

struct vx_embedder {
    vx_model_info info;
    int max_batch, threads;
    size_t clip_floats; /* T * 3 * H * W */

    vx_torch_module *module;
    ticket *tickets;      /* [max_batch] */
    float *batch_clips;   /* [max_batch, T, 3, H, W]; NULL when max_batch is 1 */
    float *batch_vectors; /* [max_batch, dim] */

    vx_mutex lock;
    vx_cond work; /* the line is not empty, or closing */
    vx_cond news; /* a request is done, or a caller has left */
    request *first VX_GUARDED, *last VX_GUARDED;
    bool closing VX_GUARDED;
    int n_callers VX_GUARDED;
    vx_embedder_stats stats VX_GUARDED;

    pthread_t worker;
    bool has_worker;
};

/* ---- worker ----------------------------------------------------------------------------------*/

/* Takes up to max_batch clips from the line. Waits for the first; 0 once closing. */
static int take_batch(vx_embedder *e) {
    vx_mutex_lock(&e->lock);
    while (!e->first && !e->closing)
        vx_cond_wait(&e->work, &e->lock);
    int n = 0;
    while (!e->closing && e->first && n < e->max_batch) {
        request *from = e->first;
        e->tickets[n++] = (ticket){from, from->n_taken++};
        if (from->n_taken == from->n_clips)
            e->first = from->next;
    }
    vx_mutex_unlock(&e->lock);
    return n;
}

static const float *clip_of(const vx_embedder *e, ticket t) {
    return t.from->clips + (size_t)t.index * e->clip_floats;
}

/* The batch as one block: the caller's own memory where that is one already, as for a lone clip. */
static const float *gather(vx_embedder *e, int n) {
    bool adjacent = true;
    for (int i = 1; i < n; i++)
        adjacent = adjacent && e->tickets[i].from == e->tickets[0].from;
    if (adjacent)
        return clip_of(e, e->tickets[0]);
    for (int i = 0; i < n; i++)
        memcpy(e->batch_clips + (size_t)i * e->clip_floats, clip_of(e, e->tickets[i]),
               e->clip_floats * sizeof(float));
    return e->batch_clips;
}

static int run_module(vx_embedder *e, const float *clips, int n, vx_err *err) {
    const vx_model_info *m = &e->info;
    const vx_torch_view input = {
        .data = (void *)clips,
        .dtype = VX_TORCH_F32,
        .n_dims = 5,
        .shape = {n, m->n_frames, 3, m->preprocess.height_px, m->preprocess.width_px}};
    const vx_torch_view output = {
        .data = e->batch_vectors, .dtype = VX_TORCH_F32, .n_dims = 2, .shape = {n, m->dim}};
    int r = vx_torch_run(e->module, &input, 1, &output, err);
    if (r == VX_TORCH_OUT_OF_MEMORY)
        return VX_FAIL(err, -ENOMEM, "%s lacks memory for %d clips of %s", m->device, n, m->name);
    if (r > 0)
        return VX_WRAP(err, "model %s", m->name), err->code = -EIO;
    return r;
}

static int check_vector(const vx_model_info *model, const float *vector, vx_err *err) {
    double sum = 0;
    for (int i = 0; i < model->dim; i++)
        sum += (double)vector[i] * (double)vector[i];
    if (!isfinite(sum))
        return VX_FAIL(err, -EIO, "model %s answers NaN or infinity", model->name);
    if (fabs(sqrt(sum) - 1) > 1e-3)
        return VX_FAIL(err, -EIO, "model %s answers a vector of length %g, not 1", model->name,
                       sqrt(sum));
    return 0;
}

static void finish_clip_locked(vx_embedder *e, request *from, int code, const vx_err *err)
    VX_REQUIRES(e->lock) {
    if (code && !from->code) {
        from->code = code;
        from->err = *err;
    }
    if (++from->n_finished == from->n_clips) {
        from->done = true;
        vx_cond_broadcast(&e->news);
    }
}

static void run_batch(vx_embedder *e, int n) {
    vx_err err;
    int64_t start_us = vx_clock_monotonic_us();
    int failed = run_module(e, gather(e, n), n, &err);
    int64_t busy_us = vx_clock_monotonic_us() - start_us;
    vx_mutex_lock(&e->lock);
    e->stats.clips += n;
    e->stats.batches++;
    e->stats.busy_us += busy_us;
    for (int i = 0; i < n; i++) {
        ticket t = e->tickets[i];
        const float *vector = e->batch_vectors + (size_t)i * (size_t)e->info.dim;
        int code = failed ? failed : check_vector(&e->info, vector, &err);
        if (!code)
            memcpy(t.from->vectors + (size_t)t.index * (size_t)e->info.dim, vector,
                   (size_t)e->info.dim * sizeof(float));
        finish_clip_locked(e, t.from, code, &err);
    }
    vx_mutex_unlock(&e->lock);
}

/* Every clip not yet taken ends here; the ones in a batch have finished before. */
static void refuse_line(vx_embedder *e) {
    vx_err err;
    VX_FAIL(&err, VX_EMBED_CLOSED, "model %s is shutting down", e->info.name);
    vx_mutex_lock(&e->lock);
    for (request *from = e->first, *next; from; from = next) {
        next = from->next; /* its caller may be gone once it is done */
        for (int left = from->n_clips - from->n_taken; left > 0; left--)
            finish_clip_locked(e, from, VX_EMBED_CLOSED, &err);
    }
    e->first = NULL;
    vx_mutex_unlock(&e->lock);
}

static void *work(void *ctx) {
    vx_embedder *e = ctx;
    vx_torch_set_threads(e->threads,
                         NULL); /* OpenMP keeps this per thread; a failure costs speed */
    for (int n; (n = take_batch(e)) > 0;)
        run_batch(e, n);
    refuse_line(e);
    return NULL;
}

/* ---- callers ---------------------------------------------------------------------------------*/

int vx_embedder_run(vx_embedder *e, const float *clips, int n_clips, float *ret_vectors,
                    vx_err *err) {
    if (n_clips < 1)
        return VX_FAIL(err, -EINVAL, "%d clips to embed", n_clips);
    request own = {.clips = clips, .vectors = ret_vectors, .n_clips = n_clips};
    vx_mutex_lock(&e->lock);
    if (e->closing) {
        vx_mutex_unlock(&e->lock);
        return VX_FAIL(err, VX_EMBED_CLOSED, "model %s is shutting down", e->info.name);
    }
    e->n_callers++;
    if (e->first)
        e->last->next = &own;
    else
        e->first = &own;
    e->last = &own;
    vx_cond_signal(&e->work);
    while (!own.done)
        vx_cond_wait(&e->news, &e->lock);
    e->n_callers--;
    vx_cond_broadcast(&e->news);
    vx_mutex_unlock(&e->lock);
    if (own.code && err)
        *err = own.err;
    return own.code;
}

void vx_embedder_get_stats(vx_embedder *e, vx_embedder_stats *ret_stats) {
    vx_mutex_lock(&e->lock);
    *ret_stats = e->stats;
    vx_mutex_unlock(&e->lock);
}

const vx_model_info *vx_embedder_info(const vx_embedder *e) {
    return &e->info;
}

/* ---- opening and closing ---------------------------------------------------------------------*/

/* Where and how to run: the first variant of the manifest that the wish and the machine allow. */
typedef struct choice {
    const vx_variant *variant;
    char device[16];
} choice;

/* Why this variant cannot run as wished, into err; 0 when it can. */
static int try_variant(const vx_variant *v, const vx_embedder_params *p, const char *wish,
                       char device[16], vx_err *err) {
    bool anywhere = !strcmp(wish, "auto");
    if (!anywhere && strncmp(wish, v->device, strlen(v->device)))
        return VX_FAIL(err, VX_EMBED_NO_DEVICE, "the package has no variant for %s", wish);
    if (p->dtype && strcmp(p->dtype, v->dtype))
        return VX_FAIL(err, VX_EMBED_NO_DEVICE, "the package has no %s variant for %s", p->dtype,
                       wish);
    if (!strcmp(v->device, "cpu")) {
        snprintf(device, 16, "cpu");
        if (v->needs_amx && !p->dtype && !vx_torch_cpu_has_amx())
            return VX_FAIL(err, VX_EMBED_NO_DEVICE, "this CPU has no AMX for %s", v->dtype);
        return 0;
    }
    snprintf(device, 16, "%s", anywhere ? "cuda:0" : wish);
    int64_t free_bytes, total_bytes;
    int r = vx_torch_memory(device, &free_bytes, &total_bytes, err);
    if (r)
        return r < 0 ? r : (err->code = VX_EMBED_NO_DEVICE);
    if (free_bytes < v->memory_bytes)
        return VX_FAIL(err, VX_EMBED_NO_DEVICE, "%s has %.1f GiB free of %.1f, %.1f are needed",
                       device, (double)free_bytes / 0x1p30, (double)total_bytes / 0x1p30,
                       (double)v->memory_bytes / 0x1p30);
    return 0;
}

static int choose(const vx_package *package, const vx_embedder_params *p, choice *ret,
                  vx_err *err) {
    const char *wish = p->device ? p->device : "auto";
    if (strcmp(wish, "auto") && strcmp(wish, "cpu") && strncmp(wish, "cuda:", 5))
        return VX_FAIL(err, VX_EMBED_NO_DEVICE, "device '%.40s' is not auto, cpu or cuda:N", wish);
    int r = VX_EMBED_NO_DEVICE;
    for (int i = 0; i < package->n_variants; i++) {
        r = try_variant(&package->variants[i], p, wish, ret->device, err);
        if (!r)
            return ret->variant = &package->variants[i], 0;
    }
    return VX_WRAP(err, "model %s", package->info.name), r;
}

static int load_module(vx_embedder *e, const vx_package *package, const choice *how, vx_err *err) {
    char path[sizeof package->dir + sizeof how->variant->file];
    snprintf(path, sizeof path, "%s/%s", package->dir, how->variant->file);
    int r = vx_torch_load(path, how->device, &e->module, err);
    if (r == VX_TORCH_OUT_OF_MEMORY || r == VX_TORCH_NO_DEVICE)
        return err->code = VX_EMBED_NO_DEVICE;
    return r > 0 ? (err->code = VX_EMBED_BAD_PACKAGE) : r;
}

static int allocate(vx_embedder *e, vx_err *err) {
    const vx_model_info *m = &e->info;
    e->clip_floats = (size_t)m->n_frames * 3 * (size_t)m->preprocess.width_px *
                     (size_t)m->preprocess.height_px; /* the manifest's limits keep it < 2^28 */
    e->tickets = vx_new_array((size_t)e->max_batch, sizeof(ticket));
    e->batch_vectors = vx_new_array((size_t)e->max_batch * (size_t)m->dim, sizeof(float));
    if (e->max_batch > 1)
        e->batch_clips = vx_new_array((size_t)e->max_batch * e->clip_floats, sizeof(float));
    if (!e->tickets || !e->batch_vectors || (e->max_batch > 1 && !e->batch_clips))
        return VX_FAIL(err, -ENOMEM, "no memory for batches of %d clips", e->max_batch);
    return 0;
}

/* One clip through the worker: proves dim, shape and unit length, and warms up the operators. */
static int probe(vx_embedder *e, const char *file, vx_err *err) {
    VX_AUTO_FREE float *clip = vx_new_array(e->clip_floats, sizeof(float));
    VX_AUTO_FREE float *vector = vx_new_array((size_t)e->info.dim, sizeof(float));
    if (!clip || !vector)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    for (size_t i = 0; i < e->clip_floats; i++)
        clip[i] = (float)(i % 251) / 125.0f - 1.0f; /* any picture but an empty one */
    int r = vx_embedder_run(e, clip, 1, vector, err);
    vx_mutex_lock(&e->lock);
    e->stats = (vx_embedder_stats){0};
    vx_mutex_unlock(&e->lock);
    if (r == -EIO)
        return VX_WRAP(err, "%s", file), err->code = VX_EMBED_BAD_PACKAGE;
    return r == -ENOMEM ? (err->code = VX_EMBED_NO_DEVICE) : r;
}

static int start(vx_embedder *e, const vx_package *package, const vx_embedder_params *p,
                 vx_err *err) {
    choice how = {0};
    int r = choose(package, p, &how, err);
    if (r)
        return r;
    e->info = package->info;
    snprintf(e->info.device, sizeof e->info.device, "%s", how.device);
    snprintf(e->info.dtype, sizeof e->info.dtype, "%s", how.variant->dtype);
    e->max_batch = p->max_batch > 0 ? p->max_batch : how.variant->max_batch;
    e->threads = p->threads > 0 ? p->threads : vx_thread_cores();
    if ((r = allocate(e, err)) || (r = load_module(e, package, &how, err)) ||
        (r = vx_thread_start(&e->worker, "vx-embed", work, e, err)))
        return r;
    e->has_worker = true;
    return probe(e, how.variant->file, err);
}

int vx_embedder_open(const vx_embedder_params *params, vx_embedder **ret_embedder, vx_err *err) {
    vx_err unread; /* the text is built upon below, so there must be one */
    err = err ? err : &unread;
    VX_AUTO_FREE vx_package *package = vx_new(vx_package);
    VX_AUTO(vx_embedder) e = vx_new(vx_embedder);
    if (!package || !e)
        return VX_FAIL(err, -ENOMEM, "no memory for an embedder");
    vx_mutex_init(&e->lock);
    vx_cond_init(&e->work);
    vx_cond_init(&e->news);
    int r = vx_package_read(params->models_dir, params->name, package, err);
    if (r || (r = start(e, package, params, err)))
        return r;
    *ret_embedder = vx_take(e);
    return 0;
}

vx_embedder *vx_embedder_free(vx_embedder *e) {
    if (!e)
        return NULL;
    vx_mutex_lock(&e->lock);
    e->closing = true;
    vx_cond_broadcast(&e->work);
    vx_mutex_unlock(&e->lock);
    if (e->has_worker)
        pthread_join(e->worker, NULL);
    vx_mutex_lock(&e->lock);
    while (e->n_callers > 0)
        vx_cond_wait(&e->news, &e->lock);
    vx_mutex_unlock(&e->lock);
    vx_torch_free(e->module);
    free(e->tickets);
    free(e->batch_clips);
    free(e->batch_vectors);
    vx_cond_done(&e->work);
    vx_cond_done(&e->news);
    vx_mutex_done(&e->lock);
    free(e);
    return NULL;
}
