/* thumbnail.c — one frame of a file as a small JPEG.
 *
 * The packet table says which frame is shown at a time and at which packet to start decoding, so the
 * picture is that of vx_media_decode. A table that was kept makes this a matter of one seek and one
 * GOP. Where the exact picture would take too many others (a GOP of an hour, a codec whose packets
 * prove nothing), decoding starts at the container's key frame mark or ends early, and the nearest
 * picture that came out is taken.
 */
#include <errno.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <string.h>

#include "av_error.h"
#include "av_frame.h"
#include "budget.h"
#include "demux.h"
#include "picture.h"
#include "plan.h"
#include "seek.h"

enum {
    MAX_DECODED = 1200, /* pictures to decode for one */
    JPEG_QUALITY = 4,   /* mjpeg's quantiser scale, 2 (best) … 31; 4 is about libjpeg's 85 */
};
static const double MAX_PIXELS = 1e10; /* the same for large pictures: some ten seconds */

typedef struct thumbnailer {
    const vx_media_thumbnail_params *params;
    vx_media *media;
    vx_demux *demux;
    vx_picture_memory *memory;
    AVCodecContext *decoder;
    AVCodecContext *encoder;
    AVFrame *frame;      /* being decoded */
    AVFrame *nearest;    /* so far */
    int64_t nearest_off; /* frames between it and the target */
    AVFrame *small;      /* full-range 4:2:0, what the encoder takes */
    vx_picture *picture;

    int64_t target;     /* shown frame */
    int64_t *number;    /* [n_packets] shown frame of each packet, -1 = not shown */
    uint8_t *action;    /* [n_packets] vx_plan_action */
    int64_t first, end; /* packets to send, as far as action says */
    int64_t n_shown;    /* by_order: the frame that comes out next */
    int64_t recent[16]; /* by_order: packets of the last pictures, picture i at i % 16 */
    int64_t n_decoded, max_decoded;
} thumbnailer;

static void thumbnailer_done(thumbnailer *t) {
    vx_demux_free(t->demux);
    avcodec_free_context(&t->decoder);
    avcodec_free_context(&t->encoder);
    av_frame_free(&t->frame);
    av_frame_free(&t->nearest);
    av_frame_free(&t->small);
    vx_picture_free(t->picture);
    vx_picture_memory_unref(t->memory);
    free(t->number);
    free(t->action);
    vx_media_free(t->media);
}
#define AUTO_THUMBNAILER __attribute__((cleanup(thumbnailer_done))) thumbnailer

static int open_decoder(thumbnailer *t, vx_err *err) {
    const vx_media *media = t->media;
    const AVCodec *decoder = avcodec_find_decoder(media->par->codec_id);
    if (!decoder)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "this build cannot decode %s video",
                       media->info.codec);
    t->decoder = avcodec_alloc_context3(decoder);
    t->frame = av_frame_alloc();
    t->nearest = av_frame_alloc();
    t->small = av_frame_alloc();
    t->memory = vx_picture_memory_new();
    if (!t->decoder || !t->frame || !t->nearest || !t->small || !t->memory ||
        avcodec_parameters_to_context(t->decoder, media->par) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
    t->decoder->thread_count = 1; /* one picture: a second thread would only add delay */
    t->decoder->max_pixels = (int64_t)media->limits.max_side_px * media->limits.max_side_px;
    t->decoder->pkt_timebase = (AVRational){1, 1000}; /* timestamps are packet numbers */
    if (media->par->codec_id == AV_CODEC_ID_H264) {   /* see decode.c */
        if (t->decoder->has_b_frames < media->reorder)
            t->decoder->has_b_frames = media->reorder;
        t->decoder->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT;
    }
    vx_budget_count_pictures(t->decoder, t->memory);
    int rc = avcodec_open2(t->decoder, decoder, NULL);
    if (rc < 0)
        return vx_media_fail_av(err, VX_MEDIA_UNSUPPORTED, rc, "the decoder refuses this video");
    return 0;
}

