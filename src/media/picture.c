/* picture.c — converts a decoded frame to upright full-range luma or RGB. */
#include "picture.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <math.h>
#include <string.h>

#include "av_error.h"
#include "base/mem.h"
#include "base/simd.h"
#include "frame/tone.h"
#include "yuv.h"

typedef struct plane {
    uint8_t *pixels; /* rows `stride` bytes apart */
    size_t capacity;
    int stride;
} plane;

struct vx_picture {
    const vx_frame *given; /* NULL before the first; may lie on a card */
    const vx_frame *frame; /* the same in host memory; NULL: not fetched */
    vx_frame *fetched;
    struct SwsContext *to_gray, *to_rgb, *to_hdr, *to_small;
    int small_key[6];    /* what to_small was made for */
    plane converted;     /* the frame as gray or RGB, as it lies in the file */
    plane turned;        /* the same, upright */
    plane hdr;           /* HDR: 16-bit RGB as it lies in the file */
    const vx_tone *tone; /* NULL until the first HDR picture */
    uint8_t *curve;      /* code value → full-range byte, for curve_key */
    uint32_t curve_key;
    vx_frame view; /* the last conversion's result */
};

vx_picture *vx_picture_new(void) {
    return vx_new(vx_picture);
}

vx_picture *vx_picture_free(vx_picture *picture) {
    if (!picture)
        return NULL;
    vx_frame_unref(picture->fetched);
    sws_freeContext(picture->to_gray);
    sws_freeContext(picture->to_rgb);
    sws_freeContext(picture->to_hdr);
    sws_freeContext(picture->to_small);
    vx_tone_unref(picture->tone);
    av_free(picture->hdr.pixels);
    av_free(picture->converted.pixels);
    av_free(picture->turned.pixels);
    free(picture->curve);
    free(picture);
    return NULL;
}

void vx_picture_set(vx_picture *picture, const vx_frame *frame) {
    picture->fetched = vx_frame_unref(picture->fetched);
    picture->given = frame;
    picture->frame = frame->device == VX_FRAME_HOST ? frame : NULL;
}

const vx_frame *vx_picture_frame(const vx_picture *picture) {
    return picture->given;
}

/* Sees to it that picture->frame is there. */
static int fetch(vx_picture *picture, vx_err *err) {
    const vx_frame *given = picture->given;
    if (picture->frame)
        return 0;
    if (!given->fetch)
        return VX_FAIL(err, -EINVAL, "a picture in the memory of cuda:%d cannot be converted here",
                       given->device);
    int rc = given->fetch(given, &picture->fetched, err);
    picture->frame = rc == 0 ? picture->fetched : NULL;
    return rc;
}

static const int32_t *display_matrix(const AVStream *stream) {
#if LIBAVCODEC_VERSION_MAJOR >= 61
    const AVPacketSideData *side =
        av_packet_side_data_get(stream->codecpar->coded_side_data,
                                stream->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    return side && side->size >= 9 * sizeof(int32_t) ? (const int32_t *)side->data : NULL;
#else
    size_t n_bytes = 0;
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &n_bytes);
    return data && n_bytes >= 9 * sizeof(int32_t) ? (const int32_t *)(const void *)data : NULL;
#endif
}

/* The matrix maps a stored point (x, y) to the shown point (a·x + c·y, b·x + d·y). Quarter turns and
 * mirrors have two of the four near zero; anything else becomes the nearest of these. */
vx_orientation vx_orientation_of(const AVStream *stream, int *ret_rotation_deg) {
    vx_orientation o = {0};
    *ret_rotation_deg = 0;
    const int32_t *m = display_matrix(stream);
    if (!m)
        return o;
    int64_t a = m[0], b = m[1], c = m[3], d = m[4];
    o.transpose = llabs(b) + llabs(c) > llabs(a) + llabs(d);
    o.flip_x = (o.transpose ? c : a) < 0;
    o.flip_y = (o.transpose ? b : d) < 0;
    if (o.transpose)
        *ret_rotation_deg = o.flip_x ? 90 : 270;
    else
        *ret_rotation_deg = o.flip_y ? 180 : 0;
    return o;
}

static int reserve(plane *p, size_t n_bytes, vx_err *err) {
    if (n_bytes <= p->capacity)
        return 0;
    av_free(p->pixels);
    p->capacity = 0;
    p->pixels = av_malloc(n_bytes);
    if (!p->pixels)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture of %zu bytes", n_bytes);
    p->capacity = n_bytes;
    return 0;
}

