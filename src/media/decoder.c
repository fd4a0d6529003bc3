/* decoder.c — sends clips to the card or the CPU, and what the card refuses on
 * to the CPU. */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "decode_card.h"
#include "decode_cpu.h"
#include "hybrid.h"

struct vx_decoder {
    vx_nvdec *nvdec;
    int max_clips; /* on the card */
    vx_hybrid hybrid;
    vx_mutex lock;
    int64_t n_clips[VX_MEDIA_N_PATHS] VX_GUARDED;
    int64_t n_refused[VX_NVDEC_N_REASONS] VX_GUARDED;
};

int vx_decoder_open(const vx_decoder_params *params, vx_decoder **ret_decoder, vx_err *err) {
    /* As many as it has decoders, which HEVC needs to keep all engines of an H100 busy. */
    enum { CLIPS_ON_CARD = 28 };
    VX_AUTO(vx_decoder) decoder = vx_new(vx_decoder);
    if (!decoder)
        return VX_FAIL(err, -ENOMEM, "no memory for a decoder");
    decoder->max_clips = params->card_clips > 0 ? params->card_clips : CLIPS_ON_CARD;
    int cores = params->cpu_clips > 0 ? params->cpu_clips : vx_thread_cores();
    vx_mutex_init(&decoder->lock);
    vx_hybrid_init(&decoder->hybrid, decoder->max_clips, cores, params->hybrid);
    const vx_nvdec_params card = {.device = params->device, .driver = params->driver};
    int rc = vx_nvdec_open(&card, &decoder->nvdec, err);
    if (rc != 0)
        return rc;
    *ret_decoder = vx_take(decoder);
    return 0;
}

vx_decoder *vx_decoder_free(vx_decoder *decoder) {
    if (!decoder)
        return NULL;
    vx_nvdec_free(decoder->nvdec);
    vx_hybrid_done(&decoder->hybrid);
    vx_mutex_done(&decoder->lock);
    free(decoder);
    return NULL;
}

void vx_decoder_get_stats(vx_decoder *decoder, vx_decoder_stats *ret_stats) {
    vx_nvdec_stats card;
    vx_nvdec_get_stats(decoder->nvdec, &card);
    *ret_stats =
        (vx_decoder_stats){.max_clips = decoder->max_clips,
                           .n_decoders = card.pool.n_decoders,
                           .max_decoders = card.pool.max_decoders,
                           .card_bytes = card.pool.bytes,
                           .max_card_bytes = card.pool.max_bytes,
                           .pictures = vx_card_get_memory(vx_nvdec_get_card(decoder->nvdec))};
    snprintf(ret_stats->card, sizeof ret_stats->card, "%s", card.card);
    vx_mutex_lock(&decoder->lock);
    memcpy(ret_stats->n_clips, decoder->n_clips, sizeof ret_stats->n_clips);
    for (int i = 1; i < VX_NVDEC_N_REASONS; i++) {
        ret_stats->n_refused[ret_stats->n_reasons] = decoder->n_refused[i];
        ret_stats->reasons[ret_stats->n_reasons++] = vx_nvdec_reason_name((vx_nvdec_reason)i);
    }
    vx_mutex_unlock(&decoder->lock);
}

int vx_decoder_count_busy(vx_decoder *decoder) {
    return vx_hybrid_count(&decoder->hybrid);
}

void vx_decoder_relieve(void *ctx) {
    enum { QUIET_US = 10000000 };
    vx_nvdec_trim(((vx_decoder *)ctx)->nvdec, QUIET_US);
}

vx_card *vx_decoder_get_card(const vx_decoder *decoder) {
    return vx_nvdec_get_card(decoder->nvdec);
}

/* What is left of a decode of which everything up to `last` was given. */
typedef struct rest {
    const vx_media_decode_params *params;
    int64_t last;
} rest;

static bool rest_goes_on(void *ctx) {
    const rest *r = ctx;
    return !r->params->keep_going || r->params->keep_going(r->params->ctx);
}

static int rest_on_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                           vx_err *err) {
    const rest *r = ctx;
    return r->params->on_picture(r->params->ctx, frame, time_s, picture, err);
}

static int rest_on_extra(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                         vx_err *err) {
    const rest *r = ctx;
    return frame > r->last ? r->params->on_extra(r->params->ctx, frame, time_s, picture, err) : 0;
}

