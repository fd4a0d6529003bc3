/* A shared library for Python's ctypes: the C functions that tests compare with other programs,
 * and that the recall study calls in bulk. Thin on purpose; tests/tools/vxlib.py is its caller. */
#include <stdint.h>

#include <errno.h>

#include "fingerprint/fingerprint.h"
#include "media/media.h"
#include "preprocess/preprocess.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int vxt_resize(int filter, int fit, int out_w, int out_h, const uint8_t *rgb, int w, int h,
                      int stride, uint8_t *ret_rgb);
EXPORT int vxt_prepare(const vx_preprocess_spec *spec, const uint8_t *rgb, int w, int h, int stride,
                       float *ret_tensor);
EXPORT int vxt_hash(const uint8_t *luma, int w, int h, int stride, vx_fp_frame *ret_frame,
                    vx_fp_frame *ret_mirrored);
EXPORT int vxt_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                       vx_fp_match *ret_match);
EXPORT size_t vxt_thin(vx_fp_frame *frames, size_t n, double step_s);
EXPORT int vxt_is_copy(const vx_fp_match *match);

/* One file as the product sees it: what vx_extract_run does up to the model, for one clip of the
 * whole video. Hashed are the frames chosen at target_fps and those chosen at hash_fps. */
typedef struct vxt_run {
    const vx_preprocess_spec *spec;
    const int64_t *chosen; /* [n_chosen] frame numbers at target_fps */
    int64_t n_chosen;
    int n_wanted;  /* T: chosen[floor(k (N - 1) / (T - 1))] */
    float *tensor; /* [T, 3, H, W] */
    vx_fp_frame *frames, *mirrored;
    int n_frames, max_frames;
} vxt_run;
EXPORT int vxt_extract(const char *path, double target_fps, double hash_fps,
                       const vx_preprocess_spec *spec, int n_wanted, float *ret_tensor,
                       vx_fp_frame *ret_frames, vx_fp_frame *ret_mirrored, int max_frames,
                       int *ret_n_frames, vx_err *err);

int vxt_resize(int filter, int fit, int out_w, int out_h, const uint8_t *rgb, int w, int h,
               int stride, uint8_t *ret_rgb) {
    const vx_preprocess_spec spec = {
        .width_px = out_w, .height_px = out_h, .filter = filter, .fit = fit};
    return vx_preprocess_resize(&spec, rgb, w, h, stride, ret_rgb, NULL);
}

int vxt_prepare(const vx_preprocess_spec *spec, const uint8_t *rgb, int w, int h, int stride,
                float *ret_tensor) {
    return vx_preprocess_frame(spec, rgb, w, h, stride, ret_tensor, NULL);
}

int vxt_hash(const uint8_t *luma, int w, int h, int stride, vx_fp_frame *ret_frame,
             vx_fp_frame *ret_mirrored) {
    return vx_fp_hash(luma, w, h, stride, ret_frame, ret_mirrored, NULL);
}

int vxt_compare(const vx_fp_frame *a, size_t n_a, const vx_fp_frame *b, size_t n_b,
                vx_fp_match *ret_match) {
    return vx_fp_compare(a, n_a, b, n_b, ret_match, NULL);
}

size_t vxt_thin(vx_fp_frame *frames, size_t n, double step_s) {
    return vx_fp_thin(frames, n, step_s, frames);
}

int vxt_is_copy(const vx_fp_match *match) {
    return vx_fp_is_copy(match);
}

static int on_picture(void *ctx, int64_t frame, double time_s, vx_picture *picture, vx_err *err) {
    vxt_run *run = ctx;
    const uint8_t *pixels;
    int w, h, stride, rc;
    if (run->n_frames == run->max_frames)
        return VX_FAIL(err, -ENOSPC, "more than %d frames", run->max_frames);
    if ((rc = vx_picture_luma(picture, &pixels, &w, &h, &stride, err)))
        return rc;
    vx_fp_frame *as_is = &run->frames[run->n_frames], *flipped = &run->mirrored[run->n_frames];
    if ((rc = vx_fp_hash(pixels, w, h, stride, as_is, flipped, err)))
        return rc;
    as_is->time_s = flipped->time_s = (float)time_s;
    run->n_frames++;
    size_t n = 3 * (size_t)run->spec->height_px * (size_t)run->spec->width_px;
    for (int k = 0; k < run->n_wanted; k++) {
        int64_t at = run->n_wanted > 1 ? k * (run->n_chosen - 1) / (run->n_wanted - 1) : 0;
        if (run->chosen[at] != frame)
            continue;
        if ((rc = vx_picture_rgb(picture, &pixels, &w, &h, &stride, err)) ||
            (rc = vx_preprocess_frame(run->spec, pixels, w, h, stride, run->tensor + (size_t)k * n,
                                      err)))
            return rc;
    }
    return 0;
}

int vxt_extract(const char *path, double target_fps, double hash_fps,
                const vx_preprocess_spec *spec, int n_wanted, float *ret_tensor,
                vx_fp_frame *ret_frames, vx_fp_frame *ret_mirrored, int max_frames,
                int *ret_n_frames, vx_err *err) {
    VX_AUTO(vx_media) media = NULL;
    VX_AUTO_FREE int64_t *chosen = NULL;
    VX_AUTO_FREE int64_t *dense = NULL;
    VX_AUTO_FREE int64_t *unique = NULL;
    vxt_run run = {.spec = spec,
                   .n_wanted = n_wanted,
                   .tensor = ret_tensor,
                   .frames = ret_frames,
                   .mirrored = ret_mirrored,
                   .max_frames = max_frames};
    int rc = vx_media_open(path, NULL, &media, err);
    if (!rc)
        rc = vx_media_choose(media, 0, vx_media_get_info(media)->duration_s, target_fps, &chosen,
                             &run.n_chosen, err);
    if (rc)
        return rc;
    run.chosen = chosen;
    int64_t n_dense, n = 0;
    if ((rc = vx_media_choose(media, 0, vx_media_get_info(media)->duration_s, hash_fps, &dense,
                              &n_dense, err)))
        return rc;
    if (!(unique = vx_new_array((size_t)(run.n_chosen + n_dense), sizeof *unique)))
        return -ENOMEM;
    for (int64_t i = 0, k = 0; i < run.n_chosen || k < n_dense;) {
        bool from_chosen = k == n_dense || (i < run.n_chosen && chosen[i] <= dense[k]);
        int64_t frame = from_chosen ? chosen[i++] : dense[k++];
        if (!n || unique[n - 1] != frame)
            unique[n++] = frame;
    }
    vx_media_stats stats;
    const vx_media_wish wish = {
        .frames = unique, .n = n, .threads = 1, .on_picture = on_picture, .ctx = &run};
    rc = vx_media_decode(media, &wish, &stats, err);
    *ret_n_frames = run.n_frames;
    return rc;
}
