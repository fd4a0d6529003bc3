/* decode_card.c — gives the card's pictures in order: copies within the card, or
 * in host memory.
 *
 * NVDEC maps few pictures at a time, so each is copied out at once. Where the caller
 * takes pictures on the card and this has memory for it, the copy stays there.
 *
 * The pictures come from several threads in the order in which the card decodes
 * them. All that will come is known from the plan, so each is kept until those
 * before it have been given; which ones a caller sees does not depend on
 * timing. The caller's thread gives them whenever vx_nvdec_decode asks it
 * whether to go on.
 *
 * Memory: a thread that brings a picture waits while MAX_HELD_BYTES are kept,
 * but only if the next picture is among them, so that the caller can give it:
 * else the one that is missing could be that of this very thread. A clip whose
 * pictures are more than that all together is decoded as one part, unless the caller makes small ones of
 * them; with several, those of a later part would pile up behind the first.
 */
#include "decode_card.h"

#include <errno.h>
#include <string.h>

#include "av_frame.h"
#include "decode_cpu.h"
#include "nvdec_parts.h"

enum { MAX_HELD_BYTES = 256 << 20 };

typedef struct card_run {
    vx_nvdec *nvdec;
    vx_media *media;
    const vx_media_decode_params *params;
    int64_t *frames; /* [n] all that will come, ascending */
    int64_t n;
    vx_picture *picture;
    int64_t next; /* the caller's thread alone writes it, with the lock */
    int64_t last; /* the last one given; -1 = none */
    int rc;       /* of the receiver, its error in err */
    vx_err *err;

    vx_mutex lock;
    vx_cond given;
    vx_frame **waiting VX_GUARDED; /* [n] */
    int64_t held_bytes VX_GUARDED;
    bool stopped VX_GUARDED; /* nothing is given any more */
} card_run;

/* ---- on the threads of the card ---- */

static int64_t bytes_of(const vx_frame *f) {
    return (int64_t)f->width_px * f->height_px * f->sample_bytes * 3 / 2;
}

/* One plane of samples with unused low bits, or half of one of interleaved
 * chroma (step 2). */
static void unpack_plane(const uint8_t *in, size_t in_pitch, int step, const vx_frame *f, int w,
                         int h, uint8_t *out, ptrdiff_t out_pitch) {
    for (int y = 0; y < h; y++, in += in_pitch, out += out_pitch) {
        if (f->sample_bytes == 1) {
            for (int x = 0; x < w; x++)
                out[x] = in[step * x];
        } else {
            const uint16_t *from = (const void *)in;
            uint16_t *to = (void *)out;
            for (int x = 0; x < w; x++)
                to[x] = (uint16_t)(from[step * x] >> f->low_bits);
        }
    }
}

/* Both planes, one below the other in rows of `pitch` bytes, from the card. The samples lie still. */
static int copy_planes(vx_card_work *work, const vx_frame *f, size_t pitch, uint8_t *rows,
                       vx_err *err) {
    size_t h = (size_t)f->height_px, ch = (h + 1) / 2;
    int rc = vx_card_copy_rows(work, f->planes[0], (size_t)f->pitch_bytes[0], rows, pitch, pitch, h,
                               err);
    if (rc == 0)
        rc = vx_card_copy_rows(work, f->planes[1], (size_t)f->pitch_bytes[1], rows + pitch * h,
                               pitch, pitch, ch, err);
    return rc == 0 ? vx_card_wait(work, err) : rc;
}

/* The picture in host memory as FFmpeg's decoder lays it out: planar, the
 * samples in the low bits. */
