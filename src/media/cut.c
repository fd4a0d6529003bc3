/* cut.c — writes a span of a file as an MP4 of its own.
 *
 * Frames and times come from the packet table, so the clip starts with the first frame of the span.
 * Pictures are encoded without B-frames: a packet is then one frame, in order, and its duration is
 * the time to the next. YUV stays as it is; HDR and RGB go through the RGB that models and thumbnails
 * see. If the caller allows it and the span consists of whole closed groups of pictures that need no
 * conversion, the packets are copied instead. Sound that MP4 can hold is copied in either case and
 * interleaved with the pictures.
 */
#include <errno.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "av_error.h"
#include "av_frame.h"
#include "demux.h"
#include "packet_table.h"

static const AVRational ticks = {1, 60000}; /* mpeg4 takes no more than 65535 a second */

typedef struct cutter {
    vx_media *media;
    const vx_media_cut_params *params;
    const char *to;
    int64_t first, end; /* frames */
    double start_s, length_s;
    AVFormatContext *out;
    AVStream *video, *sound; /* of out; sound may be NULL */
    vx_demux *sound_in;      /* set to its sound stream */
    AVPacket *sound_packet;  /* read, not yet due */
    bool sound_ended;
    size_t sound_segment; /* of the media's, in which the sound now is; 0 = before the first */
    double sound_s;       /* time of the last sound packet in the clip */
    AVCodecContext *encoder;
    int width_px, height_px; /* of the clip's pictures, not turned */
    bool by_rgb;             /* HDR or RGB: through RGB */
    struct SwsContext *sws;
    AVFrame *frame;
    AVPacket *packet, *held; /* held: waits for the next one's time */
    int64_t last_pts;
    vx_media_cut_info info;
} cutter;

static void cutter_done(cutter *c) {
    if (c->out && c->out->pb)
        avio_closep(&c->out->pb);
    avformat_free_context(c->out);
    vx_demux_free(c->sound_in);
    avcodec_free_context(&c->encoder);
    sws_freeContext(c->sws);
    av_frame_free(&c->frame);
    av_packet_free(&c->packet);
    av_packet_free(&c->held);
    av_packet_free(&c->sound_packet);
    vx_media_free(c->media);
}
#define AUTO_CUTTER __attribute__((cleanup(cutter_done))) cutter

static int fail_write(int averror, vx_err *err) {
    int code = averror == AVERROR(ENOSPC) ? -ENOSPC : averror == AVERROR(ENOMEM) ? -ENOMEM : -EIO;
    return vx_media_fail_av(err, code, averror, "the clip cannot be written");
}

/* ---- which frames ---- */

