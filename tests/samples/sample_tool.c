/* sample_tool FILE START_S END_S OUT [ENCODER] — a part of a film, encoded anew: the clips of ./dev
 * sample. OUT ends in .mp4, or in .mkv for Matroska. */
#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/media.h"

/* Copies the first video stream of one file into a file of another kind, which its name says. */
static int remux(const char *from, const char *to) {
    AVFormatContext *in = NULL, *out = NULL;
    AVPacket *packet = av_packet_alloc();
    AVStream *stream;
    int rc = packet ? avformat_open_input(&in, from, NULL, NULL) : -1;
    if (rc >= 0)
        rc = avformat_find_stream_info(in, NULL);
    int video = rc >= 0 ? av_find_best_stream(in, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0) : rc;
    if (video < 0 || (rc = avformat_alloc_output_context2(&out, NULL, NULL, to)) < 0)
        goto end;
    stream = avformat_new_stream(out, NULL);
    if (!stream ||
        (rc = avcodec_parameters_copy(stream->codecpar, in->streams[video]->codecpar)) < 0)
        goto end;
    stream->codecpar->codec_tag = 0;
    stream->time_base = in->streams[video]->time_base;
    rc = avio_open(&out->pb, to, AVIO_FLAG_WRITE);
    if (rc >= 0)
        rc = avformat_write_header(out, NULL);
    for (; rc >= 0 && av_read_frame(in, packet) >= 0; av_packet_unref(packet)) {
        if (packet->stream_index != video)
            continue;
        av_packet_rescale_ts(packet, in->streams[video]->time_base, stream->time_base);
        packet->stream_index = 0;
        rc = av_interleaved_write_frame(out, packet);
    }
    if (rc >= 0)
        rc = av_write_trailer(out);
end:
    if (out)
        avio_closep(&out->pb);
    avformat_free_context(out);
    avformat_close_input(&in);
    av_packet_free(&packet);
    return video < 0 ? video : rc;
}

int main(int argc, char **argv) {
    if (argc < 5)
        return 64;
    const char *out = argv[4], *suffix = strrchr(out, '.');
    bool is_mkv = suffix && !strcmp(suffix, ".mkv");
    char mp4[4096];
    snprintf(mp4, sizeof mp4, "%s%s", out, is_mkv ? ".mp4" : "");
    const vx_media_cut_params want = {
        .start_s = atof(argv[2]), .end_s = atof(argv[3]), .encoder = argc > 5 ? argv[5] : NULL};
    vx_err err = {0};
    int rc = vx_media_cut_clip(argv[1], NULL, &want, mp4, NULL, &err);
    if (rc) {
        fprintf(stderr, "%s: %s\n", out, err.msg);
        return 1;
    }
    if (is_mkv) {
        rc = remux(mp4, out);
        remove(mp4);
        if (rc < 0)
            fprintf(stderr, "%s: %s\n", out, av_err2str(rc));
    }
    return rc < 0;
}
