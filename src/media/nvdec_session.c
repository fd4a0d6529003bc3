/* nvdec_session.c — packets into NVDEC's parser, wanted pictures out.
 *
 * The parser is told that each packet ends a picture, so its callbacks for a packet come inside the
 * call that gives it. That is how pictures and packets are matched: timestamps may repeat. A parser
 * costs 0.03 ms and begins with a clean state, so each part has its own; the decoder is borrowed.
 *
 * H.264, HEVC: the picture is mapped right after it was given to the decoder. VP9 and AV1 have
 * packets with several pictures, or that show an earlier one: the display callback names the surface.
 *
 * A picture is exact only if it and all that it refers to were decoded without an error. Mapping waits
 * for the picture, and a decoder works in order; so then the status of every picture since the last
 * mapping is known and asked for, before this one is handed on. Anything else that is not as it must
 * be (a packet without a picture, another size) makes the CPU decode the clip from its start.
 *
 * Up to VX_NVDEC_OUTPUTS pictures stay mapped while the receiver's work on them is in the stream.
 */
#include "nvdec_session.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { MAX_SURFACES = 64 };

typedef struct session {
    const vx_nvdec_clip *clip;
    vx_nvdec_pool *pool;
    const CuvidFunctions *cuvid;
    const CudaFunctions *cuda;
    CUvideoparser parser;
    vx_nvdec_decoder *decoder; /* NULL until the sequence header */
    vx_frame frame;            /* what all pictures have in common */

    int64_t packet;  /* being parsed */
    int n_decoded;   /* complete pictures of it */
    bool handed_on;  /* its picture */
    uint64_t unread; /* bit i: the status of surface i was not asked for */

    CUdeviceptr mapped[VX_NVDEC_OUTPUTS];
    unsigned n_mapped, n_unmapped; /* in all; the ring's ends */

    vx_nvdec_session_stats stats;
    vx_nvdec_reason reason;
    int rc; /* of the receiver */
    vx_err *err;
} session;

static bool has_failed(const session *s) {
    return s->rc != 0 || s->reason != VX_NVDEC_ACCEPTED;
}

#define REFUSE(s, why, ...)                                                                        \
    ((s)->reason = has_failed(s) ? (s)->reason : (VX_FAIL((s)->err, 1, __VA_ARGS__), (why)))

static void refuse_call(session *s, CUresult result, const char *call) {
    if (has_failed(s))
        return;
    int rc = vx_card_driver_fail(s->pool->driver, result, call, s->err);
    s->reason = rc == -ENOMEM ? VX_NVDEC_MEMORY : VX_NVDEC_FAILED;
}

/* ---- pictures ---- */

/* Waits for the receiver's work on the picture mapped first, and unmaps it. */
static void unmap_oldest(session *s) {
    unsigned i = s->n_unmapped++ % VX_NVDEC_OUTPUTS;
    CUresult result = s->cuda->cuEventSynchronize(s->decoder->events[i]);
    if (result != CUDA_SUCCESS)
        refuse_call(s, result, "cuEventSynchronize");
    result = s->cuvid->cuvidUnmapVideoFrame(s->decoder->handle, s->mapped[i]);
    if (result != CUDA_SUCCESS)
        refuse_call(s, result, "cuvidUnmapVideoFrame");
}

/* Asks how the picture in the surface came out, unless it is still being decoded. */
static void read_status(session *s, int surface) {
    CUVIDGETDECODESTATUS status = {0};
    s->unread &= ~(UINT64_C(1) << surface);
    CUresult result = s->cuvid->cuvidGetDecodeStatus(s->decoder->handle, surface, &status);
    if (result != CUDA_SUCCESS) /* not for every codec */
        return;
    if (status.decodeStatus == cuvidDecodeStatus_Error ||
        status.decodeStatus == cuvidDecodeStatus_Error_Concealed)
        REFUSE(s, VX_NVDEC_DAMAGED, "a picture before packet %lld is damaged",
               (long long)s->packet);
}

static void read_statuses(session *s) {
    for (int i = 0; i < MAX_SURFACES; i++)
        if (s->unread >> i & 1)
            read_status(s, i);
}

