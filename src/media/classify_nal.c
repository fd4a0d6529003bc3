/* classify_nal.c — what the NAL units of an H.264 or HEVC packet prove.
 *
 * H.264   An IDR picture is a closed point. A recovery point SEI with recovery_frame_cnt 0 and
 *         exact_match_flag is the encoder's promise that decoding from there gives every picture
 *         shown after it exactly: an open point. A rolling intra refresh counts frames and is no
 *         point. Pictures with nal_ref_idc 0 are referenced by none and leave no trace in
 *         frame_num, so they may be left out.
 * HEVC    IRAP pictures are points. RASL pictures of a CRA need the GOP before; decoders drop them
 *         where that is missing (start of stream, after an end of sequence, after a BLA).
 *         A sub-layer non-reference picture may still be referenced from a higher temporal layer,
 *         so only those of the highest layer may be left out.
 */
#include "classify_nal.h"

#include "bitstream.h"

/* Bits of a NAL unit's payload, emulation prevention bytes removed on the way. */
typedef struct nal_bits {
    const uint8_t *next, *end;
    int zeros; /* zero bytes just before next */
    uint8_t byte;
    int n_left; /* bits of byte not yet read */
    bool ended; /* read past the end: everything since then was 0 */
} nal_bits;

static unsigned read_bit(nal_bits *b) {
    if (b->n_left == 0) {
        if (b->zeros >= 2 && b->next < b->end && *b->next == 3) {
            b->next++;
            b->zeros = 0;
        }
        b->ended |= b->next >= b->end;
        b->byte = b->next < b->end ? *b->next++ : 0;
        b->zeros = b->byte == 0 ? b->zeros + 1 : 0;
        b->n_left = 8;
    }
    return b->byte >> --b->n_left & 1;
}

static unsigned read_byte(nal_bits *b) {
    unsigned value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 1 | read_bit(b);
    return value;
}

/* An SEI payload type or size: bytes of 255 add up until a smaller one. */
static size_t read_sei_number(nal_bits *b) {
    size_t value = 0;
    for (;;) {
        unsigned byte = read_byte(b);
        value += byte;
        if (byte != 255 || b->ended)
            return value;
    }
}

/* Whether the SEI unit holds a recovery point that is exact at once. */
static bool is_exact_recovery_point(const uint8_t *payload, size_t n_bytes) {
    nal_bits b = {.next = payload, .end = payload + n_bytes};
    while (!b.ended && b.next < b.end) {
        size_t type = read_sei_number(&b), size = read_sei_number(&b);
        if (type == 6) {
            bool now = read_bit(&b); /* ue(v) 0 is the single bit 1 */
            bool exact = read_bit(&b), broken = read_bit(&b);
            return now && exact && !broken && !b.ended;
        }
        for (size_t i = 0; i < size && !b.ended; i++)
            read_byte(&b);
    }
    return false;
}

typedef struct nal_walk {
    const uint8_t *next, *end;
    int length_bytes;
    bool broken; /* a length points outside the packet */
} nal_walk;

static nal_walk walk(const vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    nal_walk w = {.next = data, .end = data + n_bytes, .length_bytes = c->nal_length_bytes};
    if (w.length_bytes == 0)
        w.next = vx_next_start_code(data, w.end);
    return w;
}

/* Next NAL unit, header included; NULL at the end. */
static const uint8_t *next_nal(nal_walk *w, size_t *ret_bytes) {
    if (!w->next || w->next >= w->end)
        return NULL;
    const uint8_t *nal = w->next;
    if (w->length_bytes == 0) {
        w->next = vx_next_start_code(nal, w->end);
        *ret_bytes = (size_t)((w->next ? w->next - 3 : w->end) - nal);
        return nal;
    }
    size_t n = 0;
    for (int i = 0; i < w->length_bytes && nal < w->end; i++)
        n = n << 8 | *nal++;
    w->broken = n > (size_t)(w->end - nal);
    w->next = nal + n;
    *ret_bytes = n;
    return w->broken ? NULL : nal;
}

/* Trailing zero bytes belong to the byte stream, not to the unit. */
static uint64_t hash_set(uint64_t hash, const uint8_t *nal, size_t n_bytes) {
    while (n_bytes > 0 && nal[n_bytes - 1] == 0)
        n_bytes--;
    return vx_hash_bytes(hash, nal, n_bytes);
}

