/* decode.c — decodes the planned packets and delivers the requested pictures in order.
 *
 * Each packet is sent with its number in the table as its timestamp. Decoders pass timestamps through
 * to the pictures, so each picture is matched with its packet even where the real timestamps repeat.
 * If a requested picture does not come out although it was planned (the stream breaks the rules that
 * its own headers state), the run is repeated without skipping. A picture that is missing even then is
 * replaced by the one before it, as a player would show it, up to one picture in ten.
 *
 * Decoded pictures that nobody requested are offered as extras if the plan says that they are exact
 * and they fit into the ascending order; the others are dropped.
 */
#include <errno.h>

#include "av_error.h"
#include "av_frame.h"
#include "base/trace.h"
#include "budget.h"
#include "decode_cpu.h"
#include "demux.h"
#include "picture.h"
#include "plan.h"
#include "seek.h"

enum { MAX_PENDING = 32 }; /* pictures held because an earlier requested one is still missing */

typedef struct requested_packet {
    int64_t packet;
    int64_t slot; /* index into frames */
} requested_packet;

typedef struct decode_run {
    vx_media *media;
    const vx_media_decode_params *params;
    const int64_t *frames; /* params->frames */
    int64_t n;
    requested_packet *requested; /* [n] by packet */
    AVFrame **pending;           /* [n], decoded but waiting for an earlier slot */
    int n_pending;
    int64_t next_slot; /* everything before it has been delivered */
    int64_t last_out;  /* the last delivered frame, requested or extra; -1 = none yet */
    int64_t n_decoded; /* in this pass, for streams known by order */
    int64_t *number;   /* [n_packets] shown frame or -1; for extras and in the second pass */
    uint8_t *action;   /* [n_packets] the plan; NULL in the second pass */
    AVFrame *last;     /* only in the second pass: the previous picture */
    int64_t n_replaced;
    AVCodecContext *codec;
    vx_picture_memory *memory;
    AVFrame *frame;
    vx_picture *picture;
    vx_media_stats stats;
} decode_run;

static void run_done(decode_run *run) {
    for (int64_t i = 0; run->pending && i < run->n; i++)
        av_frame_free(&run->pending[i]);
    free(run->pending);
    free(run->number);
    free(run->action);
    av_frame_free(&run->last);
    free(run->requested);
    avcodec_free_context(&run->codec);
    av_frame_free(&run->frame);
    vx_picture_free(run->picture);
    vx_picture_memory_unref(run->memory);
}
#define AUTO_RUN __attribute__((cleanup(run_done))) decode_run

static int compare_requested(const void *a, const void *b) {
    const requested_packet *x = a, *y = b;
    return (x->packet > y->packet) - (x->packet < y->packet);
}

static int number_packets(decode_run *run, vx_err *err) {
    const vx_media *media = run->media;
    run->number = vx_new_array((size_t)media->n_packets, sizeof(*run->number));
    if (!run->number)
        return VX_FAIL(err, -ENOMEM, "no memory to decode %lld packets",
                       (long long)media->n_packets);
    for (int64_t i = 0; i < media->n_packets; i++)
        run->number[i] = -1;
    for (int64_t i = 0; i < media->info.n_frames; i++)
        run->number[media->shown[i]] = i;
    return 0;
}

