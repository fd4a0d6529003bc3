/* nvdec_read.c — packets of a file for NVDEC's parser.
 *
 * The parser wants start codes. MP4 and Matroska have lengths before the NAL units, which FFmpeg's
 * filters turn into start codes; their parameter sets lie in the container and are given apart.
 */
#include "nvdec_read.h"

#include <errno.h>

#include "av_error.h"
#include "plan.h"
#include "seek.h"

/* The filter that gives Annex B; NULL: none is needed. */
static const char *filter_of(const AVCodecParameters *par) {
    const uint8_t *x = par->extradata;
    if (par->codec_id == AV_CODEC_ID_H264 && par->extradata_size >= 7 && x[0] == 1)
        return "h264_mp4toannexb";
    if (par->codec_id == AV_CODEC_ID_HEVC && par->extradata_size >= 23 &&
        (x[0] || x[1] || x[2] > 1))
        return "hevc_mp4toannexb";
    return NULL;
}

static int open_filter(vx_nvdec_reader *r, vx_err *err) {
    const AVCodecParameters *par = r->media->par;
    const char *name = filter_of(par);
    if (name) {
        const AVBitStreamFilter *filter = av_bsf_get_by_name(name);
        if (!filter)
            return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "this build of FFmpeg has no %s", name);
        int rc = av_bsf_alloc(filter, &r->bsf);
        if (rc == 0)
            rc = avcodec_parameters_copy(r->bsf->par_in, par);
        if (rc == 0)
            rc = av_bsf_init(r->bsf);
        if (rc < 0)
            return vx_media_fail_av(err, VX_MEDIA_DAMAGED, rc, "the stream's header is not usable");
        par = r->bsf->par_out;
    }
    bool nal = par->codec_id == AV_CODEC_ID_H264 || par->codec_id == AV_CODEC_ID_HEVC;
    if (nal && par->extradata_size > 0) {
        r->headers = par->extradata;
        r->headers_bytes = (size_t)par->extradata_size;
    }
    return 0;
}

/* Opens the file at the first packet to send; packets before it are skipped where they are many. */
static int open_at_first(vx_nvdec_reader *r, const vx_demux_params *params, const char *path,
                         vx_err *err) {
    enum { WORTH_BYTES = 4 << 20 };
    int64_t first = 0, bytes = 0;
    while (first < r->n_packets && r->action[first] == VX_PLAN_DROP)
        bytes += r->media->packets[first++].n_bytes;
    int rc = vx_demux_open(path, params, &r->demux, err);
    if (rc != 0 || bytes < WORTH_BYTES || first == r->n_packets)
        return rc;
    if (vx_seek_packet(r->demux, r->media, first)) {
        r->number = first;
        r->has_read = r->seeked = true;
        return 0;
    }
    r->demux = vx_demux_free(r->demux);
    return vx_demux_open(path, params, &r->demux, err);
}

int vx_nvdec_reader_open(vx_nvdec_reader *reader, const vx_media *media, const uint8_t *action,
                         int64_t n_packets, bool (*keep_going)(void *ctx), void *ctx, vx_err *err) {
    *reader = (vx_nvdec_reader){.media = media, .action = action, .n_packets = n_packets};
    const vx_demux_params params = {
        .limits = &media->limits, .stream = media->stream, .keep_going = keep_going, .ctx = ctx};
    int rc = open_filter(reader, err);
    if (rc == 0)
        rc = open_at_first(reader, &params, media->path, err);
    if (rc != 0)
        vx_nvdec_reader_close(reader);
    return rc;
}

void vx_nvdec_reader_close(vx_nvdec_reader *reader) {
    vx_demux_free(reader->demux);
    av_bsf_free(&reader->bsf);
    *reader = (vx_nvdec_reader){0};
}

/* demux->packet, filtered. Takes its data. *ret_packet NULL: the filter refuses the packet. */
static int take_packet(vx_nvdec_reader *r, AVPacket **ret_packet, vx_err *err) {
    AVPacket *packet = av_packet_alloc();
    if (!packet)
        return VX_FAIL(err, -ENOMEM, "no memory for a packet");
    av_packet_move_ref(packet, r->demux->packet);
    int rc = 0;
    if (r->bsf) {
        rc = av_bsf_send_packet(r->bsf, packet);
        if (rc == 0)
            rc = av_bsf_receive_packet(r->bsf, packet);
    }
    if (rc < 0)
        av_packet_free(&packet);
    *ret_packet = packet;
    return rc == AVERROR(ENOMEM) ? VX_FAIL(err, -ENOMEM, "no memory for a packet") : 0;
}

int vx_nvdec_reader_next(vx_nvdec_reader *r, AVPacket **ret_packet, int64_t *ret_number,
                         vx_err *err) {
    *ret_packet = NULL;
    while (r->number < r->n_packets) {
        int rc = r->has_read ? 0 : vx_demux_read(r->demux);
        r->has_read = false;
        if (rc < 0)
            return vx_demux_check_end(r->demux, rc, err);
        if (r->demux->packet->size == 0)
            continue;
        int64_t number = r->number++;
        if (r->seeked && (uint32_t)r->demux->packet->size != r->media->packets[number].n_bytes)
            return 0; /* not where the seek should have led */
        if (r->action[number] == VX_PLAN_DROP)
            continue;
        *ret_number = number;
        return take_packet(r, ret_packet, err);
    }
    return 0;
}
