/* scan.c — opens a file and reads it once to build the packet table. */
#include <errno.h>
#include <libavutil/avstring.h>
#include <libavutil/intreadwrite.h>
#include <string.h>

#include "classify.h"
#include "demux.h"
#include "packet_table.h"
#include "table_file.h"
#include "times.h"

vx_media *vx_media_free(vx_media *media) {
    if (!media)
        return NULL;
    avcodec_parameters_free(&media->par);
    free(media->path);
    free(media->packets);
    free(media->segments);
    free(media->shown);
    free(media->times);
    free(media);
    return NULL;
}

const vx_media_info *vx_media_get_info(const vx_media *media) {
    return &media->info;
}

double vx_media_frame_time(const vx_media *media, int64_t frame) {
    return media->times[frame];
}

/* Appends to the table, which doubles; capacity is a power of two or 0. */
static int append_packet(vx_media *media, const vx_packet *packet, vx_err *err) {
    int64_t n = media->n_packets;
    if (n == media->limits.max_frames)
        return VX_FAIL(err, VX_MEDIA_TOO_LARGE, "the video has more than %lld frames",
                       (long long)n);
    if ((n & (n - 1)) == 0) {
        size_t capacity = n ? (size_t)n * 2 : 1;
        vx_packet *grown = vx_regrow(media->packets, capacity, sizeof(*grown));
        if (!grown)
            return VX_FAIL(err, -ENOMEM, "no memory for %zu packets", capacity);
        media->packets = grown;
    }
    media->packets[media->n_packets++] = *packet;
    return 0;
}

/* Samples that the index of an MP4 lists; 0 where the container has no such index. */
static int64_t indexed_packets(const vx_demux *demux) {
    int64_t n = 0;
    if (!av_match_name("mov", demux->fmt->iformat->name))
        return 0;
    for (int i = 0; i < avformat_index_get_entries_count(demux->stream); i++)
        n += avformat_index_get_entry(demux->stream, i)->size > 0;
    return n;
}

/* Durations of the last packets read: the last shown picture is among them. */
enum { N_DURATIONS = 64 };

typedef struct packet_scan {
    vx_media *media;
    vx_demux *demux;
    const vx_media_open_params *params;
    int64_t durations[N_DURATIONS]; /* in ticks, of packet i at i % N_DURATIONS; 0 = unknown */
} packet_scan;

static bool is_stopped(const packet_scan *scan) {
    return scan->params->keep_going && !scan->params->keep_going(scan->params->ctx);
}

/* Pixels of the rectangles that a GIF's packet draws (its extensions come first). */
static int64_t drawn_by_gif(const AVPacket *packet) {
    enum { IMAGE = 0x2c, EXTENSION = 0x21 };
    const uint8_t *p = packet->data, *end = p + packet->size;
    if (packet->size > 13 && memcmp(p, "GIF", 3) == 0) /* the first has the file's header */
        p += 13 + (p[10] & 0x80 ? 3 << ((p[10] & 7) + 1) : 0);
    while (p < end && *p == EXTENSION)
        for (p += 2; p < end; p += *p + 1)
            if (*p == 0) {
                p++;
                break;
            }
    return end - p > 9 && *p == IMAGE ? (int64_t)AV_RL16(p + 5) * AV_RL16(p + 7) : 0;
}

static int read_packets(packet_scan *scan, vx_err *err) {
    enum { ASK_EVERY = 256 };
    vx_media *media = scan->media;
    vx_demux *demux = scan->demux;
    vx_classifier classifier;
    vx_classifier_init(&classifier, demux->stream->codecpar);
    bool corrupt = false;
    int read_rc, rc;
    media->changed_px = media->par->codec_id == AV_CODEC_ID_GIF ? 0 : -1;
    while ((read_rc = vx_demux_read(demux)) >= 0) {
        const AVPacket *p = demux->packet;
        if (media->n_packets % ASK_EVERY == 0 && is_stopped(scan))
            return VX_FAIL(err, VX_MEDIA_STOPPED, "reading the video was stopped");
        if (p->size == 0)
            continue;
        vx_packet entry = {
            .pts = p->pts, .dts = p->dts, .pos = p->pos, .n_bytes = (uint32_t)p->size};
        entry.flags = vx_classify(&classifier, p);
        entry.flags |= p->flags & AV_PKT_FLAG_DISCARD ? VX_PACKET_DISCARD : 0;
        entry.flags |= p->flags & AV_PKT_FLAG_KEY ? VX_PACKET_MARKED : 0;
        corrupt |= (p->flags & AV_PKT_FLAG_CORRUPT) != 0;
        scan->durations[media->n_packets % N_DURATIONS] = p->duration;
        if (media->changed_px >= 0)
            media->changed_px += drawn_by_gif(p);
        rc = append_packet(media, &entry, err);
        if (rc != 0)
            return rc;
    }
    rc = vx_demux_check_end(demux, read_rc, err);
    if (rc != 0)
        return rc;
    int64_t indexed = indexed_packets(demux);
    if (media->n_packets < indexed || (indexed > 0 && corrupt))
        return VX_FAIL(err, VX_MEDIA_DAMAGED,
                       "the file breaks off: its index lists %lld pictures, %lld are there whole",
                       (long long)indexed, (long long)media->n_packets - corrupt);
    vx_classifier_finish(&classifier, media->packets, media->n_packets);
    media->may_skip = classifier.may_skip;
    return 0;
}