/* The shown frame whose time is nearest, the earlier of two. */
static int64_t frame_near(const vx_media *media, double time_s) {
    int64_t low = 0, high = media->info.n_frames - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (media->times[middle] < time_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && time_s - media->times[low - 1] <= media->times[low] - time_s ? low - 1 : low;
}

/* The last packet up to `from` that has one of the flags, and whose picture is not shown after
 * that of the target; 0 if there is none. */
static int64_t last_with(const thumbnailer *t, uint32_t flags, int64_t from) {
    const vx_media *m = t->media;
    int64_t pts = m->packets[m->shown[t->target]].pts;
    for (int64_t i = from; i > 0; i--)
        if ((m->packets[i].flags & flags) && (m->by_order || m->packets[i].pts <= pts))
            return i;
    return 0;
}

/* Which packets to send. */
static int plan(thumbnailer *t, vx_err *err) {
    const vx_media *m = t->media;
    int64_t packet = m->shown[t->target], n_sent = 0;
    int rc = vx_media_plan(m, &t->target, 1, &t->action, &t->end, err);
    t->number = vx_new_array((size_t)m->n_packets, sizeof *t->number);
    if (rc == 0 && !t->number)
        rc = VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
    if (rc != 0)
        return rc;
    for (int64_t i = 0; i < m->n_packets; i++)
        t->number[i] = -1;
    for (int64_t i = 0; i < m->info.n_frames; i++)
        t->number[m->shown[i]] = i;
    double area = (double)m->par->width * m->par->height;
    t->max_decoded = (int64_t)fmin(MAX_DECODED, fmax(16, MAX_PIXELS / fmax(area, 1)));

    while (t->first < t->end && t->action[t->first] == VX_PLAN_DROP)
        t->first++;
    for (int64_t i = t->first; i < t->end; i++)
        n_sent += t->action[i] != VX_PLAN_DROP;
    if (m->by_order || n_sent > t->max_decoded) {
        bool proven = m->may_skip && m->by_order;
        uint32_t flags = proven ? VX_PACKET_POINT : VX_PACKET_POINT | VX_PACKET_MARKED;
        t->first = last_with(t, flags, packet);
        /* Pictures that are known by their order alone are counted from a starting point on. Those
         * that should overtake the first one do not come out, so the count is right from the second
         * one on; the wanted picture may itself overtake a third. */
        for (int i = 0; m->by_order && i < 2 && t->first > 0; i++)
            t->first = last_with(t, flags, t->first - 1);
        t->end = m->by_order ? m->n_packets : packet + 1;
        memset(t->action, VX_PLAN_SEND, (size_t)m->n_packets);
    }
    for (int64_t i = 0; i < t->first; i++)
        t->n_shown += t->number[i] >= 0;
    return 0;
}

/* Frame number of the picture in t->frame, -1 = none that is shown. */
static int64_t number_of_picture(thumbnailer *t) {
    const vx_media *m = t->media;
    int64_t packet = t->frame->pts;
    bool known = packet >= 0 && packet < m->n_packets;
    if (!m->by_order)
        return known ? t->number[packet] : -1;
    /* The n-th picture is frame n. Where decoding began in the middle, a starting point tells n: all
     * packets before it are shown before it, and so are the pictures that overtook it. */
    if (known && t->first > 0 && t->number[packet] >= 0 &&
        (m->packets[packet].flags & (VX_PACKET_POINT | VX_PACKET_MARKED))) {
        t->n_shown = t->number[packet];
        for (int i = 0; i < (int)VX_LEN(t->recent) && i < t->n_decoded; i++)
            t->n_shown += t->recent[i] > packet;
    }
    t->recent[t->n_decoded % (int64_t)VX_LEN(t->recent)] = packet;
    return t->n_shown++;
}

/* Keeps the picture in t->frame if it is nearer; true once the wanted one is there. */
static bool consider(thumbnailer *t) {
    int64_t number = number_of_picture(t);
    int64_t off = llabs(number - t->target);
    t->n_decoded++;
    if (number >= 0 && (!t->nearest->buf[0] || off < t->nearest_off)) {
        av_frame_unref(t->nearest);
        av_frame_move_ref(t->nearest, t->frame);
        t->nearest_off = off;
    }
    av_frame_unref(t->frame);
    return number >= 0 && off == 0;
}

/* Sends a packet (NULL: end of stream). ret_done: the wanted picture is there. */
static int send_packet(thumbnailer *t, const AVPacket *packet, bool *ret_done, vx_err *err) {
    enum { MAX_ERRORS = 64 };
    int rc = avcodec_send_packet(t->decoder, packet);
    for (int n_errors = 0; rc != AVERROR(ENOMEM) && !*ret_done && n_errors < MAX_ERRORS;) {
        rc = avcodec_receive_frame(t->decoder, t->frame);
        if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF)
            break;
        if (rc < 0)
            n_errors++;
        else
            *ret_done = consider(t);
    }
    int exceeded = vx_budget_check_memory(t->memory, err);
    if (exceeded)
        return exceeded;
    return rc == AVERROR(ENOMEM) ? VX_FAIL(err, -ENOMEM, "no memory for a thumbnail") : 0;
}

