/* nvdec_caps.h — which streams a card decodes (private to src/media).
 *
 * The card is asked for each combination of codec, chroma format and bit depth once; what it says is
 * kept. Threads: any.
 */
#pragma once

#include <libavcodec/codec_par.h>

#include "base/thread.h"
#include "card/driver.h"

/* Why a clip is decoded by the CPU. */
typedef enum vx_nvdec_reason {
    VX_NVDEC_ACCEPTED,
    VX_NVDEC_CODEC,   /* the card does not decode this codec, or not exactly */
    VX_NVDEC_CHROMA,  /* not 4:2:0, the only layout that is used here */
    VX_NVDEC_DEPTH,   /* not with this many bits a sample */
    VX_NVDEC_SIZE,    /* too small or too large for the card */
    VX_NVDEC_STREAM,  /* packets and pictures do not correspond, or dropping is not proven safe */
    VX_NVDEC_CHANGED, /* the format changes within the stream */
    VX_NVDEC_HDR,     /* PQ of which the file does not say so, and so not how bright it is */
    VX_NVDEC_CROPPED, /* pictures do not begin at the top left of what is coded */
    VX_NVDEC_DAMAGED, /* a picture was lost or came out with an error */
    VX_NVDEC_MEMORY,  /* the card's memory is full */
    VX_NVDEC_FAILED,  /* the driver reported another error */
    VX_NVDEC_N_REASONS,
} vx_nvdec_reason;

/* Short name for logs and metrics, such as "bit_depth"; static. */
const char *vx_nvdec_reason_name(vx_nvdec_reason reason);

typedef struct vx_nvdec_format {
    cudaVideoCodec codec;
    cudaVideoChromaFormat chroma;
    int bit_depth;
    unsigned coded_w, coded_h;
} vx_nvdec_format;

typedef struct vx_nvdec_caps {
    const vx_card_driver *driver; /* borrows */
    vx_mutex lock;
    CUVIDDECODECAPS known[32] VX_GUARDED; /* answers; the oldest is forgotten */
    size_t n_known VX_GUARDED;
} vx_nvdec_caps;

void vx_nvdec_caps_init(vx_nvdec_caps *caps, const vx_card_driver *driver);
void vx_nvdec_caps_done(vx_nvdec_caps *caps);

/* NVIDIA's number of a codec; cudaVideoCodec_NumCodecs for one that is not decoded here. */
cudaVideoCodec vx_nvdec_codec(enum AVCodecID codec);
/* Whether the card decodes the format. A CUDA context must be current. */
vx_nvdec_reason vx_nvdec_caps_check(vx_nvdec_caps *caps, const vx_nvdec_format *format);
/* The same from what the container says of the stream. What it leaves open is accepted: the stream's
 * own header tells. */
vx_nvdec_reason vx_nvdec_caps_check_stream(vx_nvdec_caps *caps, const AVCodecParameters *par);
/* The largest coded size of that codec, chroma and depth; 0 x 0 if the card has none of it. */
void vx_nvdec_caps_max_size(vx_nvdec_caps *caps, const vx_nvdec_format *format, unsigned *ret_w,
                            unsigned *ret_h);
