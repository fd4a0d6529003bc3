/* thumbnail.c — one frame of a file as a small JPEG, without a scan of the file.
 *
 * Seeking in a container without an index (MPEG-TS) lands anywhere, and a decoder that starts
 * there invents what it does not have. So packets are passed over until one that decoding may start
 * at, and if that one is shown after the wanted time, the seek is repeated from further back.
 */
#include <errno.h>
#include <libavutil/opt.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <string.h>

#include "av_error.h"
#include "classify.h"
#include "demux.h"
#include "picture.h"

enum {
    MAX_DECODED = 1200, /* pictures to decode after the seek before taking what is there */
    JPEG_QUALITY = 4,   /* mjpeg's quantiser scale, 2 (best) … 31; 4 is about libjpeg's 85 */
};

typedef struct thumbnailer {
    vx_demux *demux;
    AVCodecContext *decoder;
    AVCodecContext *encoder;
    AVFrame *frame;   /* being decoded */
    AVFrame *nearest; /* so far */
    AVFrame *small;   /* full-range 4:2:0, what the encoder takes */
    vx_picture *picture;
} thumbnailer;

static void thumbnailer_done(thumbnailer *t) {
    vx_demux_free(t->demux);
    avcodec_free_context(&t->decoder);
    avcodec_free_context(&t->encoder);
    av_frame_free(&t->frame);
    av_frame_free(&t->nearest);
    av_frame_free(&t->small);
    vx_picture_free(t->picture);
}
#define AUTO_THUMBNAILER __attribute__((cleanup(thumbnailer_done))) thumbnailer

static int open_decoder(thumbnailer *t, const vx_media_limits *limits, vx_err *err) {
    const AVCodecParameters *par = t->demux->stream->codecpar;
    const AVCodec *decoder = avcodec_find_decoder(par->codec_id);
    if (!decoder)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "this build cannot decode %s video",
                       avcodec_get_name(par->codec_id));
    t->decoder = avcodec_alloc_context3(decoder);
    t->frame = av_frame_alloc();
    t->nearest = av_frame_alloc();
    t->small = av_frame_alloc();
    if (!t->decoder || !t->frame || !t->nearest || !t->small ||
        avcodec_parameters_to_context(t->decoder, par) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
    t->decoder->thread_count = 1; /* one picture: a second thread would only add delay */
    t->decoder->max_pixels = (int64_t)limits->max_side_px * limits->max_side_px;
    t->decoder->pkt_timebase = t->demux->stream->time_base;
    t->decoder->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT; /* see decode.c; leading ones are left out */
    int rc = avcodec_open2(t->decoder, decoder, NULL);
    if (rc < 0)
        return vx_media_fail_av(err, VX_MEDIA_UNSUPPORTED, rc, "the decoder refuses this video");
    return 0;
}

/* Reads up to the first packet that decoding may start at, which stays in demux->packet; with
 * `marks`, to one that the container calls a key frame. */
static int read_point(thumbnailer *t, bool marks) {
    vx_classifier classifier;
    vx_classifier_init(&classifier, t->demux->stream->codecpar);
    int rc;
    while ((rc = vx_demux_read(t->demux)) >= 0) {
        const AVPacket *packet = t->demux->packet;
        bool known = packet->size > 0 && (vx_classify(&classifier, packet) & VX_PACKET_POINT);
        if (known || ((marks || !classifier.may_skip) && (packet->flags & AV_PKT_FLAG_KEY)))
            break;
    }
    return rc;
}

/* Keeps the frame nearest to target; true once no later frame can be nearer. */
static bool consider(thumbnailer *t, int64_t target) {
    int64_t pts = t->frame->best_effort_timestamp, kept = t->nearest->best_effort_timestamp;
    bool first = !t->nearest->buf[0];
    bool nearer = pts != AV_NOPTS_VALUE && !first && kept != AV_NOPTS_VALUE &&
                  llabs(pts - target) < llabs(kept - target);
    if (first || nearer) {
        av_frame_unref(t->nearest);
        av_frame_move_ref(t->nearest, t->frame);
    } else {
        av_frame_unref(t->frame);
    }
    return pts == AV_NOPTS_VALUE || pts >= target;
}

