/* nvdec.h — decodes on an NVIDIA card (private to src/media).
 *
 * A vx_nvdec is one card with its threads and decoders. It decodes many clips at a time: each is
 * divided into parts that can be decoded apart, as many as there are threads without work, and the
 * parts of all clips wait in one queue. A clip that the card cannot decode, or does not decode
 * exactly, is refused with a reason, and its caller decodes it on the CPU instead.
 *
 * H.264, HEVC, VP9 and AV1 are decoded, in what the card reports. Pictures are those of FFmpeg's
 * decoders to the bit.
 *
 * Threads: any; vx_nvdec_decode blocks, and several calls may run at a time.
 */
#pragma once

#include "card/card.h"
#include "media.h"
#include "nvdec_session.h"

enum { VX_NVDEC_REFUSED = VX_CODES_MEDIA + 50 }; /* decode it on the CPU */

typedef struct vx_nvdec vx_nvdec;

typedef struct vx_nvdec_params {
    int device;        /* N of cuda:N */
    int max_decoders;  /* 0 = 28: with 14 H.264 is as fast as it gets, HEVC with 28 (on an H100) */
    int64_t max_bytes; /* of the decoders on the card; 0 = 6 GiB */
    const vx_card_driver *driver; /* borrows; NULL = NVIDIA's, loaded now */
} vx_nvdec_params;

/* Returns 0, -ENODEV (no driver or no such card), -ENOMEM or -EIO. ret_nvdec: gives. */
int vx_nvdec_open(const vx_nvdec_params *params, vx_nvdec **ret_nvdec, vx_err *err);
vx_nvdec *vx_nvdec_free(vx_nvdec *nvdec); /* no decode may be running */
VX_DEFINE_AUTO(vx_nvdec, vx_nvdec_free)

/* Whether the card decodes the clip, as far as the packet table and the container tell. */
vx_nvdec_reason vx_nvdec_check(vx_nvdec *nvdec, const vx_media *media);

typedef struct vx_nvdec_decode_params {
    const int64_t *frames; /* [n] requested frames, ascending, unique; borrowed for the call */
    int64_t n;
    /* Besides the requested pictures, those that are decoded because others depend on them. */
    bool extras;
    int max_parts;                 /* into which the clip is divided; 0 = as many as help */
    bool (*keep_going)(void *ctx); /* may be NULL; on the caller's thread; false stops */
    /* On threads of vx_nvdec, several at a time, in no order. The pictures of a clip that is refused
     * afterwards are void. */
    vx_nvdec_on_frame on_frame;
    void *ctx; /* for both */
} vx_nvdec_decode_params;

typedef struct vx_nvdec_decode_stats {
    int64_t n_fed; /* pictures that were decoded */
    int n_parts;
    vx_nvdec_reason reason; /* of a refusal */
} vx_nvdec_decode_stats;

/* Decodes the requested frames and calls on_frame for each. When it returns, all work that on_frame
 * put into the frames' streams has ended.
 *   ret_stats  may be NULL
 * Returns 0; VX_NVDEC_REFUSED; what on_frame returned; VX_MEDIA_STOPPED, VX_MEDIA_TOO_LARGE; -errno. */
int vx_nvdec_decode(vx_nvdec *nvdec, const vx_media *media, const vx_nvdec_decode_params *params,
                    vx_nvdec_decode_stats *ret_stats, vx_err *err);

typedef struct vx_nvdec_stats {
    vx_nvdec_pool_stats pool;
    int n_queued; /* parts that no thread has taken */
    char card[64];
} vx_nvdec_stats;
void vx_nvdec_get_stats(vx_nvdec *nvdec, vx_nvdec_stats *ret_stats);
vx_card *vx_nvdec_get_card(const vx_nvdec *nvdec); /* borrows from nvdec */
/* Gives the memory of idle decoders back to the card. */
void vx_nvdec_trim(vx_nvdec *nvdec);
