/* small_pictures.c — see the header.
 *
 * With a card the video is decoded in chunks that begin at key frames, so that no picture is decoded twice. The card
 * divides a chunk among all its decoders, which end about together: the pictures of one wait in the ring while the
 * next chunk is decoded. On the CPU one call decodes all, and the ring is short.
 */
#include "small_pictures.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "small.h"

enum {
    CARD_CHUNK = 32768, /* pictures at least: 131 groups of 250 for 28 decoders */
    CARD_RING = 2 * CARD_CHUNK,
    CPU_RING = 1024,
    WAIT_US = 100000,
};

struct vx_small_pictures {
    vx_small_pictures_params params;
    int64_t n;       /* of the video */
    int64_t *frames; /* [n] 0, 1, 2 … */
    int64_t *keys;   /* [n_keys] */
    int64_t n_keys;
    vx_small_plan *plan; /* NULL = no card makes them small */
    uint8_t *ring;       /* [capacity] pictures; number i lies at i % capacity */
    int64_t capacity;
    pthread_t thread;
    bool has_thread;

    vx_mutex lock;
    vx_cond changed;
    int64_t n_given VX_GUARDED, n_taken VX_GUARDED;
    bool stopping VX_GUARDED;
    int rc VX_GUARDED; /* of the decode */
    vx_err err;        /* constant once rc is set */
};

/* ---- on threads of the card ---- */

static void release_small(void *owner) {
    free(owner);
}

static int make_small(void *ctx, const vx_frame *frame, vx_card *card, vx_frame **ret_frame,
                      vx_err *err) {
    const vx_small_pictures *p = ctx;
    VX_AUTO_FREE uint8_t *rgb = vx_new_array(VX_SMALL_BYTES, 1);
    if (!rgb)
        return VX_FAIL(err, -ENOMEM, "no memory for a small picture");
    int rc = vx_small_on_card(p->plan, frame, card, rgb, err);
    if (rc)
        return rc;
    vx_frame like =
        vx_frame_view(VX_FRAME_RGB, rgb, VX_SMALL_WIDTH, VX_SMALL_HEIGHT, VX_SMALL_WIDTH * 3);
    like.number = frame->number;
    like.time_s = frame->time_s;
    rc = vx_frame_new(&like, release_small, rgb, ret_frame, err);
    if (!rc)
        rgb = NULL; /* the frame's */
    return rc;
}

/* ---- on the thread that decodes ---- */

static bool goes_on(void *ctx) {
    vx_small_pictures *p = ctx;
    vx_mutex_lock(&p->lock);
    bool on = !p->stopping;
    vx_mutex_unlock(&p->lock);
    return on;
}

/* Waits for a free place in the ring; NULL when stopping. */
static uint8_t *place_for(vx_small_pictures *p, int64_t number) {
    vx_mutex_lock(&p->lock);
    while (number - p->n_taken >= p->capacity && !p->stopping)
        vx_cond_wait(&p->changed, &p->lock);
    bool stopping = p->stopping;
    vx_mutex_unlock(&p->lock);
    return stopping ? NULL : p->ring + (size_t)(number % p->capacity) * VX_SMALL_BYTES;
}

static int on_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    (void)time_s;
    vx_small_pictures *p = ctx;
    const vx_frame *rgb = vx_picture_frame(picture);
    int rc = rgb->release == release_small
                 ? 0
                 : vx_picture_rgb_small(picture, VX_SMALL_WIDTH, VX_SMALL_HEIGHT, &rgb, err);
    uint8_t *to = rc ? NULL : place_for(p, frame);
    if (!to)
        return rc ? rc : VX_FAIL(err, VX_MEDIA_STOPPED, "decoding the video was stopped");
    for (int y = 0; y < VX_SMALL_HEIGHT; y++)
        memcpy(to + (size_t)y * VX_SMALL_WIDTH * 3, rgb->planes[0] + y * rgb->pitch_bytes[0],
               VX_SMALL_WIDTH * 3);
    vx_mutex_lock(&p->lock);
    p->n_given = frame + 1;
    vx_cond_broadcast(&p->changed);
    vx_mutex_unlock(&p->lock);
    return 0;
}

/* Where the chunk ends that begins at frame `from`. */
static int64_t chunk_end(const vx_small_pictures *p, int64_t from) {
    if (!p->plan)
        return p->n;
    for (int64_t i = 0; i < p->n_keys; i++)
        if (p->keys[i] >= from + CARD_CHUNK)
            return p->keys[i];
    return p->n;
}