uint32_t vx_classify_h264(vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    enum { SLICE = 1, PARTITION_A = 2, PARTITION_C = 4, IDR = 5, SEI = 6, SPS = 7, PPS = 8 };
    bool picture = false, idr = true, reference = false, recovery = false, sets = false;
    uint64_t hash = VX_HASH_START;
    nal_walk w = walk(c, data, n_bytes);
    size_t n;
    for (const uint8_t *nal; (nal = next_nal(&w, &n));) {
        int type = n > 0 ? nal[0] & 31 : 0;
        if (type >= SLICE && type <= IDR) {
            picture = true;
            idr &= type == IDR;
            reference |= (nal[0] & 0x60) != 0;
            c->may_skip &= type < PARTITION_A || type > PARTITION_C;
        } else if (type == SEI) {
            recovery |= is_exact_recovery_point(nal + 1, n - 1);
        } else if (type == SPS || type == PPS) {
            sets = true;
            hash = hash_set(hash, nal, n);
        }
    }
    c->may_skip &= !w.broken;
    uint32_t flags = sets ? vx_classifier_note_sets(c, hash) : 0;
    if (!picture) /* a damaged packet counts as a picture, so that its loss is noticed */
        return w.broken ? flags : flags | VX_PACKET_HIDDEN;
    if (idr)
        return flags | VX_PACKET_POINT | VX_PACKET_CLOSED;
    if (recovery)
        flags |= VX_PACKET_POINT;
    return reference ? flags : flags | VX_PACKET_NONREF;
}

/* Flags of an HEVC picture by its NAL unit type. */
static uint32_t hevc_picture(vx_classifier *c, int type) {
    enum {
        RADL_N = 6,
        RADL_R = 7,
        RASL_N = 8,
        RASL_R = 9,
        BLA = 16,
        IDR = 19,
        CRA = 21,
        IRAP = 23
    };
    if (type >= BLA && type <= IRAP) {
        c->rasl_hidden = type < IDR || (type == CRA && c->after_end);
        bool closed = type < CRA || c->rasl_hidden;
        c->after_end = false;
        return VX_PACKET_POINT | (closed ? VX_PACKET_CLOSED : 0);
    }
    uint32_t flags = type < BLA && type % 2 == 0 ? VX_PACKET_NONREF : 0;
    if (type == RADL_N || type == RADL_R)
        flags |= VX_PACKET_RADL;
    if (type == RASL_N || type == RASL_R)
        flags |= c->rasl_hidden ? VX_PACKET_RASL | VX_PACKET_HIDDEN : VX_PACKET_RASL;
    return flags;
}

uint32_t vx_classify_hevc(vx_classifier *c, const uint8_t *data, size_t n_bytes) {
    enum { FIRST_OTHER = 32, VPS = 32, PPS = 34, END_OF_SEQUENCE = 36, END_OF_STREAM = 37 };
    bool picture = false, sets = false, ends = false;
    uint32_t flags = 0, layer = 0;
    uint64_t hash = VX_HASH_START;
    nal_walk w = walk(c, data, n_bytes);
    size_t n;
    for (const uint8_t *nal; (nal = next_nal(&w, &n));) {
        if (n < 3 || (nal[0] & 1) != 0 || nal[1] >> 3 != 0)
            continue; /* an enhancement layer, which decoders of the base layer skip */
        int type = nal[0] >> 1 & 63;
        if (type < FIRST_OTHER && !picture) {
            picture = true;
            flags = hevc_picture(c, type);
            layer = ((nal[1] & 7u) + 7u) & 7u; /* temporal id plus one */
        } else if (type >= VPS && type <= PPS) {
            sets = true;
            hash = hash_set(hash, nal, n);
        }
        ends |= type == END_OF_SEQUENCE || type == END_OF_STREAM;
    }
    c->may_skip &= !w.broken;
    c->after_end |= ends;
    c->max_layer = layer > c->max_layer ? layer : c->max_layer;
    flags |= layer << VX_PACKET_LAYER_SHIFT;
    if (sets)
        flags |= vx_classifier_note_sets(c, hash);
    return picture || w.broken ? flags : flags | VX_PACKET_HIDDEN;
}
