/* header.c — what a container states about itself, as ffprobe prints it. */
#include <libavutil/pixdesc.h>

#include "demux.h"

/* ffprobe prints times with six decimals. */
static double round_as_ffprobe(double seconds) {
    char text[64];
    snprintf(text, sizeof text, "%.6f", seconds);
    return strtod(text, NULL);
}

static double duration_of(const vx_demux *demux) {
    const AVStream *stream = demux->stream;
    if (stream->duration != AV_NOPTS_VALUE)
        return round_as_ffprobe((double)stream->duration * av_q2d(stream->time_base));
    if (demux->fmt->duration != AV_NOPTS_VALUE)
        return round_as_ffprobe((double)demux->fmt->duration * av_q2d(AV_TIME_BASE_Q));
    return 0;
}

static void read_header(const vx_demux *demux, vx_media_header *header) {
    const AVCodecParameters *par = demux->stream->codecpar;
    const char *pixel_format = av_get_pix_fmt_name(par->format);
    AVRational rate = demux->stream->avg_frame_rate;
    *header = (vx_media_header){.width_px = par->width, .height_px = par->height};
    snprintf(header->codec, sizeof header->codec, "%s", avcodec_get_name(par->codec_id));
    snprintf(header->pixel_format, sizeof header->pixel_format, "%s",
             pixel_format ? pixel_format : "");
    if (rate.num > 0 && rate.den > 0)
        header->fps = av_q2d(rate);
    header->duration_s = duration_of(demux);
    for (unsigned i = 0; i < demux->fmt->nb_streams; i++) {
        const AVCodecParameters *other = demux->fmt->streams[i]->codecpar;
        if (other->codec_type == AVMEDIA_TYPE_AUDIO)
            snprintf(header->audio_codec, sizeof header->audio_codec, "%s",
                     avcodec_get_name(other->codec_id));
    }
}

int vx_media_read_header(const char *path, const vx_media_limits *limits,
                         vx_media_header *ret_header, vx_err *err) {
    VX_AUTO(vx_demux) demux = NULL;
    vx_media_limits l = vx_media_limits_or_default(limits);
    const vx_demux_params params = {.limits = &l, .stream = -1};
    int rc = vx_demux_open(path, &params, &demux, err);
    if (rc)
        return rc;
    rc = vx_demux_probe(demux, &l, err); /* no header names the pixel format */
    if (rc)
        return rc;
    read_header(demux, ret_header);
    return 0;
}
