/* nvdec_pool.c — lends living decoders.
 *
 * A mapped picture always has the size of the decoder's class, with the coded picture in its top left
 * corner. With outputs of the picture's own size, a decoder that had been reconfigured several times gave
 * addresses of buffers too small for the present size: it had kept those that were not in use under the
 * size before (driver 580.159.04). The corner is the coded picture and not the shown one because sides
 * that are no multiple of 4 came out scaled.
 *
 * The lock is never held during a call of the driver that may take long: a new decoder's place and
 * memory are reserved first, and a decoder to destroy is taken out of the list first.
 */
#include "nvdec_pool.h"

#include <errno.h>

#include "base/clock.h"
#include "base/mem.h"

void vx_nvdec_pool_init(vx_nvdec_pool *pool, vx_nvdec_caps *caps, int max_decoders,
                        int64_t max_bytes) {
    *pool = (vx_nvdec_pool){.driver = caps->driver,
                            .caps = caps,
                            .patience_us = 1000000,
                            .stats = {.max_decoders = max_decoders, .max_bytes = max_bytes}};
    vx_mutex_init(&pool->lock);
    vx_cond_init(&pool->returned);
}

void vx_nvdec_pool_done(vx_nvdec_pool *pool) {
    vx_nvdec_pool_trim(pool, 0);
    vx_cond_done(&pool->returned);
    vx_mutex_done(&pool->lock);
}

vx_nvdec_class vx_nvdec_class_of(vx_nvdec_caps *caps, const vx_nvdec_format *format) {
    static const unsigned sizes[][2] = {{1920, 1088}, {1088, 1920}, {4096, 2304}, {2304, 4096}};
    vx_nvdec_class c = {.codec = format->codec, .bit_depth = format->bit_depth};
    unsigned card_w, card_h;
    vx_nvdec_caps_max_size(caps, format, &card_w, &card_h);
    for (size_t i = 0; i < VX_LEN(sizes); i++) {
        c.max_w = sizes[i][0] < card_w ? sizes[i][0] : card_w;
        c.max_h = sizes[i][1] < card_h ? sizes[i][1] : card_h;
        if (format->coded_w <= c.max_w && format->coded_h <= c.max_h)
            return c;
    }
    c.max_w = card_w;
    c.max_h = card_h;
    return c;
}

/* Measured on an H100 with H.264 and 8 output surfaces: 95 MiB at 1920x1088, 213 at 3840x2160, 391 at
 * 4096x4096: 55 MiB and some 20 bytes a pixel. Samples of two bytes are counted twice. */
int64_t vx_nvdec_class_bytes(const vx_nvdec_class *c) {
    int64_t pixels = (int64_t)c->max_w * c->max_h;
    return (INT64_C(55) << 20) + 20 * pixels * (c->bit_depth > 8 ? 2 : 1);
}

static bool is_same_class(const vx_nvdec_class *a, const vx_nvdec_class *b) {
    return a->codec == b->codec && a->bit_depth == b->bit_depth && a->max_w == b->max_w &&
           a->max_h == b->max_h;
}

static bool is_same_picture(const vx_nvdec_geometry *a, const vx_nvdec_geometry *b) {
    return a->coded_w == b->coded_w && a->coded_h == b->coded_h;
}

static void destroy(const vx_card_driver *driver, vx_nvdec_decoder *decoder) {
    if (decoder->handle)
        driver->cuvid->cuvidDestroyDecoder(decoder->handle);
    for (size_t i = 0; i < VX_LEN(decoder->events); i++)
        if (decoder->events[i])
            driver->cuda->cuEventDestroy(decoder->events[i]);
    if (decoder->stream)
        driver->cuda->cuStreamDestroy(decoder->stream);
    free(decoder);
}

static CUresult create_handle(const vx_card_driver *driver, vx_nvdec_decoder *decoder) {
    const vx_nvdec_geometry *g = &decoder->geometry;
    bool deep = decoder->made_for.bit_depth > 8;
    CUVIDDECODECREATEINFO info = {
        .ulWidth = g->coded_w,
        .ulHeight = g->coded_h,
        .ulNumDecodeSurfaces = g->n_surfaces,
        .CodecType = decoder->made_for.codec,
        .ChromaFormat = cudaVideoChromaFormat_420,
        .ulCreationFlags = cudaVideoCreate_PreferCUVID,
        .bitDepthMinus8 = (unsigned)decoder->made_for.bit_depth - 8,
        .ulMaxWidth = decoder->made_for.max_w,
        .ulMaxHeight = decoder->made_for.max_h,
        .display_area = {.right = (short)g->coded_w, .bottom = (short)g->coded_h},
        .target_rect = {.right = (short)g->coded_w, .bottom = (short)g->coded_h},
        .OutputFormat = deep ? cudaVideoSurfaceFormat_P016 : cudaVideoSurfaceFormat_NV12,
        .DeinterlaceMode = cudaVideoDeinterlaceMode_Weave,
        .ulTargetWidth = decoder->made_for.max_w,
        .ulTargetHeight = decoder->made_for.max_h,
        .ulNumOutputSurfaces = VX_NVDEC_OUTPUTS,
    };
    return driver->cuvid->cuvidCreateDecoder(&decoder->handle, &info);
}