static int run_init(decode_run *run, vx_err *err) {
    const vx_media *media = run->media;
    run->pending = vx_new_array((size_t)run->n, sizeof(AVFrame *));
    run->requested = vx_new_array((size_t)run->n, sizeof(*run->requested));
    run->frame = av_frame_alloc();
    run->picture = vx_picture_new();
    run->memory = vx_picture_memory_new();
    if (!run->pending || !run->requested || !run->frame || !run->picture || !run->memory)
        return VX_FAIL(err, -ENOMEM, "no memory to decode %lld frames", (long long)run->n);
    for (int64_t i = 0; i < run->n; i++) {
        if (run->frames[i] < (i ? run->frames[i - 1] + 1 : 0) ||
            run->frames[i] >= media->info.n_frames)
            return VX_FAIL(err, -EINVAL, "requested frame %lld is out of order or out of range",
                           (long long)run->frames[i]);
        run->requested[i] = (requested_packet){media->shown[run->frames[i]], i};
    }
    qsort(run->requested, (size_t)run->n, sizeof(*run->requested), compare_requested);
    return run->params->on_extra ? number_packets(run, err) : 0;
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
    codec->thread_count = vx_budget_threads(media->par, threads);
    vx_budget_count_pictures(codec, run->memory);
    /* FFmpeg's frame threads for MPEG-4 part 2 do not pass on the field vectors that interlaced B
     * pictures need (5.1 to 8): pictures would differ with the number of threads. */
    if (media->par->codec_id == AV_CODEC_ID_MPEG4)
        codec->thread_count = 1;
    codec->max_pixels = (int64_t)media->limits.max_side_px * media->limits.max_side_px;
    codec->pkt_timebase = (AVRational){1, 1000}; /* timestamps are packet numbers */
    if (media->par->codec_id == AV_CODEC_ID_H264) {
        /* The stream may leave the reordering delay open; a decoder that starts with too small a
         * delay drops pictures until it corrects it. The timestamps tell the true delay. */
        if (codec->has_b_frames < media->reorder)
            codec->has_b_frames = media->reorder;
        /* After a start at an open point the decoder withholds pictures until it knows that they
         * follow the point in display order. The plan requests only those that do. */
        codec->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT;
    }
    int rc = avcodec_open2(codec, decoder, NULL);
    if (rc < 0)
        return vx_media_fail_av(err, VX_MEDIA_UNSUPPORTED, rc, "the decoder refuses this video");
    return 0;
}

/* Packet of the picture in run->frame. It comes from the decoder, so it may be outside the table. */
static int64_t packet_of_picture(const decode_run *run) {
    const vx_media *media = run->media;
    if (!media->by_order)
        return run->frame->pts;
    return run->n_decoded < media->info.n_frames ? media->shown[run->n_decoded] : -1;
}

/* Slot of a packet's picture, -1 if it was not requested. */
static int64_t find_slot(const decode_run *run, int64_t packet) {
    requested_packet key = {.packet = packet};
    const requested_packet *found =
        bsearch(&key, run->requested, (size_t)run->n, sizeof(key), compare_requested);
    return found ? found->slot : -1;
}

static int fail_missing(const decode_run *run, vx_err *err) {
    return VX_FAIL(err, VX_MEDIA_DAMAGED, "the picture at %.3f s cannot be decoded",
                   run->media->times[run->frames[run->next_slot]]);
}

/* Shows a decoded picture to the caller as this frame. */
static int give(decode_run *run, const AVFrame *decoded, int64_t number,
                vx_media_on_picture on_picture, vx_err *err) {
    VX_AUTO(vx_frame) frame = NULL;
    double time_s = run->media->times[number];
    run->last_out = number;
    int rc = vx_av_frame_wrap(decoded, run->media->orientation, number, time_s, &frame, err);
    if (rc != 0)
        return rc;
    vx_picture_set(run->picture, frame);
    return on_picture(run->params->ctx, number, time_s, run->picture, err);
}

static int deliver(decode_run *run, const AVFrame *frame, vx_err *err) {
    if (run->media->info.hdr == VX_MEDIA_SDR) /* the container need not say it */
        run->media->info.hdr = vx_media_hdr_of(frame->color_trc);
    return give(run, frame, run->frames[run->next_slot++], run->params->on_picture, err);
}

/* Offers the picture in run->frame, which was not requested; requested ones are still to come. */
static int offer_extra(decode_run *run, int64_t packet, vx_err *err) {
    if (!run->params->on_extra || (run->action && run->action[packet] == VX_PLAN_INEXACT))
        return 0;
    int64_t number = run->number[packet];
    if (number <= run->last_out || number >= run->frames[run->next_slot])
        return 0;
    return give(run, run->frame, number, run->params->on_extra, err);
}

/* Delivers what waits for the slots from next_slot on. */
static int deliver_pending(decode_run *run, vx_err *err) {
    int rc = 0;
    while (rc == 0 && run->next_slot < run->n && run->pending[run->next_slot]) {
        AVFrame *frame = vx_take(run->pending[run->next_slot]);
        run->n_pending--;
        rc = deliver(run, frame, err);
        av_frame_free(&frame);
    }
    return rc;
}