/* Gives the receiver the mapped picture at `address`; it stays mapped until its event. */
static void give_frame(session *s, CUdeviceptr address, unsigned pitch) {
    const vx_nvdec_clip *clip = s->clip;
    vx_frame *f = &s->frame;
    f->planes[0] = (const uint8_t *)(uintptr_t)address;
    f->planes[1] = f->planes[0] + (size_t)pitch * s->decoder->made_for.max_h;
    f->pitch_bytes[0] = f->pitch_bytes[1] = pitch;
    f->number = clip->number[s->packet];
    f->time_s = clip->media->times[f->number];
    bool requested = clip->take[s->packet] == VX_NVDEC_REQUESTED;
    s->rc = clip->on_frame(clip->ctx, f, requested, s->err);
    s->stats.n_requested += requested && s->rc == 0;
    s->handed_on = true;
}

static void hand_on(session *s, int surface, bool progressive) {
    if (s->n_mapped - s->n_unmapped == VX_NVDEC_OUTPUTS)
        unmap_oldest(s);
    if (has_failed(s))
        return;
    CUVIDPROCPARAMS how = {.progressive_frame = progressive, .output_stream = s->decoder->stream};
    CUdeviceptr address = 0;
    unsigned pitch = 0;
    CUresult result =
        s->cuvid->cuvidMapVideoFrame(s->decoder->handle, surface, &address, &pitch, &how);
    if (result != CUDA_SUCCESS) {
        refuse_call(s, result, "cuvidMapVideoFrame");
        return;
    }
    read_statuses(s);
    if (!has_failed(s))
        give_frame(s, address, pitch);
    unsigned i = s->n_mapped++ % VX_NVDEC_OUTPUTS;
    s->mapped[i] = address;
    result = s->cuda->cuEventRecord(s->decoder->events[i], s->decoder->stream);
    if (result != CUDA_SUCCESS)
        refuse_call(s, result, "cuEventRecord");
}

/* ---- the parser's callbacks; 0 stops it ---- */

static bool is_shown_by_parser(const session *s) {
    cudaVideoCodec codec = vx_nvdec_codec(s->clip->media->par->codec_id);
    return codec == cudaVideoCodec_VP9 || codec == cudaVideoCodec_AV1;
}

/* What the stream says of its colours, else what the container says. */
static void describe_frames(session *s, const CUVIDEOFORMAT *f) {
    const vx_media *media = s->clip->media;
    const AVCodecParameters *par = media->par;
    int bit_depth = f->bit_depth_luma_minus8 + 8, sample_bytes = bit_depth > 8 ? 2 : 1;
    int matrix = f->video_signal_description.matrix_coefficients;
    int transfer = f->video_signal_description.transfer_characteristics;
    bool matrix_known = matrix != VX_MATRIX_RGB && matrix != VX_MATRIX_UNSPECIFIED;
    bool transfer_known = transfer != 0 && transfer != VX_TRANSFER_UNSPECIFIED;
    s->frame = (vx_frame){
        .device = s->clip->device,
        .width_px = f->display_area.right - f->display_area.left,
        .height_px = f->display_area.bottom - f->display_area.top,
        .layout = VX_FRAME_YUV_SEMIPLANAR,
        .bit_depth = bit_depth,
        .sample_bytes = sample_bytes,
        .low_bits = 8 * sample_bytes - bit_depth,
        .chroma_log2_w = 1,
        .chroma_log2_h = 1,
        .native_format = bit_depth > 8 ? AV_PIX_FMT_P016 : AV_PIX_FMT_NV12,
        .matrix = matrix_known ? matrix : (int)par->color_space,
        .transfer = transfer_known ? transfer : (int)par->color_trc,
        .full_range = f->video_signal_description.video_full_range_flag ||
                      par->color_range == AVCOL_RANGE_JPEG,
        .peak_nits = fmax(media->peak_nits, 0),
        .orientation = media->orientation,
        .stream = s->decoder->stream,
    };
}