/* Decodes the frames behind `last` on the CPU. */
static int decode_rest(vx_media *media, const vx_media_decode_params *params, int64_t last,
                       vx_media_stats *ret_stats, vx_err *err) {
    rest r = {params, last};
    vx_media_decode_params left = {.frames = params->frames,
                                   .n = params->n,
                                   .threads = params->threads,
                                   .keep_going = rest_goes_on,
                                   .on_picture = rest_on_picture,
                                   .on_extra = params->on_extra ? rest_on_extra : NULL,
                                   .ctx = &r};
    for (; left.n > 0 && left.frames[0] <= last; left.n--)
        left.frames++;
    return vx_decode_on_cpu(media, &left, ret_stats, err);
}

typedef struct cpu_decode {
    vx_media *media;
    const vx_media_decode_params *params;
    int64_t last;
    vx_media_stats *stats;
    vx_err *err;
    int rc;
} cpu_decode;

static void run_cpu_decode(cpu_decode *d) {
    d->rc = decode_rest(d->media, d->params, d->last, d->stats, d->err);
}

static void *run_cpu_decode_after_others(void *ctx) {
    enum { NICE = 10 };
    setpriority(PRIO_PROCESS, 0, NICE); /* on Linux of this thread, and of those that it starts */
    run_cpu_decode(ctx);
    return NULL;
}

/* Decodes the frames behind `last` on cores that feeding the card leaves free. With as many decodes as
 * there are cores, those that feed it came to wait for one at each of a clip's 60 packets: it decoded 45
 * clips a second instead of 79. A thread's priority cannot be raised again, hence one of its own. */
static int decode_after_others(vx_media *media, const vx_media_decode_params *params, int64_t last,
                               vx_media_stats *stats, vx_err *err) {
    cpu_decode d = {media, params, last, stats, err, 0};
    pthread_t thread;
    if (vx_thread_start(&thread, "vx-decode", run_cpu_decode_after_others, &d, NULL) == 0)
        pthread_join(thread, NULL);
    else
        run_cpu_decode(&d);
    return d.rc;
}

static int decode_shared(vx_decoder *decoder, vx_media *media, const vx_media_decode_params *params,
                         vx_media_stats *stats, vx_nvdec_reason *ret_reason, vx_err *err) {
    *ret_reason = vx_nvdec_check(decoder->nvdec, media);
    int64_t last = -1;
    int path = vx_hybrid_enter(&decoder->hybrid, *ret_reason == VX_NVDEC_ACCEPTED,
                               params->keep_going, params->ctx);
    if (path == VX_DECODE_CARD) {
        int rc = vx_decode_on_card(decoder->nvdec, media, params, stats, &last, ret_reason, err);
        vx_hybrid_leave(&decoder->hybrid, VX_DECODE_CARD);
        if (rc != VX_NVDEC_REFUSED)
            return rc;
        path = vx_hybrid_enter(&decoder->hybrid, false, params->keep_going, params->ctx);
    }
    if (path < 0)
        return VX_FAIL(err, VX_MEDIA_STOPPED, "decoding the video was stopped");
    int rc = decode_after_others(media, params, last, stats, err);
    vx_hybrid_leave(&decoder->hybrid, VX_DECODE_CPU);
    stats->path = last >= 0 ? VX_MEDIA_ON_BOTH : VX_MEDIA_ON_CPU;
    return rc;
}

static int decode_counted(vx_decoder *decoder, vx_media *media,
                          const vx_media_decode_params *params, vx_media_stats *stats,
                          vx_err *err) {
    vx_nvdec_reason reason;
    int rc = decode_shared(decoder, media, params, stats, &reason, err);
    stats->refused = reason ? vx_nvdec_reason_name(reason) : NULL;
    vx_mutex_lock(&decoder->lock);
    decoder->n_clips[stats->path] += rc == 0;
    decoder->n_refused[reason]++;
    vx_mutex_unlock(&decoder->lock);
    return rc;
}

int vx_media_decode(vx_media *media, const vx_media_decode_params *params,
                    vx_media_stats *ret_stats, vx_err *err) {
    vx_media_stats stats = {0};
    int rc = params->decoder && params->n > 0
                 ? decode_counted(params->decoder, media, params, &stats, err)
                 : vx_decode_on_cpu(media, params, &stats, err);
    if (ret_stats)
        *ret_stats = stats;
    return rc;
}
