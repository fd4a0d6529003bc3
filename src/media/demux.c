/* demux.c — opens a container that may be hostile and reads its video packets.
 *
 * Only plain container formats are accepted: playlists, concatenation scripts and image patterns
 * could name other files or addresses. An MP4's tables are checked before FFmpeg reads them
 * (mp4_check.c), the picture size as soon as the header states it, before a decoder allocates
 * anything. A single read may take a minute, so a demuxer that loops is stopped; loops across reads
 * end at limits.max_frames.
 */
#include "demux.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavutil/avstring.h>
#include <libavutil/time.h>
#include <sys/stat.h>

#include "av_error.h"
#include "mp4_check.h"

static const char accepted_formats[] =
    "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,ivf,h264,hevc,obu,m4v,mpegvideo,gif,nut,rm,"
    "yuv4mpegpipe,dv,mjpeg,wav,mp3,aac,flac,w64,aiff,amr,caf";

enum { MIN_SIDE_PX = 16, MAX_STREAMS = 256 };
/* Limit of any one allocation of FFmpeg: a picture of 8192 x 8192 pixels with four components of
 * 16 bits, and its margins. */
enum { MAX_ALLOCATION_BYTES = 640 << 20 };
static const int64_t probe_bytes = 8 << 20, probe_us = 10 * 1000000, read_us = 60 * 1000000;

static void drop_log(void *ctx, int level, const char *format, va_list args) {
    (void)ctx, (void)level, (void)format, (void)args;
}

/* By default FFmpeg logs to stderr; what matters reaches the caller in vx_err. */
__attribute__((constructor)) static void set_up_ffmpeg(void) {
    av_log_set_callback(drop_log);
    av_max_alloc(MAX_ALLOCATION_BYTES);
}

vx_media_limits vx_media_limits_or_default(const vx_media_limits *limits) {
    vx_media_limits l = limits ? *limits : (vx_media_limits){0};
    if (l.max_side_px <= 0)
        l.max_side_px = 8192;
    if (!(l.max_duration_s > 0))
        l.max_duration_s = 24 * 3600;
    if (l.max_frames <= 0)
        l.max_frames = 6 * 1000 * 1000;
    return l;
}

vx_demux *vx_demux_free(vx_demux *demux) {
    if (!demux)
        return NULL;
    avformat_close_input(&demux->fmt);
    vx_file_io_close(&demux->io);
    av_packet_free(&demux->packet);
    free(demux);
    return NULL;
}

/* For the demuxers that ask between reads. */
static int is_interrupted(void *opaque) {
    const vx_file_io *io = opaque;
    return io->stopped || av_gettime_relative() > io->deadline_us;
}

/* The codecs whose decoders we expose to uploads. */
static bool codec_is_accepted(enum AVCodecID codec) {
    switch (codec) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_VP8:
    case AV_CODEC_ID_VP9:
    case AV_CODEC_ID_AV1:
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_MSMPEG4V1:
    case AV_CODEC_ID_MSMPEG4V2:
    case AV_CODEC_ID_MSMPEG4V3:
    case AV_CODEC_ID_H261:
    case AV_CODEC_ID_H263:
    case AV_CODEC_ID_H263P:
    case AV_CODEC_ID_FLV1:
    case AV_CODEC_ID_VP6:
    case AV_CODEC_ID_VP6F:
    case AV_CODEC_ID_WMV1:
    case AV_CODEC_ID_WMV2:
    case AV_CODEC_ID_WMV3:
    case AV_CODEC_ID_VC1:
    case AV_CODEC_ID_RV10:
    case AV_CODEC_ID_RV20:
    case AV_CODEC_ID_RV30:
    case AV_CODEC_ID_RV40:
    case AV_CODEC_ID_THEORA:
    case AV_CODEC_ID_MJPEG:
    case AV_CODEC_ID_PRORES:
    case AV_CODEC_ID_DNXHD:
    case AV_CODEC_ID_DVVIDEO:
    case AV_CODEC_ID_FFV1:
    case AV_CODEC_ID_HUFFYUV:
    case AV_CODEC_ID_FFVHUFF:
    case AV_CODEC_ID_UTVIDEO:
    case AV_CODEC_ID_CINEPAK:
    case AV_CODEC_ID_SVQ1:
    case AV_CODEC_ID_SVQ3:
    case AV_CODEC_ID_QTRLE:
    case AV_CODEC_ID_PNG:
    case AV_CODEC_ID_GIF:
    case AV_CODEC_ID_RAWVIDEO:
        return true;
    default:
        return false;
    }
}

