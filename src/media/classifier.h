/* classifier.h — what the packets of a stream have shown so far (private to src/media). */
#pragma once

#include "packet_table.h"

typedef struct vx_classifier {
    enum AVCodecID codec;
    int nal_length_bytes; /* H.264, HEVC: 0 = start codes */
    bool may_skip;        /* false once something makes leaving packets out unsafe */
    bool after_end;       /* HEVC: at the start or after an end-of-sequence NAL unit */
    bool rasl_hidden;     /* HEVC: decoders drop the RASL pictures of the current point */
    bool has_tables;      /* MJPEG: an earlier picture defined Huffman tables */
    uint64_t sets_hash;   /* of the parameter sets seen inside packets; 0 = none yet */
    uint32_t max_layer;   /* HEVC: highest temporal id */
} vx_classifier;

/* Records the hash of the parameter sets of a packet; two that differ forbid skipping. Returns
 * VX_PACKET_SETS, the flag of that packet. */
static inline uint32_t vx_classifier_note_sets(vx_classifier *c, uint64_t hash) {
    c->may_skip &= c->sets_hash == 0 || c->sets_hash == hash;
    c->sets_hash = hash;
    return VX_PACKET_SETS;
}
