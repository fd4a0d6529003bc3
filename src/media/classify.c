/* classify.c — what a packet's own bytes prove about the packets it depends on.
 *
 * The container's key frame marks are not used: muxers set them for pictures at which decoding cannot
 * start cleanly. A codec that is not parsed here, and a stream whose parameters change on the way, is
 * decoded from its start (may_skip is false).
 */
#include "classify.h"

#include <libavutil/common.h>
#include <libavutil/intreadwrite.h>

#include "bitstream.h"
#include "classify_nal.h"

static int nal_length_bytes(const AVCodecParameters *par) {
    const uint8_t *x = par->extradata;
    if (par->codec_id == AV_CODEC_ID_H264 && par->extradata_size >= 7 && x[0] == 1)
        return (x[4] & 3) + 1;
    if (par->codec_id == AV_CODEC_ID_HEVC && par->extradata_size >= 23 &&
        (x[0] || x[1] || x[2] > 1))
        return (x[21] & 3) + 1;
    return 0;
}

/* MPEG-1/2: pictures by type, closed GOPs by the GOP header. */
static uint32_t classify_mpeg12(vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    enum { PICTURE = 0x00, SEQUENCE = 0xb3, EXTENSION = 0xb5, GOP = 0xb8, I = 1, B = 3 };
    const uint8_t *end = data + n_bytes, *sets = NULL;
    bool closed = false;
    uint32_t flags = 0;
    for (const uint8_t *p = data; (p = vx_next_start_code(p, end)) && p < end;) {
        if (*p == SEQUENCE)
            sets = p;
        if (*p == EXTENSION && end - p > 1 && p[1] >> 4 == 3)
            c->may_skip = false; /* quantiser matrices that stay for the pictures after it */
        if (*p == GOP && end - p > 4)
            closed = (p[4] & 0x60) == 0x40; /* closed_gop and not broken_link */
        if (sets && (*p == GOP || *p == PICTURE)) {
            flags |=
                vx_classifier_note_sets(c, vx_hash_bytes(VX_HASH_START, sets, (size_t)(p - sets)));
            sets = NULL;
        }
        if (*p == PICTURE && end - p > 2) {
            int type = p[2] >> 3 & 7;
            if (type == I)
                return flags | VX_PACKET_POINT | (closed ? VX_PACKET_CLOSED : 0);
            return type == B ? flags | VX_PACKET_NONREF : flags;
        }
    }
    return flags | VX_PACKET_HIDDEN;
}

/* The flag of that name in the header of a video object layer (ISO/IEC 14496-2, 6.2.3). */
static bool is_interlaced(const uint8_t *layer, const uint8_t *end) {
    vx_bits b = {layer, end, 0};
    uint32_t version = 1;
    vx_bits_read(&b, 9); /* random access, type */
    if (vx_bits_read(&b, 1)) {
        version = vx_bits_read(&b, 4);
        vx_bits_read(&b, 3);
    }
    if (vx_bits_read(&b, 4) == 15) /* a pixel shape of its own */
        vx_bits_read(&b, 16);
    if (vx_bits_read(&b, 1)) { /* control parameters */
        vx_bits_read(&b, 3);
        if (vx_bits_read(&b, 1)) /* of a buffer */
            vx_bits_read(&b, 79);
    }
    uint32_t shape = vx_bits_read(&b, 2);
    if (shape == 3 && version != 1)
        vx_bits_read(&b, 4);
    uint32_t ticks = vx_bits_read(&b, 18) >> 1 & 0xffff; /* a second, between two markers */
    if (vx_bits_read(&b, 1))                             /* a fixed rate */
        vx_bits_read(&b, ticks > 1 ? av_log2(ticks - 1) + 1 : 1);
    if (shape == 0)
        vx_bits_read(&b, 29); /* width and height among markers */
    return vx_bits_read(&b, 1);
}

/* MPEG-4 part 2. A packet with two pictures ("packed bitstream") passes one on to the next packet, so
 * packets and pictures do not correspond: such a stream is decoded whole. So is an interlaced one:
 * FFmpeg derives the unit of its field times from the first B picture that it meets. */