static int open_demux(thumbnailer *t, vx_err *err) {
    const vx_demux_params params = {.limits = &t->media->limits,
                                    .stream = t->media->stream,
                                    .keep_going = t->params->keep_going,
                                    .ctx = t->params->ctx};
    t->demux = vx_demux_free(t->demux);
    return vx_demux_open(t->media->path, &params, &t->demux, err);
}

/* Decodes from the first packet on, until the wanted picture is out. */
static int decode_nearest(thumbnailer *t, bool seek, bool *ret_lost, vx_err *err) {
    bool done = false, has_read = false;
    int64_t number = 0;
    int rc = open_demux(t, err), read_rc = 0;
    if (rc == 0 && seek && t->first > 0) {
        has_read = vx_seek_packet(t->demux, t->media, t->first);
        number = has_read ? t->first : 0;
        if (!has_read)
            rc = open_demux(t, err);
    }
    bool seeked = has_read;
    while (rc == 0 && !done && number < t->end && t->n_decoded < t->max_decoded + 64) {
        AVPacket *packet = t->demux->packet;
        read_rc = has_read ? 0 : vx_demux_read(t->demux);
        has_read = false;
        if (read_rc < 0)
            break;
        if (packet->size == 0)
            continue;
        *ret_lost = seeked && (uint32_t)packet->size != t->media->packets[number].n_bytes;
        if (*ret_lost)
            return 0;
        packet->pts = packet->dts = number++;
        if (number - 1 < t->first || t->action[number - 1] == VX_PLAN_DROP)
            continue;
        rc = send_packet(t, packet, &done, err);
    }
    if (rc == 0 && read_rc < 0)
        rc = vx_demux_check_end(t->demux, read_rc, err);
    return rc == 0 && !done ? send_packet(t, NULL, &done, err) : rc;
}

static int find_picture(thumbnailer *t, vx_err *err) {
    bool lost = false;
    t->target = frame_near(t->media, t->params->time_s);
    int rc = plan(t, err);
    if (rc == 0)
        rc = decode_nearest(t, true, &lost, err);
    if (rc == 0 && lost) {
        avcodec_flush_buffers(t->decoder);
        rc = decode_nearest(t, false, &lost, err);
    }
    if (rc == 0 && !t->nearest->buf[0])
        rc = VX_FAIL(err, VX_MEDIA_DAMAGED, "no picture of the video can be decoded");
    return rc;
}