static int fill_planar(vx_card *card, const vx_frame *f, AVFrame *av, vx_err *err) {
    int cw = (f->width_px + 1) / 2, ch = (f->height_px + 1) / 2;
    size_t pitch = 2 * (size_t)cw * (size_t)f->sample_bytes;
    av->format = f->bit_depth == 8    ? AV_PIX_FMT_YUV420P
                 : f->bit_depth == 10 ? AV_PIX_FMT_YUV420P10
                                      : AV_PIX_FMT_YUV420P12;
    av->width = f->width_px;
    av->height = f->height_px;
    av->colorspace = (enum AVColorSpace)f->matrix;
    av->color_trc = (enum AVColorTransferCharacteristic)f->transfer;
    av->color_range = f->full_range ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    if (av_frame_get_buffer(av, 0) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture");
    VX_AUTO(vx_card_work) work = NULL;
    void *memory = NULL;
    int rc = vx_card_begin(card, &work, err);
    if (rc == 0)
        rc = vx_card_results(work, pitch * (size_t)(f->height_px + ch), &memory, err);
    if (rc == 0)
        rc = copy_planes(work, f, pitch, memory, err);
    if (rc != 0)
        return rc;
    const uint8_t *rows = memory;
    unpack_plane(rows, pitch, 1, f, f->width_px, f->height_px, av->data[0], av->linesize[0]);
    rows += pitch * (size_t)f->height_px;
    for (int i = 0; i < 2; i++)
        unpack_plane(rows + i * f->sample_bytes, pitch, 2, f, cw, ch, av->data[1 + i],
                     av->linesize[1 + i]);
    return 0;
}

static int fetch(vx_card *card, const vx_frame *f, vx_frame **ret_host, vx_err *err) {
    AVFrame *av = av_frame_alloc();
    int rc = av ? fill_planar(card, f, av, err) : VX_FAIL(err, -ENOMEM, "no memory for a picture");
    if (rc == 0)
        rc = vx_av_frame_wrap(av, f->orientation, f->number, f->time_s, ret_host, err);
    av_frame_free(&av);
    return rc;
}

/* ---- pictures that stay on the card ---- */

typedef struct kept {
    vx_card *card;
    vx_card_buffer *buffer;
} kept;

static void release_kept(void *owner) {
    kept *k = owner;
    vx_card_give(k->card, k->buffer);
    free(k);
}

static int fetch_kept(const vx_frame *frame, vx_frame **ret_host, vx_err *err) {
    const kept *k = frame->owner;
    return fetch(k->card, frame, ret_host, err);
}

static int wait_for(vx_card *card, CUstream stream, vx_err *err) {
    const vx_card_driver *driver = vx_card_get_driver(card);
    CUresult result = driver->cuda->cuStreamSynchronize(stream);
    return result == CUDA_SUCCESS ? 0
                                  : vx_card_driver_fail(driver, result, "cuStreamSynchronize", err);
}

/* A plane within the card, in the order of the frame's stream. */
static int copy_within(vx_card *card, const vx_frame *f, int plane, uint8_t *to, size_t pitch,
                       size_t n_rows, vx_err *err) {
    const vx_card_driver *driver = vx_card_get_driver(card);
    CUDA_MEMCPY2D copy = {
        .srcMemoryType = CU_MEMORYTYPE_DEVICE,
        .srcDevice = (CUdeviceptr)(uintptr_t)f->planes[plane],
        .srcPitch = (size_t)f->pitch_bytes[plane],
        .dstMemoryType = CU_MEMORYTYPE_DEVICE,
        .dstDevice = (CUdeviceptr)(uintptr_t)to,
        .dstPitch = pitch,
        .WidthInBytes = 2 * (size_t)((f->width_px + 1) / 2) * (size_t)f->sample_bytes,
        .Height = n_rows,
    };
    CUresult result = driver->cuda->cuMemcpy2DAsync(&copy, f->stream);
    return result == CUDA_SUCCESS ? 0 : vx_card_driver_fail(driver, result, "cuMemcpy2DAsync", err);
}

/* A copy of the mapped picture in memory of the card; *ret stays NULL where there is none left. */
static int keep(vx_card *card, const vx_frame *f, vx_frame **ret, vx_err *err) {
    enum { ALIGN = 256 }; /* rows begin where 16 bytes can be read at once */
    size_t row = 2 * (size_t)((f->width_px + 1) / 2) * (size_t)f->sample_bytes;
    size_t pitch = (row + ALIGN - 1) / ALIGN * ALIGN;
    size_t h = (size_t)f->height_px, ch = (h + 1) / 2;
    kept *k = vx_new(kept);
    if (!k)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture");
    *k = (kept){card, vx_card_take(card, pitch * (h + ch))};
    if (!k->buffer) {
        free(k);
        return 0;
    }
    uint8_t *luma = k->buffer->address, *chroma = luma + pitch * h;
    vx_frame like = *f;
    like.planes[0] = luma;
    like.planes[1] = chroma;
    like.pitch_bytes[0] = like.pitch_bytes[1] = (ptrdiff_t)pitch;
    like.stream = NULL;
    like.fetch = fetch_kept;
    int rc = copy_within(card, f, 0, luma, pitch, h, err);
    if (rc == 0)
        rc = copy_within(card, f, 1, chroma, pitch, ch, err);
    if (rc == 0)
        rc = wait_for(card, f->stream, err);
    if (rc == 0)
        rc = vx_frame_new(&like, release_kept, k, ret, err);
    if (rc != 0)
        release_kept(k);
    return rc;
}

static int64_t slot_of(const card_run *r, int64_t number) {
    int64_t low = 0, high = r->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (r->frames[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->n && r->frames[low] == number ? low : -1;
}

static int on_card_frame(void *ctx, const vx_frame *frame, bool requested, vx_err *err) {
    card_run *r = ctx;
    vx_frame *own = NULL;
    vx_card *card = vx_nvdec_get_card(r->nvdec);
    (void)requested;
    int rc = r->params->on_card ? keep(card, frame, &own, err) : 0;
    if (rc == 0 && !own) {
        rc = wait_for(card, frame->stream, err);
        if (rc == 0)
            rc = r->params->on_card_frame
                     ? r->params->on_card_frame(r->params->ctx, frame, card, &own, err)
                     : fetch(card, frame, &own, err);
    }
    if (rc != 0)
        return rc;
    int64_t slot = slot_of(r, frame->number), n_bytes = bytes_of(own);
    vx_mutex_lock(&r->lock);
    while (r->held_bytes > MAX_HELD_BYTES && r->waiting[r->next] && !r->stopped)
        vx_cond_wait(&r->given, &r->lock);
    if (slot >= 0 && !r->stopped) {
        r->waiting[slot] = vx_take(own);
        r->held_bytes += n_bytes;
    }
    vx_mutex_unlock(&r->lock);
    vx_frame_unref(own);
    return 0;
}

/* ---- on the caller's thread ---- */

static bool is_requested(const card_run *r, int64_t number) {
    const int64_t *frames = r->params->frames;
    int64_t low = 0, high = r->params->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (frames[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->params->n && frames[low] == number;
}

static int give(card_run *r, const vx_frame *frame) {
    const vx_media_decode_params *p = r->params;
    vx_picture_set(r->picture, frame);
    if (r->media->info.hdr == VX_MEDIA_SDR) /* the container need not say it */
        r->media->info.hdr = vx_media_hdr_of(frame->transfer);
    r->last = frame->number;
    return is_requested(r, frame->number)
               ? p->on_picture(p->ctx, frame->number, frame->time_s, r->picture, r->err)
               : p->on_extra(p->ctx, frame->number, frame->time_s, r->picture, r->err);
}

/* Gives what has come, in order. */
static void give_waiting(card_run *r) {
    vx_mutex_lock(&r->lock);
    while (r->rc == 0 && !r->stopped && r->next < r->n && r->waiting[r->next]) {
        vx_frame *frame = vx_take(r->waiting[r->next]);
        vx_mutex_unlock(&r->lock);
        r->rc = give(r, frame);
        vx_mutex_lock(&r->lock);
        r->next++;
        r->held_bytes -= bytes_of(frame);
        vx_frame_unref(frame);
        vx_cond_broadcast(&r->given);
    }
    vx_mutex_unlock(&r->lock);
}

static bool go_on(void *ctx) {
    card_run *r = ctx;
    const vx_media_decode_params *p = r->params;
    give_waiting(r);
    bool on = r->rc == 0 && (!p->keep_going || p->keep_going(p->ctx));
    if (!on) {
        vx_mutex_lock(&r->lock);
        r->stopped = true;
        vx_cond_broadcast(&r->given);
        vx_mutex_unlock(&r->lock);
    }
    return on;
}

/* The frames to give: what the card hands on, up to the last requested one.
 *   ret_bytes  of all their pictures, about */
static int list_frames(card_run *r, int64_t *ret_bytes) {
    const vx_media *media = r->media;
    const vx_media_decode_params *p = r->params;
    VX_AUTO_FREE uint8_t *action = NULL;
    int64_t n_packets = 0;
    int rc = vx_media_plan(media, p->frames, p->n, &action, &n_packets, r->err);
    if (rc != 0)
        return rc;
    vx_nvdec_thin(action, n_packets);
    r->frames = vx_new_array((size_t)media->info.n_frames, sizeof(*r->frames));
    if (!r->frames)
        return VX_FAIL(r->err, -ENOMEM, "no memory for %lld frame numbers",
                       (long long)media->info.n_frames);
    for (int64_t i = 0; i <= p->frames[p->n - 1]; i++) {
        bool comes = p->on_extra ? action[media->shown[i]] != VX_PLAN_DROP : is_requested(r, i);
        if (comes)
            r->frames[r->n++] = i;
    }
    vx_mutex_lock(&r->lock);
    r->waiting = vx_new_array((size_t)r->n, sizeof(vx_frame *));
    bool made = r->waiting;
    vx_mutex_unlock(&r->lock);
    *ret_bytes = r->n * media->par->width * media->par->height * 3 / 2;
    return made ? 0 : VX_FAIL(r->err, -ENOMEM, "no memory for %lld pictures", (long long)r->n);
}

static int read_peak(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    vx_media *media = ctx;
    (void)frame, (void)time_s, (void)err;
    media->peak_nits = vx_picture_frame(picture)->peak_nits;
    return 0;
}

/* How bright PQ pictures are is told by metadata that NVDEC does not give, so the CPU decodes the first
 * picture. */
static int learn_peak(vx_media *media, const vx_media_decode_params *params, vx_err *err) {
    static const int64_t first = 0;
    if (media->info.hdr != VX_MEDIA_PQ || media->peak_nits >= 0)
        return 0;
    const vx_media_decode_params one = {.frames = &first,
                                        .n = 1,
                                        .threads = params->threads,
                                        .on_picture = read_peak,
                                        .ctx = media};
    vx_media_stats stats;
    return vx_decode_on_cpu(media, &one, &stats, err);
}

static void run_done(card_run *r) {
    vx_mutex_lock(&r->lock);
    for (int64_t i = 0; r->waiting && i < r->n; i++)
        vx_frame_unref(r->waiting[i]);
    free(r->waiting);
    vx_mutex_unlock(&r->lock);
    free(r->frames);
    vx_picture_free(r->picture);
    vx_cond_done(&r->given);
    vx_mutex_done(&r->lock);
}

int vx_decode_on_card(vx_nvdec *nvdec, vx_media *media, const vx_media_decode_params *params,
                      vx_media_stats *ret_stats, int64_t *ret_last, vx_nvdec_reason *ret_reason,
                      vx_err *err) {
    vx_err own_err;
    card_run r = {.nvdec = nvdec,
                  .media = media,
                  .params = params,
                  .last = -1,
                  .err = err ? err : &own_err,
                  .picture = vx_picture_new()};
    vx_mutex_init(&r.lock);
    vx_cond_init(&r.given);
    int64_t n_bytes = 0;
    int rc = r.picture ? learn_peak(media, params, r.err)
                       : VX_FAIL(r.err, -ENOMEM, "no memory for a picture");
    if (rc == 0)
        rc = list_frames(&r, &n_bytes);
    vx_nvdec_decode_stats stats = {0};
    int max_parts = n_bytes > MAX_HELD_BYTES && !params->on_card_frame ? 1 : 0;
    if (rc == 0) {
        const vx_nvdec_decode_params on_card = {.frames = params->frames,
                                                .n = params->n,
                                                .extras = params->on_extra != NULL,
                                                .max_parts = max_parts,
                                                .keep_going = go_on,
                                                .on_frame = on_card_frame,
                                                .ctx = &r};
        vx_err card_err = {0};
        rc = vx_nvdec_decode(nvdec, media, &on_card, &stats, &card_err);
        if (rc < 0 && r.rc == 0) { /* copying a picture failed: the CPU can still decode it */
            stats.reason = rc == -ENOMEM ? VX_NVDEC_MEMORY : VX_NVDEC_FAILED;
            rc = VX_NVDEC_REFUSED;
        }
        if (rc == 0 || rc == VX_NVDEC_REFUSED)
            give_waiting(&r);
        if (r.rc != 0)
            rc = r.rc;
        else if (rc != 0)
            *r.err = card_err;
    }
    *ret_last = r.last;
    *ret_reason = stats.reason;
    *ret_stats = (vx_media_stats){.frames_decoded = stats.n_fed,
                                  .frames_total = media->n_packets,
                                  .n_passes = 1,
                                  .path = VX_MEDIA_ON_CARD};
    run_done(&r);
    return rc;
}