static int create(const vx_card_driver *driver, const vx_nvdec_class *c,
                  const vx_nvdec_geometry *geometry, vx_nvdec_decoder **ret_decoder, vx_err *err) {
    vx_nvdec_decoder *decoder = vx_new(vx_nvdec_decoder);
    if (!decoder)
        return VX_FAIL(err, -ENOMEM, "no memory for a decoder");
    decoder->made_for = *c;
    decoder->geometry = *geometry;
    decoder->bytes = vx_nvdec_class_bytes(c);
    const char *call = "cuStreamCreate";
    CUresult result = driver->cuda->cuStreamCreate(&decoder->stream, CU_STREAM_NON_BLOCKING);
    for (size_t i = 0; result == CUDA_SUCCESS && i < VX_LEN(decoder->events); i++) {
        call = "cuEventCreate";
        result = driver->cuda->cuEventCreate(&decoder->events[i],
                                             CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING);
    }
    if (result == CUDA_SUCCESS) {
        call = "cuvidCreateDecoder";
        result = create_handle(driver, decoder);
    }
    if (result != CUDA_SUCCESS) {
        destroy(driver, decoder);
        return vx_card_driver_fail(driver, result, call, err);
    }
    *ret_decoder = decoder;
    return 0;
}

/* Makes a decoder of the right class ready for the picture size. */
static int reconfigure(vx_nvdec_pool *pool, vx_nvdec_decoder *decoder,
                       const vx_nvdec_geometry *geometry, vx_err *err) {
    vx_nvdec_geometry *g = &decoder->geometry;
    if (is_same_picture(g, geometry) && g->n_surfaces >= geometry->n_surfaces)
        return 0;
    unsigned n = g->n_surfaces > geometry->n_surfaces ? g->n_surfaces : geometry->n_surfaces;
    *g = *geometry;
    g->n_surfaces = n;
    CUVIDRECONFIGUREDECODERINFO info = {
        .ulWidth = g->coded_w,
        .ulHeight = g->coded_h,
        .ulTargetWidth = decoder->made_for.max_w,
        .ulTargetHeight = decoder->made_for.max_h,
        .ulNumDecodeSurfaces = n,
        .display_area = {.right = (short)g->coded_w, .bottom = (short)g->coded_h},
        .target_rect = {.right = (short)g->coded_w, .bottom = (short)g->coded_h},
    };
    CUresult result = pool->driver->cuvid->cuvidReconfigureDecoder(decoder->handle, &info);
    vx_mutex_lock(&pool->lock);
    pool->stats.n_reconfigured++;
    vx_mutex_unlock(&pool->lock);
    return result == CUDA_SUCCESS
               ? 0
               : vx_card_driver_fail(pool->driver, result, "cuvidReconfigureDecoder", err);
}

/* Takes an idle decoder of the class out of the list, one of the same picture size first. */
static vx_nvdec_decoder *find_idle_locked(vx_nvdec_pool *pool, const vx_nvdec_class *c,
                                          const vx_nvdec_geometry *geometry)
    VX_REQUIRES(&pool->lock) {
    vx_nvdec_decoder **found = NULL;
    for (vx_nvdec_decoder **at = &pool->idle; *at; at = &(*at)->next) {
        if (!is_same_class(&(*at)->made_for, c))
            continue;
        if (!found)
            found = at;
        if (is_same_picture(&(*at)->geometry, geometry)) {
            found = at;
            break;
        }
    }
    vx_nvdec_decoder *decoder = found ? *found : NULL;
    if (decoder)
        *found = decoder->next;
    return decoder;
}

static void forget_locked(vx_nvdec_pool *pool, int64_t bytes) VX_REQUIRES(&pool->lock) {
    pool->stats.n_decoders--;
    pool->stats.bytes -= bytes;
}

static bool has_lent_locked(const vx_nvdec_pool *pool, const vx_nvdec_class *c)
    VX_REQUIRES(&pool->lock) {
    for (const vx_nvdec_decoder *d = pool->lent; d; d = d->next)
        if (is_same_class(&d->made_for, c))
            return true;
    return false;
}

/* Destroys the decoder that has been idle longest, if at least for so long. False: there is none.
 * Releases the lock meanwhile. */
static bool destroy_oldest_locked(vx_nvdec_pool *pool, int64_t idle_us) VX_REQUIRES(&pool->lock) {
    vx_nvdec_decoder **at = &pool->idle;
    while (*at && (*at)->next)
        at = &(*at)->next;
    if (!*at || (idle_us > 0 && vx_clock_monotonic_us() - (*at)->idle_since_us < idle_us))
        return false;
    vx_nvdec_decoder *oldest = vx_take(*at);
    vx_mutex_unlock(&pool->lock);
    int64_t bytes = oldest->bytes;
    destroy(pool->driver, oldest);
    vx_mutex_lock(&pool->lock);
    forget_locked(pool, bytes);
    vx_cond_broadcast(&pool->returned);
    return true;
}

