/* shots.c — TransNet V2 over a whole video: pictures in, one probability per frame out.
 *
 * The network takes windows of 100 frames, of which the middle 50 count; the next window starts 50
 * frames later. Frames pass through a buffer of a few windows, so memory does not depend on the
 * length of the video. The first frame is repeated 25 times in front, the last one as often as it
 * takes to fill the last window, as the authors of the network do; Curator does not pad the end.
 *
 * Threads  `lock` guards the slot, the flags and the count of callers. A caller puts its request
 *          into the free slot and sleeps until it is done; the worker owns the module. There is one
 *          worker because libtorch keeps a thread pool for each thread that runs a module.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "shots_package.h"
#include "small_pictures.h"
#include "torch/torch_shim.h"

enum {
    WIDTH = VX_SMALL_WIDTH,
    HEIGHT = VX_SMALL_HEIGHT,
    FRAME_BYTES = VX_SMALL_BYTES,
    WINDOW = 100,
    HOP = 50,
    MARGIN = 25,
};

typedef struct request {
    const uint8_t *windows; /* [n, length, 27, 48, 3] */
    float *probability;     /* [n, length] */
    int n, length;
    int code;
    vx_err err;
    bool done;
} request;

struct vx_shots {
    vx_shots_info info;
    int max_batch;
    char path[PATH_MAX]; /* of the module */
    vx_torch_module *module;
    bool lost; /* its device, at the last run; the worker's alone */

    vx_mutex lock;
    vx_cond work;    /* the slot was filled, or closing */
    vx_cond changed; /* the slot is free, a request is done, or a caller has left */
    request *slot VX_GUARDED;
    bool closing VX_GUARDED;
    int n_callers VX_GUARDED;
    pthread_t worker;
    bool has_worker;
};

/* ---- the worker ---- */

/* Of a device that was lost. VX_TORCH_DEVICE_LOST: it still is. */
static int load_again(vx_shots *shots, vx_err *err) {
    vx_torch_module *fresh = NULL;
    if (vx_torch_load(shots->path, shots->info.device, &fresh, err))
        return err->code = VX_TORCH_DEVICE_LOST;
    vx_torch_free(shots->module);
    shots->module = fresh;
    return 0;
}

static void run_request(vx_shots *shots, request *r) {
    const vx_torch_view input = {.data = (void *)r->windows,
                                 .dtype = VX_TORCH_U8,
                                 .n_dims = 5,
                                 .shape = {r->n, r->length, HEIGHT, WIDTH, 3}};
    const vx_torch_view output = {
        .data = r->probability, .dtype = VX_TORCH_F32, .n_dims = 2, .shape = {r->n, r->length}};
    r->code = shots->lost ? load_again(shots, &r->err) : 0;
    if (!r->code)
        r->code = vx_torch_run(shots->module, &input, 1, &output, &r->err);
    shots->lost = r->code == VX_TORCH_DEVICE_LOST;
    if (r->code > 0)
        r->code = r->err.code = r->code == VX_TORCH_OUT_OF_MEMORY ? -ENOMEM
                                : shots->lost                     ? -EHOSTDOWN
                                                                  : -EIO;
    for (int i = 0; !r->code && i < r->n * r->length; i++)
        if (!(r->probability[i] >= 0 && r->probability[i] <= 1))
            r->code = VX_FAIL(&r->err, -EIO, "it returns %g, which is not a probability",
                              (double)r->probability[i]);
    if (r->code)
        VX_WRAP(&r->err, "model " VX_SHOTS_MODEL);
}

static void *work(void *ctx) {
    vx_shots *shots = ctx;
    vx_torch_set_threads(vx_thread_cores(), NULL); /* a failure costs only speed */
    vx_mutex_lock(&shots->lock);
    for (;;) {
        while (!shots->slot && !shots->closing)
            vx_cond_wait(&shots->work, &shots->lock);
        request *r = shots->slot;
        if (!r)
            break;
        vx_mutex_unlock(&shots->lock);
        run_request(shots, r);
        vx_mutex_lock(&shots->lock);
        r->done = true;
        shots->slot = NULL;
        vx_cond_broadcast(&shots->changed);
    }
    vx_mutex_unlock(&shots->lock);
    return NULL;
}

/* Has the worker run n windows of `length` frames each. */
static int predict_windows(vx_shots *shots, const uint8_t *windows, int n, int length,
                           float *ret_probability, vx_err *err) {
    request r = {.windows = windows, .probability = ret_probability, .n = n, .length = length};
    vx_mutex_lock(&shots->lock);
    shots->n_callers++;
    while (shots->slot && !shots->closing)
        vx_cond_wait(&shots->changed, &shots->lock);
    bool closing = shots->closing;
    if (!closing) {
        shots->slot = &r;
        vx_cond_signal(&shots->work);
        while (!r.done)
            vx_cond_wait(&shots->changed, &shots->lock);
    }
    shots->n_callers--;
    vx_cond_broadcast(&shots->changed);
    vx_mutex_unlock(&shots->lock);
    if (closing)
        return VX_FAIL(err, VX_SHOTS_CLOSED, "model " VX_SHOTS_MODEL " is shutting down");
    if (r.code && err)
        *err = r.err;
    return r.code;
}