static int64_t first_from(const vx_media *media, double time_s) {
    int64_t low = 0, high = media->info.n_frames;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (media->times[middle] < time_s)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void choose_frames(cutter *c) {
    c->first = first_from(c->media, c->params->start_s);
    c->end = first_from(c->media, c->params->end_s);
    if (c->end <= c->first) { /* between two frames the earlier one is shown */
        c->first = c->first > 0 ? c->first - 1 : 0;
        c->end = c->first + 1;
    }
    c->start_s = c->media->times[c->first];
    double end_s =
        c->end < c->media->info.n_frames ? c->media->times[c->end] : c->media->info.duration_s;
    c->length_s = end_s - c->start_s;
    c->info.n_frames = c->end - c->first;
}

/* ---- sound ---- */

/* What must be subtracted from the file's own time in the given segment to get the clip's. */
static double origin_s(const cutter *c, size_t segment) {
    const vx_media *m = c->media;
    int64_t pts = m->packets[m->shown[0]].pts;
    int64_t shift = segment > 0 ? m->segments[segment - 1].shift : 0;
    return (double)(pts - shift) * av_q2d(m->time_base) + c->start_s;
}

/* Time in the clip of the sound packet that was read. Where the file's clock jumps, the sound jumps
 * as the pictures do, so its time goes on when it is taken in the next segment. */
static double sound_time_s(cutter *c, double file_s) {
    enum { JUMP_S = 5 };
    double here_s = file_s - origin_s(c, c->sound_segment);
    if (fabs(here_s - c->sound_s) > JUMP_S && c->sound_segment < c->media->n_segments) {
        double next_s = file_s - origin_s(c, c->sound_segment + 1);
        if (fabs(next_s - c->sound_s) < fabs(here_s - c->sound_s)) {
            c->sound_segment++;
            here_s = next_s;
        }
    }
    c->sound_s = here_s;
    return here_s;
}

/* Opens the file once more for its sound; the clip has none if MP4 cannot hold it. */
static int open_sound(cutter *c, vx_err *err) {
    if (c->media->by_order)
        return 0; /* pictures without times: nothing to align the sound with */
    const vx_demux_params open = {
        .limits = &c->media->limits, .stream = c->media->stream, .with_sound = true};
    int rc = vx_demux_open(c->media->path, &open, &c->sound_in, err);
    if (rc != 0)
        return rc;
    AVFormatContext *in = c->sound_in->fmt;
    int index = av_find_best_stream(in, AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0);
    AVStream *from = index >= 0 ? in->streams[index] : NULL;
    if (!from || from->codecpar->sample_rate <= 0 ||
        avformat_query_codec(c->out->oformat, from->codecpar->codec_id, FF_COMPLIANCE_NORMAL) != 1)
        return 0;
    c->sound = avformat_new_stream(c->out, NULL);
    c->sound_packet = av_packet_alloc();
    if (!c->sound || !c->sound_packet ||
        avcodec_parameters_copy(c->sound->codecpar, from->codecpar) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip's sound");
    c->sound->codecpar->codec_tag = 0;
    c->sound->time_base = from->time_base;
    c->sound_in->stream->discard = AVDISCARD_ALL;
    c->sound_in->stream = from;
    from->discard = AVDISCARD_DEFAULT;
    c->sound_s = -c->start_s;
    if (c->media->n_segments == 0) {
        int64_t at = (int64_t)((origin_s(c, 0) - 1) / av_q2d(from->time_base));
        /* without an index this stays at the start of the file */
        if (av_seek_frame(in, index, at, AVSEEK_FLAG_BACKWARD) >= 0)
            c->sound_s = 0;
    }
    return 0;
}

/* Writes the sound that starts before time_s of the clip. */
static int write_sound(cutter *c, double time_s, vx_err *err) {
    while (c->sound && !c->sound_ended) {
        AVPacket *p = c->sound_packet;
        AVRational base = c->sound_in->stream->time_base;
        if (!p->data) {
            int read_rc = vx_demux_read(c->sound_in);
            c->sound_ended = read_rc < 0;
            int rc = c->sound_ended ? vx_demux_check_end(c->sound_in, read_rc, err) : 0;
            if (rc != 0)
                return rc;
            av_packet_move_ref(p, c->sound_in->packet);
            if (!c->sound_ended && p->pts != AV_NOPTS_VALUE)
                sound_time_s(c, (double)p->pts * av_q2d(base));
            continue;
        }
        double at_s = c->sound_s;
        if (p->pts != AV_NOPTS_VALUE && at_s >= c->length_s)
            c->sound_ended = true;
        if (at_s >= time_s || c->sound_ended)
            return 0;
        if (p->pts == AV_NOPTS_VALUE || at_s < 0 || (p->flags & AV_PKT_FLAG_DISCARD)) {
            av_packet_unref(p);
            continue;
        }
        p->pts -= llrint(origin_s(c, c->sound_segment) / av_q2d(base));
        p->dts = p->pts;
        p->stream_index = c->sound->index;
        av_packet_rescale_ts(p, base, c->sound->time_base);
        int rc = av_interleaved_write_frame(c->out, p);
        if (rc < 0)
            return fail_write(rc, err);
    }
    return 0;
}

/* ---- the file ---- */

/* Writes the orientation as a display matrix; the reverse of vx_orientation_of. */
static int write_orientation(cutter *c, vx_err *err) {
    vx_orientation o = c->media->orientation;
    int32_t x = o.flip_x ? -65536 : 65536, y = o.flip_y ? -65536 : 65536;
    int32_t matrix[9] = {[8] = 1 << 30};
    if (!o.transpose && !o.flip_x && !o.flip_y)
        return 0;
    matrix[o.transpose ? 3 : 0] = x;
    matrix[o.transpose ? 1 : 4] = y;
#if LIBAVCODEC_VERSION_MAJOR >= 61
    AVCodecParameters *par = c->video->codecpar;
    AVPacketSideData *side =
        av_packet_side_data_new(&par->coded_side_data, &par->nb_coded_side_data,
                                AV_PKT_DATA_DISPLAYMATRIX, sizeof matrix, 0);
    uint8_t *data = side ? side->data : NULL;
#else
    uint8_t *data = av_stream_new_side_data(c->video, AV_PKT_DATA_DISPLAYMATRIX, sizeof matrix);
#endif
    if (!data)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    memcpy(data, matrix, sizeof matrix);
    return 0;
}

/* Before the video stream's parameters are known. */
static int create(cutter *c, vx_err *err) {
    c->packet = av_packet_alloc();
    c->held = av_packet_alloc();
    c->frame = av_frame_alloc();
    if (!c->packet || !c->held || !c->frame ||
        avformat_alloc_output_context2(&c->out, NULL, "mp4", c->to) < 0 ||
        !(c->video = avformat_new_stream(c->out, NULL)))
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    return open_sound(c, err);
}

static int write_header(cutter *c, vx_err *err) {
    AVDictionary *options = NULL;
    int rc = write_orientation(c, err);
    if (rc != 0)
        return rc;
    av_dict_set(&options, "movflags", "+faststart", 0);
    rc = avio_open(&c->out->pb, c->to, AVIO_FLAG_WRITE);
    if (rc >= 0)
        rc = avformat_write_header(c->out, &options);
    av_dict_free(&options);
    return rc < 0 ? fail_write(rc, err) : 0;
}

/* ---- encoding ---- */

static void set_options(AVCodecContext *e, const char *name) {
    if (!strcmp(name, "libx264")) {
        av_opt_set(e->priv_data, "preset", "veryfast", 0);
        av_opt_set(e->priv_data, "crf", "20", 0);
    } else if (!strcmp(name, "h264_nvenc")) {
        av_opt_set(e->priv_data, "rc", "vbr", 0);
        av_opt_set(e->priv_data, "cq", "21", 0);
    } else if (!strcmp(name, "mpeg4")) {
        e->flags |= AV_CODEC_FLAG_QSCALE;
        e->global_quality = 3 * FF_QP2LAMBDA;
    } else {
        e->bit_rate = 1000000 + (int64_t)e->width * e->height * 4;
    }
}

/* Width to height of a pixel as it lies in the file. */
static double stored_aspect(const vx_media *media) {
    double shown = media->info.sample_aspect_ratio;
    return media->orientation.transpose ? 1 / shown : shown;
}

/* How the pictures are converted, from the first one. */
static void choose_pictures(cutter *c, const AVFrame *like) {
    uint64_t flags = av_pix_fmt_desc_get(like->format)->flags;
    double aspect = stored_aspect(c->media);
    double w = like->width * fmax(aspect, 1), h = like->height * fmax(1 / aspect, 1);
    double scale = fmin(1, c->media->limits.max_side_px / fmax(w, h));
    c->by_rgb = vx_media_hdr_of(like->color_trc) != VX_MEDIA_SDR ||
                (flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL));
    c->width_px = (int)fmax(2, (double)(lrint(w * scale) & ~1));
    c->height_px = (int)fmax(2, (double)(lrint(h * scale) & ~1));
}

static bool try_encoder(cutter *c, const char *name, const AVFrame *like) {
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    AVCodecContext *e = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!e)
        return false;
    e->width = c->width_px;
    e->height = c->height_px;
    e->pix_fmt = AV_PIX_FMT_YUV420P;
    e->time_base = ticks;
    e->framerate = av_d2q(c->media->info.fps, 60000);
    e->sample_aspect_ratio = (AVRational){1, 1};
    e->colorspace = c->by_rgb ? AVCOL_SPC_BT709 : like->colorspace;
    e->color_primaries = c->by_rgb ? AVCOL_PRI_BT709 : like->color_primaries;
    e->color_trc = c->by_rgb ? AVCOL_TRC_BT709 : like->color_trc;
    e->color_range = c->by_rgb ? AVCOL_RANGE_MPEG : like->color_range;
    e->max_b_frames = 0;
    e->thread_count = c->params->threads;
    e->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    set_options(e, name);
    if (avcodec_open2(e, codec, NULL) < 0)
        avcodec_free_context(&e);
    c->encoder = e;
    return e != NULL;
}