/* Makes one more decoder, whose place is reserved before. Releases the lock meanwhile. */
static int create_locked(vx_nvdec_pool *pool, const vx_nvdec_class *c,
                         const vx_nvdec_geometry *geometry, vx_nvdec_decoder **ret_decoder,
                         vx_err *err) VX_REQUIRES(&pool->lock) {
    int64_t bytes = vx_nvdec_class_bytes(c);
    pool->stats.n_decoders++;
    pool->stats.bytes += bytes;
    vx_mutex_unlock(&pool->lock);
    int rc = create(pool->driver, c, geometry, ret_decoder, err);
    vx_mutex_lock(&pool->lock);
    if (rc == 0) {
        pool->stats.n_created++;
    } else {
        forget_locked(pool, bytes);
        vx_cond_broadcast(&pool->returned);
    }
    return rc;
}

/* One attempt. *ret_decoder stays NULL while a decoder must be waited for. */
static int try_take_locked(vx_nvdec_pool *pool, const vx_nvdec_class *c,
                           const vx_nvdec_geometry *geometry, vx_nvdec_decoder **ret_decoder,
                           vx_err *err) VX_REQUIRES(&pool->lock) {
    int64_t bytes = vx_nvdec_class_bytes(c);
    vx_nvdec_pool_stats *s = &pool->stats;
    for (bool refused = false;;) {
        *ret_decoder = find_idle_locked(pool, c, geometry);
        if (*ret_decoder)
            return 0;
        if (!refused && s->n_decoders < s->max_decoders && s->bytes + bytes <= s->max_bytes) {
            int rc = create_locked(pool, c, geometry, ret_decoder, err);
            if (rc != -ENOMEM)
                return rc;
            s->n_refused++;
            refused = true; /* but one may have come back meanwhile */
        } else if (destroy_oldest_locked(pool, has_lent_locked(pool, c) ? pool->patience_us : 0)) {
            refused = false;
        } else if (s->n_decoders > 0) {
            return 0;
        } else {
            return VX_FAIL(err, -ENOMEM, "the card has no memory for a decoder of %u x %u pixels",
                           c->max_w, c->max_h);
        }
    }
}

int vx_nvdec_pool_take(vx_nvdec_pool *pool, const vx_nvdec_format *format,
                       const vx_nvdec_geometry *geometry, vx_nvdec_decoder **ret_decoder,
                       vx_err *err) {
    enum { POLL_US = 100000 }; /* a decoder may have been idle for long enough */
    vx_nvdec_class c = vx_nvdec_class_of(pool->caps, format);
    vx_nvdec_decoder *decoder = NULL;
    vx_mutex_lock(&pool->lock);
    int rc = try_take_locked(pool, &c, geometry, &decoder, err);
    while (rc == 0 && !decoder) {
        vx_cond_wait_until(&pool->returned, &pool->lock, vx_clock_monotonic_us() + POLL_US);
        rc = try_take_locked(pool, &c, geometry, &decoder, err);
    }
    if (rc == 0) {
        decoder->next = pool->lent;
        pool->lent = decoder;
        pool->stats.n_lent++;
    }
    vx_mutex_unlock(&pool->lock);
    if (rc != 0)
        return rc;
    rc = reconfigure(pool, decoder, geometry, err);
    if (rc != 0) {
        vx_nvdec_pool_give(pool, decoder, true);
        return rc;
    }
    *ret_decoder = decoder;
    return 0;
}

void vx_nvdec_pool_give(vx_nvdec_pool *pool, vx_nvdec_decoder *decoder, bool broken) {
    vx_mutex_lock(&pool->lock);
    vx_nvdec_decoder **at = &pool->lent;
    while (*at != decoder)
        at = &(*at)->next;
    *at = decoder->next;
    pool->stats.n_lent--;
    decoder->idle_since_us = vx_clock_monotonic_us();
    if (!broken) {
        decoder->next = pool->idle;
        pool->idle = decoder;
    }
    vx_cond_broadcast(&pool->returned);
    vx_mutex_unlock(&pool->lock);
    if (!broken)
        return;
    int64_t bytes = decoder->bytes;
    destroy(pool->driver, decoder);
    vx_mutex_lock(&pool->lock);
    forget_locked(pool, bytes);
    vx_cond_broadcast(&pool->returned);
    vx_mutex_unlock(&pool->lock);
}

void vx_nvdec_pool_trim(vx_nvdec_pool *pool, int64_t keep_bytes) {
    vx_mutex_lock(&pool->lock);
    while (pool->stats.bytes > keep_bytes && destroy_oldest_locked(pool, 0))
        ;
    vx_mutex_unlock(&pool->lock);
}

vx_nvdec_pool_stats vx_nvdec_pool_get_stats(vx_nvdec_pool *pool) {
    vx_mutex_lock(&pool->lock);
    vx_nvdec_pool_stats stats = pool->stats;
    vx_mutex_unlock(&pool->lock);
    return stats;
}
