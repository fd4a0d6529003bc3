/* clip_fixture.h — a clip for tests that decode: H.264 in MP4, 60 grey pictures of 320x240, each a little lighter
 * than the one before; no B pictures, a key picture every ten. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <unistd.h>

#define CLIP_TEMPLATE "/tmp/vidx-clip-XXXXXX.mp4"
enum { CLIP_W = 320, CLIP_H = 240, CLIP_FRAMES = 60, CLIP_KEY_EVERY = 10 };

static inline void clip_encode_frame(AVFormatContext *out, AVCodecContext *codec, AVFrame *frame) {
    AVPacket *packet = av_packet_alloc();
    assert_true(avcodec_send_frame(codec, frame) >= 0);
    while (avcodec_receive_packet(codec, packet) >= 0) {
        av_packet_rescale_ts(packet, codec->time_base, out->streams[0]->time_base);
        packet->stream_index = 0;
        assert_true(av_interleaved_write_frame(out, packet) >= 0);
    }
    av_packet_free(&packet);
}

/* path: a template of mkstemps with 4 more characters. False: FFmpeg has no encoder here, nothing was made. */
static inline bool clip_encode(char *path, enum AVColorTransferCharacteristic transfer) {
    av_log_set_level(AV_LOG_QUIET);
    const AVCodec *encoder = avcodec_find_encoder_by_name("libx264");
    if (!encoder)
        return false;
    close(mkstemps(path, 4));
    AVFormatContext *out = NULL;
    avformat_alloc_output_context2(&out, NULL, "mp4", path);
    AVCodecContext *codec = avcodec_alloc_context3(encoder);
    codec->width = CLIP_W;
    codec->height = CLIP_H;
    codec->pix_fmt = AV_PIX_FMT_YUV420P;
    codec->time_base = (AVRational){1, 30};
    codec->gop_size = CLIP_KEY_EVERY;
    codec->max_b_frames = 0;
    codec->color_trc = transfer;
    codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    assert_true(avcodec_open2(codec, encoder, NULL) >= 0);
    AVStream *stream = avformat_new_stream(out, NULL);
    avcodec_parameters_from_context(stream->codecpar, codec);
    stream->time_base = codec->time_base;
    assert_true(avio_open(&out->pb, path, AVIO_FLAG_WRITE) >= 0);
    assert_true(avformat_write_header(out, NULL) >= 0);
    AVFrame *frame = av_frame_alloc();
    frame->format = codec->pix_fmt;
    frame->width = CLIP_W;
    frame->height = CLIP_H;
    assert_true(av_frame_get_buffer(frame, 0) >= 0);
    for (int i = 0; i < CLIP_FRAMES; i++) {
        av_frame_make_writable(frame);
        for (int plane = 0; plane < 3; plane++)
            memset(frame->data[plane], plane ? 128 : 60 + 3 * i,
                   (size_t)(frame->linesize[plane] * (plane ? CLIP_H / 2 : CLIP_H)));
        frame->pts = i;
        clip_encode_frame(out, codec, frame);
    }
    clip_encode_frame(out, codec, NULL);
    av_write_trailer(out);
    avio_closep(&out->pb);
    avformat_free_context(out);
    avcodec_free_context(&codec);
    av_frame_free(&frame);
    return true;
}

/* The clip of a group of tests, which skip themselves where it could not be made. */
static char clip_path[] = CLIP_TEMPLATE;

static inline int clip_make(void **state) {
    (void)state;
    clip_encode(clip_path, AVCOL_TRC_UNSPECIFIED);
    return 0;
}

static inline int clip_remove(void **state) {
    (void)state;
    unlink(clip_path);
    return 0;
}