/* ---- a video in windows ---- */

typedef struct film {
    vx_shots *shots;
    bool curator;
    int64_t n_frames, n_predicted;
    uint8_t *buffer; /* [HOP * (max_batch + 1), 27, 48, 3]: frames from n_predicted - MARGIN on */
    int n_buffered, capacity;
    uint8_t *batch;            /* [max_batch, WINDOW, 27, 48, 3] */
    float *window_probability; /* [max_batch, WINDOW] */
    float *probability;        /* [n_frames] */
} film;

static void film_clear(film *f) {
    free(f->buffer);
    free(f->batch);
    free(f->window_probability);
    free(f->probability);
}

/* Predicts for the n whole windows at the start of the buffer, or for one of fewer frames; keeps what
 * the next window needs. */
static int predict_buffered(film *f, int n, int length, vx_err *err) {
    size_t window_bytes = (size_t)length * FRAME_BYTES;
    for (int i = 0; i < n; i++)
        memcpy(f->batch + (size_t)i * window_bytes, f->buffer + (size_t)i * HOP * FRAME_BYTES,
               window_bytes);
    int rc = predict_windows(f->shots, f->batch, n, length, f->window_probability, err);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++)
        for (int k = MARGIN; k < MARGIN + HOP && k < length && f->n_predicted < f->n_frames; k++)
            f->probability[f->n_predicted++] = f->window_probability[i * length + k];
    int used = n * HOP < f->n_buffered ? n * HOP : f->n_buffered;
    f->n_buffered -= used;
    memmove(f->buffer, f->buffer + (size_t)used * FRAME_BYTES, (size_t)f->n_buffered * FRAME_BYTES);
    return 0;
}

static int push(film *f, const uint8_t *picture, vx_err *err) {
    memcpy(f->buffer + (size_t)f->n_buffered++ * FRAME_BYTES, picture, FRAME_BYTES);
    return f->n_buffered < f->capacity ? 0 : predict_buffered(f, f->shots->max_batch, WINDOW, err);
}

/* All pictures of the video, the first one also in front. */
static int push_all(film *f, const vx_shots_film *given, vx_small_pictures *pictures, vx_err *err) {
    uint8_t picture[FRAME_BYTES];
    for (int64_t frame = 0; frame < f->n_frames;) {
        if (given->on_progress && !given->on_progress(given->ctx, frame, f->n_frames))
            return VX_FAIL(err, VX_SHOTS_STOPPED, "the detection of shots was stopped");
        bool there = false;
        int rc = vx_small_pictures_take(pictures, picture, &there, err);
        for (int i = 0; there && !rc && frame == 0 && i < MARGIN; i++)
            rc = push(f, picture, err);
        if (there && !rc)
            rc = push(f, picture, err);
        if (rc)
            return rc;
        frame += there;
    }
    return 0;
}

/* After the last frame: predicts for what is still in the buffer, padded with its last frame. */
static int predict_rest(film *f, vx_err *err) {
    int rc = 0;
    while (!rc && f->n_predicted < f->n_frames) {
        int whole = (f->n_buffered - HOP) / HOP; /* windows of 100 frames that are complete */
        if (whole > 0) {
            rc = predict_buffered(f, whole, WINDOW, err);
        } else if (f->curator) {
            rc = predict_buffered(f, 1, f->n_buffered, err);
        } else {
            uint8_t last[FRAME_BYTES];
            memcpy(last, f->buffer + (size_t)(f->n_buffered - 1) * FRAME_BYTES, sizeof last);
            while (!rc && f->n_buffered < WINDOW && f->n_predicted < f->n_frames)
                rc = push(f, last, err);
        }
    }
    return rc;
}

static int film_init(film *f, vx_err *err) {
    size_t batch = (size_t)f->shots->max_batch;
    f->capacity = (int)((batch + 1) * HOP);
    f->buffer = vx_new_array((size_t)f->capacity, FRAME_BYTES);
    f->batch = vx_new_array(batch * WINDOW, FRAME_BYTES);
    f->window_probability = vx_new_array(batch * WINDOW, sizeof(float));
    f->probability = vx_new_array((size_t)f->n_frames, sizeof(float));
    if (!f->buffer || !f->batch || !f->window_probability || !f->probability)
        return VX_FAIL(err, -ENOMEM, "no memory for the windows of %lld frames",
                       (long long)f->n_frames);
    return 0;
}