/* Room for w x h pixels in p, rows padded for the vector code of libswscale. */
static int reserve_picture(plane *p, int w, int h, int channels, vx_err *err) {
    size_t row, n_bytes;
    if (!vx_mul((size_t)w, (size_t)channels, &row) || !vx_add(row, 63, &row))
        return VX_FAIL(err, -EOVERFLOW, "a picture %d pixels wide does not fit", w);
    row &= ~(size_t)63;
    if (row > INT32_MAX || !vx_mul(row, (size_t)h, &n_bytes))
        return VX_FAIL(err, -EOVERFLOW, "a picture of %dx%d pixels does not fit", w, h);
    p->stride = (int)row;
    return reserve(p, n_bytes, err);
}

/* ---- turning ---- */

/* Copies in (w x h) to out, turned upright; in blocks, so that both stay in the cache. */
static void turn(const uint8_t *in, ptrdiff_t in_stride, int w, int h, int channels,
                 vx_orientation o, uint8_t *out, int out_stride) {
    enum { BLOCK = 32 };
    for (int y0 = 0; y0 < h; y0 += BLOCK) {
        for (int x0 = 0; x0 < w; x0 += BLOCK) {
            for (int y = y0; y < h && y < y0 + BLOCK; y++) {
                for (int x = x0; x < w && x < x0 + BLOCK; x++) {
                    int out_w = o.transpose ? h : w, out_h = o.transpose ? w : h;
                    int tx = o.transpose ? y : x, ty = o.transpose ? x : y;
                    tx = o.flip_x ? out_w - 1 - tx : tx;
                    ty = o.flip_y ? out_h - 1 - ty : ty;
                    memcpy(out + (ptrdiff_t)ty * out_stride + tx * channels,
                           in + y * in_stride + x * channels, (size_t)channels);
                }
            }
        }
    }
}

/* Gives w x h converted pixels, full range, as an upright view. */
static int show_upright(vx_picture *picture, const uint8_t *in, ptrdiff_t in_stride, int w, int h,
                        int channels, const vx_frame **ret_view, vx_err *err) {
    const vx_frame *f = picture->frame;
    vx_orientation o = f->orientation;
    int shown_w = o.transpose ? h : w, shown_h = o.transpose ? w : h;
    if (o.transpose || o.flip_x || o.flip_y) {
        plane *turned = &picture->turned;
        int rc = reserve_picture(turned, shown_w, shown_h, channels, err);
        if (rc != 0)
            return rc;
        turn(in, in_stride, w, h, channels, o, turned->pixels, turned->stride);
        in = turned->pixels;
        in_stride = turned->stride;
    }
    picture->view = vx_frame_view(channels == 3 ? VX_FRAME_RGB : VX_FRAME_GRAY, in, shown_w,
                                  shown_h, in_stride);
    picture->view.number = f->number;
    picture->view.time_s = f->time_s;
    *ret_view = &picture->view;
    return 0;
}

/* The same of what lies in picture->converted. */
static int show_converted(vx_picture *picture, int w, int h, int channels,
                          const vx_frame **ret_view, vx_err *err) {
    return show_upright(picture, picture->converted.pixels, picture->converted.stride, w, h,
                        channels, ret_view, err);
}

/* ---- colour ---- */

/* The yuvj formats are yuv formats with the full range built into the name. */
static enum AVPixelFormat plain_format(enum AVPixelFormat format) {
    switch ((int)format) {
    case AV_PIX_FMT_YUVJ420P:
        return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
        return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
        return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P:
        return AV_PIX_FMT_YUV440P;
    default:
        return format;
    }
}

static int scale(struct SwsContext *sws, const vx_frame *f, const plane *out) {
    int strides[4], to_strides[4] = {out->stride};
    uint8_t *planes[4] = {out->pixels};
    for (int i = 0; i < 4; i++)
        strides[i] = (int)f->pitch_bytes[i];
    return sws_scale(sws, f->planes, strides, 0, f->height_px, planes, to_strides);
}