static vx_nvdec_reason check_sequence(session *s, const CUVIDEOFORMAT *f,
                                      const vx_nvdec_format *format) {
    if (f->bit_depth_luma_minus8 != f->bit_depth_chroma_minus8)
        return REFUSE(s, VX_NVDEC_DEPTH, "luma and chroma differ in depth");
    if (f->display_area.left != 0 || f->display_area.top != 0)
        return REFUSE(s, VX_NVDEC_CROPPED, "the pictures are cropped at the left or the top");
    vx_nvdec_reason reason = vx_nvdec_caps_check(s->pool->caps, format);
    if (reason != VX_NVDEC_ACCEPTED || f->min_num_decode_surfaces > MAX_SURFACES)
        return REFUSE(s, reason ? reason : VX_NVDEC_STREAM,
                      "the card does not decode these pictures of %u x %u with %d bits: %s",
                      format->coded_w, format->coded_h, format->bit_depth,
                      vx_nvdec_reason_name(reason));
    return VX_NVDEC_ACCEPTED;
}

static int CUDAAPI on_sequence(void *ctx, CUVIDEOFORMAT *f) {
    session *s = ctx;
    if (has_failed(s))
        return 0;
    vx_nvdec_format format = {.codec = f->codec,
                              .chroma = f->chroma_format,
                              .bit_depth = f->bit_depth_luma_minus8 + 8,
                              .coded_w = f->coded_width,
                              .coded_h = f->coded_height};
    /* What VP9 codes may end within a block of 8, as the card stores it. */
    const vx_nvdec_geometry geometry = {(f->coded_width + 7) & ~7U, (f->coded_height + 7) & ~7U,
                                        f->min_num_decode_surfaces};
    if (s->decoder) {
        const vx_nvdec_geometry *has = &s->decoder->geometry;
        if (has->coded_w == geometry.coded_w && has->coded_h == geometry.coded_h &&
            has->n_surfaces >= geometry.n_surfaces && s->frame.bit_depth == format.bit_depth &&
            s->frame.width_px == f->display_area.right &&
            s->frame.height_px == f->display_area.bottom)
            return f->min_num_decode_surfaces;
        REFUSE(s, VX_NVDEC_CHANGED, "the pictures change their size or format at packet %lld",
               (long long)s->packet);
        return 0;
    }
    if (check_sequence(s, f, &format) != VX_NVDEC_ACCEPTED)
        return 0;
    int rc = vx_nvdec_pool_take(s->pool, &format, &geometry, &s->decoder, s->err);
    if (rc != 0) {
        s->reason = rc == -ENOMEM ? VX_NVDEC_MEMORY : VX_NVDEC_FAILED;
        return 0;
    }
    describe_frames(s, f);
    if (s->frame.transfer == VX_TRANSFER_PQ && s->clip->media->peak_nits < 0) {
        REFUSE(s, VX_NVDEC_HDR, "the pictures are PQ, which the file does not say");
        return 0;
    }
    return f->min_num_decode_surfaces;
}

static int CUDAAPI on_picture(void *ctx, CUVIDPICPARAMS *p) {
    session *s = ctx;
    if (has_failed(s))
        return 0;
    if (!s->decoder || p->CurrPicIdx < 0 || p->CurrPicIdx >= MAX_SURFACES) {
        REFUSE(s, VX_NVDEC_STREAM, "packet %lld has no usable picture", (long long)s->packet);
        return 0;
    }
    if (!p->second_field && s->unread >> p->CurrPicIdx & 1)
        read_status(s, p->CurrPicIdx);
    CUresult result = s->cuvid->cuvidDecodePicture(s->decoder->handle, p);
    if (result != CUDA_SUCCESS) {
        refuse_call(s, result, "cuvidDecodePicture");
        return 0;
    }
    s->unread |= UINT64_C(1) << p->CurrPicIdx;
    if (p->field_pic_flag && !p->second_field)
        return 1;
    s->n_decoded++;
    if (s->clip->take[s->packet] != VX_NVDEC_IGNORE && !is_shown_by_parser(s) && !s->handed_on)
        hand_on(s, p->CurrPicIdx, !p->field_pic_flag);
    return !has_failed(s);
}

static int CUDAAPI on_display(void *ctx, CUVIDPARSERDISPINFO *shown) {
    session *s = ctx;
    if (has_failed(s) || !shown || !s->decoder)
        return !has_failed(s);
    if (s->clip->take[s->packet] != VX_NVDEC_IGNORE && !s->handed_on)
        hand_on(s, shown->picture_index, true);
    return !has_failed(s);
}

/* ---- a part ---- */