typedef struct shown_entry {
    int64_t pts; /* or the decode order where timestamps are missing */
    int64_t packet;
    int64_t rank; /* among the shown, in decode order */
} shown_entry;

static int compare_shown(const void *a, const void *b) {
    const shown_entry *x = a, *y = b;
    if (x->pts != y->pts)
        return x->pts < y->pts ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* First packet that has one of the flags; 0 if none has. */
static int64_t first_with(const vx_media *media, uint32_t flags) {
    for (int64_t i = 0; i < media->n_packets; i++)
        if (media->packets[i].flags & flags)
            return i;
    return 0;
}

/* The packets whose pictures are presented. What comes before the first point, in decode or in
 * presentation order, depends on pictures that are not in the file. */
static int64_t collect_shown(const vx_media *media, shown_entry *entries) {
    int64_t n = 0, first = first_with(media, VX_PACKET_POINT);
    if (!(media->packets[first].flags & VX_PACKET_POINT))
        first = first_with(media, VX_PACKET_MARKED);
    const vx_packet *point = &media->packets[first];
    bool open = (point->flags & VX_PACKET_POINT) && !(point->flags & VX_PACKET_CLOSED);
    for (int64_t i = first; i < media->n_packets; i++) {
        const vx_packet *p = &media->packets[i];
        if (p->flags & (VX_PACKET_DISCARD | VX_PACKET_HIDDEN))
            continue;
        if (!media->by_order && open && !(p->flags & VX_PACKET_RADL) && p->pts < point->pts)
            continue;
        entries[n] = (shown_entry){media->by_order ? i : p->pts, i, n};
        n++;
    }
    return n;
}

/* The most decoded pictures that wait until the next one to show has been decoded. */
static int reorder_depth(const shown_entry *entries, int64_t n) {
    int64_t depth = 0, latest = 0;
    for (int64_t i = 0; i < n; i++) {
        latest = entries[i].rank > latest ? entries[i].rank : latest;
        depth = latest - i > depth ? latest - i : depth;
    }
    return (int)(depth < 16 ? depth : 16);
}

/* Average duration of a frame in seconds, as the container states it. */
static double frame_duration(const AVStream *stream) {
    AVRational rate = stream->avg_frame_rate;
    if (rate.num <= 0 || rate.den <= 0)
        rate = stream->r_frame_rate;
    return rate.num > 0 && rate.den > 0 ? av_q2d(av_inv_q(rate)) : 1.0 / 25;
}

/* Without presentation times a frame's time is its packet's decode time, or its number. */
static void time_by_order(vx_media *media, const AVStream *stream) {
    int64_t n = media->info.n_frames;
    bool usable = true;
    for (int64_t i = 0; i < n; i++) {
        int64_t dts = media->packets[media->shown[i]].dts;
        usable &= dts != AV_NOPTS_VALUE;
        usable &= i == 0 || dts > media->packets[media->shown[i - 1]].dts;
    }
    for (int64_t i = 0; i < n; i++) {
        const vx_packet *p = &media->packets[media->shown[i]];
        int64_t ticks = usable ? p->dts - media->packets[media->shown[0]].dts : 0;
        media->times[i] =
            usable ? (double)ticks * av_q2d(media->time_base) : (double)i * frame_duration(stream);
    }
}

/* A file with a video stream and no picture to show. If the file is as long as it states, it was made
 * so; one that states no length has more often lost its end. */
static int fail_empty(const vx_demux *demux, vx_err *err) {
    const vx_file_length *length = &demux->length;
    if (vx_file_is_truncated(length))
        return vx_file_fail_truncated(length, "before its first picture", err);
    if (length->kind && length->stated_bytes > 0)
        return VX_FAIL(err, VX_MEDIA_NO_VIDEO, "the video stream has no picture that is shown");
    return VX_FAIL(err, VX_MEDIA_DAMAGED,
                   "the file ends before its first picture; is its end missing?");
}

static int order_shown(vx_media *media, const vx_demux *demux, vx_err *err) {
    size_t n = (size_t)media->n_packets;
    VX_AUTO_FREE shown_entry *entries = vx_new_array(n, sizeof(*entries));
    media->shown = vx_new_array(n, sizeof(*media->shown));
    media->times = vx_new_array(n, sizeof(*media->times));
    if (!entries || !media->shown || !media->times)
        return VX_FAIL(err, -ENOMEM, "no memory to order %zu frames", n);
    int64_t n_shown = collect_shown(media, entries);
    if (n_shown == 0)
        return fail_empty(demux, err);
    qsort(entries, (size_t)n_shown, sizeof(*entries), compare_shown);
    media->info.n_frames = n_shown;
    media->reorder = media->by_order ? 0 : reorder_depth(entries, n_shown);
    for (int64_t i = 0; i < n_shown; i++) {
        media->shown[i] = entries[i].packet;
        media->times[i] = (double)(entries[i].pts - entries[0].pts) * av_q2d(media->time_base);
    }
    if (media->by_order)
        time_by_order(media, demux->stream);
    return 0;
}

/* How long the last shown frame lasts by its container, in seconds; 0 = it does not say. Only MP4,
 * Matroska and GIF store durations; elsewhere FFmpeg makes them up from a frame rate. */
static double last_frame_duration(const packet_scan *scan) {
    const vx_media *media = scan->media;
    const AVStream *stream = scan->demux->stream;
    const char *format = scan->demux->fmt->iformat->name;
    int64_t last = media->shown[media->info.n_frames - 1], end = media->n_packets - 1;
    bool stored = av_match_name("mov", format) || av_match_name("matroska", format) ||
                  av_match_name("gif", format);
    if (!stored || media->by_order || end - last >= N_DURATIONS)
        return 0;
    int64_t ticks = scan->durations[last % N_DURATIONS];
    /* With reordering FFmpeg gives no duration of an MP4's samples. The track's length tells that
     * of the last one, which players show until then. */
    if (av_match_name("mov", format) && stream->duration > 0 &&
        avformat_index_get_entries_count(stream) == media->n_packets) {
        int64_t start = media->packets[0].dts, rest = start + stream->duration;
        rest -= media->packets[end].dts;
        bool reordered = last != end;
        ticks = !reordered ? (rest > 0 ? rest : ticks) : rest > ticks ? rest : ticks;
    }
    return ticks > 0 ? (double)ticks * av_q2d(media->time_base) : 0;
}

#define MAX_ASPECT 16.0 /* of a pixel; beyond it the header is taken for wrong */

static int fill_info(packet_scan *scan, vx_err *err) {
    vx_media *media = scan->media;
    const vx_demux *demux = scan->demux;
    vx_media_info *info = &media->info;
    const char *names = demux->fmt->iformat->name;
    snprintf(info->container, sizeof(info->container), "%.*s", (int)strcspn(names, ","), names);
    snprintf(info->codec, sizeof(info->codec), "%s", avcodec_get_name(media->par->codec_id));

    media->orientation = vx_orientation_of(demux->stream, &info->rotation_deg);
    info->width_px = media->orientation.transpose ? media->par->height : media->par->width;
    info->height_px = media->orientation.transpose ? media->par->width : media->par->height;

    AVRational sar = av_guess_sample_aspect_ratio(demux->fmt, demux->stream, NULL);
    double aspect = sar.num > 0 && sar.den > 0 ? av_q2d(sar) : 1;
    aspect = aspect >= 1 / MAX_ASPECT && aspect <= MAX_ASPECT ? aspect : 1;
    info->sample_aspect_ratio = media->orientation.transpose ? 1 / aspect : aspect;
    info->hdr = vx_media_hdr_of(media->par->color_trc);

    double span_s = media->times[info->n_frames - 1], last_s = last_frame_duration(scan);
    double frame_s = span_s > 0   ? span_s / (double)(info->n_frames - 1)
                     : last_s > 0 ? last_s
                                  : frame_duration(demux->stream);
    info->fps = 1 / frame_s;
    info->duration_s = span_s + (last_s > 0 ? last_s : frame_s);
    if (!(info->duration_s <= media->limits.max_duration_s))
        return VX_FAIL(err, VX_MEDIA_TOO_LARGE, "the video lasts %.0f s; at most %.0f s",
                       info->duration_s, media->limits.max_duration_s);
    return 0;
}

/* Reads the stream with that index of the file, or the one that vx_demux_open selects.
 *   ret_next  index of the stream to try if this one turns out to be a still picture; -1 = none */
static int scan_stream(const char *path, int stream, const vx_media_open_params *params,
                       vx_media **ret_media, int *ret_next, vx_err *err) {
    VX_AUTO(vx_media) media = vx_new(vx_media);
    VX_AUTO(vx_demux) demux = NULL;
    if (!media || !(media->path = strdup(path)) || !(media->par = avcodec_parameters_alloc()))
        return VX_FAIL(err, -ENOMEM, "no memory to open a video");
    media->limits = vx_media_limits_or_default(params->limits);
    media->peak_nits = -1;
    bool loaded = stream < 0 && params->table_path && vx_table_load(media, params->table_path);
    const vx_demux_params open = {.limits = &media->limits,
                                  .stream = loaded ? media->stream : stream,
                                  .keep_going = params->keep_going,
                                  .ctx = params->ctx};
    int rc = vx_demux_open(path, &open, &demux, err);
    if (rc != 0)
        return rc;
    if (avcodec_parameters_copy(media->par, demux->stream->codecpar) < 0)
        return VX_FAIL(err, -ENOMEM, "no memory to open a video");
    *ret_next = -1;
    if (!loaded) {
        packet_scan scan = {.media = media, .demux = demux, .params = params};
        media->stream = demux->stream->index;
        media->time_base = demux->stream->time_base;
        rc = read_packets(&scan, err);
        if (rc != 0)
            return rc;
        if (media->n_packets == 0)
            return fail_empty(demux, err);
        for (int64_t i = 0; i < media->n_packets; i++)
            media->by_order |= media->packets[i].pts == AV_NOPTS_VALUE &&
                               !(media->packets[i].flags & VX_PACKET_HIDDEN);
        if (!media->by_order)
            vx_times_fix_outliers(media);
        if (demux->fmt->iformat->flags & AVFMT_TS_DISCONT)
            rc = vx_times_join_segments(media, err);
        if (rc == 0)
            rc = order_shown(media, demux, err);
        if (rc == 0)
            rc = fill_info(&scan, err);
        if (rc != 0)
            return rc;
        if (media->info.n_frames == 1)
            *ret_next = vx_demux_next_stream(demux);
    }
    *ret_media = vx_take(media);
    return 0;
}

int vx_media_open(const char *path, const vx_media_open_params *params, vx_media **ret_media,
                  vx_err *err) {
    static const vx_media_open_params defaults;
    VX_AUTO(vx_media) media = NULL;
    VX_AUTO(vx_media) other = NULL;
    int next;
    params = params ? params : &defaults;
    int rc = scan_stream(path, -1, params, &media, &next, err);
    if (rc == 0 && next >= 0) { /* one picture: a still, if another stream has more */
        int unused;
        rc = scan_stream(path, next, params, &other, &unused, err);
        if (rc < 0 || rc == VX_MEDIA_STOPPED)
            return rc;
        if (rc == 0 && other->info.n_frames > 1) {
            vx_media *still = media;
            media = other;
            other = still;
        }
        rc = 0;
    }
    if (rc != 0)
        return rc;
    if (params->table_path && !media->kept)
        vx_table_save(media, params->table_path);
    *ret_media = vx_take(media);
    return 0;
}

vx_media_hdr vx_media_hdr_of(int transfer) {
    return transfer == VX_TRANSFER_PQ    ? VX_MEDIA_PQ
           : transfer == VX_TRANSFER_HLG ? VX_MEDIA_HLG
                                         : VX_MEDIA_SDR;
}

const char *vx_media_hdr_name(vx_media_hdr hdr) {
    return hdr == VX_MEDIA_PQ ? "pq" : hdr == VX_MEDIA_HLG ? "hlg" : "sdr";
}