/* Converts the frame into *out: w x h pixels, full range, not yet upright. */
static int convert(vx_picture *picture, struct SwsContext **sws, enum AVPixelFormat to, int w,
                   int h, plane *out, vx_err *err) {
    const vx_frame *f = picture->frame;
    enum AVPixelFormat from = plain_format(f->native_format);
    if (!sws_isSupportedInput(from))
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "pictures of the format %s cannot be read",
                       av_get_pix_fmt_name(from));
    int bytes = to == AV_PIX_FMT_RGB48 ? 6 : to == AV_PIX_FMT_RGB24 ? 3 : 1;
    int rc = reserve_picture(out, w, h, bytes, err);
    if (rc != 0)
        return rc;
    bool resized = w != f->width_px || h != f->height_px;
    int flags = SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND |
                (resized ? SWS_AREA : SWS_BILINEAR);
    *sws = sws_getCachedContext(*sws, f->width_px, f->height_px, from, w, h, to, flags, NULL, NULL,
                                NULL);
    if (!*sws)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "pictures of the format %s cannot be converted",
                       av_get_pix_fmt_name(from));
    const int *matrix = sws_getCoefficients(vx_frame_matrix(f));
    sws_setColorspaceDetails(*sws, matrix, f->full_range, matrix, 1, 0, 1 << 16, 1 << 16);
    rc = scale(*sws, f, out);
    if (rc < 0)
        return vx_media_fail_av(err, VX_MEDIA_DAMAGED, rc, "a picture cannot be converted");
    return 0;
}

/* The frame as full-range RGB of 1 or 2 bytes a sample in *out: w x h pixels, not yet upright. What has
 * its own size and a usual layout is converted by yuv.h, the rest by libswscale. */
static int convert_rgb(vx_picture *picture, struct SwsContext **sws, int sample_bytes, int w, int h,
                       plane *out, vx_err *err) {
    const vx_frame *f = picture->frame;
    vx_yuv_weights weights;
    if (w != f->width_px || h != f->height_px || !vx_yuv_is_planar(f) ||
        !vx_frame_yuv_weights(f, &weights))
        return convert(picture, sws, sample_bytes == 1 ? AV_PIX_FMT_RGB24 : AV_PIX_FMT_RGB48, w, h,
                       out, err);
    int rc = reserve_picture(out, w, h, 3 * sample_bytes, err);
    return rc ? rc : vx_yuv_to_rgb(f, &weights, sample_bytes, out->pixels, out->stride, err);
}

/* An HDR frame as SDR RGB in picture->converted. */
static int convert_hdr(vx_picture *picture, int w, int h, vx_err *err) {
    int rc = 0;
    if (!picture->tone || !vx_tone_fits(picture->tone, picture->frame)) {
        picture->tone = vx_tone_unref(picture->tone);
        rc = vx_tone_get(picture->frame, &picture->tone, err);
    }
    if (rc == 0)
        rc = convert_rgb(picture, &picture->to_hdr, 2, w, h, &picture->hdr, err);
    if (rc == 0)
        rc = reserve_picture(&picture->converted, w, h, 3, err);
    for (int y = 0; y < h && rc == 0; y++)
        vx_tone_row(picture->tone,
                    (const uint16_t *)(const void *)(picture->hdr.pixels +
                                                     (ptrdiff_t)y * picture->hdr.stride),
                    w, picture->converted.pixels + (ptrdiff_t)y * picture->converted.stride);
    return rc;
}

int vx_picture_rgb_as_stored(vx_picture *picture, int w, int h, const uint8_t **ret_pixels,
                             int *ret_stride, vx_err *err) {
    int rc = fetch(picture, err);
    if (rc != 0)
        return rc;
    if (vx_frame_is_hdr(picture->frame))
        rc = convert_hdr(picture, w, h, err);
    else
        rc = convert_rgb(picture, &picture->to_rgb, 1, w, h, &picture->converted, err);
    *ret_pixels = picture->converted.pixels;
    *ret_stride = picture->converted.stride;
    return rc;
}

static int scaled_rgb(vx_picture *picture, int w, int h, const vx_frame **ret_rgb, vx_err *err) {
    const uint8_t *pixels;
    int stride, rc = vx_picture_rgb_as_stored(picture, w, h, &pixels, &stride, err);
    return rc ? rc : show_converted(picture, w, h, 3, ret_rgb, err);
}

int vx_picture_rgb(vx_picture *picture, const vx_frame **ret_rgb, vx_err *err) {
    return scaled_rgb(picture, picture->given->width_px, picture->given->height_px, ret_rgb, err);
}

