/* frame.h — one decoded picture: where its pixels lie and what they mean.
 *
 * media/ gives frames; preprocess/ and fingerprint/ take them and need no FFmpeg for it. A frame is
 * constant once it is made. Whoever keeps one beyond the call that gave it takes a reference.
 *
 * Units    pixels, bytes; seconds from the first presented frame
 * Colours  matrix and transfer are code points of ITU-T H.273, as streams carry them
 * Threads  a frame may be read, referenced and released by any thread
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "samples.h"

enum { VX_FRAME_HOST = -1 };      /* vx_frame.device */
enum { VX_FRAME_MOST_PX = 8192 }; /* a side of a picture that kernels take */

typedef enum vx_frame_layout {
    VX_FRAME_YUV_PLANAR,     /* planes Y, Cb, Cr (I420, 4:2:2, 4:4:4 …) */
    VX_FRAME_YUV_SEMIPLANAR, /* planes Y and Cb, Cr interleaved (NV12, P010) */
    VX_FRAME_GRAY,           /* one plane */
    VX_FRAME_RGB,            /* one plane, R, G, B interleaved */
    VX_FRAME_OTHER,          /* only the maker, who knows native_format, can read it */
} vx_frame_layout;

enum { /* of H.273: the code points that vidx knows by name */
       VX_MATRIX_RGB = 0,
       VX_MATRIX_BT709 = 1,
       VX_MATRIX_UNSPECIFIED = 2,
       VX_MATRIX_RESERVED = 3,
       VX_MATRIX_BT470BG = 5,    /* BT.601, 625 lines */
       VX_MATRIX_SMPTE170M = 6,  /* BT.601, 525 lines */
       VX_MATRIX_BT2020_NCL = 9, /* not constant luminance */
       VX_TRANSFER_UNSPECIFIED = 2,
       VX_TRANSFER_PQ = 16,  /* SMPTE ST 2084 */
       VX_TRANSFER_HLG = 18, /* BT.2100 */
};

/* How a stored picture becomes the shown one. */
typedef struct vx_orientation {
    bool transpose; /* first, then the flips */
    bool flip_x;
    bool flip_y;
} vx_orientation;

typedef struct vx_frame {
    int device; /* VX_FRAME_HOST, or the N of cuda:N: then planes are addresses of that device */
    /* First byte of each plane, NULL behind the last; on a device, not to be read by the CPU. */
    const uint8_t *planes[4];
    ptrdiff_t pitch_bytes[4]; /* from a row to the next; may be negative on the host */
    int width_px, height_px;  /* as stored: not turned; chroma planes are rounded up */

    vx_frame_layout layout;
    int bit_depth;                    /* of a sample: 8..16 */
    int sample_bytes;                 /* 1, or 2 in native byte order */
    int low_bits;                     /* unused bits below a sample: P010 has 6, yuv420p10 none */
    int chroma_log2_w, chroma_log2_h; /* chroma is smaller by 1 << these; 4:2:0 has 1 and 1 */
    int native_format;                /* the maker's own number for the format (AVPixelFormat) */

    int matrix, transfer;
    bool full_range;
    double peak_nits; /* PQ: what the metadata tells, 100..10000; 0 = nothing */
    vx_orientation orientation;

    int64_t number; /* of the presented frame */
    double time_s;

    /* CUDA: the CUstream in whose order the pixels are complete. Work on another stream waits for
     * this one first. NULL on the host. */
    void *stream;

    /* Of a frame on a device, by its maker: a copy in host memory, planar, as FFmpeg's decoder lays it
     * (gives; vx_frame_unref). NULL: there is no way. -ENOMEM, -EIO. */
    int (*fetch)(const struct vx_frame *frame, struct vx_frame **ret_frame, vx_err *err);

    /* The maker's. A frame without references is a view into its giver's memory: the giver says for
     * how long it holds, and it cannot be referenced. */
    void (*release)(void *owner);
    void *owner;
    int refs;
} vx_frame;

/* A frame on the heap with one reference, described by `like` (borrows; its last three members are
 * ignored).
 *   owner  taken; given to release (may be NULL) with the last reference. Not taken on failure.
 * Returns 0 or -ENOMEM. */
int vx_frame_new(const vx_frame *like, void (*release)(void *owner), void *owner,
                 vx_frame **ret_frame, vx_err *err);
/* One more reference; returns the frame, which is no view. */
vx_frame *vx_frame_ref(const vx_frame *frame);
/* One reference less; returns NULL. Takes NULL. All work that reads the pixels has ended before, on
 * a device too: a decoder may write its next picture there at once. */
vx_frame *vx_frame_unref(vx_frame *frame);
VX_DEFINE_AUTO(vx_frame, vx_frame_unref)

/* A view of 8-bit full-range pixels in host memory (borrowed): VX_FRAME_GRAY or VX_FRAME_RGB. */
vx_frame vx_frame_view(vx_frame_layout layout, const uint8_t *pixels, int width_px, int height_px,
                       ptrdiff_t pitch_bytes);

/* The matrix to convert with; where the stream names none, guessed from the height as players do:
 * BT.601 below 720 lines, else BT.709. */
int vx_frame_matrix(const vx_frame *frame);
/* How its samples become RGB: by matrix, range and bit depth (8 to 12). False for a matrix that is neither
 * BT.601, BT.709 nor BT.2020 with non-constant luminance. */
bool vx_frame_yuv_weights(const vx_frame *frame, vx_yuv_weights *ret_weights);
/* The samples of what decoders on cards give: NV12, P010 or P016, 8 to 12 bits, 1..VX_FRAME_MOST_PX a side.
 * False for other pictures. `tone` is left NULL. */
bool vx_frame_samples(const vx_frame *frame, vx_samples *ret_samples);
/* Whether the pixels are PQ or HLG, which have to be tone-mapped. */
bool vx_frame_is_hdr(const vx_frame *frame);