static int open_encoder(cutter *c, const AVFrame *like, vx_err *err) {
    static const char *const names[] = {"h264_nvenc", "libx264", "libopenh264", "mpeg4"};
    const char *requested =
        c->params->encoder && strcmp(c->params->encoder, "auto") ? c->params->encoder : NULL;
    bool opened = requested && try_encoder(c, requested, like);
    for (size_t i = 0; !requested && !opened && i < VX_LEN(names); i++)
        opened = try_encoder(c, names[i], like);
    if (!opened)
        return VX_FAIL(err, VX_MEDIA_NO_ENCODER,
                       "the encoder %s is not available or does not start",
                       requested ? requested : "for H.264 or MPEG-4");
    snprintf(c->info.encoder, sizeof c->info.encoder, "%s", c->encoder->codec->name);
    c->video->time_base = ticks;
    c->video->sample_aspect_ratio = c->encoder->sample_aspect_ratio;
    if (avcodec_parameters_from_context(c->video->codecpar, c->encoder) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    return write_header(c, err);
}

/* Whether a picture is as large as the clip's, but for a last odd row or column, which is left out. */
static bool has_size(const cutter *c, const AVFrame *decoded) {
    return (decoded->width & ~1) == c->width_px && (decoded->height & ~1) == c->height_px;
}

/* Converts into c->frame, whose buffer is there. */
static int scale(cutter *c, const uint8_t *const *planes, const int *strides, int w, int h,
                 int format, int matrix, bool full, bool to_full, vx_err *err) {
    const int *weights = sws_getCoefficients(matrix);
    c->sws =
        sws_getCachedContext(c->sws, w, h, format, c->width_px, c->height_px, AV_PIX_FMT_YUV420P,
                             SWS_BICUBIC | SWS_ACCURATE_RND, NULL, NULL, NULL);
    if (!c->sws)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "pictures of the format %s cannot be converted",
                       av_get_pix_fmt_name(format));
    sws_setColorspaceDetails(c->sws, weights, full, weights, to_full, 0, 1 << 16, 1 << 16);
    int rc = sws_scale(c->sws, planes, strides, 0, h, c->frame->data, c->frame->linesize);
    return rc < 0 ? vx_media_fail_av(err, -EIO, rc, "a picture cannot be converted") : 0;
}