/* The nearest picture, upright and small, in t->small. */
static int shrink(thumbnailer *t, int max_side_px, vx_err *err) {
    VX_AUTO(vx_frame) frame = NULL;
    const vx_frame *rgb;
    t->picture = vx_picture_new();
    if (!t->picture)
        return VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
    int rc = vx_av_frame_wrap(t->nearest, t->media->orientation, 0, 0, &frame, err);
    if (rc != 0)
        return rc;
    vx_picture_set(t->picture, frame);
    rc = vx_picture_rgb_within(t->picture, t->media->info.sample_aspect_ratio, max_side_px, &rgb,
                               err);
    if (rc != 0)
        return rc;

    int w = rgb->width_px, h = rgb->height_px, stride = (int)rgb->pitch_bytes[0];
    t->small->format = AV_PIX_FMT_YUVJ420P;
    t->small->color_range = AVCOL_RANGE_JPEG;
    t->small->width = w;
    t->small->height = h;
    struct SwsContext *sws =
        sws_getContext(w, h, AV_PIX_FMT_RGB24, w, h, AV_PIX_FMT_YUV420P,
                       SWS_BILINEAR | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND, NULL, NULL, NULL);
    if (!sws || av_frame_get_buffer(t->small, 0) < 0) {
        sws_freeContext(sws);
        return VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
    }
    const int *jfif = sws_getCoefficients(SWS_CS_ITU601);
    sws_setColorspaceDetails(sws, jfif, 1, jfif, 1, 0, 1 << 16, 1 << 16);
    sws_scale(sws, rgb->planes, &stride, 0, h, t->small->data, t->small->linesize);
    sws_freeContext(sws);
    return 0;
}

static int encode(thumbnailer *t, uint8_t **ret_jpeg, size_t *ret_bytes, vx_err *err) {
    const AVCodec *encoder = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
    t->encoder = encoder ? avcodec_alloc_context3(encoder) : NULL;
    if (!t->encoder)
        return VX_FAIL(err, -ENOMEM, "no JPEG encoder");
    t->encoder->width = t->small->width;
    t->encoder->height = t->small->height;
    t->encoder->pix_fmt = AV_PIX_FMT_YUVJ420P;
    t->encoder->color_range = AVCOL_RANGE_JPEG;
    t->encoder->time_base = (AVRational){1, 25};
    t->encoder->thread_count = 1;
    t->encoder->flags |= AV_CODEC_FLAG_QSCALE;
    t->encoder->global_quality = FF_QP2LAMBDA * JPEG_QUALITY;
    t->small->quality = t->encoder->global_quality;
    t->small->pts = 0;
    AVPacket *packet = t->demux->packet;
    av_packet_unref(packet);
    int rc = avcodec_open2(t->encoder, encoder, NULL);
    if (rc >= 0)
        rc = avcodec_send_frame(t->encoder, t->small);
    if (rc >= 0)
        rc = avcodec_receive_packet(t->encoder, packet);
    if (rc < 0)
        return vx_media_fail_av(err, -EIO, rc, "the thumbnail cannot be encoded");
    uint8_t *jpeg = malloc((size_t)packet->size);
    if (!jpeg)
        return VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
    memcpy(jpeg, packet->data, (size_t)packet->size);
    *ret_bytes = (size_t)packet->size;
    *ret_jpeg = jpeg;
    return 0;
}

int vx_media_thumbnail(const vx_media_thumbnail_params *params, uint8_t **ret_jpeg,
                       size_t *ret_bytes, vx_err *err) {
    AUTO_THUMBNAILER t = {.params = params};
    const vx_media_open_params open = {.limits = params->limits,
                                       .table_path = params->table_path,
                                       .keep_going = params->keep_going,
                                       .ctx = params->ctx};
    if (params->max_side_px < 1 || !(params->time_s >= 0))
        return VX_FAIL(err, -EINVAL, "a thumbnail of %d pixels at %g s", params->max_side_px,
                       params->time_s);
    int rc = vx_media_open(params->path, &open, &t.media, err);
    if (rc == 0)
        rc = open_decoder(&t, err);
    if (rc == 0)
        rc = find_picture(&t, err);
    if (rc == 0)
        rc = shrink(&t, params->max_side_px, err);
    if (rc == 0)
        rc = encode(&t, ret_jpeg, ret_bytes, err);
    return rc;
}
