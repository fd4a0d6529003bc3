/* preprocess.h — turns a decoded picture into model input.
 *
 * In    VX_FRAME_RGB: uint8 [h, w, 3], full range, upright, host memory, 1..8192 px a side
 * Out   float32 [3, height, width] channel-major, (x/255 - mean) / std
 * Errs  -ENOMEM; VX_PREPROCESS_BAD_SHAPE (> 0)
 * Threads  any; the spec is read only. This CPU code is the reference for every other backend.
 */
#pragma once

#include <stdint.h>

#include "card/card.h"
#include "frame/frame.h"

#define VX_PREPROCESS_BAD_SHAPE VX_CODES_PREPROCESS

typedef enum vx_resize_filter {
    VX_RESIZE_BILINEAR_ANTIALIAS, /* triangle filter whose support grows with the reduction, in
                                     integer arithmetic with uint8 between the passes: equal to
                                     Pillow's BILINEAR to the bit */
    VX_RESIZE_BICUBIC_ANTIALIAS,  /* the same with Pillow's BICUBIC (a = -0.5) */
    VX_RESIZE_BILINEAR,           /* two taps, no antialias: OpenCV's INTER_LINEAR */
} vx_resize_filter;

typedef enum vx_resize_fit {
    VX_FIT_SQUASH, /* the whole picture, aspect ratio not kept */
    VX_FIT_CROP,   /* shorter side to the target, centre crop */
} vx_resize_fit;

typedef struct vx_preprocess_spec {
    int width_px, height_px; /* 1..1024 */
    vx_resize_filter filter;
    vx_resize_fit fit;
    float mean[3], std[3]; /* of values in [0, 1]; std > 0 */
} vx_preprocess_spec;

/* Resizes and normalises one picture into ret_tensor, float32 [3, height, width] of the caller.
 * rgb: borrows. Returns 0, VX_PREPROCESS_BAD_SHAPE or -ENOMEM. */
int vx_preprocess_frame(const vx_preprocess_spec *spec, const vx_frame *rgb, float *ret_tensor,
                        vx_err *err);

/* Only the resize, into ret_rgb, uint8 [height, width, 3] of the caller. Returns the same. */
int vx_preprocess_resize(const vx_preprocess_spec *spec, const vx_frame *rgb, uint8_t *ret_rgb,
                         vx_err *err);

/* ---- on a card ----
 *
 * Decoded pictures that lie on a card become model input there, in the memory that the model reads: at
 * most one grey level (1/255 before the normalisation) from what the functions above make of
 * vx_picture_rgb. */

typedef struct vx_preprocess_job {
    const vx_frame *frame; /* borrows; on the card; one that vx_frame_samples takes */
    void *place;           /* borrows; float32 [3, height, width] on the card, or page-locked */
} vx_preprocess_job;

/* Whether the card has the kernels; -ENODEV with the reason. */
int vx_preprocess_check_card(vx_card *card, vx_err *err);
/* Puts n jobs into the work's order, together. The pictures and places are borrowed until it was waited
 * for. Returns 0, VX_PREPROCESS_BAD_SHAPE, -ENOMEM, -EIO. */
int vx_preprocess_on_card(const vx_preprocess_spec *spec, const vx_preprocess_job *jobs, int n,
                          vx_card_work *work, vx_err *err);

/* For src/preprocess itself (resample.h): the axes that resize a picture of this size by the spec (gives
 * both; -ENOMEM), and each byte normalised, by channel. */
struct vx_axis;
int vx_preprocess_axes(const vx_preprocess_spec *spec, int w_px, int h_px, struct vx_axis **ret_x,
                       struct vx_axis **ret_y, vx_err *err);
void vx_preprocess_values(const vx_preprocess_spec *spec, float ret_values[3][256]);