static int convert_by_rgb(cutter *c, vx_picture *picture, vx_err *err) {
    const AVFrame *decoded = vx_av_frame_of(vx_picture_frame(picture));
    bool same = has_size(c, decoded);
    int w = same ? decoded->width : c->width_px, h = same ? decoded->height : c->height_px;
    const uint8_t *rgb[4] = {0};
    int stride[4] = {0};
    int rc = vx_picture_rgb_as_stored(picture, w, h, rgb, stride, err);
    return rc ? rc
              : scale(c, rgb, stride, c->width_px, c->height_px, AV_PIX_FMT_RGB24, SWS_CS_ITU709,
                      true, false, err);
}

/* Makes c->frame the picture as the encoder takes it, without a copy where it is that already. */
static int convert_picture(cutter *c, vx_picture *picture, vx_err *err) {
    const AVFrame *decoded = vx_av_frame_of(vx_picture_frame(picture));
    AVFrame *frame = c->frame;
    bool plain = decoded->format == AV_PIX_FMT_YUV420P || decoded->format == AV_PIX_FMT_YUVJ420P;
    av_frame_unref(frame);
    if (plain && !c->by_rgb && has_size(c, decoded) && av_frame_ref(frame, decoded) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture");
    frame->format = AV_PIX_FMT_YUV420P;
    frame->width = c->width_px;
    frame->height = c->height_px;
    frame->sample_aspect_ratio = c->encoder->sample_aspect_ratio;
    if (frame->buf[0])
        return 0;
    if (av_frame_get_buffer(frame, 0) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture");
    frame->colorspace = c->encoder->colorspace;
    frame->color_primaries = c->encoder->color_primaries;
    frame->color_trc = c->encoder->color_trc;
    frame->color_range = c->encoder->color_range;
    if (c->by_rgb)
        return convert_by_rgb(c, picture, err);
    return scale(c, (const uint8_t *const *)decoded->data, decoded->linesize, decoded->width & ~1,
                 decoded->height & ~1, decoded->format, decoded->colorspace,
                 vx_picture_frame(picture)->full_range, frame->color_range == AVCOL_RANGE_JPEG,
                 err);
}

/* Writes the held packet, which lasts until end_pts. */
static int write_held(cutter *c, int64_t end_pts, vx_err *err) {
    AVPacket *p = c->held;
    if (!p->data)
        return 0;
    p->duration = end_pts > p->pts ? end_pts - p->pts : 1;
    p->stream_index = c->video->index;
    int rc = write_sound(c, (double)p->pts * av_q2d(ticks), err);
    if (rc != 0)
        return rc;
    av_packet_rescale_ts(p, ticks, c->video->time_base);
    rc = av_interleaved_write_frame(c->out, p);
    return rc < 0 ? fail_write(rc, err) : 0;
}

/* frame NULL: end of stream. */
static int encode(cutter *c, const AVFrame *frame, vx_err *err) {
    int rc = avcodec_send_frame(c->encoder, frame);
    while (rc >= 0 && (rc = avcodec_receive_packet(c->encoder, c->packet)) >= 0) {
        int failed = write_held(c, c->packet->pts, err);
        if (failed)
            return failed;
        av_packet_move_ref(c->held, c->packet);
    }
    return rc == AVERROR(EAGAIN) || rc == AVERROR_EOF
               ? 0
               : vx_media_fail_av(err, rc == AVERROR(ENOMEM) ? -ENOMEM : -EIO, rc,
                                  "the clip cannot be encoded");
}

static int on_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    (void)frame;
    cutter *c = ctx;
    const AVFrame *decoded = vx_av_frame_of(vx_picture_frame(picture));
    if (c->params->keep_going && !c->params->keep_going(c->params->ctx))
        return VX_FAIL(err, VX_MEDIA_STOPPED, "cutting the clip was stopped");
    if (!c->encoder)
        choose_pictures(c, decoded);
    int rc = c->encoder ? 0 : open_encoder(c, decoded, err);
    if (rc == 0)
        rc = convert_picture(c, picture, err);
    if (rc != 0)
        return rc;
    int64_t pts = llrint((time_s - c->start_s) / av_q2d(ticks));
    c->last_pts = c->frame->pts = pts > c->last_pts ? pts : c->last_pts + 1;
    c->frame->pict_type = AV_PICTURE_TYPE_NONE; /* the encoder chooses */
    return encode(c, c->frame, err);
}

static bool keep_cutting(void *ctx) {
    const cutter *c = ctx;
    return c->params->keep_going(c->params->ctx);
}

static int transcode(cutter *c, vx_err *err) {
    VX_AUTO_FREE int64_t *frames = vx_new_array((size_t)c->info.n_frames, sizeof *frames);
    if (!frames)
        return VX_FAIL(err, -ENOMEM, "no memory for a list of frames");
    for (int64_t i = 0; i < c->info.n_frames; i++)
        frames[i] = c->first + i;
    c->last_pts = -1;
    const vx_media_decode_params params = {.frames = frames,
                                           .n = c->info.n_frames,
                                           .threads = c->params->threads,
                                           .keep_going =
                                               c->params->keep_going ? keep_cutting : NULL,
                                           .on_picture = on_picture,
                                           .ctx = c};
    int rc = vx_media_decode(c->media, &params, NULL, err);
    if (rc == 0)
        rc = encode(c, NULL, err);
    return rc == 0 ? write_held(c, llrint(c->length_s / av_q2d(ticks)), err) : rc;
}

/* ---- copying ---- */

static bool starts_group(const vx_media *media, int64_t frame) {
    const uint32_t closed = VX_PACKET_POINT | VX_PACKET_CLOSED;
    return (media->packets[media->shown[frame]].flags & closed) == closed;
}

/* The packet behind the last one of the span. */
static int64_t end_packet(const cutter *c) {
    return c->end < c->media->info.n_frames ? c->media->shown[c->end] : c->media->n_packets;
}

/* Whether [first, end) are exactly the pictures of the packets between two closed points, each with a
 * time of its own. */
static bool is_whole_groups(const cutter *c) {
    const vx_media *m = c->media;
    bool indexed = !strcmp(m->info.container, "mov") || !strcmp(m->info.container, "matroska");
    bool known = m->par->codec_id == AV_CODEC_ID_H264 || m->par->codec_id == AV_CODEC_ID_HEVC;
    if (!indexed || !known || !m->par->extradata_size || !m->may_skip || m->by_order ||
        !starts_group(m, c->first) || (c->end < m->info.n_frames && !starts_group(m, c->end)))
        return false;
    for (int64_t i = m->shown[c->first]; i < end_packet(c); i++)
        if (m->packets[i].flags & (VX_PACKET_DISCARD | VX_PACKET_HIDDEN))
            return false;
    for (int64_t i = c->first + 1; i < c->end; i++)
        if (m->packets[m->shown[i]].pts <= m->packets[m->shown[i - 1]].pts)
            return false;
    return end_packet(c) - m->shown[c->first] == c->end - c->first;
}

/* Whether the packets can be copied: as they are they show SDR in square pixels. */
static int check_copy(cutter *c, bool *ret_copy, vx_err *err) {
    vx_media *m = c->media;
    *ret_copy = c->params->may_copy && m->info.sample_aspect_ratio == 1 && is_whole_groups(c);
    int rc =
        *ret_copy ? vx_media_learn_hdr(m, c->first, c->params->keep_going, c->params->ctx, err) : 0;
    *ret_copy &= m->info.hdr == VX_MEDIA_SDR;
    return rc;
}

/* By how many ticks pictures are shown after they are decoded, so that none is decoded too late when
 * packets follow each other in the rhythm of the pictures. */
static int64_t reorder_delay(const cutter *c) {
    const vx_media *m = c->media;
    int64_t delay = 0, first = m->shown[c->first];
    for (int64_t i = 0; i < c->end - c->first; i++) {
        int64_t late = m->packets[m->shown[c->first + i]].pts - m->packets[first + i].pts;
        delay = late > delay ? late : delay;
    }
    return delay;
}

/* number: of the packet in the table. Times are the table's: Matroska has no decode times, and FFmpeg
 * leaves the first of them out. So the i-th packet is decoded when the i-th picture is shown, less the
 * delay. A track lasts as long as its packets in decode order: the last one makes up what the span has
 * beyond the others. */
static int copy_packet(cutter *c, AVPacket *p, int64_t number, int64_t delay, vx_err *err) {
    const vx_media *m = c->media;
    int64_t first = m->shown[c->first], i = number - first, n = c->end - c->first;
    int64_t start = m->packets[first].pts;
    p->pts = m->packets[number].pts - start;
    p->dts = m->packets[m->shown[c->first + i]].pts - start - delay;
    if (i + 1 < n)
        p->duration = m->packets[m->shown[c->first + i + 1]].pts - start - delay - p->dts;
    else
        p->duration = llrint(c->length_s / av_q2d(m->time_base)) - (p->dts + delay);
    p->duration = p->duration > 0 ? p->duration : 1;
    p->stream_index = c->video->index;
    int rc = write_sound(c, (double)p->dts * av_q2d(m->time_base), err);
    if (rc != 0)
        return rc;
    av_packet_rescale_ts(p, m->time_base, c->video->time_base);
    rc = av_interleaved_write_frame(c->out, p);
    return rc < 0 ? fail_write(rc, err) : 0;
}

static int copy(cutter *c, vx_err *err) {
    const vx_media *m = c->media;
    VX_AUTO(vx_demux) demux = NULL;
    c->info.copied = true;
    c->video->time_base = m->time_base;
    if (avcodec_parameters_copy(c->video->codecpar, m->par) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    c->video->codecpar->codec_tag = 0;
    const vx_demux_params open = {.limits = &m->limits, .stream = m->stream};
    int rc = vx_demux_open(m->path, &open, &demux, err), read_rc = 0;
    if (rc == 0)
        rc = write_header(c, err);
    int64_t end = end_packet(c), delay = reorder_delay(c), number = 0;
    while (rc == 0 && number < end && (read_rc = vx_demux_read(demux)) >= 0) {
        if (demux->packet->size == 0)
            continue;
        if (number >= m->shown[c->first])
            rc = copy_packet(c, demux->packet, number, delay, err);
        number++;
        if (rc == 0 && c->params->keep_going && !c->params->keep_going(c->params->ctx))
            rc = VX_FAIL(err, VX_MEDIA_STOPPED, "cutting the clip was stopped");
    }
    return rc == 0 && read_rc < 0 ? vx_demux_check_end(demux, read_rc, err) : rc;
}

int vx_media_cut_clip(const char *path, const vx_media_limits *limits,
                      const vx_media_cut_params *params, const char *to,
                      vx_media_cut_info *ret_info, vx_err *err) {
    AUTO_CUTTER c = {.params = params};
    VX_AUTO_FREE char *url = NULL;
    if (asprintf(&url, "file:%s", to) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a clip");
    c.to = url;
    const vx_media_open_params open = {.limits = limits,
                                       .table_path = params->table_path,
                                       .keep_going = params->keep_going,
                                       .ctx = params->ctx};
    int rc = vx_media_open(path, &open, &c.media, err);
    if (rc != 0)
        return rc;
    bool may_copy = false;
    choose_frames(&c);
    rc = check_copy(&c, &may_copy, err);
    if (rc == 0)
        rc = create(&c, err);
    if (rc == 0)
        rc = may_copy ? copy(&c, err) : transcode(&c, err);
    if (rc == 0)
        rc = write_sound(&c, c.length_s, err);
    if (rc == 0) {
        int failed = av_write_trailer(c.out);
        rc = failed < 0 ? fail_write(failed, err) : 0;
    }
    if (rc == 0 && ret_info)
        *ret_info = c.info;
    if (rc != 0)
        unlink(to);
    return rc;
}
