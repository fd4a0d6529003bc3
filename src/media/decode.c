/* decode.c — decodes what the plan says and hands out the wanted pictures in order.
 *
 * Each packet goes to the decoder with its number in the table as its timestamp; every decoder
 * hands timestamps through to the picture, so a picture is known by the packet it came from even
 * where real timestamps repeat. If a wanted picture does not come out although the plan promised
 * it (a stream that breaks the rules its own headers state), the run is repeated without skipping.
 */
#include <libavutil/cpu.h>

#include "media/media_private.h"

enum { MAX_PENDING = 32 }; /* pictures held because an earlier wanted one is still missing */

typedef struct wanted_packet {
    int64_t packet;
    int64_t slot; /* index into frames */
} wanted_packet;

typedef struct decode_run {
    const vx_media *media;
    const int64_t *frames;
    int64_t n;
    wanted_packet *wanted; /* by packet; NULL where pictures are known by order */
    AVFrame **pending;     /* [n], decoded but waiting for an earlier slot */
    int n_pending;
    int64_t next_slot; /* everything before it has been handed out */
    int64_t n_decoded; /* in this run, for streams known by order */
    AVCodecContext *codec;
    AVFrame *frame;
    vx_picture *picture;
    vx_media_on_picture on_picture;
    void *ctx;
    vx_media_stats stats;
} decode_run;

static void run_done(decode_run *run) {
    for (int64_t i = 0; run->pending && i < run->n; i++)
        av_frame_free(&run->pending[i]);
    free(run->pending);
    free(run->wanted);
    avcodec_free_context(&run->codec);
    av_frame_free(&run->frame);
    vx_picture_free(run->picture);
}
#define AUTO_RUN __attribute__((cleanup(run_done))) decode_run

static int compare_wanted(const void *a, const void *b) {
    const wanted_packet *x = a, *y = b;
    return (x->packet > y->packet) - (x->packet < y->packet);
}

static int run_init(decode_run *run, vx_err *err) {
    const vx_media *media = run->media;
    run->pending = vx_new_array((size_t)run->n, sizeof(AVFrame *));
    run->wanted = vx_new_array((size_t)run->n, sizeof(*run->wanted));
    run->frame = av_frame_alloc();
    run->picture = vx_picture_new(media->orientation);
    if (!run->pending || !run->wanted || !run->frame || !run->picture)
        return VX_FAIL(err, -ENOMEM, "no memory to decode %lld frames", (long long)run->n);
    for (int64_t i = 0; i < run->n; i++) {
        if (run->frames[i] < (i ? run->frames[i - 1] + 1 : 0) ||
            run->frames[i] >= media->info.n_frames)
            return VX_FAIL(err, -EINVAL, "wanted frame %lld is out of order or out of range",
                           (long long)run->frames[i]);
        run->wanted[i] = (wanted_packet){media->shown[run->frames[i]], i};
    }
    qsort(run->wanted, (size_t)run->n, sizeof(*run->wanted), compare_wanted);
    return 0;
}