static int check_size(const AVCodecParameters *par, const vx_media_limits *l, vx_err *err) {
    if (par->width > l->max_side_px || par->height > l->max_side_px)
        return VX_FAIL(err, VX_MEDIA_TOO_LARGE, "the picture is %dx%d pixels; at most %d a side",
                       par->width, par->height, l->max_side_px);
    if (par->width > 0 && par->height > 0 &&
        (par->width < MIN_SIDE_PX || par->height < MIN_SIDE_PX))
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "the picture is %dx%d pixels; at least %dx%d",
                       par->width, par->height, MIN_SIDE_PX, MIN_SIDE_PX);
    return 0;
}

/* A moving picture, not cover art or a chapter thumbnail. */
static bool is_video(const AVStream *stream) {
    return stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
           !(stream->disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS));
}

/* Whether the header alone says what a decoder needs, so that no packets must be probed. */
static bool header_suffices(const AVFormatContext *fmt, const AVStream *stream) {
    const AVCodecParameters *par = stream->codecpar;
    bool parameter_sets = par->codec_id == AV_CODEC_ID_H264 || par->codec_id == AV_CODEC_ID_HEVC;
    return (av_match_name("mov", fmt->iformat->name) ||
            av_match_name("matroska", fmt->iformat->name)) &&
           par->width > 0 && par->height > 0 && (!parameter_sets || par->extradata_size > 0);
}

/* Whether the container says that a stream holds one picture (0) or several (2); 1 = unknown. */
static int moves(const AVFormatContext *fmt, AVStream *stream) {
    int64_t n = stream->nb_frames;
    if (av_match_name("mov", fmt->iformat->name))
        n = avformat_index_get_entries_count(stream);
    return n <= 0 ? 1 : n == 1 ? 0 : 2;
}

/* The better of two streams; a on a draw, which comes first. */
static AVStream *better_stream(const AVFormatContext *fmt, AVStream *a, AVStream *b) {
    if (!a || !b)
        return a ? a : b;
    const AVCodecParameters *pa = a->codecpar, *pb = b->codecpar;
    int64_t order[] = {
        moves(fmt, a) - moves(fmt, b),
        codec_is_accepted(pa->codec_id) - codec_is_accepted(pb->codec_id),
        !!(a->disposition & AV_DISPOSITION_DEFAULT) - !!(b->disposition & AV_DISPOSITION_DEFAULT),
        (int64_t)pa->width * pa->height - (int64_t)pb->width * pb->height,
    };
    for (size_t i = 0; i < VX_LEN(order); i++)
        if (order[i] != 0)
            return order[i] > 0 ? a : b;
    return a;
}

static AVStream *best_stream_but(const AVFormatContext *fmt, const AVStream *excluded) {
    AVStream *best = NULL;
    for (unsigned i = 0; i < fmt->nb_streams; i++)
        if (is_video(fmt->streams[i]) && fmt->streams[i] != excluded)
            best = better_stream(fmt, best, fmt->streams[i]);
    return best;
}

