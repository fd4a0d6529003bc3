/* nvdec_session.h — decodes one part of a clip with one decoder (private to src/media).
 *
 * Threads: a session belongs to the thread that runs it; a CUDA context must be current.
 */
#pragma once

#include "frame/frame.h"
#include "nvdec_pool.h"
#include "packet_table.h"

enum { VX_NVDEC_IGNORE, VX_NVDEC_EXTRA, VX_NVDEC_REQUESTED };

/* One picture on the card, a view that holds until the call returns; work that is put into
 * frame->stream before that may read it afterwards. Non-zero ends the decode and is returned. */
typedef int (*vx_nvdec_on_frame)(void *ctx, const vx_frame *frame, bool requested, vx_err *err);

/* What the parts of one clip have in common; constant while they run. */
typedef struct vx_nvdec_clip {
    const vx_media *media; /* borrows, like all of these */
    const uint8_t *take;   /* [n_packets] VX_NVDEC_IGNORE … REQUESTED: of each packet's picture */
    const int64_t *number; /* [n_packets] shown frame of each packet, -1 = none */
    const uint8_t *headers; /* parameter sets for a part whose first packet has none */
    size_t headers_bytes;   /* may be 0 */
    int device;             /* N of cuda:N, for the frames */
    vx_nvdec_on_frame on_frame;
    void *ctx;
} vx_nvdec_clip;

/* Where the packets come from: Annex B, or as the codec has it, in decode order. */
typedef struct vx_nvdec_source {
    /* Next packet and its number in the table; NULL at the end. Valid until the next call. */
    const AVPacket *(*next)(void *ctx, int64_t *ret_number);
    void *ctx;
} vx_nvdec_source;

typedef struct vx_nvdec_session_stats {
    int64_t n_fed;       /* packets given to the parser */
    int64_t n_requested; /* requested pictures handed on */
} vx_nvdec_session_stats;

/* Decodes what the source gives and hands on the pictures, in decode order.
 *   ret_reason  why the clip must go to the CPU, with a sentence in err: the return value is 0 then
 * Returns 0, what on_frame returned, or -ENOMEM for the host's memory. */
int vx_nvdec_session_run(const vx_nvdec_clip *clip, vx_nvdec_pool *pool,
                         const vx_nvdec_source *source, vx_nvdec_session_stats *ret_stats,
                         vx_nvdec_reason *ret_reason, vx_err *err);