/* Decodes from the packet in hand on. */
static int decode_nearest(thumbnailer *t, int64_t target, vx_err *err) {
    bool done = false, ended = false;
    int64_t start = t->demux->packet->pts;
    avcodec_send_packet(t->decoder, t->demux->packet);
    for (int n = 0; !done && n < MAX_DECODED;) {
        int rc = avcodec_receive_frame(t->decoder, t->frame);
        if (rc == 0) {
            /* what is shown before the starting point may lack what it refers to */
            bool leading = start != AV_NOPTS_VALUE && t->frame->best_effort_timestamp < start;
            if (leading)
                av_frame_unref(t->frame);
            else
                done = consider(t, target);
            n++;
        } else if (rc == AVERROR(ENOMEM)) {
            return VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
        } else if (rc == AVERROR_EOF || (rc == AVERROR(EAGAIN) && ended)) {
            done = true;
        } else if (rc == AVERROR(EAGAIN)) {
            ended = vx_demux_read(t->demux) < 0;
            avcodec_send_packet(t->decoder, ended ? NULL : t->demux->packet);
        }
    }
    return 0;
}

/* Seeks so that the next point is shown at target or earlier; false if there is none like that. */
static bool seek_point(thumbnailer *t, int64_t first, int64_t target) {
    static const int back_s[] = {0, 2, 10, 60};
    const AVStream *stream = t->demux->stream;
    for (size_t i = 0; i < VX_LEN(back_s); i++) {
        int64_t at = target - (int64_t)(back_s[i] / av_q2d(stream->time_base));
        if (at <= first ||
            av_seek_frame(t->demux->fmt, stream->index, at, AVSEEK_FLAG_BACKWARD) < 0)
            return false;
        int rc = read_point(t, false);
        int64_t pts = t->demux->packet->pts;
        if (rc >= 0 && (pts == AV_NOPTS_VALUE || pts <= target))
            return true;
    }
    return false;
}

static int find_picture(thumbnailer *t, const char *path, const vx_media_limits *limits,
                        double time_s, vx_err *err) {
    const AVStream *stream = t->demux->stream;
    int64_t first = vx_demux_time(stream->start_time);
    first = first == AV_NOPTS_VALUE ? 0 : first;
    int64_t target = first + (int64_t)fmin(time_s / av_q2d(stream->time_base), 1e15);
    bool found = seek_point(t, first, target);
    int rc = 0;
    for (int marks = 0; rc == 0 && !found && marks < 2; marks++) {
        /* from the start, which no seek reaches in every container */
        t->demux = vx_demux_free(t->demux);
        rc = vx_demux_open(path, limits, &t->demux, err);
        found = rc == 0 && read_point(t, marks) >= 0;
    }
    if (rc == 0)
        rc = decode_nearest(t, target, err);
    if (rc == 0 && !t->nearest->buf[0])
        rc = VX_FAIL(err, VX_MEDIA_DAMAGED, "no picture of the video can be decoded");
    return rc;
}

/* The found frame, upright and small, in t->small. */
static int shrink(thumbnailer *t, int max_side_px, vx_err *err) {
    int rotation_deg, w, h, stride;
    const uint8_t *rgb;
    t->picture = vx_picture_new(vx_orientation_of(t->demux->stream, &rotation_deg));
    if (!t->picture)
        return VX_FAIL(err, -ENOMEM, "no memory for a thumbnail");
    vx_picture_set(t->picture, t->nearest);
    int rc = vx_picture_rgb_within(t->picture, max_side_px, &rgb, &w, &h, &stride, err);
    if (rc != 0)
        return rc;

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
    sws_scale(sws, &rgb, &stride, 0, h, t->small->data, t->small->linesize);
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

int vx_media_thumbnail(const char *path, double time_s, int max_side_px, uint8_t **ret_jpeg,
                       size_t *ret_bytes, vx_err *err) {
    AUTO_THUMBNAILER t = {0};
    vx_media_limits limits = vx_media_limits_or_default(NULL);
    if (max_side_px < 1 || !(time_s >= 0))
        return VX_FAIL(err, -EINVAL, "a thumbnail of %d pixels at %g s", max_side_px, time_s);
    int rc = vx_demux_open(path, &limits, &t.demux, err);
    if (rc == 0)
        rc = open_decoder(&t, &limits, err);
    if (rc == 0)
        rc = find_picture(&t, path, &limits, time_s, err);
    if (rc == 0)
        rc = shrink(&t, max_side_px, err);
    if (rc == 0)
        rc = encode(&t, ret_jpeg, ret_bytes, err);
    return rc;
}
