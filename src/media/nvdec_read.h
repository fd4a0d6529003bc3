/* nvdec_read.h — reads the planned packets of a file in NVDEC's form (private to src/media).
 * Threads: one at a time. */
#pragma once

#include <libavcodec/bsf.h>

#include "demux.h"
#include "packet_table.h"

typedef struct vx_nvdec_reader {
    const vx_media *media; /* borrows, like action */
    const uint8_t *action;
    int64_t n_packets;
    vx_demux *demux;
    AVBSFContext *bsf; /* to Annex B; NULL: packets are used as they are */
    int64_t number;    /* of the next packet */
    bool has_read;     /* it is in demux->packet already */
    bool seeked;
    const uint8_t *headers; /* parameter sets of the container, borrowed from here; may be NULL */
    size_t headers_bytes;
} vx_nvdec_reader;

/* Opens the file at the first packet that action[0..n_packets) sends. Returns 0, a vx_media_outcome
 * or -errno. */
int vx_nvdec_reader_open(vx_nvdec_reader *reader, const vx_media *media, const uint8_t *action,
                         int64_t n_packets, bool (*keep_going)(void *ctx), void *ctx, vx_err *err);
void vx_nvdec_reader_close(vx_nvdec_reader *reader);

/* Next packet that is sent.
 *   ret_packet  gives (av_packet_free); NULL: there is none, or the file is not as it was when it was
 *               scanned
 * Returns 0, a vx_media_outcome or -errno. */
int vx_nvdec_reader_next(vx_nvdec_reader *reader, AVPacket **ret_packet, int64_t *ret_number,
                         vx_err *err);
