#include "kernels_c.h"

#include <stdlib.h>

#include "preprocess/prepare.h"

enum { MAX_PICTURES = 64 };

struct vxk_batch {
    vx_preprocess_spec spec;
    bool bf16;
    int n;
    vx_frame frames[2][MAX_PICTURES]; /* on the CPU, on the device */
    vx_prepare_job jobs[2][MAX_PICTURES];
    vx_prepare_plan *plan; /* of the device */
};

static int plan(const vxk_batch *b, int where, vx_prepare_plan **ret_plan) {
    vx_err err = {0};
    int rc = vx_prepare_plan_new(&b->spec, b->jobs[where], b->n, b->bf16, ret_plan, &err);
    if (rc)
        fprintf(stderr, "plan: %s\n", err.msg);
    return rc;
}

vxk_batch *vxk_batch_new(int side_px, int cubic, int crop, int bf16) {
    vxk_batch *b = calloc(1, sizeof *b);
    b->spec = (vx_preprocess_spec){.width_px = side_px,
                                   .height_px = side_px,
                                   .filter = cubic ? VX_RESIZE_BICUBIC_ANTIALIAS
                                                   : VX_RESIZE_BILINEAR_ANTIALIAS,
                                   .fit = crop ? VX_FIT_CROP : VX_FIT_SQUASH,
                                   .mean = {0.485f, 0.456f, 0.406f},
                                   .std = {0.229f, 0.224f, 0.225f}};
    b->bf16 = bf16;
    return b;
}

void vxk_batch_add(vxk_batch *b, const int facts[8], long pitch, void *pixels, void *place,
                   void *device_pixels, void *device_place) {
    int at = b->n++;
    for (int where = 0; where < 2; where++) {
        uint8_t *luma = where ? device_pixels : pixels;
        b->frames[where][at] = (vx_frame){
            .device = where ? 0 : VX_FRAME_HOST,
            .planes = {luma, (const uint8_t *)((uintptr_t)luma + (size_t)pitch * (size_t)facts[1])},
            .pitch_bytes = {pitch, pitch},
            .width_px = facts[0],
            .height_px = facts[1],
            .layout = VX_FRAME_YUV_SEMIPLANAR,
            .bit_depth = facts[2],
            .sample_bytes = facts[2] == 8 ? 1 : 2,
            .low_bits = facts[2] == 8 ? 0 : 16 - facts[2],
            .chroma_log2_w = 1,
            .chroma_log2_h = 1,
            .matrix = facts[3],
            .transfer = VX_TRANSFER_UNSPECIFIED,
            .full_range = facts[4],
            .orientation = {facts[5], facts[6], facts[7]}};
        b->jobs[where][at] = (vx_prepare_job){&b->frames[where][at], where ? device_place : place};
    }
}

int vxk_batch_run_twin(const vxk_batch *b) {
    VX_AUTO(vx_prepare_plan) host = NULL;
    int rc = plan(b, 0, &host);
    return rc ? rc : vx_prepare_twin(host, NULL);
}

int vxk_batch_plan(vxk_batch *b, vx_prepare_launch *ret_launch) {
    int rc = plan(b, 1, &b->plan);
    if (rc)
        return rc;
    const vx_prepare_plan *p = b->plan;
    *ret_launch = (vx_prepare_launch){.pictures = p->pictures,
                                      .n = p->n,
                                      .w_out = p->w_out,
                                      .h_out = p->h_out,
                                      .most_rows = p->most_rows,
                                      .ints = p->ints,
                                      .n_ints = p->n_ints,
                                      .narrow_bytes = p->narrow_bytes,
                                      .values = p->values[0],
                                      .bf16 = p->bf16};
    return 0;
}

void vxk_batch_free(vxk_batch *b) {
    vx_prepare_plan_free(b->plan);
    free(b);
}
