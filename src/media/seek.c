/* seek.c — finds a packet of the table in the file.
 *
 * A demuxer's seek lands somewhere before the wanted time, or after it. So it is only a guess: packets
 * are read from there until one is known, and counted from it. A packet is known by its place in the
 * file if no other one has that place (several small ones may begin in the same pack of a program
 * stream, and some have none there), else by its time, and by its size. Streams without an index are
 * entered at a byte, since their times may repeat; others by the file's own time.
 */
#include "seek.h"

#include <libavutil/avstring.h>

enum { MAX_READ = 20000 }; /* packets from where a seek landed */

static bool is_packet(const AVPacket *packet, const vx_packet *entry, int64_t shift) {
    if ((uint32_t)packet->size != entry->n_bytes)
        return false;
    if (packet->pos >= 0 && entry->pos >= 0)
        return packet->pos == entry->pos;
    if (packet->pts != AV_NOPTS_VALUE && entry->pts != AV_NOPTS_VALUE)
        return packet->pts == entry->pts - shift;
    return packet->dts != AV_NOPTS_VALUE && packet->dts == entry->dts;
}

static bool is_behind(const AVPacket *packet, const vx_packet *entry, int64_t shift) {
    if (packet->pos >= 0 && entry->pos >= 0)
        return packet->pos > entry->pos;
    return packet->pts != AV_NOPTS_VALUE && entry->pts != AV_NOPTS_VALUE &&
           packet->pts > entry->pts - shift + (INT64_C(1) << 20);
}

/* The last packet up to `packet` that is known by its place or time; -1 = none near. */
static int64_t find_anchor(const vx_media *media, int64_t packet) {
    enum { NEAR = 500 };
    for (int64_t i = packet; i > 0 && i > packet - NEAR; i--) {
        const vx_packet *p = &media->packets[i];
        if (p->pos >= 0 ? p->pos != p[-1].pos : p->pts != AV_NOPTS_VALUE)
            return i;
    }
    return -1;
}

/* Reads on to the n-th packet from the one in demux->packet, which must all be as in the table. */
static bool read_on(vx_demux *demux, const vx_packet *entry, int64_t n) {
    while (n > 0) {
        if (vx_demux_read(demux) < 0)
            return false;
        if (demux->packet->size == 0)
            continue;
        entry++;
        n--;
        if ((uint32_t)demux->packet->size != entry->n_bytes)
            return false;
    }
    return true;
}

bool vx_seek_packet(vx_demux *demux, const vx_media *media, int64_t packet) {
    static const int64_t back_bytes[] = {64 << 10, 1 << 20, 16 << 20}, back_s[] = {0, 2, 10};
    int64_t anchor = find_anchor(media, packet);
    if (anchor < 0)
        return false;
    const vx_packet *entry = &media->packets[anchor];
    const char *format = demux->fmt->iformat->name;
    int64_t shift = vx_media_shift_of(media, anchor);
    bool by_bytes = entry->pos >= 0 && av_match_name(format, "mpegts,mpeg,h264,hevc,m4v,mpegvideo");
    int64_t time = entry->dts != AV_NOPTS_VALUE ? entry->dts : entry->pts;
    if (time != AV_NOPTS_VALUE && time == entry->pts)
        time -= shift;
    for (size_t i = 0; i < VX_LEN(back_s); i++) {
        int64_t at = by_bytes ? (entry->pos - back_bytes[i]) & ~INT64_C(1023)
                              : time - (int64_t)((double)back_s[i] / av_q2d(media->time_base));
        if ((by_bytes && at <= 0) || (!by_bytes && time == AV_NOPTS_VALUE) ||
            av_seek_frame(demux->fmt, demux->stream->index, at,
                          by_bytes ? AVSEEK_FLAG_BYTE : AVSEEK_FLAG_BACKWARD) < 0)
            return false;
        for (int n = 0; n < MAX_READ; n++) {
            if (vx_demux_read(demux) < 0)
                break;
            if (demux->packet->size == 0)
                continue;
            if (is_packet(demux->packet, entry, shift))
                return read_on(demux, entry, packet - anchor);
            if (is_behind(demux->packet, entry, shift))
                break;
        }
    }
    return false;
}