int vx_picture_rgb_within(vx_picture *picture, double aspect, int max_side_px,
                          const vx_frame **ret_rgb, vx_err *err) {
    double w = picture->given->width_px, h = picture->given->height_px;
    if (picture->given->orientation.transpose)
        aspect = 1 / aspect;
    if (aspect > 1)
        h /= aspect;
    else
        w *= aspect;
    double side = w > h ? w : h, scale = side > max_side_px ? max_side_px / side : 1;
    int to_w = (int)lrint(w * scale), to_h = (int)lrint(h * scale);
    return scaled_rgb(picture, to_w > 0 ? to_w : 1, to_h > 0 ? to_h : 1, ret_rgb, err);
}

/* ---- small pictures, as the ffmpeg program makes them ---- */

/* A context with what `ffmpeg -s WxH -pix_fmt rgb24` sets: plain bicubic, 4:2:0 chroma sited as in
 * MPEG-2, the matrix that the stream names or else BT.601, whatever the size. */
static struct SwsContext *new_scaler(const vx_frame *f, enum AVPixelFormat from, int w, int h) {
    struct SwsContext *sws = sws_alloc_context();
    if (!sws)
        return NULL;
    av_opt_set_int(sws, "srcw", f->width_px, 0);
    av_opt_set_int(sws, "srch", f->height_px, 0);
    av_opt_set_int(sws, "src_format", from, 0);
    av_opt_set_int(sws, "dstw", w, 0);
    av_opt_set_int(sws, "dsth", h, 0);
    av_opt_set_int(sws, "dst_format", AV_PIX_FMT_RGB24, 0);
    av_opt_set_int(sws, "sws_flags", SWS_BICUBIC, 0);
    if (from == AV_PIX_FMT_YUV420P)
        av_opt_set_int(sws, "src_v_chr_pos", 128, 0);
    const int *matrix = sws_getCoefficients(f->matrix);
    sws_setColorspaceDetails(sws, matrix, f->full_range, matrix, 0, 0, 1 << 16, 1 << 16);
    if (sws_init_context(sws, NULL, NULL) >= 0)
        return sws;
    sws_freeContext(sws);
    return NULL;
}

int vx_picture_rgb_small(vx_picture *picture, int width_px, int height_px, const vx_frame **ret_rgb,
                         vx_err *err) {
    int rc = fetch(picture, err);
    if (rc != 0)
        return rc;
    const vx_frame *f = picture->frame;
    bool turned = f->orientation.transpose;
    int w = turned ? height_px : width_px, h = turned ? width_px : height_px;
    int key[6] = {
        f->width_px, f->height_px, f->native_format, w, h, (int)f->matrix << 1 | f->full_range};
    rc = reserve_picture(&picture->converted, w, h, 3, err);
    if (rc != 0)
        return rc;
    if (!picture->to_small || memcmp(key, picture->small_key, sizeof key)) {
        sws_freeContext(picture->to_small);
        picture->to_small = new_scaler(f, plain_format(f->native_format), w, h);
        memcpy(picture->small_key, key, sizeof key);
    }
    if (!picture->to_small)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "pictures of the format %s cannot be scaled",
                       av_get_pix_fmt_name(f->native_format));
    rc = scale(picture->to_small, f, &picture->converted);
    if (rc < 0)
        return vx_media_fail_av(err, VX_MEDIA_DAMAGED, rc, "a picture cannot be scaled");
    return show_converted(picture, w, h, 3, ret_rgb, err);
}

/* ---- luma without libswscale ---- */

/* Whether luma lies in plane 0 alone, in bytes or native words. */
static bool has_plain_luma(const AVPixFmtDescriptor *desc) {
    uint64_t other = AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BITSTREAM |
                     AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BE | AV_PIX_FMT_FLAG_FLOAT;
    const AVComponentDescriptor *luma = &desc->comp[0];
    return !(desc->flags & other) && luma->plane == 0 && luma->depth >= 8 && luma->depth <= 16 &&
           luma->step == (luma->depth > 8 ? 2 : 1) && luma->offset == 0;
}

/* The table for a bit depth and range: limited range [16,235]·2^(depth-8) and full range
 * [0, 2^depth - 1] both to [0,255], rounded. */