/* The wanted stream, or the best; every other stream is discarded, unless it is sound to keep. */
static AVStream *pick_stream(AVFormatContext *fmt, int wanted, bool keep_sound) {
    AVStream *best = NULL;
    if (wanted < 0)
        best = best_stream_but(fmt, NULL);
    else if ((unsigned)wanted < fmt->nb_streams && is_video(fmt->streams[wanted]))
        best = fmt->streams[wanted];
    for (unsigned i = 0; i < fmt->nb_streams; i++) {
        bool sound = fmt->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
        bool keep = fmt->streams[i] == best || (sound && keep_sound);
        fmt->streams[i]->discard = keep ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    return best;
}

int vx_demux_next_stream(const vx_demux *demux) {
    AVStream *other = best_stream_but(demux->fmt, demux->stream);
    return other && moves(demux->fmt, other) ? other->index : -1;
}

/* A failed read of the disk, told as such whatever a demuxer made of it. */
static int check_disk(const vx_demux *demux, vx_err *err) {
    if (demux->io.error)
        return vx_err_errno(err, demux->io.error, __func__, __LINE__, "reading a media file");
    return 0;
}

/* A read that was cut off. */
static int fail_interrupted(const vx_demux *demux, vx_err *err) {
    if (demux->io.stopped)
        return VX_FAIL(err, VX_MEDIA_STOPPED, "reading the video was stopped");
    if (demux->io.blocked_us > read_us / 2)
        return VX_FAIL(err, -ETIMEDOUT, "the disk did not answer within a minute");
    return VX_FAIL(err, VX_MEDIA_DAMAGED, "reading the file took longer than a minute");
}

int vx_demux_probe(vx_demux *demux, const vx_media_limits *l, vx_err *err) {
    AVFormatContext *fmt = demux->fmt;
    unsigned n = fmt->nb_streams;
    if (demux->probed)
        return 0;
    demux->probed = true;
    AVDictionary **options = calloc(n, sizeof(*options));
    if (!options)
        return VX_FAIL(err, -ENOMEM, "no memory to probe %u streams", n);
    for (unsigned i = 0; i < n; i++) {
        av_dict_set_int(&options[i], "max_pixels", (int64_t)l->max_side_px * l->max_side_px, 0);
        av_dict_set(&options[i], "threads", "1", 0);
    }
    int rc = avformat_find_stream_info(fmt, options);
    for (unsigned i = 0; i < n; i++)
        av_dict_free(&options[i]);
    free(options);
    int failed = check_disk(demux, err);
    if (failed)
        return failed;
    if (demux->io.stopped || rc == AVERROR_EXIT)
        return fail_interrupted(demux, err);
    if (rc == AVERROR_EOF)
        return VX_FAIL(err, VX_MEDIA_DAMAGED,
                       "the file ends before it says what is in it; is its end missing?");
    if (rc < 0)
        return vx_media_fail_av(err, VX_MEDIA_DAMAGED, rc, "the streams cannot be read");
    return 0;
}

/* Reports why a file cannot be opened. FFmpeg says "invalid data" both for noise and for a damaged
 * container. */
static int explain_open(const vx_demux *demux, int averror, vx_err *err) {
    const vx_file_length *length = &demux->length;
    bool mp4 = length->kind && strcmp(length->kind, "MP4") == 0;
    int failed = check_disk(demux, err);
    if (failed)
        return failed;
    if (averror == AVERROR(ENOMEM))
        return VX_FAIL(err, -ENOMEM, "no memory to open a media file");
    if (demux->io.stopped)
        return fail_interrupted(demux, err);
    if (vx_file_is_truncated(length))
        return vx_file_fail_truncated(length, mp4 ? "before its index (moov)" : "in its header",
                                      err);
    if (averror == AVERROR_EXIT)
        return fail_interrupted(demux, err);
    if (mp4)
        return VX_FAIL(err, VX_MEDIA_DAMAGED,
                       "the MP4 file has no usable index (moov); is its end missing?");
    if (length->kind)
        return VX_FAIL(err, VX_MEDIA_DAMAGED, "the %s file has no usable header, or no pictures",
                       length->kind);
    return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "this is not a video file of a known kind");
}

/* Detects the container format, and checks an MP4 before FFmpeg opens it. */
static int find_format(vx_demux *demux, const char *url, const char *path,
                       const AVInputFormat **ret_format, vx_err *err) {
    int rc = av_probe_input_buffer2(demux->io.avio, ret_format, url, NULL, 0, 0);
    if (rc < 0)
        return explain_open(demux, rc, err);
    rc = av_match_name("mov", (*ret_format)->name) ? vx_mp4_check_tables(path, err) : 0;
    return rc > 0 && vx_file_is_truncated(&demux->length)
               ? vx_file_fail_truncated(&demux->length, "early", err)
               : rc;
}

static int refuse_open(AVFormatContext *fmt, AVIOContext **io, const char *url, int flags,
                       AVDictionary **options) {
    (void)fmt, (void)io, (void)url, (void)flags, (void)options;
    return AVERROR(EPERM); /* no file may name another one */
}

