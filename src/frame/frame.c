#include "frame.h"

#include <errno.h>

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

bool vx_matrix_luma_weights(int matrix, double *ret_kr, double *ret_kb) {
    bool bt601 = matrix == VX_MATRIX_BT470BG || matrix == VX_MATRIX_SMPTE170M;
    bool bt2020 = matrix == VX_MATRIX_BT2020_NCL;
    *ret_kr = bt601 ? 0.299 : bt2020 ? 0.2627 : 0.2126;
    *ret_kb = bt601 ? 0.114 : bt2020 ? 0.0593 : 0.0722;
    return bt601 || bt2020 || matrix == VX_MATRIX_BT709;
}

bool vx_frame_is_hdr(const vx_frame *frame) {
    return frame->transfer == VX_TRANSFER_PQ || frame->transfer == VX_TRANSFER_HLG;
}