int vx_shots_predict(vx_shots *shots, const vx_shots_film *given, float **ret_probability,
                     vx_err *err) {
    film f = {.shots = shots,
              .curator = given->curator,
              .n_frames = vx_media_get_info(given->media)->n_frames};
    const vx_small_pictures_params wish = {given->media, given->decode_threads, given->decoder};
    VX_AUTO(vx_small_pictures) pictures = NULL;
    int rc = film_init(&f, err);
    if (!rc)
        rc = vx_small_pictures_start(&wish, &pictures, err);
    if (!rc)
        rc = push_all(&f, given, pictures, err);
    if (!rc)
        rc = predict_rest(&f, err);
    if (!rc)
        *ret_probability = vx_take(f.probability);
    film_clear(&f);
    return rc;
}

/* ---- opening and closing ---- */

static bool variant_runs(const vx_shots_variant *v, const char *device, char ret_device[16],
                         vx_err *err) {
    bool anywhere = !strcmp(device, "auto");
    if (!anywhere && strncmp(device, v->device, strlen(v->device)))
        return VX_FAIL(err, VX_SHOTS_BAD_PACKAGE, "it has no variant for %s", device), false;
    snprintf(ret_device, 16, "%s",
             !strcmp(v->device, "cpu") ? "cpu" : (anywhere ? "cuda:0" : device));
    if (!strcmp(v->device, "cpu"))
        return !v->needs_amx || vx_torch_cpu_has_amx();
    int64_t free_bytes, total_bytes;
    return !vx_torch_memory(ret_device, &free_bytes, &total_bytes, err) &&
           free_bytes >= v->memory_bytes;
}

static int load(vx_shots *shots, const vx_shots_package *package, const char *device, vx_err *err) {
    const vx_shots_variant *v = NULL;
    for (int i = 0; i < package->n_variants && !v; i++)
        if (variant_runs(&package->variants[i], device, shots->info.device, err))
            v = &package->variants[i];
    if (!v)
        return VX_FAIL(err, VX_SHOTS_BAD_PACKAGE, "nothing in %s runs on device %s", package->dir,
                       device);
    shots->max_batch = v->max_batch;
    snprintf(shots->info.dtype, sizeof shots->info.dtype, "%s", v->dtype);
    snprintf(shots->path, sizeof shots->path, "%s/%s", package->dir, v->file);
    int rc = vx_torch_load(shots->path, shots->info.device, &shots->module, err);
    return rc > 0 ? (err->code = VX_SHOTS_BAD_PACKAGE) : rc;
}

/* Runs one window of noise, to check the shapes and to warm up. */
static int probe(vx_shots *shots, vx_err *err) {
    VX_AUTO_FREE uint8_t *window = vx_new_array(WINDOW, FRAME_BYTES);
    float probability[WINDOW];
    if (!window)
        return VX_FAIL(err, -ENOMEM, "no memory for a window");
    for (size_t i = 0; i < (size_t)WINDOW * FRAME_BYTES; i++)
        window[i] = (uint8_t)(i * 7 % 251);
    int rc = predict_windows(shots, window, 1, WINDOW, probability, err);
    return rc == -EIO ? (err->code = VX_SHOTS_BAD_PACKAGE) : rc;
}

int vx_shots_open(const char *models_dir, const char *device, vx_shots **ret_shots, vx_err *err) {
    vx_err unread; /* the text is read below, so there must be one */
    err = err ? err : &unread;
    VX_AUTO(vx_shots) shots = vx_new(vx_shots);
    VX_AUTO_FREE vx_shots_package *package = vx_new(vx_shots_package);
    if (!shots || !package)
        return VX_FAIL(err, -ENOMEM, "no memory for model " VX_SHOTS_MODEL);
    vx_mutex_init(&shots->lock);
    vx_cond_init(&shots->work);
    vx_cond_init(&shots->changed);
    int rc = vx_shots_package_read(models_dir, package, err);
    if (rc)
        return rc;
    shots->info = package->info;
    rc = load(shots, package, device ? device : "auto", err);
    if (!rc)
        rc = vx_thread_start(&shots->worker, "vx-shots", work, shots, err);
    shots->has_worker = !rc;
    if (!rc)
        rc = probe(shots, err);
    if (!rc)
        *ret_shots = vx_take(shots);
    return rc;
}

vx_shots *vx_shots_free(vx_shots *shots) {
    if (!shots)
        return NULL;
    vx_mutex_lock(&shots->lock);
    shots->closing = true;
    vx_cond_broadcast(&shots->work);
    vx_cond_broadcast(&shots->changed);
    while (shots->n_callers > 0)
        vx_cond_wait(&shots->changed, &shots->lock);
    vx_mutex_unlock(&shots->lock);
    if (shots->has_worker)
        pthread_join(shots->worker, NULL);
    vx_torch_free(shots->module);
    vx_cond_done(&shots->work);
    vx_cond_done(&shots->changed);
    vx_mutex_done(&shots->lock);
    free(shots);
    return NULL;
}

const vx_shots_info *vx_shots_get_info(const vx_shots *shots) {
    return &shots->info;
}
