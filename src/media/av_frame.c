/* av_frame.c — describes a decoded AVFrame in the terms of frame.h. */
#include "av_frame.h"

#include <errno.h>
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>

/* What the metadata tells of the brightest pixel: content light level, else mastering display. */
static double peak_nits_of(const AVFrame *av) {
    const AVFrameSideData *side = av_frame_get_side_data(av, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
    const AVContentLightMetadata *level = side ? (const void *)side->data : NULL;
    if (level && level->MaxCLL >= 100 && level->MaxCLL <= 10000)
        return level->MaxCLL;
    side = av_frame_get_side_data(av, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    const AVMasteringDisplayMetadata *display = side ? (const void *)side->data : NULL;
    double nits = display && display->has_luminance ? av_q2d(display->max_luminance) : 0;
    return nits >= 100 && nits <= 10000 ? nits : 0;
}

static bool is_full_range(const AVFrame *av, const AVPixFmtDescriptor *desc) {
    switch (av->format) {
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_YUVJ422P:
    case AV_PIX_FMT_YUVJ444P:
    case AV_PIX_FMT_YUVJ440P:
    case AV_PIX_FMT_YUVJ411P:
        return true;
    default:
        return av->color_range == AVCOL_RANGE_JPEG || (desc->flags & AV_PIX_FMT_FLAG_RGB);
    }
}

static vx_frame_layout layout_of(const AVPixFmtDescriptor *desc) {
    const uint64_t other = AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM |
                           AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_BE |
                           AV_PIX_FMT_FLAG_FLOAT;
    const AVComponentDescriptor *comp = desc->comp;
    int bytes = comp[0].depth > 8 ? 2 : 1;
    if (desc->flags & other || comp[0].plane != 0 || comp[0].offset != 0 || comp[0].depth < 8 ||
        comp[0].depth > 16 || comp[0].step != bytes)
        return VX_FRAME_OTHER;
    if (desc->nb_components == 1)
        return VX_FRAME_GRAY;
    if (desc->nb_components != 3 || !(desc->flags & AV_PIX_FMT_FLAG_PLANAR))
        return VX_FRAME_OTHER;
    if (comp[1].plane == 1 && comp[2].plane == 2 && comp[1].step == bytes)
        return VX_FRAME_YUV_PLANAR;
    bool interleaved = comp[1].plane == 1 && comp[2].plane == 1 && comp[1].step == 2 * bytes;
    return interleaved && comp[1].offset == 0 ? VX_FRAME_YUV_SEMIPLANAR : VX_FRAME_OTHER;
}

static void release(void *owner) {
    AVFrame *av = owner;
    av_frame_free(&av);
}

int vx_av_frame_wrap(const AVFrame *av, vx_orientation orientation, int64_t number, double time_s,
                     vx_frame **ret_frame, vx_err *err) {
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(av->format);
    vx_frame like = {
        .device = VX_FRAME_HOST,
        .width_px = av->width,
        .height_px = av->height,
        .layout = layout_of(desc),
        .bit_depth = desc->comp[0].depth,
        .sample_bytes = desc->comp[0].depth > 8 ? 2 : 1,
        .low_bits = desc->comp[0].shift,
        .chroma_log2_w = desc->log2_chroma_w,
        .chroma_log2_h = desc->log2_chroma_h,
        .native_format = av->format,
        .matrix = av->colorspace,
        .transfer = av->color_trc,
        .full_range = is_full_range(av, desc),
        .peak_nits = peak_nits_of(av),
        .orientation = orientation,
        .number = number,
        .time_s = time_s,
    };
    for (int i = 0; i < 4; i++) {
        like.planes[i] = av->data[i];
        like.pitch_bytes[i] = av->linesize[i];
    }
    AVFrame *own = av_frame_clone(av);
    if (!own)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture");
    int rc = vx_frame_new(&like, release, own, ret_frame, err);
    if (rc != 0)
        av_frame_free(&own);
    return rc;
}

const AVFrame *vx_av_frame_of(const vx_frame *frame) {
    return frame->release == release ? frame->owner : NULL;
}
