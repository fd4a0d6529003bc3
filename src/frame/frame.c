#include "frame.h"

#include <errno.h>
#include <math.h>

int vx_frame_new(const vx_frame *like, void (*release)(void *owner), void *owner,
                 vx_frame **ret_frame, vx_err *err) {
    vx_frame *frame = vx_new(vx_frame);
    if (!frame)
        return VX_FAIL(err, -ENOMEM, "no memory for a picture");
    *frame = *like;
    frame->release = release;
    frame->owner = owner;
    frame->refs = 1;
    *ret_frame = frame;
    return 0;
}

/* Only the count of a frame ever changes; who has the frame to read may take a reference. */
vx_frame *vx_frame_ref(const vx_frame *frame) {
    vx_frame *counted = (vx_frame *)(uintptr_t)frame;
    __atomic_add_fetch(&counted->refs, 1, __ATOMIC_RELAXED);
    return counted;
}

vx_frame *vx_frame_unref(vx_frame *frame) {
    if (!frame || __atomic_sub_fetch(&frame->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return NULL;
    if (frame->release)
        frame->release(frame->owner);
    free(frame);
    return NULL;
}

vx_frame vx_frame_view(vx_frame_layout layout, const uint8_t *pixels, int width_px, int height_px,
                       ptrdiff_t pitch_bytes) {
    return (vx_frame){
        .device = VX_FRAME_HOST,
        .planes = {pixels},
        .pitch_bytes = {pitch_bytes},
        .width_px = width_px,
        .height_px = height_px,
        .layout = layout,
        .bit_depth = 8,
        .sample_bytes = 1,
        .matrix = layout == VX_FRAME_RGB ? VX_MATRIX_RGB : VX_MATRIX_UNSPECIFIED,
        .transfer = VX_TRANSFER_UNSPECIFIED,
        .full_range = true,
    };
}

int vx_frame_matrix(const vx_frame *frame) {
    switch (frame->matrix) {
    case VX_MATRIX_UNSPECIFIED:
    case VX_MATRIX_RGB:
    case VX_MATRIX_RESERVED:
        return frame->height_px < 720 ? VX_MATRIX_BT470BG : VX_MATRIX_BT709;
    default:
        return frame->matrix;
    }
}

static int fixed(double x) {
    return (int)lrint(x * (1 << VX_YUV_FRACTION_BITS));
}

bool vx_frame_yuv_weights(const vx_frame *f, vx_yuv_weights *ret_weights) {
    int matrix = vx_frame_matrix(f), unit = 1 << (f->bit_depth - 8), top = (1 << f->bit_depth) - 1;
    bool bt601 = matrix == VX_MATRIX_BT470BG || matrix == VX_MATRIX_SMPTE170M;
    bool bt2020 = matrix == VX_MATRIX_BT2020_NCL;
    double kr = bt601 ? 0.299 : bt2020 ? 0.2627 : 0.2126;
    double kb = bt601 ? 0.114 : bt2020 ? 0.0593 : 0.0722, kg = 1 - kr - kb;
    double y = f->full_range ? 255.0 / top : 255.0 / (219 * unit);
    double c = (f->full_range ? 255.0 / top : 255.0 / (224 * unit)) / VX_YUV_CHROMA_SCALE;
    *ret_weights = (vx_yuv_weights){.black = f->full_range ? 0 : 16 * unit,
                                    .zero = 128 * unit,
                                    .y = fixed(y),
                                    .r_cr = fixed(2 * (1 - kr) * c),
                                    .g_cb = fixed(-2 * (1 - kb) * kb / kg * c),
                                    .g_cr = fixed(-2 * (1 - kr) * kr / kg * c),
                                    .b_cb = fixed(2 * (1 - kb) * c)};
    return bt601 || bt2020 || matrix == VX_MATRIX_BT709;
}

bool vx_frame_samples(const vx_frame *f, vx_samples *ret_samples) {
    if (f->layout != VX_FRAME_YUV_SEMIPLANAR || f->chroma_log2_w != 1 || f->chroma_log2_h != 1 ||
        f->bit_depth < 8 || f->bit_depth > 12 || f->width_px < 1 ||
        f->width_px > VX_FRAME_MOST_PX || f->height_px < 1 || f->height_px > VX_FRAME_MOST_PX)
        return false;
    *ret_samples = (vx_samples){.luma = f->planes[0],
                                .chroma = f->planes[1],
                                .luma_pitch = f->pitch_bytes[0],
                                .chroma_pitch = f->pitch_bytes[1],
                                .w = f->width_px,
                                .h = f->height_px,
                                .sample_bytes = f->sample_bytes,
                                .low_bits = f->low_bits,
                                .transpose = f->orientation.transpose,
                                .flip_x = f->orientation.flip_x,
                                .flip_y = f->orientation.flip_y};
    return vx_frame_yuv_weights(f, &ret_samples->k);
}

bool vx_frame_is_hdr(const vx_frame *frame) {
    return frame->transfer == VX_TRANSFER_PQ || frame->transfer == VX_TRANSFER_HLG;
}
