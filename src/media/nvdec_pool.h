/* nvdec_pool.h — NVDEC decoders that live on between clips (private to src/media).
 *
 * Creating a decoder takes 35 to 80 ms and the driver does one at a time; reconfiguring one for
 * another size takes 0.05 ms. So a decoder is made for the maximum of a size class and lent to one
 * part of a clip after the other. There are never more than max_decoders, and no more than fit in
 * max_bytes. Where there can be no more, a decoder of another codec or class gives way if it has been
 * idle for a while, or if there is none yet of the class that is needed; else the taker waits for one
 * that is lent. So with mixed clips the decoders are shared out, not made again and again.
 *
 * Threads: any, with a CUDA context current; a decoder belongs to its taker.
 */
#pragma once

#include "nvdec_caps.h"

enum { VX_NVDEC_OUTPUTS = 8 }; /* pictures of one decoder that can be mapped at a time */

/* What cannot be changed after a decoder is made. */
typedef struct vx_nvdec_class {
    cudaVideoCodec codec;
    int bit_depth;
    unsigned max_w, max_h;
} vx_nvdec_class;

/* What can: cuvidReconfigureDecoder. A mapped picture has the size of the class and the coded picture,
 * unscaled, in its top left corner. */
typedef struct vx_nvdec_geometry {
    unsigned coded_w, coded_h; /* multiples of 8: others are scaled on the way out */
    unsigned n_surfaces; /* reference pictures and the one being decoded; may exceed the need */
} vx_nvdec_geometry;

typedef struct vx_nvdec_decoder {
    CUvideodecoder handle;
    CUstream stream;                  /* mapped pictures are complete in its order */
    CUevent events[VX_NVDEC_OUTPUTS]; /* for the taker */
    vx_nvdec_class made_for;
    vx_nvdec_geometry geometry;
    int64_t bytes; /* estimate of its memory on the card */
    int64_t idle_since_us;
    struct vx_nvdec_decoder *next;
} vx_nvdec_decoder;

typedef struct vx_nvdec_pool_stats {
    int n_decoders, n_lent, max_decoders;
    int64_t bytes, max_bytes;
    int64_t n_created, n_reconfigured, n_refused; /* refused: no memory on the card for one more */
} vx_nvdec_pool_stats;

typedef struct vx_nvdec_pool {
    const vx_card_driver *driver; /* borrows */
    vx_nvdec_caps *caps;          /* borrows */
    vx_mutex lock;
    vx_cond returned;
    int64_t patience_us;               /* for which a decoder of another class is left idle: 1 s */
    vx_nvdec_decoder *idle VX_GUARDED; /* the last one given back first */
    vx_nvdec_decoder *lent VX_GUARDED;
    vx_nvdec_pool_stats stats VX_GUARDED;
} vx_nvdec_pool;

void vx_nvdec_pool_init(vx_nvdec_pool *pool, vx_nvdec_caps *caps, int max_decoders,
                        int64_t max_bytes);
/* All decoders must have been given back. */
void vx_nvdec_pool_done(vx_nvdec_pool *pool);

/* The class for a picture of that size: 1920x1088, 4096x2304, each also upright, or the largest that
 * the card decodes. */
vx_nvdec_class vx_nvdec_class_of(vx_nvdec_caps *caps, const vx_nvdec_format *format);
/* About how much memory a decoder of the class takes. */
int64_t vx_nvdec_class_bytes(const vx_nvdec_class *c);

/* Lends a decoder that is configured for the geometry; waits while none can be had.
 *   ret_decoder  lends; vx_nvdec_pool_give()
 * Returns 0; -ENOMEM: not one of this class fits; -EIO: the driver failed. */
int vx_nvdec_pool_take(vx_nvdec_pool *pool, const vx_nvdec_format *format,
                       const vx_nvdec_geometry *geometry, vx_nvdec_decoder **ret_decoder,
                       vx_err *err);
/* Takes the decoder back. Nothing of it may be mapped. broken: it is destroyed, not kept. */
void vx_nvdec_pool_give(vx_nvdec_pool *pool, vx_nvdec_decoder *decoder, bool broken);

/* Destroys idle decoders until the pool takes at most keep_bytes; those that are lent stay. */
void vx_nvdec_pool_trim(vx_nvdec_pool *pool, int64_t keep_bytes);
vx_nvdec_pool_stats vx_nvdec_pool_get_stats(vx_nvdec_pool *pool);