static bool open_parser(session *s) {
    CUVIDPARSERPARAMS params = {
        .CodecType = vx_nvdec_codec(s->clip->media->par->codec_id),
        .ulMaxNumDecodeSurfaces = 1, /* the sequence callback says how many */
        .ulMaxDisplayDelay = 0,
        .pUserData = s,
        .pfnSequenceCallback = on_sequence,
        .pfnDecodePicture = on_picture,
        .pfnDisplayPicture = is_shown_by_parser(s) ? on_display : NULL,
    };
    CUresult result = s->cuvid->cuvidCreateVideoParser(&s->parser, &params);
    if (result != CUDA_SUCCESS)
        refuse_call(s, result, "cuvidCreateVideoParser");
    return result == CUDA_SUCCESS;
}

static void parse(session *s, const uint8_t *data, size_t n_bytes) {
    CUVIDSOURCEDATAPACKET packet = {.flags = CUVID_PKT_ENDOFPICTURE | CUVID_PKT_TIMESTAMP,
                                    .payload_size = n_bytes,
                                    .payload = data,
                                    .timestamp = s->packet};
    CUresult result = s->cuvid->cuvidParseVideoData(s->parser, &packet);
    if (result != CUDA_SUCCESS)
        refuse_call(s, result, "cuvidParseVideoData");
}

/* The first packet of a part, behind the parameter sets that it may lack. */
static void parse_first(session *s, const AVPacket *packet) {
    const vx_nvdec_clip *clip = s->clip;
    size_t n_bytes = (size_t)packet->size;
    if (clip->headers_bytes == 0 || (clip->media->packets[s->packet].flags & VX_PACKET_SETS)) {
        parse(s, packet->data, n_bytes);
        return;
    }
    VX_AUTO_FREE uint8_t *joined = malloc(clip->headers_bytes + n_bytes);
    if (!joined) {
        s->rc = VX_FAIL(s->err, -ENOMEM, "no memory for a packet of %zu bytes", n_bytes);
        return;
    }
    memcpy(joined, clip->headers, clip->headers_bytes);
    memcpy(joined + clip->headers_bytes, packet->data, n_bytes);
    parse(s, joined, clip->headers_bytes + n_bytes);
}

/* Whether the packet that was just parsed gave what the table says. */
static void check_packet(session *s) {
    if (has_failed(s))
        return;
    bool hidden = s->clip->media->packets[s->packet].flags & VX_PACKET_HIDDEN;
    bool taken = s->clip->take[s->packet] != VX_NVDEC_IGNORE;
    bool complete = is_shown_by_parser(s) || hidden || s->n_decoded == 1;
    if (!complete || (taken && !s->handed_on))
        REFUSE(s, VX_NVDEC_DAMAGED, "packet %lld gave %d pictures", (long long)s->packet,
               s->n_decoded);
}

int vx_nvdec_session_run(const vx_nvdec_clip *clip, vx_nvdec_pool *pool,
                         const vx_nvdec_source *source, vx_nvdec_session_stats *ret_stats,
                         vx_nvdec_reason *ret_reason, vx_err *err) {
    vx_err own_err;
    session s = {.clip = clip,
                 .pool = pool,
                 .cuvid = pool->driver->cuvid,
                 .cuda = pool->driver->cuda,
                 .err = err ? err : &own_err};
    const AVPacket *packet = NULL;
    if (open_parser(&s))
        packet = source->next(source->ctx, &s.packet);
    while (packet && !has_failed(&s)) {
        s.n_decoded = 0;
        s.handed_on = false;
        if (s.stats.n_fed++ == 0)
            parse_first(&s, packet);
        else
            parse(&s, packet->data, (size_t)packet->size);
        check_packet(&s);
        packet = has_failed(&s) ? NULL : source->next(source->ctx, &s.packet);
    }
    while (s.n_unmapped < s.n_mapped)
        unmap_oldest(&s);
    if (s.parser)
        s.cuvid->cuvidDestroyVideoParser(s.parser);
    bool broken =
        s.reason == VX_NVDEC_FAILED || s.reason == VX_NVDEC_MEMORY || s.reason == VX_NVDEC_DAMAGED;
    if (s.decoder)
        vx_nvdec_pool_give(pool, s.decoder, broken);
    *ret_stats = s.stats;
    *ret_reason = s.reason;
    return s.rc;
}