static uint32_t classify_mpeg4(vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    enum { VOL_FIRST = 0x20, VOL_LAST = 0x2f, GOV = 0xb3, VOP = 0xb6, I = 0, B = 2 };
    const uint8_t *end = data + n_bytes, *sets = NULL;
    uint32_t flags = 0;
    int n_pictures = 0;
    for (const uint8_t *p = data; (p = vx_next_start_code(p, end)) && p < end;) {
        if (*p >= VOL_FIRST && *p <= VOL_LAST) {
            sets = p;
            c->may_skip &= !is_interlaced(p + 1, end);
        }
        if (sets && (*p == GOV || *p == VOP)) {
            flags |=
                vx_classifier_note_sets(c, vx_hash_bytes(VX_HASH_START, sets, (size_t)(p - sets)));
            sets = NULL;
        }
        if (*p != VOP || end - p < 2 || n_pictures++ > 0)
            continue;
        int type = p[1] >> 6;
        flags |= type == I ? VX_PACKET_POINT : type == B ? VX_PACKET_NONREF : 0;
    }
    c->may_skip &= n_pictures <= 1;
    return n_pictures > 0 ? flags : flags | VX_PACKET_HIDDEN;
}

static uint32_t classify_vp8(const uint8_t *data, size_t n_bytes) {
    (void)n_bytes;
    uint32_t flags = data[0] & 1 ? 0 : VX_PACKET_POINT | VX_PACKET_CLOSED;
    return data[0] & 0x10 ? flags : flags | VX_PACKET_HIDDEN;
}

/* VP9. A picture that refreshes no reference still adapts probabilities and motion vectors for the
 * next one, so none may be left out inside a GOP. */
static uint32_t classify_vp9(vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    bool superframe = (data[n_bytes - 1] & 0xe0) == 0xc0;
    unsigned bits = (unsigned)data[0] << 8 | (n_bytes > 1 ? data[1] : 0);
    bool profile3 = (bits >> 12 & 3) == 3;
    bits <<= profile3 ? 5 : 4; /* marker, profile and its reserved bit */
    bool existing = bits >> 15 & 1, inter = bits >> 14 & 1, shown = bits >> 13 & 1;
    c->may_skip &= data[0] >> 6 == 2;
    if (!existing && !inter && shown)
        return VX_PACKET_POINT | VX_PACKET_CLOSED;
    return existing || shown || superframe ? 0 : VX_PACKET_HIDDEN;
}

/* Payload of the OBU at *p, which advances past it; NULL at the end or where it is malformed. */
static const uint8_t *next_obu(const uint8_t **p, const uint8_t *end, int *ret_type,
                               size_t *ret_bytes) {
    const uint8_t *at = *p;
    if (at >= end)
        return NULL;
    bool extension = *at & 4, has_size = *at & 2;
    *ret_type = *at >> 3 & 15;
    at += extension ? 2 : 1;
    size_t size = 0;
    for (int shift = 0; has_size && at < end && shift < 35; shift += 7) {
        size |= (size_t)(*at & 127) << shift;
        if (!(*at++ & 128))
            break;
    }
    if (at > end || size > (size_t)(end - at))
        return NULL;
    *ret_bytes = has_size ? size : (size_t)(end - at);
    *p = at + *ret_bytes;
    return at;
}

/* AV1: a shown key picture refreshes every reference. */
static uint32_t classify_av1(vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    enum { SEQUENCE = 1, FRAME_HEADER = 3, FRAME = 6 };
    const uint8_t *p = data, *obu;
    uint32_t flags = 0;
    int type = 0;
    size_t n = 0;
    while ((obu = next_obu(&p, data + n_bytes, &type, &n))) {
        if (type == SEQUENCE)
            flags |= vx_classifier_note_sets(c, vx_hash_bytes(VX_HASH_START, obu, n));
        if ((type == FRAME_HEADER || type == FRAME) && n > 0) {
            /* show_existing_frame 0, frame_type 00, show_frame 1 */
            bool point = (obu[0] & 0xf0) == 0x10;
            return point ? flags | VX_PACKET_POINT | VX_PACKET_CLOSED : flags;
        }
    }
    return flags | VX_PACKET_HIDDEN;
}