/* Second pass: requested frames before `number`, the current picture, will not come any more. */
static int replace_before(decode_run *run, int64_t number, vx_err *err) {
    const AVFrame *substitute = run->last->buf[0] ? run->last : run->frame;
    while (run->next_slot < run->n && run->frames[run->next_slot] < number) {
        if (!substitute->buf[0] || ++run->n_replaced * 10 > run->n)
            return fail_missing(run, err);
        int rc = deliver(run, substitute, err);
        if (rc == 0)
            rc = deliver_pending(run, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int take_picture(decode_run *run, vx_err *err) {
    int64_t packet = packet_of_picture(run);
    int64_t slot = find_slot(run, packet);
    run->n_decoded++;
    run->stats.frames_decoded++;
    bool known = packet >= 0 && packet < run->media->n_packets;
    if (run->last && known && run->number[packet] >= 0) {
        int rc = replace_before(run, run->number[packet], err);
        av_frame_unref(run->last);
        if (rc == 0 && av_frame_ref(run->last, run->frame) < 0)
            rc = VX_FAIL(err, -ENOMEM, "no memory for a picture");
        if (rc != 0)
            return rc;
    }
    if (slot < 0)
        return known ? offer_extra(run, packet, err) : 0;
    if (slot < run->next_slot || run->pending[slot])
        return 0;
    if (slot > run->next_slot) {
        if (run->n_pending == MAX_PENDING) /* the second pass decodes it again */
            return 0;
        run->pending[slot] = av_frame_clone(run->frame);
        run->n_pending++;
        return run->pending[slot] ? 0 : VX_FAIL(err, -ENOMEM, "no memory for a picture");
    }
    int rc = deliver(run, run->frame, err);
    return rc == 0 ? deliver_pending(run, err) : rc;
}

/* Sends one packet (NULL: end of stream) and takes the pictures that come out. A packet that the
 * decoder refuses shows as a missing picture; one that it keeps complaining about is given up. */
static int send_packet(decode_run *run, const AVPacket *packet, vx_err *err) {
    enum { MAX_ERRORS = 64 };
    int n_errors = 0;
    int rc = avcodec_send_packet(run->codec, packet);
    while (rc != AVERROR(ENOMEM) && run->next_slot < run->n && n_errors < MAX_ERRORS) {
        rc = avcodec_receive_frame(run->codec, run->frame);
        if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF)
            break;
        if (rc < 0) {
            n_errors++;
            continue;
        }
        int failed = take_picture(run, err);
        av_frame_unref(run->frame);
        if (failed != 0)
            return failed;
    }
    int exceeded = vx_budget_check_memory(run->memory, err);
    if (exceeded)
        return exceeded;
    return rc == AVERROR(ENOMEM) ? VX_FAIL(err, -ENOMEM, "no memory to decode a packet") : 0;
}

/* Opens the file at the first packet to send. Packets before it are read and dropped only where they
 * are few, or cannot be skipped. ret_number: of the packet that is read next, or, if *ret_read, was. */
static int open_at_first(const decode_run *run, int64_t n_packets, vx_demux **ret_demux,
                         int64_t *ret_number, bool *ret_read, vx_err *err) {
    enum { WORTH_BYTES = 4 << 20 };
    const vx_media *media = run->media;
    const vx_demux_params params = {.limits = &media->limits,
                                    .stream = media->stream,
                                    .keep_going = run->params->keep_going,
                                    .ctx = run->params->ctx};
    int64_t first = 0, bytes = 0;
    while (run->action && first < n_packets && run->action[first] == VX_PLAN_DROP)
        bytes += media->packets[first++].n_bytes;
    int rc = vx_demux_open(media->path, &params, ret_demux, err);
    *ret_number = 0;
    *ret_read = false;
    if (rc != 0 || bytes < WORTH_BYTES || first == n_packets)
        return rc;
    if (vx_seek_packet(*ret_demux, media, first)) {
        *ret_number = first;
        *ret_read = true;
        return 0;
    }
    *ret_demux = vx_demux_free(*ret_demux);
    return vx_demux_open(media->path, &params, ret_demux, err);
}

/* One pass over the file; without a plan every packet is sent. */
static int run_pass(decode_run *run, int64_t n_packets, vx_err *err) {
    const vx_media_decode_params *params = run->params;
    const uint8_t *action = run->action;
    VX_AUTO(vx_demux) demux = NULL;
    int64_t number;
    bool has_read, seeked;
    run->stats.n_passes++;
    run->n_decoded = 0;
    int rc = open_at_first(run, n_packets, &demux, &number, &has_read, err), read_rc = 0;
    seeked = has_read;
    while (rc == 0 && number < n_packets && run->next_slot < run->n) {
        read_rc = has_read ? 0 : vx_demux_read(demux);
        has_read = false;
        AVPacket *packet = demux->packet;
        if (read_rc < 0)
            break;
        if (params->keep_going && !params->keep_going(params->ctx))
            return VX_FAIL(err, VX_MEDIA_STOPPED, "decoding the video was stopped");
        if (packet->size == 0)
            continue;
        int step = action ? action[number] : VX_PLAN_SEND;
        if (seeked && (uint32_t)packet->size != run->media->packets[number].n_bytes)
            break; /* not where the seek should have led; the second pass reads from the start */
        packet->pts = packet->dts = number++;
        if (step == VX_PLAN_DROP)
            continue;
        if (step == VX_PLAN_RESTART) {
            rc = send_packet(run, NULL, err);
            avcodec_flush_buffers(run->codec);
        }
        if (rc == 0)
            rc = send_packet(run, packet, err);
    }
    if (rc == 0 && read_rc < 0)
        rc = vx_demux_check_end(demux, read_rc, err);
    if (rc == 0)
        rc = send_packet(run, NULL, err);
    avcodec_flush_buffers(run->codec);
    return rc;
}

static int start_second_pass(decode_run *run, vx_err *err) {
    free(vx_take(run->action));
    run->last = av_frame_alloc();
    if (!run->last)
        return VX_FAIL(err, -ENOMEM, "no memory to decode once more");
    return run->number ? 0 : number_packets(run, err);
}

static int decode_requested(decode_run *run, vx_err *err) {
    const vx_media *media = run->media;
    int64_t n_packets = 0;
    int rc = vx_media_plan(media, run->frames, run->n, &run->action, &n_packets, err);
    int64_t n_pictures = 0;
    for (int64_t i = 0; rc == 0 && i < n_packets; i++)
        n_pictures += run->action[i] != VX_PLAN_DROP;
    if (rc == 0)
        rc = vx_budget_check_work(media, n_pictures, err);
    if (rc == 0)
        rc = run_pass(run, n_packets, err);
    if (rc == 0 && run->next_slot < run->n) {
        rc = start_second_pass(run, err);
        if (rc == 0)
            rc = run_pass(run, media->n_packets, err);
        if (rc == 0)
            rc = replace_before(run, media->info.n_frames, err);
    }
    return rc;
}

const char *vx_media_path_name(vx_media_path path) {
    static const char *const names[VX_MEDIA_N_PATHS] = {"cpu", "nvdec", "mixed"};
    return names[path];
}

int vx_decode_on_cpu(vx_media *media, const vx_media_decode_params *params,
                     vx_media_stats *ret_stats, vx_err *err) {
    AUTO_RUN run = {
        .media = media, .params = params, .frames = params->frames, .n = params->n, .last_out = -1};
    run.stats.frames_total = media->n_packets;
    int64_t begun_us = vx_trace_begin();
    int rc = run.n > 0 ? run_init(&run, err) : 0;
    if (rc == 0 && run.n > 0)
        rc = open_codec(&run, params->threads, err);
    if (rc == 0 && run.n > 0)
        rc = decode_requested(&run, err);
    vx_trace_end("decode on the CPU", begun_us);
    if (ret_stats)
        *ret_stats = run.stats;
    return rc;
}

static int ignore_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture,
                          vx_err *err) {
    (void)ctx, (void)frame, (void)time_s, (void)picture, (void)err;
    return 0;
}

int vx_media_learn_hdr(vx_media *media, int64_t frame, bool (*keep_going)(void *ctx), void *ctx,
                       vx_err *err) {
    const vx_media_decode_params one = {.frames = &frame,
                                        .n = 1,
                                        .threads = 1,
                                        .keep_going = keep_going,
                                        .on_picture = ignore_picture,
                                        .ctx = ctx};
    int rc = media->info.hdr == VX_MEDIA_SDR ? vx_decode_on_cpu(media, &one, NULL, err) : 0;
    return rc > 0 && rc != VX_MEDIA_STOPPED ? 0 : rc;
}