static int open_input(vx_demux *demux, const char *path, vx_err *err) {
    struct stat st;
    if (stat(path, &st) != 0)
        return VX_FAIL_ERRNO(err, "cannot open %s", path);
    if (st.st_size == 0)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "the file is empty");
    /* With the protocol spelled out, a name such as "concat:x" is not read as an address. */
    VX_AUTO_FREE char *url = NULL;
    demux->packet = av_packet_alloc();
    if (!demux->packet || asprintf(&url, "file:%s", path) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory to open a media file");
    int rc = vx_file_io_open(&demux->io, path, err);
    if (rc != 0)
        return rc;
    vx_file_io_limit(&demux->io, read_us);
    demux->length = vx_file_length_of(path);
    const AVInputFormat *format = NULL;
    rc = find_format(demux, url, path, &format, err);
    if (rc != 0)
        return rc;

    AVFormatContext *fmt = demux->fmt = avformat_alloc_context();
    if (!fmt)
        return VX_FAIL(err, -ENOMEM, "no memory to open a media file");
    fmt->pb = demux->io.avio;
    fmt->io_open = refuse_open;
    fmt->interrupt_callback = (AVIOInterruptCB){is_interrupted, &demux->io};
    fmt->probesize = probe_bytes;
    fmt->max_analyze_duration = probe_us;
    AVDictionary *options = NULL;
    av_dict_set(&options, "format_whitelist", accepted_formats, 0);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    av_dict_set_int(&options, "max_streams", MAX_STREAMS, 0);
    rc = avformat_open_input(&demux->fmt, url, format, &options);
    av_dict_free(&options);
    if (rc < 0)
        return explain_open(demux, rc, err);
    rc = check_disk(demux, err);
    if (rc != 0)
        return rc;
    if (vx_file_is_truncated_in_index(&demux->length))
        return vx_file_fail_truncated(&demux->length, NULL, err);
    return 0;
}

static int choose_stream(vx_demux *demux, const vx_demux_params *params, vx_err *err) {
    AVFormatContext *fmt = demux->fmt;
    const vx_media_limits *l = params->limits;
    AVStream *stream = pick_stream(fmt, params->stream, params->with_sound);
    int rc = stream ? check_size(stream->codecpar, l, err) : 0;
    if (rc != 0)
        return rc;
    if (!stream || !header_suffices(fmt, stream)) {
        rc = vx_demux_probe(demux, l, err);
        if (rc != 0)
            return rc;
        stream = pick_stream(fmt, params->stream, false);
    }
    if (!stream && vx_file_is_truncated(&demux->length))
        return vx_file_fail_truncated(&demux->length, "before a video stream", err);
    if (!stream)
        return VX_FAIL(err, VX_MEDIA_NO_VIDEO, "the file has no video stream, only %s",
                       fmt->nb_streams ? "sound or other data" : "a header");
    if (stream->codecpar->codec_id == AV_CODEC_ID_NONE && !stream->codecpar->codec_tag)
        return VX_FAIL(err, VX_MEDIA_DAMAGED,
                       "the file's header breaks off before it names the codec");
    if (!codec_is_accepted(stream->codecpar->codec_id))
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "video of the codec '%s' cannot be decoded",
                       avcodec_get_name(stream->codecpar->codec_id));
    rc = check_size(stream->codecpar, l, err);
    if (rc != 0)
        return rc;
    demux->stream = stream;
    return 0;
}

int vx_demux_open(const char *path, const vx_demux_params *params, vx_demux **ret_demux,
                  vx_err *err) {
    VX_AUTO(vx_demux) demux = vx_new(vx_demux);
    if (!demux)
        return VX_FAIL(err, -ENOMEM, "no memory to open a media file");
    demux->io.keep_going = params->keep_going;
    demux->io.ctx = params->ctx;
    int rc = open_input(demux, path, err);
    if (rc == 0)
        rc = choose_stream(demux, params, err);
    if (rc != 0)
        return rc;
    *ret_demux = vx_take(demux);
    return 0;
}

int64_t vx_demux_time(int64_t ticks) {
    return ticks < -VX_DEMUX_LAST_TIME || ticks > VX_DEMUX_LAST_TIME ? AV_NOPTS_VALUE : ticks;
}

int vx_demux_read(vx_demux *demux) {
    int rc;
    do {
        av_packet_unref(demux->packet);
        vx_file_io_limit(&demux->io, read_us);
        rc = av_read_frame(demux->fmt, demux->packet);
    } while (rc >= 0 && demux->packet->stream_index != demux->stream->index);
    if (demux->io.error) /* also when a demuxer has found its way past the gap */
        return AVERROR(demux->io.error);
    demux->packet->pts = vx_demux_time(demux->packet->pts);
    demux->packet->dts = vx_demux_time(demux->packet->dts);
    return rc;
}

int vx_demux_check_end(const vx_demux *demux, int read_rc, vx_err *err) {
    int rc = check_disk(demux, err);
    if (rc != 0)
        return rc;
    if (read_rc == AVERROR(ENOMEM))
        return VX_FAIL(err, -ENOMEM, "no memory to read a packet");
    return demux->io.stopped || read_rc == AVERROR_EXIT ? fail_interrupted(demux, err) : 0;
}