static int make_curve(vx_picture *picture, int depth, bool full, vx_err *err) {
    uint32_t key = (uint32_t)depth << 1 | full;
    if (picture->curve_key == key)
        return 0;
    picture->curve_key = 0;
    free(picture->curve);
    int n = 1 << depth;
    picture->curve = malloc((size_t)n);
    if (!picture->curve)
        return VX_FAIL(err, -ENOMEM, "no memory for a luma table");
    double black = full ? 0 : 16 << (depth - 8), white = full ? n - 1 : 235 << (depth - 8);
    for (int i = 0; i < n; i++) {
        double value = round((i - black) * 255 / (white - black));
        picture->curve[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
    picture->curve_key = key;
    return 0;
}

static void apply_curve(const uint8_t *curve, const vx_frame *f, const AVComponentDescriptor *luma,
                        uint8_t *out, int out_stride) {
    int mask = (1 << luma->depth) - 1;
    for (int y = 0; y < f->height_px; y++) {
        const uint8_t *row = f->planes[0] + y * f->pitch_bytes[0];
        uint8_t *to = out + (ptrdiff_t)y * out_stride;
        if (luma->step == 1) {
            for (int x = 0; x < f->width_px; x++)
                to[x] = curve[row[x]];
        } else {
            const uint16_t *words = (const uint16_t *)(const void *)row;
            for (int x = 0; x < f->width_px; x++)
                to[x] = curve[words[x] >> luma->shift & mask];
        }
    }
}

/* The curve of 8-bit limited range as arithmetic, three times as fast as the table and equal to it
 * for every value: v * 255 / 219 is v + v * 36 / 219, here in 16 bits, which vectors hold most of. */
VX_SIMD_CLONES static void stretch_row(const uint8_t *restrict row, int w, uint8_t *restrict to) {
#pragma omp simd
    for (int x = 0; x < w; x++) {
        uint8_t code = row[x] < 16 ? 16 : row[x];
        uint16_t value = (uint16_t)((code > 235 ? 235 : code) - 16), plus_3 = (uint16_t)(value + 3);
        to[x] = (uint8_t)(value + (uint16_t)((uint32_t)plus_3 * 10774 >> 16));
    }
}

/* Luma of the tone-mapped picture, BT.709, in place of its RGB. */
static int hdr_luma(vx_picture *picture, vx_err *err) {
    const vx_frame *f = picture->frame;
    int rc = convert_hdr(picture, f->width_px, f->height_px, err);
    for (int y = 0; y < f->height_px && rc == 0; y++) {
        uint8_t *row = picture->converted.pixels + (ptrdiff_t)y * picture->converted.stride;
        for (int x = 0; x < f->width_px; x++) /* out never overtakes in: 1 byte for 3 */
            row[x] = (uint8_t)((13933 * row[3 * x] + 46871 * row[3 * x + 1] +
                                4732 * row[3 * x + 2] + (1 << 15)) >>
                               16);
    }
    return rc;
}

static int to_full_range(vx_picture *picture, vx_err *err) {
    const vx_frame *f = picture->frame;
    const AVComponentDescriptor *luma = &av_pix_fmt_desc_get(f->native_format)->comp[0];
    plane *out = &picture->converted;
    int rc = reserve_picture(out, f->width_px, f->height_px, 1, err);
    if (rc == 0 && luma->step == 1 && !f->full_range) {
        for (int y = 0; y < f->height_px; y++)
            stretch_row(f->planes[0] + y * f->pitch_bytes[0], f->width_px,
                        out->pixels + (ptrdiff_t)y * out->stride);
        return 0;
    }
    if (rc == 0)
        rc = make_curve(picture, luma->depth, f->full_range, err);
    if (rc == 0)
        apply_curve(picture->curve, f, luma, out->pixels, out->stride);
    return rc;
}

int vx_picture_luma(vx_picture *picture, const vx_frame **ret_luma, vx_err *err) {
    int rc = fetch(picture, err);
    if (rc != 0)
        return rc;
    const vx_frame *f = picture->frame;
    const AVPixFmtDescriptor *desc = av_pix_fmt_desc_get(f->native_format);
    int w = f->width_px, h = f->height_px;
    if (vx_frame_is_hdr(f))
        rc = hdr_luma(picture, err);
    else if (!has_plain_luma(desc))
        rc = convert(picture, &picture->to_gray, AV_PIX_FMT_GRAY8, w, h, &picture->converted, err);
    else if (desc->comp[0].depth == 8 && f->full_range)
        return show_upright(picture, f->planes[0], f->pitch_bytes[0], w, h, 1, ret_luma, err);
    else
        rc = to_full_range(picture, err);
    return rc != 0 ? rc : show_converted(picture, w, h, 1, ret_luma, err);
}
