/* jpeg.c — decodes one JPEG picture in memory, for clients that send frames instead of a video. */
#include <errno.h>
#include <libavcodec/avcodec.h>
#include <string.h>

#include "av_error.h"
#include "av_frame.h"
#include "picture.h"

typedef struct jpeg {
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame;
    vx_picture *picture;
} jpeg;

static void jpeg_done(jpeg *j) {
    avcodec_free_context(&j->decoder);
    av_packet_free(&j->packet);
    av_frame_free(&j->frame);
    vx_picture_free(j->picture);
}
#define AUTO_JPEG __attribute__((cleanup(jpeg_done))) jpeg

/* Size of the picture as its first frame header states it; false when there is none. */
static bool read_size(const uint8_t *bytes, size_t n, int *ret_w, int *ret_h) {
    for (size_t at = 2; at + 9 < n && bytes[at] == 0xff;) {
        uint8_t marker = bytes[at + 1];
        size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        bool is_frame =
            marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
        if (is_frame) {
            *ret_h = bytes[at + 5] << 8 | bytes[at + 6];
            *ret_w = bytes[at + 7] << 8 | bytes[at + 8];
            return true;
        }
        at += marker == 0xff ? 1 : 2 + length; /* fill bytes may stand before a marker */
    }
    return false;
}

/* The decoder silently fills a truncated picture with grey, so an end marker is required. */
static bool has_end(const uint8_t *bytes, size_t n) {
    for (size_t i = n; i >= 2; i--)
        if (bytes[i - 2] == 0xff && bytes[i - 1] == 0xd9)
            return true;
    return false;
}

static int check_size(int w, int h, int max_side_px, vx_err *err) {
    if (w < 1 || h < 1)
        return VX_FAIL(err, VX_MEDIA_DAMAGED, "the JPEG picture is %dx%d", w, h);
    if (w > max_side_px || h > max_side_px)
        return VX_FAIL(err, VX_MEDIA_TOO_LARGE,
                       "the JPEG picture is %dx%d pixels; at most %d a side", w, h, max_side_px);
    return 0;
}

static int check(const uint8_t *bytes, size_t n, int max_side_px, vx_err *err) {
    int w = 0, h = 0;
    if (n < 4 || bytes[0] != 0xff || bytes[1] != 0xd8 || bytes[2] != 0xff)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "not a JPEG picture");
    if (!read_size(bytes, n, &w, &h) || !has_end(bytes, n))
        return VX_FAIL(err, VX_MEDIA_DAMAGED, "the JPEG picture breaks off");
    return check_size(w, h, max_side_px, err);
}

static int decode(jpeg *j, const uint8_t *bytes, size_t n, int max_side_px, vx_err *err) {
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_MJPEG);
    if (!codec)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "this build cannot decode JPEG");
    j->decoder = avcodec_alloc_context3(codec);
    j->packet = av_packet_alloc();
    j->frame = av_frame_alloc();
    j->picture = vx_picture_new();
    if (!j->decoder || !j->packet || !j->frame || !j->picture ||
        n > INT32_MAX - AV_INPUT_BUFFER_PADDING_SIZE || av_new_packet(j->packet, (int)n) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a JPEG picture");
    memcpy(j->packet->data, bytes, n);
    j->decoder->thread_count = 1;
    j->decoder->max_pixels = (int64_t)max_side_px * max_side_px;
    j->decoder->err_recognition = AV_EF_EXPLODE;
    int rc = avcodec_open2(j->decoder, codec, NULL);
    if (rc >= 0)
        rc = avcodec_send_packet(j->decoder, j->packet);
    if (rc >= 0)
        rc = avcodec_send_packet(j->decoder, NULL);
    if (rc >= 0)
        rc = avcodec_receive_frame(j->decoder, j->frame);
    if (rc == AVERROR(ENOMEM))
        return VX_FAIL(err, -ENOMEM, "no memory for a JPEG picture");
    if (rc < 0 || j->frame->decode_error_flags)
        return vx_media_fail_av(err, VX_MEDIA_DAMAGED, rc < 0 ? rc : AVERROR_INVALIDDATA,
                                "the JPEG picture is damaged");
    /* JFIF has one matrix and range, whatever the size of the picture */
    if (j->frame->colorspace == AVCOL_SPC_UNSPECIFIED)
        j->frame->colorspace = AVCOL_SPC_BT470BG;
    j->frame->color_range = AVCOL_RANGE_JPEG;
    /* a second frame header may state another size than the first */
    return check_size(j->frame->width, j->frame->height, max_side_px, err);
}

int vx_media_jpeg(const void *bytes, size_t n, int max_side_px, vx_media_on_picture on_picture,
                  void *ctx, vx_err *err) {
    AUTO_JPEG j = {0};
    int rc = check(bytes, n, max_side_px, err);
    if (!rc)
        rc = decode(&j, bytes, n, max_side_px, err);
    VX_AUTO(vx_frame) frame = NULL;
    if (!rc)
        rc = vx_av_frame_wrap(j.frame, (vx_orientation){0}, 0, 0, &frame, err);
    if (rc)
        return rc;
    vx_picture_set(j.picture, frame);
    return on_picture(ctx, 0, 0, j.picture, err);
}
