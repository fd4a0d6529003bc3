/* nvdec_caps.c — asks the card what it decodes. */
#include "nvdec_caps.h"

#include <libavutil/pixdesc.h>

#include "base/mem.h"

const char *vx_nvdec_reason_name(vx_nvdec_reason reason) {
    static const char *const names[VX_NVDEC_N_REASONS] = {
        [VX_NVDEC_ACCEPTED] = "accepted", [VX_NVDEC_CODEC] = "codec",
        [VX_NVDEC_CHROMA] = "chroma",     [VX_NVDEC_DEPTH] = "bit_depth",
        [VX_NVDEC_SIZE] = "size",         [VX_NVDEC_STREAM] = "stream",
        [VX_NVDEC_CHANGED] = "changed",   [VX_NVDEC_CROPPED] = "cropped",
        [VX_NVDEC_HDR] = "hdr",           [VX_NVDEC_DAMAGED] = "damaged",
        [VX_NVDEC_MEMORY] = "memory",     [VX_NVDEC_FAILED] = "driver",
    };
    return names[reason];
}

void vx_nvdec_caps_init(vx_nvdec_caps *caps, const vx_card_driver *driver) {
    *caps = (vx_nvdec_caps){.driver = driver};
    vx_mutex_init(&caps->lock);
}

void vx_nvdec_caps_done(vx_nvdec_caps *caps) {
    vx_mutex_done(&caps->lock);
}

/* MPEG-1, MPEG-2 and MPEG-4 part 2 are not here although cards decode them: their inverse transform is
 * not exactly specified, and the error adds up from picture to picture. Against FFmpeg's decoder, samples
 * differed by up to 3 levels in GOPs of 15 and 30 pictures, 5 in one of 100 (MPEG-2) and 7 in one of 300
 * (MPEG-4). What a video's vectors and hashes are must not depend on the machine. */
cudaVideoCodec vx_nvdec_codec(enum AVCodecID codec) {
    switch ((int)codec) {
    case AV_CODEC_ID_H264:
        return cudaVideoCodec_H264;
    case AV_CODEC_ID_HEVC:
        return cudaVideoCodec_HEVC;
    case AV_CODEC_ID_VP9:
        return cudaVideoCodec_VP9;
    case AV_CODEC_ID_AV1:
        return cudaVideoCodec_AV1;
    default:
        return cudaVideoCodec_NumCodecs;
    }
}

/* The card's answer, asked for once. A call that fails says that nothing is supported. */
static CUVIDDECODECAPS ask(vx_nvdec_caps *caps, cudaVideoCodec codec, int bit_depth) {
    CUVIDDECODECAPS answer = {.eCodecType = codec,
                              .eChromaFormat = cudaVideoChromaFormat_420,
                              .nBitDepthMinus8 = (unsigned)bit_depth - 8};
    vx_mutex_lock(&caps->lock);
    size_t i = 0;
    while (i < caps->n_known && (caps->known[i].eCodecType != answer.eCodecType ||
                                 caps->known[i].nBitDepthMinus8 != answer.nBitDepthMinus8))
        i++;
    if (i < caps->n_known) {
        answer = caps->known[i];
    } else {
        if (caps->driver->cuvid->cuvidGetDecoderCaps(&answer) != CUDA_SUCCESS)
            answer.bIsSupported = 0;
        caps->known[caps->n_known % VX_LEN(caps->known)] = answer;
        caps->n_known += caps->n_known < VX_LEN(caps->known);
    }
    vx_mutex_unlock(&caps->lock);
    return answer;
}

vx_nvdec_reason vx_nvdec_caps_check(vx_nvdec_caps *caps, const vx_nvdec_format *format) {
    if (format->codec == cudaVideoCodec_NumCodecs)
        return VX_NVDEC_CODEC;
    if (format->chroma != cudaVideoChromaFormat_420)
        return VX_NVDEC_CHROMA;
    if (format->bit_depth < 8 || format->bit_depth > 16)
        return VX_NVDEC_DEPTH;
    CUVIDDECODECAPS c = ask(caps, format->codec, format->bit_depth);
    int surface = format->bit_depth > 8 ? cudaVideoSurfaceFormat_P016 : cudaVideoSurfaceFormat_NV12;
    if (!c.bIsSupported || !(c.nOutputFormatMask >> surface & 1)) {
        bool other_depth = format->bit_depth > 8 && ask(caps, format->codec, 8).bIsSupported;
        return other_depth ? VX_NVDEC_DEPTH : VX_NVDEC_CODEC;
    }
    uint64_t blocks = (uint64_t)((format->coded_w + 15) / 16) * ((format->coded_h + 15) / 16);
    bool fits = format->coded_w >= c.nMinWidth && format->coded_h >= c.nMinHeight &&
                format->coded_w <= c.nMaxWidth && format->coded_h <= c.nMaxHeight &&
                blocks <= c.nMaxMBCount;
    return fits ? VX_NVDEC_ACCEPTED : VX_NVDEC_SIZE;
}

vx_nvdec_reason vx_nvdec_caps_check_stream(vx_nvdec_caps *caps, const AVCodecParameters *par) {
    vx_nvdec_format format = {.codec = vx_nvdec_codec(par->codec_id),
                              .chroma = cudaVideoChromaFormat_420,
                              .bit_depth = 8,
                              .coded_w = (unsigned)par->width,
                              .coded_h = (unsigned)par->height};
    const AVPixFmtDescriptor *pixel = av_pix_fmt_desc_get(par->format);
    if (pixel) {
        format.bit_depth = pixel->comp[0].depth;
        if (pixel->nb_components != 3 || pixel->log2_chroma_w != 1 || pixel->log2_chroma_h != 1)
            format.chroma = cudaVideoChromaFormat_444;
    }
    return vx_nvdec_caps_check(caps, &format);
}

void vx_nvdec_caps_max_size(vx_nvdec_caps *caps, const vx_nvdec_format *format, unsigned *ret_w,
                            unsigned *ret_h) {
    CUVIDDECODECAPS c = ask(caps, format->codec, format->bit_depth);
    *ret_w = c.bIsSupported ? c.nMaxWidth : 0;
    *ret_h = c.bIsSupported ? c.nMaxHeight : 0;
}