static int open_codec(decode_run *run, int threads, vx_err *err) {
    const vx_media *media = run->media;
    const AVCodec *decoder = avcodec_find_decoder(media->par->codec_id);
    if (!decoder)
        return VX_FAIL(err, VX_MEDIA_UNSUPPORTED, "this build cannot decode %s video",
                       media->info.codec);
    AVCodecContext *codec = run->codec = avcodec_alloc_context3(decoder);
    if (!codec || avcodec_parameters_to_context(codec, media->par) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory for a %s decoder", media->info.codec);
    codec->thread_count = threads > 0 ? threads : av_cpu_count();
    codec->max_pixels = (int64_t)media->limits.max_side_px * media->limits.max_side_px;
    codec->pkt_timebase = (AVRational){1, 1000}; /* timestamps are packet numbers */
    /* H.264 may leave the reordering delay open; a decoder that starts with too little drops
     * pictures until it has learned better. The timestamps tell the true delay. */
    if (media->par->codec_id == AV_CODEC_ID_H264 && codec->has_b_frames < media->reorder)
        codec->has_b_frames = media->reorder;
    int rc = avcodec_open2(codec, decoder, NULL);
    if (rc < 0)
        return vx_media_fail_av(err, VX_MEDIA_UNSUPPORTED, rc, "the decoder refuses this video");
    return 0;
}

/* Slot of the picture in run->frame, -1 if nobody wants it. */
static int64_t find_slot(const decode_run *run) {
    wanted_packet key = {.packet = run->frame->pts};
    if (run->media->by_order)
        key.packet = run->n_decoded < run->media->info.n_frames
                         ? run->media->shown[run->n_decoded]
                         : -1;
    const wanted_packet *found = bsearch(&key, run->wanted, (size_t)run->n, sizeof(key),
                                         compare_wanted);
    return found ? found->slot : -1;
}

static int hand_out(decode_run *run, const AVFrame *frame, vx_err *err) {
    int64_t number = run->frames[run->next_slot++];
    vx_picture_set(run->picture, frame);
    return run->on_picture(run->ctx, number, run->media->times[number], run->picture, err);
}

static int take_picture(decode_run *run, vx_err *err) {
    int64_t slot = find_slot(run);
    run->n_decoded++;
    run->stats.frames_decoded++;
    if (slot < run->next_slot || run->pending[slot])
        return 0;
    if (slot > run->next_slot) {
        if (run->n_pending == MAX_PENDING)
            return VX_FAIL(err, VX_MEDIA_DAMAGED, "the picture at %.3f s cannot be decoded",
                           run->media->times[run->frames[run->next_slot]]);
        run->pending[slot] = av_frame_clone(run->frame);
        run->n_pending++;
        return run->pending[slot] ? 0 : VX_FAIL(err, -ENOMEM, "no memory for a picture");
    }
    int rc = hand_out(run, run->frame, err);
    while (rc == 0 && run->next_slot < run->n && run->pending[run->next_slot]) {
        AVFrame *frame = vx_take(run->pending[run->next_slot]);
        run->n_pending--;
        rc = hand_out(run, frame, err);
        av_frame_free(&frame);
    }
    return rc;
}

/* Sends one packet (NULL: no more) and takes what comes out. Pictures that a decoder refuses are
 * noticed by their absence. */
static int send_packet(decode_run *run, const AVPacket *packet, vx_err *err) {
    int rc = avcodec_send_packet(run->codec, packet);
    if (rc == AVERROR(ENOMEM))
        return VX_FAIL(err, -ENOMEM, "no memory to decode a packet");
    while (run->next_slot < run->n) {
        rc = avcodec_receive_frame(run->codec, run->frame);
        if (rc == AVERROR(ENOMEM))
            return VX_FAIL(err, -ENOMEM, "no memory for a decoded picture");
        if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF)
            return 0;
        if (rc < 0)
            continue;
        rc = take_picture(run, err);
        av_frame_unref(run->frame);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int run_plan(decode_run *run, vx_demux *demux, const uint8_t *action, int64_t n_packets,
                    vx_err *err) {
    int64_t number = 0;
    run->n_decoded = 0;
    while (number < n_packets && run->next_slot < run->n && vx_demux_read(demux) >= 0) {
        AVPacket *packet = demux->packet;
        if (packet->size == 0)
            continue;
        int what = action ? action[number] : VX_PLAN_SEND;
        packet->pts = packet->dts = number++;
        if (what == VX_PLAN_DROP)
            continue;
        int rc = what == VX_PLAN_RESTART ? send_packet(run, NULL, err) : 0;
        if (rc != 0)
            return rc;
        if (what == VX_PLAN_RESTART)
            avcodec_flush_buffers(run->codec);
        rc = send_packet(run, packet, err);
        if (rc != 0)
            return rc;
    }
    int rc = send_packet(run, NULL, err);
    avcodec_flush_buffers(run->codec);
    return rc;
}

static int run_all(decode_run *run, vx_err *err) {
    const vx_media *media = run->media;
    VX_AUTO_FREE uint8_t *action = NULL;
    int64_t n_packets = 0;
    int rc = vx_media_plan(media, run->frames, run->n, &action, &n_packets, err);
    for (int attempt = 0; rc == 0 && attempt < 2 && run->next_slot < run->n; attempt++) {
        VX_AUTO(vx_demux) demux = NULL;
        rc = vx_demux_open(media->path, &media->limits, &demux, err);
        if (rc == 0)
            rc = run_plan(run, demux, attempt == 0 ? action : NULL,
                          attempt == 0 ? n_packets : media->n_packets, err);
    }
    if (rc == 0 && run->next_slot < run->n)
        rc = VX_FAIL(err, VX_MEDIA_DAMAGED, "the picture at %.3f s cannot be decoded",
                     media->times[run->frames[run->next_slot]]);
    return rc;
}

int vx_media_decode(vx_media *media, const int64_t *frames, int64_t n, int threads,
                    vx_media_on_picture on_picture, void *ctx, vx_media_stats *ret_stats,
                    vx_err *err) {
    AUTO_RUN run = {.media = media, .frames = frames, .n = n, .on_picture = on_picture, .ctx = ctx};
    run.stats.frames_total = media->n_packets;
    int rc = n > 0 ? run_init(&run, err) : 0;
    if (rc == 0 && n > 0)
        rc = open_codec(&run, threads, err);
    if (rc == 0 && n > 0)
        rc = run_all(&run, err);
    if (ret_stats)
        *ret_stats = run.stats;
    return rc;
}