static int decode(vx_small_pictures *p, vx_err *err) {
    int rc = 0;
    for (int64_t from = 0, to; from < p->n && !rc; from = to) {
        to = chunk_end(p, from);
        const vx_media_decode_params chunk = {.frames = p->frames + from,
                                              .n = to - from,
                                              .threads = p->params.threads,
                                              .decoder = p->params.decoder,
                                              .on_card_frame = p->plan ? make_small : NULL,
                                              .keep_going = goes_on,
                                              .on_picture = on_picture,
                                              .ctx = p};
        rc = vx_media_decode(p->params.media, &chunk, NULL, err);
    }
    return rc;
}

static void *run(void *ctx) {
    vx_small_pictures *p = ctx;
    int rc = decode(p, &p->err);
    vx_mutex_lock(&p->lock);
    p->rc = rc;
    vx_cond_broadcast(&p->changed);
    vx_mutex_unlock(&p->lock);
    return NULL;
}

/* ---- of the taker ---- */

int vx_small_pictures_take(vx_small_pictures *p, uint8_t *ret_picture, bool *ret_there,
                           vx_err *err) {
    vx_mutex_lock(&p->lock);
    int64_t until_us = vx_clock_monotonic_us() + WAIT_US, number = p->n_taken;
    while (p->n_given <= number && !p->rc && vx_cond_wait_until(&p->changed, &p->lock, until_us))
        ;
    bool there = p->n_given > number;
    int rc = there ? 0 : p->rc;
    vx_mutex_unlock(&p->lock);
    *ret_there = there;
    if (rc && err)
        *err = p->err;
    if (!there)
        return rc;
    memcpy(ret_picture, p->ring + (size_t)(number % p->capacity) * VX_SMALL_BYTES, VX_SMALL_BYTES);
    vx_mutex_lock(&p->lock);
    p->n_taken++;
    vx_cond_broadcast(&p->changed);
    vx_mutex_unlock(&p->lock);
    return 0;
}

static int prepare(vx_small_pictures *p, vx_err *err) {
    vx_card *card = p->params.decoder ? vx_decoder_get_card(p->params.decoder) : NULL;
    const vx_media_info *info = vx_media_get_info(p->params.media);
    if (card && vx_card_load(card, &vx_small_image, NULL) == 0)
        vx_small_plan_new(info->width_px, info->height_px, &p->plan,
                          NULL); /* too small: the CPU does it */
    p->n = info->n_frames;
    p->capacity = p->plan ? CARD_RING : CPU_RING;
    p->capacity = p->n < p->capacity ? p->n : p->capacity;
    p->frames = vx_new_array((size_t)p->n, sizeof *p->frames);
    p->ring = vx_new_array((size_t)p->capacity, VX_SMALL_BYTES);
    if (!p->frames || !p->ring)
        return VX_FAIL(err, -ENOMEM, "no memory for the small pictures of %lld frames",
                       (long long)p->n);
    for (int64_t i = 0; i < p->n; i++)
        p->frames[i] = i;
    return p->plan ? vx_media_key_frames(p->params.media, 0, &p->keys, &p->n_keys, err) : 0;
}

int vx_small_pictures_start(const vx_small_pictures_params *params,
                            vx_small_pictures **ret_pictures, vx_err *err) {
    VX_AUTO(vx_small_pictures) p = vx_new(vx_small_pictures);
    if (!p)
        return VX_FAIL(err, -ENOMEM, "no memory for small pictures");
    p->params = *params;
    vx_mutex_init(&p->lock);
    vx_cond_init(&p->changed);
    int rc = prepare(p, err);
    if (!rc)
        rc = vx_thread_start(&p->thread, "vx-pictures", run, p, err);
    p->has_thread = !rc;
    if (!rc)
        *ret_pictures = vx_take(p);
    return rc;
}

vx_small_pictures *vx_small_pictures_free(vx_small_pictures *p) {
    if (!p)
        return NULL;
    vx_mutex_lock(&p->lock);
    p->stopping = true;
    vx_cond_broadcast(&p->changed);
    vx_mutex_unlock(&p->lock);
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    vx_cond_done(&p->changed);
    vx_mutex_done(&p->lock);
    vx_small_plan_free(p->plan);
    free(p->frames);
    free(p->keys);
    free(p->ring);
    free(p);
    return NULL;
}