/* MJPEG: a picture stands alone unless it uses Huffman tables that an earlier one defined. */
static uint32_t classify_mjpeg(vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    enum { DHT = 0xc4, SOS = 0xda, DQT = 0xdb };
    bool huffman = false, quantiser = false;
    for (size_t at = 2; at + 4 <= n_bytes && data[at] == 0xff && data[at + 1] != SOS;) {
        huffman |= data[at + 1] == DHT;
        quantiser |= data[at + 1] == DQT;
        at += 2 + AV_RB16(data + at + 2);
    }
    bool alone = quantiser && (huffman || !c->has_tables);
    c->has_tables |= huffman;
    return alone ? VX_PACKET_POINT | VX_PACKET_CLOSED | VX_PACKET_NONREF : 0;
}

void vx_classifier_init(vx_classifier *c, const AVCodecParameters *par) {
    *c = (vx_classifier){.codec = par->codec_id, .may_skip = true, .after_end = true};
    c->nal_length_bytes = nal_length_bytes(par);
    if (par->codec_id == AV_CODEC_ID_MPEG4 && par->extradata)
        classify_mpeg4(c, par->extradata, (size_t)par->extradata_size);
}

/* Data beside the packet that changes the decoder for the packets after it. */
static bool has_lasting_side_data(const AVPacket *packet) {
    size_t n_bytes;
    return av_packet_get_side_data(packet, AV_PKT_DATA_NEW_EXTRADATA, &n_bytes) ||
           av_packet_get_side_data(packet, AV_PKT_DATA_PARAM_CHANGE, &n_bytes) ||
           av_packet_get_side_data(packet, AV_PKT_DATA_PALETTE, &n_bytes);
}

uint32_t vx_classify(vx_classifier *c, const AVPacket *packet) {
    const uint8_t *data = packet->data;
    size_t n_bytes = (size_t)packet->size;
    c->may_skip &= !has_lasting_side_data(packet);
    switch ((int)c->codec) {
    case AV_CODEC_ID_H264:
        return vx_classify_h264(c, data, n_bytes);
    case AV_CODEC_ID_HEVC:
        return vx_classify_hevc(c, data, n_bytes);
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
        return classify_mpeg12(c, data, n_bytes);
    case AV_CODEC_ID_MPEG4:
        return classify_mpeg4(c, data, n_bytes);
    case AV_CODEC_ID_VP8:
        return classify_vp8(data, n_bytes);
    case AV_CODEC_ID_VP9:
        return classify_vp9(c, data, n_bytes);
    case AV_CODEC_ID_AV1:
        return classify_av1(c, data, n_bytes);
    case AV_CODEC_ID_MJPEG:
        return classify_mjpeg(c, data, n_bytes);
    case AV_CODEC_ID_PRORES:
    case AV_CODEC_ID_DNXHD:
    case AV_CODEC_ID_DVVIDEO:
    case AV_CODEC_ID_HUFFYUV:
    case AV_CODEC_ID_UTVIDEO:
    case AV_CODEC_ID_RAWVIDEO:
        return VX_PACKET_POINT | VX_PACKET_CLOSED | VX_PACKET_NONREF;
    default:
        c->may_skip = false;
        return 0;
    }
}

void vx_classifier_finish(const vx_classifier *c, vx_packet *packets, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t *flags = &packets[i].flags;
        if (c->sets_hash != 0 && !(*flags & VX_PACKET_SETS))
            *flags &= ~(uint32_t)(VX_PACKET_POINT | VX_PACKET_CLOSED);
        if ((*flags >> VX_PACKET_LAYER_SHIFT & 7) != c->max_layer)
            *flags &= ~(uint32_t)VX_PACKET_NONREF;
    }
}
